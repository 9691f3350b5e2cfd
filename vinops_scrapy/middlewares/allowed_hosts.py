"""Downloader middleware: which hosts may be requested."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vinops_scrapy.failures import HostNotAllowed
from vinops_scrapy.hosts import hosts_of_crawl, netloc
from vinops_scrapy.resolver import allowed
from vinops_scrapy.shared import Component

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler


class AllowedHosts(Component):
    """Lets only listed hosts be requested: every request passes here, and every hop of a redirect."""

    def __init__(self, crawler: Crawler) -> None:
        """Take the list from the spider."""
        super().__init__(crawler)
        self._hosts = hosts_of_crawl(crawler)

    def process_request(self, request: Request) -> None:
        """Raise HostNotAllowed for an address on another host."""
        reason = allowed(request.url, self._hosts)
        if reason is not None:
            self._crawler.stats.inc_value(f"host/not_allowed/{reason}")
            raise HostNotAllowed(f"host_{reason}", netloc(request.url))
        request.meta.setdefault("download_slot", netloc(request.url))
