"""The loader on a real file, where there is one beside the repository.

The sample is `copart_salesdata59.csv.gz` with `copart_code_lists_2026.json`, in the folder that VINOPS_SHARED_DATA
names, else in `../shared/data`. None of it is part of the repository.
"""

from __future__ import annotations

import gzip
import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from etl.outcome import Outcome
from etl.read.columns import COLUMNS, read_header
from etl.read.file import FeedFile
from etl.run import ingest
from tests.conftest import fresh
from tests.support.feed_files import Database, Loader, row
from vinops.config import Secret, Settings
from vinops.db import database as db

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = 25_762
DATA = Path(os.environ.get("VINOPS_SHARED_DATA") or Path(__file__).parents[4] / "shared" / "data")
SAMPLE = DATA / "copart_salesdata59.csv.gz"
CODES = DATA / "copart_code_lists_2026.json"

pytestmark = pytest.mark.skipif(
    not (SAMPLE.exists() and CODES.exists()),
    reason="the real sample is not here: name its folder in VINOPS_SHARED_DATA",
)

FIELDS = {
    "vehicleType": "vehicle_type",
    "damageDescription": "damage",
    "secondaryDamage": "secondary_damage",
    "hasKeys": "has_keys",
    "lotCondCode": "condition_code",
    "odometerBrand": "odometer_brand",
    "drivetrain": "drive",
    "transmission": "transmission",
    "fuelType": "fuel",
    "cylinders": "cylinders",
    "saleStatus": "sale_status",
    "saleTime": "sale_time",
    "locationCountry": "country",
    "currencyCode": "currency",
    "saleLight": "sale_light",
    "exteriorColor": "color",
    "makeOfferEligible": "make_an_offer",
    "rentals": "rentals",
    "wholesale": "copart_select",
}
"""The lists of codes, and the column of staging.copart_raw in which each code stands."""

WITHOUT_CODES = {
    "saleTitleType", "saleTitleState", "runsDrives", "saleTimeZone", "saleDayOfWeek", "locationState", "bodyStyle",
    "make_top150", "engine_top120",
}  # fmt: skip
"""Free text, columns that are ignored by name, and what is tested below in pairs."""

MEANS_NOTHING = {"", "0", "UNKNOWN", "OTHER", "EXM", "E", "X", "UNKNOWN - NOT OK FOR INV."}
"""Codes that stand for "not known" in some column."""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "sample.csv"
    with gzip.open(SAMPLE) as source:
        path.write_bytes(source.read())
    return path


@pytest.fixture(scope="module")
def settings_of_sample(server: str, admin: Database, path: Path) -> Iterator[Settings]:
    """Settings with the database into which the sample is loaded, once for all tests."""
    for url in fresh(server, admin, "vinops"):
        yield Settings(database_url=Secret(url), data_dir=path.parent / "data", log_dir=path.parent / "logs")


@pytest.fixture(scope="module")
def outcome(path: Path, settings_of_sample: Settings) -> Outcome:
    """The sample, loaded."""
    return ingest(settings_of_sample, path, fetched_at=datetime.now(UTC))


@pytest.fixture
def sample(outcome: Outcome, settings_of_sample: Settings) -> Iterator[Database]:
    """A connection to the database of the sample."""
    assert outcome.status == "loaded"
    with db.connect(settings_of_sample, application="tests", autocommit=True) as connection:
        yield connection


@pytest.fixture
def feed(settings: Settings, database: Database, tmp_path: Path) -> Loader:
    return Loader(settings=replace(settings, feed_min_rows=0), database=database, folder=tmp_path)


@pytest.fixture(scope="module")
def codes() -> dict[str, Any]:
    return dict(json.loads(CODES.read_text()))


def one(database: Database, query: str) -> Any:
    row = database.execute(query).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.slow
def test_every_row_is_accounted_for(outcome: Outcome, sample: Database) -> None:
    assert (outcome.status, outcome.rows_read) == ("loaded", ROWS)
    assert (outcome.rows_accepted or 0) + (outcome.rows_rejected or 0) == ROWS
    assert one(sample, "select count(*) from lots where status = 'active'") == outcome.rows_accepted
    assert one(sample, "select count(*) from staging.copart_raw") == outcome.rows_accepted
    assert one(sample, "select count(*) from audit.rejected_rows") == outcome.rows_rejected
    assert (outcome.rows_rejected or 0) < ROWS / 1000


def test_no_column_is_unmapped(path: Path) -> None:
    header = FeedFile(path).header
    assert len(header.titles) == 59
    assert "Wholesale" in header.titles
    assert header.unknown == ()
    assert header == read_header(list(header.titles))
    assert {column.name for column in COLUMNS} >= set(header.names)


def test_a_scheduled_lot_has_its_sale_time_where_its_label_is_known(sample: Database) -> None:
    without = """
        select count(*) from lots
        where sale_date is not null and sale_time is not null and sale_time_zone is not null and sale_at is null"""
    assert one(sample, without) == 0
    with_time = one(sample, "select count(*) from lots where sale_date is not null and sale_time is not null")
    assert one(sample, "select count(*) from lots where sale_at is not null") > 0.99 * with_time
    unmapped = """
        select count(*) from lots join staging.copart_raw as r using (file_id, row_hash)
        where r.time_zone is not null and sale_time_zone is null and not flags @> '{time_zone}'"""
    assert one(sample, unmapped) == 0
    # The wall clock of the yard is what the feed says.
    moved = "select count(*) from lots where (sale_at at time zone sale_time_zone) <> sale_date + sale_time"
    assert one(sample, moved) == 0


def test_values_that_cannot_be_read_are_few_and_listed(outcome: Outcome, sample: Database) -> None:
    unread = outcome.drift.get("unread_values", {})
    flagged: dict[str, int] = dict(
        sample.execute("select flag, count(*) from lots, unnest(flags) as flag group by flag").fetchall()
    )
    assert unread == flagged
    assert {name: count for name, count in flagged.items() if name != "title_type" and count > ROWS / 200} == {}


COVERAGE = [
    ("vin", 0.999, 1),
    ("year", 0.99, 1),
    ("make", 0.999, 1),
    ("damage", 0.99, 1),
    ("image_url", 0.99, 1),
    ("sale_status", 0.99, 1),
    ("odometer_brand", 0.98, 1),
    ("engine", 0.90, 0.99),
    ("cylinders", 0.90, 0.99),
    ("trim", 0.70, 0.95),
    ("special_note", 0, 0.10),
    ("sale_light", 0, 0.05),
    ("autograde", 0, 0.05),
    ("announcements", 0, 0.05),
]
"""The least and the most share of active lots whose value is known; the sample has no sellers."""


def test_coverage_is_what_is_known_of_the_feed(sample: Database) -> None:
    coverage = dict(sample.execute("select column_name, coverage from audit.v_column_coverage").fetchall())
    assert [(name, coverage[name]) for name, least, most in COVERAGE if not least <= coverage[name] <= most] == []


def test_a_second_load_of_the_sample_is_unchanged(outcome: Outcome, path: Path, settings_of_sample: Settings) -> None:
    assert outcome.status == "loaded"
    assert ingest(settings_of_sample, path, fetched_at=datetime.now(UTC)).status == "unchanged"


def test_every_list_of_codes_is_looked_at(codes: dict[str, Any]) -> None:
    assert set(codes["fields"]) == set(FIELDS) | WITHOUT_CODES


@pytest.mark.parametrize("name", FIELDS)
def test_every_code_is_mapped_or_reported(name: str, codes: dict[str, Any], feed: Loader) -> None:
    column = FIELDS[name]
    listed = list(codes["fields"][name])
    feed.loaded([row(71_000_000 + number, **{column: code}) for number, code in enumerate(listed)])
    target = {"condition_code": "condition", "rentals": "rental"}.get(column, column)
    found = dict(
        feed.all(
            f"select lots.lot_external_id, array[{target}::text, flags::text] from lots"
            " join vehicles on vehicles.id = vehicle_id"
        )
    )
    unmapped = []
    for number, code in enumerate(listed):
        value, flags = found[71_000_000 + number]
        if flags == f"{{{column}}}":
            assert value is None, code
            unmapped.append(code)
        else:
            assert flags == "{}", code
            assert value is not None or code.upper() in MEANS_NOTHING, code
    # A handful of codes whose meaning nobody knows; each is reported.
    assert sum(codes["fields"][name][code] for code in unmapped) < 0.001 * sum(codes["fields"][name].values())


def test_every_title_has_a_group_or_is_other_and_reported(codes: dict[str, Any], feed: Loader) -> None:
    pairs = [(state, kind) for state, kind, _ in codes["title_state_code_top300"]]
    feed.loaded([row(71_000_000 + n, title_state=state, title_type=kind) for n, (state, kind) in enumerate(pairs)])
    groups = feed.all("select title_group, flags from lots")
    assert len(groups) == len(pairs)
    assert all((group == "other") == (flags == ["title_type"]) for group, flags in groups)
    assert {group for group, _ in groups} >= {"clean", "salvage", "other"}


def test_every_yard_has_a_zone_under_each_of_its_labels(codes: dict[str, Any], feed: Loader) -> None:
    labels = [(yard, label) for yard in codes["yards"] for label in yard["tz"].split("/")]
    assert {label for _, label in labels} <= set(codes["fields"]["saleTimeZone"])
    rows = []
    for number, (yard, label) in enumerate(labels):
        name = yard["yardName"]
        country = "CAN" if "CANADA" in name else "USA"
        values = {"yard_name": name, "yard_number": yard["yardNumber"], "time_zone": label, "country": country}
        rows.append(row(71_000_000 + number, **values))
    feed.loaded(rows)
    assert feed.all("select yard_name, sale_time_zone from lots where sale_at is null") == []
    # One zone a yard, whatever the season of the label.
    zones = "select yard_number, yard_name from lots group by 1, 2 having count(distinct sale_time_zone) > 1"
    assert feed.all(zones) == []
