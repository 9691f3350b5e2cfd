"""The operators' queries on the feed, as they are written down, and that no column of the feed is left out."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from etl.read.columns import COLUMNS
from standin.feed.command import Market, inject
from tests.support.feed_files import Database, Loader, row
from vinops.config import Settings
from vinops.db.database import queries

LOTS = 400


@pytest.fixture
def feed(settings: Settings, database: Database, tmp_path: Path) -> Loader:
    """Two files of a market and one with quirks, loaded."""
    loader = Loader(settings=replace(settings, feed_min_rows=0), database=database, folder=tmp_path)
    market = Market(seed=4, lots=LOTS)
    source = tmp_path / "market.csv"
    market.write(source)
    loader.loaded(source.read_bytes())
    market.advance(changed=0.05, new=0.02, gone=0.02)
    market.write(source)
    data, _ = inject(source.read_bytes(), "inner_quotes", seed=2, count=3)
    loader.loaded(data + b'"bad row"\n')
    return loader


def test_ingest_count(feed: Loader) -> None:
    cursor = feed.database.execute("SELECT * FROM audit.v_ingest_count ORDER BY last_ingest DESC LIMIT 10")
    names = [column.name for column in cursor.description or ()]
    newest, oldest = (dict(zip(names, each, strict=True)) for each in cursor.fetchall())
    assert newest["last_ingest"] > oldest["last_ingest"]
    assert oldest["rows_read"] == oldest["lots_new"] == LOTS
    assert (newest["rows_rejected"], newest["lots_new"], newest["lots_gone"], newest["loads"]) == (1, 8, 8, 1)
    assert newest["rows_read"] == newest["rows_accepted"] + newest["rows_rejected"]


def test_unknown_rate(feed: Loader) -> None:
    rows = feed.all("SELECT * FROM audit.v_unknown_rate")
    rates = {name: (lots, unknown, float(rate)) for name, lots, unknown, rate in rows}
    assert {"vin", "year", "make", "odometer", "sale_date", "(key columns)"} <= set(rates)
    assert all(lots == LOTS and 0 <= unknown <= lots * 9 for lots, unknown, _ in rates.values())
    for name, column in (("vin", "vin"), ("sale_date", "sale_date"), ("odometer", "odometer")):
        unknown = feed.one(f"select count(*) from lots where status = 'active' and {column} is null")
        assert rates[name][1] == unknown
        assert rates[name][2] == pytest.approx(unknown / LOTS, abs=1e-4)
    listed = [float(rate) for _, _, _, rate in rows]
    assert listed == sorted(listed, reverse=True)


def test_parse_errors(feed: Loader) -> None:
    rows = feed.all("SELECT * FROM audit.v_parse_errors")
    assert ("row", "field_count", 1, '"bad row"') in [(*found, example) for *found, _, example in rows]
    assert all(errors > 0 and last_seen is not None and example for _, _, errors, last_seen, example in rows)


def test_staged_rows(feed: Loader) -> None:
    ((last, count),) = feed.all("SELECT MAX(ingested_at), COUNT(*) FROM staging.copart_raw")
    assert count == sum((outcome.lots_new or 0) + (outcome.lots_changed or 0) for outcome in feed.outcomes)
    assert last is not None


def test_one_lot(feed: Loader) -> None:
    ((number, vin, lot),) = feed.all("SELECT id, vin, lot_external_id FROM lots WHERE id = 1")
    assert number == 1
    assert len(vin) == 17
    assert feed.lot(lot, "id") == number


VALUES = {
    "ordinal": "1",
    "body_style": "SEDAN",
    "secondary_damage": "SIDE",
    "special_note": "A NOTE",
    "thumbnail_url": "photos.example/t.jpg",
    "high_bid": "25.0",
    "buy_now_price": "900.0",
    "trim": "SE",
    "seller_name": "A SELLER",
    "offsite_address": "1 ROAD",
    "offsite_state": "OH",
    "offsite_city": "TOWN",
    "offsite_zip": "43001",
    "sale_light": "GREEN LIGHT",
    "autograde": "3.5",
    "announcements": "NONE",
}
COLUMN_OF = {
    "lot_number": "lot_external_id",
    "model_detail": "model",
    "condition_code": "condition",
    "rentals": "rental",
    "time_zone": "sale_time_zone",
}
"""Where lots or vehicles call a column by another name than staging.copart_raw."""


def test_every_column_of_the_feed_arrives_in_lots_or_vehicles_or_is_ignored_by_name(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    feed = Loader(settings=replace(settings, feed_min_rows=0), database=database, folder=tmp_path)
    feed.loaded([row(71_000_001, **VALUES)])
    query = "select to_jsonb(vehicles), to_jsonb(lots) from lots join vehicles on vehicles.id = vehicle_id"
    ((vehicle, lot),) = feed.all(query)
    values = {**vehicle, **lot}
    for column in COLUMNS:
        assert (COLUMN_OF.get(column.name, column.name) in values) == (not column.ignored), column.name
        if not column.ignored:
            assert values[COLUMN_OF.get(column.name, column.name)] is not None, column.name
    assert values["flags"] == []


def test_the_merge_names_every_column_that_is_not_ignored() -> None:
    read = queries("feed_parse")["read_rows"]
    named = set(re.findall(r"\br\.(\w+)", read))
    assert named >= {column.name for column in COLUMNS if not column.ignored}
