"""The records that the site shows: typed rows of the statements in sql/queries/board.sql.

Texts are as the ads have them: escape them. Prices are EUR with tax; times have a zone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from decimal import Decimal


@dataclass(frozen=True, kw_only=True)
class Price:
    """A price of an ad from a time on; None: from then on it names none."""

    price_eur: Decimal | None
    seen_at: datetime


@dataclass(frozen=True, kw_only=True)
class Risk:
    """A risk: its name («from_america»), low, medium or high, and the words of the ad that say so."""

    flag: str
    level: str
    words: str


@dataclass(frozen=True, kw_only=True)
class Card:
    """An ad on the board. `below_market` is in per cent of `p50`, negative above it; `comparables` is how many cars the
    estimate rests on; `prices` are the first, and the last eleven, oldest first.

    `photo` tells whether there is a first photo to show: its address is asked for by ad and number, see `photo`.
    """

    listing_id: int
    title: str
    url: str
    make: str | None
    family: str | None
    year: int | None
    month: int | None
    mileage_km: int | None
    power_hp: int | None
    fuel: str | None
    gearbox: str | None
    body: str | None
    color: str | None
    region: str | None
    place: str | None
    seller: str | None
    price_eur: Decimal | None
    p10: Decimal | None
    p50: Decimal | None
    p90: Decimal | None
    below_market: Decimal | None
    comparables: int
    confidence: float
    score: Decimal
    is_approved: bool
    reasons: Sequence[str]
    risk: str | None
    risks: Sequence[Risk]
    prices: Sequence[Price]
    photos: int
    posted_at: datetime
    first_seen: datetime
    gone_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page of the board, the token of the one behind it (None on the last), and how many ads are on all of them."""

    cards: Sequence[Card]
    next: str | None
    count: Count


@dataclass(frozen=True, kw_only=True)
class Count:
    """A number of ads, counted up to a limit: if `is_capped` there are more than `number`."""

    number: int
    is_capped: bool


@dataclass(frozen=True, kw_only=True)
class Comparable:
    """A car that an estimate rests on. `carried_eur` is its price carried over to the ad's age, mileage and power; None
    for an estimate that was made before these were kept. `price_eur` is what it costs now."""

    listing_id: int
    title: str
    url: str
    year: int | None
    mileage_km: int | None
    power_hp: int | None
    fuel: str | None
    gearbox: str | None
    price_eur: Decimal | None
    carried_eur: Decimal | None
    gone_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Duplicate:
    """Another ad of the same car. `is_first`: the one that the board shows."""

    listing_id: int
    title: str
    url: str
    price_eur: Decimal | None
    seller: str | None
    posted_at: datetime
    gone_at: datetime | None
    is_first: bool


@dataclass(frozen=True, kw_only=True)
class Valuation:
    """What a car is worth, and how that is known. `method` is none, comparables, model or blend; without an estimate
    `reason` says why, and p10, p50 and p90 are None."""

    p10: Decimal | None
    p50: Decimal | None
    p90: Decimal | None
    comparables: int
    confidence: float
    method: str
    step: str | None
    reason: str | None
    valued_at: datetime


@dataclass(frozen=True, kw_only=True)
class Ad:
    """An ad with everything that its page shows. `listing` is the row of `listings` as it was crawled (description,
    equipment, photo addresses and so on); the other fields are in the words of the vocabulary."""

    listing_id: int
    source: str
    ad_id: str
    title: str
    url: str
    description: str | None
    equipment: Sequence[str]
    photo_urls: Sequence[str]
    make: str | None
    model: str | None
    family: str | None
    year: int | None
    month: int | None
    mileage_km: int | None
    power_hp: int | None
    engine_cc: int | None
    euro_class: int | None
    fuel: str | None
    gearbox: str | None
    body: str | None
    color: str | None
    region: str | None
    place: str | None
    seller: str | None
    vat: str | None
    price_eur: Decimal | None
    price_problem: str | None
    posted_at: datetime
    first_seen: datetime
    last_seen: datetime
    changed_at: datetime
    gone_at: datetime | None
    risk: str | None
    risks: Sequence[Risk]
    score: Decimal | None
    is_approved: bool
    parts: Mapping[str, float]
    reasons: Sequence[str]
    scored_at: datetime | None
    valuation: Valuation | None
    prices: Sequence[Price]
    comparables: Sequence[Comparable]
    duplicates: Sequence[Duplicate]


@dataclass(frozen=True, kw_only=True)
class Facet:
    """A value of a field that ads on the board have, and how many. `make` is that of a family."""

    value: str
    ads: int
    make: str | None = None


Facets: TypeAlias = "Mapping[str, Sequence[Facet]]"
"""The facets by field (make, family, fuel, gearbox, body, color, region, seller), the most frequent first."""

Row: TypeAlias = "tuple[Any, ...]"
"""A row of the CSV, in the order of its columns."""
