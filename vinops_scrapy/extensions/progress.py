"""Progress: a run's heartbeat in ops.crawl_runs, and a bar for a person who looks on."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Self

import psycopg
from psycopg.types.json import Jsonb
from scrapy import signals

from vinops.db.database import DatabaseError, queries
from vinops.logs import pairs
from vinops_scrapy import closing as alerting
from vinops_scrapy.shared import motion, pool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrapy import Spider
    from scrapy.crawler import Crawler

    from vinops_scrapy.runs import Standing

log = logging.getLogger("crawl")

SECONDS = 3.0
REFUSAL = "refusal/"


class Progress:
    """Writes how far a crawl is every few seconds, and once more at its end, whatever the end.

    The heartbeat tells that something moves, see motion.py: that of a crawl that stands still stops, and its leases run
    out, as if it had been killed. A killed process leaves a row without an end whose heartbeat has stopped.
    """

    def __init__(self, crawler: Crawler) -> None:
        """Follow the crawl by its signals."""
        self._crawler = crawler
        self._queries = queries("crawls")
        self._began = 0.0
        self._run_id: int | None = None
        self._beating: asyncio.Task[None] | None = None
        self._stands_still = False
        crawler.signals.connect(self._opened, signals.spider_opened)
        crawler.signals.connect(self._closed, signals.spider_closed)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make the extension for a crawl."""
        return cls(crawler)

    async def _opened(self, spider: Spider) -> None:
        self._began = time.monotonic()
        await pool(self._crawler).open()
        async with pool(self._crawler).connection() as connection:
            cursor = await connection.execute(
                self._queries["begin_run"],
                {
                    "spider": spider.name,
                    "worker": getattr(spider, "worker", None),
                    "machine": socket.gethostname(),
                    "pid": os.getpid(),
                    "arguments": Jsonb(getattr(spider, "arguments", {})),
                    "unit": getattr(spider, "unit", "item"),
                },
            )
            row = await cursor.fetchone()
        self._run_id = row[0] if row else None
        self._beating = asyncio.ensure_future(self._beat_on(spider))

    async def _closed(self, spider: Spider, reason: str) -> None:
        if self._beating:
            self._beating.cancel()
        if self._run_id is not None:
            try:
                await self._beat(spider, reason)
            except (psycopg.Error, DatabaseError) as error:
                log.warning("the end of the run cannot be recorded %s", pairs(error=" ".join(str(error).split())))
        if sys.stderr.isatty():
            sys.stderr.write("\r\033[K")

    async def _beat_on(self, spider: Spider) -> None:
        while True:
            await asyncio.sleep(SECONDS)
            try:
                await self._beat(spider, None)
                work = getattr(spider, "work", None)
                if work is not None and not self._stands_still:
                    await work.renew()
            except psycopg.Error as error:  # the connection broke: the next beat has another
                log.warning("no heartbeat %s", pairs(error=" ".join(str(error).split())))
            except DatabaseError as error:
                alerting.lost(self._crawler, error)
                return
            if sys.stderr.isatty():
                sys.stderr.write("\r\033[K" + line(self.values(spider), spider))
                sys.stderr.flush()

    async def _beat(self, spider: Spider, reason: str | None) -> None:
        stats: dict[str, Any] = self._crawler.stats.get_stats()
        values = self.values(spider)
        self._look(spider)
        async with pool(self._crawler).connection() as connection:
            await connection.execute(
                self._queries["beat"],
                {
                    **values,
                    "id": self._run_id,
                    "reason": reason,
                    "is_moving": not self._stands_still or reason is not None,
                    "stats": Jsonb(
                        {name: value for name, value in stats.items() if isinstance(value, (int, float, str))}
                    ),
                },
            )

    def _look(self, spider: Spider) -> None:
        """See whether anything moves, and say it where that has changed."""
        standing: Standing = spider.standing()  # type: ignore[attr-defined] # all of ours have it
        seconds = motion(self._crawler).still(standing, self._crawler.stats.get_stats())
        if seconds and not self._stands_still:
            self._crawler.stats.inc_value("run/stood_still")
            log.error("nothing moves: the heartbeat stops %s", pairs(seconds=round(seconds), at=standing.current_item))
        elif self._stands_still and not seconds:
            log.info("the crawl moves again")
        self._stands_still = seconds > 0

    def values(self, spider: Spider) -> dict[str, Any]:
        """Return how far the crawl is, as `beat` in sql/queries/crawls.sql takes it."""
        stats: Mapping[str, Any] = self._crawler.stats.get_stats()
        standing: Standing = spider.standing()  # type: ignore[attr-defined] # all of ours have it
        seconds = time.monotonic() - self._began
        done, total = standing.done, standing.total
        return {
            **asdict(standing),
            "last_items": Jsonb(list(standing.last_items)),
            "refusals": sum(value for name, value in stats.items() if name.startswith(REFUSAL)),
            "items_per_minute": 60 * standing.items / seconds if seconds > 0 else None,
            "seconds_left": max(total - done, 0) * seconds / done if total and done else None,
        }


def line(values: Mapping[str, Any], spider: Spider) -> str:
    """Return the bar."""
    unit, item = getattr(spider, "unit", "request"), getattr(spider, "item", "item")
    done, total = values["done"], values["total"] or 0
    width = 30
    filled = int(width * done / total) if total else 0
    left = f"{values['seconds_left'] / 60:.0f} min left" if values["seconds_left"] else ""
    return f"[{'#' * filled}{'.' * (width - filled)}] {done} of {total} {unit}s  {values['items']} {item}s  {left}"
