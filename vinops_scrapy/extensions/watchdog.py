"""Watchdog: tells systemd that a crawl is up, and that it moves, where the crawl itself is the service."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Self

from scrapy import signals

from vinops import systemd as notify_socket

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

LOOK_SECONDS: Final = 5.0


class Watchdog:
    """Feeds systemd's watchdog when a statistic has changed: an answer came, a photo was stored, a pause went on.

    A task that beats on whatever hangs would say nothing. Outside of a unit of Type=notify it does nothing.
    """

    def __init__(self, crawler: Crawler) -> None:
        """Follow the crawl by its signals."""
        self._crawler = crawler
        self._seen: dict[str, Any] = {}
        self._looking: asyncio.Task[None] | None = None
        crawler.signals.connect(self._opened, signals.spider_opened)
        crawler.signals.connect(self._closed, signals.spider_closed)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make the extension for a crawl."""
        return cls(crawler)

    def _opened(self) -> None:
        notify_socket.ready()
        if (watchdog := notify_socket.watchdog_seconds()) is not None:
            self._looking = asyncio.ensure_future(self._look_on(min(LOOK_SECONDS, watchdog / 3)))

    def _closed(self) -> None:
        if self._looking:
            self._looking.cancel()

    async def _look_on(self, every: float) -> None:
        while True:
            if self._has_moved():
                notify_socket.alive()
            await asyncio.sleep(every)

    def _has_moved(self) -> bool:
        """Tell whether a statistic has changed since this was asked last."""
        before, self._seen = self._seen, dict(self._crawler.stats.get_stats())
        return self._seen != before
