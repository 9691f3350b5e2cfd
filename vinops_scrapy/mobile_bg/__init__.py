"""Parts of the crawl of mobile.bg: the makes, the course of a walk, and the walks in the database."""
