"""Two simple methods, measured beside the estimates: gradient boosting with default settings, weighted comparables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deals.estimate import comparables, learned

if TYPE_CHECKING:
    from deals.estimate.cars import Cars, Floats


def plain_boosting(known: Cars, asked: Cars) -> Floats:
    """Return quantiles by gradient boosting with default settings, of ln EUR by the facts of an ad."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    names = {category: learned.frequent(getattr(known, category), 200) for category in learned.CATEGORIES}
    table, rows = (
        np.column_stack([learned.codes(cars, names), cars.born, cars.km, cars.power]) for cars in (known, asked)
    )
    found = []
    for share in (0.1, 0.5, 0.9):
        boosting = HistGradientBoostingRegressor(
            loss="quantile",
            quantile=share,
            categorical_features=list(range(len(learned.CATEGORIES))),
            random_state=0,
        )
        found.append(boosting.fit(learned.with_a_value(table), known.log_price).predict(rows))
    return np.sort(np.column_stack(found), axis=1)


def plain_comparables(cars: Cars, pairs: comparables.Pairs) -> Floats:
    """Return quantiles of the prices of cars of the same model, weighted by similarity in year and mileage."""
    pairs = comparables.others(cars, pairs)
    pairs = pairs.take(pairs.same_model)
    years = np.abs(cars.born[pairs.ad] - pairs.born)
    km = np.abs(cars.km[pairs.ad] - pairs.km)
    weights = np.exp(-years / 2 - np.nan_to_num(km, nan=50_000.0) / 100_000)
    enough = np.bincount(pairs.ad, minlength=len(cars)) >= learned.WELL_COVERED
    found = np.column_stack(
        [
            comparables.weighted_quantile(len(cars), pairs.ad, pairs.log_price, weights, share)
            for share in (0.1, 0.5, 0.9)
        ]
    )
    found[~enough] = np.nan
    return found
