"""The order in which crawls take lots: no second pass while a first one is due, none starves, two crawls share them.

Random lots, with and without a sale, arrive, are rescheduled and leave; two crawls lease, settle, fail and die. After
each lease the database itself is asked whether another lot should have come first.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st

from tests.property.cases import few
from vinops.db import database as db
from vinops_scrapy.copart.leases import LeaseLost, Lots, Settlement
from vinops_scrapy.items import Photo, PhotoLink

if TYPE_CHECKING:
    import psycopg
    from psycopg.rows import TupleRow

    from vinops.config import Settings
    from vinops_scrapy.items import Lot

    Database = psycopg.Connection[TupleRow]

CRAWLS = ("one", "two")
FIRST = 3
MOST_TRIES = 3

LOT = st.tuples(
    st.one_of(st.none(), st.integers(-48, 200)),  # hours until its sale
    st.sampled_from(["car", "boat", None]),
    st.sampled_from([1990, 2015, 2025, None]),
    st.sampled_from(["clean", "salvage", "destruction", "other", None]),
    st.sampled_from(["hail", "front end", "burn", None]),
    st.integers(0, 6),  # photos
    st.integers(0, 2),  # tries that fail
)
STEP = st.one_of(
    st.tuples(st.just("arrive"), LOT),
    st.tuples(st.just("move"), st.integers(0, 20), st.integers(1, 200)),
    st.tuples(st.just("leave"), st.integers(0, 20)),
    st.tuples(st.just("lease"), st.sampled_from(CRAWLS), st.integers(1, 3)),
    st.tuples(st.just("settle"), st.sampled_from(CRAWLS)),
    st.tuples(st.just("die"), st.sampled_from(CRAWLS)),
)


class OrderError(AssertionError):
    """A lot came before another that was due."""


@dataclass(kw_only=True)
class World:
    """Lots in the database, and what two crawls hold of them."""

    database: Database
    crawls: dict[str, Lots]
    photos: dict[int, int] = field(default_factory=dict)
    fails: dict[int, int] = field(default_factory=dict)
    held: dict[str, list[Lot]] = field(default_factory=lambda: {name: [] for name in CRAWLS})
    numbers: Any = field(default_factory=lambda: count(45_000_001))

    async def take(self, step: tuple[Any, ...]) -> None:
        """Do a step."""
        what, *about = step
        await getattr(self, what)(*about)

    async def arrive(self, lot: tuple[Any, ...]) -> None:
        """Have the feed bring a lot, and the crawls see it."""
        hours, kind, year, title, damage, photos, fails = lot
        number = next(self.numbers)
        row = self.database.execute(
            "with vehicle as (insert into vehicles (vin, vehicle_type, year) values (%(vin)s, %(kind)s, %(year)s)"
            " returning id) insert into lots (lot_external_id, vin, vehicle_id, first_seen_at, sale_at, title_group,"
            " damage, image_url, row_hash, file_id) select %(number)s, %(vin)s, id, now(),"
            " now() + make_interval(hours => %(hours)s), %(title)s, %(damage)s, 'https://example.com', '', 0"
            " from vehicle returning id",
            {
                "vin": f"1VN{number:014d}",
                "kind": kind,
                "year": year,
                "number": number,
                "hours": hours,
                "title": title,
                "damage": damage,
            },
        ).fetchone()
        assert row is not None
        self.photos[row[0]], self.fails[row[0]] = photos, fails
        await self.crawls["one"].enlist()

    async def move(self, which: int, hours: int) -> None:
        """Have the feed move the sale of a lot."""
        if self.photos:
            lot = sorted(self.photos)[which % len(self.photos)]
            self.database.execute(
                "update lots set sale_at = now() + make_interval(hours => %s) where id = %s", [hours, lot]
            )
            await self.crawls["two"].enlist()

    async def leave(self, which: int) -> None:
        """Have a lot leave the feed. The crawls have not seen it yet."""
        if self.photos:
            lot = sorted(self.photos)[which % len(self.photos)]
            self.database.execute("update lots set status = 'gone', gone_at = now() where id = %s", [lot])

    async def lease(self, name: str, most: int) -> None:
        """Have a crawl lease lots, and ask whether they were those whose turn it was."""
        due = self.database.execute(
            "select lots.id, lot_photos.first_at is null, coalesce(lots.sale_at, lots.first_seen_at"
            " + interval '4 days'), lot_photos.turn_at"
            " from lots join lot_photos on lots.id = lot_photos.lot_id"
            " where status = 'active' and due_at <= now() and lease_owner is null"
        ).fetchall()
        leased = await self.crawls[name].lease_due(most)
        held = {lot.id for lots in self.held.values() for lot in lots}
        if held & {lot.id for lot in leased}:
            raise OrderError("a lot is in the hands of both")
        firsts = {lot: (turn, -lot) for lot, is_first, turn, _ in due if is_first}
        rest = {lot: (turn, -lot) for lot, is_first, _, turn in due if not is_first}
        wanted = [*sorted(firsts, key=firsts.__getitem__), *sorted(rest, key=rest.__getitem__)][:most]
        if [lot.id for lot in leased] != wanted:
            raise OrderError(f"{[lot.id for lot in leased]} for {wanted}")
        if any(lot.is_first != (lot.id in firsts) for lot in leased):
            raise OrderError("the lot does not know its pass")
        self.held[name] += leased

    async def settle(self, name: str) -> None:
        """Have a crawl settle the lot that it has had for longest."""
        if self.held[name]:
            lot = self.held[name].pop(0)
            await self.crawls[name].settle(lot, self.result(lot))

    async def die(self, name: str) -> None:
        """Kill a crawl: its leases run out, and what it settles after that does not count."""
        lots, self.held[name] = self.held[name], []
        self.database.execute("update lot_photos set lease_expires_at = now() where lease_owner = %s", [name])
        self.database.execute("update lot_photos set lease_owner = null where lease_owner = %s", [name])
        for lot in lots:
            with pytest.raises(LeaseLost):
                await self.crawls[name].settle(lot, self.result(lot))

    def result(self, lot: Lot) -> Settlement:
        """Return what a crawl finds of a lot."""
        number = self.photos[lot.id]
        links = tuple(
            PhotoLink(seq=seq, variant="hrs", url=f"https://example.com/{lot.id}/{seq}_hrs.jpg")
            for seq in range(1, number + 1)
        )
        if self.fails[lot.id] > 0:
            self.fails[lot.id] -= 1
            return Settlement(state="failed", reason="timeout", due_seconds=3600)
        if not links:
            return Settlement(state="none_yet", due_seconds=6 * 3600, listed=0)
        if lot.kept is not None:
            assert lot.kept.photos == links
        taken = links[:FIRST] if lot.is_first else links[FIRST if lot.kept else 0 :]
        state = "first" if lot.is_first and len(links) > FIRST else "ok"
        photos = tuple(
            Photo(
                lot=lot,
                link=link,
                body=b"",
                content_type="image/jpeg",
                storage_key=f"photos/{lot.lot_external_id}/{link.seq}.jpg",
                content_hash=sha256(link.url.encode()).hexdigest(),
                width=1,
                height=1,
            )
            for link in taken
        )
        return Settlement(
            state=state, due_seconds=0 if state == "first" else 259_200, listed=number, links=links, photos=photos
        )

    async def finish(self) -> None:
        """Let the crawls go on, and time pass for what failed, until every lot has what there is of it."""
        for name in CRAWLS:
            while self.held[name]:
                await self.settle(name)
        await self.crawls["one"].enlist()
        for turn in range(2 * MOST_TRIES * len(self.photos) + 1):
            self.database.execute("update lot_photos set due_at = now() where state = 'failed'")
            name = CRAWLS[turn % 2]
            await self.lease(name, 1)
            if not self.held[name]:
                break
            await self.settle(name)
        rows = self.database.execute(
            "select lots.id, lot_photos.state, (select count(*) from images where lot_id = lots.id),"
            " (select count(distinct source_url) from images where lot_id = lots.id), lot_photos.links is null"
            " from lots join lot_photos on lots.id = lot_photos.lot_id where status = 'active'"
        ).fetchall()
        for lot, state, photos, distinct, is_forgotten in rows:
            wanted = "ok" if self.photos[lot] else "none_yet"
            if (state, photos, distinct, is_forgotten) != (wanted, self.photos[lot], self.photos[lot], True):
                raise OrderError(f"lot {lot} starves: {state} with {photos} of {self.photos[lot]} photos")
        if self.database.execute(
            "select 1 from lots join lot_photos on lots.id = lot_id"
            " where status = 'gone' and (turn_at is not null or links is not null)"
        ).fetchone():
            raise OrderError("a lot that left is still in the queue")


def play(settings: Settings, database: Database, steps: list[tuple[Any, ...]], *, broken: str = "") -> None:
    """Play the steps in an empty database; in a broken world leases do without a part of their order."""

    async def whole() -> None:
        pool = db.async_pool(settings, application="lots", size=1)
        await pool.open()
        try:
            crawls = {name: Lots(pool, name, list_seconds=3600) for name in CRAWLS}
            if broken:
                for lots in crawls.values():
                    found = dict(lots._queries)
                    assert broken in found["lease_due_lots"]
                    found["lease_due_lots"] = found["lease_due_lots"].replace(broken, "")
                    lots._queries = found
            world = World(database=database, crawls=crawls)
            for step in steps:
                await world.take(step)
            await world.finish()
        finally:
            await pool.close()

    database.execute("truncate lots, vehicles, lot_photos, images restart identity cascade")
    asyncio.run(whole())


@few
@given(steps=st.lists(STEP, max_size=30))
def test_no_second_pass_comes_before_a_first_and_no_lot_starves(
    settings: Settings, database: Database, steps: list[tuple[Any, ...]]
) -> None:
    play(settings, database, steps)


LOTS_IN_PAIRS = [("arrive", (hours, "car", 2025, "clean", "hail", 5, 0)) for hours in (100, None, 2)] + [
    ("lease", "one", 3),
    ("settle", "one"),
    ("settle", "one"),
    ("arrive", (50, "car", 1990, "other", "burn", 5, 0)),
]


@pytest.mark.parametrize("part", ["lot_photos.first_at is not null asc,\n", "lot_photos.turn_at asc,\n"])
def test_a_broken_order_is_caught(settings: Settings, database: Database, part: str) -> None:
    play(settings, database, LOTS_IN_PAIRS)
    with pytest.raises(OrderError):
        play(settings, database, LOTS_IN_PAIRS, broken=part)
