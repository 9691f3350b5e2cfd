"""The lines of the last file around the current place, in which each row of the new file is searched.

The order of the feed is stable, so a row is searched near its place, and memory does not grow with the file. A row that
moved farther is sent again, and the merge finds it unchanged.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import compress, count
from operator import ne

from etl.read.body import BodyPart
from etl.store.state import State

DIGEST_BYTES = 16
AHEAD = 6_000
"""Rows of the last file that are searched beyond the place where a row is expected."""

BEHIND = 12_000
"""Rows of the last file that are still searched after rows behind them were found."""

RUN = 512
"""Rows that are compared at a time, and searched for the place where both files are the same again."""

NEAR = 5
"""Rows that are tried before a search: nearly all changes of a feed are a row or two."""

SEARCHES = 64
"""How many searches a file always gets, and after how many rows it gets one more."""

MOST_ALIKE_PARTS = 3
"""How many parts of the last body may be the dictionary of one frame of the archive."""


class Window:
    """The rows of the last file that may still be found, by their bytes, or by their digest where there is no body.

    As long as both files have their rows in one order they are compared in step, run by run, and only the rows between
    the runs are hashed. Once they are out of step every row is looked up.
    """

    def __init__(self, last: State) -> None:
        """Begin at the first row of the last file."""
        self._last = last
        self.doubled: set[int] = set()  # lots that the last file has twice in the very same row
        self._spares = _lines_of(last, set(last.spares))
        self._texts: dict[int, set[bytes]] = {}  # the rows of lots with spares, as far as they were read
        self._is_in_step = last.body is not None
        self._searches = 0
        self._loose = 0  # rows at the ends of parts since both files were last the same
        self._ahead: list[bytes] = []  # in step: the lines that were read and not yet passed
        self._passed = 0  # in step: the number of the first of them
        self._known: dict[bytes, int] = {}
        self._coming = last.body.parts() if last.body else _digests(last)
        self._read = 0  # lines of the last file that were read
        self._lasts = [0]  # how many lines there are up to the end of each part that was read
        self._ends = [last.body.start if last.body else 0]  # and where it ends

    def take(self, body: BodyPart) -> list[int]:
        """Return the number of each line of a part in the last file, or -1. No line of it is matched twice."""
        if not self._last.lots:
            return [-1] * len(body.lines)
        keys = body.lines if self._last.body else [digest_of(tail) for tail in body.tails]
        places = self._step(keys) if self._is_in_step else []
        take = self._known.pop
        places += [take(key, -1) for key in (keys[len(places) :] if places else keys)]
        return places

    def _step(self, keys: list[bytes]) -> list[int]:
        """Return the places of the first lines of a part: of all, or of those before the files are out of step."""
        places: list[int] = []
        ahead, at = self._ahead, 0
        while len(places) < len(keys):
            done = len(places)
            old, new = ahead[at : at + RUN], keys[done : done + RUN]
            same = len(new) if old == new else next(compress(count(), map(ne, old, new)), min(len(old), len(new)))
            if same:
                self._loose = 0
                first = self._passed + at
                places += self._rows(first, first + same)
                at += same
                continue
            skips = _nearby(old, new) or self._searched(old, new)
            if skips is None:
                self._is_in_step = False
                break
            self._learn(ahead[at : at + skips[0]], self._passed + at)
            at += skips[0]
            take = self._known.pop
            places += [take(key, -1) for key in new[: skips[1]]]
        if not self._is_in_step:
            self._learn(ahead[at:], self._passed + at)
            at = len(ahead)
        del ahead[:at]
        self._passed += at
        return places

    def _searched(self, old: list[bytes], new: list[bytes]) -> tuple[int, int] | None:
        """Return the result of `_search`; None too when searching has begun to cost more than looking every row up.

        The last rows of a part may have no same row after them: they are taken as new, and the next part decides.
        """
        self._searches += 1
        found = _search(old, new) if self._searches < SEARCHES + self._read // SEARCHES else None
        if found is None and (self._loose + len(new) < NEAR or not old):
            self._loose += len(new)
            return 0, len(new)
        return found

    def _rows(self, first: int, end: int) -> Iterable[int]:
        """Return the numbers of some lines, -1 for a line that is not a row by itself."""
        lots = self._last.lots[first:end]
        if 0 not in lots:
            return range(first, end)
        return [number if lot else -1 for number, lot in enumerate(lots, first)]

    def read_to(self, line: int) -> None:
        """Read the last file up to a line. Raises StateDamaged."""
        while self._read < line:
            part = next(self._coming, None)
            if part is None:
                return
            end, lines = part
            first = self._read
            self._read += len(lines)
            self._lasts.append(self._read)
            self._ends.append(end)
            self._find_doubled(lines, first)
            if self._is_in_step:
                self._ahead += lines
            else:
                self._learn(lines, first)

    def _learn(self, lines: list[bytes], first: int) -> None:
        """Add some lines to those that are looked up; `first` is the number of the first of them."""
        lots = self._last.lots
        for number, text in enumerate(lines, first):
            if lots[number]:
                self._known[text] = number

    def _find_doubled(self, lines: list[bytes], first: int) -> None:
        """Note the lots that the last file has twice in the very same row. One of the two is a spare."""
        while self._spares and self._spares[0] < first + len(lines):
            number = self._spares.popleft()
            lot, text = self._last.lots[number], lines[number - first]
            if text in self._texts.setdefault(lot, set()):
                self.doubled.add(lot)
            self._texts[lot].add(text)

    def forget(self, line: int) -> list[int]:
        """Remove the rows before a line and return their lots: this file does not have these rows."""
        known, gone = self._known, []
        for key, index in known.items():
            if index >= line:
                break
            gone.append(key)
        return [self._last.lots[known.pop(key)] for key in gone]

    def left(self) -> Iterator[int]:
        """Yield the lots of all rows that were not found."""
        lots = self._last.lots
        yield from (lots[index] for index in self._known.values())
        yield from filter(None, lots[self._passed : self._passed + len(self._ahead)])
        for _, lines in self._coming:
            first = self._read
            self._read += len(lines)
            yield from filter(None, lots[first : self._read])

    def alike(self, places: list[int]) -> tuple[int, int]:
        """Return the range of the last body around some lines of it: where it starts, and its length in bytes."""
        first = next((place for place in places if place >= 0), None)
        last = next((place for place in reversed(places) if place >= 0), None)
        if first is None or last is None or not self._last.body:
            return 0, 0
        first, last = (bisect_left(self._lasts, place + 1) for place in sorted((first, last)))
        last = min(last, first + MOST_ALIKE_PARTS - 1)
        return self._ends[first - 1], self._ends[last] - self._ends[first - 1]


def digest_of(tail: bytes) -> bytes:
    """Return the digest of a row without its `Id`."""
    return blake2b(tail, digest_size=DIGEST_BYTES).digest()


def _nearby(old: list[bytes], new: list[bytes]) -> tuple[int, int] | None:
    """Return how many lines of the last file left and how many of this one are new before both are the same again;
    None if these are more than a few. Both begin with lines that differ."""
    for far in range(1, NEAR):
        if far < len(old) and far < len(new) and old[far] == new[far]:
            return far, far
        if far < len(old) and old[far] == new[0]:
            return far, 0
        if old and far < len(new) and old[0] == new[far]:
            return 0, far
    return None


def _search(old: list[bytes], new: list[bytes]) -> tuple[int, int] | None:
    """Return the same as `_nearby`, searching a whole run; None if the files are out of step."""
    places = {text: number for number, text in reversed(list(enumerate(old)))}
    for number, text in enumerate(new):
        if text in places:
            return places[text], number
    return None


def _lines_of(last: State, lots: set[int]) -> deque[int]:
    """Return the numbers of the lines of some lots."""
    return deque(number for number, lot in enumerate(last.lots if lots else ()) if lot in lots)


def _digests(last: State) -> Iterator[tuple[int, list[bytes]]]:
    if last.digests:
        yield 0, list(last.digests)
