"""What a crawl writes of ads that somebody else has in hand at the same moment."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from scrapy.statscollectors import StatsCollector
from scrapy.utils.test import get_crawler

from tests.crash.world import wait_until
from vinops.db import database as db
from vinops_scrapy.items import Listing, ListPage
from vinops_scrapy.listings.records import Listings
from vinops_scrapy.mobile_bg.makes import Make
from vinops_scrapy.mobile_bg.schedule import Removal, Schedule
from vinops_scrapy.mobile_bg.walks import Walk

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    import pytest
    from psycopg import AsyncConnection, Connection
    from psycopg.rows import TupleRow
    from psycopg_pool import AsyncConnectionPool

    from vinops.config import Settings

ADS = ("101", "102")
HAND = "select from listings where ad_id = %s for update"
WAITING = "select from pg_locks where not granted"


def ad(ad_id: str, title: str = "") -> Listing:
    return Listing(source="mobile_bg", ad_id=ad_id, url="", title=title, posted_at=datetime(2026, 1, 1, tzinfo=UTC))


def collide(
    settings: Settings, other: Connection[TupleRow], work: Callable[[AsyncConnectionPool[Any]], Awaitable[Any]]
) -> Any:
    """Record two ads, and do something with them that comes to a deadlock with another session, which lives."""

    def take_the_rest() -> None:
        wait_until(lambda: len(other.execute(WAITING).fetchall()) == 1)
        other.execute(HAND, [ADS[0]])
        other.commit()

    async def main() -> Any:
        async with db.async_pool(settings, application="crawler") as pool:
            await Listings(pool, "mobile_bg").record([("kia", ad(ad_id)) for ad_id in ADS])
            other.execute("set deadlock_timeout = '1min'")  # who waits longer than its own dies: not this one
            other.execute(HAND, [ADS[1]])
            rest = asyncio.create_task(asyncio.to_thread(take_the_rest))
            done = await work(pool)
            await rest
            return done

    return asyncio.run(main())


def schedule_of(pool: AsyncConnectionPool[Any]) -> Schedule:
    return Schedule(pool, StatsCollector(get_crawler()), "mobile_bg", shrink_limit=1)


def count(monkeypatch: pytest.MonkeyPatch, owner: type[Any], name: str) -> list[object]:
    """Note each call of a method."""
    calls: list[object] = []
    method = getattr(owner, name)

    async def counted(self: Any, connection: AsyncConnection[Any], *arguments: Any) -> Any:
        calls.append(arguments)
        return await method(self, connection, *arguments)

    monkeypatch.setattr(owner, name, counted)
    return calls


def test_a_walk_that_meets_others_at_its_end_comes_to_it(
    settings: Settings, database: Connection[TupleRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = count(monkeypatch, Schedule, "_remove")

    async def end(pool: AsyncConnectionPool[Any]) -> Removal:
        schedule = schedule_of(pool)
        number, started_at = await schedule.begin_walk("kia")
        make = Make(slug="kia", name="Kia")
        walk = Walk(make, number=number, started_at=started_at, page_limit=2, page_size=20)
        walk.take(walk.first(), ListPage(listings=(), next_url=None, total=0))
        assert walk.is_complete
        return await schedule.end_walk(walk)

    with db.connect(settings, application="other") as other:
        assert collide(settings, other, end) == Removal(gone=2)
    assert len(tries) == 2
    assert database.execute("select ad_id from listings where removed_at is null").fetchall() == []
    assert database.execute("select ads_gone from ops.listing_walks where is_complete").fetchall() == [(2,)]


def test_a_page_whose_ads_others_have_in_hand_is_recorded(
    settings: Settings, database: Connection[TupleRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def record(pool: AsyncConnectionPool[Any]) -> Sequence[object]:
        tries = count(monkeypatch, Listings, "_record")
        recorded = await Listings(pool, "mobile_bg").record([("kia", ad(ad_id, "another")) for ad_id in ADS])
        assert recorded.changed == 2
        return tries

    with db.connect(settings, application="other") as other:
        assert len(collide(settings, other, record)) == 2
    assert database.execute("select distinct title from listings").fetchall() == [("another",)]


def test_a_walk_that_did_not_come_to_its_end_takes_nothing_for_gone(
    settings: Settings, database: Connection[TupleRow]
) -> None:
    async def main() -> Removal:
        async with db.async_pool(settings, application="crawler") as pool:
            await Listings(pool, "mobile_bg").record([("kia", ad(ad_id)) for ad_id in ADS])
            database.execute(
                "insert into ops.listing_walks (source, make_slug, finished_at, is_complete)"
                " values ('mobile_bg', 'kia', now(), true)"
            )  # which did not see them either
            schedule = schedule_of(pool)
            number, started_at = await schedule.begin_walk("kia")
            make = Make(slug="kia", name="Kia")
            return await schedule.end_walk(Walk(make, number=number, started_at=started_at, page_limit=2, page_size=20))

    assert asyncio.run(main()) == Removal()
    assert database.execute("select ad_id from listings where removed_at is not null").fetchall() == []
