"""How often the fields of ads have a value: a page in a changed layout still has ads, with empty fields."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vinops_scrapy.items import Listing

    _Page = dict[str, tuple[int, int]]  # of each field: ads on the page, and those with a value

ENOUGH: Final = 200  # ads in the database from which on their rates count
PAGES: Final = 5  # pages of the run that are judged together
CHANCE: Final = 1e-6  # the probability below which empty fields are not put down to chance


class FillRates:
    """Compares pages with the recent past."""

    def __init__(self, ads: int, rates: Mapping[str, float], *, ordinary: Mapping[str, float]) -> None:
        """`rates` are those of the last week's `ads`, `ordinary` is expected as long as these are too few."""
        self._expected = {**ordinary, **(rates if ads >= ENOUGH else {})}
        self._pages: deque[_Page] = deque(maxlen=PAGES)

    def stopped(self, listings: Sequence[Listing], *, ordered_by: str | None = None) -> tuple[str, ...]:
        """Return the fields that no longer have a value, on this page alone or together with the pages before it.

        The field that the list is ordered by is left out: a list by price has pages of ads without one. A page with a
        field that no longer has a value is not counted with the pages that follow.
        """
        page: _Page = {
            name: (len(listings), sum(getattr(listing, name) not in (None, "", ()) for listing in listings))
            for name in self._expected
            if name != ordered_by
        }
        found = tuple(
            name
            for name, (ads, filled) in page.items()
            if _is_low(ads, filled, rate := self._expected[name])
            or _is_low(*self._with_those_before(name, ads, filled), rate)
        )
        if not found:
            self._pages.append(page)
        return found

    def _with_those_before(self, name: str, ads: int, filled: int) -> tuple[int, int]:
        before = [page[name] for page in self._pages if name in page]
        return ads + sum(each for each, _ in before), filled + sum(each for _, each in before)


def _is_low(ads: int, filled: int, rate: float) -> bool:
    """Tell whether a field is filled less than half as often as expected, and chance is unlikely to explain that."""
    if not ads or filled >= ads * rate / 2:
        return False
    rate = min(rate, 0.99)
    chance = sum(math.comb(ads, count) * rate**count * (1 - rate) ** (ads - count) for count in range(filled + 1))
    return chance < CHANCE
