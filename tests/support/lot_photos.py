"""Lots with stored photos, for tests of the site: rows as a crawl writes them, and objects in a store."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from standin.photos.pictures import jpeg
from vinops.storage import opening
from vinops.storage.store import PHOTOS

if TYPE_CHECKING:
    from psycopg import Connection

    from vinops.config import Settings

LOT = 45_000_001


def add_lot(database: Connection[Any], number: int = LOT, *, vin: str | None = None) -> int:
    """Add an active lot and return its id."""
    row = database.execute(
        "with vehicle as (insert into vehicles (vin) values (%(vin)s) on conflict (vin) do update set vin ="
        " excluded.vin returning id) insert into lots (lot_external_id, vin, vehicle_id, first_seen_at, sale_at,"
        " row_hash, file_id) select %(number)s, %(vin)s, id, now(), now() + interval '3 hours', '', 0 from vehicle"
        " returning id",
        {"number": number, "vin": vin or f"1VN{number:014d}"},
    ).fetchone()
    assert row is not None
    return int(row[0])


def record(
    database: Connection[Any],
    settings: Settings,
    body: bytes,
    *,
    lot: int = LOT,
    seq: int = 1,
    variant: str = "hrs",
    kind: str = "jpg",
    place: str | None = None,
) -> tuple[str, str]:
    """Record a photo of a lot, without its object. Return its hash and its key."""
    content_hash = sha256(body).hexdigest()
    key = f"photos/{lot}/{content_hash}.{kind}"
    place = place or opening.photos_place(settings)
    database.execute("insert into photo_stores (name) values (%s) on conflict (name) do nothing", [place])
    database.execute(
        "insert into images (lot_id, vin, seq, variant, source_url, storage_key, content_hash, content_type, width,"
        " height, bytes, store_id) select id, vin, %(seq)s, %(variant)s, %(url)s, %(key)s, %(hash)s, %(type)s, 1600,"
        " 1200, %(bytes)s, (select id from photo_stores where name = %(place)s) from lots where lot_external_id ="
        " %(lot)s",
        {
            "seq": seq, "variant": variant, "url": f"https://cs.copart.com/{content_hash}_{variant}_{seq}.jpg",
            "key": key, "hash": content_hash, "type": PHOTOS.type_of(key),
            "bytes": len(body), "place": place, "lot": lot,
        },
    )  # fmt: skip
    return content_hash, key


def add_photo(
    database: Connection[Any], settings: Settings, body: bytes | None = None, *, kind: str = "jpg", **how: Any
) -> str:
    """Store a photo of a lot, one of the stand-in's pictures unless another is given, and record it. Return its
    hash."""
    lot, seq, variant = how.get("lot", LOT), how.get("seq", 1), how.get("variant", "hrs")
    body = jpeg(f"{lot * 100 + seq:032x}", variant) if body is None else body
    content_hash, key = record(database, settings, body, kind=kind, **how)
    store = opening.open_photos(settings)
    store.put(key, body, content_type=PHOTOS.type_of(key))
    store.close()
    return content_hash
