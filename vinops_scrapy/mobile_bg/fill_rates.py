"""How often fields have a value: a page of a layout that nobody has read yet still has cards, and empty fields."""

from __future__ import annotations

import math
from collections import Counter, deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vinops_scrapy.items import Listing

ORDINARY: Final = {
    "price_eur": 0.9,
    "year": 0.9,
    "mileage_km": 0.8,
    "fuel": 0.8,
    "region": 0.8,
    "photo_urls": 0.8,
}
"""What is expected as long as there is no past to go by: less than the real pages of 2025 have."""

ENOUGH: Final = 200  # ads from which on the past counts
PAGES: Final = 5  # of the run that are looked at together
CHANCE: Final = 1e-6  # that it is chance, below which it is none


class FillRates:
    """Compares pages with the recent past."""

    def __init__(self, ads: int, rates: Mapping[str, float]) -> None:
        """`rates` were found over so many ads."""
        self._expected = {**ORDINARY, **(rates if ads >= ENOUGH else {})}
        self._pages: deque[tuple[int, Counter[str]]] = deque(maxlen=PAGES)

    def stopped(self, listings: Sequence[Listing]) -> tuple[str, ...]:
        """Return the fields that have stopped filling, by a page alone or with those before it; most often none.

        A page that has stopped is not counted with those that follow.
        """
        page = (
            len(listings),
            Counter(
                name for listing in listings for name in self._expected if getattr(listing, name) not in (None, "", ())
            ),
        )
        lately = [page, *self._pages]
        found = tuple(
            name
            for name, rate in self._expected.items()
            if _is_low(page[0], page[1][name], rate)
            or _is_low(sum(ads for ads, _ in lately), sum(counts[name] for _, counts in lately), rate)
        )
        if not found:
            self._pages.append(page)
        return found


def _is_low(ads: int, filled: int, rate: float) -> bool:
    """Tell whether so few are filled that it is no chance: less than half as often as expected, and too unlikely."""
    if not ads or filled >= ads * rate / 2:
        return False
    rate = min(rate, 0.99)
    chance = sum(math.comb(ads, count) * rate**count * (1 - rate) ** (ads - count) for count in range(filled + 1))
    return chance < CHANCE
