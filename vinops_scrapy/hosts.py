"""The hosts that a crawl may send requests to, as `host` or, for a stand-in on loopback, `host:port`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from vinops import config
from vinops.network import is_loopback

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
    """Return every host that some spider may send requests to."""
    from scrapy.settings import Settings as ScrapySettings  # 0.5 s, which most readers of this module do not need
    from scrapy.spiderloader import SpiderLoader

    loader = SpiderLoader.from_settings(ScrapySettings({"SPIDER_MODULES": ["vinops_scrapy.spiders"]}))
    return frozenset(host for name in loader.list() for host in loader.load(name).hosts(settings))  # type: ignore[attr-defined]


def hosts_of_crawl(crawler: Crawler) -> frozenset[str]:
    """Return every host that the spider of a crawl may send requests to: the stand-in that -s VINOPS_STANDIN names,
    else the `hosts` of the spider. Raises ConfigError for a stand-in that is not on this machine."""
    if standin := crawler.settings["VINOPS_STANDIN"]:
        host = netloc(standin)
        if not is_loopback(host):
            raise config.ConfigError(f"VINOPS_STANDIN={standin} is not on loopback: use http://127.0.0.1:PORT")
        return frozenset({host})
    hosts: Callable[[Settings], frozenset[str]] = getattr(crawler.spidercls, "hosts", hosts_of)
    return hosts(config.load())


def image_hosts_of_crawl(crawler: Crawler) -> frozenset[str]:
    """Return those hosts of a crawl for which the pace of images applies: the `image_hosts` of the spider."""
    hosts: Callable[[Settings], frozenset[str]] = getattr(crawler.spidercls, "image_hosts", lambda _: frozenset())
    return hosts(config.load())
