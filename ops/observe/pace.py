"""How many lots photo crawls finish a day, and how long the rest takes: one figure for forecast, health, status,
monitor and metrics."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Self

from vinops.text.figures import amount

if TYPE_CHECKING:
    from collections.abc import Mapping

LEAST: Final = timedelta(days=1)
"""Crawls pause, mostly at the same times every day: less than a whole day says nothing about a day."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """What photo crawls did in the whole days since `since`, at most seven: lots finished for good a day, with pauses
    counted, and the tenth and ninetieth percentile of the days; the lots a day that had their first pass; None before
    the first day is over."""

    since: datetime
    runs: int
    days: int
    lots_a_day: float | None = None
    low: float | None = None
    high: float | None = None
    first_a_day: float | None = None

    @classmethod
    def of(cls, row: Mapping[str, Any] | None) -> Self | None:
        """Return the result of the query `photo_pace`; None if no crawl did a lot in the last week."""
        return cls(**row) if row and row["since"] is not None else None

    @property
    def enough_from(self) -> datetime:
        """When the first day is over."""
        return self.since + LEAST


def days_to_go(lots: float, lots_a_day: float | None) -> float | None:
    """Return the days that this many lots take; None if the number finished a day is unknown or zero."""
    return lots / lots_a_day if lots_a_day else None


def to_go(lots: float, lots_a_day: float) -> str:
    """Return the pace and the days that are left: `1,500 a day, 103 days to go`."""
    days = days_to_go(lots, lots_a_day)
    left = "" if days is None else f", {days:.1f} days to go" if days < 10 else f", {amount(days)} days to go"
    return f"{amount(lots_a_day)} a day{left}"


def not_yet(moment: datetime) -> str:
    """Return the words for a figure that cannot be measured before that moment."""
    return f"not enough data yet, from {moment:%Y-%m-%d %H:%M} UTC on"
