"""Where in the last file a row of this one stands: the last file's lines, as far as they may be met.

The order of the feed is stable, so a row is looked for near its place: memory does not grow with the file. A row that
moved farther is sent again, and the merge finds it unchanged.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from hashlib import blake2b

from etl.body import Body as BodyPart
from etl.state import State

DIGEST_BYTES = 16
AHEAD = 6_000
"""Rows of the last file that are searched beyond the place where a row is expected."""

BEHIND = 12_000
"""Rows of the last file that are still searched when rows after them have been met."""


MOST_ALIKE_PARTS = 3
"""So much of the last body at the most is the dictionary of one frame of the archive."""


class Window:
    """The rows of the last file that may still be met, by their bytes, or by their digest where there is no body."""

    def __init__(self, last: State) -> None:
        """Begin at the first row of the last file."""
        self._last = last
        self.doubled: set[int] = set()  # lots that stand in the last file twice in the very same row
        self._known: dict[bytes, int] = {}
        self._coming = last.body.parts() if last.body else _digests(last)
        self._read = 0  # lines of the last file that were read
        self._lasts = [0]  # how many lines there are up to the end of each part that was read
        self._ends = [last.body.start if last.body else 0]  # and where it ends

    def take(self, body: BodyPart) -> list[int]:
        """Return for each line of a part where in the last file it stood, or -1; what was met is not met again."""
        if not self._last.lots:
            return [-1] * len(body.lines)
        keys = body.lines if self._last.body else [digest_of(tail) for tail in body.tails]
        take = self._known.pop
        return [take(key, -1) for key in keys]

    def read_to(self, line: int) -> None:
        """Have the lines of the last file ready up to a number. Raises BodyDamaged."""
        known, lots = self._known, self._last.lots
        while self._read < line:
            part = next(self._coming, None)
            if part is None:
                return
            end, lines = part
            first = self._read
            self._read += len(lines)
            self._lasts.append(self._read)
            self._ends.append(end)
            coming = dict(zip(lines, range(first, self._read), strict=True))
            if len(coming) < len(lines):
                self.doubled.update(lots[index] for index, text in enumerate(lines, first) if coming[text] != index)
            if not known.keys().isdisjoint(coming):
                self.doubled.update(lots[coming[text]] for text in known.keys() & coming.keys())
            known.update(coming)
            if not all(lots[first : self._read]):
                for index, text in enumerate(lines, first):
                    if not lots[index] and known.get(text) == index:
                        del known[text]

    def forget(self, line: int) -> list[int]:
        """Give up the rows before a line, and return their lots: no row of this file was theirs."""
        known, gone = self._known, []
        for key, index in known.items():
            if index >= line:
                break
            gone.append(key)
        return [self._last.lots[known.pop(key)] for key in gone]

    def left(self) -> Iterator[int]:
        """Yield the lots of all rows that were not met."""
        lots = self._last.lots
        yield from (lots[index] for index in self._known.values())
        for _, lines in self._coming:
            first = self._read
            self._read += len(lines)
            yield from filter(None, lots[first : self._read])

    def alike(self, places: list[int]) -> tuple[int, int]:
        """Return the parts of the last body around some places in it: where they start, and their length in bytes."""
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


def _digests(last: State) -> Iterator[tuple[int, list[bytes]]]:
    if last.digests:
        yield 0, list(last.digests)
