"""Progress: a run's heartbeat in ops.crawl_runs, and a progress bar on a terminal."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.types.json import Jsonb
from scrapy import signals

from vinops.db.database import DatabaseError, queries
from vinops.db.errors import tried
from vinops.logs import pairs
from vinops_scrapy import closing
from vinops_scrapy.shared import Component, motion, pool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrapy.crawler import Crawler

    from vinops_scrapy.spiders.base import BaseSpider

log = logging.getLogger("crawl")

SECONDS = 3.0
REFUSAL = "refusal/"


class Progress(Component):
    """Records how far a crawl is every few seconds, and once more at its end.

    The heartbeat says that the crawl progresses, see motion.py: it stops when the crawl hangs. A killed process leaves
    a row without an end whose heartbeat has stopped.
    """

    def __init__(self, crawler: Crawler) -> None:
        """Follow the crawl by its signals."""
        super().__init__(crawler)
        self._queries = queries("crawls")
        self._began = 0.0
        self._run_id: int | None = None
        self._beating: asyncio.Task[None] | None = None
        self._stands_still = False
        crawler.signals.connect(self._opened, signals.spider_opened)
        crawler.signals.connect(self._closed, signals.spider_closed)

    async def _opened(self, spider: BaseSpider) -> None:
        self._began = time.monotonic()
        await pool(self._crawler).open()
        about = {
            "spider": spider.name,
            "worker": spider.worker,
            "machine": socket.gethostname(),
            "pid": os.getpid(),
            "arguments": Jsonb(spider.arguments),
            "unit": spider.unit,
        }

        async def begin() -> Any:
            async with pool(self._crawler).connection() as connection:
                return await (await connection.execute(self._queries["begin_run"], about)).fetchone()

        row = await tried(begin)
        self._run_id = row[0] if row else None
        self._beating = asyncio.ensure_future(self._beat_on(spider))

    async def _closed(self, spider: BaseSpider, reason: str) -> None:
        if self._beating:
            self._beating.cancel()
        if self._run_id is not None:
            try:
                await self._beat(spider, reason)
            except (psycopg.Error, DatabaseError) as error:
                log.warning("the end of the run cannot be recorded %s", pairs(error=closing.one_line(error)))
        if sys.stderr.isatty():
            sys.stderr.write("\r\033[K")

    async def _beat_on(self, spider: BaseSpider) -> None:
        while True:
            await asyncio.sleep(SECONDS)
            try:
                await self._beat(spider, None)
            except psycopg.Error as error:  # the connection broke: the next beat has another
                log.warning("no heartbeat %s", pairs(error=closing.one_line(error)))
            except DatabaseError as error:
                closing.lost(self._crawler, error)
                return
            if sys.stderr.isatty():
                sys.stderr.write("\r\033[K" + line(self.values(spider), spider))
                sys.stderr.flush()

    async def _beat(self, spider: BaseSpider, reason: str | None) -> None:
        stats: dict[str, Any] = self._crawler.stats.get_stats()
        values = self.values(spider)
        self._check_motion(spider)
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

    def _check_motion(self, spider: BaseSpider) -> None:
        """Check whether the crawl progresses, and log a change."""
        progress = spider.progress()
        seconds = motion(self._crawler).still(progress, self._crawler.stats.get_stats())
        if seconds and not self._stands_still:
            self._crawler.stats.inc_value("run/stood_still")
            log.error("nothing moves: the heartbeat stops %s", pairs(seconds=round(seconds), at=progress.current_item))
        elif self._stands_still and not seconds:
            log.info("the crawl moves again")
        self._stands_still = seconds > 0

    def values(self, spider: BaseSpider) -> dict[str, Any]:
        """Return how far the crawl is, as `beat` in sql/queries/crawls.sql takes it."""
        stats: Mapping[str, Any] = self._crawler.stats.get_stats()
        progress = spider.progress()
        seconds = time.monotonic() - self._began
        done, total = progress.done, progress.total
        return {
            **asdict(progress),
            "last_items": Jsonb(list(progress.last_items)),
            "refusals": sum(value for name, value in stats.items() if name.startswith(REFUSAL)),
            "items_per_minute": 60 * progress.items / seconds if seconds > 0 else None,
            "seconds_left": max(total - done, 0) * seconds / done if total and done else None,
        }


def line(values: Mapping[str, Any], spider: BaseSpider) -> str:
    """Return the progress bar."""
    done, total = values["done"], values["total"] or 0
    width = 30
    filled = int(width * done / total) if total else 0
    left = f"{values['seconds_left'] / 60:.0f} min left" if values["seconds_left"] else ""
    bar = f"{'#' * filled}{'.' * (width - filled)}"
    return f"[{bar}] {done} of {total} {spider.unit}s  {values['items']} {spider.item}s  {left}"
