"""What a filter would find, before it is saved as a watch: how many now, how many a day, and the three best."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from vinops.board import reads
from vinops.lots import reads as lot_reads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from vinops.board.records import Count
    from vinops.filters import Filter
    from vinops.lots.filter import LotFilter

DAYS: Final = 30
BEST: Final = 3
MOST: Final = 500
"""Cars are counted up to so many: a filter that names no model and finds more is answered before the board is read to
its end. It is more than ten a day, from which on less is proposed."""


@dataclass(frozen=True, kw_only=True)
class Preview:
    """How many cars fit now, how many came in the last 30 days (those that are gone included), each counted up to MOST,
    and the ads, or lots, of the three best."""

    now: Count
    month: Count
    best: Sequence[int]

    @property
    def per_day(self) -> float:
        """How many cars came a day; at least so many if the count was capped."""
        return self.month.number / DAYS


def preview_lots(connection: Connection[Any], wanted: LotFilter, *, time_zone: str) -> Preview:
    """Return what a filter of lots finds, in two statements. In the last 30 days counts what is on the board of lots:
    by their facts of now."""
    now = replace(wanted, new_since=None, gone="no")
    count, best = lot_reads.best(connection, now, size=BEST, most=MOST, time_zone=time_zone)
    month = replace(now, new_since=timedelta(days=DAYS), gone="also", sale_within=None, sale_from=None, sale_to=None)
    return Preview(
        now=count,
        month=lot_reads.count(connection, month, most=MOST),
        best=best,
    )


def preview(connection: Connection[Any], wanted: Filter, *, time_zone: str | None = None) -> Preview:
    """Return what a filter finds, in three statements."""
    now = replace(wanted, new_since=None, gone="no")
    page, _problems = reads.page(connection, now, size=BEST, few=MOST)
    month = reads.count(connection, replace(now, new_since=timedelta(days=DAYS), gone="also"), most=MOST)
    return Preview(now=page.count, month=month, best=[card.listing_id for card in page.cards])
