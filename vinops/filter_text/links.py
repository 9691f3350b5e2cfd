"""Addresses of searches on mobile.bg: their parameters as parts of a filter. No address is requested.

Parameters of the path are as in lists of the site (October 2025): /obiavi/avtomobili-dzhipove/bmw/x5/ot-2016/
oblast-sofiya?price=8000&price1=12000. Those of the older search form are f5 to f26 of /pcgi/mobile.cgi.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from vinops import vehicles
from vinops.filter_text.quantities import BGN_PER_EUR
from vinops.filter_text.tables import look_up, values

HOSTS: Final = frozenset({"mobile.bg", "www.mobile.bg", "m.mobile.bg"})
SECTION: Final = "obiavi"
_IGNORED: Final = frozenset({
    "sort", "act", "rub", "topmenu", "f1", "f2", "f3", "f4", "f9", "f20", "f21", "slink", "pubtype", "p", "adv", "f0",
})  # fmt: skip
"""Parameters that order and page the list, or are counters of the form."""
_NUMBERS: Final = {
    "price": "price_from", "price1": "price_to", "f7": "price_from", "f8": "price_to", "f10": "year_from",
    "f11": "year_to", "f15": "km_to", "f25": "power_from", "f26": "power_to", "yf": "year_from", "yt": "year_to",
}  # fmt: skip
_WORDS: Final = ("f12", "f13", "f14", "f16", "f17")
_SELLERS: Final = {"1": "private", "2": "dealer"}
_BOUND: Final = re.compile(r"(ot|do)-((?:19|20)[0-9]{2})")
_PAGE: Final = re.compile(r"p-[0-9]{1,5}")


@dataclass(kw_only=True)
class Link:
    """What an address asks for: values by field, numbers by field, and the parts that were not understood."""

    values: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    numbers: dict[str, Decimal] = field(default_factory=dict)
    leftovers: list[str] = field(default_factory=list)


def read(address: str) -> Link:
    """Return what an address asks for; the whole address is left over if it is no search of mobile.bg."""
    found = Link()
    try:
        parts = urlsplit(address if "://" in address else f"https://{address}")
        is_ours = (
            parts.scheme in ("http", "https")
            and parts.hostname in HOSTS
            and parts.port in (None, 80, 443)
            and parts.username is None
        )
    except ValueError:
        is_ours = False
    if not is_ours:
        return Link(leftovers=[address])
    segments = [unquote(each) for each in parts.path.split("/") if each]
    is_list = segments[:1] == [SECTION]
    if not is_list and segments[:1] != ["pcgi"]:
        return Link(leftovers=[address])
    if is_list:
        _read_path(segments[2:], found)
    _read_query(parse_qsl(parts.query, keep_blank_values=False), found)
    return found if found.values or found.numbers else Link(leftovers=[address])


def _read_path(segments: list[str], found: Link) -> None:
    make = ""
    for segment in segments:
        if bound := _BOUND.fullmatch(segment):
            found.numbers["year_from" if bound[1] == "ot" else "year_to"] = Decimal(bound[2])
        elif segment == "namira-se-v-balgariya":
            found.values.append(("region", tuple(sorted(values()["region"] - {"Извън страната"}))))
        elif segment.startswith("oblast-") and (region := vehicles.region(segment.removeprefix("oblast-"))):
            found.values.append(("region", (region.value,)))
        elif make and (model := vehicles.named(make, segment)):
            found.values.append(("family", (model.family,)))
        elif entry := look_up(segment):
            found.values.append(entry)
            make = entry[1][0] if entry[0] == "make" else make
        elif not _PAGE.fullmatch(segment):
            found.leftovers.append(segment)


def _read_query(params: list[tuple[str, str]], found: Link) -> None:
    given = dict(params)
    is_in_leva = given.get("f9", "") not in ("", "EUR", "€")
    make = vehicles.make(given["f5"]) if given.get("f5") else None
    for name, value in params:
        if name in _NUMBERS:
            number = _number(value)
            if number is None:
                found.leftovers.append(f"{name}={value}")
            else:
                if is_in_leva and _NUMBERS[name].startswith("price"):
                    number = (number / BGN_PER_EUR).quantize(Decimal("0.01"))
                found.numbers[_NUMBERS[name]] = number
        elif name == "f5" and make is not None and make.how != "fuzzy":
            found.values.append(("make", (make.value,)))
        elif name == "f6" and make is not None and (model := vehicles.named(make.value, value)):
            found.values.append(("family", (model.family,)))
        elif name in _WORDS and (entry := look_up(re.sub(r"^обл\.?\s+", "", value))):
            found.values.append(entry)
        elif name == "f24" and value in _SELLERS:
            found.values.append(("seller", (_SELLERS[value],)))
        elif name not in _IGNORED and not (name == "f24" and value == "0"):
            found.leftovers.append(f"{name}={value}")


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text.replace(" ", "")) if text.isascii() and len(text) <= 12 else None
    except InvalidOperation:
        return None
    return number if number is not None and number.is_finite() and 0 <= number <= 100_000_000 else None
