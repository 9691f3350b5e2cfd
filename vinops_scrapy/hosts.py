"""The hosts that a crawl may ask, as `host` or, for a stand-in on loopback, `host:port`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from vinops import config

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy.crawler import Crawler

    from vinops.config import Settings

PORTS = {"http": 80, "https": 443}


def netloc(url: str) -> str:
    """Return the host of an address, with the port where it is not the scheme's own: the name of its budget."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return host if parts.port in (None, PORTS.get(parts.scheme)) else f"{host}:{parts.port}"


def hosts_of(settings: Settings) -> frozenset[str]:
    """Return every host of the auction side that the settings name."""
    return frozenset({netloc(settings.copart_site_url), *settings.copart_image_hosts})


def every_host(settings: Settings) -> frozenset[str]:
    """Return every host of all sites that the settings name."""
    return hosts_of(settings) | {netloc(settings.mobile_bg_url)}


def hosts_of_crawl(crawler: Crawler) -> frozenset[str]:
    """Return every host that the spider of a crawl may ask: what its `hosts` says of the settings."""
    hosts: Callable[[Settings], frozenset[str]] = getattr(crawler.spidercls, "hosts", hosts_of)
    return hosts(config.load())
