"""A Bulgarian market of cars that come from America, and lots of the auction, straight into a database."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from deals.estimate.cars import Row
from tests.support import priced_cars

if TYPE_CHECKING:
    from psycopg import Connection

NEW = {"Toyota RAV4": 42_000, "Ford Kuga": 36_000, "Opel Mokka": 26_000, "Volkswagen Passat": 38_000}
"""What a new car costs here, EUR."""
RATE = "1.16"
LOT: dict[str, Any] = {
    "vin": None,
    "vehicle_type": "car",
    "year": 2019,
    "make": "TOYOTA",
    "model_group": "RAV4",
    "model": "RAV4",
    "body_style": "4DR SPORT UTILITY",
    "color": "white",
    "engine": "2.5L  4",
    "transmission": "automatic",
    "fuel": "gasoline",
    "odometer": 50_000,
    "odometer_brand": "actual",
    "damage": "minor dent/scratches",
    "secondary_damage": None,
    "title_state": "NJ",
    "title_type": "ST",
    "title_group": "salvage",
    "has_keys": True,
    "condition": "run and drive",
    "in_hours": 72,
    "country": "USA",
    "currency": "USD",
    "special_note": None,
    "yard_name": "NJ - TRENTON",
    "state": "NJ",
    "high_bid": None,
    "buy_now_price": None,
    "repair_cost": 3_000,
    "status": "active",
}
"""A lot with which nothing is wrong: a RAV4 in New Jersey, sold in three days."""
VEHICLE = (
    *("vehicle_type", "year", "make", "model_group", "model", "body_style", "color", "engine", "transmission", "fuel"),
)


def price(model: str, year: int, km: int) -> float:
    """Return what a car is asked for here: a tenth less each year, and less with the mileage."""
    return float(NEW[model] * 0.9 ** (2026 - year) * ((km + 20_000) / 35_000) ** -0.15)


def market(count: int = 240, *, first: int = 1) -> list[Row]:
    """Return ads of these models, petrol and automatic, whose prices are off by a tenth by chance."""
    dice = random.Random(first)
    rows = []
    for number in range(first, first + count):
        model = sorted(NEW)[number % len(NEW)]
        year = dice.randint(2014, 2024)
        km = round((2026 - year) * 15_000 * dice.uniform(0.6, 1.4)) + 3_000
        rows.append(
            Row(
                listing_id=number,
                car=number,
                price_eur=round(price(model, year, km) * dice.lognormvariate(0, 0.1), 2),
                year=year,
                month=6,
                mileage_km=km,
                power_hp=None,
                engine_cc=2_500,
                make=model.split()[0],
                model=model,
                family=model,
                fuel="gasoline",
                gearbox="automatic",
                body="suv",
                colour="white",
                title=model,
            )
        )
    return rows


def store_market(connection: Connection[Any], count: int = 240) -> None:
    """Put the ads into the database as normalizing leaves them, and an exchange rate."""
    priced_cars.store(connection, market(count))
    connection.execute(
        "insert into exchange_rates (currency, day, rate, source) values ('USD', current_date, %s, 'tests')", [RATE]
    )


def add_lot(connection: Connection[Any], number: int, **facts: Any) -> int:
    """Insert a lot like LOT with these facts instead, and return its id."""
    about = {**LOT, "number": number, **facts}
    columns, values = ", ".join(VEHICLE), ", ".join(f"%({name})s" for name in VEHICLE)
    vehicle = f"insert into vehicles (lot_external_id, {columns}) values (%(number)s, {values}) returning id"
    (vehicle_id,) = connection.execute(vehicle.encode(), about).fetchone() or (None,)
    lot = """
        insert into lots (lot_external_id, vin, vehicle_id, status, first_seen_at, yard_name, state, sale_date, sale_at,
            high_bid, buy_now_price, currency, damage, secondary_damage, title_state, title_type, title_group, has_keys,
            condition, odometer, odometer_brand, repair_cost, special_note, country, row_hash, file_id)
        values (%(number)s, %(vin)s, %(vehicle_id)s, %(status)s, now(), %(yard_name)s, %(state)s,
            (now() + make_interval(hours => %(in_hours)s))::date, now() + make_interval(hours => %(in_hours)s),
            %(high_bid)s, %(buy_now_price)s, %(currency)s, %(damage)s, %(secondary_damage)s, %(title_state)s,
            %(title_type)s, %(title_group)s, %(has_keys)s, %(condition)s, %(odometer)s, %(odometer_brand)s,
            %(repair_cost)s, %(special_note)s, %(country)s, decode(md5(%(number)s::text), 'hex'), 1)
        returning id"""
    (lot_id,) = connection.execute(lot, about | {"vehicle_id": vehicle_id}).fetchone() or (None,)
    assert lot_id is not None
    return int(lot_id)
