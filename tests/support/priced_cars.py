"""A made-up market of cars whose prices follow a rule and some chance, in memory and in a database."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from deals.estimate.cars import Row

if TYPE_CHECKING:
    import psycopg
    from psycopg.rows import TupleRow

MAKES = {
    "Kola": (("Kola 100", "Kola 1 Series"), ("Kola 120", "Kola 1 Series"), ("Kola 300", "Kola 3 Series")),
    "Voz": (("Voz Kiten", "Voz Kiten"), ("Voz Balkan", "Voz Balkan"), ("Voz Pirin", "Voz Pirin")),
}
NEW = {"Kola 100": 20_000, "Kola 120": 24_000, "Kola 300": 40_000, "Voz Kiten": 12_000, "Voz Balkan": 18_000,
       "Voz Pirin": 30_000}  # fmt: skip
TRIMS = {"": 1.0, "Comfort": 1.1, "Sport": 1.25}


def market(count: int, *, seed: int = 1, noise: float = 0.12) -> list[Row]:
    """Return ads: a price halves in 6.6 years, and is a tenth off either way by chance and for the trim."""
    chance = random.Random(seed)  # not for secrets
    return [ad(number, chance, noise) for number in range(1, count + 1)]


def ad(number: int, chance: random.Random, noise: float = 0.12, **facts: Any) -> Row:
    """Return one ad; `facts` replace what chance would have made."""
    make = chance.choice(sorted(MAKES))
    model, family = chance.choice(MAKES[make])
    year = facts.get("year", chance.randint(2005, 2024))
    km = max(1_500, round((2025 - year) * 14_000 * chance.uniform(0.6, 1.5)) + 3_000)
    power = chance.choice([75, 105, 140])
    trim = chance.choice(list(TRIMS))
    price = NEW[model] * TRIMS[trim] * 0.9 ** (2025 - year) * (power / 105) ** 0.5 * (km + 20_000) ** -0.15 * 6
    row = Row(
        listing_id=number,
        car=number,
        price_eur=round(price * chance.lognormvariate(0, noise), 2),
        year=year,
        month=chance.randint(1, 12),
        mileage_km=km,
        power_hp=power,
        engine_cc=1_600,
        make=make,
        model=model,
        family=family,
        fuel=chance.choice(["diesel", "gasoline"]),
        gearbox=chance.choice(["manual", "automatic"]),
        body="hatchback",
        colour=chance.choice(["black", "white"]),
        title=f"{model} {trim}".strip(),
    )
    return row._replace(**facts)


def store(database: psycopg.Connection[TupleRow], rows: list[Row]) -> None:
    """Put ads into the database as normalizing leaves them, under the ids that they have."""
    with database.cursor() as cursor, database.transaction():
        with cursor.copy(
            "copy listings (id, source, ad_id, make_slug, url, title, price_eur, posted_at, list_hash) from stdin"
        ) as copy:
            for row in rows:
                url = f"https://www.mobile.bg/{row.listing_id}"
                copy.write_row((row.listing_id, "mobile.bg", str(row.listing_id), "vw", url, row.title, row.price_eur,
                                "2025-01-01", b""))  # fmt: skip
        facts = ("year", "month", "mileage_km", "power_hp", "engine_cc", "make", "model", "family", "fuel", "gearbox",
                 "body", "colour")  # fmt: skip
        with cursor.copy(
            f"copy normalized_listings (listing_id, duplicate_of, price_eur, is_comparable, risk, {', '.join(facts)}) "
            "from stdin"
        ) as copy:
            for row in sorted(rows, key=lambda row: row.car != row.listing_id):
                duplicate_of = row.car if row.car != row.listing_id else None
                is_comparable = row.price_eur is not None and row.model is not None and row.year is not None
                copy.write_row((row.listing_id, duplicate_of, row.price_eur, is_comparable, "low",
                                *(getattr(row, fact) for fact in facts)))  # fmt: skip
    database.execute("analyze normalized_listings, listings")
