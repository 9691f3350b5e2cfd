"""The extensions: they observe a crawl, and may end it."""
