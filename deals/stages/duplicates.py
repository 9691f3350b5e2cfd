"""Duplicates: ads that show the same car, each linked to the first of them.

A car is advertised twice by a dealer and a colleague, or again before the first ad has expired. Only the car tells: the
same model, month, fuel, gearbox, body, power, color and region, nearly the same mileage, nearly the same price. Ads are
linked, not deleted: a link is removed when it no longer holds.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime
    from decimal import Decimal

    from psycopg import Connection

LEAST_KM: Final = 1_000  # a new car has less, and a dealer has many identical ones
APART_KM: Final = 1_000
APART_PERCENT: Final = 3  # of the higher price


@dataclass(frozen=True, kw_only=True)
class Car:
    """The car of an ad, among those that differ only in mileage and price (km, EUR)."""

    listing_id: int
    posted_at: datetime
    mileage_km: int | None
    price_eur: Decimal | None
    is_active: bool = True


def first_ads(cars: Collection[Car]) -> dict[int, int | None]:
    """Return for each ad the first ad that shows the same car, or None if it is the first.

    Of three ads of one car the last may have too many kilometres to match the first, and still match the second: such a
    chain is one car. The order of the ads does not matter.
    """
    found: dict[int, int | None] = {car.listing_id: None for car in cars}
    group_of: dict[int, list[Car]] = {}
    near: deque[Car] = deque()  # earlier cars of nearly the same mileage
    for car in sorted(filter(_is_recognizable, cars), key=_distance):
        group_of[car.listing_id] = [car]
        while near and _distance(car) - _distance(near[0]) > APART_KM:
            near.popleft()
        for other in near:
            mine, its = group_of[car.listing_id], group_of[other.listing_id]
            if mine is not its and _costs_the_same(car, other):
                mine += its
                group_of |= dict.fromkeys((one.listing_id for one in its), mine)
        near.append(car)
    for group in group_of.values():
        first = min(group, key=lambda car: (car.posted_at, car.listing_id)).listing_id
        found |= {car.listing_id: first for car in group if car.listing_id != first}
    return found


def link(connection: Connection[Any], listing_ids: Sequence[int]) -> int:
    """Link the ads of a batch and those that show the same cars, remove links that no longer hold; return how many.
    Ads outside of the batch whose link changed are queued for scoring: their score and the board depend on it.

    Part of the caller's transaction, which has to be the only one that links (`take_turn`). Links that are right are
    not written.
    """
    statements = queries("normalize")
    changed = connection.execute(statements["unlink_unknown"], {"listing_ids": listing_ids}).rowcount
    kinds: defaultdict[int, list[Car]] = defaultdict(list)
    now: dict[int, int | None] = {}
    rows = connection.execute(statements["cars_beside"], {"listing_ids": listing_ids}, binary=True)
    for alike, listing_id, duplicate_of, mileage_km, price_eur, posted_at, is_active in rows:
        now[listing_id] = duplicate_of
        car = Car(
            listing_id=listing_id, posted_at=posted_at, mileage_km=mileage_km, price_eur=price_eur, is_active=is_active
        )
        kinds[alike].append(car)
    links = {
        listing_id: first
        for cars in kinds.values()
        for listing_id, first in first_ads(cars).items()
        if now[listing_id] != first
    }
    if links:
        about = {"listing_ids": list(links), "duplicates_of": list(links.values())}
        changed += connection.execute(statements["link_duplicates"], about).rowcount
        others = sorted(set(links) - set(listing_ids))
        connection.execute(statements["queue_linked"], {"listing_ids": others})
    return changed


def _is_recognizable(car: Car) -> bool:
    return car.is_active and car.price_eur is not None and _distance(car) > LEAST_KM


def _distance(car: Car) -> int:
    return car.mileage_km or 0


def _costs_the_same(car: Car, other: Car) -> bool:
    if car.price_eur is None or other.price_eur is None:
        return False
    low, high = sorted((car.price_eur, other.price_eur))
    return (high - low) * 100 <= high * APART_PERCENT
