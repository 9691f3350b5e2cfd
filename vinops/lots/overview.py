"""What a filter of lots finds, in figures, as vinops/board/overview.py tells it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from psycopg.sql import SQL

from vinops.board.overview import Overview, told
from vinops.lots.filter import LotFilter
from vinops.lots.writer import TIME_ZONE, figures, where

if TYPE_CHECKING:
    from psycopg import Connection

_PROFIT: Final = SQL("quotes.bid_usd is not null and quotes.profit_eur > 0")
_BY_QUOTE: Final = SQL(
    "lateral (select * from lot_board where lot_board.lot_id = lot_quotes.lot_id and not lot_board.is_gone offset 0)"
    " as lot_board"
)  # "offset 0" keeps the planner from reading the whole board
_LOTS: Final = {
    "board": SQL("lot_board"),
    "id": SQL("lot_board.lot_id"),
    "kept": SQL("lot_board.lot_id, lot_board.is_gone, lot_board.sale_at, lot_board.first_seen"),
    "lately": SQL("lot_board.first_seen >= now() - %(since)s::interval"),
    "open": SQL("(lot_board.sale_at is null or lot_board.sale_at > now())"),
    "quoted": SQL("left join lot_quotes as quotes on lot_board.lot_id = quotes.lot_id and quotes.is_ranked"),
    "order": SQL(
        "case when {profit} then quotes.profit_eur end desc nulls last, quotes.most_bid_usd desc nulls last,"
        " lot_board.sale_at asc nulls last, lot_board.lot_id desc"
    ).format(profit=_PROFIT),
    "sampled": SQL("mod(lot_board.lot_id, 13) = 0"),
    "walk": SQL(
        "(select * from lot_quotes as quotes where quotes.is_ranked and {profit}"
        " order by quotes.profit_eur desc, quotes.lot_id limit %(walk)s) as lot_quotes cross join {board}"
    ).format(profit=_PROFIT, board=_BY_QUOTE),
    "walked": SQL(
        "lot_quotes.profit_eur desc, lot_quotes.lot_id"
    ),  # no sort: the walk ends with the last one that is shown
}


def overview(
    connection: Connection[Any], wanted: LotFilter, *, size: int, days: int, time_zone: str = TIME_ZONE
) -> Overview:
    """Return the figures of a filter, and the `size` lots of it that bring most: by the profit at a price to count
    with, then by the most one may bid, then by the next sale. None of them was sold already.

    What the filter asks of `gone` and `new_since` does not count, nor for those that came lately what it asks of the
    sale. They are those of so many days by their facts of now. A lot that is gone is no longer ranked: if the filter
    asks for figures of a quote, only lots that are still for sale count as come lately.
    """
    asked = replace(wanted, new_since=None, gone="no")
    came = replace(asked, sale_from=None, sale_to=None, sale_within=None)
    now = LotFilter(sale_from=asked.sale_from, sale_to=asked.sale_to, sale_within=asked.sale_within)
    quoted = figures(came)
    there, gone = where(came, by_lot=True)[0], SQL("false") if quoted else where(replace(came, gone="only"))[0]
    found = SQL("lot_board where {}").format(there)
    if quoted and wanted.profit_from is not None and not wanted.family and not wanted.make:  # few lots bring much
        others, _ = where(replace(came, landed_to=None, profit_from=None, most_bid_from=None, at_bid_to=None))
        found = SQL("lot_quotes cross join {} where {} and {}").format(_BY_QUOTE, quoted, others)
    gone_first = gone
    if not quoted and (came.make or came.family):
        gone_first, _ = where(LotFilter(make=came.make, family=came.family, gone="only"))
    parts = {
        **_LOTS,
        "there": there,
        "found": found,
        "gone": gone,
        "gone_first": gone_first,
        "now": where(now, time_zone=time_zone)[0],
    }
    _, values = where(asked, time_zone=time_zone)
    return told(connection, parts, values, size=size, days=days, days_of_few=days if wanted.family else None)
