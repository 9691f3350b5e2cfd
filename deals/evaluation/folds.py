"""Cross-validation of the estimates on ads with a price, beside a plain gradient boosting and plain comparables.

Ads are split into folds by the car that they show, and each is estimated from the other folds only: comparables,
weights of words, names of models, the width of p10 to p90. This is done for two seeds; figures are means of both,
those of the two simple methods are of the first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from deals.estimate import candidates as market, comparables, confidence as how_sure, learned
from deals.evaluation import baselines, figures, planted
from deals.evaluation.ads import EvaluateError, read_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from deals.estimate.cars import Bools, Cars, Floats, Ints

    Progress = Callable[[int, int], object]

FEWEST_ADS: Final = 200
METHODS: Final = ("ours", "gradient_boosting", "comparables")
SEEDS: Final = 2  # of the folds


@dataclass(frozen=True, kw_only=True)
class Estimated:
    """What is estimated of each ad by the other folds, for one seed: p10, p50 and p90 in ln EUR by each method that was
    asked, the number of comparables and the confidence."""

    found: Mapping[str, Floats]
    count: Ints
    confidence: Floats

    @property
    def covered(self) -> Bools:
        """Return which ads have at least learned.WELL_COVERED comparables."""
        return self.count >= learned.WELL_COVERED


def evaluate_file(
    path: Path, *, folds: int = 5, seed: str = "evaluate", progress: Progress | None = None
) -> dict[str, Any]:
    """Measure on the ads of a CSV file with the columns ads.COLUMNS, and return the figures; see `evaluate`.

    They include `left_out`: how many ads were not used, by the reason. Raises EvaluateError.
    """
    cars, left_out = read_file(path)
    return evaluate(cars, folds=folds, seed=seed, progress=progress) | {"left_out": dict(left_out)}


def evaluate(cars: Cars, *, folds: int = 5, seed: str = "evaluate", progress: Progress | None = None) -> dict[str, Any]:
    """Return the figures of METHODS, means over SEEDS splits into folds that follow from `seed`.

    Those of the simple methods are of the first split, as nothing is decided by them and they take half the time.
    `n` is the number of ads, `covered` how many have enough comparables, and for each method there are the `n`,
    `mdape`, `within20` and `coverage_p10_p90` of each of figures.GROUPS. All are shares, 0.135 is 13.5 %, over the `n`
    ads of the group for which the method has an estimate. `ours` also has the `segments` and `planted`, see there. All
    cars must have a price. `progress` gets the number of folds that are done, and of all.
    """
    if len(cars) < FEWEST_ADS:
        raise EvaluateError(f"{len(cars)} ads with a usable price are too few: {FEWEST_ADS} or more can be measured on")
    if (different := len(np.unique(cars.car))) < FEWEST_ADS:
        of = f"{different} car{'' if different == 1 else 's'}"
        raise EvaluateError(f"{len(cars)} ads are of {of}: {FEWEST_ADS} cars or more can be measured on")
    measured = []
    for number in range(SEEDS):
        told = None if progress is None else _after(progress, number * folds, SEEDS * folds)
        methods = METHODS[:1] if number else METHODS
        estimated = estimate(cars, folds=folds, seed=f"{seed}-{number + 1}", methods=methods, progress=told)
        measured.append(_measured(cars, estimated, seed=number))
    found: dict[str, Any] = figures.mean(measured)
    return {"n": len(cars), "covered": found["ours"]["covered"]["n"], "folds": folds, "seed": seed, **found}


def estimate(
    cars: Cars, *, folds: int, seed: str, methods: Sequence[str] = METHODS, progress: Progress | None = None
) -> Estimated:
    """Estimate each car from the ads in the other folds, by `methods`, of which the first of METHODS is one."""
    parts = learned.fold(cars.car, folds, seed)
    found = {method: np.full((len(cars), 3), np.nan) for method in methods}
    count, confidence = np.zeros(len(cars), dtype=np.int64), np.zeros(len(cars))
    with learned.one_thread():
        for part in range(folds):
            here = parts == part
            known, asked = cars.take(~here), without_prices(cars.take(here))
            pairs = market.find(asked, known)
            near = comparables.estimate(asked, pairs)
            ours = learned.fit(known).model.predict(asked, near)
            found["ours"][here] = ours
            if "gradient_boosting" in found:
                found["gradient_boosting"][here] = baselines.plain_boosting(known, asked)
            if "comparables" in found:
                found["comparables"][here] = baselines.plain_comparables(asked, pairs)
            count[here] = near.count
            confidence[here] = how_sure.of(ours[:, 0], ours[:, 2])
            if progress:
                progress(part + 1, folds)
    return Estimated(found=found, count=count, confidence=confidence)


def without_prices(cars: Cars) -> Cars:
    """Return the cars without their prices, so that no estimate can use them."""
    return replace(cars, log_price=np.full(len(cars), np.nan))


def _measured(cars: Cars, estimated: Estimated, *, seed: int) -> dict[str, Any]:
    groups = figures.groups(estimated.found["ours"], estimated.covered)
    found: dict[str, Any] = {
        method: {name: figures.of(values, cars.log_price, members) for name, members in groups.items()}
        for method, values in estimated.found.items()
    }
    found["ours"]["segments"] = figures.segments(cars, estimated.found["ours"])
    found["ours"]["planted"] = planted.measure(
        cars, estimated.found["ours"], estimated.count, estimated.confidence, seed=seed
    )
    return found


def _after(progress: Progress, done: int, total: int) -> Progress:
    return lambda part, _: progress(done + part, total)
