"""Downloader middleware: when a request may be sent."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import psycopg

from vinops import politeness
from vinops.db.database import DatabaseError
from vinops.db.errors import is_collision, is_lost
from vinops.logs import pairs
from vinops.politeness import BreakerOpen, DailyCapReached
from vinops_scrapy import closing
from vinops_scrapy.failures import Stopped
from vinops_scrapy.hosts import netloc
from vinops_scrapy.shared import Component, budgets, departures

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler

log = logging.getLogger("politeness")

RESERVATIONS = 5  # attempts: a server that restarts breaks each of a crawl's four connections once
LONGEST_WAIT = 300.0  # seconds: a host that asks for more ends the crawl
SPARE = 0.01
"""The part of a gap that is added to it. From its place in the budget a request takes some milliseconds to the wire, 20
to 30 if it is the first of its process or the machine is busy (2026-11-25), and crawls do not know this of each other:
the gap must hold at the host all the same."""


class Budget(Component):
    """Holds each request until its host's budget has room: one budget for all crawls on all machines."""

    def __init__(self, crawler: Crawler) -> None:
        """Take the gaps from the pace of the crawl."""
        super().__init__(crawler)
        self._pace = politeness.pace(
            crawler.settings["VINOPS_PACE"], speed=crawler.settings.getfloat("VINOPS_CLOCK_SPEED")
        )

    async def process_request(self, request: Request) -> None:
        """Return when the request may be sent. Raises Stopped if it may not today."""
        gap = self._pace.image_gap if request.meta.get("expects") == "image" else self._pace.page_gap
        await wait(self._crawler, netloc(request.url), gap)


async def wait(crawler: Crawler, host: str, gap: float) -> None:
    """Reserve the next place in a host's budget and wait for it.

    Raises Stopped, and ends the crawl, if there is none: the breaker is open, the day's requests are used up, the host
    asks for a long wait, or the database is unavailable.
    """
    stats = crawler.stats
    try:
        seconds = await _reserve(crawler, host, gap * (1 + SPARE))
    except DatabaseError as error:
        closing.lost(crawler, error)
        raise Stopped("no_database", host) from None
    except BreakerOpen as breaker:
        stats.inc_value("breaker/open")
        log.warning("not asked: the breaker is open %s", pairs(host=host, kind=breaker.kind, until=breaker.until))
        raise _closed(crawler, "blocked", host) from None
    except DailyCapReached as cap:
        stats.inc_value("budget/daily_cap")
        log.warning("not asked: the requests of this day are used up %s", pairs(host=host, requests=cap.cap))
        raise _closed(crawler, "daily_cap", host) from None
    if seconds > max(LONGEST_WAIT, 2 * gap):
        stats.inc_value("budget/postponed")
        log.warning("not asked: the host asked for a pause %s", pairs(host=host, seconds=round(seconds)))
        raise _closed(crawler, "postponed", host)
    if gap > 0 or seconds > 0:
        waited = await departures(crawler).leave(host, seconds, gap)
        stats.set_value("budget/waited_seconds", stats.get_value("budget/waited_seconds", 0.0) + waited)


def _closed(crawler: Crawler, reason: str, host: str) -> Stopped:
    """Close the spider, and return what to raise."""
    closing.close(crawler, reason)
    return Stopped(reason, host)


async def _reserve(crawler: Crawler, host: str, gap: float) -> float:
    """Reserve a place, again if the connection broke: that leaves at most one place unused. Raises DatabaseError if no
    connection is to be had, or each of them breaks."""
    for _ in range(RESERVATIONS):
        try:
            return await budgets(crawler).reserve(host, gap)
        except psycopg.Error as error:
            said = closing.one_line(error)
            if not (is_lost(error) or is_collision(error)):
                raise DatabaseError(f"no place in the budget of {host} can be reserved: {said}") from None
            crawler.stats.inc_value("database/broken")
            log.warning("no place in the budget could be reserved %s", pairs(error=said))
    raise DatabaseError(f"{RESERVATIONS} times in a row no place in the budget of {host} could be reserved: {said}")
