"""The stage `price`: the value of each ad's car, by comparables and, where it measured better, by the price model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from psycopg.types.json import Jsonb

from deals.estimate import candidates, comparables, confidence as how_sure, learned, model as price_model
from deals.estimate.cars import Row, born, log_prices, of_rows, plausible_km, plausible_power
from deals.estimate.comparables import Pairs
from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from deals.estimate.cars import Cars
    from deals.estimate.comparables import Estimates
    from deals.estimate.model import Current
    from vinops.config import Settings

A_SIDE: Final = 4  # cars of one year with more kilometres, and as many with fewer
USUAL_KM: Final = 180_000  # the mileage at which to look for comparables where the ad gives none
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
    statements = queries("pricing")
    cars = of_rows([Row(*row) for row in connection.execute(statements["read_cars"], {"listing_ids": ids})])
    about = {"listing_ids": ids, "usual_km": USUAL_KM, "a_side": A_SIDE, "count": candidates.NEAREST}
    with connection.transaction():
        connection.execute(statements["walk_indexes"])
        near = connection.execute(statements["near_cars"], about, binary=True).fetchall()
        has_enough = {row[0] for row in near if len(row[1]) >= comparables.ENOUGH * 2}
        wanting = [listing_id for listing_id in ids if listing_id not in has_enough]
        about |= {"listing_ids": wanting, "count": candidates.FAMILY}
        family = connection.execute(statements["near_families"], about, binary=True).fetchall() if wanting else []
    return Batch(
        cars=cars,
        pairs=_pairs(cars, near, family),
        current=price_model.current(connection),
        unknown=tuple(set(ids) - set(cars.ids.tolist())),
    )


def _pairs(cars: Cars, near: Sequence[Sequence[Any]], family: Sequence[Sequence[Any]]) -> Pairs:
    place = {listing_id: number for number, listing_id in enumerate(cars.ids.tolist())}
    rows = [row for row in (*near, *family) if row[0] in place]
    lengths = [len(row[1]) for row in rows]
    columns: list[list[Any]] = [[value for row in rows for value in row[number]] for number in range(1, 10)]
    ids, prices, years, months, mileages, powers, same_fuel, same_gearbox, same_body = columns
    own = sum(len(row[1]) for row in near if row[0] in place)
    found = Pairs(
        ad=np.repeat(np.array([place[row[0]] for row in rows], dtype=np.int64), lengths),
        ids=np.array(ids, dtype=np.int64),
        car=np.array(ids, dtype=np.int64),  # none of them is a duplicate
        log_price=log_prices(prices),
        born=born(years, months),
        km=plausible_km(mileages),
        power=plausible_power(powers),
        same_model=np.arange(len(ids)) < own,
        same_fuel=np.array(same_fuel, dtype=bool),
        same_gearbox=np.array(same_gearbox, dtype=bool),
        same_body=np.array(same_body, dtype=bool),
    )
    return found.take(np.argsort(found.ad, kind="stable"))


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
    shown = _shown(found, len(batch.cars))
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


def _shown(found: Estimates, size: int) -> list[tuple[list[int], list[int]]]:
    """Return the ids of the comparables with the most weight, for each ad, and their prices carried over to it, EUR."""
    starts = np.searchsorted(found.used.ad, np.arange(size)).tolist()
    ends = np.searchsorted(found.used.ad, np.arange(size), side="right").tolist()
    ids = found.used.ids.tolist()
    prices = np.rint(np.exp(found.carried)).astype(np.int64).tolist()
    parts = [slice(start, min(end, start + SHOWN)) for start, end in zip(starts, ends, strict=True)]
    return [(ids[part], prices[part]) for part in parts]


def write(connection: Connection[Any], results: Sequence[Valuation]) -> None:
    """Store the valuations in the caller's transaction: all of them, or none if the process dies before it commits.

    A second time it changes nothing: a valuation that is the same is not written again.
    """
    if results:
        rows = Jsonb([vars(each) for each in results])
        connection.execute(queries("pricing")["save_valuations"], {"valuations": rows})
