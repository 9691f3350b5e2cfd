"""Ads for the tests of the deals, straight into the database: like those of a crawl, without one."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg import Connection

CARS = (
    ("VW", "Golf", "Хечбек", 110, 21_000),
    ("BMW", "320", "Седан", 184, 34_000),
    ("Audi", "A4", "Комби", 150, 33_000),
    ("Skoda", "Octavia", "Комби", 115, 23_000),
    ("Opel", "Astra", "Хечбек", 110, 19_000),
)
INSERT = """
    insert into listings (source, ad_id, make_slug, url, title, make_text, model_text, price, currency, price_eur, vat,
        year, month, mileage_km, fuel, gearbox, body, power_hp, colour, region, seller_kind, description, photo_urls,
        posted_at, list_hash)
    values ('mobile.bg', %(ad_id)s, %(slug)s, 'https://www.mobile.bg/obiava-' || %(ad_id)s, %(title)s, %(make)s,
        %(model)s, %(price)s, 'EUR', %(price)s, 'exempt', %(year)s, %(month)s, %(mileage)s, %(fuel)s, %(gearbox)s,
        %(body)s, %(hp)s, %(colour)s, %(region)s, 'private', %(description)s, '{}',
        now() - interval '2 hours', %(hash)s)
    returning id"""


def insert_ads(
    connection: Connection[Any], count: int, *, seed: int = 1, first: int = 0, title: str = "", description: str = ""
) -> list[int]:
    """Insert so many ads of a few models, priced by age and distance, and queue them as a crawl does. Return ids."""
    dice = random.Random(f"{seed}:{first}")
    ads = []
    for number in range(first, first + count):
        make, model, body, power, new_price = CARS[number % len(CARS)]
        age = dice.randint(1, 15)
        mileage = round(age * 14_000 * dice.uniform(0.7, 1.3), -2)
        price = new_price * 0.885**age * (1 - mileage / 1_500_000) * dice.uniform(0.92, 1.08)
        ads.append(
            {
                "ad_id": f"1{1_780_000_000_000 + number:013d}{number % 1000:03d}",
                "slug": make.lower(),
                "title": title or f"{make} {model}",
                "make": make,
                "model": model,
                "price": round(price, -1),
                "year": 2026 - age,
                "month": dice.randint(1, 12),
                "mileage": mileage,
                "fuel": dice.choice(("Дизелов", "Бензинов")),
                "gearbox": dice.choice(("Ръчна", "Автоматична")),
                "body": body,
                "hp": power,
                "colour": dice.choice(("Черен", "Бял", "Сив", "Син", "Червен")),
                "region": dice.choice(("София", "Пловдив", "Варна")),
                "description": description or "Колата е в много добро състояние.",
                "hash": number.to_bytes(16, "big"),
            }
        )
    with connection.cursor() as cursor, connection.transaction():
        cursor.executemany(INSERT, ads, returning=True)
        ids = []
        while True:
            row = cursor.fetchone()
            assert row is not None
            ids.append(row[0])
            if not cursor.nextset():
                break
        cursor.execute("insert into ops.deal_outbox (listing_id, change) select unnest(%s::bigint[]), 'new'", [ids])
    return ids


def requeue(connection: Connection[Any], ids: list[int], *, by: float = 1.0) -> None:
    """Have these ads cost so many times as much, and queue them again, as a crawl does in one transaction."""
    with connection.transaction():
        connection.execute(
            "update listings set price_eur = round(price_eur * %(by)s::numeric, 2), changed_at = now(),"
            " price = round(price * %(by)s::numeric, 2) where id = any(%(ids)s)",
            {"by": by, "ids": ids},
        )
        connection.execute(
            "insert into ops.deal_outbox (listing_id, change) select unnest(%s::bigint[]), 'changed' on conflict"
            " (listing_id, stage) do update set change = excluded.change, queued_at = clock_timestamp()",
            [ids],
        )
