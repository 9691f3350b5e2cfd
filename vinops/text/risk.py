"""Risks in the text of an ad, and amounts that are not the price of the car.

The words, their levels and their exceptions are data, in risk_words.toml. All functions are pure.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, Literal

from vinops.text.phrases import Phrases

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vinops.text.phrases import Reading

Level = Literal["low", "medium", "high"]

WORDS: Final = files("vinops.text") / "risk_words.toml"
LEVELS: Final[tuple[Level, ...]] = ("low", "medium", "high")
LONGEST_QUOTE: Final = 60  # characters
LEAST_PRICE: Final = 100  # EUR
MOST_PRICE: Final = 3_000_000  # EUR
BGN: Final = Decimal("1.95583")  # to the euro
SAME: Final = Decimal("0.02")  # of a price: rounding in ads that give an amount in both currencies
_SAME_DIGIT: Final = re.compile(r"(\d)\1{5,}|1234567?8?9?|111|1111|1234|12345")
_IN_LEVA: Final = frozenset({999, 1000, *range(111, 1000, 111)})
"""Amounts in leva that stood in the field for «ask me»: 5 of 5 ads with 999, 6 of 7 with 1000 (real ads of 2025) named
less than half of the value. The same amounts in euro are prices of old cars."""

_AMOUNT: Final = re.compile(
    r"(\d{1,3}(?:[ \u00a0.,'’‘ʼ`´′]\d{3})+|\d+)(?:[.,] ?\d{1,2})?\s*(лв|лева|bgn|€|eur|евро|ев)?", re.IGNORECASE
)
_NEAR: Final = 60  # characters after «вноска» within which its amount is looked for


@dataclass(frozen=True, kw_only=True)
class Flag:
    """A risk: its name, its level, and the words of the ad that name it (up to 60 characters)."""

    name: str
    level: Level
    words: str


@dataclass(frozen=True, kw_only=True)
class _Meaning:
    flag: str
    level: str


@dataclass(kw_only=True)
class _Vocabulary:
    phrases: Phrases = field(default_factory=Phrases)
    meanings: dict[str, _Meaning] = field(default_factory=dict)
    equipment: dict[str, _Meaning] = field(default_factory=dict)
    prices: set[str] = field(default_factory=set)


def flags(title: str, description: str | None, equipment: Sequence[str]) -> tuple[Flag, ...]:
    """Return the risks in an ad, each flag once, at its highest level, the worst first."""
    worst: dict[str, Flag] = {}
    for name, its_level, words in sorted(
        _statements(title, description, equipment, LEVELS), key=lambda statement: -LEVELS.index(statement[1])
    ):
        worst.setdefault(name, Flag(name=name, level=its_level, words=words))
    return tuple(worst.values())


def praises(title: str, description: str | None, equipment: Sequence[str]) -> tuple[str, ...]:
    """Return the names of good statements in an ad: first_owner, service_history, guarantee, true_mileage."""
    return tuple(dict.fromkeys(name for name, _, _ in _statements(title, description, equipment, ("good",))))


def level(flags: Iterable[Flag]) -> Level:
    """Return the highest level of these flags; low if there are none."""
    return LEVELS[max((LEVELS.index(flag.level) for flag in flags), default=0)]


def price_problem(title: str, description: str | None, price_eur: Decimal | None) -> str | None:
    """Return why the given amount is not the price of the car, or None if it is, or there is none.

    "placeholder", "wanted" (the advertiser buys), "parts" (engines for sale, under the name of a car), "lease_balance"
    (a lease has to be taken over), "deposit" (only a first payment), "instalment" (a monthly payment, or a rent) or
    "exchange_only". An ad that merely offers a lease or an exchange has a price.
    """
    if price_eur is None:
        return None
    if _is_placeholder(price_eur):
        return "placeholder"
    named = {found.topic for found in read(title, None).found if not found.is_denied}
    for problem in ("wanted", "parts"):  # descriptions say it of the dealer
        if problem in named:
            return problem
    reading = read(title, description)
    stated = {
        found.topic: found for found in reading.found if found.topic in _vocabulary().prices and not found.is_denied
    }
    if not stated:
        return None
    for problem in ("lease_balance", "deposit", "instalment", "exchange_only"):
        if problem in stated and not (problem == "lease_balance" and "offer" in stated):
            return problem
    for topic, problem in (("down_payment", "deposit"), ("monthly", "instalment")):
        if topic in stated and _is_amount_of(reading, topic, price_eur):
            return problem
    return None


def _is_placeholder(price_eur: Decimal) -> bool:
    if not LEAST_PRICE <= price_eur <= MOST_PRICE or _SAME_DIGIT.fullmatch(f"{price_eur:.0f}"):
        return True
    leva = price_eur * BGN
    whole = round(leva)
    is_whole = abs(leva - whole) < Decimal("0.02")  # an amount in leva, converted to cents
    return is_whole and (whole in _IN_LEVA or bool(_SAME_DIGIT.fullmatch(str(whole))))


def _is_amount_of(reading: Reading, topic: str, price_eur: Decimal) -> bool:
    """Tell whether one of the amounts near these words is the price."""
    for found in reading.found:
        if found.topic == topic:
            place = reading.place(found)
            for amount in _AMOUNT.finditer(reading.text[max(place - 20, 0) : place + _NEAR]):
                value = Decimal(re.sub(r"\D", "", amount[1]))
                in_euro = (value, value / BGN) if amount[2] is None else (
                    value / BGN if amount[2].lower() in ("лв", "лева", "bgn") else value,)  # fmt: skip
                if any(abs(each - price_eur) <= price_eur * SAME for each in in_euro):
                    return True
    return False


def _statements(
    title: str, description: str | None, equipment: Sequence[str], levels: Sequence[str]
) -> list[tuple[str, Level, str]]:
    """Return name, level and words of the first statement of each topic at these levels, in the order of the ad."""
    vocabulary = _vocabulary()
    statements: list[tuple[str, Any, str]] = []
    topics = set()
    reading = read(title, description)
    for found in reading.found:
        meaning = vocabulary.meanings.get(found.topic)
        if meaning is None or meaning.level not in levels or found.is_denied or found.of_others:
            continue
        if found.topic not in topics:
            topics.add(found.topic)
            statements.append((meaning.flag, meaning.level, reading.quote(found, LONGEST_QUOTE)))
    for name in equipment:
        stated = vocabulary.equipment.get(name)
        if stated is not None and stated.level in levels:
            statements.append((stated.flag, stated.level, name))
    return statements


@lru_cache(maxsize=16)
def read(title: str, description: str | None) -> Reading:
    """Return the words of an ad, and the phrases of risk and price in it."""
    return _vocabulary().phrases.read(f"{title}\n{description}" if description else title)


@cache
def _vocabulary() -> _Vocabulary:
    vocabulary = _Vocabulary()
    lists = tomllib.loads(WORDS.read_text(encoding="utf-8"))
    for entry in lists["list"]:
        topic = f"{entry['flag']} {entry['level']}"
        vocabulary.meanings[topic] = _Meaning(flag=entry["flag"], level=entry["level"])
        vocabulary.phrases.add(topic, entry.get("words", ()))
        vocabulary.phrases.add(topic, entry.get("things", ()), is_thing=True)
        vocabulary.phrases.add(topic, entry.get("but", ()), kind="but")
    for entry in lists["equipment"]:
        for name in entry["names"]:
            vocabulary.equipment[name] = _Meaning(flag=entry["flag"], level=entry["level"])
    for entry in lists["price"]:
        vocabulary.prices.add(entry["topic"])
        vocabulary.phrases.add(entry["topic"], entry["words"])
        vocabulary.phrases.add(entry["topic"], entry.get("but", ()), kind="but")
    return vocabulary
