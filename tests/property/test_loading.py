"""Loading, for any succession of small files: what the tables hold is what the last file says.

    VINOPS_PROPERTY_CASES=6000 .venv/bin/pytest tests/property -o timeout=0

tries 6,000 cases of each property (600 where each case loads files into the database): more than 50,000 in all.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from etl.merge import diff
from etl.read.file import FeedFile
from tests.property.cases import crooked_lines, few
from tests.support.feed_files import LATER, NAMES, NOON, TABLES, Database, Loader, Row, row
from vinops.config import Settings

ANCHOR = row(60_000_000, last_updated_at=LATER)
"""In each file: its update is the newest, so that no file counts as older than the one before."""

FUTURE = "2099-01-01T00:00:00Z"

LOTS = 61_000_000
SHARED = "12345678901234567"
MAKES = ("FORD", "HYUNDAI", "FREIGHTLINER", "UTILITY", "KIA")
MOST_MAKES = 3
OF_ALL = "select lots.id, vehicles.vin from lots left join vehicles on vehicles.id = vehicle_id"
CURRENT = (
    "select lots.lot_external_id, lots.vin, vehicles.vin, year, color, model, sale_date, sale_at, sale_status,"
    " high_bid, buy_now_price, odometer, special_note, seller_name, lots.last_updated_at, flags, row_hash from lots"
    " join vehicles on vehicles.id = vehicle_id where status = 'active' order by 1"
)
Line = Row | bytes


@st.composite
def rows(draw: st.DrawFn) -> Row:
    """Draw a row of one of thirty lots, all of one time."""
    return row(
        LOTS + draw(st.integers(1, 30)),
        color=draw(st.sampled_from(["RED", "BLUE", "", "OCTARINE"])),
        high_bid=draw(st.sampled_from(["0.0", "25.0", "NaN", "1e5"])),
        sale_date=draw(st.sampled_from(["0", "20260709", "20260231"])),
        special_note=draw(st.sampled_from(["", '12" X', '12"" Y', "two\nlines", "é", "a,b"])),
        last_updated_at=draw(st.sampled_from([NOON, NOON, FUTURE])),
    )


@st.composite
def strangers(draw: st.DrawFn) -> Row:
    """Draw a row of one of eight lots that share one VIN, or a placeholder."""
    return row(
        LOTS + 100 + draw(st.integers(1, 8)),
        vin=draw(st.sampled_from([SHARED, SHARED, SHARED, "0" * 17])),
        make=draw(st.sampled_from(MAKES)),
        color=draw(st.sampled_from(["RED", "BLUE"])),
        last_updated_at=NOON,
    )


def distinct(lines: list[Line]) -> list[Line]:
    """Return the lines with the first row of each lot only."""
    seen: set[str] = set()
    return [
        each
        for each in lines
        if isinstance(each, bytes) or not (each["lot_number"] in seen or seen.add(each["lot_number"]))  # type: ignore[func-returns-value]
    ]


@st.composite
def successions(draw: st.DrawFn, *, most: int = 4) -> list[list[Line]]:
    """Draw files of 0 to 30 lots: each is the one before with rows changed, new, gone or moved, or is all new."""
    files: list[list[Line]] = []
    lines: list[Line] = []
    for _ in range(draw(st.integers(2, most))):
        if not files or draw(st.integers(0, 9)) == 0:
            lines = list(draw(st.lists(rows(), max_size=30)))
        lines = list(lines)
        for _ in range(draw(st.integers(0, 6))):
            at = draw(st.integers(0, len(lines)))
            what = draw(st.sampled_from(["in", "in", "out", "other", "move", "bad"]))
            if what == "in":
                lines.insert(at, draw(rows()))
            elif what == "bad":
                lines.insert(at, draw(crooked_lines()).replace(b"\n", b"") or b" ")
            elif at < len(lines):
                each = lines.pop(at)
                if what == "move":
                    lines.insert(draw(st.integers(0, len(lines))), each)
                elif what == "other" and not isinstance(each, bytes):
                    lines.insert(at, {**draw(rows()), "lot_number": each["lot_number"], "vin": each["vin"]})
        files.append([ANCHOR, *distinct(lines)])
    return files


@st.composite
def successions_with_duplicates(draw: st.DrawFn) -> list[list[Line]]:
    """Draw the same with rows of lots that stand in the file already."""
    files = []
    for lines in draw(successions()):
        twice = [each for each in lines[1:] if not isinstance(each, bytes)]
        for _ in range(draw(st.integers(0, 3)) if twice else 0):
            each = draw(st.sampled_from(twice))
            again = each if draw(st.booleans()) else {**each, "color": draw(st.sampled_from(["RED", "TAN"]))}
            lines.insert(draw(st.integers(1, len(lines))), again)
        files.append(lines)
    return files


@st.composite
def successions_of_strangers(draw: st.DrawFn) -> list[list[Line]]:
    """Draw files of a few lots that share a VIN, each with a few rows in, out or changed."""
    files: list[list[Line]] = []
    lines: dict[str, Row] = {}
    for _ in range(draw(st.integers(2, 6))):
        for each in draw(st.lists(strangers(), max_size=4)):
            lines[each["lot_number"]] = each
        for lot in draw(st.lists(st.sampled_from(sorted(lines)), max_size=2, unique=True)) if lines else ():
            del lines[lot]
        files.append([ANCHOR, *lines.values()])
    return files


@pytest.fixture
def feed(settings: Settings, database: Database, tmp_path: Path) -> Loader:
    return Loader(settings=replace(settings, feed_min_rows=0, feed_shrink_limit=1), database=database, folder=tmp_path)


@pytest.fixture(params=["whole", "in parts"])
def reading(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Small files are read in one piece; in parts, with a window of a few rows, they are read as large ones are."""
    if request.param == "in parts":
        monkeypatch.setitem(FeedFile.__init__.__kwdefaults__ or {}, "block_bytes", 700)
        monkeypatch.setattr(diff, "AHEAD", 2)
        monkeypatch.setattr(diff, "BEHIND", 3)
    return str(request.param)


def empty(feed: Loader) -> None:
    """Begin an example: nothing in the tables and on the disk."""
    feed.database.execute(f"truncate {', '.join(TABLES)} restart identity cascade")
    shutil.rmtree(feed.settings.data_dir, ignore_errors=True)


def contents(feed: Loader) -> dict[str, list[str]]:
    return {
        table: sorted(text for (text,) in feed.all(f"select each::text from {table} as each"))
        for table in TABLES
        if table != "audit.etl_runs"
    }


def lots_of(lines: list[Line]) -> set[int]:
    return {int(each["lot_number"]) for each in lines if not isinstance(each, bytes)}


def history(feed: Loader) -> list[tuple[Any, ...]]:
    return feed.all(
        "select status, gone_at is null, (select array_agg(event order by e.id) from audit.lot_events as e where"
        " lot_id = lots.id and event in ('appeared', 'relisted', 'gone', 'returned')) from lots"
    )


def check(feed: Loader, files: list[list[Line]]) -> None:
    """Check what holds after every succession of files."""
    for rows_read, accepted, rejected in feed.all(
        "select rows_read, rows_accepted, rows_rejected from audit.etl_runs where status = 'loaded'"
    ):
        assert rows_read == accepted + rejected
    known: set[int] = set().union(*map(lots_of, files))
    crooked = {lot for lot in feed.active() if lot < LOTS and lot != 60_000_000}
    assert feed.active() - crooked == lots_of(files[-1])
    gone = {lot for (lot,) in feed.all("select lot_external_id from lots where status = 'gone'")}
    assert {lot for lot in gone if lot >= LOTS} == known - lots_of(files[-1])
    for status, is_here, events in history(feed):
        assert is_here == (status == "active")
        assert events[0] in {"appeared", "relisted"}
        assert events[1:] == (["gone", "returned"] * len(events))[: len(events) - 1]
        assert (status == "gone") == (events[-1] == "gone")


@few
@given(files=successions())
def test_loading_a_file_twice_changes_nothing(files: list[list[Line]], feed: Loader, reading: str) -> None:
    empty(feed)
    for lines in files:
        feed.load(lines)
        before = contents(feed)
        assert feed.load(lines).status == "unchanged"
        assert contents(feed) == before


@few
@given(files=successions())
def test_file_after_file_ends_as_the_last_one_alone(files: list[list[Line]], feed: Loader, reading: str) -> None:
    empty(feed)
    for lines in files:
        feed.load(lines)
        assert feed.outcomes[-1].status in {"loaded", "unchanged"}
        if feed.outcomes[-1].status == "loaded":
            assert feed.outcomes[-1].rows_accepted == len(feed.active())
    check(feed, files)
    step_by_step = feed.all(CURRENT)
    empty(feed)
    feed.loaded(files[-1])
    assert step_by_step == feed.all(CURRENT)


@few
@given(files=successions_with_duplicates())
def test_lots_that_stand_twice_are_accounted_for(files: list[list[Line]], feed: Loader, reading: str) -> None:
    empty(feed)
    for lines in files:
        outcome = feed.load(lines)
        if outcome.status == "loaded":
            assert outcome.rows_accepted == len(feed.active())
    check(feed, files)


@few
@given(files=successions(most=2), titles=st.booleans())
def test_there_and_back_again_ends_where_it_began(
    files: list[list[Line]], titles: bool, feed: Loader, reading: str
) -> None:
    empty(feed)
    names = NAMES[1:] if titles else NAMES
    first, second = files[0], files[1]
    feed.loaded(first)
    before = feed.all(CURRENT)
    feed.load(second, names=names)
    feed.load(first)
    assert feed.all(CURRENT) == before
    check(feed, [first, second, first])


@few
@given(files=successions_of_strangers())
def test_lots_under_one_vin_are_one_vehicle_until_their_makes_are_too_many(
    files: list[list[Line]], feed: Loader, reading: str
) -> None:
    empty(feed)
    is_placeholder = False
    for lines in files:
        feed.load(lines)
        rows = [each for each in lines[1:] if not isinstance(each, bytes)]
        sharing = [each for each in rows if each["vin"] == SHARED]
        is_placeholder |= len({each["make"] for each in sharing}) > MOST_MAKES
        assert feed.all("select vin from staging.placeholder_vins") == [(SHARED,)] * is_placeholder
        joined = set() if is_placeholder else {int(each["lot_number"]) for each in sharing}
        found = feed.all(
            "select lots.lot_external_id, vehicles.vin, lots.vin, make, color, flags from lots join vehicles on"
            " vehicles.id = vehicle_id where status = 'active' and lots.lot_external_id > %s order by 1",
            LOTS,
        )
        for (lot, of_vehicle, vin, make, color, flags), each in zip(
            found, sorted(rows, key=lambda each: each["lot_number"]), strict=True
        ):
            if lot in joined:
                assert (of_vehicle, vin, flags) == (SHARED, SHARED, [])
            else:
                assert (of_vehicle, vin, flags) == (None, None, ["vin"])
                assert (make, color) == (each["make"], each["color"].lower())
        assert feed.one("select count(distinct vehicle_id) from lots where vin = %s", SHARED) <= 1
        assert feed.one("select count(*) from lots where vehicle_id not in (select id from vehicles)") == 0
        if is_placeholder:
            assert SHARED not in {of_vehicle for _, of_vehicle, *_ in feed.all(OF_ALL)}
            assert feed.one("select count(*) from lots where previous_lot_id is not null") == 0
    check(feed, files)
