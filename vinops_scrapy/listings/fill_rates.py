"""How often the fields of ads have a value: a page in a changed layout still has ads, with empty fields."""

from __future__ import annotations

import math
from collections import Counter, deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vinops_scrapy.items import Listing

ENOUGH: Final = 200  # ads in the database from which on their rates count
PAGES: Final = 5  # pages of the run that are judged together
CHANCE: Final = 1e-6  # the probability below which empty fields are not put down to chance


class FillRates:
    """Compares pages with the recent past."""

    def __init__(self, ads: int, rates: Mapping[str, float], *, ordinary: Mapping[str, float]) -> None:
        """`rates` are those of the last week's `ads`, `ordinary` is expected as long as these are too few."""
        self._expected = {**ordinary, **(rates if ads >= ENOUGH else {})}
        self._pages: deque[tuple[int, Counter[str]]] = deque(maxlen=PAGES)

    def stopped(self, listings: Sequence[Listing]) -> tuple[str, ...]:
        """Return the fields that no longer have a value, on this page alone or together with the pages before it.

        A page with such a field is not counted with the pages that follow.
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
    """Tell whether a field is filled less than half as often as expected, and chance is unlikely to explain that."""
    if not ads or filled >= ads * rate / 2:
        return False
    rate = min(rate, 0.99)
    chance = sum(math.comb(ads, count) * rate**count * (1 - rate) ** (ads - count) for count in range(filled + 1))
    return chance < CHANCE
