"""By how much bids grow before a sale, measured on lots that left the feed: what counts, and what does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from deals.lots import results
from tests.support import import_lots

if TYPE_CHECKING:
    from psycopg import Connection

    Database = Connection[Any]

SOLD = {"status": "gone", "in_hours": -24}


def sold(database: Database, number: int, last: int | None, bids: dict[float, int], **facts: Any) -> None:
    """Insert a lot that left the feed after its sale with a last bid, and its bids by the hours before the sale."""
    lot_id = import_lots.add_lot(database, number, **{**SOLD, "high_bid": last, **facts})
    database.execute("update lots set gone_at = coalesce(sale_at, now()) where id = %s and status = 'gone'", [lot_id])
    for hours, bid in bids.items():
        database.execute(
            "insert into audit.lot_events (lot_id, file_id, event, old_value, new_value, happened_at)"
            " select id, 1, 'high_bid', null, %s, sale_at - make_interval(secs => %s) from lots where id = %s",
            [str(bid), hours * 3600, lot_id],
        )


def floors(database: Database) -> dict[int, tuple[int, float]]:
    """Measure, and return lots and growth by hours."""
    results.learn_floors(database)
    rows = database.execute("select hours, lots, growth::float8 from lot_floors order by hours").fetchall()
    return {hours: (lots, round(growth, 3)) for hours, lots, growth in rows}


def test_the_growth_is_the_median_from_the_last_bid_that_was_known_then(database: Database) -> None:
    for number, last in enumerate((1_500, 2_000, 9_000), 1):
        sold(database, number, last, {30: 500, 7: 1_000, 1: 1_400})
    found = floors(database)
    assert found == {2: (3, 2.0), 6: (3, 2.0), 12: (3, 4.0), 24: (3, 4.0)}, "2 h and 6 h before it was 1,000"


def test_an_event_at_the_very_hour_counts_and_one_behind_it_does_not(database: Database) -> None:
    sold(database, 1, 3_000, {6: 1_000, 5.99: 1_500})
    assert floors(database) == {2: (1, 2.0), 6: (1, 3.0)}


@pytest.mark.parametrize(
    ("last", "facts"),
    [(2_000, {"status": "active"}), (None, {}), (0, {}), (2_000, {"in_hours": -24 * 70})],
    ids=["not sold yet", "no last bid", "a last bid of nothing", "too long ago"],
)
def test_a_lot_that_tells_nothing_is_left_out(database: Database, last: int | None, facts: dict[str, Any]) -> None:
    sold(database, 1, last, {30: 500}, **facts)
    assert floors(database) == {}


def test_a_bid_of_nothing_is_no_floor_to_grow_from(database: Database) -> None:
    sold(database, 1, 2_000, {30: 0, 3: 800})
    assert floors(database) == {2: (1, 2.5)}


def test_measuring_again_writes_only_what_changed(database: Database) -> None:
    sold(database, 1, 2_000, {30: 500})
    floors(database)
    at = "select hours, measured_at, xmin::text from lot_floors order by hours"
    before = database.execute(at).fetchall()
    floors(database)
    assert database.execute(at).fetchall() == before
    sold(database, 2, 4_000, {30: 500})
    assert {lots for lots, _ in floors(database).values()} == {2}
