"""What a filter would find, before it is saved as a watch: how many now, how many a day, and the three best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vinops.board.overview import Overview, overview

if TYPE_CHECKING:
    from psycopg import Connection

    from vinops.filters import Filter

DAYS: Final = 30
DAYS_OF_MANY: Final = 7
"""Of filters that name no model."""
BEST: Final = 3


@dataclass(frozen=True, kw_only=True)
class Preview(Overview):
    """How many cars fit now, how many came in the last `days` (also those that are gone), and the three best ads."""

    @property
    def per_day(self) -> float:
        """How many cars came a day."""
        return self.lately / self.days


def preview(connection: Connection[Any], wanted: Filter) -> Preview:
    """Return what a filter finds, in one statement or three."""
    found = overview(connection, wanted, size=BEST, days=DAYS, days_of_many=DAYS_OF_MANY)
    return Preview(**vars(found))
