"""Downloader middleware: cookies, with the list of public suffixes that is installed, never one from the network."""

from __future__ import annotations

from typing import Any, Final

from scrapy.downloadermiddlewares import cookies
from tldextract import TLDExtract

SUFFIXES: Final = TLDExtract(suffix_list_urls=(), cache_dir=None, include_psl_private_domains=True)
"""By this Scrapy detects a cookie for a whole public suffix, as `co.uk`. Its own extractor downloads the
newest list from publicsuffix.org, outside every budget, and writes it to the user's home (Scrapy 2.19)."""


class Cookies(cookies.CookiesMiddleware):
    """Scrapy's middleware, without requests of its own."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """Replace Scrapy's extractor, which cannot be set otherwise."""
        cookies._split_domain = SUFFIXES  # noqa: SLF001
        super().__init__(*arguments, **named)
