"""What a feed file does to the tables, promise by promise."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import shutil
import string
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from etl import run as run_module
from etl.errors import ArchiveDamaged
from etl.merge import board
from etl.run import CLOCK_TOLERANCE, ingest
from etl.steps import Steps
from etl.store import places, retention
from etl.store.archive import extract
from etl.store.files import chain_of
from ops.observe.observer import Observer
from tests.support.feed_files import (
    EARLIER,
    LATER,
    NAMES,
    NOON,
    TABLES,
    TITLE,
    Database,
    Loader,
    Row,
    feed_bytes,
    line,
    quoted,
    row,
    vin_of,
)
from tests.support.fleets import until
from vinops import clock
from vinops.config import Settings
from vinops.db.database import queries

ONE, TWO, THREE = 71_000_001, 71_000_002, 71_000_003
PATIENCE = 120  # seconds
ANCHOR = row(70_000_000, last_updated_at=LATER)
"""A row of each file: it keeps the file's newest update where it is while other rows come, go and age."""


@pytest.fixture
def feed(settings: Settings, database: Database, tmp_path: Path) -> Loader:
    return Loader(settings=replace(settings, feed_min_rows=0, feed_shrink_limit=1), database=database, folder=tmp_path)


def contents(feed: Loader) -> dict[str, list[str]]:
    """Everything in the tables."""
    return {table: sorted(text for (text,) in feed.all(f"select each::text from {table} as each")) for table in TABLES}


def rejected(feed: Loader) -> list[tuple[Any, ...]]:
    return feed.all("select line_number, reason, raw_text from audit.rejected_rows order by id")


def restored(feed: Loader, file_id: int | None) -> bytes:
    """Return an archived file."""
    assert file_id is not None
    target = io.BytesIO()
    extract(feed.settings.data_dir, chain_of(feed.database, file_id), target)
    return target.getvalue()


# read


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_byte_order_mark_and_either_line_end_are_read(feed: Loader, newline: bytes, mark: bytes) -> None:
    feed.loaded(mark + feed_bytes([row(ONE), row(TWO)], newline=newline))
    assert feed.active() == {ONE, TWO}
    assert feed.one("select announcements is null from lots where lot_external_id = %s", TWO)


def test_unescaped_inner_quotes_stay_in_their_field(feed: Loader) -> None:
    outcome = feed.loaded([row(ONE, special_note='"125" SLEEPER CAB'), row(TWO)])
    assert feed.lot(ONE, "special_note", "yard_number") == ('"125" SLEEPER CAB', 88)
    assert outcome.rows_repaired == 1
    assert feed.active() == {ONE, TWO}


def test_escaped_quotes_are_read_by_the_rules_of_csv(feed: Loader) -> None:
    feed.loaded([row(ONE, special_note='12"" WHEELS, "",""')])
    assert feed.lot(ONE, "special_note") == '12" WHEELS, ","'


def test_a_line_break_in_a_field_is_kept(feed: Loader) -> None:
    outcome = feed.loaded([row(ONE, special_note="two\nlines"), row(TWO)])
    assert feed.lot(ONE, "special_note") == "two\nlines"
    assert (outcome.rows_read, outcome.rows_accepted) == (2, 2)
    # Known the next time, though it is no line of its own, and gone when it is.
    assert feed.loaded([row(TWO), row(ONE, special_note="two\nlines")]).lots_changed == 0
    assert feed.one("select count(*) from staging.copart_raw") == 2
    assert feed.loaded([row(TWO)]).lots_gone == 1


BAD_ROWS = {
    "field_count": line(row(TWO), 2) + b',"one more"',
    "quotes": b"x" + line(row(TWO), 2)[:-1],
    "nul": line(row(TWO, special_note="a\0b"), 2),
    "encoding": line(row(TWO), 2).replace(b"COLUMBUS", b"COL\xffMBUS"),
    "placeholder": line(row("LOT TO COME"), 2),
    "blank": b"   ",
}


@pytest.mark.parametrize("reason", BAD_ROWS)
def test_one_bad_row_costs_one_row_and_is_kept(feed: Loader, reason: str) -> None:
    bad = BAD_ROWS[reason]
    outcome = feed.loaded([row(ONE), bad, row(THREE)])
    assert feed.active() == {ONE, THREE}
    assert (outcome.rows_read, outcome.rows_accepted, outcome.rows_rejected) == (3, 2, 1)
    text = bad.decode("utf-8", "backslashreplace").replace("\0", "\\x00")
    assert rejected(feed) == [(3, reason, text)]
    assert feed.one("select detail <> '' and rejected_at is not null from audit.rejected_rows")


def test_a_rejected_row_is_counted_in_every_run_and_kept_once(feed: Loader) -> None:
    for color in ("BLUE", "RED", "GRAY"):
        outcome = feed.loaded([row(ONE, color=color), BAD_ROWS["field_count"]])
        assert outcome.rows_rejected == 1
    assert len(rejected(feed)) == 1


def test_a_row_that_lacks_its_last_quote_and_holds_another_costs_one_row(feed: Loader) -> None:
    """It has as many quotes and separators as a sound row; COPY would refuse it, and with it the file."""
    feed.loaded([row(ONE), line(row(TWO, special_note='12" X'), 2)[:-1], row(THREE)])
    assert feed.active() >= {ONE, THREE}


def test_blanks_that_only_unicode_knows_do_not_make_a_lot_number(feed: Loader) -> None:
    """PostgreSQL would not take it for a number, and would refuse the file."""
    feed.loaded([row(ONE), row(TWO, lot_number=f"\u00a0{TWO}", special_note='12" X'), row(THREE)])
    assert feed.active() == {ONE, THREE}
    assert [reason for _, reason, _ in rejected(feed)] == ["placeholder"]


@pytest.mark.parametrize("note", ["plain", '12" X'])
def test_a_placeholder_is_kept_whole_whether_or_not_it_had_to_be_repaired(feed: Loader, note: str) -> None:
    bad = line(row("SOON", special_note=note), 2)
    feed.loaded([row(ONE), bad])
    assert rejected(feed) == [(3, "placeholder", bad.decode())]


def test_lot_number_zero_is_no_lot(feed: Loader) -> None:
    outcome = feed.loaded([row(ONE), row("0")])
    assert outcome.rows_rejected == 1
    feed.loaded([row(ONE)])
    assert feed.active() == {ONE}


@pytest.mark.parametrize("title", ["Wholesale", "Copart Select"])
def test_the_known_names_of_a_column_are_one_column(feed: Loader, title: str) -> None:
    titles = {**TITLE, "copart_select": title, "retail_value": "Lot ACV"}
    outcome = feed.loaded([row(ONE, copart_select="TRUE", retail_value="7000.0")], titles=titles)
    assert feed.lot(ONE, "copart_select", "retail_value") == (True, Decimal("7000.00"))
    assert outcome.drift == {}


def test_a_file_without_ids_is_read(feed: Loader) -> None:
    outcome = feed.loaded([row(ONE), row(TWO)], names=NAMES[1:])
    assert feed.active() == {ONE, TWO}
    assert outcome.drift == {"missing_columns": ["Id"]}
    feed.loaded([row(TWO)], names=NAMES[1:])
    assert feed.active() == {TWO}


def test_an_unknown_column_is_kept_and_reported(feed: Loader) -> None:
    names = [*NAMES[:20], "Battery Health", *NAMES[20:]]
    rows = [{**row(ONE), "Battery Health": '93 "SOH"'}, row(TWO)]
    outcome = feed.loaded(rows, names=names)
    assert outcome.drift["unknown_columns"] == ["Battery Health"]
    kept = feed.all("select lot_number, extra from staging.copart_raw order by lot_number")
    assert kept == [(str(ONE), {"Battery Health": '93 "SOH"'}), (str(TWO), None)]
    assert feed.lot(ONE, "extra") == {"Battery Health": '93 "SOH"'}
    assert feed.one("select drift -> 'unknown_columns' from audit.etl_runs") == ["Battery Health"]
    assert feed.lot(ONE, "vin") == vin_of(ONE)


def test_an_unknown_column_of_a_long_title_costs_its_rows_a_short_one(feed: Loader) -> None:
    title = "x" * 30_000
    outcome = feed.loaded([{**row(ONE), title: "1"}, {**row(TWO), title: "2"}], names=[*NAMES, title])
    short = f"{'x' * 100}… (column 60)"
    assert outcome.drift["unknown_columns"] == [short]
    assert (feed.lot(ONE, "extra"), feed.lot(TWO, "extra")) == ({short: "1"}, {short: "2"})
    assert feed.one("select max(length(extra::text)) from staging.copart_raw") < 200


def test_a_missing_optional_column_is_reported(feed: Loader) -> None:
    outcome = feed.loaded([row(ONE)], names=[name for name in NAMES if name != "seller_name"])
    assert outcome.drift == {"missing_columns": ["Seller Name"]}


@pytest.mark.parametrize("name", ["lot_number", "vin", "last_updated_at", "make", "year", "sale_date"])
def test_a_missing_mandatory_column_refuses_the_file(feed: Loader, name: str) -> None:
    feed.loaded([row(ONE)])
    before = contents(feed)
    outcome = feed.load([row(TWO)], names=[each for each in NAMES if each != name])
    assert (outcome.status, outcome.reason, outcome.exit_code) == ("refused", "missing_column", 1)
    assert TITLE[name] in outcome.message
    after = contents(feed)
    assert len(after.pop("audit.etl_runs")) == len(before.pop("audit.etl_runs")) + 1
    assert after == before


def test_a_column_that_comes_back_under_a_known_name_is_read_anew(feed: Loader) -> None:
    """The bytes of the row are the same; what they mean is not."""
    feed.loaded([row(ONE, color="RED")], titles={**TITLE, "color": "Paint"})
    assert feed.lot(ONE, "extra") == {"Paint": "RED"}
    feed.loaded([row(ONE, color="RED")])
    assert feed.one("select color from vehicles") == "red"


# read: duplicates


@pytest.mark.parametrize(
    ("first", "second", "color"),
    [(EARLIER, NOON, "red"), (NOON, EARLIER, "blue"), (NOON, NOON, "red")],
    ids=["newer", "older", "equal"],
)
@pytest.mark.parametrize("note", ["", 'a "quoted" note', "two\nlines"], ids=["plain", "quoted", "joined"])
def test_of_a_lot_that_stands_twice_the_newest_row_wins_then_the_last(
    feed: Loader, first: str, second: str, color: str, note: str
) -> None:
    rows = [
        ANCHOR,
        row(ONE, color="BLUE", last_updated_at=first, special_note=note),
        row(ONE, color="RED", last_updated_at=second, special_note=note),
    ]
    outcome = feed.loaded(rows)
    assert feed.one("select color from vehicles where vin = %s", vin_of(ONE)) == color
    assert (outcome.rows_read, outcome.rows_accepted, outcome.rows_rejected, outcome.conflicts) == (3, 2, 1, 1)
    assert [reason for _, reason, _ in rejected(feed)] == ["duplicate_lot"]
    assert feed.one("select count(*) from staging.copart_raw") == 2


def test_the_loser_is_recorded_once_and_not_sent_again(feed: Loader) -> None:
    rows = [ANCHOR, row(ONE, color="BLUE"), row(ONE, color="RED"), row(TWO)]
    feed.loaded(rows)
    for odometer in ("1.0", "2.0"):
        outcome = feed.loaded([*rows[:3], row(TWO, odometer=odometer)])
        assert (outcome.lots_changed, outcome.rows_rejected, outcome.conflicts) == (1, 1, 0)
    assert len(rejected(feed)) == 1
    assert feed.one("select count(*) from staging.copart_raw") == 3 + 2


def test_a_loser_whose_winner_leaves_is_the_lot(feed: Loader) -> None:
    blue, red = row(ONE, color="BLUE"), row(ONE, color="RED")
    feed.loaded([ANCHOR, blue, red])
    feed.loaded([ANCHOR, blue])
    assert feed.one("select color from vehicles where vin = %s", vin_of(ONE)) == "blue"
    assert feed.lot(ONE, "status") == "active"


def test_equal_rows_of_a_lot_count_as_one_and_the_other(feed: Loader) -> None:
    feed.loaded([ANCHOR, row(ONE), row(ONE)])
    outcome = feed.loaded([ANCHOR, row(ONE), row(ONE), row(TWO)])
    assert (outcome.rows_accepted, outcome.rows_rejected) == (3, 1)


def test_one_of_two_equal_rows_may_leave(feed: Loader) -> None:
    feed.loaded([ANCHOR, row(ONE), row(ONE)])
    outcome = feed.loaded([ANCHOR, row(ONE)])
    assert (outcome.rows_accepted, outcome.rows_rejected) == (2, 0)


def test_one_of_two_equal_rows_of_several_lines_may_leave(feed: Loader) -> None:
    both = row(ONE, special_note="two\nlines")
    feed.loaded([ANCHOR, both, both])
    outcome = feed.loaded([ANCHOR, both])
    assert (outcome.rows_accepted, outcome.rows_rejected) == (2, 0)


def test_a_duplicate_with_a_line_break_before_its_lot_number_is_settled(feed: Loader) -> None:
    feed.loaded([ANCHOR, row(ONE, color="BLUE"), row(ONE, color="RED", yard_name="OH\nCOLUMBUS")])
    assert feed.one("select color from vehicles where vin = %s", vin_of(ONE)) == "red"


def test_the_same_vin_under_two_lots_of_one_file_is_one_vehicle(feed: Loader) -> None:
    rows = [
        row(ONE, vin=vin_of(9), color="BLUE", last_updated_at=LATER),
        row(TWO, vin=vin_of(9), color="RED", last_updated_at=NOON),
    ]
    feed.loaded(rows)
    assert feed.all("select vin, color from vehicles") == [(vin_of(9), "blue")]
    assert feed.one("select count(distinct vehicle_id) from lots") == 1
    assert feed.active() == {ONE, TWO}


# diff and merge


def test_the_id_of_a_row_is_no_change(feed: Loader) -> None:
    feed.loaded([ANCHOR, row(ONE), row(TWO), row(THREE)])
    outcome = feed.loaded([ANCHOR, row(TWO), row(THREE)])
    assert (outcome.lots_changed, outcome.lots_unchanged, outcome.lots_gone) == (0, 3, 1)
    assert feed.one("select count(*) from staging.copart_raw") == 4


def test_an_older_update_never_overwrites_a_newer_one(feed: Loader) -> None:
    feed.loaded([ANCHOR, row(ONE, high_bid="500.0", color="RED", last_updated_at=NOON)])
    outcome = feed.loaded([ANCHOR, row(ONE, high_bid="400.0", color="BLUE", last_updated_at=EARLIER)])
    assert feed.lot(ONE, "high_bid", "last_updated_at") == (Decimal("500.00"), datetime(2026, 7, 1, 12, tzinfo=UTC))
    assert feed.one("select color from vehicles where vin = %s", vin_of(ONE)) == "red"
    assert (outcome.conflicts, outcome.lots_changed) == (1, 0)
    assert feed.events(ONE) == [("appeared", None, None)]


def test_an_older_update_does_not_overwrite_a_vehicle_that_a_newer_one_left_as_it_was(feed: Loader) -> None:
    feed.loaded([ANCHOR, row(ONE, color="RED", last_updated_at="2026-07-01T10:00:00Z")])
    feed.loaded([ANCHOR, row(ONE, color="RED", high_bid="500.0", last_updated_at="2026-07-01T12:00:00Z")])
    feed.loaded([ANCHOR, row(ONE, color="BLUE", last_updated_at="2026-07-01T11:00:00Z")])
    assert feed.one("select color from vehicles where vin = %s", vin_of(ONE)) == "red"


def test_a_newer_update_overwrites(feed: Loader) -> None:
    feed.loaded([ANCHOR, row(ONE, color="RED")])
    outcome = feed.loaded([ANCHOR, row(ONE, color="BLUE", seller_name="A SELLER", last_updated_at=LATER)])
    assert feed.lot(ONE, "seller_name") == "A SELLER"
    assert feed.one("select color from vehicles where vin = %s", vin_of(ONE)) == "blue"
    assert outcome.lots_changed == 1


def test_a_lot_without_a_line_is_gone_with_the_time_and_not_sold(feed: Loader) -> None:
    feed.loaded([ANCHOR, row(ONE)])
    outcome = feed.loaded([ANCHOR])
    assert feed.lot(ONE, "status", "gone_at", "sale_status") == ("gone", feed.now, "pure sale")
    assert feed.events(ONE) == [("appeared", None, None), ("gone", None, None)]
    assert outcome.lots_gone == 1
    assert feed.one("select count(*) from lots where status not in ('active', 'gone')") == 0


def test_a_lot_of_which_a_line_remains_is_not_gone(feed: Loader) -> None:
    feed.loaded([ANCHOR, row(ONE, color="RED"), row(ONE, color="BLUE", last_updated_at=EARLIER)])
    outcome = feed.loaded([ANCHOR, row(ONE, color="BLUE", last_updated_at=EARLIER)])
    assert feed.lot(ONE, "status") == "active"
    assert outcome.lots_gone == 0


def test_a_lot_that_is_gone_stays_gone_at_its_time(feed: Loader) -> None:
    feed.loaded([ANCHOR, row(ONE)])
    feed.loaded([ANCHOR])
    gone_at = feed.lot(ONE, "gone_at")
    outcome = feed.loaded([ANCHOR, row(TWO)])
    assert outcome.lots_gone == 0
    assert feed.lot(ONE, "gone_at") == gone_at


@pytest.mark.parametrize(
    ("again", "bid"),
    [
        (row(ONE, high_bid="500.0"), "500"),
        (row(ONE, high_bid="600.0", last_updated_at=LATER), "600"),
        (row(ONE, high_bid="400.0", last_updated_at=EARLIER), "500"),
    ],
    ids=["unchanged", "newer", "older"],
)
def test_a_lot_that_returns_is_active_again(feed: Loader, again: Row, bid: str) -> None:
    feed.loaded([ANCHOR, row(ONE, high_bid="500.0")])
    first_seen = feed.lot(ONE, "first_seen_at")
    feed.loaded([ANCHOR])
    outcome = feed.loaded([ANCHOR, again])
    assert feed.lot(ONE, "status", "gone_at", "high_bid", "first_seen_at") == ("active", None, Decimal(bid), first_seen)
    assert outcome.lots_returned == 1
    assert outcome.lots_new == 0
    assert ("returned", None, None) in feed.events(ONE)


def test_a_lot_that_returned_and_leaves_once_more_is_gone(feed: Loader) -> None:
    for rows in ([ANCHOR, row(ONE)], [ANCHOR], [ANCHOR, row(ONE)]):
        feed.loaded(rows)
    assert feed.loaded([ANCHOR]).lots_gone == 1
    assert [event for event, _, _ in feed.events(ONE)] == ["appeared", "gone", "returned", "gone"]


@pytest.mark.parametrize("before", [0, 3])
def test_lots_that_are_being_inserted_are_not_read_for_each_row(feed: Loader, before: int) -> None:
    """The planner takes a table that was vacuumed while it was empty or small as such, however much a load adds."""
    rows = [row(ONE + each) for each in range(600)]
    if before:
        feed.loaded(rows[:before])

    def counts() -> tuple[int, int]:
        """Return the rows that were inserted, and the pages that were read."""
        ((inserted, pages),) = feed.all(
            "select n_tup_ins, heap_blks_hit + heap_blks_read from pg_stat_user_tables"
            " join pg_statio_user_tables using (relid) where relid = 'lots'::regclass"
        )
        return inserted, pages

    feed.database.execute("vacuum analyze lots")
    inserted, pages = counts()
    feed.loaded(rows)
    until(lambda: counts()[0] >= inserted + 600 - before, "the server has counted the load")
    assert counts()[1] - pages < 8 * len(rows)


def test_a_relisted_vin_is_linked_to_its_previous_lot(feed: Loader) -> None:
    feed.loaded([ANCHOR, row(ONE)])
    feed.loaded([ANCHOR])
    outcome = feed.loaded([ANCHOR, row(TWO, vin=vin_of(ONE).lower())])
    assert feed.lot(TWO, "previous_lot_id") == feed.lot(ONE, "id")
    assert feed.lot(TWO, "vehicle_id") == feed.lot(ONE, "vehicle_id")
    assert outcome.lots_relisted == 1
    assert feed.events(TWO) == [("relisted", str(feed.lot(ONE, "id")), None)]
    assert feed.lot(ONE, "status") == "gone"


def test_a_lot_whose_vin_is_corrected_is_linked_to_the_lot_before_it_of_that_vin(feed: Loader) -> None:
    feed.loaded([ANCHOR, row(ONE), row(TWO)])
    feed.loaded([ANCHOR, row(THREE, vin=vin_of(ONE))])
    assert feed.lot(THREE, "previous_lot_id") == feed.lot(ONE, "id")
    feed.loaded([ANCHOR, row(THREE, vin=vin_of(TWO), last_updated_at=LATER)])
    assert feed.lot(THREE, "previous_lot_id") == feed.lot(TWO, "id")
    feed.loaded([ANCHOR, row(THREE, vin=vin_of(THREE), last_updated_at="2026-07-02T12:00:00Z")])
    assert feed.lot(THREE, "previous_lot_id") is None
    feed.loaded([ANCHOR, row(TWO, vin=vin_of(THREE), last_updated_at="2026-07-03T12:00:00Z")])
    assert feed.lot(TWO, "previous_lot_id") is None, "a later lot is not before it"


def test_vehicles_without_a_vin_are_not_the_same(feed: Loader) -> None:
    feed.loaded([row(ONE, vin=""), row(TWO, vin=""), row(THREE, vin="UNKNOWN")])
    assert feed.one("select count(distinct vehicle_id) from lots") == 3
    assert feed.one("select count(*) from lots where previous_lot_id is not null") == 0


@pytest.mark.parametrize(
    ("name", "event", "old", "new"),
    [
        ("sale_date", "sale_date", ("20260709", "2026-07-09"), ("20260716", "2026-07-16")),
        ("sale_date", "sale_date", ("20260709", "2026-07-09"), ("0", None)),
        ("sale_status", "sale_status", ("Pure Sale", "pure sale"), ("On Approval", "on approval")),
        ("high_bid", "high_bid", ("0.0", None), ("525.0", "525.00")),
        ("buy_now_price", "buy_now_price", ("900.0", "900.00"), ("0.0", None)),
        ("yard_number", "yard", ("88", "88"), ("89", "89")),
    ],
)
def test_every_change_of_a_watched_field_is_an_event(
    feed: Loader, name: str, event: str, old: tuple[str, str | None], new: tuple[str, str | None]
) -> None:
    feed.loaded([ANCHOR, row(ONE, **{name: old[0]})])
    feed.loaded([ANCHOR, row(ONE, **{name: new[0]}, last_updated_at=LATER)])
    assert feed.events(ONE) == [("appeared", None, None), (event, old[1], new[1])]
    assert feed.one("select max(happened_at) from audit.lot_events") == feed.now


def test_a_change_of_another_field_is_no_event(feed: Loader) -> None:
    feed.loaded([ANCHOR, row(ONE)])
    feed.loaded([ANCHOR, row(ONE, city="DAYTON", last_updated_at=LATER)])
    assert feed.events(ONE) == [("appeared", None, None)]
    assert feed.lot(ONE, "city") == "DAYTON"


# typed values


def test_money_and_mileage_of_zero_are_unknown(feed: Loader) -> None:
    columns = ("high_bid", "buy_now_price", "retail_value", "repair_cost", "odometer")
    texts = ("0", "0.0", "0.00", "")
    feed.loaded([row(ONE + place, **dict.fromkeys(columns, text)) for place, text in enumerate(texts)])
    for place, text in enumerate(texts):
        assert feed.lot(ONE + place, *columns, "flags") == (*[None] * len(columns), []), text


def test_booleans(feed: Loader) -> None:
    values = {"TRUE": True, "false": False, "Y": True, "N": False, "": None}
    names = ("make_an_offer", "rentals", "copart_select")
    feed.loaded([row(ONE + place, **dict.fromkeys(names, text)) for place, text in enumerate(values)])
    for place, (text, value) in enumerate(values.items()):
        found = feed.lot(ONE + place, "make_an_offer", "rental", "copart_select", "flags")
        assert found == (value, value, value, []), text


@pytest.mark.parametrize("length", [2_690, 40_000])  # too long for a row of an index, and for a page
def test_a_text_of_any_length_costs_no_other_row(feed: Loader, length: int) -> None:
    searched = {"make": "make", "model_group": "model_group", "model_detail": "model", "body_style": "body_style",
                "state": "state", "yard_name": "yard_name", "seller_name": "seller_name"}  # fmt: skip
    text = "".join(random.Random(length).choices(string.ascii_letters + string.digits, k=length))
    names = [name for name in NAMES if name not in {"lot_number", "last_updated_at"}]
    names += [name for name in searched for _ in range(12)]  # one of thirteen lots is in an index with all of these
    feed.loaded([ANCHOR, *(row(ONE + place, **{name: f"{text}{place}"}) for place, name in enumerate(names))])
    assert feed.one("select count(*) from lots") == feed.one("select count(*) from lot_board") == 1 + len(names)
    for name, flag in searched.items():
        place = names.index(name)
        assert feed.lot(ONE + place, "flags") == [flag]
        assert feed.all(f"select {name} from staging.copart_raw where lot_number = %s", str(ONE + place)) == [
            (f"{text}{place}",)
        ]
    feed.loaded([ANCHOR])  # gone lots have more indexes
    feed.database.execute("update lots set gone_at = now() where gone_at is not null")
    board.rebuild(feed.database)
    assert feed.one("select count(*) from lot_board where is_gone") == len(names)


def test_keys(feed: Loader) -> None:
    values = {"YES": True, "NO": False, "EXM": None, "": None}
    feed.loaded([row(ONE + place, has_keys=text) for place, text in enumerate(values)])
    for place, (text, value) in enumerate(values.items()):
        assert feed.lot(ONE + place, "has_keys", "flags") == (value, []), text


CODES = [
    "vehicle_type", "color", "drive", "transmission", "fuel", "sale_status", "make_an_offer", "currency", "damage",
    "secondary_damage", "has_keys", "condition_code", "odometer_brand", "country", "rentals", "copart_select",
    "sale_light",
]  # fmt: skip


def test_unknown_codes_are_flagged_and_counted(feed: Loader) -> None:
    outcome = feed.loaded([row(ONE, **dict.fromkeys(CODES, "NEVER SEEN")), row(TWO)])
    assert sorted(feed.lot(ONE, "flags")) == sorted(CODES)
    assert feed.lot(TWO, "flags") == []
    assert outcome.drift["unread_values"] == dict.fromkeys(CODES, 1)
    errors = feed.all("select name, errors, example from audit.v_parse_errors where kind = 'value' order by name")
    assert errors == [(name, 1, f"{ONE}: NEVER SEEN") for name in sorted(CODES)]


@pytest.mark.parametrize("letter", ["a", "ä"])
def test_control_characters_are_dropped_where_a_row_is_read(feed: Loader, letter: str) -> None:
    note = f"{letter}\x1b]0;x\x07b\x7f\u202ec\td" if letter == "ä" else f"{letter}\x1b]0;x\x07b\x7fc\td"
    feed.loaded([row(ONE, special_note=note), row(TWO, special_note=letter)])
    assert feed.lot(ONE, "special_note") == f"{letter}]0;xbc\td"
    assert feed.lot(TWO, "special_note") == letter


def test_a_title_that_is_not_listed_is_other_and_never_clean(feed: Loader) -> None:
    feed.loaded([row(ONE, title_state="OH", title_type="QQ"), row(TWO, title_state="", title_type="CT"), row(THREE)])
    assert feed.lot(ONE, "title_group", "flags") == ("other", ["title_type"])
    assert feed.lot(TWO, "title_group") == "other"
    assert feed.lot(THREE, "title_group") == "clean"


UNREADABLE = [
    *(("sale_date", text) for text in ("20260231", "20260230", "20261301", "20260700", "2026070", "20250229", "1e7")),
    ("sale_date", "-1"),
    *(("year", text) for text in ("99", "20191", "2O19", "1000", "9999", "-2019")),
    *(("high_bid", text) for text in ("NaN", "0x1F", "-5", "1e5", "Infinity", "1,500", "12.", ".5", "99999999999")),
    *(("retail_value", text) for text in ("9" * 30, "9999999999.999", "1" + "0" * 10, "now")),
    *(("repair_cost", text) for text in ("nan", "$5")),
    *(("buy_now_price", text) for text in ("5 000", "--")),
    *(("odometer", text) for text in ("-1", "9999999999", "12 345", "1_000", "inf")),
    *(("sale_time", text) for text in ("2575", "2400", "1260", "-100", "12:00", "99999", "noon")),
    *(("created_at", text) for text in ("2026-02-31-08.00.00.000000", "yesterday", "2026-07-01-24.00.00.000000")),
    *(("last_updated_at", text) for text in ("2026-02-31T00:00:00Z", "now", "2026-07-01 12:00:00")),
    ("last_updated_at", "2026-07-01T24:00:00Z"),
    *(("cylinders", text) for text in ("V8", "-4", "1e1")),
    *(("yard_number", text) for text in ("12a", "-1", "9999999999")),
    *(("item_number", text) for text in ("A7", "1.5")),
    *(("autograde", text) for text in ("A+", "12345", "999.99")),
    *(("vin", text) for text in ("----", "NO VIN!", "1VNPS\u00d60000000000", "1" * 18)),
]  # fmt: skip


def test_what_cannot_be_read_is_null_and_flagged_and_never_costs_the_row(feed: Loader) -> None:
    feed.loaded([ANCHOR, *(row(ONE + place, **{name: text}) for place, (name, text) in enumerate(UNREADABLE))])
    for lot, (name, text) in enumerate(UNREADABLE, ONE):
        column = f"vehicles.{name}" if name in {"year", "cylinders"} else f"lots.{name}"
        found = feed.all(
            f"select {column}, flags from lots join vehicles on vehicles.id = vehicle_id"
            " where lots.lot_external_id = %s",
            lot,
        )
        assert found == [(None, [name])], (name, text)
        assert feed.one(f"select {name} from staging.copart_raw where lot_number = %s", str(lot)) == text


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("sale_date", "20240229", date(2024, 2, 29)),
        ("sale_date", "0", None),
        ("sale_time", "0", time(0, 0)),
        ("sale_time", "700", time(7, 0)),
        ("sale_time", "2359", time(23, 59)),
        ("repair_cost", "9999999.99", Decimal("9999999.99")),
        ("high_bid", "9999999999.99", Decimal("9999999999.99")),
        ("odometer", "205589.0", 205589),
        ("item_number", "0", None),
        ("autograde", "3.7", Decimal("3.7")),
        ("special_note", "  padded ÄÖ  ", "padded ÄÖ"),
        ("created_at", "2025-10-14-08.55.06.000795", datetime(2025, 10, 14, 8, 55, 6, 795)),  # noqa: DTZ001
        ("zip", "94590 7203", "94590 7203"),
    ],
)
def test_values_are_read(feed: Loader, name: str, text: str, value: object) -> None:
    feed.loaded([row(ONE, **{name: text})])
    assert feed.lot(ONE, name, "flags") == (value, [])


@pytest.mark.parametrize(("text", "value"), [("0", None), ("1926", 1926), ("2027", 2027)])
def test_years_are_read(feed: Loader, text: str, value: int | None) -> None:
    feed.loaded([row(ONE, year=text)])
    assert feed.one("select year from vehicles") == value
    assert feed.lot(ONE, "flags") == []


@pytest.mark.parametrize("text", ["1vnps000071000001", "1VNPS-0000 71000001", " 1VNPS000071000001 "])
def test_a_vin_is_normalised(feed: Loader, text: str) -> None:
    feed.loaded([row(ONE, vin=text)])
    assert feed.lot(ONE, "vin") == "1VNPS000071000001"
    assert feed.one("select vin from vehicles") == "1VNPS000071000001"
    assert feed.one("select vin from staging.copart_raw") == text


@pytest.mark.parametrize("text", ["0" * 17, "1" * 17, "X" * 17, "x" * 17, "00000", "---0-0000-0000", "0" * 9])
def test_one_sign_that_repeats_is_no_vin(feed: Loader, text: str) -> None:
    trailer = {"vehicle_type": "U", "make": "UTILITY", "model_detail": "TRAILER"}
    feed.loaded([ANCHOR, row(ONE, vin=text, **trailer), row(TWO, vin=text, make="FREIGHTLINER", last_updated_at=LATER)])
    for lot in (ONE, TWO):
        assert feed.lot(lot, "vin", "flags", "previous_lot_id") == (None, ["vin"], None)
    made = (
        "select make, vehicles.vin from vehicles join lots on vehicle_id = vehicles.id where lots.lot_external_id = %s"
    )
    assert feed.all(made, ONE) == [("UTILITY", None)]
    assert feed.all(made, TWO) == [("FREIGHTLINER", None)]
    assert feed.outcomes[-1].drift == {"unread_values": {"vin": 2}}
    relisted = feed.loaded([ANCHOR, row(THREE, vin=text)])
    assert (relisted.lots_relisted, feed.events(THREE)) == (0, [("appeared", None, None)])


def test_a_trailer_is_a_vehicle_type_that_is_known(feed: Loader) -> None:
    feed.loaded([row(ONE, vehicle_type="L"), row(TWO, vehicle_type="Q")])
    assert feed.all("select vehicle_type from vehicles order by vehicle_type") == [("trailer",), (None,)]
    assert (feed.lot(ONE, "flags"), feed.lot(TWO, "flags")) == ([], ["vehicle_type"])


SHARED = "12345678901234567"
FOUR = ("FORD", "HYUNDAI", "FREIGHTLINER", "UTILITY")


def vehicles_of(feed: Loader) -> list[tuple[Any, ...]]:
    """Return what stands of the lots that share a VIN, and of their vehicles."""
    return feed.all(
        "select lots.lot_external_id, make, model, color, vehicles.vin, lots.vin, flags, previous_lot_id is null,"
        " vehicles.lot_external_id = lots.lot_external_id from lots join vehicles on vehicle_id = vehicles.id"
        " where lots.lot_external_id <> 70000000 order by 1"
    )


def sharing(count: int = 4, **values: str) -> list[Row]:
    """Return rows of so many makes under one VIN."""
    rows = [row(ONE + place, vin=SHARED, make=make, color="RED", model_detail=make) for place, make in enumerate(FOUR)]
    return [{**each, **values} for each in rows[:count]]


def of_its_own(lot: int, make: str | None, color: str | None = "red") -> tuple[Any, ...]:
    """Return what `vehicles_of` says of a lot that shares no vehicle."""
    return lot, make, make if color else None, color, None, None, ["vin"], True, True


OWN = [of_its_own(ONE + place, make) for place, make in enumerate(FOUR)]


def test_a_vin_that_more_than_a_few_makes_share_is_no_vin(feed: Loader) -> None:
    outcome = feed.loaded([ANCHOR, *sharing()])
    assert vehicles_of(feed) == OWN
    assert (outcome.lots_relisted, outcome.drift) == (0, {"unread_values": {"vin": 4}})
    assert feed.all("select vin from staging.placeholder_vins") == [(SHARED,)]


def test_a_vin_that_a_few_makes_share_is_one_vehicle(feed: Loader) -> None:
    feed.loaded([ANCHOR, *sharing(3)])
    assert {vin for *_, vin, _, _, _, _ in vehicles_of(feed)} == {SHARED}
    assert feed.one("select count(distinct vehicle_id) from lots") == 2


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2)])
def test_makes_that_come_one_after_the_other_part_when_they_are_too_many(feed: Loader, order: tuple[int, ...]) -> None:
    rows = sharing()
    for count in range(1, 5):
        outcome = feed.loaded([ANCHOR, *(rows[place] for place in sorted(order[:count]))])
        assert (outcome.lots_new, outcome.lots_gone) == (2 if count == 1 else 1, 0)
    assert vehicles_of(feed) == OWN
    assert feed.loaded([ANCHOR, *rows, row(ONE + 9, vin=SHARED, make="KIA")]).lots_relisted == 0
    assert vehicles_of(feed)[:4] == OWN


def test_lots_that_part_are_as_their_rows_say_whichever_wins(feed: Loader) -> None:
    """Among them one that stands twice, one of several lines, and one without its raw row."""
    rows = sharing()
    twice = {**rows[1], "color": "BLUE", "last_updated_at": EARLIER}
    rows[2]["special_note"] = "two\nlines"
    feed.loaded([ANCHOR, *rows[:3], twice])
    feed.database.execute("delete from staging.copart_raw")
    outcome = feed.loaded([ANCHOR, *rows[:3], twice, rows[3]])
    assert vehicles_of(feed) == OWN
    assert (outcome.lots_new, outcome.lots_changed, outcome.lots_unchanged) == (1, 3, 1)
    assert feed.loaded([ANCHOR, *rows, twice, row(ONE + 8)]).lots_changed == 0


def test_lots_that_are_gone_part_too_and_are_of_their_make(feed: Loader) -> None:
    rows = sharing()
    more = row(ONE + 4, vin=SHARED, make="KIA", color="RED", model_detail="KIA")
    feed.loaded([ANCHOR, *rows[:2]])
    feed.loaded([ANCHOR, *rows[1:3]])
    feed.loaded([ANCHOR, *rows[1:], more])
    assert vehicles_of(feed) == [of_its_own(ONE, "FORD", None), *OWN[1:], of_its_own(ONE + 4, "KIA")]
    feed.loaded([ANCHOR, *rows, more])
    assert vehicles_of(feed) == [*OWN, of_its_own(ONE + 4, "KIA")]


def test_makes_that_are_not_there_at_once_do_not_count(feed: Loader) -> None:
    rows = sharing()
    for at in range(4):
        feed.loaded([ANCHOR, *rows[at : at + 1], row(ONE + 9, last_updated_at=NOON, color="RED" if at % 2 else "BLUE")])
    assert feed.one("select count(*) from vehicles where vin = %s", SHARED) == 1
    assert feed.all("select vin from staging.placeholder_vins") == []


def test_a_lot_that_leaves_as_another_comes_does_not_count(feed: Loader) -> None:
    rows = sharing()
    feed.loaded([ANCHOR, *rows[:3]])
    feed.loaded([ANCHOR, *rows[1:]])
    assert feed.all("select vin from staging.placeholder_vins") == []
    assert {vin for *_, vin, _, _, _, _ in vehicles_of(feed)} == {SHARED}
    feed.loaded([ANCHOR, *rows])
    assert vehicles_of(feed) == OWN


def test_makes_that_were_corrected_do_not_count(feed: Loader) -> None:
    rows = sharing()
    feed.loaded([ANCHOR, *rows[:3]])
    feed.loaded([ANCHOR, {**rows[0], "make": "HYUNDAI"}, *rows[1:3]])
    feed.loaded([ANCHOR, {**rows[0], "make": "HYUNDAI"}, *rows[1:]])
    assert feed.all("select vin from staging.placeholder_vins") == []
    feed.loaded([ANCHOR, {**rows[0], "make": "KIA"}, *rows[1:]])
    assert feed.all("select vin from staging.placeholder_vins") == [(SHARED,)]


def test_a_placeholder_that_is_a_vin_after_all_is_one_again(feed: Loader) -> None:
    feed.loaded([ANCHOR, *sharing()])
    feed.database.execute("delete from staging.placeholder_vins")
    feed.loaded([ANCHOR, *sharing(2, high_bid="5.0")])
    assert {each[4] for each in vehicles_of(feed)[:2]} == {SHARED}


def test_a_number_that_is_no_vin_names_no_vehicle(feed: Loader) -> None:
    """The short numbers of old cars and boats are kept, and so is one with letters that no VIN has."""
    feed.loaded([row(ONE, vin="12345678"), row(TWO, vin="1VNPSIOQ000000001")])
    assert feed.lot(ONE, "vin") == "12345678"
    assert feed.one("select count(*) from vehicles where vin is not null") == 0


@pytest.mark.parametrize(
    ("label", "yard", "country", "zone", "hour"),
    [
        ("EDT", "OH - COLUMBUS", "USA", "America/New_York", 14),
        ("EST", "OH - COLUMBUS", "USA", "America/New_York", 14),
        ("CDT", "TX - AUSTIN", "USA", "America/Chicago", 15),
        ("MST", "CO - DENVER", "USA", "America/Denver", 16),
        ("PST", "CA - FRESNO", "USA", "America/Los_Angeles", 17),
        ("PDT", "AZ - PHOENIX", "USA", "America/Phoenix", 17),
        ("MST", "AZ - TUCSON", "USA", "America/Phoenix", 17),
        ("HST", "HI - HONOLULU", "USA", "Pacific/Honolulu", 20),
        ("AKST", "ATLANTIC CANADA AUCTION", "CAN", "America/Halifax", 13),
        ("AKST", "NB - MONCTON", "CAN", "America/Halifax", 13),
        ("AKDT", "AK - ANCHORAGE", "USA", "America/Anchorage", 18),
        ("ASDT", "AK - ANCHORAGE", "USA", "America/Anchorage", 18),
        ("ADDT", "AK - ANCHORAGE", "USA", "America/Anchorage", 18),
    ],
)
def test_the_sale_time_is_the_wall_clock_of_the_yard(
    feed: Loader, label: str, yard: str, country: str, zone: str, hour: int
) -> None:
    """Ten o'clock on a day in July, whatever letter the label has."""
    feed.loaded([row(ONE, time_zone=label, yard_name=yard, country=country)])
    assert feed.lot(ONE, "sale_time_zone", "sale_at", "flags") == (zone, datetime(2026, 7, 9, hour, tzinfo=UTC), [])


def test_a_winter_sale_under_a_summer_label_is_in_winter_time(feed: Loader) -> None:
    feed.loaded([row(ONE, time_zone="EDT", sale_date="20261203")])
    assert feed.lot(ONE, "sale_at") == datetime(2026, 12, 3, 15, tzinfo=UTC)


@pytest.mark.parametrize("label", ["GMT", "ASDT", "XYZ", "edt-5"])
def test_a_label_that_cannot_be_mapped_stays_raw_and_is_flagged(feed: Loader, label: str) -> None:
    feed.loaded([row(ONE, time_zone=label)])
    assert feed.lot(ONE, "sale_time_zone", "sale_at", "flags") == (None, None, ["time_zone"])
    assert feed.lot(ONE, "sale_date", "sale_time") == (date(2026, 7, 9), time(10, 0))
    assert feed.one("select time_zone from staging.copart_raw") == label


def test_an_unscheduled_sale_has_no_time(feed: Loader) -> None:
    feed.loaded([row(ONE, sale_date="0", day_of_week="", sale_time="", time_zone="EDT")])
    assert feed.lot(ONE, "sale_date", "sale_time", "sale_at", "flags") == (None, None, None, [])


def test_the_raw_values_of_every_row_are_kept(feed: Loader) -> None:
    values = {**row(ONE, announcements="ÄÖ, it's", zip=" 43207 ", high_bid="0.0"), "ordinal": "1"}
    feed.loaded([values])
    kept = feed.all(f"select {', '.join(NAMES)} from staging.copart_raw")
    assert kept == [tuple(values[name] or None for name in NAMES)]
    assert feed.one("select row_hash from lots") == feed.one("select row_hash from staging.copart_raw")


# one transaction, and what refuses a file


def test_a_shrunk_file_is_refused_unless_told_otherwise(feed: Loader) -> None:
    feed.settings = replace(feed.settings, feed_shrink_limit=0.2)
    lots = [row(ONE + number) for number in range(20)]
    feed.loaded(lots)
    outcome = feed.load(lots[:15])
    assert (outcome.status, outcome.reason, outcome.exit_code) == ("refused", "shrunk", 1)
    assert len(feed.active()) == 20
    assert not list((feed.settings.data_dir / places.ARCHIVE).glob("next*"))
    assert feed.loaded(lots[:15], allow_shrink=True).lots_gone == 5
    assert feed.loaded(lots[:12]).lots_gone == 3  # exactly a fifth


def test_a_file_compressed_with_gzip_is_the_file_in_it(feed: Loader, tmp_path: Path) -> None:
    rows = [row(ONE), row(TWO)]
    packed = tmp_path / "salesdata.csv.gz"
    packed.write_bytes(gzip.compress(feed_bytes(rows)))
    outcome = ingest(feed.settings, packed, fetched_at=feed.now)
    assert (outcome.status, outcome.rows_accepted) == ("loaded", 2)
    assert restored(feed, outcome.file_id) == feed_bytes(rows)
    assert list((feed.settings.data_dir / places.INCOMING).iterdir()) == []
    assert feed.load(rows).status == "unchanged"


def test_a_short_file_is_refused(feed: Loader) -> None:
    feed.settings = replace(feed.settings, feed_min_rows=2)
    outcome = feed.load([row(ONE)])
    assert (outcome.status, outcome.reason) == ("refused", "short")
    assert feed.active() == set()


def test_an_older_file_is_refused_and_changes_nothing(feed: Loader) -> None:
    old, new = [row(ONE), row(TWO)], [row(ONE, last_updated_at=LATER)]
    feed.loaded(old)
    feed.loaded(new)
    before = contents(feed)
    outcome = feed.load(old)
    assert (outcome.status, outcome.reason) == ("refused", "stale")
    after = contents(feed)
    assert len(after.pop("audit.etl_runs")) == len(before.pop("audit.etl_runs")) + 1
    assert after == before
    assert feed.loaded([row(ONE, last_updated_at=LATER), row(THREE)]).lots_new == 1


def test_an_update_from_a_wrong_clock_does_not_make_later_files_stale(feed: Loader) -> None:
    feed.loaded([row(ONE, last_updated_at="2093-01-01T00:00:00Z"), row(TWO)])
    feed.loaded([row(TWO, last_updated_at=LATER)])
    assert feed.active() == {TWO}


FUTURE = "2099-01-01T00:00:00Z"


def ahead(minutes: float) -> str:
    """Return a Last Updated Time so far ahead of the clock."""
    return f"{datetime.now(UTC) + timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ}"


def test_an_update_from_the_future_is_unknown_and_flagged_and_freezes_nothing(feed: Loader) -> None:
    feed.loaded([ANCHOR, row(ONE, color="RED", high_bid="1.0", last_updated_at=FUTURE)])
    assert feed.lot(ONE, "last_updated_at", "flags") == (None, ["last_updated_at"])
    assert feed.all("select last_updated_at from vehicles where vin = %s", vin_of(ONE)) == [(None,)]
    assert feed.outcomes[-1].drift == {"unread_values": {"last_updated_at": 1}}
    for number, color in enumerate(["BLUE", "GREEN"], 2):
        outcome = feed.loaded([ANCHOR, row(ONE, color=color, high_bid=f"{number}.0", last_updated_at=NOON)])
        assert (outcome.conflicts, outcome.lots_changed) == (0, 1)
        assert feed.lot(ONE, "high_bid", "flags") == (number, [])
        assert feed.one("select color from vehicles where vin = %s", vin_of(ONE)) == color.lower()
    assert feed.lot(ONE, "last_updated_at") == datetime(2026, 7, 1, 12, tzinfo=UTC)


def test_an_update_from_the_future_overwrites_as_one_of_unknown_time_does(feed: Loader) -> None:
    feed.loaded([ANCHOR, row(ONE, high_bid="1.0")])
    feed.loaded([ANCHOR, row(ONE, high_bid="2.0", last_updated_at=FUTURE)])
    assert feed.lot(ONE, "high_bid", "last_updated_at") == (2, None)
    feed.loaded([ANCHOR, row(ONE, high_bid="3.0", last_updated_at=EARLIER)])
    assert feed.lot(ONE, "high_bid", "flags") == (3, [])


def test_the_tolerance_is_that_of_decision_0004(feed: Loader) -> None:
    decision = next((Path(__file__).parents[3] / "docs" / "decisions").glob("0004-*.md")).read_text(encoding="utf-8")
    assert timedelta(hours=1) == CLOCK_TOLERANCE
    assert "more than an hour ahead" in decision
    assert "days" not in decision
    feed.loaded([row(ONE, last_updated_at=ahead(59)), row(TWO, last_updated_at=ahead(61))])
    assert feed.lot(ONE, "flags") == []
    assert feed.lot(TWO, "last_updated_at", "flags") == (None, ["last_updated_at"])


@pytest.mark.parametrize("time", [FUTURE, "zzz", "2099-99-99T00:00:00Z"])
def test_of_a_lot_that_stands_twice_a_time_that_is_none_never_wins(feed: Loader, time: str) -> None:
    feed.loaded([ANCHOR, row(ONE, color="BLUE", last_updated_at=time), row(ONE, color="RED", last_updated_at=EARLIER)])
    assert feed.one("select color from vehicles where vin = %s", vin_of(ONE)) == "red"


@pytest.mark.parametrize("is_loaded", [False, True], ids=["the database's clock", "what is loaded"])
def test_a_clock_that_is_behind_makes_no_time_unknown(
    feed: Loader, monkeypatch: pytest.MonkeyPatch, is_loaded: bool
) -> None:
    class Behind(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime(2020, 1, 1, tzinfo=tz)

    if is_loaded:
        feed.loaded([ANCHOR])
        clock = "select timestamptz '2020-01-01'"
        monkeypatch.setattr(run_module, "queries", lambda name: {**queries(name), "clock": clock})
    monkeypatch.setattr(run_module, "datetime", Behind)
    feed.loaded([ANCHOR, row(ONE), row(TWO, last_updated_at=ahead(-600))])
    assert feed.lot(ONE, "flags") == []
    assert feed.lot(TWO, "flags") == (["last_updated_at"] if is_loaded else [])


def test_what_is_loaded_does_not_carry_the_tolerance_on(feed: Loader) -> None:
    newest = ahead(50)
    feed.loaded([row(ONE, last_updated_at=newest)])
    feed.loaded([row(ONE, last_updated_at=newest), row(TWO, last_updated_at=ahead(100))])
    assert feed.lot(TWO, "last_updated_at", "flags") == (None, ["last_updated_at"])


def test_the_same_file_writes_nothing_but_its_run(feed: Loader) -> None:
    feed.loaded([row(ONE), row(TWO)])
    before = contents(feed)
    stamps = feed.all("select ctid::text, xmin::text from lots order by id")
    files = sorted((path, path.stat().st_mtime_ns) for path in feed.settings.data_dir.rglob("*") if path.is_file())
    outcome = feed.load([row(ONE), row(TWO)])
    assert (outcome.status, outcome.exit_code) == ("unchanged", 0)
    after = contents(feed)
    assert len(after.pop("audit.etl_runs")) == len(before.pop("audit.etl_runs")) + 1
    assert after == before
    assert feed.all("select ctid::text, xmin::text from lots order by id") == stamps
    assert sorted((p, p.stat().st_mtime_ns) for p in feed.settings.data_dir.rglob("*") if p.is_file()) == files


def test_an_unchanged_lot_is_not_written(feed: Loader) -> None:
    feed.loaded([ANCHOR, row(ONE), row(TWO)])
    stamp = feed.lot(ONE, "ctid::text", "xmin::text")
    feed.loaded([row(TWO, color="RED"), ANCHOR, row(ONE)])
    assert feed.lot(ONE, "ctid::text", "xmin::text") == stamp


def test_there_and_back_again_ends_where_it_began(feed: Loader) -> None:
    first = [row(ONE, high_bid="5.0"), row(TWO)]
    feed.loaded(first)
    columns = "select lot_external_id, status, high_bid, gone_at, row_hash from lots order by 1"
    began = feed.all(columns)
    feed.loaded([row(ONE, high_bid="6.0"), row(THREE)])
    outcome = feed.loaded(first)
    assert [each for each in feed.all(columns) if each[1] == "active"] == began
    assert outcome.file_id == feed.outcomes[0].file_id
    assert feed.one("select count(*) from raw.csv_files") == 2
    assert restored(feed, outcome.file_id) == feed_bytes(first)


def test_a_flag_of_a_file_that_came_back_is_counted_once(feed: Loader) -> None:
    first = [row(ONE, color="OCTARINE"), row(TWO)]
    feed.loaded(first)
    feed.loaded([row(ONE, color="RED"), row(TWO)])
    feed.loaded(first)
    assert feed.all("select name, errors from audit.v_parse_errors") == [("color", 1)]


# the state of the last file


def state_files(feed: Loader) -> list[Path]:
    return sorted((feed.settings.data_dir / "state" / "copart").iterdir())


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x20
    path.write_bytes(data)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("suffix", ["lots", "body", "*"])
@pytest.mark.parametrize("damage", [Path.unlink, truncate, flip, empty])
def test_without_the_state_of_the_last_file_the_result_is_the_same(feed: Loader, suffix: str, damage: Any) -> None:
    first: list[Row | bytes] = [
        ANCHOR,
        *(row(ONE + number) for number in range(30)),
        row(ONE + 5, color="RED"),
        BAD_ROWS["quotes"],
    ]
    second: list[Row | bytes] = [
        ANCHOR,
        *(row(ONE + number) for number in range(2, 28)),
        row(ONE + 5, color="RED"),
        row(ONE + 90),
    ]
    second[4] = row(ONE + 5, high_bid="77.0", last_updated_at=LATER)
    feed.loaded(first)
    for path in state_files(feed):
        if path.match(f"*.{suffix}"):
            damage(path)
    outcome = feed.loaded(second)
    assert feed.active() == {70_000_000, ONE + 90, *(ONE + number for number in range(2, 28))}
    assert (outcome.lots_new, outcome.lots_gone) == (1, 4)
    assert feed.lot(ONE + 5, "high_bid") == Decimal(77)
    assert feed.one("select base_id from raw.csv_files order by id desc limit 1") is None
    assert restored(feed, outcome.file_id) == feed_bytes(second)
    third = feed.loaded([*second, row(ONE + 91)])
    assert feed.one("select base_id from raw.csv_files where id = %s", third.file_id) == outcome.file_id
    assert {path.suffix for path in state_files(feed)} == {".lots", ".body"}
    assert len(state_files(feed)) == 2


# killed


class Died(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("point", ["diff", "archive", "upsert_lots", "record", "commit", "place"])
def test_a_load_that_dies_at_a_point_is_made_good_by_the_next(
    feed: Loader, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, point: str
) -> None:
    """What is there at a point is what a kill leaves; tests/crash kills processes there."""
    first = [ANCHOR, row(ONE), row(TWO)]
    second = [ANCHOR, row(ONE, high_bid="77.0", last_updated_at=LATER), row(THREE)]
    feed.loaded(first)
    before, data_dir, left = contents(feed), feed.settings.data_dir, tmp_path / "left"
    reached = Steps.reached

    def die(steps: Steps, name: str) -> None:
        if name == point:
            shutil.copytree(data_dir, left)
            raise Died
        reached(steps, name)

    monkeypatch.setattr(Steps, "reached", die)
    with pytest.raises(Died):
        feed.load(second)
    monkeypatch.setattr(Steps, "reached", reached)
    shutil.rmtree(data_dir)
    left.rename(data_dir)  # with what an exception has removed and a kill has not

    is_loaded = point == "place"
    assert (contents(feed) != before) is is_loaded
    assert archived(feed) < recorded(feed) if is_loaded else archived(feed) == recorded(feed)
    assert feed.load(second).status == ("unchanged" if is_loaded else "loaded")
    assert feed.active() == {70_000_000, ONE, THREE}
    assert feed.lot(ONE, "high_bid") == Decimal(77)
    assert [what for what, _, _ in feed.events(ONE)] == ["appeared", "high_bid"]
    assert archived(feed) == recorded(feed)
    assert not (data_dir / places.NEXT).exists()
    files = [file for (file,) in feed.all("select id from raw.csv_files order by id")]
    assert [restored(feed, file) for file in files] == [feed_bytes(first), feed_bytes(second)]
    feed.loaded([*second, row(TWO)])
    assert len(state_files(feed)) == 2


def archived(feed: Loader) -> set[str]:
    """What has its name in the archive."""
    found = {path.relative_to(feed.settings.data_dir) for path in feed.settings.data_dir.rglob("*.zst")}
    return {path.as_posix() for path in found if path != places.NEXT}


def recorded(feed: Loader) -> set[str]:
    return {path for (path,) in feed.all("select path from raw.csv_files")}


# archive


def test_files_of_one_minute_and_of_a_clock_that_goes_back_have_their_own_names(feed: Loader) -> None:
    steps = enumerate([0, 0, 0, -30, 30])
    paths = [feed.loaded([row(ONE + number)], minutes=minutes).path for number, minutes in steps]
    assert paths == [
        "raw/copart/2026/07/01/1300.csv.zst",
        "raw/copart/2026/07/01/1300-2.csv.zst",
        "raw/copart/2026/07/01/1300-3.csv.zst",
        "raw/copart/2026/07/01/1230.csv.zst",
        "raw/copart/2026/07/01/1300-4.csv.zst",
    ]
    for number, outcome in enumerate(feed.outcomes):
        assert restored(feed, outcome.file_id) == feed_bytes([row(ONE + number)])


def test_a_chain_begins_anew_after_so_many_files(feed: Loader) -> None:
    feed.settings = replace(feed.settings, archive_chain=3)
    for number in range(7):
        feed.loaded([row(ONE + number)])
    bases = [base for (base,) in feed.all("select base_id from raw.csv_files order by id")]
    ids = [outcome.file_id for outcome in feed.outcomes]
    assert bases == [None, ids[0], ids[1], None, ids[3], ids[4], None]
    for number, outcome in enumerate(feed.outcomes):
        assert restored(feed, outcome.file_id) == feed_bytes([row(ONE + number)])


def test_retention_removes_whole_chains_and_never_a_base_that_is_needed(feed: Loader) -> None:
    feed.settings = replace(feed.settings, archive_chain=2, archive_days=1)
    day = 24 * 60
    for number, minutes in enumerate([0, 10, 10, 2 * day, 10, 10]):  # 0 1 | 2 3 | 4 5
        feed.loaded([row(ONE + number)], minutes=minutes)
    left = [outcome.path for outcome in feed.outcomes if (feed.settings.data_dir / str(outcome.path)).exists()]
    # File 2 is as old as file 1, and the base of file 3, which is not.
    assert left == [outcome.path for outcome in feed.outcomes[2:]]
    assert feed.all("select id from raw.csv_files where removed_at is not null order by id") == [
        (outcome.file_id,) for outcome in feed.outcomes[:2]
    ]
    for number, outcome in enumerate(feed.outcomes[2:], 2):
        assert restored(feed, outcome.file_id) == feed_bytes([row(ONE + number)])


def test_retention_spares_the_chain_of_the_last_load_whatever_its_age(feed: Loader) -> None:
    feed.settings = replace(feed.settings, archive_days=1)
    outcome = feed.loaded([row(ONE)])
    assert retention.remove_old(feed.database, feed.settings, feed.now + timedelta(days=20)) == []
    assert restored(feed, outcome.file_id) == feed_bytes([row(ONE)])


def removed_files(feed: Loader) -> int:
    count: int = feed.one("select count(*) from raw.csv_files where removed_at is not null")
    return count


def test_a_clock_ahead_of_the_databases_costs_no_archived_file(feed: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    feed.settings = replace(feed.settings, archive_chain=1, archive_days=30)
    feed.now = datetime.now(UTC)
    feed.loaded([row(ONE)])
    feed.now += timedelta(days=100)
    monkeypatch.setattr(clock, "now", lambda: feed.now)
    feed.loaded([row(TWO)])
    feed.loaded([row(THREE)])
    assert removed_files(feed) == 0


def test_a_machine_whose_clock_jumped_removes_no_archived_file_until_it_kept_to_it_for_a_week(feed: Loader) -> None:
    """What was loaded is put back by 100 days: so it looks to a machine whose clock, its database's too, is ahead."""
    feed.settings = replace(feed.settings, archive_chain=1, archive_days=30)
    feed.loaded([row(ONE)])
    feed.loaded([row(TWO)])
    feed.database.execute("update raw.csv_files set fetched_at = now() - interval '100 days'")
    feed.database.execute("update audit.etl_runs set finished_at = now() - interval '100 days'")
    feed.now = datetime.now(UTC)
    feed.loaded([row(THREE)])
    feed.loaded([row(ONE + 3)])  # the newest file is dated by the wrong clock now
    assert removed_files(feed) == 0
    assert len(list((feed.settings.data_dir / "raw").rglob("*.zst"))) == 4
    feed.database.execute(
        "insert into audit.etl_runs (started_at, finished_at, status)"
        " select now(), now() - days * interval '1 day', 'unchanged' from generate_series(1, 8) as days"
    )
    feed.loaded([row(ONE + 4)])
    assert removed_files(feed) == 2


def test_a_file_that_retention_removed_is_archived_again_when_it_comes_back(feed: Loader) -> None:
    feed.settings = replace(feed.settings, archive_chain=1, archive_days=1)
    feed.loaded([row(ONE)])
    feed.loaded([row(TWO)], minutes=3 * 24 * 60)
    assert feed.one("select count(*) from raw.csv_files where removed_at is not null") == 1
    outcome = feed.loaded([row(ONE)], minutes=3 * 24 * 60)
    assert outcome.file_id == feed.outcomes[0].file_id
    assert restored(feed, outcome.file_id) == feed_bytes([row(ONE)])


def test_a_file_that_was_archived_again_is_placed_by_the_next_run_if_this_one_died(feed: Loader) -> None:
    feed.settings = replace(feed.settings, archive_chain=1, archive_days=1)
    feed.loaded([row(ONE)])
    feed.loaded([row(TWO)], minutes=3 * 24 * 60)
    outcome = feed.loaded([row(ONE)], minutes=3 * 24 * 60)
    # As if the process had died between the commit and the move to the name.
    (feed.settings.data_dir / str(outcome.path)).rename(feed.settings.data_dir / places.NEXT)
    feed.loaded([row(THREE)])
    assert restored(feed, outcome.file_id) == feed_bytes([row(ONE)])


def test_a_damaged_link_begins_a_new_chain_and_costs_only_its_own(feed: Loader) -> None:
    outcomes = [feed.loaded([row(ONE + number)]) for number in range(3)]
    flip(feed.settings.data_dir / str(outcomes[2].path))
    after = feed.loaded([row(ONE + 3)])
    assert feed.one("select base_id from raw.csv_files where id = %s", after.file_id) is None
    for number in (0, 1):
        assert restored(feed, outcomes[number].file_id) == feed_bytes([row(ONE + number)])
    assert restored(feed, after.file_id) == feed_bytes([row(ONE + 3)])
    with pytest.raises(ArchiveDamaged, match=Path(str(outcomes[2].path)).name):
        restored(feed, outcomes[2].file_id)


def test_a_missing_link_begins_a_new_chain(feed: Loader) -> None:
    outcomes = [feed.loaded([row(ONE + number)]) for number in range(3)]
    (feed.settings.data_dir / str(outcomes[1].path)).unlink()
    after = feed.loaded([row(ONE + 3)])
    assert feed.one("select base_id from raw.csv_files where id = %s", after.file_id) is None
    with pytest.raises(ArchiveDamaged, match=Path(str(outcomes[1].path)).name):
        restored(feed, outcomes[2].file_id)


def test_the_stock_tool_reads_a_whole_file(feed: Loader) -> None:
    tool = shutil.which("zstd")
    if tool is None:
        pytest.skip("the zstd tool is not installed (apt-get install zstd)")
    data = feed_bytes([row(ONE + number) for number in range(50)])
    outcome = feed.loaded(data)
    path = feed.settings.data_dir / str(outcome.path)
    assert subprocess.run([tool, "-dc", str(path)], capture_output=True, check=True).stdout == data


@pytest.mark.parametrize("command", ["cat latest", "cat latest --verbose", "status"])
def test_a_reader_of_the_archive_may_leave_early(feed: Loader, environment: dict[str, str], command: str) -> None:
    feed.loaded([row(ONE + number) for number in range(2000)])
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "etl", *command.split()],
        env=environment,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writing)
    os.close(reading)
    _, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (0, "")


def test_a_delta_is_a_fraction_of_its_file(feed: Loader) -> None:
    lots = [row(ONE + number, special_note=f"{number * 7919 % 104729:x}" * 20) for number in range(2000)]
    whole = feed.loaded(lots)
    lots[1000] = row(ONE + 1000, high_bid="12.0")
    delta = feed.loaded(lots)
    assert (delta.archive_bytes or 0) * 20 < (whole.archive_bytes or 0)
    assert restored(feed, delta.file_id) == feed_bytes(lots)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A data folder on a disk of 1 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def run_ingest(environment: dict[str, str], path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "etl", "ingest", str(path), "--json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_full_disk_changes_nothing_and_the_next_run_is_fine(
    small_disk: Path, feed: Loader, environment: dict[str, str], tmp_path: Path
) -> None:
    environment |= {"VINOPS_DATA_DIR": str(small_disk), "VINOPS_FEED_MIN_ROWS": "0"}
    few, many = tmp_path / "few.csv", tmp_path / "many.csv"
    few.write_bytes(feed_bytes([row(ONE)]))
    many.write_bytes(feed_bytes([row(ONE, last_updated_at=LATER), *(row(TWO + number) for number in range(3000))]))
    assert run_ingest(environment, few).returncode == 0
    before = contents(feed)
    full = run_ingest(environment, many)
    assert full.returncode == 1
    assert "No space left on device" in full.stderr
    assert "Traceback" not in full.stderr
    assert json.loads(full.stdout)["reason"] == "disk"
    after = contents(feed)
    assert len(after.pop("audit.etl_runs")) == len(before.pop("audit.etl_runs")) + 1
    assert after == before
    subprocess.run(["mount", "-o", "remount,size=32m", str(small_disk)], check=True)
    assert run_ingest(environment, many).returncode == 0
    assert len(feed.active()) == 3001
    feed.settings = replace(feed.settings, data_dir=small_disk)
    assert restored(feed, feed.one("select max(id) from raw.csv_files")) == many.read_bytes()


# audit


def test_a_run_is_recorded_with_its_figures(feed: Loader) -> None:
    feed.loaded([ANCHOR, row(ONE), row(TWO), row(THREE)])
    outcome = feed.loaded([ANCHOR, row(ONE, color="RED"), row(THREE), row(71_000_009), BAD_ROWS["quotes"]])
    columns = (
        "status, reason, file_id, sha256, bytes, rows_read, rows_accepted, rows_rejected, rows_repaired, lots_new,"
        " lots_changed, lots_unchanged, lots_gone, lots_returned, lots_relisted, conflicts"
    )
    (run,) = feed.all(f"select {columns} from audit.etl_runs order by id desc limit 1")
    size = len(feed_bytes([ANCHOR, row(ONE, color="RED"), row(THREE), row(71_000_009), BAD_ROWS["quotes"]]))
    assert run == ("loaded", None, outcome.file_id, outcome.sha256, size, 5, 4, 1, 0, 1, 1, 2, 1, 0, 0, 0)
    seconds = feed.one("select seconds from audit.etl_runs order by id desc limit 1")
    assert {"hash", "state", "diff", "upsert_lots"} <= set(seconds)
    assert feed.one("select newest_update from audit.etl_runs order by id desc limit 1") == datetime(
        2026, 7, 1, 12, 15, tzinfo=UTC
    )


def test_rejected_rows_are_counted_by_reason(feed: Loader) -> None:
    feed.loaded([row(ONE), BAD_ROWS["quotes"], BAD_ROWS["field_count"], line(row("NONE"), 4), line(row("SOON"), 5)])
    found = feed.all("select name, errors from audit.v_parse_errors where kind = 'row' order by name")
    assert found == [("field_count", 1), ("placeholder", 2), ("quotes", 1)]


def test_parse_errors_are_those_of_the_last_load(feed: Loader) -> None:
    """A rejected row, and a lot that keeps its unread value, are no errors of the next load."""
    bad = [row(ONE, color="OCTARINE", title_type="QQ", title_state="OH"), BAD_ROWS["quotes"]]
    feed.loaded([*bad, row(TWO)])
    errors = "select kind, name, errors from audit.v_parse_errors order by kind"
    assert feed.all(errors) == [("row", "quotes", 1), ("value", "color", 1)]
    feed.loaded([*bad, row(TWO), row(THREE)])
    assert feed.all(errors) == []
    everything = feed.all("select kind, name, errors from audit.v_all_parse_errors order by kind, name")
    assert everything == [("row", "quotes", 1), ("value", "color", 1), ("value", "title_type", 1)]
    feed.loaded([*bad, row(TWO, fuel="PHLOGISTON"), row(THREE)])
    assert feed.all(errors) == [("value", "fuel", 1)]


KEYS = ("vin", "year", "make", "model", "fuel", "damage", "image_url")


def test_the_unknown_rate_counts_active_lots_and_key_columns(feed: Loader) -> None:
    feed.loaded([row(ONE, odometer="0.0"), row(TWO), row(THREE, odometer="0.0")])
    feed.loaded([row(ONE, odometer="0.0"), row(TWO)])
    rows = feed.all("select * from audit.v_unknown_rate")
    rates = {name: (lots, unknown, rate) for name, lots, unknown, rate in rows}
    assert rates["odometer"] == (2, 1, Decimal("0.5000"))
    assert rates["make"] == (2, 0, 0)
    assert rates["(key columns)"][:2] == (2, 0), "it may be empty: no key column"
    assert all(rate < Decimal("0.01") for name, (_, _, rate) in rates.items() if name in KEYS)
    feed.loaded([row(ONE, odometer="0.0", make=""), row(TWO)])
    (unknown,) = feed.all("select unknown_rate from audit.v_unknown_rate where column_name = '(key columns)'")
    assert unknown == (Decimal("0.0714"),)
    observer = Observer(feed.settings, application="tests")
    with closing(observer):
        found = observer.observe({"audit"}).audit
    assert found is not None
    assert (found.lots, found.unknown) == (2, {**dict.fromkeys(KEYS, 0), "make": 1}), "what health judges is the view"
    assert set(found.unknown) == {
        name for (name,) in feed.all("select column_name from audit.v_column_coverage where is_key")
    }


def test_many_duplicates_do_not_cost_their_square(feed: Loader) -> None:
    """Every lot twice: the second reading looks at each line once, whatever the number of lots."""
    lots = [row(ONE + number, odometer=str(copy + 1)) for number in range(4000) for copy in (0, 1)]
    outcome = feed.loaded(lots)
    assert (outcome.rows_accepted, outcome.rows_rejected) == (4000, 4000)


def test_quotes_in_a_header_are_no_reason_to_lose_the_file(feed: Loader) -> None:
    data = feed_bytes([row(ONE)], names=[*NAMES, 'New "" Column'])
    assert feed.loaded(data).drift["unknown_columns"] == ['New " Column']


def test_a_file_without_rows_is_loaded_where_so_few_are_allowed(feed: Loader) -> None:
    outcome = feed.loaded([])
    assert (outcome.rows_read, outcome.rows_accepted) == (0, 0)
    feed.loaded([row(ONE)])
    assert feed.active() == {ONE}


def test_a_file_that_is_not_there_is_said_so(feed: Loader, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ingest(feed.settings, tmp_path / "none.csv", fetched_at=feed.now)


def test_a_header_of_another_export_is_refused(feed: Loader) -> None:
    outcome = feed.load(quoted(["Lot URL", "Lot #", "Year"]) + b'\n"x","1","2019"\n')
    assert (outcome.status, outcome.reason) == ("refused", "wrong_export")
    assert feed.one("select count(*) from raw.csv_files") == 0
