"""What is shown of a filter before it becomes a watch: how many cars or lots fit, how many come a day, the best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vinops.board.overview import Overview, overview
from vinops.lots import overview as lots

if TYPE_CHECKING:
    from psycopg import Connection

    from vinops.filters import Filter
    from vinops.lots.filter import LotFilter

DAYS: Final = 30
DAYS_OF_MANY: Final = 7
"""Of filters that name no model."""
DAYS_OF_LOTS: Final = 7
"""A popular model has some 14,000 lots a month that are gone: reading them takes longer than all else."""
BEST: Final = 3


@dataclass(frozen=True, kw_only=True)
class Preview(Overview):
    """How many cars or lots fit now, how many came in the last `days` (also those that are gone), and the three best.

    They are ads or lots; of lots that came counts what is on the board of lots, by their facts of now.
    """

    @property
    def per_day(self) -> float:
        """How many came a day."""
        return self.lately / self.days


def preview(connection: Connection[Any], wanted: Filter) -> Preview:
    """Return what a filter finds, in one statement or three."""
    found = overview(connection, wanted, size=BEST, days=DAYS, days_of_many=DAYS_OF_MANY)
    return Preview(**vars(found))


def preview_lots(connection: Connection[Any], wanted: LotFilter, *, time_zone: str) -> Preview:
    """Return what a filter of lots finds, in one statement or three."""
    found = lots.overview(connection, wanted, size=BEST, days=DAYS_OF_LOTS, time_zone=time_zone)
    return Preview(**vars(found))
