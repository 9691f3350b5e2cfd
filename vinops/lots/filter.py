"""One filter of lots: what the parameters of an address and of a CSV ask for. The machinery is vinops/filters.py's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from vinops import vehicles
from vinops.filters import (
    GONES,
    Asking,
    Field,
    UnknownValueError,
    bound,
    choice,
    decimal,
    family,
    since,
    vocabulary,
    whole,
    written_time,
)
from vinops.text.printable import without_controls

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal

    from vinops.filters import Gone

DAMAGES: Final = (
    "all over", "biohazard/chemical", "burn", "burn - engine", "burn - interior", "damage history", "frame damage",
    "front end", "hail", "mechanical", "minor dent/scratches", "missing/altered vin", "normal wear", "partial repair",
    "rear end", "rejected repair", "replaced vin", "rollover", "side", "stripped", "top/roof", "undercarriage",
    "vandalism", "water/flood",
)  # fmt: skip
"""The kinds of damage, as staging.codes names them."""
TITLES: Final = {each: (each,) for each in ("clean", "salvage", "destruction", "other")}
RUNS: Final = {"drives": ("drives", "run and drive"), "starts": ("starts",), "unknown": ("unknown",)}
KEYS: Final = {
    "yes": ("yes", "да", "1", "true"), "no": ("no", "не", "0", "false"), "unknown": ("unknown",),
}  # fmt: skip
SWITCH: Final = {"yes": (*KEYS["yes"], "on"), "no": KEYS["no"]}
FIGURES: Final = {"landed_to": "€", "profit_from": "€", "most_bid_from": "$", "at_bid_to": "$"}
"""Fields that ask for figures of a quote, and their units."""
MILE_KM: Final = 1.609344
EARLIEST, LATEST = date(1990, 1, 1), date(2099, 12, 31)
_KM: Final = re.compile(r"(?P<number>.*[0-9]) ?(?:km|км)\.?", re.IGNORECASE)
_MILES: Final = re.compile(r"(?P<number>.*[0-9]) ?(?:mi|mile|miles|мили)\.?", re.IGNORECASE)
_STATE: Final = re.compile(r"[A-Z]{2,3}")


@dataclass(frozen=True, kw_only=True)
class LotFilter(Asking):
    """What lots are asked for. A field that is None or empty asks for nothing; several values of one field are
    alternatives; different fields all have to hold. A lot of which a figure that is asked for is unknown is not found.

    `odometer_to` is in miles. `sale_from` and `sale_to` are days of the time zone, both included; `sale_within` is the
    time from now to the sale. `bid_to` and the price of `buy_now` are in the currency of the lot. `yard` and `seller`
    are names of the feed, in any case.

    The others are figures of its quote, and hold for lots that are ranked: `landed_to` is what it costs landed, in EUR,
    at the price to count with, or at the most one may bid where there is none; `profit_from` the careful profit in EUR
    at the price to count with; `most_bid_from` the most one may bid, in USD; `at_bid_to` the bid that it is
    quoted at, in USD: the price to count with, or the most one may bid.
    """

    RANGES: ClassVar[Sequence[str]] = ("year", "sale")
    WHAT: ClassVar[str] = "lot"

    make: tuple[str, ...] = ()
    family: tuple[str, ...] = ()
    year_from: int | None = None
    year_to: int | None = None
    odometer_to: int | None = None
    fuel: tuple[str, ...] = ()
    gearbox: tuple[str, ...] = ()
    body: tuple[str, ...] = ()
    color: tuple[str, ...] = ()
    damage: tuple[str, ...] = ()
    title_group: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    state: tuple[str, ...] = ()
    yard: tuple[str, ...] = ()
    seller: tuple[str, ...] = ()
    sale_from: date | None = None
    sale_to: date | None = None
    sale_within: timedelta | None = None
    bid_to: Decimal | None = None
    buy_now: str | None = None
    landed_to: Decimal | None = None
    profit_from: int | None = None
    most_bid_from: int | None = None
    at_bid_to: int | None = None
    has_photos: str | None = None
    new_since: timedelta | date | None = None
    gone: Gone = "no"

    @classmethod
    def described(cls) -> Mapping[str, Field]:
        """Return FIELDS."""
        return FIELDS


def _miles(text: str) -> int:
    """Return miles; a number of km is carried over, rounded down."""
    if found := _KM.fullmatch(text):
        return int(whole(found["number"], most=10_000_000) / MILE_KM)
    found = _MILES.fullmatch(text)
    return whole(found["number"] if found else text, most=10_000_000)


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise UnknownValueError("write a day as in 2026-07-31") from None
    if not EARLIEST <= day <= LATEST:  # what the database can compare
        raise UnknownValueError("there is no such day")
    return day


def _within(text: str) -> timedelta:
    found = since(text)
    if isinstance(found, timedelta):
        return found
    raise UnknownValueError("write a time as in 24h, 3d or 2w")


def _damage(text: str) -> tuple[str, ...]:
    return (choice(text, {each: (each,) for each in DAMAGES}),)


def _state(text: str) -> tuple[str, ...]:
    if not _STATE.fullmatch(text.upper()):
        raise UnknownValueError("write a state in two letters, as in TX")
    return (text.upper(),)


def _name(text: str) -> tuple[str, ...]:
    name = " ".join(without_controls(text).split()).casefold()  # no name of the feed has marks that reorder a page
    if not name:
        raise UnknownValueError("it has no letters that are searched for")
    return (name,)


def _among(choices: Mapping[str, Sequence[str]]) -> Field:
    return Field(read=lambda text: (choice(text, choices),), write=list, many=True, default=())


def _switch() -> Field:
    return Field(read=partial(choice, choices=SWITCH), write=lambda value: [value])


def _date() -> Field:
    return Field(read=_day, write=lambda value: [value.isoformat()])


def _names(read: Any) -> Field:
    return Field(read=read, write=list, many=True, default=())


FIELDS: Final[Mapping[str, Field]] = {
    "make": vocabulary("make", vehicles.make),
    "family": Field(read=partial(family, makes=()), write=list, many=True, default=()),
    "year_from": bound(2100, 1900),
    "year_to": bound(2100, 1900),
    "odometer_to": Field(read=_miles, write=lambda value: [str(value)]),
    "fuel": vocabulary("fuel", vehicles.fuel),
    "gearbox": vocabulary("gearbox", vehicles.gearbox),
    "body": vocabulary("body", vehicles.body),
    "color": vocabulary("color", vehicles.colour),
    "damage": _names(_damage),
    "title_group": _among(TITLES),
    "runs": _among(RUNS),
    "keys": _among(KEYS),
    "state": _names(_state),
    "yard": _names(_name),
    "seller": _names(_name),
    "sale_from": _date(),
    "sale_to": _date(),
    "sale_within": Field(read=_within, write=lambda value: [written_time(value)]),
    "bid_to": decimal(100_000_000, has_thousands=True),
    "buy_now": _switch(),
    "landed_to": decimal(100_000_000, has_thousands=True),
    "profit_from": bound(10_000_000),
    "most_bid_from": bound(10_000_000),
    "at_bid_to": bound(10_000_000),
    "has_photos": _switch(),
    "new_since": Field(read=since, write=lambda value: [written_time(value)]),
    "gone": Field(read=lambda text: cast("Gone", choice(text, GONES)), write=lambda value: [value], default="no"),
}
"""The fields by the names of their parameters, in canonical order."""
