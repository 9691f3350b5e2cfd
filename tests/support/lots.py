"""Lots for tests: in the tables of the feed and on the board, with photos, without a feed file."""

from __future__ import annotations

import hashlib
import json
from itertools import count
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from psycopg import Connection

NUMBERS: Final = count(41_000_000)


def lots_on_board(
    database: Connection[Any], number: int = 1, *, photos: int = 0, is_written: bool = True, **values: Any
) -> list[int]:
    """Insert lots that are for sale, each of a vehicle of its own, put them on the board, and return their numbers.

    `values` are columns of vehicles (those of VEHICLE) and of lots. `is_written`: the board is brought up to date.
    """
    found = []
    vehicle = {**VEHICLE, **{name: value for name, value in values.items() if name in VEHICLE}}
    lot = {**LOT, **{name: value for name, value in values.items() if name not in VEHICLE}}
    for _ in range(number):
        lot_number = next(NUMBERS)
        vin = vehicle["vin"] or f"1FA{lot_number:014d}"
        row = database.execute(
            _insert("vehicles", {**vehicle, "vin": vin}) + b" on conflict (vin) do update set vin = excluded.vin"
            b" returning id",
            {**vehicle, "vin": vin},
        ).fetchone()
        about = {**lot, "lot_external_id": lot_number, "vehicle_id": row[0] if row else 0, "vin": vin}
        row = database.execute(_insert("lots", about) + b" returning id", about).fetchone()
        add_photos(database, row[0] if row else 0, photos)
        found.append(lot_number)
    if is_written:
        rebuild(database)
    return found


def add_photos(database: Connection[Any], lot_id: int, number: int, *, variant: str = "hrs") -> None:
    """Record photos of a lot, and that they are stored."""
    for seq in range(1, number + 1):
        key = f"{lot_id}/{seq}-{variant}"
        database.execute(
            "insert into images (lot_id, seq, variant, source_url, storage_key, content_hash, content_type, width,"
            " height, bytes) values (%s, %s, %s, %s, %s, %s, 'image/jpeg', 1280, 960, 1000)",
            [lot_id, seq, variant, f"https://x.example/{key}", key, hashlib.sha256(key.encode()).hexdigest()],
        )
    if number:
        database.execute(
            "insert into lot_photos (lot_id, state, stored, listed) values (%s, 'ok', %s, %s)"
            " on conflict (lot_id) do update set stored = excluded.stored",
            [lot_id, number, number],
        )


def rebuild(database: Connection[Any]) -> None:
    """Bring the board of lots up to date."""
    from etl.merge import board

    board.rebuild(database)


def add_event(database: Connection[Any], lot_number: int, event: str, old: str | None, new: str | None) -> None:
    """Record an event of a lot."""
    database.execute(
        "insert into audit.lot_events (lot_id, file_id, event, old_value, new_value, happened_at)"
        " select id, 1, %s, %s, %s, now() from lots where lot_external_id = %s",
        [event, old, new, lot_number],
    )


VEHICLE: Final[dict[str, Any]] = {
    "vin": None,
    "vehicle_type": "car",
    "year": 2019,
    "make": "FORD",
    "model_group": "ESCAPE",
    "model": "ESCAPE",
    "trim": "SE",
    "body_style": "4DR SPOR",
    "color": "blue",
    "engine": "1.5L 3",
    "cylinders": 3,
    "drive": "fwd",
    "transmission": "automatic",
    "fuel": "gasoline",
}
LOT: Final[dict[str, Any]] = {
    "status": "active",
    "first_seen_at": "2026-11-01 10:00+00",
    "gone_at": None,
    "yard_number": 88,
    "yard_name": "OH - COLUMBUS",
    "sale_date": "2099-07-09",
    "sale_time": "10:00",
    "sale_time_zone": "EDT",
    "sale_at": "2099-07-09 14:00+00",
    "sale_status": "pure sale",
    "high_bid": 1200,
    "buy_now_price": None,
    "currency": "USD",
    "damage": "front end",
    "secondary_damage": None,
    "title_state": "OH",
    "title_type": "CT",
    "title_group": "clean",
    "has_keys": True,
    "condition": "run and drive",
    "odometer": 61_234,
    "odometer_brand": "actual",
    "retail_value": 11_500,
    "state": "OH",
    "seller_name": None,
    "extra": json.dumps({}),
    "row_hash": b"x",
    "file_id": 1,
}


def _insert(table: str, values: dict[str, Any]) -> bytes:
    names = ", ".join(values)
    return f"insert into {table} ({names}) values ({', '.join(f'%({name})s' for name in values)})".encode()
