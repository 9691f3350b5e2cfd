"""What a crawl writes of ads that somebody else has in hand at the same moment."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from scrapy.statscollectors import StatsCollector
from scrapy.utils.test import get_crawler

from tests.crash.world import wait_until
from vinops.db import database as db
from vinops_scrapy.items import Listing, ListPage
from vinops_scrapy.listings.records import ClaimLost, Listings
from vinops_scrapy.mobile_bg.makes import Make, Makes, read_makes
from vinops_scrapy.mobile_bg.pieces import Piece
from vinops_scrapy.mobile_bg.schedule import Removal, Schedule
from vinops_scrapy.mobile_bg.walks import Step, Walk

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from psycopg import AsyncConnection, Connection
    from psycopg.rows import TupleRow
    from psycopg_pool import AsyncConnectionPool

    from vinops.config import Settings

ADS = ("101", "102")
BOOK = Makes(region=None, sort=6, page_limit=2, page_size=20, workers={})
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


def schedule_of(pool: AsyncConnectionPool[Any], owner: str = "this crawl", claim_seconds: float = 60) -> Schedule:
    stats = StatsCollector(get_crawler())
    return Schedule(pool, stats, "mobile_bg", owner=owner, shrink_limit=1, claim_seconds=claim_seconds)


async def begun(schedule: Schedule, make: str = "kia", pages: int | None = None) -> Walk | None:
    """Begin or continue a walk of a make; None if another crawl has claimed it."""
    return await schedule.begin(Make(slug=make, name=make), BOOK, pages=pages)


async def walk_of(schedule: Schedule, make: str = "kia") -> Walk:
    """Begin a walk of a make without ads and read it to its end."""
    walk = await begun(schedule, make) or pytest.fail("it is claimed")
    walk.take(walk.first() or pytest.fail("it has ended"), ListPage(listings=(), next_url=None, total=0), {})
    assert walk.is_complete
    return walk


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
        return await schedule.end_walk(await walk_of(schedule))

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
            return await schedule.end_walk(await begun(schedule) or pytest.fail("it is claimed"))

    assert asyncio.run(main()) == Removal()
    assert database.execute("select ad_id from listings where removed_at is not null").fetchall() == []


def crawl(settings: Settings, work: Callable[[AsyncConnectionPool[Any]], Awaitable[Any]]) -> Any:
    """Return what `work` returns with the connections of a crawl."""

    async def main() -> Any:
        async with db.async_pool(settings, application="crawler") as pool:
            return await work(pool)

    return asyncio.run(main())


def break_connections(database: Connection[TupleRow]) -> None:
    """End the sessions of crawls, as a restart of the server does."""
    ended = database.execute(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
        " where application_name = 'crawler' and datname = current_database()"
    ).fetchall()
    assert ended


def test_the_claim_of_a_make_outlives_the_connections_of_its_crawl(
    settings: Settings, database: Connection[TupleRow]
) -> None:
    async def work(pool: AsyncConnectionPool[Any]) -> Removal:
        listings, schedule = Listings(pool, "mobile_bg"), schedule_of(pool)
        await listings.record([("kia", ad(ad_id)) for ad_id in ADS])
        walk = await walk_of(schedule)
        break_connections(database)
        assert await begun(schedule_of(pool, "another crawl")) is None
        break_connections(database)
        assert (await listings.record([("kia", ad(ADS[0]))], walk=walk.page())).unchanged == 1
        break_connections(database)
        removal = await schedule.end_walk(walk)
        assert await begun(schedule_of(pool, "another crawl")) is not None
        return removal

    assert crawl(settings, work) == Removal(gone=1)


def test_a_connection_that_breaks_in_the_middle_of_a_page_costs_nothing(
    settings: Settings, database: Connection[TupleRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    record, breaks = Listings._record, iter((True, True, False))

    async def broken(self: Listings, connection: AsyncConnection[Any], *arguments: Any) -> Any:
        done = await record(self, connection, *arguments)
        if next(breaks):
            database.execute("select pg_terminate_backend(%s, 5000)", [connection.info.backend_pid])
        return done

    monkeypatch.setattr(Listings, "_record", broken)
    recorded = crawl(settings, lambda pool: Listings(pool, "mobile_bg").record([("kia", ad(ad_id)) for ad_id in ADS]))
    assert recorded.new == len(ADS)
    assert next(breaks, None) is None
    assert database.execute("select count(*) from listings").fetchone() == (len(ADS),)


def test_a_crawl_whose_claim_was_taken_over_records_nothing_and_takes_nothing_for_gone(
    settings: Settings, database: Connection[TupleRow]
) -> None:
    async def work(pool: AsyncConnectionPool[Any]) -> tuple[Removal, str | None]:
        listings, late = Listings(pool, "mobile_bg"), schedule_of(pool)
        await listings.record([("kia", ad(ad_id)) for ad_id in ADS])
        walk = await walk_of(late)
        database.execute("update ops.listing_walks set claimed_until = now()")
        other = await begun(schedule_of(pool, "another crawl")) or pytest.fail("it is claimed")
        assert (other.number, other.token) == (walk.number, walk.token + 1)
        await late.extend()
        await late.release()
        assert not await late.interrupt(walk)
        with pytest.raises(ClaimLost):
            await listings.record([("kia", ad("103"))], walk=walk.page())
        return await late.end_walk(walk), walk.shortfall

    assert crawl(settings, work) == (Removal(), "claim_lost")
    active = database.execute("select ad_id from listings where removed_at is null order by 1").fetchall()
    assert [ad_id for (ad_id,) in active] == list(ADS)
    walks = "select is_complete, reason, claimed_by, claimed_until > now() from ops.listing_walks"
    assert database.execute(walks).fetchall() == [(None, None, "another crawl", True)]


def test_a_walk_that_is_not_exact_decides_on_ads_whose_list_it_has_read_again(
    settings: Settings, database: Connection[TupleRow]
) -> None:
    """The others are asked for by their own pages; without an answer they wait for a second complete walk."""

    def walked(*, number: int, token: int, started_at: datetime) -> Walk:
        cut = {"is_cut": True, "counted": 200, "counted_seen": 199}
        pieces = [
            Piece(number=0, state="read", total=200, ads=199, **cut),  # type: ignore[arg-type]
            Piece(number=1, parent=0, model="rio", state="read", total=100, ads=100),
            Piece(number=2, parent=0, model="ceed", state="read", total=99, ads=99),
        ]
        make = Make(slug="kia", name="Kia")
        walk = Walk(make, BOOK, number=number, token=token, started_at=started_at)
        walk.pieces[:] = pieces
        return walk

    async def work(pool: AsyncConnectionPool[Any]) -> list[object]:
        listings, schedule, found = Listings(pool, "mobile_bg"), schedule_of(pool), []
        for turn in range(3):
            begun_walk = await begun(schedule) or pytest.fail("it is claimed")
            walk = walked(number=begun_walk.number, token=begun_walk.token, started_at=begun_walk.started_at)
            assert (walk.is_complete, walk.is_exact) == (True, False)
            await listings.record([("kia", ad(ADS[0]))][turn:], walk=replace(walk.page(), piece=1))
            if turn == 0:
                await listings.record([("kia", ad(ADS[1]))])  # a list of the newest ads
            doubt = await schedule.next_doubt(walk)
            found += [doubt and doubt.ad_id, await schedule.next_doubt(walk), await schedule.end_walk(walk)]
        return found

    first, second = [None, None, Removal()], [ADS[1], None, Removal(gone=1, held_back=1)]
    assert crawl(settings, work) == [*first, *second, ADS[1], None, Removal(gone=1)]
    assert database.execute("select distinct walk_id from ops.walk_pieces order by 1").fetchall() == [(2,), (3,)]


def test_a_walk_that_is_too_old_is_abandoned_and_another_begins(
    settings: Settings, database: Connection[TupleRow]
) -> None:
    async def work(pool: AsyncConnectionPool[Any]) -> tuple[int, int]:
        schedule = schedule_of(pool)
        first = await begun(schedule) or pytest.fail("it is claimed")
        page = ListPage(listings=(ad(ADS[0]),), next_url="next", total=30)
        first.take(first.first() or pytest.fail("it has ended"), page, {})
        await Listings(pool, "mobile_bg").record([("kia", ad(ADS[0]))], walk=first.page())
        await schedule.release()
        database.execute("update ops.listing_walks set started_at = now() - interval '47 hours'")
        again = await begun(schedule) or pytest.fail("it is claimed")
        assert (again.number, again.steps, again.first()) == (first.number, 1, Step(page=2))
        await schedule.release()
        database.execute("update ops.listing_walks set started_at = now() - interval '49 hours'")
        other = await begun(schedule) or pytest.fail("it is claimed")
        assert (other.steps, other.first()) == (0, Step(page=1))
        return first.number, other.number

    first, other = crawl(settings, work)
    assert database.execute("select id, is_complete, reason from ops.listing_walks order by id").fetchall() == [
        (first, False, "abandoned"),
        (other, None, None),
    ]


def test_a_walk_whose_last_page_was_recorded_is_ended_by_the_next_crawl(
    settings: Settings, database: Connection[TupleRow]
) -> None:
    async def work(pool: AsyncConnectionPool[Any]) -> Walk | None:
        listings = Listings(pool, "mobile_bg")
        await listings.record([("kia", ad(ad_id)) for ad_id in ADS])
        walk = await walk_of(schedule_of(pool))
        await listings.record([], walk=walk.page())
        database.execute("update ops.listing_walks set claimed_until = now()")
        return await begun(schedule_of(pool, "another crawl"))

    walk = crawl(settings, work)
    assert walk.steps == 0
    assert database.execute("select is_complete, ads_gone from ops.listing_walks order by id").fetchall() == [
        (True, 2),
        (None, None),
    ]


def test_what_was_committed_and_not_confirmed_is_the_same_the_second_time(
    settings: Settings, database: Connection[TupleRow]
) -> None:
    async def work(pool: AsyncConnectionPool[Any]) -> tuple[Removal, Removal]:
        await Listings(pool, "mobile_bg").record([("kia", ad(ad_id)) for ad_id in ADS])
        schedule = schedule_of(pool)
        await begun(schedule)
        walk = await walk_of(schedule)  # its own claim is in nobody's way
        return await schedule.end_walk(walk), await schedule.end_walk(walk)

    assert crawl(settings, work) == (Removal(gone=2), Removal(gone=2))
    assert database.execute("select count(*) from ops.listing_walks where claimed_until is not null").fetchone() == (0,)


@pytest.mark.parametrize(("is_extended", "walked"), [(False, ["fiat", "kia"]), (True, ["fiat"])])
def test_a_make_that_another_crawl_has_is_tried_again_when_its_claim_ends(
    settings: Settings, database: Connection[TupleRow], is_extended: bool, walked: list[str]
) -> None:
    async def work(pool: AsyncConnectionPool[Any]) -> list[str]:
        other = schedule_of(pool, "another crawl", claim_seconds=90)
        async for _ in other.walks(makes[:1], read_makes(), pause=forbidden):
            walks = schedule_of(pool).walks(makes, read_makes(), pause=partial(pause, other))
            return [walk.make.slug async for walk in walks]
        raise AssertionError("unreachable")

    async def forbidden(_: float) -> bool:
        raise AssertionError("nothing is claimed")

    async def pause(other: Schedule, seconds: float) -> bool:
        assert 80 < seconds <= 90
        database.execute("update ops.listing_walks set claimed_until = now() where make_slug = 'kia'")
        if is_extended:
            await other.extend()
        return True

    makes = read_makes().named(["kia", "fiat"])
    assert crawl(settings, work) == walked
