"""Rechecks: the own pages of ads whose price matters now, a few of them between the pages of lists.

An ad is taken when its price was confirmed too long ago for what it is worth to us: one that was posted to the channel,
one that is approved, one with a high score. A list that showed the ad confirmed its price, too.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from vinops.db.database import queries
from vinops.logs import pairs
from vinops_scrapy.items import RecheckedAd
from vinops_scrapy.listings.records import in_transaction
from vinops_scrapy.pages import mobile_bg
from vinops_scrapy.pages.errors import PageError

if TYPE_CHECKING:
    from psycopg import AsyncConnection
    from psycopg_pool import AsyncConnectionPool
    from scrapy.http import Response
    from scrapy.statscollectors import StatsCollector

log = logging.getLogger("market")

HOUR: Final = 3600.0
TRUSTED: Final = {"posted": HOUR, "approved": 3 * HOUR, "high": 6 * HOUR}
"""For how many seconds a confirmed price is trusted, by what the ad is worth. Full walks confirm all prices every six
to nine hours."""

DOUBTFUL: Final = 5
"""After so many rechecks in a row that found no ad, the site is doubted, not the ads."""
REST: Final = HOUR
"""Seconds without rechecks after that."""


@dataclass(frozen=True, kw_only=True)
class Recheck:
    """An ad whose own page is to be requested; `asked_at` is when it was taken, by the database's clock."""

    ad_id: str
    url: str
    asked_at: datetime


def rechecked(response: Response, recheck: Recheck) -> RecheckedAd:
    """Return what an ad's own page says. Raises PageError for one that cannot be read, and `another_ad`."""
    try:
        found = mobile_bg.listing(response)
    except PageError as error:
        if error.reason != "deleted":
            raise
        return RecheckedAd(ad_id=recheck.ad_id, asked_at=recheck.asked_at)
    if found.ad_id != recheck.ad_id:
        raise PageError("another_ad", f"the page of {recheck.ad_id} shows {found.ad_id}")
    return RecheckedAd(ad_id=recheck.ad_id, asked_at=recheck.asked_at, listing=found)


class Rechecks:
    """The rechecks of one source, one each `spacing` seconds, of all crawls on all machines together.

    Queries are repeated when the connection breaks. Methods raise DatabaseError if there is none.
    """

    def __init__(
        self,
        pool: AsyncConnectionPool[Any],
        stats: StatsCollector,
        source: str,
        *,
        spacing: float,
        min_score: float,
        speed: float = 1.0,
    ) -> None:
        """A score of `min_score` is a high one. `speed` is that of the clock, for stand-ins."""
        self._pool = pool
        self._stats = stats
        self._spacing = spacing
        self._rest = REST / speed
        self._about = {
            "source": source,
            "spacing": spacing,
            "min_score": min_score,
            **{name: seconds / speed for name, seconds in TRUSTED.items()},
        }
        self._queries = queries("cycle")
        self._doubtful = 0

    async def take(self) -> Recheck | float:
        """Take the ad that is most overdue, or return in how many seconds to ask again. If the process dies the ad is
        taken again when it is next due."""

        async def run(connection: AsyncConnection[Any]) -> Recheck | float:
            turn = await connection.execute(self._queries["take_recheck_turn"], self._about)
            if await turn.fetchone() is None:
                return self._spacing / 10
            row = await (await connection.execute(self._queries["claim_recheck"], self._about)).fetchone()
            return self._spacing if row is None else Recheck(ad_id=row[0], url=row[1], asked_at=row[2])

        return await in_transaction(self._pool, run)

    def ended(self, outcome: str) -> float:
        """Note the outcome of a recheck: `read`, `deleted`, or why the page could not be read. Return for how many
        seconds to make none."""
        if outcome not in ("read", "deleted"):  # which are counted when they are recorded
            self._stats.inc_value(f"recheck/{outcome}")
        self._doubtful = 0 if outcome == "read" else self._doubtful + 1
        if self._doubtful < DOUBTFUL:
            return 0.0
        self._doubtful = 0
        self._stats.inc_value("recheck/paused")
        log.warning(
            "rechecks pause: one page of an ad after the other is missing or cannot be read %s",
            pairs(times=DOUBTFUL, last=outcome, seconds=round(self._rest)),
        )
        return self._rest
