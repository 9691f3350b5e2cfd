"""Profiles: who buys, how they pay, and where the car goes. Ours are in profiles/*.toml, the owner's in the folder
`profiles` of the data folder; one of his replaces ours of the same name."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from deals.landed.book import read_toml, toml_files
from deals.landed.lines import TariffError
from deals.landed.lot import RATE_PLACES, check_rate
from deals.landed.money import HUNDRED, NOTHING, places

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.resources.abc import Traversable
    from pathlib import Path

HERE: Final = files("deals.landed") / "profiles"
BY_STATE: Final = "by state"

WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "account": ("non-licensed", "high-volume"),
    "payment": ("secured", "unsecured"),
    "bid_kind": ("pre", "live"),
}
"""What the texts of a profile that choose fees may be."""
TITLES: Final = ("clean", "non-clean")


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How a lot is bought. Percentages are of 100; `margin_eur` and `margin_percent` (of the value) are both to be left
    over; `port` is the port in America, or `by state`; `customs_rate` is the monthly rate of customs, None: the rate
    of the day."""

    name: str
    is_default: bool
    account: str
    payment: str
    bid_kind: str
    is_vat_registered: bool
    port: str
    destination: str
    broker: str
    margin_eur: Decimal
    margin_percent: Decimal
    repair_factor: Decimal
    exchange_markup_percent: Decimal
    customs_rate: Decimal | None = None

    def limit(self, value: Decimal, vat_percent: Decimal) -> Decimal:
        """Return the most that a car may cost in euro if it sells for `value`: what is left after VAT, which a company
        that is registered owes on the whole price of an imported car, and after the margin."""
        net = value * HUNDRED / (HUNDRED + vat_percent) if self.is_vat_registered else value
        return net - self.margin_eur - value * self.margin_percent / HUNDRED


@dataclass(frozen=True)
class Profiles:
    """All profiles by name."""

    by_name: Mapping[str, Profile]

    @property
    def default(self) -> Profile:
        """The one that is used if none is named."""
        return next(each for each in self.by_name.values() if each.is_default)

    def named(self, name: str | None) -> Profile:
        """Return a profile, the default one for None. Raises TariffError for a name that is none."""
        if name is None:
            return self.default
        if name not in self.by_name:
            raise TariffError(f"there is no profile {name}: use one of {', '.join(sorted(self.by_name))}")
        return self.by_name[name]


def load(data_dir: Path | None = None) -> Profiles:
    """Return all profiles. Raises TariffError for one that is not understood, and for several defaults of one place."""
    ours = _read(HERE)
    folder = data_dir / "profiles" if data_dir else None
    theirs = _read(folder) if folder is not None and folder.is_dir() else {}
    if any(each.is_default for each in theirs.values()):
        ours = {name: replace(each, is_default=False) for name, each in ours.items()}
    found = ours | theirs
    if not any(each.is_default for each in found.values()):
        raise TariffError(f"{folder or HERE}: no profile is the default: write `default = true` into one")
    return Profiles(found)


def _read(folder: Traversable) -> dict[str, Profile]:
    found = {}
    for file in toml_files(folder):
        shown = str(file) if folder is not HERE else file.name
        name = file.name.removesuffix(".toml")
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", name):
            raise TariffError(f"{shown}: a profile is named with small letters, digits and dashes: rename the file")
        found[name] = _Reading(shown, read_toml(file, shown)).profile(name)
    if sum(each.is_default for each in found.values()) > 1:
        names = ", ".join(name for name, each in found.items() if each.is_default)
        raise TariffError(f"{folder}: several profiles are the default ({names}): leave `default = true` in one")
    return found


@dataclass(frozen=True)
class _Reading:
    """Reads the keys of a profile."""

    where: str
    given: dict[str, Any]

    def profile(self, name: str) -> Profile:
        keys = {*WORDS, "default", "vat_registered", "port", "destination", "broker", "margin_eur", "margin_percent"}
        keys |= {"repair_factor", "exchange_markup_percent", "customs_rate"}
        if unknown := sorted(set(self.given) - keys):
            raise TariffError(f"{self.where}: the key {unknown[0]} is unknown: use {', '.join(sorted(keys))}")
        customs = self._number("customs_rate", None) if "customs_rate" in self.given else None
        if customs is not None:
            try:
                check_rate(customs)
            except ValueError as error:
                raise TariffError(f"{self.where}: customs_rate: {error}: correct it") from None
        return Profile(
            name=name,
            is_default=self._switch("default", default=False),
            **{key: self._word(key, words) for key, words in WORDS.items()},
            is_vat_registered=self._switch("vat_registered"),
            port=self._text("port", BY_STATE),
            destination=self._text("destination"),
            broker=self._text("broker", "none"),
            margin_eur=self._number("margin_eur", NOTHING),
            margin_percent=self._number("margin_percent", NOTHING, most=100),
            repair_factor=self._number("repair_factor", None, most=10),
            exchange_markup_percent=self._number("exchange_markup_percent", NOTHING, most=100),
            customs_rate=customs,
        )

    def _word(self, key: str, words: tuple[str, ...]) -> str:
        if self.given.get(key) not in words:
            raise self._error(key, f"use one of: {', '.join(words)}")
        return str(self.given[key])

    def _text(self, key: str, default: str | None = None) -> str:
        value = self.given.get(key, default)
        if not isinstance(value, str) or not value.strip():
            raise self._error(key, "give it as text")
        return value.strip()

    def _switch(self, key: str, default: bool | None = None) -> bool:
        value = self.given.get(key, default)
        if not isinstance(value, bool):
            raise self._error(key, "use true or false")
        return value

    def _number(self, key: str, default: Decimal | None, *, most: int = 1_000_000) -> Decimal:
        value = self.given.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise self._error(key, "write a number, as in 1500 or 0.45")
        number = Decimal(value)
        decimals = RATE_PLACES if key == "customs_rate" else 4
        if not number.is_finite() or not 0 <= number <= most or places(number) > decimals:
            raise self._error(key, f"use a number from 0 to {most:,} with at most {decimals} decimals")
        return number

    def _error(self, key: str, fix: str) -> TariffError:
        value = self.given.get(key)
        what = f"is {f'{value}' if isinstance(value, Decimal) else repr(value)}" if key in self.given else "is missing"
        return TariffError(f"{self.where}: {key} {what}: {fix}")
