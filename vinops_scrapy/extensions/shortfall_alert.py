"""Ends a run that read too little, and alerts the owner when most of some kind of work failed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import psycopg
from scrapy import signals
from scrapy.exceptions import CloseSpider

from vinops.db.database import DatabaseError
from vinops.logs import pairs
from vinops_scrapy import closing
from vinops_scrapy.shared import Component
from vinops_scrapy.shortfalls import in_order, shortfalls

if TYPE_CHECKING:
    from scrapy import Spider
    from scrapy.crawler import Crawler

log = logging.getLogger("crawl")

KIND: Final = "mostly_failed"
JUDGED: Final = frozenset({"finished", "incomplete", KIND, "shutdown", "daily_cap", "postponed"})
"""Reasons of an end after which a shortfall is reported: the others have an alert of their own."""


class ShortfallAlert(Component):
    """Checks a run by its statistics, when nothing is left to do and at its end. Raises an alert for each kind of work
    most of which failed, and clears it when a run did enough of that work well.

    If the process dies before the end no alert is raised or cleared: the next run does it.
    """

    def __init__(self, crawler: Crawler) -> None:
        """Follow the crawl by its signals."""
        super().__init__(crawler)
        crawler.signals.connect(self._idle, signals.spider_idle)
        crawler.signals.connect(self._closed, signals.spider_closed)

    def _idle(self, spider: Spider) -> None:
        if getattr(spider, "is_incomplete", False):
            raise CloseSpider("incomplete")
        if shortfalls(self._crawler.stats.get_stats()):
            raise CloseSpider(KIND)

    async def _closed(self, spider: Spider, reason: str) -> None:
        stats: dict[str, Any] = self._crawler.stats.get_stats()
        found = shortfalls(stats) if reason in JUDGED else []
        worker: str | None = getattr(spider, "worker", None)
        name = f"{spider.name} {worker}" if worker else spider.name
        try:
            await closing.tell(
                KIND,
                {
                    f"{name}: {each.work}": f"{each}: they have a cause in common. docs/runbook.md has the reasons, "
                    "`vinops logs --errors` and the log of the run have more"
                    for each in found
                },
                over=[f"{name}: {work}" for work in in_order(stats)],
            )
        except (psycopg.Error, DatabaseError) as error:
            log.warning("the owner cannot be alerted %s", pairs(error=closing.one_line(error)))
