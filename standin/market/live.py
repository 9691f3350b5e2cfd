"""A market of real size that changes by itself: 129,431 ads of the followed makes, 3,500 new ones a day.

    market = LiveMarket(seed=1, speed=75)
    market.listing("vw", model="golf", region="oblast-sofiya", sort=6)
    market.history()

Ads come along the day as in a real one, stay for 37 days on average, and change their prices. What the market is like
at a time depends on the seed and that time only, unless somebody removes, restores or reprices ads.
"""

from __future__ import annotations

import functools
import heapq
import random
import threading
from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import compress
from typing import TYPE_CHECKING, Final, overload

from standin.market.ads import AdDrawer, is_new, priced
from standin.market.clock import Clock, milliseconds
from standin.market.cycles import (
    BY_DISTANCE,
    BY_MODEL,
    BY_PRICE,
    BY_YEAR,
    IN_BULGARIA,
    NEWEST,
    NEWEST_OF_TWO_DAYS,
    NOW,
    RECENT,
    Listing,
    region_slug,
    repriced,
)
from standin.market.population import DAY, MAKES, MODELS, NEVER, RANKS, REGIONS, Population, is_promoted
from standin.market.real import FOLLOWED, NEW_A_DAY
from standin.market.values import ABROAD, ALL_MAKES, REGIONS as PLACES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    from standin.market.ads import Ad
    from standin.market.values import Make

    Scope = tuple[str | None, str | None, str | None]

#: The order of the promoted ads above a list, beside the orders of lists.
_PROMOTED: Final = 0
_STORED: Final = (_PROMOTED, BY_MODEL, BY_PRICE, BY_YEAR, BY_DISTANCE, NEWEST)
_WITH_PRICES: Final = (BY_PRICE,)
#: A key of an order is a number with that of the ad in its lowest bits.
_BITS: Final = 24
_NUMBER: Final = (1 << _BITS) - 1
_LAST: Final = 10**12
_SLUGS: Final = tuple(region_slug(region) if region else None for region in REGIONS)
#: The most ads whose text is kept.
_KEPT: Final = 4096


class Shown(Sequence["Ad"]):
    """The ads of a list in its order, generated when they are asked for."""

    def __init__(self, keys: Sequence[int], draw: Callable[[int], Ad], *, backwards: bool = False) -> None:
        """Show the ads with these keys, from the last to the first if `backwards`."""
        self._keys, self._draw, self._backwards = keys, draw, backwards

    def __len__(self) -> int:
        """Return the number of ads."""
        return len(self._keys)

    @overload
    def __getitem__(self, place: int) -> Ad: ...

    @overload
    def __getitem__(self, place: slice) -> list[Ad]: ...

    def __getitem__(self, place: int | slice) -> Ad | list[Ad]:
        """Return the ad at that place, or those of a part of the list."""
        if isinstance(place, slice):
            return [self._at(each) for each in range(*place.indices(len(self)))]
        return self._at(range(len(self))[place])

    def _at(self, place: int) -> Ad:
        return self._draw(self._keys[-1 - place if self._backwards else place] & _NUMBER)


class LiveMarket:
    """The ads of a market that follows its clock. May be used from any thread."""

    makes: Mapping[str, Make] = ALL_MAKES

    def __init__(
        self,
        *,
        seed: int = 1,
        ads: int = FOLLOWED,
        new_a_day: int | None = None,
        now: datetime = NOW,
        speed: float = 0.0,
    ) -> None:
        """Begin at `now` with `ads` ads of the followed makes; time passes `speed` times as fast, at 0 not by itself.

        `new_a_day` is the number of new ads of those makes, in proportion to the ads by default. Raises ValueError for
        a number below 0.
        """
        new = round(ads * NEW_A_DAY / FOLLOWED) if new_a_day is None else new_a_day
        if min(ads, new) < 0:
            message = "the number of ads, and of new ones a day, must be at least 0"
            raise ValueError(message)
        self._seed = seed
        self._drawer = AdDrawer(seed=seed, now=now)
        self._ads = Population(seed=seed, ads=ads, new_a_day=new, start=now)
        self._there = bytearray()
        self._leaving: list[int] = []
        self._repricings = 0
        self._changes: dict[int, tuple[float | Decimal | None, ...]] = {}
        self._lists: dict[tuple[Scope, int], list[int]] = {}
        self._next = 0
        self._lock = threading.RLock()
        self._draw = functools.lru_cache(maxsize=_KEPT)(self._drawn)
        self.clock = Clock(now, speed=speed)
        self._settle()

    @property
    def now(self) -> datetime:
        """Return the time of the market."""
        return self.clock.now

    def pass_time(self, hours: float) -> None:
        """Let so many hours pass at once. Raises ValueError for fewer than 0."""
        if hours < 0:
            message = f"time cannot pass for {hours:g} hours"
            raise ValueError(message)
        self.clock.skip(timedelta(hours=hours))
        self._settle()

    def ads(self) -> Mapping[str, Ad]:
        """Return the active ads by id; at the real size their texts take 15 seconds."""
        with self._lock:
            self._settle()
            return {self._ads.ad_id(number): self._ad(number) for number in self._active()}

    def find(self, ad_id: str) -> Ad | None:
        """Return the active ad with that id, or None."""
        with self._lock:
            number = self._known(ad_id)
            return self._ad(number) if number is not None and self._there[number] else None

    def gone(self, ad_id: str) -> Ad | None:
        """Return the gone ad with that id, or None."""
        with self._lock:
            number = self._known(ad_id)
            return self._ad(number) if number is not None and not self._there[number] else None

    def count(self, make: str | None = None) -> int:
        """Return the number of active ads of a make (None: of all makes)."""
        with self._lock:
            self._settle()
            return len(self._list((make, None, None), NEWEST))

    def history(self) -> Iterator[tuple[str, str, int, int | None, str]]:
        """Yield all ads that were ever there: id, make, when it was posted, when it left, and its region.

        Times are milliseconds since 1970, that of an active ad is None. The region of a car in Bulgaria is empty where
        the ad names none.
        """
        with self._lock:
            self._settle()
            return iter(
                [
                    (
                        self._ads.ad_id(number),
                        MAKES[self._ads.make[number]],
                        self._ads.posted[number],
                        None if there else self._ads.leaves[number],
                        REGIONS[self._ads.region[number]],
                    )
                    for number, there in enumerate(self._there)
                ]
            )

    def listing(
        self, make: str | None = None, *, model: str | None = None, region: str | None = None, sort: int = BY_MODEL
    ) -> Listing:
        """Return a list in the order `sort`; any other value means the default order, BY_MODEL, without the price.

        `region` is IN_BULGARIA or the slug of a region, such as `oblast-sofiya`.
        """
        with self._lock:
            self._settle()
            scope = (make, model, region)
            promoted = Shown(self._list(scope, _PROMOTED), self._ad)
            if sort == NEWEST_OF_TWO_DAYS:
                keys = self._list(scope, NEWEST)
                first = bisect_left(self._ads.posted, milliseconds(self.now - RECENT))
                return Listing(ads=Shown(keys[bisect_left(keys, first) :], self._ad, backwards=True), promoted=promoted)
            sort = sort if sort in _STORED and sort != _PROMOTED else BY_MODEL
            return Listing(ads=Shown(self._list(scope, sort), self._ad, backwards=sort == NEWEST), promoted=promoted)

    def set_price(self, ad_id: str, eur: Decimal | float | str | None) -> None:
        """Set the price of an ad; None shows «Запитване». Raises KeyError for an ad that is not active."""
        with self._lock:
            self._reprice(self._active_number(ad_id), None if eur is None else Decimal(str(eur)))

    def remove(self, ad_id: str) -> None:
        """Remove an ad from the market. Raises KeyError for an ad that is not active."""
        with self._lock:
            number = self._active_number(ad_id)
            self._ads.leaves[number] = milliseconds(self.now)
            self._take_out(number)

    def restore(self, ad_id: str) -> None:
        """Make a gone ad active again, for good. Raises KeyError for an ad that is not gone."""
        with self._lock:
            number = self._known(ad_id)
            if number is None or self._there[number]:
                raise KeyError(ad_id)
            self._ads.leaves[number] = NEVER
            self._put_in(number)

    def _settle(self) -> None:
        """Bring the market to the time of its clock."""
        with self._lock:
            now = milliseconds(self.now)
            if now < self._next:
                return
            while self._ads.until <= now + DAY:
                self._ads.draw_day()
            while len(self._there) < len(self._ads) and self._ads.posted[len(self._there)] <= now:
                number = len(self._there)
                self._there.append(0)
                self._put_in(number)
                heapq.heappush(self._leaving, self._ads.leaves[number] << _BITS | number)
            while self._leaving and self._leaving[0] >> _BITS <= now:
                number = heapq.heappop(self._leaving) & _NUMBER
                if self._there[number] and self._ads.leaves[number] <= now:
                    self._take_out(number)
            changes = self._ads.repricings
            while self._repricings < len(changes) and changes[self._repricings][0] <= now:
                _, number, factor = changes[self._repricings]
                self._repricings += 1
                if self._there[number]:
                    self._reprice(number, factor)
            self._next = min(
                self._ads.posted[len(self._there)] if len(self._there) < len(self._ads) else NEVER,
                self._leaving[0] >> _BITS if self._leaving else NEVER,
                changes[self._repricings][0] if self._repricings < len(changes) else NEVER,
                self._ads.until - DAY,
            )

    def _known(self, ad_id: str) -> int | None:
        """Return the number of an ad that was posted by now, or None."""
        self._settle()
        number = self._ads.number(ad_id)
        return number if number is not None and number < len(self._there) else None

    def _active_number(self, ad_id: str) -> int:
        number = self._known(ad_id)
        if number is None or not self._there[number]:
            raise KeyError(ad_id)
        return number

    def _active(self) -> Iterator[int]:
        return compress(range(len(self._there)), self._there)

    def _list(self, scope: Scope, sort: int) -> list[int]:
        """Return the keys of a list in their order, kept from then on."""
        if (scope, sort) not in self._lists:
            self._lists[scope, sort] = sorted(
                self._key(number, sort)
                for number in self._of(scope)
                if sort != _PROMOTED or is_promoted(self._ads.rank[number])
            )
        return self._lists[scope, sort]

    def _of(self, scope: Scope) -> Iterable[int]:
        """Return the active ads of a list."""
        if (scope, NEWEST) in self._lists:
            return self._lists[scope, NEWEST]
        make, model, region = scope
        if region is not None:
            within = {
                index
                for index, slug in enumerate(_SLUGS)
                if slug == region or (region == IN_BULGARIA and REGIONS[index] != ABROAD)
            }
            regions = self._ads.region
            return [number for number in self._list((make, model, None), NEWEST) if regions[number] in within]
        if model is not None and make is not None:
            index, models = MODELS[MAKES.index(make)].index(model), self._ads.model
            return [number for number in self._list((make, None, None), NEWEST) if models[number] == index]
        if make is not None:
            index, makes = MAKES.index(make), self._ads.make
            return [number for number in self._active() if makes[number] == index]
        return self._active()

    def _key(self, number: int, sort: int) -> int:
        """Return the key of an ad in an order: keys ascend, but for the newest first."""
        columns = self._ads
        if sort == NEWEST:
            return number
        if sort == _PROMOTED:
            value = columns.rank[number]
        elif sort == BY_MODEL:
            value = (columns.rank[number] << 16) + (columns.make[number] << 8) + columns.model[number]
        elif sort == BY_PRICE:
            price = self._ad(number).price
            value = _LAST if price is None else int(price * 100)
        elif sort == BY_YEAR:
            ad = self._ad(number)
            value = (9999 - ad.year) * 12 + 12 - ad.month
        else:
            mileage = self._ad(number).mileage_km
            value = _LAST if mileage is None else mileage
        return value << _BITS | number

    def _kept(self, number: int, sorts: Iterable[int]) -> Iterator[tuple[int, list[int]]]:
        """Yield the orders and the lists an ad belongs to, of those that are kept."""
        make, index = MAKES[self._ads.make[number]], self._ads.region[number]
        model = MODELS[self._ads.make[number]][self._ads.model[number]]
        regions = {None, _SLUGS[index], None if REGIONS[index] == ABROAD else IN_BULGARIA}
        for narrowed in ((None, None), (make, None), (make, model)):
            for region in regions:
                for sort in sorts:
                    found = self._lists.get(((*narrowed, region), sort))
                    if found is not None and (sort != _PROMOTED or is_promoted(self._ads.rank[number])):
                        yield sort, found

    def _put_in(self, number: int) -> None:
        self._there[number] = 1
        if not self._lists:
            return
        for sort, found in self._kept(number, _STORED):
            insort(found, self._key(number, sort))

    def _take_out(self, number: int, sorts: Iterable[int] = _STORED) -> None:
        self._there[number] = 0
        for sort, found in self._kept(number, sorts):
            del found[bisect_left(found, self._key(number, sort))]

    def _reprice(self, number: int, change: float | Decimal | None) -> None:
        """Change the price of an active ad: by a factor, or to an amount in EUR (None: it names none)."""
        sorted_by_price = list(self._kept(number, _WITH_PRICES))
        before = [self._key(number, sort) for sort, _ in sorted_by_price]
        self._changes[number] = (*self._changes.get(number, ()), change)
        for key, (sort, found) in zip(before, sorted_by_price, strict=True):
            del found[bisect_left(found, key)]
            insort(found, self._key(number, sort))

    def _ad(self, number: int) -> Ad:
        posted = self._ads.posted_at(number)
        return self._draw(number, self._changes.get(number, ()), is_new(posted, self.now))

    def _drawn(self, number: int, changes: tuple[float | Decimal | None, ...], marked_new: bool) -> Ad:
        """Generate the text of an ad, with its price after these changes."""
        columns = self._ads
        make, region = ALL_MAKES[MAKES[columns.make[number]]], REGIONS[columns.region[number]]
        ad = self._drawer.draw_one(
            str(number),
            make,
            make.models[columns.model[number]],
            ad_id=columns.ad_id(number),
            posted=columns.posted_at(number),
        )
        places = PLACES[region][1] if region in PLACES else ("",)
        place = ad.place if region == ad.region else random.Random(number).choice(places)
        ad = replace(ad, region=region, place=place, promotion=RANKS[columns.rank[number]], is_new=marked_new)
        for change in changes:
            if not isinstance(change, float):
                ad = priced(ad, change)
            elif ad.price is not None and not ad.is_no_offer:
                ad = repriced(ad, change)
        return ad
