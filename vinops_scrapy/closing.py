"""Ending a crawl early, and alerting the owner to the reason: in the log, and by Telegram if that is set up."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING
from weakref import WeakSet

import psycopg

from vinops import alerts, config
from vinops.db import database
from vinops.db.database import DatabaseError
from vinops.db.errors import explain, fix_of, is_passing
from vinops.logs import pairs
from vinops_scrapy.shared import pool

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from scrapy.crawler import Crawler

log = logging.getLogger("crawl")

SOON = 1.0  # seconds that the end of a crawl waits for each connection to a database that was lost

_ended: WeakSet[Crawler] = WeakSet()
_ends: set[asyncio.Task[None]] = set()  # a task without a reference may be collected before it has run


async def end(crawler: Crawler, reason: str, subject: str, message: str) -> None:
    """Raise an alert of kind `reason` and close the spider with that reason; only the first call of a crawl counts."""
    if crawler not in _ended:
        _ended.add(crawler)
        try:
            await tell(reason, {subject: message})
        except (psycopg.Error, DatabaseError) as error:
            log.error("%s; the owner cannot be alerted %s", message, pairs(error=one_line(error)))
        close(crawler, reason)


def close(crawler: Crawler, reason: str) -> None:
    """Close the spider. Returns at once: closing waits for whatever is in progress, the caller included."""
    engine = crawler.engine
    if engine.spider is not None:
        # start() goes on while the engine closes: it must not take more work.
        stop: Callable[[], None] = getattr(engine.spider, "stop", lambda: None)
        stop()
        task = asyncio.ensure_future(engine.close_spider_async(reason=reason))
        _ends.add(task)
        task.add_done_callback(_ends.discard)


def lost(crawler: Crawler, error: Exception) -> None:
    """Close the spider because the database is unavailable; only the first call of a crawl counts.

    Written to the log only: alerts are rows in the database. Leases that cannot be released expire.
    """
    if crawler in _ended:
        return
    _ended.add(crawler)
    crawler.stats.inc_value("database/lost")
    said = explain(error, config.load()) if isinstance(error, psycopg.Error) else one_line(error)
    log.error("the database is lost: the run ends %s", pairs(error=said))
    pool(crawler).timeout = SOON
    close(crawler, "no_database")


class IfDatabaseIsLost:
    """Context manager: closes the spider, instead of raising, when the database becomes unavailable in its block, or
    refuses what only an operator can allow."""

    def __init__(self, crawler: Crawler) -> None:
        """Keep the crawler."""
        self._crawler = crawler

    def __enter__(self) -> None:
        """Begin the block."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> bool:
        """Suppress the errors that an operator fixes."""
        if not isinstance(error, (psycopg.Error, DatabaseError)) or not (is_passing(error) or fix_of(error)):
            return False
        lost(self._crawler, error)
        return True


async def tell(kind: str, messages: Mapping[str, str], *, over: Collection[str] = ()) -> None:
    """Raise an alert of that kind for each subject with a message, and clear those of the subjects in `over`.

    Raises DatabaseError, and psycopg's errors if the connection breaks.
    """

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


def one_line(error: BaseException) -> str:
    """Return the message of an error on one line."""
    return " ".join(str(error).split())
