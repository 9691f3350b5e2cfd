"""Crawls on scrapyd nodes: their HTTP interface, the egg that they run, and what runs where."""
