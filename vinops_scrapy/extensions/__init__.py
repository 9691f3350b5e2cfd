"""The extensions: what observes a crawl."""
