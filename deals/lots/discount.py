"""The discount of cars that came from America, measured on our own ads: those flagged `from_america` beside others."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from deals.lots import rules
from vinops.db.database import queries

if TYPE_CHECKING:
    from psycopg import Connection

MOST: Final = 0.5  # a greater one is no measurement


@dataclass(frozen=True, kw_only=True)
class Discount:
    """How much less is asked for a car from America, as a share; measured on `ads`, or assumed where these are few."""

    share: float
    ads: int
    is_measured: bool

    @property
    def words(self) -> str:
        """Return it for people, with its n."""
        if self.is_measured:
            return f"{self.share:.1%} less for cars from America, measured on {self.ads} ads".replace("%", " %")
        return f"{self.share:.1%} less for cars from America, assumed: {self.ads} ads are too few".replace("%", " %")


def current(connection: Connection[Any]) -> Discount:
    """Return the discount to value with: the newest measured one, or the assumed one of rules.toml."""
    row = connection.execute(queries("imports")["newest_discount"]).fetchone()
    fewest = int(rules.read()["fewest_ads"])
    if row is None or row[1] < fewest:
        return Discount(share=float(rules.read()["discount"]), ads=row[1] if row else 0, is_measured=False)
    return Discount(share=row[0], ads=row[1], is_measured=True)


def measure(connection: Connection[Any]) -> Discount:
    """Measure the discount, store it if it changed, and return it. One statement writes; a second time it writes
    nothing."""
    statements = queries("imports")
    ads, from_america, others = connection.execute(statements["measure_discount"]).fetchone() or (0, None, None)
    share = 0.0 if from_america is None or others is None else 1 - math.exp(from_america - others)
    share = round(min(max(share, 0.0), MOST), 4)
    connection.execute(statements["store_discount"], {"ads": ads, "discount": share})
    return current(connection)
