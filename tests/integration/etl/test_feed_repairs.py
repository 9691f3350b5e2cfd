"""What was loaded before placeholders and times from the future were known as such is repaired by a migration once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.feed_files import LATER, NOON, Loader, row, vin_of

if TYPE_CHECKING:
    from tests.support.feed_files import Database, Row
    from vinops.config import Settings

MIGRATION = Path(__file__).resolve().parents[3] / "sql" / "migrations" / "0011_feed_repairs.sql"
ONE, TWO, THREE, FOUR = range(71_000_001, 71_000_005)
ANCHOR = row(70_000_000, last_updated_at=LATER)
ZEROES, SHARED = "0" * 17, "12345678901234567"
NOBODY = "select count(*) from vehicles left join lots on vehicle_id = vehicles.id where lots.id is null"


@pytest.fixture
def feed(settings: Settings, database: Database, tmp_path: Path) -> Loader:
    return Loader(settings=replace(settings, feed_min_rows=0, feed_shrink_limit=1), database=database, folder=tmp_path)


def repaired(feed: Loader) -> None:
    """Migrate as if the tables and the state were of the version before, which the rows of each test make them."""
    for path in (feed.settings.data_dir / "state" / "copart").glob("*.lots"):
        path.write_bytes(path.read_bytes().replace(b"vinops2\n", b"vinops1\n"))
    feed.database.execute("drop table staging.placeholder_vins, staging.shared_vins")
    with feed.database.transaction():
        feed.database.execute(MIGRATION.read_bytes())


def joined(feed: Loader, vin: str, *lots: int) -> None:
    """Have lots share a vehicle as the version before would, the last of them relisted from the one before it."""
    ((vehicle,),) = feed.all("insert into vehicles (vin, make) values (%s, 'FREIGHTLINER') returning id", vin)
    feed.database.execute(
        "update lots set vehicle_id = %s, vin = %s, flags = '{}' where lot_external_id = any(%s)",
        [vehicle, vin, list(lots)],
    )
    feed.database.execute(
        "update lots set previous_lot_id = (select id from lots where lot_external_id = %s) where lot_external_id = %s",
        [lots[-2], lots[-1]],
    )
    feed.database.execute("delete from vehicles where not exists (select from lots where vehicle_id = vehicles.id)")


def seen(feed: Loader, *lots: int) -> list[tuple[Any, ...]]:
    """Return what stands of some lots and of their vehicles."""
    return feed.all(
        "select make, vehicles.vin, lots.vin, flags, previous_lot_id is null from lots join vehicles on vehicle_id ="
        " vehicles.id where lots.lot_external_id = any(%s) order by lots.lot_external_id",
        list(lots),
    )


def test_lots_that_a_placeholder_joined_part_and_the_next_file_says_what_they_are(feed: Loader) -> None:
    rows: list[Row] = [
        ANCHOR,
        row(ONE, vin=ZEROES, make="UTILITY"),
        row(TWO, vin=ZEROES, make="FREIGHTLINER"),
        row(THREE),
    ]
    feed.loaded(rows)
    right = seen(feed, ONE, TWO, THREE)
    joined(feed, ZEROES, ONE, TWO)
    feed.database.execute("update lots set vin = '00000' where lot_external_id = %s", [THREE])
    feed.database.execute(
        "insert into images (lot_id, vin, seq, variant, source_url, storage_key, content_hash, content_type, width,"
        " height, bytes) select id, vin, 1, 'ful', 'u', 'k', repeat('0', 64), 'image/jpeg', 1, 1, 1 from lots"
    )
    repaired(feed)
    assert [each[1:] for each in seen(feed, ONE, TWO)] == [(None, None, ["vin"], True)] * 2
    assert feed.all("select vin, flags from lots where lot_external_id = %s", THREE) == [(None, ["vin"])]
    assert feed.one(NOBODY) == 0
    assert feed.all("select vin from images where vin is not null") == [(ANCHOR["vin"],)]
    outcome = feed.loaded([*rows, row(FOUR)])
    assert (outcome.lots_new, outcome.lots_changed, outcome.lots_gone) == (1, 3, 0)
    assert seen(feed, ONE, TWO, THREE) == right
    assert feed.loaded([*rows, row(FOUR, color="RED")]).lots_changed == 1


def test_lots_of_makes_that_are_too_many_part_where_their_raw_rows_are_there(feed: Loader) -> None:
    makes = ("UTILITY", "FREIGHTLINER", "FORD", "KIA")
    lots = (ONE, TWO, THREE, FOUR)
    rows = [ANCHOR, *(row(lot, vin=SHARED, make=make) for lot, make in zip(lots, makes, strict=True))]
    feed.loaded(rows)
    joined(feed, SHARED, *lots)
    repaired(feed)
    assert seen(feed, *lots) == [(make, None, None, ["vin"], True) for make in makes]
    assert feed.all("select vin from staging.placeholder_vins") == [(SHARED,)]
    assert feed.one(NOBODY) == 0
    assert feed.loaded([*rows, row(FOUR + 1)]).lots_changed == 4
    assert seen(feed, *lots) == [(make, None, None, ["vin"], True) for make in makes]


def test_a_frozen_lot_and_its_vehicle_are_as_the_next_file_says(feed: Loader) -> None:
    """Its correct rows came, were refused as older, and are known: only a state made anew has them read again."""
    rows = [
        ANCHOR,
        row(ONE, vin=vin_of(9), high_bid="5.0", color="BLUE"),
        row(TWO, vin=vin_of(9), color="BLUE"),
        row(THREE),
    ]
    feed.loaded(rows)
    feed.database.execute(
        "update lots set last_updated_at = '2099-01-01', high_bid = 1, row_hash = 'an older one' where"
        " lot_external_id = %s",
        [ONE],
    )
    feed.database.execute(
        "update vehicles set last_updated_at = '2099-01-01', color = 'red' where vin = %s", [vin_of(9)]
    )
    untouched = feed.lot(THREE, "row_hash", "last_updated_at", "flags")
    repaired(feed)
    assert feed.lot(ONE, "last_updated_at", "flags") == (None, ["last_updated_at"])
    assert feed.lot(TWO, "last_updated_at is null", "flags") == (False, [])
    assert feed.lot(THREE, "row_hash", "last_updated_at", "flags") == untouched
    outcome = feed.loaded([*rows, row(FOUR)])
    assert (outcome.conflicts, outcome.lots_new, outcome.lots_changed) == (0, 1, 2)
    assert feed.lot(ONE, "high_bid", "flags") == (5, [])
    assert feed.one("select color from vehicles where vin = %s", vin_of(9)) == "blue"
    assert feed.one("select count(*) from vehicles where last_updated_at is null") == 0


def test_what_is_in_order_is_not_touched(feed: Loader) -> None:
    feed.loaded([ANCHOR, row(ONE, vin=vin_of(9)), row(TWO, vin=vin_of(9), last_updated_at=NOON), row(THREE, vin="")])
    stamps = feed.all("select ctid::text, xmin::text from lots union all select ctid::text, xmin::text from vehicles")
    repaired(feed)
    assert (
        feed.all("select ctid::text, xmin::text from lots union all select ctid::text, xmin::text from vehicles")
        == stamps
    )


def test_a_lot_that_leaves_with_the_next_file_is_gone_although_its_row_was_to_be_read_again(feed: Loader) -> None:
    feed.loaded([ANCHOR, row(ONE), row(TWO)])
    feed.database.execute("update lots set last_updated_at = '2099-01-01' where lot_external_id <> 70000000")
    repaired(feed)
    assert feed.loaded([ANCHOR]).lots_gone == 2
    assert feed.active() == {70_000_000}
