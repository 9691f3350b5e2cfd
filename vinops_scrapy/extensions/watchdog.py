"""Tells systemd that a crawl is ready, and that it progresses, where the crawl itself is the service."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from scrapy import signals

from vinops import systemd
from vinops_scrapy.shared import Component

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

POLL_SECONDS: Final = 5.0


class Watchdog(Component):
    """Notifies systemd's watchdog when a statistic has changed: a response came, a photo was stored, a pause went on.

    A crawl that hangs is thereby noticed; a mere timer would hide it. Outside a unit of Type=notify it does nothing.
    """

    def __init__(self, crawler: Crawler) -> None:
        """Follow the crawl by its signals."""
        super().__init__(crawler)
        self._seen: dict[str, Any] = {}
        self._polling: asyncio.Task[None] | None = None
        crawler.signals.connect(self._opened, signals.spider_opened)
        crawler.signals.connect(self._closed, signals.spider_closed)

    def _opened(self) -> None:
        systemd.ready()
        if (watchdog := systemd.watchdog_seconds()) is not None:
            self._polling = asyncio.ensure_future(self._poll(min(POLL_SECONDS, watchdog / 3)))

    def _closed(self) -> None:
        if self._polling:
            self._polling.cancel()

    async def _poll(self, every: float) -> None:
        while True:
            if self._has_moved():
                systemd.alive()
            await asyncio.sleep(every)

    def _has_moved(self) -> bool:
        """Tell whether a statistic has changed since the last call."""
        before, self._seen = self._seen, dict(self._crawler.stats.get_stats())
        return self._seen != before
