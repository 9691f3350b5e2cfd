"""An itemised cost: its lines, each with its source, and their sum."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, TypeAlias

from deals.landed.money import NOTHING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from deals.landed.lines import TariffLine

Certainty: TypeAlias = Literal["certain", "assumed", "unknown"]
"""Of a percentage it says how sure the percentage is, not what it is taken of."""


@dataclass(frozen=True, kw_only=True)
class QuoteLine:
    """A part of what a lot costs: how much, in which currency, of what it was computed, and who says so.

    `amount` is None where it is unknown; `eur` is its part of the total, to the cent. `tariff` is the line of the
    tariffs, None for the bid and for what is computed from other lines.
    """

    name: str
    amount: Decimal | None
    currency: str
    kind: Certainty
    basis: str
    source: str
    eur: Decimal | None = None
    rate_percent: Decimal | None = None
    tariff: TariffLine | None = None


@dataclass(frozen=True, kw_only=True)
class Quote:
    """What a lot costs at a bid. `total_eur` is the sum of the lines; None if one of them is unknown. `landed_eur` is
    the same without the repair. `missing` says what is unknown, `notes` what is not counted."""

    bid: int
    lines: tuple[QuoteLine, ...]
    auction_fees_usd: Decimal | None
    landed_eur: Decimal | None
    total_eur: Decimal | None
    missing: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        """Whether each part is known."""
        return self.total_eur is not None

    def line(self, name: str) -> QuoteLine | None:
        """Return the line of a name, None if there is none."""
        return next((each for each in self.lines if each.name == name), None)


def total(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """Return the sum, None if one is unknown."""
    found = list(amounts)
    known = [each for each in found if each is not None]
    return sum(known, NOTHING) if len(known) == len(found) else None


def shown(number: Decimal) -> str:
    """Return a number without zeros at its end."""
    return f"{number.normalize():f}"
