"""The records of lots that the site shows: typed rows of the statements in sql/queries/lots.sql.

Texts are as the feed has them: escape them. Times have a zone; amounts are in the currency of the lot; `odometer` is
miles, also where it counts kilometres. None is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime, time
    from decimal import Decimal

    from vinops.board.records import Count


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A photo of a lot in its best size, by its number in the lot and the hash of its content."""

    seq: int
    hash: str
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class LotCard:
    """A lot in a list. `make` and `family` are in the words of the vocabulary, `make_said` and `model_said` in those of
    the feed; `photos` are the first three."""

    lot_id: int
    lot_external_id: int
    vin: str | None
    year: int | None
    make_said: str | None
    model_said: str | None
    make: str | None
    family: str | None
    fuel: str | None
    gearbox: str | None
    damage: str | None
    title_group: str | None
    condition: str | None
    has_keys: bool | None
    odometer: int | None
    odometer_km: int | None
    odometer_brand: str | None
    seller: str | None
    state: str | None
    yard: str | None
    sale_at: datetime | None
    sale_date: date | None
    sale_status: str | None
    high_bid: Decimal | None
    buy_now_price: Decimal | None
    currency: str | None
    first_seen: datetime
    gone_at: datetime | None
    photos: Sequence[Photo]


@dataclass(frozen=True, kw_only=True)
class LotPage:
    """A page of lots, the token of the one behind it (None on the last), and how many lots are on all of them."""

    cards: Sequence[LotCard]
    next: str | None
    count: Count


@dataclass(frozen=True, kw_only=True)
class LotEvent:
    """Something that happened to a lot: appeared, relisted, returned, gone, or a change of sale_date, sale_status,
    high_bid, buy_now_price or yard, with the values before and after as texts."""

    event: str
    old_value: str | None
    new_value: str | None
    happened_at: datetime


@dataclass(frozen=True, kw_only=True)
class OtherLot:
    """Another lot of the vehicle. `is_earlier`: it came before."""

    lot_id: int
    lot_external_id: int
    status: str
    first_seen: datetime
    gone_at: datetime | None
    sale_at: datetime | None
    sale_date: date | None
    high_bid: Decimal | None
    currency: str | None
    damage: str | None
    odometer: int | None
    odometer_km: int | None
    yard: str | None
    is_earlier: bool


@dataclass(frozen=True, kw_only=True)
class Lot:
    """A lot with everything that its page shows. `sale_date` and `sale_time` are those of the yard's clock, in the
    zone that the feed names `sale_time_zone`; `photos_listed` is how many photos the source last listed."""

    lot_id: int
    lot_external_id: int
    vin: str | None
    vehicle_id: int
    status: str
    first_seen: datetime
    gone_at: datetime | None
    last_updated_at: datetime | None
    yard: str | None
    sale_at: datetime | None
    sale_date: date | None
    sale_time: time | None
    sale_time_zone: str | None
    sale_status: str | None
    item_number: int | None
    high_bid: Decimal | None
    buy_now_price: Decimal | None
    make_an_offer: bool | None
    currency: str | None
    damage: str | None
    secondary_damage: str | None
    title_state: str | None
    title_type: str | None
    title_group: str | None
    has_keys: bool | None
    condition: str | None
    odometer: int | None
    odometer_km: int | None
    odometer_brand: str | None
    retail_value: Decimal | None
    repair_cost: Decimal | None
    special_note: str | None
    announcements: str | None
    city: str | None
    state: str | None
    country: str | None
    grid_row: str | None
    seller: str | None
    vehicle_type: str | None
    year: int | None
    make_said: str | None
    group_said: str | None
    model_said: str | None
    trim: str | None
    body_style: str | None
    color: str | None
    engine: str | None
    cylinders: int | None
    drive: str | None
    transmission: str | None
    fuel: str | None
    photos_stored: int
    photos_listed: int | None
    photos: Sequence[Photo]
    events: Sequence[LotEvent]
    others: Sequence[OtherLot]
