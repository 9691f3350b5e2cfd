"""What a lot is not bought for: rules.toml and titles.toml, and the reasons as blockers of a lot."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from deals.lots.facts import Lot

Export: TypeAlias = Literal["yes", "no", "ask"]

FOLDER: Final = files("deals.lots")
STATES: Final = frozenset({
    "AK", "AL", "AR", "AZ", "CA", "CO", "CT", "DC", "DE", "FL", "GA", "HI", "IA", "ID", "IL", "IN", "KS", "KY",
    "LA", "MA", "MD", "ME", "MI", "MN", "MO", "MS", "MT", "NC", "ND", "NE", "NH", "NJ", "NM", "NV", "NY", "OH",
    "OK", "OR", "PA", "RI", "SC", "SD", "TN", "TX", "UT", "VA", "VT", "WA", "WI", "WV", "WY",
})  # fmt: skip
CERTAIN: Final = frozenset({"clean", "salvage"})  # groups of titles whose meaning is certain
ELECTRIC: Final = frozenset({"electric", "plug-in hybrid"})
SOFT: Final = frozenset({"title unknown", "no sale date"})
"""Blockers that may go: such a lot is valued all the same."""


@dataclass(frozen=True, kw_only=True)
class Blocker:
    """A reason not to buy a lot: its name, for filters and counts, and what it is in words."""

    name: str
    reason: str


def blockers(lot: Lot) -> list[Blocker]:
    """Return why a lot is not bought, by its own facts, the weightiest first. Whether it has a market and whether its
    sale is about to begin is not among them: the one follows from its value, the other from the clock."""
    return list(_blockers(lot))


def _blockers(lot: Lot) -> Iterator[Blocker]:
    rules = read()
    if lot.vehicle_type != "car":
        heavy = rules["types"].get(lot.vehicle_type)
        yield Blocker(
            name="heavy vehicle" if heavy else "not a car", reason=heavy or lot.vehicle_type or "unknown type"
        )
        return
    can, why = export(lot)
    if can != "yes":
        yield Blocker(name="title not exportable" if can == "no" else "title unknown", reason=why)
    hurt = dict(rules["damages"]) | (rules["electric"] if lot.fuel in ELECTRIC else {})
    for damage in dict.fromkeys((lot.damage, lot.secondary_damage)):
        if damage in hurt:
            yield Blocker(name="damage", reason=f"{damage}: {hurt[damage]}")
    if lot.year is None or lot.year < rules["first_year"]:
        yield Blocker(name="too old", reason=f"{lot.year or 'no year'}, before {rules['first_year']}")
    yield from _of_its_state(lot)
    if lot.sale_date is None:
        yield Blocker(name="no sale date", reason="the sale has no date yet")


def _of_its_state(lot: Lot) -> Iterator[Blocker]:
    if not lot.has_keys:
        yield Blocker(name="no keys", reason="no keys" if lot.has_keys is False else "keys not known")
    if lot.condition is None:
        yield Blocker(name="does not start", reason="the feed does not say that it runs or starts")
    if lot.odometer_brand not in {"actual", "exempt"} or lot.odometer is None:
        brand = lot.odometer_brand or "not known"
        yield Blocker(name="odometer", reason=f"mileage {brand if lot.odometer is not None else 'missing'}")


def export(lot: Lot) -> tuple[Export, str]:
    """Return whether a car leaves the country with the title of the lot, and why. Never yes for a title whose meaning
    is not certain."""
    pair = f"{lot.title_state or '?'} {lot.title_type or '?'}"
    can, why = _titles().get((lot.title_state or "", lot.title_type or ""), ("ask", ""))
    if can == "ask":
        can, why = _titles().get(("", lot.title_type or ""), ("ask", ""))
    if can == "no":
        return "no", f"{pair}: {why}"
    if can == "yes" and lot.title_group in CERTAIN:
        return "yes", f"{pair}: {why}"
    return "ask", f"{pair}: ask the forwarder whether it can be exported"


@cache
def read() -> Mapping[str, Any]:
    """Return rules.toml."""
    return tomllib.loads((FOLDER / "rules.toml").read_text(encoding="utf-8"))


@cache
def digest() -> str:
    """Return a digest of the rules, the titles and the twins: values are made anew when it changes."""
    texts = [(FOLDER / name).read_bytes() for name in ("rules.toml", "titles.toml")]
    texts.append((files("vinops") / "twins.toml").read_bytes())
    return hashlib.blake2b(b"".join(texts), digest_size=4).hexdigest()


@cache
def _titles() -> Mapping[tuple[str, str], tuple[Export, str]]:
    """Return the titles by state and code; the state is empty for all states."""
    found: dict[tuple[str, str], tuple[Export, str]] = {}
    for entry in tomllib.loads((FOLDER / "titles.toml").read_text(encoding="utf-8"))["title"]:
        states = {"all": [""], "US": sorted(STATES)}.get(entry["states"]) if isinstance(entry["states"], str) else None
        for state in states or entry["states"]:
            for code in entry["codes"]:
                found[state, code] = (entry["export"], entry["why"])
    return found
