"""What is shown of a filter before it becomes a watch: how many cars or lots fit, how many come a day, the best."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from vinops.board.overview import Overview, overview
from vinops.lots import reads as lot_reads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from vinops.board.records import Count
    from vinops.filters import Filter
    from vinops.lots.filter import LotFilter

DAYS: Final = 30
DAYS_OF_MANY: Final = 7
"""Of filters that name no model."""
BEST: Final = 3
MOST_LOTS: Final = 500
"""Lots are counted up to so many."""


@dataclass(frozen=True, kw_only=True)
class Preview(Overview):
    """How many cars fit now, how many came in the last `days` (also those that are gone), and the three best ads."""

    @property
    def per_day(self) -> float:
        """How many cars came a day."""
        return self.lately / self.days


@dataclass(frozen=True, kw_only=True)
class LotPreview:
    """How many lots fit now, how many came in the last `days` (also those that are gone), each counted up to MOST_LOTS,
    and the three best lots."""

    now: Count
    lately: Count
    best: Sequence[int]
    days: int

    @property
    def per_day(self) -> float:
        """How many lots came a day; at least so many if the count was capped."""
        return self.lately.number / self.days


def preview(connection: Connection[Any], wanted: Filter) -> Preview:
    """Return what a filter finds, in one statement or three."""
    found = overview(connection, wanted, size=BEST, days=DAYS, days_of_many=DAYS_OF_MANY)
    return Preview(**vars(found))


def preview_lots(connection: Connection[Any], wanted: LotFilter, *, time_zone: str) -> LotPreview:
    """Return what a filter of lots finds, in two statements. In the last days counts what is on the board of lots: by
    their facts of now. Of a filter that names neither model nor make fewer days are counted."""
    now = replace(wanted, new_since=None, gone="no")
    count, best = lot_reads.best(connection, now, size=BEST, most=MOST_LOTS, time_zone=time_zone)
    days = DAYS if wanted.family or wanted.make else DAYS_OF_MANY
    lately = replace(now, new_since=timedelta(days=days), gone="also", sale_within=None, sale_from=None, sale_to=None)
    return LotPreview(now=count, lately=lot_reads.count(connection, lately, most=MOST_LOTS), best=best, days=days)
