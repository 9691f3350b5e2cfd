"""What a crawl writes of its lots: settled once, done again only where that can help."""

from __future__ import annotations

import asyncio
import random
import string
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import errors
from scrapy.statscollectors import StatsCollector
from scrapy.utils.test import get_crawler

from standin.photos.server import PhotoServer
from tests.support.photo_crawls import FIRST_LOT, Crawls, Database
from vinops.db import database as db
from vinops.db.errors import TRIES, tried
from vinops_scrapy.copart import leases
from vinops_scrapy.copart.leases import Known, LeaseLost, Lots, Settlement
from vinops_scrapy.copart.work import DAY, Work
from vinops_scrapy.items import Photo, PhotoLink, PhotoList

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from vinops.config import Settings
    from vinops_scrapy.items import Lot

MANY = 99
NOISE = "".join(random.Random(1).choices(string.ascii_letters + string.digits, k=3_000))
"""What PostgreSQL cannot compress to what fits an index."""


@pytest.fixture
def crawls(settings: Settings, database: Database) -> Iterator[Crawls]:
    """Crawls of an empty database."""
    with PhotoServer(seed=3, empty_every=0, none_every=0) as server:
        yield Crawls(settings=settings, database=database, server=server)


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The settlements that were tried, by their state."""
    tried: list[str] = []
    settle = Lots._settle

    async def counted(self: Lots, lot: Lot, settlement: Settlement) -> None:
        tried.append(settlement.state)
        await settle(self, lot, settlement)

    monkeypatch.setattr(Lots, "_settle", counted)
    return tried


def with_lots(settings: Settings, do: Callable[[Lots], Awaitable[Any]]) -> Any:
    """Do something with the lots of a crawl."""
    return with_pool(settings, lambda pool: do(Lots(pool, "a crawl")))


def with_pool(settings: Settings, do: Callable[[Any], Awaitable[Any]]) -> Any:
    """Do something with connections of a crawl."""

    async def whole() -> Any:
        pool = db.async_pool(settings, application="lots", size=1)
        await pool.open()
        try:
            return await do(pool)
        finally:
            await pool.close()

    return asyncio.run(whole())


def photo(lot: Lot, url: str) -> Photo:
    """Return a photo that is stored."""
    return Photo(
        lot=lot,
        link=PhotoLink(seq=1, variant="hrs", url=url),
        body=b"",
        content_type="image/jpeg",
        storage_key=f"photos/{lot.lot_external_id}/1.jpg",
        content_hash=sha256(url.encode()).hexdigest(),
        width=1,
        height=1,
    )


def settled(settings: Settings, url: str) -> tuple[Work, StatsCollector]:
    """Lease the lot that is due, and settle it with a photo of this address."""
    stats = StatsCollector(get_crawler())

    async def do(lots: Lots) -> Work:
        work = Work(lots, stats, at_once=1, recheck_seconds=DAY, first_photos=MANY)
        async for lot in work.due(1):
            of_lot = photo(lot, url)
            await work.listed(lot, PhotoList(announced=1, photos=(of_lot.link,)), 1)
            await work.stored(of_lot)
        return work

    return with_lots(settings, do), stats


def test_a_photo_that_the_database_refuses_fails_its_lot_once(crawls: Crawls, statements: list[str]) -> None:
    crawls.add_lot(FIRST_LOT)
    work, stats = settled(crawls.settings, f"https://cs.copart.com/{NOISE}_hrs.jpg")
    assert statements == ["ok", "failed"]
    assert (work.done, stats.get_value("lot/failed"), stats.get_value("lot/not_settled")) == (1, 1, None)
    later = "due_at > now() + interval '23 hours' and lease_owner is null"
    assert crawls.rows(f"select state, reason, failures, {later} from lot_photos") == [
        ("failed", "not_recorded", 1, True)
    ]
    assert crawls.rows("select * from images") == []


def test_a_lot_that_is_in_order_is_settled_once(crawls: Crawls, statements: list[str]) -> None:
    crawls.add_lot(FIRST_LOT)
    _, stats = settled(crawls.settings, "https://cs.copart.com/a_hrs.jpg")
    assert (statements, stats.get_value("lot/ok")) == (["ok"], 1)


def test_lots_left_over_are_given_back_whatever_one_of_them_brings(crawls: Crawls) -> None:
    for number in (FIRST_LOT, FIRST_LOT + 1):
        crawls.add_lot(number)
    stats = StatsCollector(get_crawler())

    async def do(lots: Lots) -> None:
        work = Work(lots, stats, at_once=2, recheck_seconds=DAY, first_photos=MANY)
        taken = work.due(2)
        for url in (f"https://cs.copart.com/{NOISE}_hrs.jpg", "https://cs.copart.com/b_hrs.jpg"):
            lot = await anext(taken)
            of_lot = photo(lot, url)
            await work.listed(lot, PhotoList(announced=2, photos=(of_lot.link,)), 2)
            await work.stored(of_lot)
        await work.give_back()

    with_lots(crawls.settings, do)
    assert crawls.rows("select state, reason from lot_photos order by reason") == [
        ("partial", "interrupted"),
        ("failed", "not_recorded"),
    ]
    assert crawls.rows("select count(*) from lot_photos where lease_owner is not null") == [(0,)]


@pytest.mark.parametrize(
    ("error", "times"),
    [
        (psycopg.OperationalError("the connection is closed"), TRIES),
        (errors.AdminShutdown("terminating connection"), TRIES),
        (errors.DeadlockDetected("deadlock detected"), TRIES),
        (errors.ProgramLimitExceeded("index row size 3016 exceeds btree version 4 maximum 2704"), 1),
        (errors.DiskFull("could not extend file"), 1),
        (errors.QueryCanceled("canceling statement due to statement timeout"), 1),
    ],
)
def test_only_what_another_try_may_cure_is_tried_again(error: Exception, times: int) -> None:
    calls = []

    async def call() -> None:
        calls.append(1)
        raise error

    with pytest.raises(type(error)):
        asyncio.run(tried(call))
    assert len(calls) == times


def test_a_photo_is_recorded_where_it_is_and_reused_only_there(settings: Settings, crawls: Crawls) -> None:
    """The address counts as known wherever its photo is; the object is taken for another lot only where it is."""
    crawls.add_lots(1)
    url = "https://example.com/a_hrs.jpg"

    async def in_folder(pool: Any) -> Lot:
        lots = Lots(pool, "a crawl")
        await lots.enlist()
        (lot,) = await lots.lease_due(1)
        of_lot = photo(lot, url)
        await lots.settle(lot, Settlement(state="ok", due_seconds=0, listed=1, links=(of_lot.link,), photos=(of_lot,)))
        return lot

    async def known(pool: Any) -> list[Known]:
        return [await Lots(pool, "a crawl", store=store).known(lot) for store in ("folder", "bucket b at h")]

    lot = with_pool(settings, in_folder)
    here, elsewhere = with_pool(settings, known)
    assert crawls.rows("select name from images join photo_stores on photo_stores.id = store_id") == [("folder",)]
    assert here.seqs == elsewhere.seqs == {url: 1}
    assert here.keys == {sha256(url.encode()).hexdigest(): f"photos/{lot.lot_external_id}/1.jpg"}
    assert elsewhere.keys == {}


def test_a_lot_whose_photos_were_all_there_is_rechecked_and_no_progress(settings: Settings, crawls: Crawls) -> None:
    crawls.add_lots(1)
    settled(settings, "https://example.com/a_hrs.jpg")
    crawls.database.execute("update lot_photos set due_at = now() - interval '1 second'")
    stats = StatsCollector(get_crawler())

    async def again(lots: Lots) -> None:
        work = Work(lots, stats, at_once=1, recheck_seconds=DAY, first_photos=MANY)
        async for lot in work.due(1):
            await work.known(lot)
            await work.listed(lot, PhotoList(announced=1, photos=(photo(lot, "").link,)), 0)

    with_lots(settings, again)
    assert stats.get_stats()["lot/rechecked"] == stats.get_stats()["lot/ok"] == 1


def opened(settings: Settings, counts: tuple[int, int], *, beside: int, batch: int) -> list[list[tuple[int, bool]]]:
    """Take so many lots with one at once, and so many more once it is settled, and check that there is no room then;
    return both by number and whether it was a first pass."""

    async def do(pool: Any) -> list[list[tuple[int, bool]]]:
        lots = Lots(pool, "a crawl", list_seconds=DAY)
        stats = StatsCollector(get_crawler())
        work = Work(lots, stats, at_once=1, recheck_seconds=DAY, first_photos=1, beside=beside)
        due = work.due(batch)
        found = []
        for count in counts:
            found.append([await anext(due) for _ in range(count)])
            assert not work._has_room
            assert not work._has_room_beside
            (in_turn,) = [entry.lot for entry in work.open.values() if not entry.is_beside]
            await work.end(in_turn, "none_yet")
        return [[(lot.lot_external_id, lot.is_first) for lot in taken] for taken in found]

    found: list[list[tuple[int, bool]]] = with_pool(settings, do)
    return found


@pytest.mark.parametrize(
    ("beside", "batch", "first", "second"),
    [
        (0, 9, [(3, True)], [(4, True)]),
        (1, 9, [(3, True), (1, False)], [(4, True)]),
        (2, 9, [(3, True), (1, False), (2, False)], [(4, True)]),
        (2, 3, [(3, True), (1, False)], [(4, True)]),  # two of three are first passes
    ],
)
def test_lots_whose_list_was_kept_are_done_while_others_wait_for_theirs(
    settings: Settings,
    crawls: Crawls,
    beside: int,
    batch: int,
    first: list[tuple[int, bool]],
    second: list[tuple[int, bool]],
) -> None:
    for number in (1, 2, 3, 4):
        crawls.add_lot(number, hours=number)
    crawls.database.execute(
        "insert into lot_photos (lot_id, state, first_at, settled_at, links) select id, 'first', now(), now(),"
        ' \'{"photos": [[1, "hrs", "https://example.com/1_hrs.jpg"]], "sizes_are_guessed": false}\''
        " from lots where lot_external_id in (1, 2)"
    )
    counts = len(first), len(second)
    assert opened(settings, counts, beside=beside, batch=batch) == [first, second]


def test_lots_without_a_sale_have_their_first_pass_as_if_it_came_in_four_days(
    settings: Settings, crawls: Crawls
) -> None:
    """Behind all others those that stay for some hours only would leave without a photo."""
    hours = {"in 97 hours": 97.0, "without a sale": None, "in 95 hours": 95.0, "for four days without": None}
    for number, each in enumerate(hours.values(), 1):
        crawls.add_lot(number, hours=each)
    crawls.database.execute("update lots set first_seen_at = now() - interval '4 days' where lot_external_id = 4")
    with_lots(settings, lambda each: each.enlist())
    names = dict(enumerate(hours, 1))
    found = [names[lot.lot_external_id] for lot in ordered(settings)]
    assert found == ["for four days without", "in 95 hours", "without a sale", "in 97 hours"]


def test_the_second_pass_begins_with_what_is_worth_most_and_leaves_soonest(settings: Settings, crawls: Crawls) -> None:
    """A lot of much worth goes before one that leaves sooner, and one that has waited long before a new one."""
    lots = {
        "wreck, in 8 days": (192, "car", 2026, "destruction", "burn"),
        "good, in 8 days": (192, "car", 2026, "clean", "hail"),
        "good, in 7 days": (168, "car", 2026, "clean", "hail"),
        "old, in 7 days": (168, "car", 2001, "salvage", "front end"),
        "wreck, in an hour": (1, "car", 2026, "destruction", "burn"),
        "boat, no sale": (None, "boat", None, None, None),
    }
    for number, (hours, kind, year, title, damage) in enumerate(lots.values(), 1):
        crawls.add_lot(number, hours=hours)
        crawls.database.execute("update vehicles set vehicle_type = %s, year = %s where id = %s", [kind, year, number])
        crawls.database.execute("update lots set title_group = %s, damage = %s where id = %s", [title, damage, number])
    crawls.database.execute("insert into lot_photos (lot_id, state, first_at) select id, 'first', now() from lots")
    with_lots(settings, lambda each: each.enlist())
    names = dict(enumerate(lots, 1))
    assert [names[lot.lot_external_id] for lot in ordered(settings)] == [
        "good, in 7 days",
        "wreck, in an hour",
        "good, in 8 days",
        "old, in 7 days",
        "wreck, in 8 days",
        "boat, no sale",
    ]


def ordered(settings: Settings) -> list[Lot]:
    """Lease all that is due, in its order."""
    found: list[Lot] = with_lots(settings, lambda lots: lots.lease_due(99))
    return found


@pytest.mark.parametrize(
    ("less", "more"),
    [
        (("boat", 2025, "clean", "hail"), ("car", 2025, "clean", "hail")),
        (("car", 2001, "clean", "hail"), ("car", 2025, "clean", "hail")),
        (("car", 2025, "other", "hail"), ("car", 2025, "salvage", "hail")),
        (("car", 2025, None, "hail"), ("car", 2025, "salvage", "hail")),
        (("car", 2025, "destruction", "hail"), ("boat", None, None, "burn")),
        (("car", 2025, "clean", "water/flood"), ("car", 2025, "clean", "front end")),
        (("car", 2025, "clean", "front end"), ("car", 2025, "clean", "normal wear")),
        (("car", None, "clean", "hail"), ("car", 2025, "clean", "hail")),
    ],
)
def test_what_a_lot_is_worth(database: Database, less: tuple[Any, ...], more: tuple[Any, ...]) -> None:
    (ordered,) = database.execute(
        "select 0 <= lot_worth(%s, %s, %s, %s) and lot_worth(%s, %s, %s, %s) > lot_worth(%s, %s, %s, %s)"
        " and lot_worth(%s, %s, %s, %s) <= 1",
        [*less, *more, *less, *more],
    ).fetchall()
    assert ordered == (True,)


def taken(settings: Settings, owner: str, database: Database, *, is_over: bool = False) -> list[Lot]:
    """Lease what is due for a crawl; its leases are over at once if `is_over`."""

    async def lease(pool: Any) -> list[Lot]:
        return await Lots(pool, owner).lease_due(10)

    found: list[Lot] = with_pool(settings, lease)
    if is_over:
        database.execute("update lot_photos set lease_expires_at = now() where lease_owner = %s", [owner])
    return found


@pytest.mark.parametrize("count", [3, 4, 5])
def test_many_lots_are_put_into_the_order_by_parts(
    settings: Settings, crawls: Crawls, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(leases, "ENLISTED_AT_ONCE", 2)
    numbers = crawls.add_lots(count)
    with_lots(settings, lambda lots: lots.enlist())
    assert crawls.rows("select count(*) from lot_photos where turn_at is not null") == [(len(numbers),)]


def test_a_lot_is_leased_to_one_until_its_lease_is_over(settings: Settings, crawls: Crawls) -> None:
    numbers = crawls.add_lots(3)
    with_lots(settings, lambda lots: lots.enlist())
    assert len(taken(settings, "first", crawls.database)) == len(numbers)
    assert taken(settings, "second", crawls.database) == []
    assert taken(settings, "first", crawls.database, is_over=True) == []
    assert sorted(lot.lot_external_id for lot in taken(settings, "second", crawls.database)) == numbers


@pytest.mark.parametrize("owner", ["second", "a crawl"], ids=["another", "its own name"])
def test_a_crawl_whose_lease_was_taken_over_settles_renews_and_releases_nothing(
    settings: Settings, crawls: Crawls, owner: str
) -> None:
    crawls.add_lots(1)
    with_lots(settings, lambda lots: lots.enlist())
    (old,) = taken(settings, "a crawl", crawls.database, is_over=True)
    (new,) = taken(settings, owner, crawls.database)
    assert new.token > old.token
    rows = "select to_jsonb(lot_photos)::text from lot_photos union all select to_jsonb(images)::text from images"
    held = crawls.rows(rows)

    async def late(lots: Lots) -> None:
        of_lot = photo(old, "https://example.com/a_hrs.jpg")
        settlement = Settlement(state="ok", due_seconds=DAY, listed=1, links=(of_lot.link,), photos=(of_lot,))
        with pytest.raises(LeaseLost):
            await lots.settle(old, settlement)
        await lots.renew([old])
        await lots.release([old])

    with_lots(settings, late)
    assert crawls.rows(rows) == held
