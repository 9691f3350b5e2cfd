"""Calibration of the predicted width: p10 to p90 contains four of five prices, also within groups of ads.

Held-out errors in units of the predicted width give, for each side, a factor for all ads and one for each group that is
large enough (conformalised quantile regression, conditional on groups). Groups overlap: the factors of an ad's groups
are multiplied, and fitted in turn until all groups are right together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from deals.estimate.cars import Bools, Cars, Floats, Ints

OUTSIDE: Final = 0.1  # of the prices, on each side
FEWEST: Final = 100  # ads of a group below which it has no factor of its own
FIRMNESS: Final = 30.0  # ads: a group of as many gets half of its factor
PASSES: Final = 6
MOST: Final = 3.0  # a factor at most; at least its inverse

AGES: Final = (5.0, 10.0, 15.0, 25.0)  # years: the bounds of groups
WORDS: Final = (3, 6, 10)  # of the title
VALUES: Final = tuple(np.log([2_000.0, 4_000, 8_000, 16_000, 32_000, 64_000]).tolist())  # ln EUR, of the estimate


def groups(cars: Cars, middle: Floats, words: Ints, covered: Bools, newest: float) -> Bools:
    """Return which ads are in which group, a column each. `middle` are estimates (ln EUR), `words` the number of words
    of each title, `newest` the year of the newest car. No price is used."""
    age = np.floor(newest) - np.floor(cars.born)
    return np.column_stack(
        [
            covered,
            np.isnan(cars.power),
            np.isnan(cars.km),
            *_bands(age, AGES),
            *_bands(words.astype(float), WORDS),
            *_bands(middle, VALUES),
        ]
    )


def _bands(values: Floats, bounds: tuple[float, ...]) -> list[Bools]:
    place = np.searchsorted(np.array(bounds), values, side="right")
    return [place == number for number in range(len(bounds) + 1)]


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The factors (ln): for each side, low and high, the first of all ads, then one for each group."""

    factors: Floats

    def reach(self, width: Floats, members: Bools) -> Floats:
        """Return how far p10 and p90 are from p50 (ln), two columns, for these predicted widths."""
        return np.exp(np.log(width)[:, None] + self.factors[:, 0] + members @ self.factors[:, 1:].T)


def fit(off: Floats, width: Floats, members: Bools) -> Calibration:
    """Return the factors by which OUTSIDE of these errors (price - estimate, ln; held out) is beyond either side."""
    factors = np.zeros((2, 1 + members.shape[1]))
    for side, beyond in enumerate((-off, off)):
        ratio = np.log(np.maximum(beyond, 1e-6) / width)
        for _ in range(PASSES):
            step = _step(ratio)
            factors[side, 0] += step
            ratio -= step
            for number in range(members.shape[1]):
                inside = members[:, number]
                count = int(inside.sum())
                if count < FEWEST:
                    continue
                step = _step(ratio[inside]) * count / (count + FIRMNESS)
                factors[side, 1 + number] += step
                ratio[inside] -= step
    return Calibration(factors=factors)


def _step(ratio: Floats) -> float:
    return float(
        np.clip(np.quantile(ratio, min((1 - OUTSIDE) * (1 + 1 / len(ratio)), 1.0)), -np.log(MOST), np.log(MOST))
    )
