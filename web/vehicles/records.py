"""What the page of a VIN shows: lots, ads and the entries of the time line. Texts are as the sources have them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime
    from decimal import Decimal

    from vinops.board.records import Price


@dataclass(frozen=True, kw_only=True)
class Vehicle:
    """A vehicle of the feed, as its newest lot describes it."""

    vehicle_id: int
    vin: str
    vehicle_type: str | None
    year: int | None
    make: str | None
    model: str | None
    trim: str | None
    body_style: str | None
    color: str | None
    engine: str | None
    fuel: str | None


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A photo of a lot: its number there, and the hash of its content, by which its thumbnail is found."""

    seq: int
    content_hash: str


@dataclass(frozen=True, kw_only=True)
class Lot:
    """A lot of a vehicle. `make` is what its own line of the feed said; `odometer` is miles."""

    lot_id: int
    lot: int
    status: str
    first_seen_at: datetime
    gone_at: datetime | None
    sale_at: datetime | None
    sale_date: date | None
    sale_status: str | None
    high_bid: Decimal | None
    buy_now_price: Decimal | None
    currency: str | None
    damage: str | None
    secondary_damage: str | None
    title_group: str | None
    condition: str | None
    has_keys: bool | None
    odometer: int | None
    odometer_km: int | None
    odometer_brand: str | None
    yard_name: str | None
    state: str | None
    make: str | None
    photos: Sequence[Photo]


@dataclass(frozen=True, kw_only=True)
class Named:
    """An ad that names the VIN."""

    listing_id: int
    title: str
    source: str
    seller: str | None
    make: str | None
    year: int | None
    mileage_km: int | None
    price_eur: Decimal | None
    posted_at: datetime
    first_seen: datetime
    gone_at: datetime | None
    prices: Sequence[Price]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An entry of the time line: what happened to a lot or an ad, from which value to which. `event` is one of EVENTS
    of web/vehicles/history.py."""

    at: datetime
    event: str
    lot: int | None = None
    listing_id: int | None = None
    old: str | None = None
    new: str | None = None
    currency: str | None = None


@dataclass(frozen=True, kw_only=True)
class Story:
    """What is known of a VIN. `others` are stories of other makes whose lots have the same VIN by mistake, and
    `strange_ads` ads of a car of another make than the lots."""

    vin: str
    vehicle: Vehicle | None
    make: str | None
    lots: Sequence[Lot] = ()
    ads: Sequence[Named] = ()
    entries: Sequence[Entry] = ()
    others: Sequence[Story] = field(default=())
    strange_ads: Sequence[Named] = ()
