"""The learned estimate: an additive model, and gradient boosting for its errors, which also sees the comparables.

The width of p10 to p90 is learned from held-out errors, and calibrated until it contains four of five prices, also
within groups of ads.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from threadpoolctl import threadpool_limits

from deals.estimate import additive as linear, calibrate, candidates as market, comparables

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sklearn.ensemble import HistGradientBoostingRegressor

    from deals.estimate.additive import Linear
    from deals.estimate.calibrate import Calibration
    from deals.estimate.cars import Bools, Cars, Floats, Ints, Texts
    from deals.estimate.comparables import Estimates

CATEGORIES: Final = ("make", "family", "model", "fuel", "gearbox", "body", "colour")
MOST_NAMES: Final = 60  # of a category: the additive model knows all of them
INNER_FOLDS: Final = 5
CHUNK: Final = 10_000  # ads whose comparables are in memory at once
WELL_COVERED: Final = 5  # comparables from which on an ad counts as covered
WIDTHS: Final = (None, 0.8)  # the mean of the logarithm of errors, and its quantile: both together predict best
LEAST_OFF: Final = 0.02  # ln: smaller errors are alike
OUTLIER: Final = 2.5  # standard deviations, as far as the median error tells
USUAL_YEAR: Final = 2026.5
KINDS: Final = ("few", "many")  # comparables
LESS_OFF: Final = 0.96  # the error of a model of all ads beside that of four fifths of them: 13.4 % and 14.0 %


def one_thread() -> threadpool_limits:
    """Return a context in which scikit-learn has one thread: its threads wait for each other, and on two busy cores a
    model took 31 s with them instead of 8 s."""
    import sklearn.ensemble  # noqa: F401 # a limit reaches only the libraries that are loaded

    return threadpool_limits(limits=1)


@dataclass(frozen=True, kw_only=True)
class Learned:
    """A fitted model. `boosting` and `widths` are the models of the inner folds, each of which has not seen one fold;
    their mean is used. `widths` are of both WIDTHS, one after the other."""

    linear: Linear
    names: Mapping[str, Sequence[str]]
    boosting: Sequence[HistGradientBoostingRegressor]
    widths: Sequence[HistGradientBoostingRegressor]
    calibration: Calibration

    def predict(self, cars: Cars, estimates: Estimates) -> Floats:
        """Return p10, p50 and p90 in ln EUR, a row a car. `estimates` must be those of these cars by others."""
        additive = self.linear.predict(cars)
        table = _table(cars, additive, estimates, self.names)
        middle = additive + np.mean([each.predict(table) for each in self.boosting], axis=0)
        width = np.exp(np.mean([each.predict(table) for each in self.widths], axis=0))
        members = _groups(cars, middle, table, estimates, self.linear.reference)
        return _quantiles(middle, self.calibration.reach(width, members))


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
    the boosting and the width of each fifth are fitted on the others."""
    prices = cars.log_price
    parts = fold(cars.car, INNER_FOLDS, "inner")
    estimates = by_comparables(cars, cars)  # each by the others
    names = {category: frequent(getattr(cars, category)) for category in CATEGORIES}

    design = linear.design(cars)
    additive = np.empty(len(cars))
    for part in range(INNER_FOLDS):
        here = parts == part
        mean, coefficients = linear.solve(design, prices, parts != part)
        additive[here] = mean + design.rows[here] @ coefficients
    whole = design.linear(*linear.solve(design, prices, np.ones(len(cars), dtype=bool)))
    del design  # with a transposed copy, half of the memory of a training
    table = _table(cars, additive, estimates, names)

    boosting, added = _held_out(_boost, table, prices - additive, parts)
    middle = additive + added
    off = prices - middle
    widths, logs = [], np.zeros(len(cars))
    for share in WIDTHS:
        models, found = _held_out(partial(_width, share=share), table, np.log(np.abs(off) + LEAST_OFF), parts)
        widths += models
        logs += found / len(WIDTHS)
    members = _groups(cars, middle, table, estimates, whole.reference)
    calibration = calibrate.fit(off * LESS_OFF, np.exp(logs), members)
    return Fitted(
        model=Learned(
            linear=whole,
            names=names,
            boosting=boosting,
            widths=widths,
            calibration=calibration,
        ),
        unseen=_quantiles(middle, calibration.reach(np.exp(logs), members) / LESS_OFF),
        estimates=estimates,
    )


def by_comparables(cars: Cars, among: Cars) -> Estimates:
    """Return the estimates of cars by comparables among these, some at a time, without the pairs that they used: all
    pairs of 129,000 ads would take 2 GB."""
    found = []
    for start in range(0, len(cars), CHUNK):
        some = cars.take(np.arange(start, min(start + CHUNK, len(cars))))
        each = comparables.estimate(some, market.find(some, among))
        found.append(replace(each, used=each.used.take(np.zeros(0, dtype=np.int64))))
    names = [field.name for field in fields(comparables.Estimates) if field.name != "used"]
    columns: dict[str, Any] = {name: np.concatenate([getattr(each, name) for each in found]) for name in names}
    return replace(found[0], **columns)


def _held_out(
    fit_to: Callable[[Floats, Floats], HistGradientBoostingRegressor], table: Floats, goal: Floats, parts: Ints
) -> tuple[list[HistGradientBoostingRegressor], Floats]:
    """Return a model without each fold, and what it says of the fold."""
    models, found = [], np.empty(len(goal))
    for part in range(INNER_FOLDS):
        here, there = parts == part, parts != part
        models.append(fit_to(table[there], goal[there]))
        found[here] = models[-1].predict(table[here])
    return models, found


def _quantiles(middle: Floats, reach: Floats) -> Floats:
    return np.column_stack([middle - reach[:, 0], middle, middle + reach[:, 1]])


def _groups(cars: Cars, middle: Floats, table: Floats, estimates: Estimates, newest: float) -> Bools:
    covered = estimates.count >= WELL_COVERED
    return calibrate.groups(cars, middle, table[:, len(CATEGORIES)].astype(np.int64), covered, newest)


def _boost(table: Floats, left: Floats) -> HistGradientBoostingRegressor:
    """Return a model of what the additive model leaves over (ln EUR).

    Prices that are far off are left out: squared errors of the others find the most frequent price, as a loss that
    ignores outliers does, in a third of the time.
    """
    near = np.abs(left) <= OUTLIER * 1.4826 * np.median(np.abs(left))
    regressor = _regressor(max_iter=120, max_leaf_nodes=8, min_samples_leaf=15, max_features=0.4)
    return regressor.fit(with_a_value(table[near]), left[near])


def _width(table: Floats, log_off: Floats, *, share: float | None) -> HistGradientBoostingRegressor:
    """Return a model of the error of an estimate (ln of ln EUR): of its quantile, or of its mean without a share."""
    loss = {} if share is None else {"loss": "quantile", "quantile": share}
    return _regressor(max_iter=80, max_leaf_nodes=8, min_samples_leaf=40, **loss).fit(with_a_value(table), log_off)


def with_a_value(table: Floats) -> Floats:
    """Return the table with zeros in columns that have no value at all, as the power where no ad gives it:
    scikit-learn fails on them."""
    return np.where(np.isnan(table).all(axis=0), 0.0, table)


def _regressor(**options: Any) -> HistGradientBoostingRegressor:
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(
        learning_rate=0.05,
        l2_regularization=1.0,
        max_bins=MOST_NAMES + 4,  # 255 take twice as long and find no more
        categorical_features=list(range(len(CATEGORIES))),
        early_stopping=False,
        random_state=0,
        **options,
    )


def frequent(names: Texts, most_names: int = MOST_NAMES) -> list[str]:
    """Return the most frequent names, sorted."""
    values, counts = np.unique(names.astype(str), return_counts=True)
    most = np.argsort(-counts, kind="stable")[:most_names]
    return sorted(values[most].tolist())


def _table(cars: Cars, additive: Floats, estimates: Estimates, names: Mapping[str, Sequence[str]]) -> Floats:
    """Return the input of the boosting; the column after CATEGORIES is the number of words of the title."""
    words = np.array([len(linear.words(title)) for title in cars.title], dtype=np.float64)
    wear = np.log((cars.km + 15_000) / np.maximum((USUAL_YEAR - cars.born) * 15_000, 1_000))
    facts = [words, cars.born, cars.km, cars.power, cars.engine, wear, additive]
    found = [estimates.p50, estimates.p50 - additive, estimates.spread, estimates.count, estimates.step]
    return np.column_stack([codes(cars, names), *facts, *found, estimates.effective, estimates.own_model])


def codes(cars: Cars, names: Mapping[str, Sequence[str]]) -> Floats:
    """Return the categories as numbers, a column each; NaN for a name that is not in the list."""
    columns = []
    for category in CATEGORIES:
        place = {name: number for number, name in enumerate(names[category])}
        columns.append([place.get(name, np.nan) for name in getattr(cars, category)])
    return np.array(columns, dtype=np.float64).T
