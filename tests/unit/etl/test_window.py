"""The rows of the last file are found whatever happened to the order of the rows."""

from __future__ import annotations

import random
import zlib
from array import array
from typing import TYPE_CHECKING

import pytest

from etl.merge import window
from etl.merge.window import RUN, Window
from etl.read.body import BodyPart
from etl.store.state import LastBody, State

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 4 * RUN


def last_file(folder: Path, lines: list[bytes], lots: list[int]) -> State:
    """Return the state of a file with these lines, in two parts."""
    half = len(lines) // 2
    parts = [b"", *(b"".join(line + b"\n" for line in some) for some in (lines[:half], lines[half:]))]
    path = folder / "last.body"
    path.write_bytes(b"".join(parts))
    body = LastBody(path, b"\n", [(len(part), zlib.crc32(part)) for part in parts])
    return State(sha256="", layout="", lots=array("Q", lots), body=body)


def taken(state: State, lines: list[bytes], size: int) -> tuple[list[int], set[int]]:
    """Return where each line stood, taken in parts of `size` lines, and the lots that were not met."""
    found = Window(state)
    places: list[int] = []
    for start in range(0, len(lines), size):
        part = lines[start : start + size]
        found.read_to(len(state.lots))
        places += found.take(BodyPart(raw=b"", data=b"", lines=part, tails=part))
    return places, set(found.left())


def rows(count: int) -> list[bytes]:
    """Return lines that all differ."""
    return [b",row %d" % number for number in range(count)]


@pytest.mark.parametrize("size", [1, 7, RUN - 1, RUN, RUN + 1, ROWS])
def test_a_file_with_changed_new_and_gone_rows_finds_exactly_the_others(tmp_path: Path, size: int) -> None:
    chance = random.Random(size)
    old = rows(ROWS)
    state = last_file(tmp_path, old, list(range(1, ROWS + 1)))
    new: list[bytes] = []
    expected: list[int] = []
    gone: set[int] = set()
    for number, line in enumerate(old):
        draw = chance.random()
        if draw < 0.02:
            gone.add(number + 1)
            continue
        if draw < 0.04:
            new.append(line + b" changed")
            expected.append(-1)
            gone.add(number + 1)
            continue
        if draw < 0.06:
            new.append(b",new %d" % number)
            expected.append(-1)
        new.append(line)
        expected.append(number)
    assert taken(state, new, size) == (expected, gone)


@pytest.mark.parametrize("size", [100, RUN, ROWS])
@pytest.mark.parametrize("cut", [1, RUN // 2, RUN - 1, RUN, RUN + 1, 2 * RUN])
def test_a_long_piece_that_left_or_came_ends_nothing(tmp_path: Path, size: int, cut: int) -> None:
    old = rows(ROWS)
    state = last_file(tmp_path, old, list(range(1, ROWS + 1)))
    left = old[:10] + old[10 + cut :]
    assert taken(state, left, size) == ([*range(10), *range(10 + cut, ROWS)], set(range(11, 11 + cut)))
    came = old[:10] + [b",new %d" % number for number in range(cut)] + old[10:]
    assert taken(state, came, size) == ([*range(10), *[-1] * cut, *range(10, ROWS)], set())


@pytest.mark.parametrize("size", [1, 100, RUN, ROWS])
def test_rows_in_any_order_are_accounted_for(tmp_path: Path, size: int) -> None:
    old = rows(ROWS)
    state = last_file(tmp_path, old, list(range(1, ROWS + 1)))
    new = old.copy()
    random.Random(size).shuffle(new)
    places, gone = taken(state, new, size)
    assert all(place in (-1, old.index(line)) for place, line in zip(places, new, strict=True))
    assert gone == set(range(1, ROWS + 1)) - {place + 1 for place in places if place >= 0}
    assert places.count(-1) < ROWS / 2, "a shuffled file is looked up, not sent again"


def test_lines_that_are_no_rows_of_their_own_are_never_met(tmp_path: Path) -> None:
    lots = list(range(1, ROWS + 1))
    lots[5] = lots[RUN + 3] = 0
    state = last_file(tmp_path, rows(ROWS), lots)
    places, gone = taken(state, rows(ROWS), 100)
    assert [number for number, place in enumerate(places) if place < 0] == [5, RUN + 3]
    assert gone == set()


def test_searching_gives_up_where_looking_up_is_cheaper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searches = []

    def counted(old: list[bytes], new: list[bytes]) -> tuple[int, int] | None:
        searches.append(1)
        return search(old, new)

    search = window._search
    monkeypatch.setattr(window, "_search", counted)
    old = rows(ROWS)
    new = [line for pair in zip(old[::2], old[1::2], strict=True) for line in reversed(pair)]
    random.Random(1).shuffle(new)
    taken(last_file(tmp_path, old, list(range(1, ROWS + 1))), new, 100)
    assert len(searches) < window.SEARCHES + ROWS // window.SEARCHES
