"""Which line of the tariffs a part of the cost is taken from, where that takes more than a look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from deals.landed.money import HUNDRED
from deals.landed.profiles import BY_STATE

if TYPE_CHECKING:
    from decimal import Decimal

    from deals.landed.book import Tariffs
    from deals.landed.lines import TariffLine
    from deals.landed.money import Case
    from deals.landed.profiles import Profile

AT_DESTINATION: Final = ("port_fee", "customs_agent", "delivery")
"""What is paid at the port of destination and on the way from there; VAT is computed from it, too."""
IN_BULGARIA: Final = ("approval", "conversion", "registration")
"""What is paid in Bulgaria, the same for every car."""


def port(yard: str | None, state: str | None, profile: Profile, tariffs: Tariffs) -> str | None:
    """Return the port in America that a car goes to; None if no line says."""
    if profile.port != BY_STATE:
        return profile.port
    line = tariffs.find("port", yard=yard, state=state)
    return line.gives if line else None


def road(yard: str | None, state: str | None, profile: Profile, tariffs: Tariffs) -> TariffLine | None:
    """Return the line of the road from the yard to the port; None if no line names the yard or its state.

    Lines without a port are to the one of the state: to another port the road is known only to lines that name it.
    """
    line = tariffs.find("road", yard=yard, state=state, port=port(yard, state, profile, tariffs))
    if line is None or profile.port == BY_STATE or "port" in line.chosen_by:
        return line
    usual = tariffs.find("port", yard=yard, state=state)
    return line if usual is not None and usual.gives == profile.port else None


def product_fee(year: int | None, fuel: str | None, tariffs: Tariffs, case: Case) -> Decimal | None:
    """Return the product fee for a car of this model year; None if it is not known."""
    line = tariffs.find("product_fee", fuel=fuel)
    if line is None or (line.brackets and year is None):
        return None
    return line.bracket(age(year, tariffs)).value if line.brackets else line.figure(case)


def age(year: int | None, tariffs: Tariffs) -> int:
    """Return the years since the model year, 0 where that is still to come."""
    return max(tariffs.day.year - (year or 0), 0)


@dataclass(frozen=True, kw_only=True)
class RepairTerms:
    """The lines that turn an estimate in dollars into a repair in Bulgaria."""

    ceiling: TariffLine
    spread: TariffLine
    floor: TariffLine


def repair_terms(tariffs: Tariffs) -> RepairTerms | None:
    """Return these lines, None if one is missing."""
    ceiling, spread, floor = (tariffs.find(f"repair_{each}") for each in ("ceiling", "spread", "floor"))
    if ceiling is None or spread is None or floor is None:
        return None
    return RepairTerms(ceiling=ceiling, spread=spread, floor=floor)


def factor(profile: Profile) -> Decimal:
    """Return the percentage of Copart's figure that a repair costs in Bulgaria."""
    return profile.repair_factor * HUNDRED
