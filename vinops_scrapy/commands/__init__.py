"""Our replacements of commands of `scrapy`."""
