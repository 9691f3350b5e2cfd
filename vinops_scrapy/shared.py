"""What the parts of one crawl share: its connections to the database, the budgets of the hosts, when each was last
asked, and whether anything moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from scrapy import signals

from vinops import config
from vinops.db import database
from vinops.politeness import Budgets, Departures
from vinops_scrapy.motion import Motion

if TYPE_CHECKING:
    from psycopg_pool import AsyncConnectionPool
    from scrapy.crawler import Crawler

CONNECTIONS = 4


_pools: WeakKeyDictionary[Crawler, AsyncConnectionPool[Any]] = WeakKeyDictionary()
_departures: WeakKeyDictionary[Crawler, Departures] = WeakKeyDictionary()
_budgets: WeakKeyDictionary[Crawler, Budgets] = WeakKeyDictionary()
_motions: WeakKeyDictionary[Crawler, Motion] = WeakKeyDictionary()


def pool(crawler: Crawler) -> AsyncConnectionPool[Any]:
    """Return the connections of a crawl, to be opened by whoever hears of the spider first; closed when the engine
    has stopped. Raises DatabaseError if there is no database to be had."""
    if crawler not in _pools:
        name = crawler.spidercls.name or "spider"
        found = _pools[crawler] = database.async_pool(config.load(), application=f"scrapy {name}", size=CONNECTIONS)
        crawler.signals.connect(found.close, signals.engine_stopped, weak=False)
    return _pools[crawler]


def budgets(crawler: Crawler) -> Budgets:
    """Return the budgets of the hosts, as this crawl asks for them."""
    if crawler not in _budgets:
        settings = config.load()
        _budgets[crawler] = Budgets(
            pool(crawler),
            daily=crawler.settings.getint("VINOPS_DAILY_REQUESTS"),
            refusals=crawler.settings.getint("VINOPS_BREAKER_REFUSALS"),
            open_seconds=settings.breaker_seconds,
        )
    return _budgets[crawler]


def departures(crawler: Crawler) -> Departures:
    """Return when this crawl last asked each host."""
    if crawler not in _departures:
        _departures[crawler] = Departures(rest=motion(crawler).rest)
    return _departures[crawler]


def motion(crawler: Crawler) -> Motion:
    """Return whether anything moves in this crawl."""
    if crawler not in _motions:
        _motions[crawler] = Motion(still_seconds=crawler.settings.getfloat("VINOPS_STILL_SECONDS"))
    return _motions[crawler]
