"""The stage `price`: the value of each ad's car, by comparables and, where it measured better, by the price model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from psycopg.types.json import Jsonb

from deals.estimate import comparables, confidence as how_sure, learned, model as price_model, near
from deals.estimate.cars import Row, of_rows
from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from deals.estimate.cars import Cars
    from deals.estimate.comparables import Estimates, Pairs
    from deals.estimate.model import Current
    from vinops.config import Settings

SHOWN: Final = 12  # comparables whose ids are stored, nearest first


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The input for pricing some ads: the ads, candidates for comparables, the model, ids without a normalized ad."""

    cars: Cars
    pairs: Pairs
    current: Current
    unknown: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Valuation:
    """A row of valuations. Prices are whole EUR; None where there is no estimate."""

    listing_id: int
    p10: int | None = None
    p50: int | None = None
    p90: int | None = None
    comparables: int = 0
    confidence: float = 0.0
    method: str = "none"
    model_version: int | None = None
    details: dict[str, Any]


def read(connection: Connection[Any], listing_ids: Sequence[int], settings: Settings) -> Batch:
    """Return the ads, the cars that are near them and the current model: a handful of queries for any number of ads."""
    del settings
    ids = sorted(listing_ids)
    rows = [Row(*row) for row in connection.execute(queries("pricing")["read_cars"], {"listing_ids": ids})]
    cars = of_rows(rows)
    return Batch(
        cars=cars,
        pairs=near.find(connection, rows, cars),
        current=price_model.current(connection),
        unknown=tuple(set(ids) - set(cars.ids.tolist())),
    )


def work(batch: Batch) -> list[Valuation]:
    """Return the value of each ad. An ad that is no longer normalized has no value."""
    found = comparables.estimate(batch.cars, batch.pairs)
    values = np.column_stack([found.p10, found.p50, found.p90])
    by_model = np.full(len(batch.cars), np.nan)
    is_model = np.zeros(len(batch.cars), dtype=bool)
    if batch.current.model is not None and len(batch.cars):
        has_facts = np.isfinite(batch.cars.born) & (batch.cars.model != "").astype(bool)
        with learned.one_thread():
            predicted = batch.current.model.predict(batch.cars, found)
        by_model = predicted[:, 1]
        is_model = has_facts & np.array(batch.current.used_for)[learned.kinds(found)]
        values = np.where(is_model[:, None], predicted, values)
    rounded = np.rint(np.exp(values))
    confidence = how_sure.of(values[:, 0], values[:, 2])
    shown = comparables.shown(found, len(batch.cars), SHOWN)
    unknown = [_no_estimate(listing_id, "it is not normalized") for listing_id in batch.unknown]
    return unknown + [
        _valuation(batch, found, rounded[number], float(confidence[number]), bool(is_model[number]), number,
                   float(by_model[number]), shown[number])
        for number in range(len(batch.cars))
    ]  # fmt: skip


def _valuation(
    batch: Batch,
    found: Estimates,
    values: Any,
    confidence: float,
    is_model: bool,
    number: int,
    by_model: float,
    shown: tuple[list[int], list[int]],
) -> Valuation:
    listing_id = int(batch.cars.ids[number])
    count = int(found.count[number])
    if not np.isfinite(values[1]):
        return _no_estimate(listing_id, "fewer than three cars like it, and no model that is used")
    details: dict[str, Any] = {"p50": {}}
    if count:
        details["step"] = comparables.STEPS[found.step[number]]
        details["comparables"], details["carried"] = shown
        details["p50"]["comparables"] = round(float(np.exp(found.p50[number])))
    if np.isfinite(by_model):
        details["p50"]["model"] = round(float(np.exp(by_model)))
    if not is_model:
        details["model"] = batch.current.reason
    low, middle, high = (int(value) for value in values)
    return Valuation(
        listing_id=listing_id,
        p10=min(low, middle),
        p50=middle,
        p90=max(high, middle),
        comparables=count,
        confidence=round(confidence, 3),
        method=("blend" if count else "model") if is_model else "comparables",
        model_version=batch.current.version if is_model else None,
        details=details,
    )


def _no_estimate(listing_id: int, reason: str) -> Valuation:
    return Valuation(listing_id=listing_id, details={"reason": reason})


def write(connection: Connection[Any], results: Sequence[Valuation]) -> None:
    """Store the valuations in the caller's transaction: all of them, or none if the process dies before it commits.

    A second time it changes nothing: a valuation that is the same is not written again.
    """
    if results:
        rows = Jsonb([vars(each) for each in results])
        connection.execute(queries("pricing")["save_valuations"], {"valuations": rows})
