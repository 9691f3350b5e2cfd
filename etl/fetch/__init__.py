"""Fetching the feed file: its address, one download, and the incoming folder."""
