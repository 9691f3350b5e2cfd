"""Reads a line of the tariffs, strictly: whatever is not understood is an error that names file and line.

docs/landed.md describes the format.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from deals.landed.lines import BY_AGE, BY_BID, KINDS, NAME, PER_CAR, PERCENT, Bracket, Figures, TariffError, TariffLine
from deals.landed.money import places

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deals.landed.lines import Kind

CONFIDENCES: Final = ("high", "medium", "low")
OPEN: Final = "open"
"""What `until` says of a line whose end is not known."""
MOST: Final = 10_000_000  # dollars or euro: a typing error above it
MOST_PERCENT: Final = 1_000

AMOUNTS: Final = ("amount", "low", "expected", "high", "brackets")
KEYS: Final = (
    *("kind", "name", "from", "until", "unit", "currency", "source", "checked", "confidence", "vat"),
    *AMOUNTS,
)
"""The keys of all kinds; each has its selectors beside them, or the name that it gives."""


def read_line(file: str, given: Mapping[str, Any]) -> TariffLine:
    """Return a line. Raises TariffError."""
    name = given.get("name")
    if not isinstance(name, str) or not name.strip():
        raise TariffError(f"{file}: a line has no name: give it one, by which it can be replaced")
    return _Reading(f"{file}, line “{name}”", given).line(file, name)


@dataclass(frozen=True)
class _Reading:
    """Reads the keys of a line; `where` begins each message."""

    where: str
    given: Mapping[str, Any]

    def line(self, file: str, name: str) -> TariffLine:
        kind_name = self._one_of("kind", tuple(KINDS))
        kind = KINDS[kind_name]
        allowed = {*KEYS, *kind.selectors, kind.gives}
        if unknown := sorted(set(self.given) - allowed):
            raise self._error(f"the key {unknown[0]} is unknown for {kind_name}", "check its spelling, or remove it")
        starts, ends = self._day("from"), self._end()
        if ends is not None and ends < starts:
            raise self._error("until is before from", "exchange or correct them")
        unit = self._one_of("unit", kind.units)
        vat = self._one_of("vat", ("none", "included") if kind.may_include_vat else ("none",), "none")
        figures = self._figures(unit, kind)
        return TariffLine(
            low=figures.low,
            expected=figures.expected,
            high=figures.high,
            brackets=figures.brackets,
            gives=figures.gives,
            kind=kind_name,
            name=name,
            file=file,
            starts=starts,
            ends=ends,
            unit=unit,
            currency=self._currency(kind, unit),
            source=self._text("source"),
            checked=self._day("checked"),
            confidence=self._one_of("confidence", CONFIDENCES),
            chosen_by={each: self._words(each) for each in kind.selectors if each in self.given},
            includes_vat=vat == "included",
        )

    def _figures(self, unit: str, kind: Kind) -> Figures:
        keys = [each for each in AMOUNTS if each in self.given]
        if unit == NAME:
            if keys:
                raise self._error(f"{keys[0]} is given, but the unit is {NAME}", "remove it")
            return Figures(gives=self._text(kind.gives))
        if kind.gives and kind.gives in self.given:
            raise self._error(f"{kind.gives} is given, but the unit is not {NAME}", "remove it")
        if unit in (BY_BID, BY_AGE):
            if keys != ["brackets"]:
                raise self._error(f"the unit {unit} needs brackets and no other amount", "write [[from, amount], …]")
            return Figures(brackets=self._brackets(unit))
        if keys == ["amount"]:
            amount = self._number("amount", self.given["amount"], unit)
            return Figures(low=amount, expected=amount, high=amount)
        if keys != ["low", "expected", "high"]:
            raise self._error("it has neither an amount nor low, expected and high", "give the one or the three")
        low, expected, high = (self._number(each, self.given[each], unit) for each in ("low", "expected", "high"))
        if not low <= expected <= high:
            raise self._error("low, expected and high are not in this order", "correct them")
        return Figures(low=low, expected=expected, high=high)

    def _brackets(self, unit: str) -> tuple[Bracket, ...]:
        found: list[Bracket] = []
        given = self.given["brackets"]
        if not isinstance(given, list) or not given:
            raise self._error("brackets is no list of [from, amount]", "write [[0, 25], [50, 45], …]")
        for each in given:
            if not isinstance(each, list) or len(each) != 2 or type(each[0]) is not int:
                raise self._error(f"the bracket {each} is not [from, amount]", "write a whole number and an amount")
            least, value = each
            if not 0 <= least <= MOST:
                raise self._error(f"a bracket begins at {least}", f"brackets begin between 0 and {MOST:,}")
            if found and least <= found[-1].least:
                raise self._error(f"the brackets overlap at {least}", "order them by where they begin")
            is_percent = isinstance(value, str) and value.endswith("%")
            if is_percent and unit == BY_AGE:
                raise self._error(f"the bracket from {least} is a percentage of an age", "give an amount")
            number = Decimal(value.removesuffix("%").strip()) if is_percent and _is_number(value) else value
            bracket = Bracket(
                least=least,
                value=self._number(f"the bracket from {least}", number, PERCENT if is_percent else PER_CAR),
                is_percent=is_percent,
            )
            if found and unit == BY_BID and bracket.of(least) < found[-1].of(least - 1):
                raise self._error(
                    f"the fee falls at {least}", "a higher bid cannot cost less: the most one may bid is searched for"
                )
            found.append(bracket)
        if found[0].least != 0:
            raise self._error(f"the brackets leave a gap from 0 to {found[0].least}", "begin with 0")
        return tuple(found)

    def _number(self, key: str, value: Any, unit: str) -> Decimal:
        decimals, most = (4, MOST_PERCENT) if unit == PERCENT else (2, MOST)
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise self._error(f"{key} is not a number", f"write it as 12 or 12.50, without quotes: the unit is {unit}")
        number = Decimal(value)
        if not number.is_finite() or not 0 <= number <= most:
            raise self._error(f"{key} is not between 0 and {most:,}", "correct it")
        if places(number) > decimals:
            raise self._error(f"{key} has more than {decimals} decimals", "round it")
        return number

    def _currency(self, kind: Kind, unit: str) -> str:
        if unit in (PERCENT, NAME):
            return self._one_of("currency", ("none",))
        return self._one_of("currency", kind.currencies)

    def _one_of(self, key: str, words: tuple[str, ...], default: str = "") -> str:
        value = self.given.get(key, default)
        if not isinstance(value, str) or value not in words:
            shown = f"is {value!r}" if key in self.given else "is missing"
            raise self._error(f"{key} {shown}", f"use one of: {', '.join(words)}")
        return value

    def _text(self, key: str) -> str:
        value = self.given.get(key)
        if not isinstance(value, str) or not value.strip():
            raise self._error(f"{key} is missing or empty", "give it as text")
        return value.strip()

    def _words(self, key: str) -> tuple[str, ...]:
        value = self.given[key]
        words = [value] if isinstance(value, str) else value
        if not isinstance(words, list) or not words or not all(isinstance(each, str) and each for each in words):
            raise self._error(f"{key} is neither a text nor a list of texts", "correct it")
        if len(set(words)) < len(words):
            raise self._error(f"{key} names something twice", "remove one")
        return tuple(words)

    def _day(self, key: str) -> date:
        value = self.given.get(key)
        if not isinstance(value, date) or isinstance(value, datetime):
            raise self._error(f"{key} is missing or no day", "write it without quotes, as in 2026-07-01")
        return value

    def _end(self) -> date | None:
        return None if self.given.get("until") == OPEN else self._day("until")

    def _error(self, what: str, fix: str) -> TariffError:
        return TariffError(f"{self.where}: {what}: {fix}")


def _is_number(text: str) -> bool:
    whole, _, behind = text.removesuffix("%").strip().partition(".")
    return whole.isdecimal() and (behind.isdecimal() or not behind)
