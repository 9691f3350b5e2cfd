"""Crawls on scrapyd nodes."""
