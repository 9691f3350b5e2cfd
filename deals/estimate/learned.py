"""The learned estimate: an additive model, and gradient boosting for its errors, which also sees the comparables.

The spread of its errors is learned too, from held-out prices, and scaled until p10 to p90 contains four of five of them
(split conformal prediction), separately for cars with comparables and without.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from threadpoolctl import threadpool_limits

from deals.estimate import additive as linear, candidates as market, comparables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sklearn.ensemble import HistGradientBoostingRegressor

    from deals.estimate.additive import Linear
    from deals.estimate.cars import Cars, Floats, Ints, Texts
    from deals.estimate.comparables import Estimates

CATEGORIES: Final = ("make", "family", "model", "fuel", "gearbox", "body", "colour")
MOST_NAMES: Final = 200  # of a category; scikit-learn allows 255
INNER_FOLDS: Final = 5
WELL_COVERED: Final = 5  # comparables from which on an ad counts as covered
SHARES: Final = (0.1, 0.9)
KINDS: Final = ("few", "many")  # comparables
LESS_OFF: Final = 0.97  # the error of a model of all ads beside that of four fifths of them: 13.4 % and 14.0 %


def one_thread() -> threadpool_limits:
    """Return a context in which scikit-learn has one thread: its threads wait for each other, and on two busy cores a
    model took 31 s with them instead of 8 s."""
    import sklearn.ensemble  # noqa: F401 # a limit reaches only the libraries that are loaded

    return threadpool_limits(limits=1)


@dataclass(frozen=True, kw_only=True)
class Learned:
    """A fitted model. `bounds` has for each of KINDS the 10th and 90th percentile of errors, in units of `spread`."""

    linear: Linear
    names: Mapping[str, Sequence[str]]
    boosting: HistGradientBoostingRegressor
    spread: HistGradientBoostingRegressor
    bounds: Floats

    def predict(self, cars: Cars, estimates: Estimates) -> Floats:
        """Return p10, p50 and p90 in ln EUR, a row a car. `estimates` must be those of these cars by others."""
        additive = self.linear.predict(cars)
        table = _table(cars, additive, estimates, self.names)
        middle = additive + self.boosting.predict(table)
        reach = np.exp(self.spread.predict(table))
        low, high = (self.bounds[kinds(estimates)] * reach[:, None]).T
        return np.column_stack([np.minimum(middle + low, middle), middle, np.maximum(middle + high, middle)])


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A model, the estimates of each car by models that had not seen its price (p10, p50, p90), and those by
    comparables."""

    model: Learned
    unseen: Floats
    estimates: Estimates


def kinds(estimates: Estimates) -> Ints:
    """Return the index of each ad's kind in KINDS."""
    return (estimates.count >= WELL_COVERED).astype(np.int64)


def fold(car: Ints, folds: int, seed: str) -> Ints:
    """Return the fold of each car: by its id only, so that ads of one car are together in any order of rows."""
    digests = (hashlib.blake2b(f"{seed}/{key}".encode(), digest_size=8).digest() for key in car.tolist())
    return np.fromiter((int.from_bytes(digest, "big") % folds for digest in digests), np.int64, len(car))


def fit(cars: Cars) -> Fitted:
    """Return a model of these ads, all of which have a price. It is measured by held-out prices: the additive model,
    the boosting and the spread of each fifth are fitted on the others."""
    prices = cars.log_price
    parts = fold(cars.car, INNER_FOLDS, "inner")
    estimates = comparables.estimate(cars, market.find(cars, cars))  # each by the others
    names = {category: frequent(getattr(cars, category)) for category in CATEGORIES}

    additive = np.empty(len(cars))
    for part in range(INNER_FOLDS):
        here, there = parts == part, parts != part
        additive[here] = linear.fit(cars.take(there), prices[there]).predict(cars.take(here))
    table = _table(cars, additive, estimates, names)

    middle = np.empty(len(cars))
    for part in range(INNER_FOLDS):
        here, there = parts == part, parts != part
        middle[here] = additive[here] + _boost(table[there], (prices - additive)[there]).predict(table[here])
    off = prices - middle

    reach = np.empty(len(cars))
    for part in range(INNER_FOLDS):
        here, there = parts == part, parts != part
        reach[here] = np.exp(_reach(table[there], off[there]).predict(table[here]))
    kind = kinds(estimates)
    bounds = np.array([_bounds((off / reach)[kind == place], off / reach) for place in range(len(KINDS))])

    unseen = middle[:, None] + np.column_stack([bounds[kind, 0] * reach, np.zeros(len(cars)), bounds[kind, 1] * reach])
    model = Learned(
        linear=linear.fit(cars, prices),
        names=names,
        boosting=_boost(table, prices - additive),
        spread=_reach(table, off),
        bounds=bounds,
    )
    return Fitted(model=model, unseen=unseen, estimates=estimates)


def _boost(table: Floats, left: Floats) -> HistGradientBoostingRegressor:
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(
        loss="absolute_error",  # prices have outliers, which squared errors follow
        max_iter=120,
        learning_rate=0.05,
        max_leaf_nodes=15,
        min_samples_leaf=15,
        max_features=0.4,
        l2_regularization=1.0,
        categorical_features=list(range(len(CATEGORIES))),
        early_stopping=False,
        random_state=0,
    ).fit(table, left)


def _reach(table: Floats, off: Floats) -> HistGradientBoostingRegressor:
    """Return a model of the usual error of an estimate, in ln of ln EUR."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(
        max_iter=80,
        learning_rate=0.05,
        max_leaf_nodes=8,
        min_samples_leaf=40,
        l2_regularization=1.0,
        categorical_features=list(range(len(CATEGORIES))),
        early_stopping=False,
        random_state=0,
    ).fit(table, np.log(np.abs(off) + 0.02))


def _bounds(off: Floats, all_off: Floats) -> Floats:
    """Return the percentiles of the errors of a kind, or of all errors if there are too few."""
    return LESS_OFF * np.quantile(off if len(off) >= 100 else all_off, SHARES)


def frequent(names: Texts) -> list[str]:
    """Return the most frequent names, sorted."""
    values, counts = np.unique(names.astype(str), return_counts=True)
    most = np.argsort(-counts, kind="stable")[:MOST_NAMES]
    return sorted(values[most].tolist())


def _table(cars: Cars, additive: Floats, estimates: Estimates, names: Mapping[str, Sequence[str]]) -> Floats:
    """Return the input of the boosting."""
    facts = [cars.born, cars.km, cars.power, cars.engine, additive]
    found = [estimates.p50, estimates.p50 - additive, estimates.spread, estimates.count, estimates.step]
    return np.column_stack([codes(cars, names), *facts, *found, estimates.own_model])


def codes(cars: Cars, names: Mapping[str, Sequence[str]]) -> Floats:
    """Return the categories as numbers, a column each; NaN for a name that is not in the list."""
    columns = []
    for category in CATEGORIES:
        place = {name: number for number, name in enumerate(names[category])}
        columns.append([place.get(name, np.nan) for name in getattr(cars, category)])
    return np.array(columns, dtype=np.float64).T
