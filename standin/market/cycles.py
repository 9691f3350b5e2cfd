"""The state of the market: the active ads, the order of the lists, and the changes of a cycle.

market = AdMarket(seed=1, ads=7600)
market.advance(new=40, changed=60, gone=50, back=10)
market.listing("bmw", model="x5", sort=6)
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from standin.market.ads import AdDrawer, is_new, priced
from standin.market.values import ABROAD, GROUP_SIZES, GROUPS, MAKES, OTHER_MAKES, REGIONS, slugified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from standin.market.ads import Ad

K = TypeVar("K")
#: The default start time of the market.
NOW: Final = datetime(2026, 7, 1, 9, tzinfo=UTC)
#: Maximum age of an ad at the start of the market.
AGE: Final = timedelta(days=60)
#: Maximum age of an ad in a list with `sort=7`.
RECENT: Final = timedelta(days=2)
IN_BULGARIA: Final = "namira-se-v-balgariya"
_RANKS: Final = {"BEST": 0, "TOP": 1, "VIP": 2, "": 3}
#: Sort key of an ad without price or mileage: larger than any value, so that the ad comes last.
_LAST: Final = 10**12

BY_MODEL, BY_PRICE, BY_YEAR, BY_DISTANCE, NEWEST, NEWEST_OF_TWO_DAYS = 1, 3, 4, 5, 6, 7
_KEYS: Final[dict[int, Callable[[Ad], Any]]] = {
    BY_MODEL: lambda ad: (_RANKS[ad.promotion], ad.make, ad.model, _or_last(ad.price), ad.id),
    BY_PRICE: lambda ad: (_or_last(ad.price), ad.id),
    BY_YEAR: lambda ad: (-ad.year, -ad.month, ad.id),
    BY_DISTANCE: lambda ad: (_or_last(ad.mileage_km), ad.id),
    NEWEST: lambda ad: (-int(ad.id[1:]), ad.id),
    NEWEST_OF_TWO_DAYS: lambda ad: (-int(ad.id[1:]), ad.id),
}
NAMED: Final = ("bmw", "330")
NAMED_YEAR: Final = 2019
SORTS: Final = tuple(_KEYS)


@dataclass(frozen=True, kw_only=True)
class Changes:
    """The changes of a cycle: ids of the ads that are new, have a changed price, are gone, and have come back."""

    new: tuple[str, ...]
    changed: tuple[str, ...]
    gone: tuple[str, ...]
    back: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Listing:
    """All ads of a list in order, and those of them that are promoted."""

    ads: Sequence[Ad]
    promoted: Sequence[Ad]


class AdMarket:
    """The active and the gone ads of the market. May be changed from any thread."""

    def __init__(
        self,
        *,
        seed: int = 1,
        ads: int = 7600,
        make_ads: Mapping[str, int] | None = None,
        others: int = 0,
        without_region: float = 0.0,
        now: datetime = NOW,
    ) -> None:
        """Generate `ads` ads, distributed over the twenty makes; `make_ads` replaces the number for single makes.

        There are `others` further ads of makes that are not followed. `without_region` is the share of the ads in
        Bulgaria that name no region: they are in IN_BULGARIA, but in the list of no region. Raises ValueError for an
        unknown make, for a number below 0, and for a share outside 0 to 1.
        """
        sizes = {**_sizes(ads), **(make_ads or {})}
        if unknown := sorted(sizes.keys() - MAKES.keys()):
            message = f"unknown make {', '.join(unknown)}: choose among {', '.join(MAKES)}"
            raise ValueError(message)
        if min(ads, others, *sizes.values()) < 0:
            message = "the number of ads must be at least 0"
            raise ValueError(message)
        if not 0 <= without_region <= 1:
            message = "without_region must be between 0 and 1"
            raise ValueError(message)
        if others:
            sizes.update(_shared_out(others, {make.slug: make.share for make in OTHER_MAKES.values()}))
        self.makes = MAKES if not others else {**MAKES, **OTHER_MAKES}
        self._without_region = without_region
        self.now = now
        self._seed = seed
        self._cycle = 0
        self._drawer = AdDrawer(seed=seed, now=now)
        self._ads: dict[str, Ad] = {}
        self._gone: dict[str, Ad] = {}
        self._listings: dict[tuple[str | None, str | None, str | None, int], Listing] = {}
        self._lock = threading.RLock()
        for make in self.makes:
            self._add(self._drawer.draw(make, sizes[make], posted_from=now - AGE, posted_to=now))

    def ads(self) -> Mapping[str, Ad]:
        """Return the active ads by id."""
        with self._lock:
            return MappingProxyType(dict(self._ads))

    def find(self, ad_id: str) -> Ad | None:
        """Return the active ad with that id, or None."""
        return self._ads.get(ad_id)

    def gone(self, ad_id: str) -> Ad | None:
        """Return the gone ad with that id, or None."""
        return self._gone.get(ad_id)

    def count(self, make: str | None = None) -> int:
        """Return the number of active ads of a make (None: of all makes)."""
        with self._lock:
            return sum(make in (None, ad.make) for ad in self._ads.values())

    def listing(
        self, make: str | None = None, *, model: str | None = None, region: str | None = None, sort: int = BY_MODEL
    ) -> Listing:
        """Return a list in the order `sort`; a value that is not in SORTS means the default order, BY_MODEL.

        `region` is IN_BULGARIA or the slug of a region, such as `oblast-sofiya`.
        """
        sort = sort if sort in _KEYS else BY_MODEL
        asked = (make, model, region, sort)
        with self._lock:
            if asked not in self._listings:
                chosen = (
                    ad
                    for ad in self._ads.values()
                    if make in (None, ad.make)
                    and model in (None, ad.model)
                    and _stands_in(ad, region)
                    and (sort != NEWEST_OF_TWO_DAYS or self.now - ad.posted <= RECENT)
                )
                ads = tuple(sorted(chosen, key=_KEYS[sort]))
                promoted = sorted((ad for ad in ads if ad.promotion), key=_KEYS[BY_MODEL])
                self._listings[asked] = Listing(ads=ads, promoted=tuple(promoted))
            return self._listings[asked]

    def advance(
        self,
        *,
        new: int = 40,
        changed: int = 60,
        gone: int = 50,
        back: int = 10,
        hours: float = 6.5,
    ) -> Changes:
        """Advance the market by one cycle of `hours` hours: add, reprice, remove and restore so many ads.

        New ads are posted later than all others and are distributed over the makes like the active ads. No ad is in two
        of the four groups; if there are fewer ads than requested, fewer change. Raises ValueError for a number below 0
        and for `hours` of 0 or less.
        """
        if min(new, changed, gone, back) < 0 or hours <= 0:
            message = "new, changed, gone and back must be at least 0, and hours must be greater than 0"
            raise ValueError(message)
        with self._lock:
            self._cycle += 1
            dice = random.Random(f"{self._seed}:cycle:{self._cycle}")
            returning = dice.sample(sorted(self._gone), min(back, len(self._gone)))
            leaving = dice.sample(sorted(self._ads), min(gone, len(self._ads)))
            staying = sorted(ad.id for ad in self._ads.values() if ad.price is not None and not ad.is_no_offer)
            changing = [ad_id for ad_id in dice.sample(staying, len(staying)) if ad_id not in set(leaving)][:changed]
            drawn = self._draw_new(dice, new, timedelta(hours=hours))
            for ad_id in leaving:
                self._gone[ad_id] = self._ads.pop(ad_id)
            for ad_id in returning:
                self._ads[ad_id] = self._gone.pop(ad_id)
            for ad_id in changing:
                self._ads[ad_id] = _repriced(dice, self._ads[ad_id])
            for ad in self._ads.values():
                if ad.is_new != is_new(ad.posted, self.now):
                    self._ads[ad.id] = replace(ad, is_new=not ad.is_new)
            self._add(drawn)
            return Changes(
                new=tuple(ad.id for ad in drawn),
                changed=tuple(changing),
                gone=tuple(leaving),
                back=tuple(returning),
            )

    def name_vin(self, vin: str) -> str:
        """Name a VIN in the ad of a car like the one that the feed plants as a bargain, and return the ad's id.

        It is the BMW 330 nearest to the year 2019. Raises ValueError for a market without one.
        """
        with self._lock:
            fitting = [ad for ad in self._ads.values() if (ad.make, ad.model) == NAMED and ad.price is not None]
            if not fitting:
                message = "no ad is of a BMW 330: use a market of more ads"
                raise ValueError(message)
            found = min(fitting, key=lambda ad: (abs(ad.year - NAMED_YEAR), ad.is_damaged, ad.id))
            self._ads[found.id] = replace(found, description=f"{found.description}<br>VIN: {vin}")
            self._listings.clear()
            return found.id

    def set_price(self, ad_id: str, eur: Decimal | float | str | None) -> None:
        """Set the price of an ad; None shows «Запитване». Raises KeyError for an ad that is not active."""
        price = None if eur is None else Decimal(str(eur))
        with self._lock:
            self._ads[ad_id] = priced(self._ads[ad_id], price)
            self._listings.clear()

    def remove(self, ad_id: str) -> None:
        """Remove an ad from the market. Raises KeyError for an ad that is not active."""
        with self._lock:
            self._gone[ad_id] = self._ads.pop(ad_id)
            self._listings.clear()

    def restore(self, ad_id: str) -> None:
        """Make a gone ad active again. Raises KeyError for an ad that is not gone."""
        with self._lock:
            self._ads[ad_id] = self._gone.pop(ad_id)
            self._listings.clear()

    def _draw_new(self, dice: random.Random, count: int, passed: timedelta) -> list[Ad]:
        """Advance the clock by `passed` and return the new ads, oldest first."""
        earlier, self.now = self.now, self.now + passed
        there = Counter(ad.make for ad in self._ads.values())
        weights = [there[make] if there else 1 for make in self.makes]
        makes = Counter(dice.choices(list(self.makes), weights, k=count))
        drawn = [
            ad
            for make in sorted(makes)
            for ad in self._drawer.draw(
                make, makes[make], posted_from=earlier, posted_to=self.now, occasion=str(self._cycle)
            )
        ]
        return sorted(drawn, key=_KEYS[NEWEST], reverse=True)

    def _add(self, ads: Iterable[Ad]) -> None:
        self._ads.update((ad.id, self._as_placed(ad)) for ad in ads)
        self._listings.clear()

    def _as_placed(self, ad: Ad) -> Ad:
        """Return the ad, without its region if it is one of those that name none."""
        if ad.is_abroad or random.Random(f"{self._seed}:region:{ad.id}").random() >= self._without_region:
            return ad
        return replace(ad, region="", place="")


def _or_last(value: Decimal | int | None) -> Decimal | int:
    return _LAST if value is None else value


def _stands_in(ad: Ad, region: str | None) -> bool:
    if region is None:
        return True
    return not ad.is_abroad if region == IN_BULGARIA else region == region_slug(ad.region)


def region_slugs() -> dict[str, str]:
    """Return the slugs of all regions with the names of the regions, cars abroad last."""
    return {region_slug(region): region for region in (*REGIONS, ABROAD)}


def region_slug(region: str) -> str:
    """Return the slug of a region: `oblast-sofiya` for «обл. София»."""
    return slugified(region.replace("обл.", "област").replace("общ.", "община"))


def _repriced(dice: random.Random, ad: Ad) -> Ad:
    """Return the ad with a changed price: usually lower, sometimes higher, never the same."""
    return repriced(ad, dice.uniform(0.85, 0.98) if dice.random() < 0.85 else dice.uniform(1.02, 1.08))


def repriced(ad: Ad, factor: float) -> Ad:
    """Return the ad with its price times the factor, rounded to tens, never the same."""
    before = ad.price or Decimal(0)
    after = Decimal(round(float(before) * factor / 10) * 10)
    return priced(ad, after if after != before else before - 10 if before > 20 else before + 10)


def _sizes(ads: int) -> dict[str, int]:
    """Return the number of ads of each make: distributed over the groups, then over their makes. The sum is exact."""
    sizes: dict[str, int] = {}
    for group, size in _shared_out(ads, GROUP_SIZES).items():
        sizes.update(_shared_out(size, {make: MAKES[make].share for make in GROUPS[group]}))
    return sizes


def _shared_out(whole: int, weights: Mapping[K, int]) -> dict[K, int]:
    """Return the whole divided in proportion to the weights, by the largest remainder method."""
    total = sum(weights.values())
    parts = {key: whole * weight // total for key, weight in weights.items()}
    missing = whole - sum(parts.values())
    for key in sorted(weights, key=lambda key: -(whole * weights[key] % total))[:missing]:
        parts[key] += 1
    return parts
