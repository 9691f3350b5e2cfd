"""The commands of `scrapy` that are ours."""
