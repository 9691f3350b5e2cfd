"""Ending a crawl for a reason that the owner is told: once, in the log and by Telegram if that is set up."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING
from weakref import WeakSet

from vinops import alerts, config
from vinops.db import database
from vinops.logs import pairs
from vinops_scrapy.shared import pool

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from scrapy.crawler import Crawler

log = logging.getLogger("crawl")

SOON = 1.0  # seconds: how long the end of a crawl waits for each connection to a database that was lost

_ended: WeakSet[Crawler] = WeakSet()
_ends: set[asyncio.Task[None]] = set()  # a task that nobody holds may be collected before it has run


async def end(crawler: Crawler, reason: str, subject: str, message: str) -> None:
    """Raise an alert and close the spider with that reason; once, however many answers ask for it."""
    if crawler in _ended:
        return
    _ended.add(crawler)
    await asyncio.to_thread(_raise, reason, subject, message)
    close(crawler, reason)


def close(crawler: Crawler, reason: str) -> None:
    """Close the spider. Returns at once: closing waits for what is under way, and so for whoever calls this."""
    engine = crawler.engine
    if engine.spider is not None:
        # start() goes on while the engine closes: it must not take more work.
        stop: Callable[[], None] = getattr(engine.spider, "stop", lambda: None)
        stop()
        task = asyncio.ensure_future(engine.close_spider_async(reason=reason))
        _ends.add(task)
        task.add_done_callback(_ends.discard)


def lost(crawler: Crawler, error: Exception) -> None:
    """Close the spider because there is no connection to the database any more; once. Only the log is told: alerts
    stand in the database. Leases that cannot be given back run out by themselves."""
    if crawler in _ended:
        return
    _ended.add(crawler)
    crawler.stats.inc_value("database/lost")
    log.error("the database is lost: the run ends %s", pairs(error=" ".join(str(error).split())))
    pool(crawler).timeout = SOON
    close(crawler, "no_database")


async def over(subject: str, kind: str = "blocked") -> None:
    """Note that what an alert told of has passed."""

    def clear() -> None:
        with database.connect(config.load(), application="scrapy alerts", autocommit=True) as connection:
            alerts.clear_alert(connection, kind, subject)

    await asyncio.to_thread(clear)


async def tell(kind: str, messages: Mapping[str, str], *, over: Collection[str]) -> None:
    """Raise an alert of that kind for each subject that has a message, and clear those that are `over`. Raises
    DatabaseError, and psycopg's errors if the connection breaks."""

    def write() -> None:
        settings = config.load()
        with database.connect(settings, application="scrapy alerts", autocommit=True) as connection:
            for subject in over:
                alerts.clear_alert(connection, kind, subject)
            raised = [alerts.raise_alert(connection, settings, kind, *each) for each in messages.items()]
            if any(raised):
                alerts.deliver(connection, settings)

    if messages or over:
        await asyncio.to_thread(write)


def _raise(kind: str, subject: str, message: str) -> None:
    settings = config.load()
    with database.connect(settings, application="scrapy alerts", autocommit=True) as connection:
        if alerts.raise_alert(connection, settings, kind, subject, message):
            alerts.deliver(connection, settings)
