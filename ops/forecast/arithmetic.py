"""The arithmetic of `vinops forecast`: the progress of the backfill, the cost of the photos, the size of the data.

Pure functions of numbers; measures.py has the measured and the assumed ones.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from ops.observe.pace import days_to_go

HOURS: Final = 24
MONTH_DAYS: Final = 30
HORIZON_DAYS: Final = 90  # days; no rate can be extrapolated further
UNDATED_TURN_HOURS: Final = 96  # a lot without a sale has its place so long after it was first seen: view photo_turns

# https://developers.cloudflare.com/r2/pricing/: a month, rounded up to whole GB and millions of requests.
GIGABYTE: Final = 10**9
MILLION: Final = 10**6
STORAGE_PRICE: Final = Decimal("0.015")
CLASS_A_PRICE: Final = Decimal("4.50")
CLASS_B_PRICE: Final = Decimal("0.36")
FREE_GIGABYTES: Final = 10
FREE_CLASS_A: Final = 1
FREE_CLASS_B: Final = 10


@dataclass(frozen=True, kw_only=True)
class Range:
    """A figure with its low and high estimates."""

    low: float
    likely: float
    high: float


def exactly(value: float) -> Range:
    """Return a figure without uncertainty."""
    return Range(low=value, likely=value, high=value)


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A number of lots that wait for their photos, with the hours until their place in the order, which is their sale
    or what stands for it, and until they leave the feed."""

    lots: float
    turn_hours: float
    expiry_hours: float


@dataclass(frozen=True, kw_only=True)
class Arrivals:
    """New lots: how many an hour, the share with a known sale and the hours until it, the hours that a lot without one
    stays in the feed."""

    lots_per_hour: float = 0.0
    dated_share: float = 0.0
    lead_hours: float = 0.0
    life_hours: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Backfill:
    """The progress of the backfill: `days` until no lot waits, None if that is beyond the horizon; lots lost until then
    (or until the horizon), of those that wait now and of those that arrive; lots lost a day in the last week before the
    horizon."""

    days: float | None
    photographed: float
    lost_waiting: float
    lost_arriving: float
    lost_a_day: float


@dataclass(kw_only=True)
class _Batch:
    lots: float
    expiry: float
    is_old: bool


class _Queue:
    """The lots that wait, in two orders: by their turn, and by when they leave. What is served or lost stays in the
    other order until it comes up there: an hour costs what changes in it."""

    def __init__(self) -> None:
        self._by_turn: list[tuple[int, int, _Batch]] = []
        self._by_expiry: list[tuple[float, int, _Batch]] = []
        self._numbers = itertools.count()
        self.waiting = 0

    def add(self, turn: float, batch: _Batch) -> None:
        number = next(self._numbers)
        heapq.heappush(self._by_turn, (math.floor(turn), number, batch))
        heapq.heappush(self._by_expiry, (batch.expiry, number, batch))
        self.waiting += 1

    def arrive(self, hour: int, arrivals: Arrivals) -> None:
        with_sale = arrivals.lots_per_hour * arrivals.dated_share
        without = arrivals.lots_per_hour - with_sale
        if with_sale:
            sale = hour + arrivals.lead_hours
            self.add(sale, _Batch(lots=with_sale, expiry=sale, is_old=False))
        if without:
            expiry = hour + arrivals.life_hours
            self.add(hour + UNDATED_TURN_HOURS, _Batch(lots=without, expiry=expiry, is_old=False))

    def expired(self, hour: int) -> Iterator[_Batch]:
        while self._by_expiry and self._by_expiry[0][0] <= hour:
            _, _, batch = heapq.heappop(self._by_expiry)
            if batch.lots > 0:
                yield _Batch(lots=batch.lots, expiry=batch.expiry, is_old=batch.is_old)
                batch.lots = 0
                self.waiting -= 1

    def serve(self, room: float) -> float:
        while self._by_turn and room > 0:
            _, _, batch = self._by_turn[0]
            taken = min(room, batch.lots)
            if taken > 0:
                batch.lots -= taken
                room -= taken
                self.waiting -= batch.lots <= 0
            if batch.lots <= 0:
                heapq.heappop(self._by_turn)
        return room


def backfill(
    waiting: Sequence[Waiting], lots_per_hour: float, arrivals: Arrivals | None = None, *, days: int = HORIZON_DAYS
) -> Backfill:
    """Simulate the photo crawl hour by hour, in the order of the first pass.

    Each hour the lots that have left the feed are lost, new lots arrive, then `lots_per_hour` are photographed.
    """
    arrivals = arrivals or Arrivals()
    queue = _Queue()
    for each in sorted(waiting, key=lambda each: each.expiry_hours):
        queue.add(each.turn_hours, _Batch(lots=each.lots, expiry=each.expiry_hours, is_old=True))
    photographed = 0.0
    lost = {True: 0.0, False: 0.0}
    lost_by_hour: deque[float] = deque(maxlen=7 * HOURS)
    for hour in range(days * HOURS):
        gone = [*queue.expired(hour)]
        for batch in gone:
            lost[batch.is_old] += batch.lots
        lost_by_hour.append(math.fsum(batch.lots for batch in gone))
        queue.arrive(hour, arrivals)
        room = queue.serve(lots_per_hour)
        photographed += lots_per_hour - room
        if not queue.waiting:
            used = 1 - room / lots_per_hour if lots_per_hour else 0.0
            return Backfill(
                days=(hour + used) / HOURS,
                photographed=photographed,
                lost_waiting=lost[True],
                lost_arriving=lost[False],
                lost_a_day=0.0,  # the crawl is faster than the arrivals
            )
    return Backfill(
        days=None,
        photographed=photographed,
        lost_waiting=lost[True],
        lost_arriving=lost[False],
        lost_a_day=sum(lost_by_hour) * HOURS / max(1, len(lost_by_hour)),
    )


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The cost of a month of R2, in US dollars."""

    storage: Decimal
    class_a: Decimal
    class_b: Decimal

    @property
    def total(self) -> Decimal:
        """The sum."""
        return self.storage + self.class_a + self.class_b


def storage_cost(stored_bytes: float) -> Decimal:
    """Return what a month of this many bytes in R2 costs, given that photos use up the free allowance."""
    return Decimal(stored_bytes) / GIGABYTE * STORAGE_PRICE


def r2_cost(*, stored_bytes: float, writes: float, reads: float) -> Cost:
    """Return the cost of a month with this much stored, and these class A (writes) and class B (reads) requests."""
    gigabytes = max(0, math.ceil(stored_bytes / GIGABYTE) - FREE_GIGABYTES)
    class_a = max(0, math.ceil(writes / MILLION) - FREE_CLASS_A)
    class_b = max(0, math.ceil(reads / MILLION) - FREE_CLASS_B)
    return Cost(storage=gigabytes * STORAGE_PRICE, class_a=class_a * CLASS_A_PRICE, class_b=class_b * CLASS_B_PRICE)


@dataclass(frozen=True, kw_only=True)
class PhotoStream:
    """The inflow of photos: lots that wait, lots that arrive a day, lots that can be photographed a day, photos of a
    lot, bytes of a photo, the share of photos that is stored (another lot of the same vehicle may have them already),
    bytes stored now, and for how many days photos are kept (None: for ever)."""

    waiting: float
    arrivals_a_day: float
    lots_a_day: float
    photos_per_lot: float
    bytes_per_photo: float
    new_share: float = 1.0
    stored_bytes: float = 0.0
    retention_days: float | None = None

    def lots(self, days: float) -> float:
        """Return how many lots are photographed within these days."""
        return min(self.lots_a_day * max(0.0, days), self.waiting + self.arrivals_a_day * max(0.0, days))

    def writes(self, days: float) -> float:
        """Return how many photos are stored within these days."""
        return self.lots(days) * self.photos_per_lot * self.new_share

    def stored(self, days: float) -> float:
        """Return the bytes stored after these days. With a retention the present photos are removed evenly."""
        kept, before = self.writes(days), self.stored_bytes
        if self.retention_days is not None:
            kept -= self.writes(days - self.retention_days)
            before *= max(0.0, 1 - days / self.retention_days) if self.retention_days else 0.0
        return before + kept * self.bytes_per_photo


@dataclass(frozen=True, kw_only=True)
class Month:
    """A month of photos, counted from now: bytes at its end, photos stored in it, its cost."""

    month: int
    stored_bytes: float
    photos: float
    cost: Cost


def month(stream: PhotoStream, number: int, *, reads_per_photo: float = 0.0) -> Month:
    """Return the month of this number; 1 is the next thirty days. R2 bills the average of a month: the size at its end
    is a little more."""
    end = number * MONTH_DAYS
    photos = stream.writes(end) - stream.writes(end - MONTH_DAYS)
    stored = stream.stored(end)
    reads = reads_per_photo * stored / stream.bytes_per_photo if stream.bytes_per_photo else 0.0
    return Month(
        month=number,
        stored_bytes=stored,
        photos=photos,
        cost=r2_cost(stored_bytes=stored, writes=photos, reads=reads),
    )


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The input of the forecast. Lots an hour are all that the crawl requests; rechecks a day are those of them that
    have photos already, unless `are_new` says that lots an hour are without those. `first_per_hour` are the first
    passes: those that `waiting` lots need; None: each lot gets all its photos at once. `remaining` are the lots that no
    crawl has finished."""

    waiting: Sequence[Waiting]
    lots_per_hour: Range
    rechecks_a_day: float
    arrivals_a_day: Range
    dated_share: float
    lead_hours: float
    life_hours: float
    photos_per_lot: Range
    bytes_per_photo: Range
    new_share: float
    stored_bytes: float
    archive_bytes: float
    archive_a_day: Range
    archive_days: int
    database_bytes: float
    database_a_day: Range
    retention_days: float | None = None
    reads_per_photo: float = 0.0
    are_new: bool = False
    remaining: int = 0
    first_per_hour: Range | None = None


@dataclass(frozen=True, kw_only=True)
class Case:
    """The forecast with all ranges low, likely or high. `days_to_go` is how long the remaining lots take, whatever
    comes and goes meanwhile; `backfill` has what comes and goes until all have their first photos."""

    lots_a_day: float
    first_a_day: float
    days_to_go: float | None
    backfill: Backfill
    months: tuple[Month, ...]
    archive_bytes: float
    database_bytes: tuple[float, ...]


MONTHS: Final = (1, 3, 12)
WHICH: Final = ("low", "likely", "high")


def cases(inputs: Inputs) -> dict[str, Case]:
    """Return the three forecasts. `low` is a slow crawl that stores few and small photos, not a good result: then the
    backfill takes longest and costs least."""
    return {which: _case(inputs, which) for which in WHICH}


def _case(inputs: Inputs, which: str) -> Case:
    def pick(value: Range) -> float:
        found: float = getattr(value, which)
        return found

    # A recheck requests a list and no photo: in the fast case it costs nothing.
    rechecks = 0.0 if which == "high" or inputs.are_new else inputs.rechecks_a_day
    lots_a_day = max(0.0, pick(inputs.lots_per_hour) * HOURS - rechecks)
    first_a_day = lots_a_day if inputs.first_per_hour is None else pick(inputs.first_per_hour) * HOURS
    arrivals_a_day = inputs.arrivals_a_day.likely
    arrivals = Arrivals(
        lots_per_hour=arrivals_a_day / HOURS,
        dated_share=inputs.dated_share,
        lead_hours=inputs.lead_hours,
        life_hours=inputs.life_hours,
    )
    stream = PhotoStream(
        waiting=sum(each.lots for each in inputs.waiting),
        arrivals_a_day=pick(inputs.arrivals_a_day),
        lots_a_day=lots_a_day,
        photos_per_lot=pick(inputs.photos_per_lot),
        bytes_per_photo=pick(inputs.bytes_per_photo),
        new_share=inputs.new_share,
        stored_bytes=inputs.stored_bytes,
        retention_days=inputs.retention_days,
    )
    return Case(
        lots_a_day=lots_a_day,
        first_a_day=first_a_day,
        days_to_go=days_to_go(inputs.remaining, lots_a_day),
        backfill=backfill(inputs.waiting, first_a_day / HOURS, arrivals),
        months=tuple(month(stream, number, reads_per_photo=inputs.reads_per_photo) for number in MONTHS),
        archive_bytes=pick(inputs.archive_a_day) * inputs.archive_days,
        database_bytes=tuple(
            inputs.database_bytes + pick(inputs.database_a_day) * number * MONTH_DAYS for number in MONTHS
        ),
    )


def what_if(
    inputs: Inputs,
    *,
    lots_per_hour: float | None = None,
    photos_per_lot: float | None = None,
    retention_days: float | None = None,
    reads_per_photo: float | None = None,
) -> Inputs:
    """Return the inputs with these figures in place of the measured ones; None leaves a figure as it is."""
    changes: dict[str, Any] = {
        "lots_per_hour": None if lots_per_hour is None else exactly(lots_per_hour),
        "are_new": None if lots_per_hour is None else False,
        "photos_per_lot": None if photos_per_lot is None else exactly(photos_per_lot),
        "retention_days": retention_days,
        "reads_per_photo": reads_per_photo,
    }
    if lots_per_hour is not None:
        inputs = replace(inputs, first_per_hour=None)
    return replace(inputs, **{name: value for name, value in changes.items() if value is not None})
