"""The stage `normalize`: an ad in the words of the vocabulary, its gross price, its risks, its duplicates.

Unknown values stay None and are recorded, as are guesses: `vinops deals unknowns` lists the words that are worth a line
in vinops/vehicles*.toml.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from deals.estimate.doubts import doubts
from deals.stages import duplicates
from vinops import vehicles
from vinops.db.database import queries
from vinops.text import risk, vins, words

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from psycopg import Connection

    from vinops.config import Settings

TAX: Final = Decimal("1.20")  # Bulgaria's value added tax, since 1999
CENT: Final = Decimal("0.01")
MONTHS: Final = range(1, 13)
UNUSED_KM: Final = 100
LONGEST_TEXT: Final = 80  # characters of an unknown text that are kept

_TO_ORDER: Final = re.compile(r"\b(?:по|под|за|при)\s+(?:поръчка|заявка)\b", re.IGNORECASE)
"""A car that is sold to order: its price is the lowest of several."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ad:
    """An ad as it was crawled: words of the site, price in EUR with or without tax, km, hp, ccm."""

    listing_id: int
    title: str
    make_text: str | None = None
    model_text: str | None = None
    price_eur: Decimal | None = None
    vat: str | None = None
    year: int | None = None
    month: int | None = None
    mileage_km: int | None = None
    fuel: str | None = None
    gearbox: str | None = None
    body: str | None = None
    power_hp: int | None = None
    engine_cc: int | None = None
    colour: str | None = None
    region: str | None = None
    description: str | None = None
    equipment: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Normalized:
    """A row of normalized_listings, except `duplicate_of`; and the words by which the ad is found, and the VINs that it
    names."""

    listing_id: int
    make: str | None
    model: str | None
    family: str | None
    fuel: str | None
    gearbox: str | None
    body: str | None
    colour: str | None
    region: str | None
    year: int | None
    month: int | None
    mileage_km: int | None
    power_hp: int | None
    engine_cc: int | None
    price_eur: Decimal | None
    price_problem: str | None
    risk: str
    risks: Sequence[Mapping[str, str]]
    guesses: Sequence[Mapping[str, Any]]
    unknowns: Sequence[Mapping[str, str]]
    is_comparable: bool
    words: Collection[str] = ()
    vins: Sequence[str] = ()


COLUMNS: Final = tuple(field.name for field in fields(Normalized) if field.name not in ("words", "vins"))


def read(connection: Connection[Any], listing_ids: Sequence[int], settings: Settings) -> list[Ad]:
    """Return the ads. One statement for all of them."""
    with connection.cursor(row_factory=class_row(Ad), binary=True) as cursor:
        return cursor.execute(queries("normalize")["read_listings"], {"listing_ids": list(listing_ids)}).fetchall()


def work(ads: Sequence[Ad]) -> list[Normalized]:
    """Return the normalized ads."""
    return [normalized(ad) for ad in ads]


def write(connection: Connection[Any], results: Sequence[Normalized]) -> None:
    """Store normalized ads, their words and VINs, then link those that show the same car, in the caller's transaction.

    If the process dies before the commit, nothing of the batch is stored. A second time it writes nothing.
    Batches are written one at a time, over all processes, and the links do not depend on their order.
    """
    if not results:
        return
    statements = queries("normalize")
    connection.execute(statements["take_turn"])
    connection.execute(statements["save_normalized"], {"ads": Jsonb([_row(result) for result in results])})
    about = [{"listing_id": result.listing_id, "words": sorted(result.words)} for result in results]
    connection.execute(statements["save_words"], {"ads": Jsonb(about)})
    named = [{"listing_id": result.listing_id, "vins": result.vins} for result in results]
    connection.execute(statements["save_vins"], {"ads": Jsonb(named)})
    duplicates.link(connection, [result.listing_id for result in results])


def normalized(ad: Ad, *, this_year: int | None = None) -> Normalized:
    """Return an ad, normalized. `this_year` is that of its facts, by default the current one."""
    notes = _Notes(guesses=[], unknowns=[])
    make, model = _make_and_model(ad, notes)
    flags = risk.flags(ad.title, ad.description, ad.equipment)
    level = risk.level(flags)
    problem = risk.price_problem(ad.title, ad.description, ad.price_eur)
    price = None if problem else gross_price(ad.price_eur, ad.vat)
    doubtful = doubts(
        model=model.value if model else None,
        year=ad.year,
        mileage_km=ad.mileage_km,
        this_year=this_year or datetime.now(UTC).year,
    )
    return Normalized(
        listing_id=ad.listing_id,
        make=make,
        model=model.value if model else None,
        family=model.family if model else None,
        fuel=notes.look_up("fuel", vehicles.fuel, ad.fuel),
        gearbox=notes.look_up("gearbox", vehicles.gearbox, ad.gearbox),
        body=notes.look_up("body", vehicles.body, ad.body),
        colour=notes.look_up("colour", vehicles.colour, ad.colour),
        region=notes.look_up("region", vehicles.region, ad.region),
        year=ad.year,
        month=ad.month if ad.month in MONTHS else None,
        mileage_km=ad.mileage_km,
        power_hp=ad.power_hp,
        engine_cc=ad.engine_cc,
        price_eur=price,
        price_problem=problem,
        risk=level,
        risks=[{"flag": flag.name, "level": flag.level, "words": flag.words} for flag in flags],
        guesses=notes.guesses,
        unknowns=notes.unknowns,
        is_comparable=bool(price and model and ad.year and level != "high" and not _is_to_order(ad) and not doubtful),
        words=words.of_ad(ad.title, ad.description, ad.equipment),
        vins=vins.named(f"{ad.title}\n{ad.description or ''}"),
    )


def gross_price(price_eur: Decimal | None, vat: str | None) -> Decimal | None:
    """Return the price with tax, which a private buyer has to pay."""
    if price_eur is None:
        return None
    return (price_eur * TAX if vat == "excluded" else price_eur).quantize(CENT)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Notes:
    guesses: list[dict[str, Any]]
    unknowns: list[dict[str, str]]

    def look_up(self, field: str, vocabulary: Callable[[str], vehicles.Match | None], text: str | None) -> str | None:
        """Return the vocabulary's word for a text, and record a guess or an unknown text."""
        if not text:
            return None
        found = vocabulary(text)
        self.note(field, text, found)
        return found.value if found else None

    def note(self, field: str, text: str, found: vehicles.Match | None) -> None:
        if found is None:
            self.unknowns.append({"field": field, "text": text[:LONGEST_TEXT]})
        elif found.how == "fuzzy":
            self.guesses.append({"field": field, "text": text, "value": found.value, "score": found.score})


def _make_and_model(ad: Ad, notes: _Notes) -> tuple[str | None, vehicles.ModelMatch | None]:
    """Return make and model. Where the site does not know a make, its list gives only the first word; the title has
    the whole name."""
    text = ad.make_text or ""
    make = vehicles.make(text) if text else None
    if make is None or make.how == "fuzzy":
        make = vehicles.make_in(ad.title) or make
    notes.note("make", text or ad.title, make)
    if make is None:
        return None, None
    text = ad.model_text or ""
    model = vehicles.model(make.value, text, title=ad.title)
    notes.note("model", f"{make.value} {text}" if text else ad.title, model)
    return (model.make if model else make.value), model


def _is_to_order(ad: Ad) -> bool:
    return (ad.mileage_km or 0) < UNUSED_KM and bool(_TO_ORDER.search(f"{ad.title}\n{ad.description or ''}"))


def _row(result: Normalized) -> dict[str, Any]:
    row = {name: getattr(result, name) for name in COLUMNS}
    return row | {"price_eur": None if result.price_eur is None else str(result.price_eur)}
