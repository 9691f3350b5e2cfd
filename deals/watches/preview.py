"""What a filter would find, before it is saved as a watch: how many now, how many a day, and the three best."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from vinops.board import reads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from vinops.board.records import Count
    from vinops.filters import Filter

DAYS: Final = 30
BEST: Final = 3


@dataclass(frozen=True, kw_only=True)
class Preview:
    """How many cars fit now, how many came in the last 30 days (those that are gone included; counted up to a
    thousand), and the ads of the three best."""

    now: Count
    month: int
    best: Sequence[int]

    @property
    def per_day(self) -> float:
        """How many cars came a day; at least so many if the count was capped."""
        return self.month / DAYS


def preview(connection: Connection[Any], wanted: Filter, *, time_zone: str | None = None) -> Preview:
    """Return what a filter finds, in three statements."""
    now = replace(wanted, new_since=None, gone="no")
    page, _problems = reads.page(connection, now, size=BEST)
    month = reads.count(connection, replace(now, new_since=timedelta(days=DAYS), gone="also"))
    return Preview(now=page.count, month=month.number, best=[card.listing_id for card in page.cards])
