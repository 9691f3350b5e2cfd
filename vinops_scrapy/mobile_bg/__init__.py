"""Parts of the market crawl: makes, walks, and the ads in the database."""
