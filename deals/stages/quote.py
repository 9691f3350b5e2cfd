"""The stage `quote` of lots: what a lot with a value costs landed, the most one may bid, and how it ranks.

A bid before the sale is no price. Only a buy-now, and a floor that was learned from how bids grow before a sale, are
prices to count with; all other lots are ranked by the most one may bid.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from itertools import repeat
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

import numpy as np
from psycopg.rows import args_row

from deals.landed import bulk, quote as itemised
from deals.landed.lines import TariffError
from deals.landed.lot import Lot as Costed
from deals.landed.money import NOTHING
from deals.lots import facts, profit, rules, terms
from vinops import vehicles
from vinops.db.arrays import array_literal
from vinops.db.database import queries
from vinops.redaction import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg import Connection

    from deals.estimate.cars import Ints
    from deals.landed.bulk import Bools, Costs
    from deals.landed.lot import Rates
    from deals.lots.terms import Terms
    from vinops.config import Settings

log = logging.getLogger("deals")

NO_RATE: Final = "exchange rate: none was read yet"


class Valued(NamedTuple):
    """A lot with its value, as sql/queries/lots.sql reads it; p50 is None without a value."""

    lot_id: int
    is_active: bool
    vin: str | None
    year: int | None
    fuel: str | None
    body_style: str | None
    damage: str | None
    title_state: str | None
    title_group: str | None
    yard_name: str | None
    state: str | None
    currency: str | None
    sale_at: datetime | None
    high_bid: Decimal | None
    buy_now_price: Decimal | None
    repair_cost: Decimal | None
    p10: int | None
    p20: int | None
    p50: int | None
    p90: int | None
    is_blocked: bool
    valued_at: str


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The input of quoting: lots with their values, the terms, the floors by the hours to a sale, and the time. `typed`
    are bids that a person counts with, by lot."""

    lot_ids: Sequence[int]
    lots: Sequence[Valued]
    terms: Terms
    floors: Sequence[tuple[int, float]]
    now: datetime
    typed: Mapping[int, int] = field(default_factory=dict)


class Quoted(NamedTuple):
    """A row of lot_quotes; `is_there` is False for a lot without a value, which has none."""

    lot_id: int
    is_there: bool = True
    basis: str = ""
    valued_at: str = ""
    is_complete: bool = False
    missing: Sequence[str] = ()
    most_bid_usd: int | None = None
    bid_usd: int | None = None
    bid_kind: str | None = None
    landed_eur: str | None = None
    profit_eur: int | None = None
    profit_low: int | None = None
    profit_high: int | None = None
    loss_chance: float | None = None
    is_ranked: bool = False


SEPARATOR: Final = "\x1f"
"""Between what is missing of a lot: an array of arrays of different lengths is none."""


def read(connection: Connection[Any], lot_ids: Sequence[int], settings: Settings) -> Batch | None:
    """Return the lots with their values, and by what they are quoted: three statements for any number of lots.

    With a tariff or a profile that cannot be read nothing is quoted, and what is stored stays; once it is corrected,
    the sweep finds that these quotes have another basis, or none.
    """
    try:
        by = terms.current(connection, settings)
    except TariffError as error:
        log.error("lots are not quoted: %s", one_line(str(error)))
        return None
    return read_by(connection, lot_ids, by)


def read_by(connection: Connection[Any], lot_ids: Sequence[int], by: Terms) -> Batch:
    """Return the same, to be quoted by other terms."""
    statements = queries("imports")
    with connection.cursor(row_factory=args_row(Valued), binary=True) as cursor:
        lots = cursor.execute(statements["read_valued"], {"lot_ids": list(lot_ids)}).fetchall()
    about = {"fewest": int(rules.read()["fewest_floors"])}
    floors = connection.execute(statements["learned_floors"], about).fetchall()
    return Batch(lot_ids=lot_ids, lots=lots, terms=by, floors=floors, now=datetime.now(UTC))


def work(batch: Batch | None) -> list[Quoted]:
    """Return the quote of each lot that has a value, and for others that there is none; nothing without terms."""
    if batch is None:
        return []
    lots = [lot for lot in batch.lots if lot.p50 is not None]
    known = {lot.lot_id for lot in lots}
    nothing = [Quoted(lot_id=lot_id, is_there=False) for lot_id in batch.lot_ids if lot_id not in known]
    rates = batch.terms.rates
    if rates is None:
        basis = batch.terms.basis
        return nothing + [
            Quoted(lot_id=lot.lot_id, basis=basis, valued_at=lot.valued_at, missing=[NO_RATE]) for lot in lots
        ]
    costed = [costed_of(lot) for lot in lots]
    costs = bulk.costs_of(costed, batch.terms.profile, batch.terms.tariffs, rates)
    return nothing + _quoted(batch, lots, costed, costs, rates)


def _quoted(batch: Batch, lots: Sequence[Valued], costed: Sequence[Costed], costs: Costs, rates: Rates) -> list[Quoted]:
    by = batch.terms
    careful = [lot.p20 or 0 for lot in lots]
    most = costs.most_bid(_each(careful, lambda value: _cents(_limit(by, value))), repair="high")
    prices = [
        (batch.typed[lot.lot_id], "typed") if lot.lot_id in batch.typed else price_of(lot, batch.floors, batch.now)
        for lot in lots
    ]
    bids = np.array([price[0] if price else -1 for price in prices], dtype=np.int64)
    at = np.where(bids >= 0, bids, most)
    found = outcomes(by, costs, at, lots)
    landed = costs.landed(at)
    is_known = most >= 0
    whole = [
        _where(is_known, np.rint(np.where(is_known, each, 0)).astype(np.int64).tolist())
        for each in (found.careful, found.low, found.high)
    ]
    missing = _Missing(by, rates)
    has_repair = (costs.repairs["high"] >= 0).tolist()
    columns = zip(
        [lot.lot_id for lot in lots],
        repeat(True),
        repeat(by.basis),
        [lot.valued_at for lot in lots],
        is_known.tolist(),
        [
            () if known else missing.of(about, has_repair=is_repaired)
            for known, about, is_repaired in zip(is_known.tolist(), costed, has_repair, strict=True)
        ],
        _where(is_known, most.tolist()),
        _where(is_known, [price[0] if price else None for price in prices]),
        _where(is_known, [price[1] if price else None for price in prices]),
        _where(is_known, [f"{cents / 100:.2f}" for cents in landed.tolist()]),
        *whole,
        _where(is_known, [round(chance, 3) for chance in found.loss_chance.tolist()]),
        _where(is_known, [lot.is_active and not lot.is_blocked for lot in lots], otherwise=False),
        strict=False,  # what is repeated has no end
    )
    return [Quoted._make(row) for row in columns]


def _where(is_known: Bools, values: list[Any], *, otherwise: object = None) -> list[Any]:
    """Return the values with another one in place of those that are not known."""
    for place in np.flatnonzero(~is_known).tolist():
        values[place] = otherwise
    return values


def outcomes(by: Terms, costs: Costs, bids: Ints, lots: Sequence[Valued]) -> profit.Outcomes:
    """Return what lots leave at these bids; of one whose cost is not known it means nothing."""
    values = np.array([[lot.p10, lot.p50, lot.p90] for lot in lots], dtype=np.float64).reshape(-1, 3)
    left = float(net(by, Decimal(1_000_000))) / 1_000_000
    return profit.outcomes(
        value=values,
        left=np.full(len(lots), left),
        landed=costs.landed(bids) / 100,
        repair=costs.repairs["expected"] / 100,
        dear_repair=costs.repairs["high"] / 100,
        careful_value=np.array([lot.p20 for lot in lots], dtype=np.float64),
    )


def net(by: Terms, price: Decimal) -> Decimal:
    """Return what is left of a selling price after VAT."""
    vat = by.tariffs.find("vat")
    free = replace(by.profile, margin_eur=NOTHING, margin_percent=NOTHING)
    return free.limit(price, vat.expected if vat else NOTHING)


def limit(by: Terms, price: Decimal) -> Decimal:
    """Return the most that a car may cost which sells for this price: what is left after VAT and the margin."""
    vat = by.tariffs.find("vat")
    return by.profile.limit(price, vat.expected if vat else NOTHING)


def costed_of(lot: Valued) -> Costed:
    """Return what of a lot its costs depend on."""
    return Costed(
        state=lot.state,
        yard=lot.yard_name,
        title="clean" if lot.title_group == "clean" else "non-clean",
        title_state=lot.title_state,
        vin=lot.vin,
        year=lot.year,
        fuel=facts.FUELS.get(lot.fuel, lot.fuel) if lot.fuel else None,
        body=_body(lot.body_style) if lot.body_style else None,
        damage=lot.damage or "unknown",
        repair_usd=lot.repair_cost,
        currency=lot.currency,
    )


@lru_cache(maxsize=4_096)
def _body(style: str) -> str | None:
    """Return a body style in the words of ads; there are some hundred."""
    body = vehicles.body(style)
    return body.value if body else None


def price_of(lot: Valued, floors: Sequence[tuple[int, float]], now: datetime) -> tuple[int, str] | None:
    """Return a price to count with, in whole dollars, and its kind: buy-now, or a learned floor; None without one. A
    buy-now that bids have passed is none: nobody sells for less than is bid.

    `floors` are hours to a sale and by how much a bid grows from then on, ascending.
    """
    if lot.buy_now_price and lot.buy_now_price >= (lot.high_bid or 0):
        return int(-(-lot.buy_now_price // 1)), "buy now"
    if not lot.high_bid or lot.sale_at is None or lot.sale_at <= now:
        return None
    hours = (lot.sale_at - now).total_seconds() / 3600
    growth = next((growth for most, growth in floors if hours <= most), None)
    return None if growth is None else (round(float(lot.high_bid) * growth), "floor")


class _Missing:
    """What is unknown of lots, looked up once for those that differ in nothing that matters, as long as the process
    quotes by the same terms."""

    known: ClassVar[tuple[str, dict[tuple[object, ...], list[str]]]] = ("", {})

    def __init__(self, by: Terms, rates: Rates) -> None:
        self._by, self._rates = by, rates
        if self.known[0] != by.basis:
            type(self).known = (by.basis, {})
        self._found = self.known[1]

    def of(self, lot: Costed, *, has_repair: bool) -> list[str]:
        key = (
            *(lot.state, lot.yard, lot.title, lot.title_state, lot.currency, lot.fuel, lot.body),
            *(lot.year is None, has_repair or lot.damage),
        )
        if key not in self._found:
            quote = itemised.quote(lot, 0, self._by.profile, self._by.tariffs, self._rates)
            self._found[key] = list(quote.missing)
        return self._found[key]


def _limit(by: Terms, value: int) -> Decimal:
    return limit(by, Decimal(value))


def _each(values: Sequence[int], function: Any) -> Ints:
    """Return a function of each value, computed once for equal ones."""
    found: Mapping[int, int] = {value: function(value) for value in set(values)}
    return np.array([found[value] for value in values], dtype=np.int64)


def _cents(amount: Decimal) -> int:
    return int(amount * 100)


def write(connection: Connection[Any], results: Sequence[Quoted]) -> None:
    """Store the quotes and remove those of lots without a value, in the caller's transaction: all, or none if the
    process dies before it commits. A second time it writes nothing."""
    statements = queries("imports")
    gone = [each.lot_id for each in results if not each.is_there]
    if gone:
        connection.execute(statements["drop_quotes"], {"lot_ids": gone})
    there = [each for each in results if each.is_there]
    if there:
        columns: dict[str, Sequence[Any]] = dict(zip(Quoted._fields, zip(*there, strict=True), strict=True))
        columns["missing"] = [SEPARATOR.join(each) for each in columns["missing"]]
        arrays = {name: array_literal(values) for name, values in columns.items() if name != "is_there"}
        connection.execute(statements["save_quotes"], arrays)
