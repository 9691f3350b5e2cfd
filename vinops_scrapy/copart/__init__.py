"""Parts of the photo crawl: leases of lots, sessions, the browser."""
