"""Parts of the photo crawl: leases and work, sessions, the browser."""
