"""The two lists of the ranking, page by page: lots with a price to count with, by the careful profit at it, and the
others by the most one may bid.

The quotes of the default profile are stored. Lots for which somebody typed a bid, and all lots by another profile, are
quoted here when they are asked for, by the same function: what was typed counts at once, and until others have bid
more. Quotes by another profile are kept by the process (deals/offers/remembered.py).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from psycopg.rows import dict_row

from deals.channel.lots import SOON
from deals.offers import bids, ranking
from deals.offers.ranking import Place
from deals.offers.remembered import Remembered
from deals.stages import quote as stage
from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg import Connection

    from deals.lots.terms import Terms
    from deals.offers.ranking import Wanted
    from deals.stages.quote import Quoted

FIGURES: Final = (
    *("most_bid_usd", "bid_usd", "bid_kind", "landed_eur", "profit_eur", "profit_low", "profit_high", "loss_chance"),
)
"""What of a row comes from its quote."""
COLUMNS: Final = (
    "lot", "model", "year", "mileage_km", "fuel", "twin", "damage", "title", "yard", "sale_at", "high_bid",
    "most_bid_usd", "bid_usd", "bid_kind", "landed_eur", "p10", "p20", "p50", "p90", "profit_eur", "profit_low",
    "profit_high", "loss_chance", "comparables", "confidence",
)  # fmt: skip
"""The columns of the ranking as CSV. The keys of rows are in no order: figures are stored, or quoted here."""
REMEMBERED: Final = Remembered()


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some rows of a list, and where the next page begins; None behind the last."""

    rows: Sequence[dict[str, Any]]
    next: Place | None = None


class Lists:
    """The ranking of the lots that are wanted, by these terms; None: as it is stored, without typed bids. Quotes once
    for both lists; writes nothing."""

    def __init__(
        self, connection: Connection[Any], wanted: Wanted, by: Terms | None, *, sale_after: datetime | None = None
    ) -> None:
        self._connection, self._wanted = connection, wanted
        self.sale_after = sale_after or datetime.now(UTC) + SOON
        self._is_stored = by is None or by.profile.is_default
        typed = bids.in_force(connection, self.sale_after) if by is not None and by.rates is not None else []
        counted = {each.lot_id: each.bid_usd for each in typed if not each.is_passed}
        self._without = list(counted)
        self._quoted = self._quote(by, counted) if by is not None else {}

    def _quote(self, by: Terms, typed: Mapping[int, int]) -> Mapping[int, tuple[Quoted, Decimal]]:
        """Return the quotes of the lots that are quoted here, with their bid at the auction."""
        if (self._is_stored and not typed) or by.rates is None:
            return {}
        about = {**asdict(self._wanted), "sale_after": self.sale_after}
        about["lot_ids"] = list(typed) if self._is_stored else None
        rows = self._connection.execute(queries("lot_bids")["candidates"], about).fetchall()
        batch = stage.read_by(self._connection, [row[0] for row in rows if row[0] in typed], by)
        found = stage.work(replace(batch, typed=typed))
        if not self._is_stored:
            others = {lot_id: valued_at for lot_id, valued_at, _ in rows if lot_id not in typed}
            found += REMEMBERED.quotes(self._connection, others, by)
        now = {lot_id: high_bid for lot_id, _, high_bid in rows}
        return {each.lot_id: (each, now[each.lot_id]) for each in found if each.is_ranked}

    def page(self, limit: int, *, by_profit: bool, after: Place | None = None) -> Page:
        """Return the best lots of a list, or those behind a place of it."""
        found = self._quoted_rows(limit + 1, after, by_profit=by_profit)
        if self._is_stored:
            found += ranking.top(
                self._connection, self._wanted, limit + 1, by_profit=by_profit, sale_after=self.sale_after, after=after,
                without=self._without,
            )  # fmt: skip
        key = "profit_eur" if by_profit else "most_bid_usd"
        found.sort(key=lambda row: (-row[key], row["lot_id"]))
        if len(found) <= limit:
            return Page(rows=found)
        last = found[limit - 1]
        return Page(rows=found[:limit], next=Place(value=last[key], lot_id=last["lot_id"]))

    def _quoted_rows(self, limit: int, after: Place | None, *, by_profit: bool) -> list[dict[str, Any]]:
        places = sorted(self._places(by_profit=by_profit), key=lambda place: place.key)
        ids = [place.lot_id for place in places if after is None or place.key > after.key][:limit]
        if not ids:
            return []
        with self._connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(queries("lot_bids")["ranked_lots"], {"lot_ids": ids}).fetchall()
        return [row | self._figures(self._quoted[row["lot_id"]][0]) for row in rows]

    def _places(self, *, by_profit: bool) -> list[Place]:
        """Return the places of the lots that are quoted here: what the statements of ranking.top ask of stored ones."""
        most = self._wanted.max_bid
        found = []
        for lot_id, (quoted, high_bid) in self._quoted.items():
            bid = quoted.bid_usd if by_profit else quoted.most_bid_usd
            if (quoted.bid_usd is not None) != by_profit or bid is None or (most is not None and bid > most):
                continue
            value = quoted.profit_eur if by_profit else bid
            if value is not None and value > (0 if by_profit else high_bid):
                found.append(Place(value=value, lot_id=lot_id))
        return found

    @staticmethod
    def _figures(quoted: Quoted) -> dict[str, Any]:
        figures = {name: getattr(quoted, name) for name in FIGURES}
        return figures | {"landed_eur": Decimal(quoted.landed_eur or 0)}


def both(connection: Connection[Any], wanted: Wanted, by: Terms, limit: int) -> list[dict[str, Any]]:
    """Return the best lots of both lists: those with a price to count with first."""
    found = Lists(connection, wanted, by)
    rows = list(found.page(limit, by_profit=True).rows)
    return rows + list(found.page(limit - len(rows), by_profit=False).rows) if len(rows) < limit else rows
