"""How likely a price is that of a bargain: its density among cars sold 20 to 45 % below their value, beside that among
all others; and the badge that says in a word how a price compares with an estimate.

Prices spread around an estimate as Student's t does, in units of the distance of p10 below it and of p90 above it. The
shape is that of the errors of held-out ads: one in fifty is more than two such distances below.
"""

from __future__ import annotations

import math
from typing import Final, Literal, TypeAlias

Badge: TypeAlias = Literal["great", "good", "fair", "high", "overpriced"]

LOW_SCALE, LOW_FREEDOM = 0.65, 4.0  # below p50, of the distance to p10; fitted to 3,900 real ads
HIGH_SCALE, HIGH_FREEDOM = 0.69, 7.0  # above it, of the distance to p90
LEAST: Final = 0.02  # ln: no distance is less
DISCOUNTS: Final = tuple(-math.log(1 - percent / 100) for percent in range(20, 46, 5))  # ln, each as likely
SUSPICIOUS: Final = 0.4
"""Of p50: a lower price is not a bargain, but an error, bait or a damaged car."""
GREAT: Final = 3.0
"""Odds of a bargain from which on a price is great. With those a new ad scores 7, half a point below the channel."""
AT_MARKET: Final = 0.05
"""Of p50: a price that is nearer is fair, whatever the width of the estimate."""


def odds(price: float, p10: float, p50: float, p90: float) -> float:
    """Return how many times as likely this price (EUR) is for a bargain as for another car: 0 to some 50.

    A price further below than any of DISCOUNTS counts as the largest of them: a cheaper car never has lower odds.
    """
    low = LOW_SCALE * max(math.log(p50 / p10), LEAST)
    high = HIGH_SCALE * max(math.log(p90 / p50), LEAST)
    off = max(math.log(price / p50), -DISCOUNTS[-1])
    bargain = sum(_density(off + discount, low, high) for discount in DISCOUNTS) / len(DISCOUNTS)
    return bargain / _density(off, low, high)


def badge(price: float, p10: float, p50: float, p90: float) -> Badge | None:
    """Return how a price compares with an estimate; None for one so low that it says nothing of the car.

    Great are prices with the odds of a bargain; overpriced are those above p90; fair are those within a twentieth of
    p50, or within a quarter of the distance to p10 or p90 where the estimate is wide.
    """
    if price < SUSPICIOUS * p50:
        return None
    if price < p50 and odds(price, p10, p50, p90) >= GREAT:
        return "great"
    if price > p90:
        return "overpriced"
    end = p10 if price < p50 else p90
    if abs(price - p50) <= max(AT_MARKET * p50, abs(end - p50) / 4):
        return "fair"
    return "good" if price < p50 else "high"


def _density(off: float, low: float, high: float) -> float:
    """Return the density of a price that is off by `off` (ln), but for a factor that is the same for all prices."""
    scale, freedom = (low, LOW_FREEDOM) if off < 0 else (high, HIGH_FREEDOM)
    return float((1 + (off / scale) ** 2 / freedom) ** (-(freedom + 1) / 2))
