"""Downloader middlewares: which hosts may be asked, what a refusal is, and when a request may go out.

settings.py says in which order they stand and why.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

import psycopg
from scrapy.exceptions import IgnoreRequest

from vinops import politeness
from vinops.db.database import DatabaseError
from vinops.db.errors import is_collision, is_lost
from vinops.logs import pairs
from vinops.politeness import BreakerOpen, DailyCapReached
from vinops_scrapy import closing as alerting
from vinops_scrapy.hosts import hosts_of_crawl, netloc
from vinops_scrapy.pages.refusals import AT_ONCE, refusal
from vinops_scrapy.resolver import allowed
from vinops_scrapy.shared import budgets, departures

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response

log = logging.getLogger("politeness")

RESERVATIONS = 5  # tries: a server that restarts breaks each of a crawl's four connections once
LONGEST_WAIT = 300.0  # seconds: a host that wants more gets the crawl's end instead
SPARE = 0.01
"""The part of a gap by which places are further apart than it. From its place a request takes some milliseconds to the
wire, 20 to 30 if it is the first of its process or the machine is busy (2026-11-25), and two crawls do not know this of
each other: the gap is to hold at the host all the same."""


class Ignored(IgnoreRequest):
    """A request that is not made, or an answer that does not count. `reason` is a name from docs/runbook.md."""

    def __init__(self, reason: str, detail: str = "") -> None:
        """Say why."""
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class HostNotAllowed(Ignored):
    """The address is not on the list of hosts."""


class Refused(Ignored):
    """The host refused. The lot goes back, nothing is known of it."""


class Stopped(Ignored):
    """The crawl is about to end: the request is not made."""


class AllowedHosts:
    """Lets only listed hosts be asked: every request passes here, and every hop of a redirect."""

    def __init__(self, crawler: Crawler) -> None:
        """Take the list from the spider."""
        self._crawler = crawler
        self._hosts = hosts_of_crawl(crawler)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make the middleware for a crawl."""
        return cls(crawler)

    def process_request(self, request: Request) -> None:
        """Raise HostNotAllowed for an address that is not to be asked."""
        reason = allowed(request.url, self._hosts)
        if reason is not None:
            self._crawler.stats.inc_value(f"host/not_allowed/{reason}")
            raise HostNotAllowed(f"host_{reason}", netloc(request.url))
        request.meta.setdefault("download_slot", netloc(request.url))


class Refusals:
    """Tells a refusal from an answer, counts it over all crawls, and ends this one when the breaker opens."""

    def __init__(self, crawler: Crawler) -> None:
        """Share the budgets of the crawl."""
        self._crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make the middleware for a crawl."""
        return cls(crawler)

    async def process_response(self, request: Request, response: Response) -> Response:
        """Return the answer. Raises Refused if it is none."""
        kind = refusal(response, expects=request.meta.get("expects", "page"))
        host = netloc(request.url)
        shared = budgets(self._crawler)
        if kind is None:
            if response.status < 400 and await shared.succeeded(host):
                await alerting.over(host)
            return response
        if kind == "login_wall" and request.meta.get("may_have_ended"):
            return response
        self._crawler.stats.inc_value(f"refusal/{kind}")
        log.warning("refused %s", pairs(kind=kind, status=response.status, host=host))
        if (seconds := retry_after(response)) is not None:
            self._crawler.stats.inc_value("refusal/retry_after")
            await shared.postpone(host, seconds)
        until = await shared.refused(host, kind, at_once=kind in AT_ONCE)
        if until is not None:
            self._crawler.stats.set_value("breaker/opened", host)
            await alerting.end(
                self._crawler,
                "blocked",
                host,
                f"{host} refuses ({kind}): nobody asks it until {until:%Y-%m-%d %H:%M} UTC. Look at it in a browser "
                "as a member would; the breaker stands in ops.host_budgets",
            )
        raise Refused(kind, host)


class Budget:
    """Holds each request until its host's budget has room: one budget for all crawls on all machines."""

    def __init__(self, crawler: Crawler) -> None:
        """Share the budgets of the crawl; the gaps are those of its pace."""
        self._crawler = crawler
        self._pace = politeness.pace(
            crawler.settings["VINOPS_PACE"], speed=crawler.settings.getfloat("VINOPS_CLOCK_SPEED")
        )

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make the middleware for a crawl."""
        return cls(crawler)

    async def process_request(self, request: Request) -> None:
        """Return when the request may go out. Raises Stopped if it may not today."""
        host = netloc(request.url)
        gap = self._pace.image_gap if request.meta.get("expects") == "image" else self._pace.page_gap
        await wait(self._crawler, host, gap)


async def wait(crawler: Crawler, host: str, gap: float) -> None:
    """Reserve the next place in a host's budget and wait for it. Raises Stopped, and ends the crawl, if there is
    none: the breaker is open, the day's requests are used up, the host wants to be left alone for long, or the database
    is lost."""
    stats = crawler.stats
    try:
        seconds = await _reserve(crawler, host, gap * (1 + SPARE))
    except DatabaseError as error:
        alerting.lost(crawler, error)
        raise Stopped("no_database", host) from None
    except BreakerOpen as breaker:
        stats.inc_value("breaker/open")
        log.warning("not asked: the breaker is open %s", pairs(host=host, kind=breaker.kind, until=breaker.until))
        alerting.close(crawler, "blocked")
        raise Stopped("blocked", host) from None
    except DailyCapReached as cap:
        stats.inc_value("budget/daily_cap")
        log.warning("not asked: the requests of this day are used up %s", pairs(host=host, requests=cap.cap))
        alerting.close(crawler, "daily_cap")
        raise Stopped("daily_cap", host) from None
    if seconds > max(LONGEST_WAIT, 2 * gap):
        stats.inc_value("budget/postponed")
        log.warning("not asked: the host wants to be left alone %s", pairs(host=host, seconds=round(seconds)))
        alerting.close(crawler, "postponed")
        raise Stopped("postponed", host)
    if gap > 0 or seconds > 0:
        waited = await departures(crawler).leave(host, seconds, gap)
        stats.set_value("budget/waited_seconds", stats.get_value("budget/waited_seconds", 0.0) + waited)


async def _reserve(crawler: Crawler, host: str, gap: float) -> float:
    """Reserve, again if the connection broke meanwhile: that costs a place unused at the most. Raises DatabaseError
    where no connection is to be had, or each of them breaks."""
    for _ in range(RESERVATIONS):
        try:
            return await budgets(crawler).reserve(host, gap)
        except psycopg.Error as error:
            said = " ".join(str(error).split())
            if not (is_lost(error) or is_collision(error)):
                raise DatabaseError(f"no place in the budget of {host} can be reserved: {said}") from None
            crawler.stats.inc_value("database/broken")
            log.warning("no place in the budget could be reserved %s", pairs(error=said))
    raise DatabaseError(f"{RESERVATIONS} times in a row no place in the budget of {host} could be reserved: {said}")


def retry_after(response: Response) -> float | None:
    """Return the seconds that a Retry-After header asks for, or None."""
    value: Any = response.headers.get("Retry-After")
    return politeness.retry_after(value.decode("latin-1") if value else None, datetime.now(UTC))
