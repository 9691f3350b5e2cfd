"""What the pages of the market read: figures that a nightly task computed (deals/market.py), and the ads as points."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final

from psycopg.rows import class_row

from deals.estimate.cars import LEAST_KM, MOST_KM
from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from psycopg import Connection

LEAST: Final = 5
"""Prices, fewer than which give no median to compare with."""
POINTS: Final = 400
"""The most ads that are drawn: 40 KB of the page."""


@dataclass(frozen=True, kw_only=True)
class Prices:
    """Cars, those of them whose price counts, and quartiles of these prices in EUR."""

    ads: int
    priced: int
    p25: Decimal | None
    p50: Decimal | None
    p75: Decimal | None


@dataclass(frozen=True, kw_only=True)
class Family(Prices):
    """A family that is advertised; `p50_before` and `p50_long_before` are its medians 3 and 12 months ago, None where
    there were fewer than LEAST prices. The last fields are those of Stay."""

    make: str
    family: str
    p50_before: Decimal | None
    p50_long_before: Decimal | None
    median_days: int | None
    gone: int | None
    followed_days: int | None
    gone_in_30_days: Decimal | None

    @property
    def change(self) -> float | None:
        """By what share the median rose in 3 months."""
        return rise(self, self.p50_before)

    @property
    def long_change(self) -> float | None:
        """By what share the median rose in 12 months."""
        return rise(self, self.p50_long_before)


@dataclass(frozen=True, kw_only=True)
class Make:
    """A make that is advertised."""

    make: str
    ads: int


@dataclass(frozen=True, kw_only=True)
class Month(Prices):
    """A month of a family, of one model year or (0) of all."""

    month: date
    year: int


@dataclass(frozen=True, kw_only=True)
class Split(Prices):
    """What of a family is advertised: of one model year, fuel or region, or (empty) all of it."""

    make: str
    split: str
    value: str


@dataclass(frozen=True, kw_only=True)
class Stay:
    """How long the cars of a family stay: `median_days` until half of them are gone, None if that is not known;
    `followed_days` is the age up to which enough cars were watched."""

    watched: int
    gone: int
    followed_days: int
    median_days: int | None
    gone_in_30_days: Decimal | None
    watched_until: datetime


@dataclass(frozen=True, kw_only=True)
class Point:
    """An ad on a chart; `total` is how many there are."""

    listing_id: int
    mileage_km: int
    price_eur: Decimal
    year: int | None
    total: int


def rise(now: Prices, before: Decimal | None) -> float | None:
    """Return by what share a median rose; None if there are fewer than LEAST prices, or there was none before."""
    if now.p50 is None or now.priced < LEAST or not before:
        return None
    return float(now.p50 / before) - 1


def months_before(at: datetime, count: int) -> date:
    """Return the month that is so many months before that of a time, in UTC."""
    day = at.astimezone(UTC)
    years, month = divmod(day.year * 12 + day.month - 1 - count, 12)
    return date(years, month + 1, 1)


def families(connection: Connection[Any], at: datetime, *, make: str, words: str) -> list[Family]:
    """Return the families that are advertised, the most frequent first: of a make, and with these words in the name,
    if they are not empty. `at` is when the figures were computed."""
    about = {
        "before": months_before(at, 3),
        "long_before": months_before(at, 12),
        "least": LEAST,
        "make": make or None,
        "words": words.lower() or None,
    }
    with connection.cursor(row_factory=class_row(Family)) as cursor:
        return cursor.execute(queries("market")["families"], about).fetchall()


def makes(connection: Connection[Any]) -> list[Make]:
    """Return the makes that are advertised, the most frequent first."""
    with connection.cursor(row_factory=class_row(Make)) as cursor:
        return cursor.execute(queries("market")["makes"]).fetchall()


def months(connection: Connection[Any], family: str) -> list[Month]:
    """Return the months of a family, oldest first, of each model year too."""
    with connection.cursor(row_factory=class_row(Month)) as cursor:
        return cursor.execute(queries("market")["months"], {"family": family}).fetchall()


def splits(connection: Connection[Any], family: str) -> list[Split]:
    """Return what of a family is advertised."""
    with connection.cursor(row_factory=class_row(Split)) as cursor:
        return cursor.execute(queries("market")["splits"], {"family": family}).fetchall()


def stay(connection: Connection[Any], family: str) -> Stay | None:
    """Return how long the cars of a family stay; None if no walk of its make was complete."""
    with connection.cursor(row_factory=class_row(Stay)) as cursor:
        return cursor.execute(queries("market")["stays"], {"family": family}).fetchone()


def points(connection: Connection[Any], family: str) -> Sequence[Point]:
    """Return ads of a family with price and mileage, at most POINTS, evenly of all."""
    about = {"family": family, "most": POINTS, "least_km": LEAST_KM, "most_km": MOST_KM}
    with connection.cursor(row_factory=class_row(Point)) as cursor:
        return cursor.execute(queries("market")["points"], about).fetchall()
