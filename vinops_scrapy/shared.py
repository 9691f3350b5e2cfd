"""What the parts of one crawl share: database connections, host budgets, and whether the crawl progresses."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from weakref import WeakKeyDictionary

import psycopg
from scrapy import signals

from vinops import config
from vinops.db import database
from vinops.db.errors import GRANTS, DatabaseError, explanation
from vinops.politeness import Budgets, Departures, pace
from vinops.redaction import one_line
from vinops_scrapy.motion import Motion

if TYPE_CHECKING:
    from collections.abc import Iterable

    from psycopg_pool import AsyncConnectionPool
    from scrapy.crawler import Crawler

    from vinops.config import Settings

T = TypeVar("T")

CONNECTIONS: Final = 4


class Component:
    """Base of middlewares, pipelines and extensions that need nothing but their crawler."""

    def __init__(self, crawler: Crawler) -> None:
        """Keep the crawler."""
        self._crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make the component for a crawl."""
        return cls(crawler)


def per_crawl(make: Callable[[Crawler], T]) -> Callable[[Crawler], T]:
    """Decorate a function so that it makes its result once for each crawl, for all parts of the crawl."""
    made: WeakKeyDictionary[Crawler, T] = WeakKeyDictionary()

    @wraps(make)
    def shared(crawler: Crawler) -> T:
        if crawler not in made:
            made[crawler] = make(crawler)
        return made[crawler]

    return shared


@per_crawl
def pool(crawler: Crawler) -> AsyncConnectionPool[Any]:
    """Return the database connections of a crawl, not opened yet; they close when the engine stops.

    Raises DatabaseError if there is no database.
    """
    name = crawler.spidercls.name or "spider"
    found = database.async_pool(config.load(), application=f"scrapy {name}", size=CONNECTIONS)
    crawler.signals.connect(found.close, signals.engine_stopped, weak=False)
    return found


@per_crawl
def budgets(crawler: Crawler) -> Budgets:
    """Return the request budgets of the hosts, with the limits of this crawl."""
    most = crawler.settings["VINOPS_DAILY_REQUESTS"]
    return Budgets(
        pool(crawler),
        daily=pace(crawler.settings["VINOPS_PACE"]).daily_cap(None if most is None else int(most)),
        refusals=crawler.settings.getint("VINOPS_BREAKER_REFUSALS"),
        open_seconds=config.load().breaker_seconds,
    )


@per_crawl
def departures(crawler: Crawler) -> Departures:
    """Return when this crawl last sent a request to each host."""
    return Departures(rest=motion(crawler).rest)


@per_crawl
def motion(crawler: Crawler) -> Motion:
    """Return the progress check of this crawl."""
    return Motion(still_seconds=crawler.settings.getfloat("VINOPS_STILL_SECONDS"))


def require_rights(settings: Settings, tables: Iterable[str]) -> None:
    """Raise DatabaseError unless the role of this crawl may read, insert into and update these tables."""
    with database.connect(settings, application="scrapy rights", autocommit=True) as connection:
        try:
            row = connection.execute(database.queries("crawls")["lacking_right"], {"tables": list(tables)}).fetchone()
        except psycopg.Error as error:
            raise DatabaseError(one_line(explanation(error))) from None
    if row is not None:
        raise DatabaseError(f"{row[2]} may not {row[1]} on {row[0]}: {GRANTS}")


@cache
def owner() -> str:
    """Return the name under which this process holds leases, unlike that of any other: machine, process and start."""
    return f"{socket.gethostname()}:{os.getpid()}:{time.time_ns()}"
