"""Tables that fit a terminal: no text is cut at any width."""

from __future__ import annotations

import pytest

from vinops.text import grid

NAMES = ["worker", "state", "since", "makes", "log"]
ROWS = [
    ["1", "running", "2026-11-25T02:40:00+00:00", "Mercedes-Benz, BMW", "/var/log/vinops/worker_1.log"],
    ["4", "stopped", "", "Skoda, Seat, Honda, Mazda, Nissan, Hyundai, Kia, Volvo", "/var/log/vinops/worker_4.log"],
]


def words(lines: list[str]) -> list[str]:
    return sorted(" ".join(lines).split())


def test_a_table_without_a_width_is_aligned_and_as_wide_as_it_has_to_be() -> None:
    assert list(grid.lines(["n", "text"], [["1", "a"], ["200", "b"], ["", ""]], right=[True, False])) == [
        "  n  text",
        "---  ----",
        "  1  a",
        "200  b",
        "",
    ]


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120, 200])
def test_a_table_has_every_word_at_every_width_and_fits_it(width: int) -> None:
    lines = list(grid.lines(NAMES, ROWS, width=width))
    for cell in (cell for row in ROWS for cell in row):
        assert all(any(word in line for line in lines) for word in cell.split()), cell
    longest = max(len(word) for row in ROWS for cell in row for word in cell.split())
    assert all(len(line) <= max(width, longest + len(grid.INDENT)) for line in lines), lines


def test_texts_are_folded_first_and_then_each_row_is_a_block() -> None:
    rows = [["7", "a text of several words that is too long for its line"]]
    assert list(grid.lines(["id", "text"], rows, width=40)) == [
        "id  text",
        "--  ------------------------------------",
        "7   a text of several words that is too",
        "    long for its line",
    ]
    assert list(grid.lines(["number", "text"], rows, width=20)) == [
        "-- row 1 of 1",
        "number  7",
        "text",
        "  a text of several",
        "  words that is too",
        "  long for its line",
    ]


def test_a_column_without_a_name_has_the_titles_of_the_blocks() -> None:
    lines = list(
        grid.lines(["", "low", "high"], [["lots", "1,000,000", "2,000,000"]], width=20, right=[False, True, True])
    )
    assert lines == ["-- lots", "low   1,000,000", "high  2,000,000"]


def test_a_word_that_is_too_long_stays_whole_so_that_it_can_be_copied() -> None:
    path = "/var/data/vinops/raw/copart/2026/11/25/0240.csv.zst"
    assert grid.fold(f"in {path} now", 20) == ["in", path, "now"]


def test_blanks_of_a_text_are_kept_and_wide_signs_count_twice() -> None:
    assert grid.fold("a  b", 10) == ["a  b"]
    assert grid.columns("車") == 2
    assert grid.columns("и\u0306") == 1
    assert list(grid.lines(["a", "b"], [["車", "x"], ["c", "y"]]))[2:] == ["車  x", "c   y"]


def test_a_table_without_rows_has_its_header() -> None:
    assert list(grid.lines(["a", "bb"], [], width=40)) == ["a  bb", "-  --"]
