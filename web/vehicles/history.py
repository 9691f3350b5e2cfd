"""The time line of a VIN: its lots with their events, and the ads that name it.

A VIN joins what shows one vehicle, and nothing else. Lots that have it by mistake are told by their make, which
staging.shared_vins keeps for each; ads by the make in their own words. Neither is mixed with the others.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from psycopg.rows import class_row, dict_row

from vinops import vehicles
from vinops.board.records import Price
from vinops.db.database import queries
from web.vehicles.records import Entry, Lot, Named, Photo, Story, Vehicle

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from psycopg import Connection

LOTS: Final = 40
EVENTS_OF_LOT: Final = 300
ADS: Final = 40
EVENTS: Final = (
    "appeared", "relisted", "returned", "gone", "sale_date", "sale_status", "high_bid", "buy_now_price", "yard",
    "ad_appeared", "ad_price", "ad_gone",
)  # fmt: skip
"""What an entry may be: the events of lots in audit.lot_events, and those of ads."""
BEGINNINGS: Final = frozenset({"appeared", "relisted"})


def story(connection: Connection[Any], vin: str) -> Story | None:
    """Return what is known of a VIN; None if no lot and no ad has it."""
    statements = queries("vins")
    with connection.cursor(row_factory=class_row(Vehicle)) as of_vehicles:
        vehicle = of_vehicles.execute(statements["vehicle"], {"vin": vin}).fetchone()
    lots = _lots(connection, vehicle) if vehicle else []
    ads = _ads(connection, vin)
    if not lots and not ads:
        return None
    with connection.cursor(row_factory=dict_row) as cursor:
        about = {"lot_ids": [lot.lot_id for lot in lots], "count": EVENTS_OF_LOT}
        events = cursor.execute(statements["events"], about).fetchall() if lots else []
    own, *others = list(dict.fromkeys(_same(lot.make) for lot in lots)) or [None]  # that of the newest lot first
    of_makes = {make: [ad for ad in ads if ad.make and _same(ad.make) == make] for make in (own, *others)}
    is_told = own is not None or bool(others)
    mine = [ad for ad in ads if not is_told or not ad.make or _same(ad.make) == own]
    placed = {ad.listing_id for each in (mine, *of_makes.values()) for ad in each}

    def of(make: str | None, named: Sequence[Named]) -> Story:
        return _one(vin, vehicle, [lot for lot in lots if _same(lot.make) == make], named, events)

    return replace(
        of(own, mine),
        others=[of(make, of_makes[make]) for make in others],
        strange_ads=[ad for ad in ads if ad.listing_id not in placed],
    )


def is_placeholder(connection: Connection[Any], vin: str) -> bool:
    """Tell whether many makes have this text in the place of a VIN."""
    return connection.execute(queries("vins")["placeholder"], {"vin": vin}).fetchone() is not None


def vins_of_ad(connection: Connection[Any], listing_id: int) -> list[str]:
    """Return the VINs that an ad names."""
    return [vin for (vin,) in connection.execute(queries("vins")["vins_of_ad"], {"listing_id": listing_id})]


def _one(
    vin: str, vehicle: Vehicle | None, lots: Sequence[Lot], ads: Sequence[Named], events: Sequence[dict[str, Any]]
) -> Story:
    entries = [*_of_lots(lots, events), *_of_ads(ads)]
    entries.sort(key=lambda entry: entry.at, reverse=True)
    make = next((make for make in [*(lot.make for lot in lots), *(ad.make for ad in ads)] if make), None)
    return Story(vin=vin, vehicle=vehicle, make=make, lots=lots, ads=ads, entries=entries)


def _same(make: str | None) -> str | None:
    """Return a make in the spelling of the vocabulary: «MERCEDES-BENZ» of the feed, «Mercedes» of an ad. None if no
    make is given."""
    if not make:
        return None
    found = vehicles.make(make)
    return found.value if found and found.how != "fuzzy" else make.casefold()


def _of_lots(lots: Sequence[Lot], events: Sequence[dict[str, Any]]) -> Iterator[Entry]:
    """Yield the entries of lots. When a lot came and went is known from the lot where its events are no longer kept."""
    for lot in lots:
        seen = set()
        for event in events:
            if event["lot_id"] != lot.lot_id:
                continue
            seen.add(event["event"])
            yield Entry(
                at=event["at"], event=event["event"], lot=lot.lot, old=event["old_value"], new=event["new_value"],
                currency=lot.currency,
            )  # fmt: skip
        if not seen & BEGINNINGS:
            yield Entry(at=lot.first_seen_at, event="appeared", lot=lot.lot)
        if lot.gone_at is not None and "gone" not in seen:
            yield Entry(at=lot.gone_at, event="gone", lot=lot.lot)


def _of_ads(ads: Sequence[Named]) -> Iterator[Entry]:
    for ad in ads:
        prices = [None if price.price_eur is None else str(price.price_eur) for price in ad.prices]
        first = prices[0] if prices else None
        yield Entry(at=ad.first_seen, event="ad_appeared", listing_id=ad.listing_id, new=first)
        for price, (old, new) in zip(ad.prices[1:], pairwise(prices), strict=True):
            yield Entry(at=price.seen_at, event="ad_price", listing_id=ad.listing_id, old=old, new=new)
        if ad.gone_at is not None:
            yield Entry(at=ad.gone_at, event="ad_gone", listing_id=ad.listing_id)


def _lots(connection: Connection[Any], vehicle: Vehicle) -> list[Lot]:
    about = {"vehicle_id": vehicle.vehicle_id, "vin": vehicle.vin, "make": vehicle.make, "count": LOTS}
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(queries("vins")["lots"], about).fetchall()
    return [
        Lot(
            **row,
            photos=[Photo(seq=seq, content_hash=found) for seq, found in zip(seqs or (), contents or (), strict=True)],
        )
        for row in rows
        for seqs, contents in [(row.pop("seqs"), row.pop("contents"))]
    ]


def _ads(connection: Connection[Any], vin: str) -> list[Named]:
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(queries("vins")["ads"], {"vin": vin, "count": ADS}).fetchall()
    return [
        Named(**row, prices=[Price(price_eur=price, seen_at=at) for price, at in zip(prices, seen, strict=True)])
        for row in rows
        for prices, seen in [(row.pop("prices") or (), row.pop("seen") or ())]
    ]
