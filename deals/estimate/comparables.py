"""The value of a car by comparable cars: an estimate that can be explained by showing them.

The price of each comparable is adjusted for its difference to the car in age, mileage and power, with slopes fitted to
the comparables, or the usual slopes where they are too few. The estimate is the median, weighted by similarity. Where
there are too few comparables, less similar ones are added step by step. docs/decisions/0012-price-estimates.md has the
measurements.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from deals.estimate.cars import Columns

if TYPE_CHECKING:
    from deals.estimate.cars import Bools, Cars, Floats, Ints

STEPS: Final = (
    "same model, fuel and gearbox, at most 3 years apart",
    "same model and fuel, at most 3 years apart",
    "same model, at most 3 years apart",
    "same model, at most 8 years apart",
    "same family, at most 3 years apart",
)
NEAR_YEARS: Final = 3.5  # with months: an ad of January 2010 and one of December 2013 are 3.9 apart
WIDE_YEARS: Final = 8.0
ENOUGH: Final = 8  # comparables from which on no less similar ones are added
FEWEST: Final = 3  # comparables below which there is no estimate
CARRIES: Final = 0.02  # of the weight of an identical car: a car with less weight is not a comparable

# How prices change within a model, from 14,688 pairs of real ads: ln EUR per year, ln (km + 20,000), ln horsepower.
USUAL_SLOPES: Final = np.array([0.10, -0.17, 0.55])
FIRMNESS: Final = np.array([20.0, 4.0, 1.3])  # regularization to the usual slopes, in units of the normal equations
KM_SOFT: Final = 20_000.0

# A difference of one such unit reduces the weight by exp(-1/2).
WIDTHS: Final = np.array([1.9, 0.5, 0.22])
UNKNOWN: Final = 0.7  # the factor for a mileage or power that is unknown, of the comparable or of the ad
OTHER_FUEL, OTHER_GEARBOX, OTHER_BODY, OTHER_MODEL = 0.45, 0.65, 0.8, 0.5

OUTLIER: Final = 1.0  # ln: a price 2.7 times as high or low as the estimate is ignored
Z90: Final = 1.2816


@dataclass(frozen=True, kw_only=True)
class Pairs(Columns):
    """Candidates as columns: each row pairs an ad, by its index in Cars, with a car that may be comparable."""

    ad: Ints
    car: Ints
    log_price: Floats
    born: Floats
    km: Floats
    power: Floats
    same_model: Bools
    same_fuel: Bools
    same_gearbox: Bools
    same_body: Bools


@dataclass(frozen=True, kw_only=True)
class Estimates:
    """The estimates by comparables, one for each ad. Prices are ln EUR and NaN where there is none; `step` is -1 there.

    `count` is the number of comparables, `own_model` how many of them are of the same model, `effective` the number of
    equal weight with the same information, `spread` the distance of their prices from the estimate (ln). `used` are the
    pairs of the comparables, those with the most weight first within each ad, and `carried` are their prices adjusted
    to the ad's car (ln EUR).
    """

    p10: Floats
    p50: Floats
    p90: Floats
    count: Ints
    own_model: Ints
    spread: Floats
    effective: Floats
    step: Ints
    used: Pairs
    carried: Floats


def others(cars: Cars, pairs: Pairs) -> Pairs:
    """Return the pairs of an ad and another car with a price: never the ad itself, nor an ad of the same car.

    All estimates from pairs use it, so that no estimate sees the price of its own car.
    """
    is_other = (pairs.ids != cars.ids[pairs.ad]) & (pairs.car != cars.car[pairs.ad])
    is_told = np.isfinite(pairs.log_price) & np.isfinite(pairs.born) & np.isfinite(cars.born[pairs.ad])
    return pairs.take(is_other & is_told)


def estimate(cars: Cars, pairs: Pairs) -> Estimates:
    """Return the value of each car by its comparables. The cars' own prices are not used."""
    pairs = others(cars, pairs)
    apart, known = _differences(cars, pairs)
    weights = _weights(pairs, apart, known)
    steps = _steps(pairs, apart)
    step, kept = _relax(len(cars), pairs.ad, steps, weights)
    pairs, apart, weights = pairs.take(kept), apart[kept], weights[kept]
    order = np.lexsort((-weights, pairs.ad))
    pairs, apart, weights = pairs.take(order), apart[order], weights[order]

    carried = _carried(len(cars), pairs, apart, weights)
    centre = weighted_quantile(len(cars), pairs.ad, carried, weights, 0.5)
    near = np.abs(carried - centre[pairs.ad]) <= OUTLIER
    pairs, carried, weights = pairs.take(near), carried[near], weights[near]
    return _summary(len(cars), pairs, carried, weights, step)


def _differences(cars: Cars, pairs: Pairs) -> tuple[Floats, Bools]:
    """Return the differences of each car to its comparable in year, mileage and power, 0 where one is unknown, and
    which are known."""
    apart = np.empty((len(pairs), 3))
    apart[:, 0] = cars.born[pairs.ad] - pairs.born
    apart[:, 1] = np.log((cars.km[pairs.ad] + KM_SOFT) / (pairs.km + KM_SOFT))
    apart[:, 2] = np.log(cars.power[pairs.ad] / pairs.power)
    known = np.isfinite(apart)
    return np.where(known, apart, 0.0), known


def _weights(pairs: Pairs, apart: Floats, known: Bools) -> Floats:
    """Return the similarity of each pair: 1 for an identical car."""
    weights: Floats = np.exp(-0.5 * ((apart / WIDTHS) ** 2).sum(axis=1))
    weights *= UNKNOWN ** (~known).sum(axis=1)
    for same, factor in (
        (pairs.same_fuel, OTHER_FUEL),
        (pairs.same_gearbox, OTHER_GEARBOX),
        (pairs.same_body, OTHER_BODY),
        (pairs.same_model, OTHER_MODEL),
    ):
        weights *= np.where(same, 1.0, factor)
    return weights


def _steps(pairs: Pairs, apart: Floats) -> Ints:
    """Return the step of STEPS at which each pair is added; len(STEPS) for never."""
    years = np.abs(apart[:, 0])
    near = pairs.same_model & (years <= NEAR_YEARS)
    return np.select(
        [
            near & pairs.same_fuel & pairs.same_gearbox,
            near & pairs.same_fuel,
            near,
            pairs.same_model & (years <= WIDE_YEARS),
            years <= NEAR_YEARS,
        ],
        list(range(len(STEPS))),
        len(STEPS),
    )


def _relax(size: int, ad: Ints, steps: Ints, weights: Floats) -> tuple[Ints, Bools]:
    """Return for each ad the first step with enough comparables, else the last that adds any; and the pairs kept."""
    carries = weights >= CARRIES
    width = len(STEPS) + 1
    counts = np.bincount(ad[carries] * width + steps[carries], minlength=size * width).reshape(size, width)[:, :-1]
    upto = counts.cumsum(axis=1)
    step = np.where(upto[:, -1] >= ENOUGH, (upto >= ENOUGH).argmax(axis=1), (upto >= upto[:, -1:]).argmax(axis=1))
    return step, carries & (steps <= step[ad])


def _carried(size: int, pairs: Pairs, apart: Floats, weights: Floats) -> Floats:
    """Return the price of each comparable adjusted to the car: by a ridge regression over the ad's comparables, with
    the usual slopes as its prior."""
    residual = pairs.log_price + apart @ USUAL_SLOPES
    total = np.maximum(np.bincount(pairs.ad, weights, size), 1e-12)
    ones = np.column_stack([apart, residual])
    means = np.column_stack([np.bincount(pairs.ad, weights * ones[:, i], size) for i in range(4)]) / total[:, None]
    off = ones - means[pairs.ad]
    normal = np.empty((size, 3, 3))
    right = np.empty((size, 3))
    for i in range(3):
        right[:, i] = np.bincount(pairs.ad, weights * off[:, i] * off[:, 3], size)
        for j in range(i, 3):
            normal[:, i, j] = normal[:, j, i] = np.bincount(pairs.ad, weights * off[:, i] * off[:, j], size)
    normal += np.diag(FIRMNESS)
    # apart is car - comparable, so the price falls by the slope: the sign is reversed.
    change = -np.linalg.solve(normal, right[..., None])[..., 0]
    carried: Floats = residual + (apart * change[pairs.ad]).sum(axis=1)
    return carried


def weighted_quantile(size: int, ad: Ints, values: Floats, weights: Floats, share: float) -> Floats:
    """Return the weighted quantile of each ad's values, interpolated linearly; NaN without values."""
    order = np.lexsort((values, ad))
    ad, values, weights = ad[order], values[order], weights[order]
    totals = np.bincount(ad, weights, size)
    starts = np.searchsorted(ad, np.arange(size))
    ends = np.searchsorted(ad, np.arange(size), side="right")
    cumulated = np.cumsum(weights)
    before = np.concatenate([[0.0], cumulated])[starts]
    middle = cumulated - weights / 2 - before[ad]  # the cumulated weight at the middle of each value
    goal = totals * share
    found = np.full(size, np.nan)
    has = ends > starts
    if not has.any():
        return found
    below = np.bincount(ad, middle < goal[ad], size).astype(np.int64)  # how many lie below the goal
    right = np.clip(starts + below, starts, ends - 1)[has]
    left = np.clip(starts + below - 1, starts, ends - 1)[has]
    gap = middle[right] - middle[left]
    part = np.where(gap > 0, (goal[has] - middle[left]) / np.where(gap > 0, gap, 1.0), 0.0)
    found[has] = values[left] + np.clip(part, 0.0, 1.0) * (values[right] - values[left])
    return found


def shown(found: Estimates, size: int, most: int) -> list[tuple[list[int], list[int]]]:
    """Return for each car the ids of the comparables with the most weight, and their prices carried over to it, EUR."""
    starts = np.searchsorted(found.used.ad, np.arange(size)).tolist()
    ends = np.searchsorted(found.used.ad, np.arange(size), side="right").tolist()
    ids = found.used.ids.tolist()
    prices = np.rint(np.exp(found.carried)).astype(np.int64).tolist()
    parts = [slice(start, min(end, start + most)) for start, end in zip(starts, ends, strict=True)]
    return [(ids[part], prices[part]) for part in parts]


USUAL_SPREAD: Final = (0.24, 0.25, 0.27, 0.30, 0.34)  # ln, at each of STEPS
SPREAD_FIRMNESS: Final = 6.0  # comparables at which their own spread counts as much as the usual one


def _summary(size: int, pairs: Pairs, carried: Floats, weights: Floats, step: Ints) -> Estimates:
    count = np.bincount(pairs.ad, minlength=size)
    has = count >= FEWEST
    centre = weighted_quantile(size, pairs.ad, carried, weights, 0.5)
    total = np.maximum(np.bincount(pairs.ad, weights, size), 1e-12)
    effective = total**2 / np.maximum(np.bincount(pairs.ad, weights**2, size), 1e-12)
    spread = 1.4826 * weighted_quantile(size, pairs.ad, np.abs(carried - centre[pairs.ad]), weights, 0.5)
    usual = np.array(USUAL_SPREAD)[step]
    spread = np.sqrt((effective * spread**2 + SPREAD_FIRMNESS * usual**2) / (effective + SPREAD_FIRMNESS))
    reach = Z90 * spread * np.sqrt(1 + 1 / effective.clip(1))
    return Estimates(
        p10=np.where(has, centre - reach, np.nan),
        p50=np.where(has, centre, np.nan),
        p90=np.where(has, centre + reach, np.nan),
        count=np.where(has, count, 0),
        own_model=np.where(has, np.bincount(pairs.ad, pairs.same_model, size), 0).astype(np.int64),
        spread=np.where(has, spread, np.nan),
        effective=np.where(has, effective, 0.0),
        step=np.where(has, step, -1),
        used=pairs.take(has[pairs.ad]),
        carried=carried[has[pairs.ad]],
    )
