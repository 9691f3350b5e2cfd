"""The badge of a price: it says the same as the score, and what is no price has none."""

from __future__ import annotations

import math
from typing import Final

import pytest
from hypothesis import given, strategies as st

from deals.stages import chance

ORDER: Final = ("great", "good", "fair", "high", "overpriced")
PRICES: Final = st.floats(min_value=100, max_value=300_000)
WIDTHS: Final = st.floats(min_value=0.02, max_value=1.2)


@pytest.mark.parametrize(
    ("price", "width", "expected"),
    [
        (7000, 0.25, "great"),
        (8000, 0.25, "good"),  # a fifth below is often only the spread of prices
        (8000, 0.1, "great"),  # but not where they agree
        (7000, 0.6, "good"),
        (9490, 0.1, "good"),
        (9510, 0.1, "fair"),
        (9200, 0.6, "fair"),  # nobody knows to 8 %
        (10_490, 0.1, "fair"),
        (10_600, 0.1, "high"),
        (11_100, 0.1, "overpriced"),
        (12_500, 0.6, "high"),
        (3990, 0.25, None),  # an error, bait or a damaged car
        (4100, 0.25, "great"),
    ],
)
def test_a_badge_says_how_a_price_compares(price: float, width: float, expected: str | None) -> None:
    assert chance.badge(price, 10_000 * math.exp(-width), 10_000, 10_000 * math.exp(width)) == expected


@given(PRICES, PRICES, WIDTHS, WIDTHS)
def test_a_higher_price_never_has_a_better_badge(one: float, other: float, below: float, above: float) -> None:
    worth = 10_000 * math.exp(-below), 10_000.0, 10_000 * math.exp(above)
    low, high = (chance.badge(price, *worth) for price in sorted((one, other)))
    if low is not None and high is not None:
        assert ORDER.index(low) <= ORDER.index(high)


@given(PRICES, WIDTHS, WIDTHS)
def test_great_are_the_prices_with_the_odds_of_a_bargain(price: float, below: float, above: float) -> None:
    worth = 10_000 * math.exp(-below), 10_000.0, 10_000 * math.exp(above)
    if chance.badge(price, *worth) == "great":
        assert price >= chance.SUSPICIOUS * 10_000
        assert chance.odds(price, *worth) >= chance.GREAT
