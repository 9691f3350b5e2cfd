"""The header: every column is mapped, ignored by name, or reported as drift; another export is refused."""

from __future__ import annotations

import pytest

from etl.errors import FeedRefused
from etl.read.columns import COLUMNS, Column, read_header
from standin.feed.command import HEADERS
from standin.feed.values import HEADER_2026

OPTIONAL = [column for column in COLUMNS if not column.mandatory]
MANDATORY = [column for column in COLUMNS if column.mandatory]
TITLES = [column.headers[0] for column in COLUMNS]


def test_the_header_of_2026_is_known_completely_and_in_order() -> None:
    header = read_header(list(HEADER_2026))
    assert header.names == tuple(column.name for column in COLUMNS if column.name in header.names)
    assert (header.unknown, len(header.names)) == ((), 59)
    assert header.has_ordinal
    assert header.index("lot_number") == HEADER_2026.index("Lot number")


@pytest.mark.parametrize("variant", HEADERS)
def test_every_variant_seen_is_read_without_an_unknown_column(variant: str) -> None:
    titles, _ = HEADERS[variant]
    header = read_header(list(titles))
    assert header.unknown == ()
    assert len(header.missing) == len(COLUMNS) - len(titles)
    assert header.has_ordinal == (titles[0] == "Id")


@pytest.mark.parametrize(
    ("alias", "name"),
    [("Lot ACV", "retail_value"), ("Est. Retail Value", "retail_value"), ("Wholesale", "copart_select"),
     ("Copart Select", "copart_select")],
)  # fmt: skip
def test_names_that_changed_over_time_are_one_column(alias: str, name: str) -> None:
    position = [column.name for column in COLUMNS].index(name)
    titles = [*HEADER_2026[:position], alias, *HEADER_2026[position + 1 :]]
    header = read_header(titles)
    assert header.names[position] == name
    assert header.unknown == ()


def test_case_and_blanks_around_a_title_make_no_difference() -> None:
    assert read_header([f"  {title.upper()} " for title in HEADER_2026]).unknown == ()


def test_columns_may_stand_in_another_order() -> None:
    header = read_header(list(reversed(HEADER_2026)))
    assert header.index("announcements") == 0
    assert not header.has_ordinal


def test_an_unknown_column_is_reported_by_its_title() -> None:
    header = read_header([*HEADER_2026, " Battery Health "])
    assert header.unknown == ("Battery Health",)
    assert header.names[-1] is None


def test_a_long_title_is_cut_and_stays_one_of_its_own() -> None:
    header = read_header([*HEADER_2026, "x" * 30_000, "x" * 40_000, "y" * 100])
    start = "x" * 100
    assert header.unknown == (f"{start}… (column 60)", f"{start}… (column 61)", "y" * 100)
    with pytest.raises(FeedRefused) as refusal:
        read_header([*HEADER_2026, "x" * 30_000, "x" * 30_000])
    assert refusal.value.reason == "header"
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize("column", OPTIONAL, ids=lambda column: column.name)
def test_a_missing_optional_column_is_reported_by_its_title(column: Column) -> None:
    header = read_header([title for title in TITLES if title not in column.headers])
    assert header.missing == (column.headers[0],)


@pytest.mark.parametrize("column", MANDATORY, ids=lambda column: column.name)
def test_a_missing_mandatory_column_refuses_the_file_by_its_title(column: Column) -> None:
    with pytest.raises(FeedRefused, match=column.headers[0]) as refusal:
        read_header([title for title in TITLES if title not in column.headers])
    assert refusal.value.reason == "missing_column"


def test_no_row_can_be_read_without_these() -> None:
    assert {"lot_number", "vin", "last_updated_at"} <= {column.name for column in MANDATORY}


@pytest.mark.parametrize(
    "titles",
    [
        ["Lot URL", "Lot #", "Retail Value", "Year"],
        ["lot url", "LOT #", *HEADER_2026],
        ["a", "b"],
        [],
        [""],
        list(HEADER_2026[:10]),
    ],
)
def test_another_export_is_refused_by_name(titles: list[str]) -> None:
    with pytest.raises(FeedRefused, match="COPART_CSV_URL") as refusal:
        read_header(titles)
    assert refusal.value.reason == "wrong_export"


@pytest.mark.parametrize(
    "extra", [["VIN"], ["vin "], ["Copart Select"], ["Lot ACV"], ["New", "New"], ["", ""]], ids=str
)
def test_a_column_that_stands_twice_refuses_the_file(extra: list[str]) -> None:
    with pytest.raises(FeedRefused, match="twice") as refusal:
        read_header([*HEADER_2026, *extra])
    assert refusal.value.reason == "header"


def test_a_column_is_named_once_and_every_title_means_one() -> None:
    assert len({column.name for column in COLUMNS}) == len(COLUMNS)
    titles = [title.casefold() for column in COLUMNS for title in column.headers]
    assert len(set(titles)) == len(titles)


def test_what_is_ignored_says_why() -> None:
    assert {column.name for column in COLUMNS if column.ignored} == {"ordinal", "day_of_week", "runs_drives"}
