"""Cross-validation of the estimates on ads with a price, beside a plain gradient boosting and plain comparables.

Ads are split into folds by the car that they show, and each is estimated from the other folds only: comparables,
weights of words, names of models, the width of p10 to p90. `covered` are the ads with at least five comparables there,
counted as in valuations.comparables; `all` are all ads with a usable price.
"""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from deals.estimate import candidates as market, comparables, learned
from deals.estimate.cars import Row, of_rows
from deals.stages import normalize
from vinops.text import grid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from deals.estimate.cars import Bools, Cars, Floats

    Progress = Callable[[int, int], object]

COLUMNS: Final = (
    "listing_id", "title", "make", "model", "year", "month", "mileage_km", "fuel", "gearbox", "body", "power_hp",
    "color", "price_bgn", "price_eur", "vat",
)  # fmt: skip
FEWEST_ADS: Final = 200
FIRST_YEAR, LAST_YEAR = 1950, 2100
BGN: Final = Decimal("1.95583")
METHODS: Final = ("ours", "gradient_boosting", "comparables")
GROUPS: Final = ("all", "covered")
TITLES: Final = ("", "ads", "median off", "within 20 %", "in p10-p90")
VATS: Final = {"incl": "included", "excl": "excluded"}


class EvaluateError(Exception):
    """A file cannot be used for the measurement. The message says what is wrong with it."""


def evaluate_file(
    path: Path, *, folds: int = 5, seed: str = "evaluate", progress: Progress | None = None
) -> dict[str, Any]:
    """Measure on the ads of a CSV file with the columns COLUMNS, and return the figures; see `evaluate`.

    They include `left_out`: how many ads were not used, by the reason. Raises EvaluateError.
    """
    cars, left_out = read_file(path)
    return evaluate(cars, folds=folds, seed=seed, progress=progress) | {"left_out": dict(left_out)}


def evaluate(cars: Cars, *, folds: int = 5, seed: str = "evaluate", progress: Progress | None = None) -> dict[str, Any]:
    """Return `n`, the number of `covered` ads, and for each of METHODS and GROUPS mdape, within20 and coverage_p10_p90.

    All are shares: 0.135 is 13.5 %, over the `n` ads of the group for which the method has an estimate. All cars must
    have a price. `progress` gets the number of folds that are done, and of all.
    """
    if len(cars) < FEWEST_ADS:
        raise EvaluateError(f"{len(cars)} ads with a usable price are too few: {FEWEST_ADS} or more can be measured on")
    parts = learned.fold(cars.car, folds, seed)
    found = {method: np.full((len(cars), 3), np.nan) for method in METHODS}
    covered = np.zeros(len(cars), dtype=bool)
    with learned.one_thread():
        for part in range(folds):
            here = parts == part
            known, asked = cars.take(~here), _without_prices(cars.take(here))
            pairs = market.find(asked, known)
            estimates = comparables.estimate(asked, pairs)
            covered[here] = estimates.count >= learned.WELL_COVERED
            found["ours"][here] = learned.fit(known).model.predict(asked, estimates)
            found["gradient_boosting"][here] = _plain_boosting(known, asked)
            found["comparables"][here] = _plain_comparables(asked, pairs)
            if progress:
                progress(part + 1, folds)
    figures = {method: _figures(found[method], cars.log_price, covered) for method in METHODS}
    return {"n": len(cars), "covered": int(covered.sum()), "folds": folds, **figures}


def _without_prices(cars: Cars) -> Cars:
    """Return the cars without their prices, so that no estimate can use them."""
    return replace(cars, log_price=np.full(len(cars), np.nan))


def _figures(found: Floats, log_price: Floats, covered: Bools) -> dict[str, dict[str, float | int]]:
    figures: dict[str, dict[str, float | int]] = {}
    for group, members in zip(GROUPS, (np.ones(len(covered), dtype=bool), covered), strict=True):
        has = members & np.isfinite(found[:, 1])
        off = np.abs(np.exp(found[has, 1] - log_price[has]) - 1)
        inside = (found[has, 0] <= log_price[has]) & (log_price[has] <= found[has, 2])
        figures[group] = {
            "n": int(has.sum()),
            "mdape": round(float(np.median(off)), 4) if has.any() else float("nan"),
            "within20": round(float(np.mean(off <= 0.2)), 4) if has.any() else float("nan"),
            "coverage_p10_p90": round(float(np.mean(inside)), 4) if has.any() else float("nan"),
        }
    return figures


def _plain_boosting(known: Cars, asked: Cars) -> Floats:
    """Return quantiles by gradient boosting with default settings, of ln EUR by the facts of an ad."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    names = {category: learned.frequent(getattr(known, category)) for category in learned.CATEGORIES}
    table, rows = (
        np.column_stack([learned.codes(cars, names), cars.born, cars.km, cars.power]) for cars in (known, asked)
    )
    found = []
    for share in (0.1, 0.5, 0.9):
        boosting = HistGradientBoostingRegressor(
            loss="quantile",
            quantile=share,
            max_iter=200,
            categorical_features=list(range(len(learned.CATEGORIES))),
            random_state=0,
        )
        found.append(boosting.fit(table, known.log_price).predict(rows))
    return np.sort(np.column_stack(found), axis=1)


def _plain_comparables(cars: Cars, pairs: comparables.Pairs) -> Floats:
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


def read_file(path: Path) -> tuple[Cars, Counter[str]]:
    """Return the ads of a file that have a usable price, and how many were left out, by the reason.

    Raises EvaluateError if the file or a column is missing, or if it has no ads.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames is None:
                raise EvaluateError(f"{path} is empty: its first line names the columns {', '.join(COLUMNS)}")
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise EvaluateError(f"{path} lacks the columns {', '.join(missing)}")
            lines = list(reader)
    except (OSError, UnicodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise EvaluateError(f"{path} cannot be read as CSV in UTF-8: {reason}") from None
    if not lines:
        raise EvaluateError(f"{path} holds no ad")
    left_out: Counter[str] = Counter()
    rows: list[Row] = []
    first: dict[tuple[Any, ...], int] = {}
    for number, line in enumerate(lines, 1):
        row = _row(number, line)
        if isinstance(row, str):
            left_out[row] += 1
            continue
        same = (row.model, row.year, row.month, row.mileage_km, row.power_hp, row.colour)
        rows.append(row._replace(car=first.setdefault(same, row.listing_id)))
    return of_rows(rows), left_out


def _row(number: int, line: Mapping[str, str | None]) -> Row | str:
    """Return an ad of a file, normalized, or why it is left out."""
    ad = normalize.Ad(
        listing_id=number,
        title=line["title"] or "",
        make_text=line["make"] or None,
        model_text=line["model"] or None,
        price_eur=_price(line),
        vat=VATS.get(line["vat"] or "", line["vat"] or None),
        year=_whole(line["year"]),
        month=_whole(line["month"]),
        mileage_km=_whole(line["mileage_km"]),
        fuel=line["fuel"] or None,
        gearbox=line["gearbox"] or None,
        body=line["body"] or None,
        power_hp=_whole(line["power_hp"]),
        colour=line["color"] or None,
    )
    found = normalize.normalized(ad)
    if ad.price_eur is None:
        return "no price"
    if found.price_problem or found.price_eur is None:
        return found.price_problem or "no price"
    if not (ad.make_text and ad.model_text) or not FIRST_YEAR <= (ad.year or 0) <= LAST_YEAR:
        return "impossible"
    if found.risk == "high":
        return "not a whole car"
    make = found.make or ad.make_text
    model = found.model or f"{make} {ad.model_text}"
    return Row(
        listing_id=int(line["listing_id"] or 0) if (line["listing_id"] or "").isdigit() else -number,
        car=0,
        price_eur=float(found.price_eur),
        year=found.year,
        month=found.month,
        mileage_km=found.mileage_km,
        power_hp=found.power_hp,
        engine_cc=found.engine_cc,
        make=make,
        model=model,
        family=found.family or model,
        fuel=found.fuel or ad.fuel,
        gearbox=found.gearbox or ad.gearbox,
        body=found.body or ad.body,
        colour=found.colour or ad.colour,
        title=ad.title,
    )


def _price(line: Mapping[str, str | None]) -> Decimal | None:
    for name, rate in (("price_eur", Decimal(1)), ("price_bgn", BGN)):
        try:
            value = Decimal(line[name] or "")
        except InvalidOperation:
            continue
        if value.is_finite() and value > 0:
            return round(value / rate, 2)
    return None


def _whole(text: str | None) -> int | None:
    """Return a number without its fraction: pandas writes a column with gaps as «2018.0»."""
    try:
        return int(float(text or ""))
    except (ValueError, OverflowError):
        return None


def report(figures: Mapping[str, Any], width: int | None = None) -> list[str]:
    """Return the figures as lines of a table, in at most `width` columns if one is given."""
    lines = [f"{figures['n']:,} ads in {figures['folds']} folds, {figures['covered']:,} of them covered"]
    if left_out := figures.get("left_out"):
        lines.append("left out: " + ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items())))
    rows = []
    for group in GROUPS:
        for method in METHODS:
            one = figures[method][group]
            shares = (f"{one[name]:.1%}" for name in ("mdape", "within20", "coverage_p10_p90"))
            rows.append((f"{method.replace('_', ' ')}, {group}", f"{one['n']:,}", *shares))
    right = [False, *[True] * (len(TITLES) - 1)]
    folded = [part for line in lines for part in grid.fold(line, width)]
    return [*folded, "", *grid.lines(TITLES, rows, width=width, right=right)]
