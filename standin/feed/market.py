"""The market behind the stand-in feed: the first file of lots and the files that follow it.

Deterministic: the same seed and the same calls give the same bytes, on every machine and Python version.
"""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Final

from standin.feed.imports import PLANTED, planted, with_raised_bid
from standin.feed.lots import FIELD, PHOTO_BASE, Clock, LotMaker, split_row
from standin.feed.values import HEADER_2026

#: Rows per write: enough to write at the speed of the disk, few enough to use little memory.
ROWS_PER_WRITE: Final = 8192
FIRST_LOT: Final = 39_000_000
LAST_LOT: Final = 99_999_999
#: Maximum number of gone lots that are kept because they may return; beyond it, the oldest are dropped.
REMEMBERED: Final = 50_000
DEFAULT_NOW: Final = datetime(2026, 7, 1, 8, 0, tzinfo=UTC)

#: Variants of the header seen over the years: their column names, and the position of each column in a current row.
_ALL: Final = tuple(range(len(HEADER_2026)))
_LOT_ACV: Final = tuple("Lot ACV" if name == "Est. Retail Value" else name for name in HEADER_2026)
_UPDATED: Final = HEADER_2026.index("Last Updated Time")
HEADERS: Final[dict[str, tuple[tuple[str, ...], tuple[int, ...]]]] = {
    "2026": (HEADER_2026, _ALL),
    "2025": (tuple("Copart Select" if name == "Wholesale" else name for name in HEADER_2026), _ALL),
    "acv": (_LOT_ACV, _ALL),
    "no-id": (HEADER_2026[1:], _ALL[1:]),
    "45": ((*_LOT_ACV[1:45], "Last Updated Time"), (*_ALL[1:45], _UPDATED)),
}


@dataclass(frozen=True, kw_only=True)
class Relisting:
    """A vehicle that left and came back under a new lot number."""

    lot: int
    previous_lot: int
    vin: str


@dataclass(frozen=True, kw_only=True)
class Advance:
    """The differences between a file and the previous one. Lot numbers are in the order of their rows.

    `changed` lots are in both files and differ in more than `Id`; `new` ones were in no earlier file; `gone` ones are
    only in the previous file; `returned` ones were gone in an earlier file (those in `returned_changed` came back
    changed, the others identical except for `Id`); `relisted` are vehicles that came back under a new lot number, which
    is not in `new`. `relabelled` is the number of further rows in which only the time-zone label changed, because
    daylight saving time began or ended.
    """

    now: datetime
    rows: int
    changed: tuple[int, ...]
    new: tuple[int, ...]
    gone: tuple[int, ...]
    returned: tuple[int, ...]
    returned_changed: tuple[int, ...]
    relisted: tuple[Relisting, ...]
    relabelled: int = 0

    def counts(self) -> dict[str, int]:
        """Return the number of rows and the number of lots in each of the groups."""
        return {
            "rows": self.rows,
            "changed": len(self.changed),
            "new": len(self.new),
            "gone": len(self.gone),
            "returned": len(self.returned),
            "returned_changed": len(self.returned_changed),
            "relisted": len(self.relisted),
            "relabelled": self.relabelled,
        }


class Market:
    """The lots in the current feed file, with a method to advance to the next file."""

    def __init__(
        self,
        seed: int = 1,
        lots: int = 150_000,
        now: datetime = DEFAULT_NOW,
        *,
        photo_base: str = PHOTO_BASE,
        thumbnail_base: str | None = None,
        sales_ahead: int = 0,
    ) -> None:
        """Generate a market of `lots` lots from the seed, as of `now` (an aware datetime in whole seconds).

        The first sales are `sales_ahead` days after `now`.

        `photo_base` is the root of every Image URL, `thumbnail_base` that of every Image Thumbnail (by default the real
        host, with names that do not exist). Both must be omitted or be URLs of a `PhotoServer` with the same seed.

        Raises ValueError for more than 1,500,000 lots, or for a `now` without time zone.
        """
        if now.tzinfo is None:
            message = "now must carry a time zone, for example datetime(2026, 7, 1, 8, 0, tzinfo=UTC)"
            raise ValueError(message)
        if not 0 <= lots <= 1_500_000:
            message = f"lots must be between 0 and 1,500,000 (eight-digit lot numbers run out), not {lots}"
            raise ValueError(message)
        self.seed = seed
        self._random = random.Random(seed ^ 0x5EED)
        self._draw = self._random.random
        self._maker = self._lot_maker(Clock(now, sales_ahead), photo_base, thumbnail_base)
        self._last_number = FIRST_LOT
        self._rows: list[str] = []
        self._left: list[str] = []
        self._bargain: int | None = None  # the number of a planted lot whose bid rises with each file
        make = self._maker.make
        for position in range(lots):
            age = self._age(1 - position / lots)
            self._rows.append(make(self._next_number(), age=age))

    @property
    def now(self) -> datetime:
        """Return the time of the current file."""
        return self._maker.clock.now

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def lot_numbers(self) -> tuple[int, ...]:
        """Return the lot numbers of the current file in the order of its rows."""
        return tuple(_lot_of(row) for row in self._rows)

    def plant(self, sale: date) -> dict[str, int]:
        """Make the first lots those of the import deals, sold on this day; return their numbers by name.

        Raises ValueError for a market with fewer lots.
        """
        if len(self._rows) < len(PLANTED):
            message = f"{len(PLANTED)} lots are planted: use a market of as many at least, not of {len(self._rows)}"
            raise ValueError(message)
        for position, name in enumerate(PLANTED):
            self._rows[position] = planted(self._rows[position], name, sale)
        numbers = dict(zip(PLANTED, self.lot_numbers, strict=False))
        self._bargain = numbers["bargain"]
        return numbers

    def records(self, limit: int | None = None) -> list[list[str]]:
        """Return the fields of the first `limit` rows (None: of all), `Id` first: the expected result of parsing."""
        return [[str(number), *split_row(row)] for number, row in enumerate(self._rows[:limit], 1)]

    def clone(self) -> Market:
        """Return an independent market in the same state. Cheap, because the rows themselves are shared."""
        twin, dice = copy.copy(self), copy.copy(self._random)
        vars(twin).update(
            _rows=self._rows.copy(),
            _left=self._left.copy(),
            _random=dice,
            _draw=dice.random,
            _maker=self._maker.clone(),
        )
        return twin

    def write(self, target: Path | BinaryIO, *, header: str = "2026", bom: bool = False, newline: str = "\n") -> int:
        """Write the current file and return its size in bytes.

        `header` is a name in HEADERS. If the process dies in it, the file is truncated: it is written in place.
        """
        if isinstance(target, Path):
            with target.open("wb") as stream:
                return self.write(stream, header=header, bom=bom, newline=newline)
        if header not in HEADERS:
            message = f"unknown header {header!r}: choose one of {', '.join(HEADERS)}"
            raise ValueError(message)
        names, positions = HEADERS[header]
        opening = ("\ufeff" if bom else "") + ",".join(f'"{name}"' for name in names) + newline
        size = target.write(opening.encode())
        for start in range(0, len(self._rows), ROWS_PER_WRITE):
            part = enumerate(self._rows[start : start + ROWS_PER_WRITE], start + 1)
            if positions == _ALL:
                text = "".join([f'"{number}",{row}{newline}' for number, row in part])
            else:
                text = "".join([_picked(number, row, positions) + newline for number, row in part])
            size += target.write(text.encode())
        return size

    def advance(
        self,
        *,
        changed: float = 0.01,
        new: float = 0.002,
        gone: float = 0.002,
        returned: float = 0.0005,
        relisted: float = 0.0005,
        minutes: int = 15,
    ) -> Advance:
        """Advance to the next file, `minutes` later. Shares are of the current number of lots.

        Only lots that left in an earlier advance can return or be relisted, so the first advance has neither.
        """
        before = self._maker.clock
        since = minutes * 60
        clock = self._maker.clock = Clock(before.now + timedelta(minutes=minutes), before.sales_ahead)
        total = len(self._rows)
        leaving = self._leaving(round(gone * total))
        staying = [position for position in range(total) if position not in leaving]
        touched = {staying[i] for i in self._sample(len(staying), round(changed * total))}
        pool = self._left
        back = self._sample(len(pool), round(returned * total) + round(relisted * total))
        for position in touched:
            self._rows[position] = self._maker.changed(self._rows[position], since=since)
        if self._bargain is not None and 0 not in leaving and _lot_of(self._rows[0]) == self._bargain:  # planted first
            touched.add(0)
            self._rows[0] = with_raised_bid(self._rows[0])
        relabelled = 0
        if clock.summer != before.summer:
            relabelled = self._relabel(touched, leaving)
        left = [self._rows[position] for position in sorted(leaving)]
        changed_lots = tuple(_lot_of(self._rows[position]) for position in sorted(touched))
        self._rows = [self._rows[position] for position in staying]
        returned_lots, altered = self._bring_back(back[: round(returned * total)], since)
        relistings = self._relist(back[round(returned * total) :], since)
        new_lots = tuple(self._next_number() for _ in range(round(new * total)))
        self._rows += [self._maker.make(number, age=int(self._draw() * since)) for number in new_lots]
        gone_back = set(back)
        self._left = [row for i, row in enumerate(pool) if i not in gone_back][-REMEMBERED:] + left
        return Advance(
            now=clock.now,
            rows=len(self._rows),
            changed=changed_lots,
            new=new_lots,
            gone=tuple(_lot_of(row) for row in left),
            returned=returned_lots,
            returned_changed=altered,
            relisted=relistings,
            relabelled=relabelled,
        )

    def _lot_maker(self, clock: Clock, photo_base: str, thumbnail_base: str | None) -> LotMaker:
        """Return what generates the lots."""
        return LotMaker(seed=self.seed, clock=clock, photo_base=photo_base, thumbnail_base=thumbnail_base)

    def _age(self, seniority: float) -> int:
        """Return the age in seconds of the lot that is older than the share `seniority` of the lots.

        The median is nine days, so the lower half of the numbers is older than that.
        """
        return int(86400 * 20 * seniority * (0.85 + 0.15 * seniority) + 43200 * self._draw())

    def _next_number(self) -> int:
        self._last_number += 1 + int(self._draw() * 60)
        if self._last_number > LAST_LOT:
            message = "the eight-digit lot numbers have run out: start a new market"
            raise ValueError(message)
        return self._last_number

    def _sample(self, population: int, size: int) -> list[int]:
        """Return `size` different positions below `population`, in random order."""
        chosen: dict[int, None] = {}
        size = min(size, population)
        if size * 2 > population:
            order = list(range(population))
            for i in range(size):
                j = i + int(self._draw() * (population - i))
                order[i], order[j] = order[j], order[i]
            return order[:size]
        while len(chosen) < size:
            chosen[int(self._draw() * population)] = None
        return list(chosen)

    def _leaving(self, size: int) -> set[int]:
        """Return the positions of `size` lots that leave: of a random sample, those with the earliest sale dates."""
        candidates = self._sample(len(self._rows), size * 5)
        position = FIELD["Sale Date M/D/CY"]
        dates = {i: split_row(self._rows[i])[position] for i in candidates}
        candidates.sort(key=lambda i: (dates[i] == "0", dates[i]))
        return set(candidates[:size])

    def _relabel(self, touched: set[int], leaving: set[int]) -> int:
        moved = 0
        for position, row in enumerate(self._rows):
            renamed = self._maker.relabelled(row)
            if renamed != row:
                self._rows[position] = renamed
                moved += position not in touched and position not in leaving
        return moved

    def _bring_back(self, positions: list[int], since: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        lots, altered = [], []
        for turn, position in enumerate(positions):
            row = self._left[position]
            lot = _lot_of(row)
            if turn % 2:
                row = self._maker.relabelled(self._maker.changed(row, since=since))
                altered.append(lot)
            self._rows.append(row)
            lots.append(lot)
        return tuple(lots), tuple(altered)

    def _relist(self, positions: list[int], since: int) -> tuple[Relisting, ...]:
        relistings = []
        for position in positions:
            row = self._left[position]
            vin = split_row(row)[FIELD["VIN"]]
            if not vin:
                continue
            number = self._next_number()
            self._rows.append(self._maker.relabelled(self._maker.relisted(row, number, since=since)))
            relistings.append(Relisting(lot=number, previous_lot=_lot_of(row), vin=vin))
        return tuple(relistings)


def _lot_of(row: str) -> int:
    return int(row.split('","', FIELD["Lot number"] + 1)[FIELD["Lot number"]])


def _picked(number: int, row: str, positions: tuple[int, ...]) -> str:
    fields = [str(number), *split_row(row)]
    return ",".join([f'"{fields[position]}"' for position in positions])
