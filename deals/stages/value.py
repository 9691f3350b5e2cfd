"""The stage `value` of lots: why a lot is not bought, or what its car is asked for in Bulgaria, undamaged and imported.

A car is asked for as a lot (deals.estimate.model): by the ads of its model, the same fuel first, and by the price model
of lots where that measured better. Where its own name has few ads, its twin's are asked, and the value is wider.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from deals.estimate import comparables, confidence as how_sure, learned, model as price_model, near
from deals.estimate.cars import as_lots, of_rows
from deals.lots import discount, facts, rules
from deals.lots.facts import Lot
from vinops import twins, vehicles
from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg import Connection

    from deals.estimate.cars import Cars, Row
    from deals.estimate.comparables import Pairs
    from deals.estimate.model import Current
    from deals.lots.discount import Discount
    from vinops.config import Settings
    from vinops.twins import Twin

SHOWN: Final = 12  # comparables whose ids are stored, nearest first
P20: Final = 0.8416 / 1.2816  # of the distance from p50 to p10, as the errors are nearly normal there


@dataclass(frozen=True, kw_only=True)
class Market:
    """Cars that are asked for, with their candidates for comparables; `lots` are their lots, in order."""

    lots: Sequence[Lot]
    rows: Sequence[Row]
    cars: Cars
    pairs: Pairs


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The input of valuing lots: all of them, those with a model under its own name, those under a twin's, the model
    of lots and the discount."""

    lots: Sequence[Lot]
    blockers: Mapping[int, Sequence[rules.Blocker]]
    own: Market
    by_twin: Market
    twins: Mapping[int, Twin]
    current: Current
    discount: Discount
    basis: str


@dataclass(frozen=True, kw_only=True)
class Value:
    """A row of lot_values. Prices are whole EUR; None where there is none."""

    lot_id: int
    lot_hash: str
    basis: str
    model: str | None = None
    family: str | None = None
    fuel: str | None = None
    year: int | None = None
    mileage_km: int | None = None
    twin: str | None = None
    p10: int | None = None
    p20: int | None = None
    p50: int | None = None
    p90: int | None = None
    comparables: int = 0
    confidence: float = 0.0
    method: str = "none"
    blockers: Sequence[Mapping[str, str]] = ()
    details: Mapping[str, Any]


def basis(connection: Connection[Any]) -> str:
    """Return on what values are made now: model, discount, rules. Another one makes all of them anew."""
    version = price_model.current(connection, "lot").version
    return f"model {version or 0}, discount {discount.current(connection).share:.4f}, rules {rules.digest()}"


def read(connection: Connection[Any], lot_ids: Sequence[int], settings: Settings) -> Batch:
    """Return the lots, the ads that are near their cars, and the model: a handful of statements for any number."""
    del settings
    with connection.cursor(row_factory=class_row(Lot), binary=True) as cursor:
        lots = cursor.execute(queries("imports")["read_lots"], {"lot_ids": list(lot_ids)}).fetchall()
    blockers = {lot.lot_id: rules.blockers(lot) for lot in lots}
    own: list[tuple[Lot, Row]] = []
    by_twin: list[tuple[Lot, Row]] = []
    named: dict[int, Twin] = {}
    for lot in lots:
        if any(each.name not in rules.SOFT for each in blockers[lot.lot_id]) or not (found := facts.model_of(lot)):
            continue
        twin = twins.twin(found.value, lot.year)
        if twin is not None:
            named[lot.lot_id] = twin
            if twin.model and (other := vehicles.model_named(twin.model)):
                by_twin.append((lot, facts.row_of(lot, other)))
        if twin is None or not twin.is_always:
            own.append((lot, facts.row_of(lot, found)))
    return Batch(
        lots=lots,
        blockers=blockers,
        own=_market(connection, own),
        by_twin=_market(connection, by_twin),
        twins=named,
        current=price_model.current(connection, "lot"),
        discount=discount.current(connection),
        basis=basis(connection),
    )


def _market(connection: Connection[Any], asked: Sequence[tuple[Lot, Row]]) -> Market:
    about = {"models": list({row.model for _, row in asked})}
    powers = {
        (model, fuel, litres): round(power)
        for model, fuel, litres, power in (connection.execute(queries("imports")["powers"], about) if asked else ())
    }
    rows = [
        row._replace(power_hp=powers.get((row.model, row.fuel, row.engine_cc / 1000))) if row.engine_cc else row
        for _, row in asked
    ]
    cars = of_rows(rows)
    pairs = near.find(connection, rows, cars)
    return Market(lots=[lot for lot, _ in asked], rows=rows, cars=cars, pairs=pairs)


def work(batch: Batch) -> list[Value]:
    """Return the value of each lot, or why there is none."""
    own, by_twin = (_estimated(batch, market) for market in (batch.own, batch.by_twin))
    values = []
    for lot in batch.lots:
        blockers = list(batch.blockers[lot.lot_id])
        mine, others = own.get(lot.lot_id), by_twin.get(lot.lot_id)
        twin = batch.twins.get(lot.lot_id)
        if others and (mine is None or mine["comparables"] < learned.WELL_COVERED):
            mine = _wider(others, twin)
        if mine is None and not any(each.name not in rules.SOFT for each in blockers):
            blockers.append(rules.Blocker(name="no market", reason=_why_none(lot, twin)))
        values.append(
            Value(
                lot_id=lot.lot_id,
                lot_hash=lot.lot_hash.hex(),
                basis=batch.basis,
                blockers=[vars_of(each) for each in blockers],
                **(_priced(lot, mine, batch.discount) if mine else {"details": {}}),
            )
        )
    return values


def vars_of(blocker: rules.Blocker) -> dict[str, str]:
    """Return a blocker as it is stored."""
    return {"name": blocker.name, "reason": blocker.reason}


def _estimated(batch: Batch, market: Market) -> dict[int, dict[str, Any]]:
    """Return what is known of each lot that has enough comparables: ln EUR p10, p50 and p90, and how."""
    found = comparables.estimate(market.cars, market.pairs)
    values = np.column_stack([found.p10, found.p50, found.p90])
    is_model = np.zeros(len(market.cars), dtype=bool)
    if batch.current.model is not None and len(market.cars):
        with learned.one_thread():
            predicted = batch.current.model.predict(as_lots(market.cars), found)
        is_model = np.isfinite(market.cars.born) & np.array(batch.current.used_for)[learned.kinds(found)]
        values = np.where(is_model[:, None], predicted, values)
    shown = comparables.shown(found, len(market.cars), SHOWN)
    return {
        lot.lot_id: {
            "row": market.rows[number],
            "values": values[number],
            "comparables": int(found.count[number]),
            "step": comparables.STEPS[found.step[number]],
            "shown": shown[number],
            "method": "blend" if is_model[number] else "comparables",
        }
        for number, lot in enumerate(market.lots)
        if found.count[number] and np.isfinite(values[number]).all()
    }


def _wider(found: dict[str, Any], twin: Twin | None) -> dict[str, Any]:
    """Return a value by twin: as sure as the ads of the twin are, less what the two cars may differ by."""
    low, middle, high = found["values"]
    spread = 1.2816 * float(rules.read()["twin_spread"])
    apart = np.array([-np.hypot(middle - low, spread), 0.0, np.hypot(high - middle, spread)])
    return found | {"values": middle + apart, "twin": twin}


def _why_none(lot: Lot, twin: Twin | None) -> str:
    found = facts.model_of(lot)
    if found is None:
        return f"the model is not in the vocabulary: {lot.make or '?'} {lot.model_detail or lot.model_group or '?'}"
    if twin is not None and twin.is_always and twin.model is None:
        return twin.why
    return f"fewer than {comparables.FEWEST} ads like it: {found.value}, {lot.year}"


def _priced(lot: Lot, found: Mapping[str, Any], less: Discount) -> dict[str, Any]:
    low, middle, high = found["values"] + np.log(1 - less.share)
    careful = middle - P20 * (middle - low)
    row: Row = found["row"]
    twin: Twin | None = found.get("twin")
    ids, carried = found["shown"]
    details = {"step": found["step"], "comparables": ids, "carried": carried, "discount": less.words}
    p10, p20, p50, p90 = (round(float(np.exp(each))) for each in (low, careful, middle, high))
    return {
        "model": facts_model(lot),
        "family": row.family,
        "fuel": row.fuel,
        "year": row.year,
        "mileage_km": row.mileage_km,
        "twin": row.model if twin else None,
        "p10": p10,
        "p20": p20,
        "p50": p50,
        "p90": p90,
        "comparables": found["comparables"],
        "confidence": round(float(how_sure.of(low, high)), 3),
        "method": found["method"],
        "details": details | ({"by_twin": twin.why} if twin else {}),
    }


def facts_model(lot: Lot) -> str | None:
    """Return the model under the name of the auction."""
    found = facts.model_of(lot)
    return found.value if found else None


def write(connection: Connection[Any], results: Sequence[Value]) -> None:
    """Store the values in the caller's transaction: all of them, or none if the process dies before it commits.

    A second time it changes nothing: a value that is the same is not written again.
    """
    if results:
        rows = Jsonb([vars(each) for each in results])
        connection.execute(queries("imports")["save_values"], {"values": rows})
