"""Small markets in memory: a make whose ads come, go and change their price while its lists are read."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from hypothesis import strategies as st

from vinops_scrapy.items import Listing, ListPage
from vinops_scrapy.mobile_bg.makes import Makes
from vinops_scrapy.mobile_bg.walks import Step

NOW: Final = datetime(2026, 7, 1, tzinfo=UTC)
SIZE: Final = 5
LATER: Final = 10_000
"""Ads with a smaller number were there from the start, the smaller the newer; the others came, the larger the newer."""


def listing(ad_id: int, *, promotion: str | None = None, price: int | None = None) -> Listing:
    """Return an ad."""
    posted_at = NOW + timedelta(seconds=ad_id if ad_id >= LATER else -ad_id)
    return Listing(
        source="a",
        ad_id=str(ad_id),
        url="",
        title="",
        posted_at=posted_at,
        promotion=promotion,  # type: ignore[arg-type]
        price_eur=None if price is None else Decimal(price),
    )


def book(limit: int = 1000, more_sorts: tuple[int, ...] = (3,)) -> Makes:
    """Return the makes file of a site that shows so many pages of a list."""
    return Makes(region=None, sort=6, page_limit=limit, page_size=SIZE, workers={}, more_sorts=more_sorts)


@dataclass(kw_only=True)
class Site:
    """A make whose lists are cut off after `limit` pages, newest first.

    `models` and `regions` say which ads are in the lists of those names; `prices` are the order of any other sort, in
    which an ad without a price comes first, the oldest before the others.
    """

    ads: list[int]
    limit: int = 1000
    models: dict[str, set[int]] = field(default_factory=dict)
    regions: dict[str, set[int]] = field(default_factory=dict)
    prices: dict[int, int] = field(default_factory=dict)

    def of(self, step: Step) -> list[int] | None:
        """Return the ads of a list; None if there is no such list."""
        parts = [(step.model, self.models), (step.region, self.regions)]
        if any(name is not None and name not in known for name, known in parts):
            return None
        ads = [ad for ad in self.ads if all(name is None or ad in known[name] for name, known in parts)]
        return sorted(ads, key=lambda ad: (self.prices.get(ad, 0), -ad)) if step.sort else ads

    def page(self, step: Step) -> ListPage:
        """Return a page of a list. Raises KeyError if there is no such list."""
        ads = self.of(step)
        if ads is None:
            raise KeyError(step)
        shown = ads[: self.limit * SIZE]
        return ListPage(
            listings=tuple(
                listing(ad, price=self.prices.get(ad)) for ad in shown[(step.page - 1) * SIZE : step.page * SIZE]
            ),
            total=len(ads),
            page=step.page,
            next_url="next" if len(shown) > step.page * SIZE else None,
        )

    @property
    def shows_everything(self) -> bool:
        """Tell whether the models have all ads, none of their lists is cut off, and the make's count is no limit."""
        reach = self.limit * SIZE
        of_models = [ads & set(self.ads) for ads in self.models.values()]
        return (
            set(self.ads) == set().union(*of_models)
            and all(len(ads) < reach for ads in of_models)
            and len(self.ads) != reach
        )

    def change(self, kind: str, number: int, *, ad: int | None = None) -> None:
        """Have an ad come, go, or change its price. `number` says which, and where it belongs; `ad` is the one that
        comes."""
        if kind == "come":
            ad = max([LATER, *self.ads]) + 1 if ad is None else ad
            self.ads.insert(0, ad)
            self.prices[ad] = number
            for parts in (self.models, self.regions):
                if names := [*parts, None]:
                    name = names[number % len(names)]
                    if name is not None:
                        parts[name].add(ad)
        elif kind == "go" and self.ads:
            del self.ads[number % len(self.ads)]
        elif kind == "price" and self.ads:
            self.prices[self.ads[number % len(self.ads)]] = number * 7 % 97


changes: st.SearchStrategy[list[tuple[str, int]]] = st.lists(
    st.tuples(st.sampled_from(["come", "go", "go", "price", "none", "none"]), st.integers(0, 200)), max_size=40
)


@st.composite
def sites(draw: st.DrawFn, most: int = 55) -> Site:
    """Draw a market: its lists may be cut off at any level, and ads may be in no model's list or in no region's.

    Together with those that come there are fewer than a hundred ads, so that none may be missing from a complete walk.
    """
    ads = list(range(draw(st.integers(0, most))))
    parts: list[dict[str, set[int]]] = []
    for names in (["x", "y", "z"], ["north", "south"]):
        places: list[Any] = [*names[: draw(st.integers(0, len(names)))]]
        nowhere = [None] if draw(st.booleans()) else []
        chosen = st.sampled_from([*places, *places, *nowhere] or [None])
        of = {ad: draw(chosen) for ad in ads}
        parts.append({name: {ad for ad in ads if of[ad] == name} for name in places})
    prices = dict(zip(ads, draw(st.lists(st.integers(0, 9), min_size=len(ads), max_size=len(ads))), strict=True))
    return Site(ads=ads, limit=draw(st.integers(2, 13)), models=parts[0], regions=parts[1], prices=prices)
