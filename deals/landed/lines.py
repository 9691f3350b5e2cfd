"""The kinds of lines that tariffs have, and a line: how much, for which lots, from when until when, and who says so."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from deals.landed.money import NOTHING, Case, share

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

PER_CAR, PERCENT, BY_BID, BY_AGE, NAME = "per car", "percent", "by bid", "by age", "name"


class TariffError(Exception):
    """A file of tariffs or a profile is wrong. The message names the file, the line and what fixes it."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What lines of a kind may say. Of several that fit a lot the one with the more important selectors is taken; they
    are listed by importance. `gives` is the key with the name that a line stands for, as a port; `may_include_vat`
    whether the amounts of a line may include Bulgarian VAT, which a company gets back."""

    units: tuple[str, ...]
    currencies: tuple[str, ...] = ()
    selectors: tuple[str, ...] = ()
    gives: str = ""
    may_include_vat: bool = False


USD, MONEY = ("USD",), ("USD", "EUR")

KINDS: Final[Mapping[str, Kind]] = {
    "buyer_fee": Kind(
        units=(BY_BID, PER_CAR), currencies=USD, selectors=("vehicle_type", "account", "title", "payment")
    ),
    "virtual_bid_fee": Kind(units=(BY_BID, PER_CAR), currencies=USD, selectors=("vehicle_type", "title", "bid_kind")),
    "gate_fee": Kind(units=(PER_CAR,), currencies=USD, selectors=("vehicle_type", "title")),
    "environmental_fee": Kind(units=(PER_CAR,), currencies=USD, selectors=("vehicle_type", "title")),
    "title_pickup": Kind(units=(PER_CAR,), currencies=USD, selectors=("title_state",)),
    "broker_fee": Kind(units=(PER_CAR,), currencies=MONEY, selectors=("broker",)),
    "port": Kind(units=(NAME,), selectors=("yard", "state"), gives="port"),
    "road": Kind(units=(PER_CAR,), currencies=MONEY, selectors=("yard", "state", "port")),
    "ocean": Kind(units=(PER_CAR,), currencies=MONEY, selectors=("port", "destination")),
    "insurance": Kind(units=(PERCENT,), selectors=("destination",)),
    "origin": Kind(units=(NAME,), selectors=("sign",), gives="country"),
    "origin_certificate": Kind(units=(PER_CAR,), currencies=MONEY, selectors=("origin", "fuel")),
    "duty": Kind(units=(PERCENT,), selectors=("vehicle_type", "body", "fuel", "origin")),
    "port_fee": Kind(units=(PER_CAR,), currencies=MONEY, selectors=("destination",)),
    "customs_agent": Kind(units=(PER_CAR,), currencies=MONEY, selectors=("destination",)),
    "delivery": Kind(units=(PER_CAR,), currencies=MONEY, selectors=("destination",)),
    "vat": Kind(units=(PERCENT,)),
    "approval": Kind(units=(PER_CAR,), currencies=("EUR",), may_include_vat=True),
    "conversion": Kind(units=(PER_CAR,), currencies=("EUR",), may_include_vat=True),
    "product_fee": Kind(units=(BY_AGE, PER_CAR), currencies=("EUR",), selectors=("fuel",)),
    "registration": Kind(units=(PER_CAR,), currencies=("EUR",), may_include_vat=True),
    "repair": Kind(units=(PER_CAR,), currencies=USD, selectors=("damage",)),
    "repair_spread": Kind(units=(PERCENT,)),
    "repair_floor": Kind(units=(PER_CAR,), currencies=("EUR",)),
    "repair_ceiling": Kind(units=(PER_CAR,), currencies=USD),
}
"""The kinds of lines."""


@dataclass(frozen=True, kw_only=True)
class Bracket:
    """From `least` on, an amount or a percentage."""

    least: int
    value: Decimal
    is_percent: bool = False

    def of(self, number: int) -> Decimal:
        """Return the amount for a number in this bracket, as a bid in dollars."""
        return share(Decimal(number), self.value) if self.is_percent else self.value


@dataclass(frozen=True, kw_only=True)
class Figures:
    """How much: one amount or a range, brackets of the bid or the age, or the name that a line gives."""

    low: Decimal = NOTHING
    expected: Decimal = NOTHING
    high: Decimal = NOTHING
    brackets: tuple[Bracket, ...] = ()
    gives: str = ""


@dataclass(frozen=True, kw_only=True)
class TariffLine(Figures):
    """A line: what it is chosen by, from when until when (inclusive; None: not known), how much, and who says so."""

    kind: str
    name: str
    file: str
    starts: date
    ends: date | None
    unit: str
    currency: str
    source: str
    checked: date
    confidence: str
    chosen_by: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    includes_vat: bool = False

    @property
    def where(self) -> str:
        """File and name, as messages say them."""
        return f"{self.file}, line “{self.name}”"

    @property
    def is_range(self) -> bool:
        """Whether the amount is a range."""
        return self.low != self.high

    @property
    def is_certain(self) -> bool:
        """Whether the amount is one that can be relied on: of high confidence, and no range."""
        return self.confidence == "high" and not self.is_range

    def applies(self, day: date) -> bool:
        """Tell whether the line is in force on a day."""
        return self.starts <= day and (self.ends is None or day <= self.ends)

    def figure(self, case: Case) -> Decimal:
        """Return the amount or the percentage."""
        return {"low": self.low, "expected": self.expected, "high": self.high}[case]

    def bracket(self, number: int) -> Bracket:
        """Return the bracket that a number lies in, 0 or more."""
        return next(each for each in reversed(self.brackets) if each.least <= max(number, 0))
