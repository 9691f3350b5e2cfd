"""The orders of lots: by sale, newest first, by bid. See vinops/board/sorts.py for their tokens."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from psycopg.sql import SQL

from vinops.board.sorts import Sort, figure, moment, since_epoch

NEVER: Final = datetime(2100, 1, 1, tzinfo=UTC)
"""Stands for the sale of lots that have none."""
_ID: Final = SQL("lot_board.lot_id")

SORTS: Final = {
    sort.name: sort
    for sort in (
        Sort(
            name="sale", by=SQL("coalesce(lot_board.sale_at, '2100-01-01 00:00+00')"), type=SQL("timestamptz"),
            is_descending=False, read=moment, write=since_epoch, id=_ID,
        ),
        Sort(
            name="new", by=SQL("lot_board.first_seen"), type=SQL("timestamptz"),
            is_descending=True, read=moment, write=since_epoch, id=_ID,
        ),
        Sort(
            name="bid", by=SQL("coalesce(lot_board.high_bid, -1)"), type=SQL("numeric"),
            is_descending=True, read=figure, write=str, id=_ID,
        ),
    )
}  # fmt: skip
"""The orders by name: the next sale first, newest first, highest bid first. Lots that do not give the figure come last.
Sales that are past are after all others in the order by sale, see vinops/lots/reads.py."""
FIRST: Final = "sale"
