"""What a quote is made of, beside the tariffs: the facts of a lot, and the exchange rate."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from deals.landed.money import places

if TYPE_CHECKING:
    from datetime import date

    from deals.landed.book import Tariffs

RATE_PLACES: Final = 6
"""Decimals of an exchange rate that are kept; the ECB gives four."""

_VIN: Final = re.compile(r"[A-HJ-NPR-Z0-9]{17}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Lot:
    """What of a lot its costs depend on; None is not known, and makes the parts that need it unknown or dearer.

    `title` is `clean` or `non-clean`, `state` that of the yard, `vehicle_type` the feed's letter, `fuel`, `body` and
    `damage` our words for them. `damage` None: the repair is not asked for, and no part of the cost; a damage that no
    line names makes it unknown. `repair_usd` is Copart's own estimate, `repair_eur` what a person has estimated for
    Bulgaria: the better known one counts.
    """

    state: str | None = None
    yard: str | None = None
    title: str | None = None
    title_state: str | None = None
    vin: str | None = None
    year: int | None = None
    fuel: str | None = None
    vehicle_type: str | None = "V"
    body: str | None = None
    damage: str | None = None
    repair_usd: Decimal | None = None
    repair_eur: Decimal | None = None
    currency: str | None = "USD"

    @property
    def has_repair(self) -> bool:
        """Whether its repair is a part of its cost."""
        return not (self.damage is None and self.repair_usd is None and self.repair_eur is None)


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Dollars for one euro, the day that it is of, and who says so."""

    usd: Decimal
    day: date | None = None
    source: str = "given by hand"

    def __post_init__(self) -> None:
        """Raises ValueError for a rate that none is."""
        check_rate(self.usd)


def check_rate(rate: Decimal) -> None:
    """Raise ValueError for dollars for a euro that no market has seen."""
    if not rate.is_finite() or not Decimal("0.1") <= rate <= 10:
        raise ValueError("a rate is dollars for one euro, as in 1.10: from 0.1 to 10")
    if places(rate) > RATE_PLACES:
        raise ValueError(f"a rate has at most {RATE_PLACES} decimals")


def is_vin(text: str | None) -> bool:
    """Tell whether a text is a whole VIN: one with masked signs is not."""
    return text is not None and _VIN.fullmatch(text) is not None


def origin(vin: str | None, tariffs: Tariffs) -> str | None:
    """Return the country in which a car was assembled; None if its VIN is missing, masked, or not known to any line."""
    if vin is None or not is_vin(vin):
        return None
    line = tariffs.find("origin", sign=vin[:2]) or tariffs.find("origin", sign=vin[:1])
    return line.gives if line else None
