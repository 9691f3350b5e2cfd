"""Lots, profiles and tariffs for tests of import deals."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

from deals.landed import book, profiles
from deals.landed.lot import Lot, Rates

if TYPE_CHECKING:
    from random import Random

    from deals.landed.book import Tariffs
    from deals.landed.profiles import Profile

DAY = date(2026, 11, 30)
RATES = Rates(usd=Decimal("1.10"))
US_VIN = "1FTEW1E50KFA12345"


@cache
def tariffs(day: date = DAY) -> Tariffs:
    """Our tariffs on a day."""
    return book.load().on(day)


@cache
def profile(name: str = "private") -> Profile:
    """One of our profiles."""
    return profiles.load().named(name)


def lot(**more: Any) -> Lot:
    """A car in New Jersey, built in the USA, with nothing unknown; `more` replaces some of it."""
    about: dict[str, Any] = {"state": "NJ", "title": "non-clean", "vin": US_VIN, "year": 2019, "fuel": "gasoline"}
    return Lot(**{**about, **more})


def any_lot(random: Random, *, known: bool = False) -> Lot:
    """A lot with anything that the feed may say; with `known` only what lines name."""
    states = ("NJ", "TX", "CA", "FL", "OH", "HI", *(() if known else ("KS", "ON", None)))
    unknown = () if known else (None,)
    return Lot(
        state=random.choice(states),
        yard=random.choice(("TX - HOUSTON EAST", None)),
        title=random.choice(("clean", "non-clean", *unknown)),
        title_state=random.choice(("NJ", None)),
        vin=random.choice((US_VIN, "3FTEW1E50KFA12345", "7SAEW1E50KFA12345", "1FTEW*******12345", None)),
        year=random.choice((2005, 2015, 2020, 2021, 2026, 2027, *unknown)),
        fuel=random.choice(("gasoline", "electric", "hybrid", "flex fuel", None)),
        vehicle_type="V" if known else random.choice(("V", "V", "V", "C", "U", None)),
        body=random.choice((None, "pickup", "suv")),
        damage=random.choice((None, "front end", "hail", *(() if known else ("frame damage", "")))),
        repair_usd=random.choice((None, Decimal("0.00"), Decimal("4312.37"), Decimal("9999999.99"), Decimal("33.33")))
        if not known
        else random.choice((None, Decimal("4312.37"))),
        repair_eur=random.choice((None, None, Decimal("777.77"))),
        currency="USD" if known else random.choice(("USD", "USD", "USD", "CAD")),
    )


def any_profile(random: Random, *, known: bool = False) -> Profile:
    """A profile with anything that tariffs name, and with other things unless they have to be `known`."""
    return replace(
        profile(random.choice(("private", "company"))),
        account="non-licensed" if known else random.choice(("non-licensed", "high-volume")),
        payment=random.choice(("secured", "unsecured")),
        bid_kind=random.choice(("pre", "live")),
        broker=random.choice(("none", "american", *(() if known else ("nobody",)))),
        destination=random.choice(("Bremerhaven", "Varna", "Gdynia", *(() if known else ("Piraeus",)))),
        port="by state" if known else random.choice(("by state", "by state", "Newark")),
        customs_rate=random.choice((None, Decimal("1.15"))),
        exchange_markup_percent=random.choice((Decimal(0), Decimal("1.75"))),
        repair_factor=random.choice((Decimal("0.35"), Decimal("0.4567"))),
    )
