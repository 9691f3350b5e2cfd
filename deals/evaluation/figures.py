"""The figures of an evaluation: errors and coverage of groups and segments of ads, and their mean over seeds."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from deals.estimate import additive

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from deals.estimate.cars import Bools, Cars, Floats

GROUPS: Final = ("all", "covered", "narrow", "narrow40")
"""All ads; those with enough comparables; the shares of NARROW with the narrowest predicted p10 to p90."""
NARROW: Final = {"narrow": 0.61, "narrow40": 0.40}
INSIDE: Final = 0.8  # of the prices are to lie between p10 and p90
FEWEST_IN_SEGMENT: Final = 100  # ads from which on a segment is judged
SLACK: Final = 0.04  # of its coverage; or two standard errors, if these are more

AGES: Final = (5, 10, 15, 25)  # years, the bounds of segments
WORDS: Final = (3, 6, 10)  # of the title
VALUES: Final = (2_000, 4_000, 8_000, 16_000, 32_000, 64_000)  # EUR, of the estimate


def groups(ours: Floats, covered: Bools) -> dict[str, Bools]:
    """Return which ads are in each of GROUPS. The width of an estimate decides, never a price."""
    width = ours[:, 2] - ours[:, 0]
    found = {"all": np.ones(len(width), dtype=bool), "covered": covered}
    for name, share in NARROW.items():
        members = np.zeros(len(width), dtype=bool)
        members[np.argsort(width, kind="stable")[: round(share * len(width))]] = True
        found[name] = members
    return found


def of(found: Floats, log_price: Floats, members: Bools) -> dict[str, float | int]:
    """Return the figures of these members that have an estimate (p10, p50, p90 in ln EUR, a row an ad)."""
    has = members & np.isfinite(found[:, 1])
    off = np.abs(np.exp(found[has, 1] - log_price[has]) - 1)
    inside = (found[has, 0] <= log_price[has]) & (log_price[has] <= found[has, 2])
    return {
        "n": int(has.sum()),
        "mdape": float(np.median(off)) if has.any() else float("nan"),
        "within20": float(np.mean(off <= 0.2)) if has.any() else float("nan"),
        "coverage_p10_p90": float(np.mean(inside)) if has.any() else float("nan"),
    }


def segments(cars: Cars, ours: Floats) -> dict[str, dict[str, float | int]]:
    """Return the figures of parts of the market: by age, missing facts, words of the title and the estimate."""
    return {name: of(ours, cars.log_price, members) for name, members in segments_of(cars, ours[:, 1]).items()}


def segments_of(cars: Cars, middle: Floats) -> dict[str, Bools]:
    """Return which ads are in each segment. `middle` are estimates in ln EUR; prices are not used."""
    age = np.floor(np.max(cars.born)) - np.floor(cars.born)
    words = np.array([len(additive.words(title)) for title in cars.title])
    return {
        "power missing": np.isnan(cars.power),
        "mileage missing": np.isnan(cars.km),
        **_bands(age, AGES, "years"),
        **_bands(words, WORDS, "words"),
        **_bands(np.exp(middle), VALUES, "EUR"),
    }


def _bands(values: Floats, bounds: Sequence[int], unit: str) -> dict[str, Bools]:
    edges = (None, *bounds, None)
    found = {}
    for low, high in pairwise(edges):
        if low is None:
            name = f"below {high:,} {unit}"
        else:
            name = f"{low:,} {unit} or more" if high is None else f"{low:,} to {high:,} {unit}"
        found[name] = (values >= (low or -np.inf)) & (values < (high or np.inf))
    return found


def slack(ads: float) -> float:
    """Return by how much the coverage of a segment of so many ads may differ from INSIDE."""
    return float(max(SLACK, 2 * (INSIDE * (1 - INSIDE) / ads) ** 0.5))


def is_right(segment: Mapping[str, float]) -> bool:
    """Return whether the coverage of a segment is within its slack of INSIDE."""
    return abs(segment["coverage_p10_p90"] - INSIDE) <= slack(segment["n"])


def mean(measured: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the mean of each number over these nested figures, rounded: shares to 0.0001, numbers of ads to one.

    What only the first has stays as it is.
    """
    found: dict[str, Any] = {}
    for name, first in measured[0].items():
        values = [each[name] for each in measured if name in each]
        if isinstance(first, dict):
            found[name] = mean(values)
        else:
            average = float(np.mean(values))
            found[name] = round(average) if isinstance(first, int) else round(average, 4)
    return found
