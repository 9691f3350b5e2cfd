"""What operators ask costs what is active: the rows that a statement reads do not grow with the history.

The database is a small one of the shape that `python -m bench --year` measures; the planner is told that it is a
hundred times as large, as its choice depends on the size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import psycopg
import pytest

from bench import year, year_data
from bench.year_data import Year
from tests.conftest import fresh
from vinops.db import session
from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.rows import TupleRow

    from bench.year import Question
    from vinops.config import Settings

    Database = psycopg.Connection[TupleRow]

SMALL: Final = Year(
    lots=9_000, active=300, photos=8_550, ads=6_000, active_ads=200, staged=3_000, files=120, runs=40, walks=60
)
LARGE: Final = (
    "lots",
    "lot_photos",
    "vehicles",
    "images",
    "lot_events",
    "copart_raw",
    "listings",
    "normalized_listings",
    "scores",
    "valuations",
)
MOST: Final = 5 * SMALL.active  # rows of these tables; a look at each active lot reads up to three
SAMPLE: Final = 3 * SMALL.photos
ALLOWED: Final = {"forecast: photos": SAMPLE, "photo_stores: counts": SAMPLE, "newest staged row": SMALL.staged}
"""The newest 20,000 photos, each looked up once; 500,000 photos of each place at most; staged rows, which retention
bounds."""


@pytest.fixture(scope="module")
def year_url(server: str, admin: Database) -> Iterator[str]:
    for url in fresh(server, admin, "vinops"):
        year_data.fill_newest(url, SMALL)
        year_data.add_oldest(url, SMALL)
        yield url


@pytest.fixture
def filled(year_url: str) -> Iterator[Database]:
    with psycopg.connect(year_url, autocommit=True, context=session.adapters()) as connection:
        connection.execute(
            "update pg_class set reltuples = 100 * reltuples where relkind = 'r' and relname = any(%s)", [list(LARGE)]
        )
        connection.execute("set effective_cache_size to '8kB'")  # small tables are no cheaper
        yield connection
        connection.execute("analyze")


def plans(database: Database, question: Question) -> Iterator[dict[str, Any]]:
    """Yield the nodes of the plan of a statement that was executed and rolled back."""
    with database.transaction(force_rollback=True):
        if question.before:
            database.execute(question.before)
        text = f"explain (analyze, timing off, format json) {question.text}".encode()
        row = database.execute(text, question.values or None).fetchone()
    assert row is not None
    nodes = [row[0][0]["Plan"]]
    while nodes:
        node = nodes.pop()
        nodes += node.get("Plans", [])
        yield node


def rows_read(node: dict[str, Any]) -> float:
    """Return how many rows of a large table a node has read, kept or not."""
    if node.get("Relation Name") not in LARGE:
        return 0
    each = node["Actual Rows"] + sum(value for name, value in node.items() if name.startswith("Rows Removed by"))
    return float(each * node["Actual Loops"])


def test_statements_of_operators_and_crawls_read_what_is_active(filled: Database, settings: Settings) -> None:
    found = {
        question.title: sum(map(rows_read, plans(filled, question)))
        for question in year.questions(settings, SMALL)
        if not question.grows
    }
    assert len(found) > 40
    assert {title: rows for title, rows in found.items() if rows > ALLOWED.get(title, MOST)} == {}


def test_counts_of_all_photos_read_an_index_only(filled: Database, settings: Settings) -> None:
    counts = [question for question in year.questions(settings, SMALL) if question.grows]
    assert len(counts) == 4
    for question in counts:
        (scan,) = [node for node in plans(filled, question) if node.get("Relation Name") == "images"]
        assert scan["Node Type"] == "Index Only Scan", question.title


def test_the_answers_are_those_of_a_count(filled: Database) -> None:
    """Views that look rows up one by one count the same as joins do."""
    photos = filled.execute(
        """
        select coalesce(lot_photos.state, 'missing'), count(*)
        from lots left join lot_photos on lots.id = lot_photos.lot_id
        where lots.status = 'active' group by 1
        """
    ).fetchall()
    assert dict(filled.execute("select state, lots from audit.v_photo_coverage").fetchall()) == dict(photos)
    known = filled.execute(
        """
        select count(*), count(vehicles.trim), count(vehicles.fuel), count(lots.secondary_damage)
        from lots join vehicles on lots.vehicle_id = vehicles.id where lots.status = 'active'
        """
    ).fetchone()
    of_column = dict(filled.execute("select column_name, (lots, known) from audit.v_column_coverage").fetchall())
    assert known is not None
    lots, *counts = (str(count) for count in known)
    assert [of_column[name] for name in ("trim", "fuel", "secondary_damage")] == [(lots, count) for count in counts]


def test_the_snapshot_counts_the_values_that_are_unknown(filled: Database) -> None:
    """The indexes of what lacks a value count the same as a look at all active lots, whatever changes."""
    recount = """
        select count(*), count(*) - count(lots.vin), count(*) - count(year), count(*) - count(make),
            count(*) - count(model), count(*) - count(fuel), count(*) - count(damage), count(*) - count(image_url)
        from lots join vehicles on lots.vehicle_id = vehicles.id where lots.status = 'active'
    """
    changes = (
        "select",
        "update vehicles set year = null where id % 7 = 0",
        "update vehicles set make = null, model = null where id % 11 = 0",
        "update lots set vin = null where id % 5 = 0",
        "update lots set damage = null, image_url = null where id % 13 = 0",
        "update lots set vehicle_id = vehicle_id - 1 where id % 3 = 0",
        "update lots set status = 'active' where id % 100 = 0",
        "update lots set status = 'gone' where id % 4 = 0",
        "update vehicles set year = 2020, fuel = 'gas' where id % 14 = 0",
        "update lots set vin = 'known', image_url = 'known' where id % 10 = 0",
    )
    found = set()
    with filled.transaction(force_rollback=True):
        filled.execute("set local session_replication_role = replica")
        for change in changes:
            filled.execute(change)
            counted = filled.execute(queries("snapshot")["unknown_rate"]).fetchone()
            assert counted == filled.execute(recount).fetchone(), change
            found.add(counted)
    assert len(found) > len(changes) / 2


def test_no_index_of_lots_has_a_column_that_a_bid_changes(database: Database) -> None:
    """With such an index, or a condition of one, every update of a lot would write to all of them: no tuple would be
    heap-only."""
    found = database.execute(
        """
        select distinct attname
        from pg_index
        join pg_depend on pg_depend.objid = indexrelid and refobjid = indrelid
        join pg_attribute on attrelid = indrelid and attnum = refobjsubid
        where indrelid = 'lots'::regclass
        """
    ).fetchall()
    seldom = {"id", "lot_external_id", "vehicle_id", "previous_lot_id", "first_seen_at", "gone_at"}
    assert {name for (name,) in found} <= seldom | {"status", "vin", "damage", "image_url"}
