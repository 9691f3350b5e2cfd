"""Random feeds: after each file the board of lots is what a rebuild would make of it.

Lots come, change, go, return, are relisted under another number, share a vehicle, have a placeholder as VIN, and get
photos or lose them.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from hypothesis import given, strategies as st

from etl.merge import board
from tests.property.cases import few
from tests.support.feed_files import TABLES, Loader, row

if TYPE_CHECKING:
    import pytest
    from psycopg import Connection

    from vinops.config import Settings

LOT: Final = st.integers(1, 12)
VINS: Final = ("1FTFW1E50NKE00001", "1FTFW1E50NKE00002", "")
CHANGE: Final = st.one_of(
    st.tuples(st.just("vin"), st.sampled_from(VINS)),
    st.tuples(st.just("make"), st.sampled_from(["FORD", "TOYOTA", "BMW", "AUDI", "KIA", "NOSUCHMAKE", ""])),
    st.tuples(st.just("model_detail"), st.sampled_from(["F150", "CAMRY", "X5", "1|2", ""])),
    st.tuples(st.just("high_bid"), st.sampled_from(["0.0", "100.0", "25000.0"])),
    st.tuples(st.just("sale_date"), st.sampled_from(["0", "20260709", "20260801"])),
    st.tuples(st.just("sale_time"), st.sampled_from(["1000", "x"])),
    st.tuples(st.just("fuel"), st.sampled_from(["GAS", "FLEXIBLE FUEL", "DIESEL", "UNKNOWN"])),
    st.tuples(st.just("has_keys"), st.sampled_from(["YES", "NO", "EXM"])),
    st.tuples(st.just("year"), st.sampled_from(["2015", "2020"])),
    st.tuples(st.just("yard_name"), st.sampled_from(["TX - DALLAS", "OH - COLUMBUS"])),
)
STEP: Final = st.one_of(
    st.tuples(st.just("put"), LOT, st.lists(CHANGE, max_size=3)),
    st.tuples(st.just("put"), LOT, st.lists(CHANGE, max_size=3)),
    st.tuples(st.just("drop"), LOT),
    st.tuples(st.just("photos"), LOT, st.sampled_from([0, 1, 12])),
    st.tuples(st.just("load")),
)
HISTORY: Final = st.lists(STEP, min_size=6, max_size=40)
NOON: Final = 12 * 60
NUMBERS: Final = count()


class World:
    """A feed, and what happens to it."""

    def __init__(self, database: Connection[Any], settings: Settings) -> None:
        """Begin with nothing but one lot that stays."""
        self.database = database
        database.execute(f"truncate {', '.join(TABLES)}, lot_board, lot_words restart identity cascade".encode())
        folder = settings.data_dir / f"world{next(NUMBERS)}"
        mine = replace(settings, data_dir=folder, feed_min_rows=0, feed_shrink_limit=1)
        self.loader = Loader(settings=mine, database=database, folder=folder / "files", now=datetime.now(UTC))
        self.rows = {0: row(99)}
        self.minute = 0

    def put(self, lot: int, changes: list[tuple[str, str]]) -> None:
        """Have a lot in the feed, with these values."""
        self.rows[lot] = {**self.rows.get(lot, row(lot)), **dict(changes), "last_updated_at": self.later()}

    def later(self) -> str:
        """Return a Last Updated Time that is later than all before."""
        self.minute += 1
        return f"2026-07-01T{(NOON + self.minute) // 60:02}:{(NOON + self.minute) % 60:02}:00Z"

    def drop(self, lot: int) -> None:
        self.rows.pop(lot, None)

    def photos(self, lot: int, stored: int) -> None:
        """Record how many photos of a lot are stored."""
        self.database.execute(
            "insert into lot_photos (lot_id, stored) select id, %s from lots where lot_external_id = %s"
            " on conflict (lot_id) do update set stored = excluded.stored",
            [stored, lot],
        )

    def load(self) -> None:
        """Load the feed, whose one lot that stays is newer each time: no file is stale."""
        self.rows[0] = row(99, last_updated_at=self.later())
        self.loader.load([self.rows[lot] for lot in sorted(self.rows)], allow_shrink=True)

    def faults(self) -> int:
        found = board.compare(self.database, None)
        return found.missing + found.wrong + found.surplus


def take(world: World, history: list[tuple[Any, ...]]) -> None:
    """Do the steps and load what they left; after each file the board is right, without a rebuild."""
    for what, *about in [*history, ("load",)]:
        getattr(world, what)(*about)
        if what in ("load", "photos"):
            assert world.faults() == 0, what


def test_after_each_file_the_board_is_what_a_rebuild_makes(database: Connection[Any], settings: Settings) -> None:
    @few
    @given(HISTORY)
    def check(history: list[tuple[Any, ...]]) -> None:
        world = World(database, settings)
        take(world, history)
        assert {outcome.status for outcome in world.loader.outcomes} <= {"loaded", "unchanged"}
        assert board.rebuild(database) == board.Rebuilt(written=0, removed=0)

    check()


def test_a_placeholder_that_is_found_later_reaches_lots_that_are_gone(
    database: Connection[Any], settings: Settings
) -> None:
    """Their vehicles are split, though no row of the file is theirs."""
    world = World(database, settings)
    for lot, make in enumerate(("FORD", "TOYOTA", "BMW"), 1):
        world.put(lot, [("vin", VINS[0]), ("make", make)])
    world.load()
    world.drop(1)
    world.load()
    for lot, make in enumerate(("FORD", "TOYOTA", "BMW", "AUDI", "KIA"), 4):
        world.put(lot, [("vin", VINS[0]), ("make", make)])
    world.load()
    assert world.loader.one("select count(*) from staging.placeholder_vins") == 1
    assert world.faults() == 0


def test_a_newer_row_of_a_vehicle_reaches_its_other_lots(database: Connection[Any], settings: Settings) -> None:
    world = World(database, settings)
    world.put(1, [("vin", VINS[0]), ("year", "2015")])
    world.load()
    world.drop(1)
    world.put(2, [("vin", VINS[0]), ("year", "2020")])
    world.load()
    assert world.loader.all("select is_gone, year from lot_board where state = 'OH' order by lot_id desc limit 2") == [
        (False, 2020),
        (True, 2020),
    ]


def test_a_merge_that_forgot_other_lots_of_a_vehicle_would_be_noticed(
    database: Connection[Any], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broken control: the same comparison, with a merge that writes the lots of its rows only."""
    real = board.queries
    broken = {
        **real("lots"),
        "find_touched_lots": "create temporary table touched_lots on commit drop as select lots.id, lots.vehicle_id"
        " from incoming join lots using (lot_external_id) where %(lots)s::bigint[] is not null",
    }
    world = World(database, settings)
    world.put(1, [("vin", VINS[0]), ("year", "2015")])
    world.put(2, [("vin", VINS[0]), ("year", "2015")])
    world.load()
    monkeypatch.setattr(board, "queries", lambda name: broken if name == "lots" else real(name))
    world.put(2, [("vin", VINS[0]), ("year", "2020")])
    world.drop(3)
    world.load()
    assert world.faults() == 1


def test_words_that_were_lost_are_read_again_and_rows_stay(database: Connection[Any], settings: Settings) -> None:
    """The board is filled without a look at its rows only while it has none."""
    world = World(database, settings)
    world.put(1, [("fuel", "GAS")])
    world.load()
    database.execute("truncate lot_words")
    database.execute("update lot_board set fuel = null, year = 1")
    world.put(2, [])
    world.load()
    assert {outcome.status for outcome in world.loader.outcomes} == {"loaded"}
    assert world.loader.one("select count(*) from lot_board") == 3
    assert world.faults() == 0


def test_a_board_that_was_emptied_is_filled_with_the_next_file(database: Connection[Any], settings: Settings) -> None:
    """All of it, also the lots that are not in the file and went lately."""
    world = World(database, settings)
    world.put(1, [])
    world.put(2, [])
    world.load()
    world.drop(2)
    world.load()
    database.execute("truncate lot_board, lot_words")
    world.put(1, [("high_bid", "77.0")])
    world.load()
    assert world.loader.all("select is_gone, count(*) from lot_board group by 1 order by 1") == [(False, 2), (True, 1)]
    assert world.faults() == 0


def test_a_row_that_is_right_is_not_written_again(database: Connection[Any], settings: Settings) -> None:
    world = World(database, settings)
    for lot in range(1, 6):
        world.put(lot, [])
    world.load()
    before = world.loader.all("select lot_id, xmin from lot_board order by lot_id")
    world.put(1, [("high_bid", "77.0")])
    world.put(2, [])  # newer, and the same otherwise
    world.load()
    after = world.loader.all("select lot_id, xmin from lot_board order by lot_id")
    assert [lot for (lot, old), (_, new) in zip(before, after, strict=True) if old != new] == [
        world.loader.one("select id from lots where lot_external_id = 1")
    ]
