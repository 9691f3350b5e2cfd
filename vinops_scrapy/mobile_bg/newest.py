"""Passes over the newest ads of all makes: where a pass ends, and which crawl makes it.

The list of all makes, newest first, is read from its top until it shows ads that the last pass saw. However many crawls
and machines there are, one crawl makes each pass: it claims the row in ops.market_cycles.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import psycopg

from vinops.db.database import DatabaseError, queries
from vinops.logs import pairs
from vinops_scrapy.listings.records import in_transaction
from vinops_scrapy.mobile_bg.walks import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from psycopg import AsyncConnection
    from psycopg_pool import AsyncConnectionPool
    from scrapy.statscollectors import StatsCollector

    from vinops_scrapy.items import Listing, ListPage

log = logging.getLogger("market")

ENOUGH: Final = 8
"""So many old ads in a row at the end of a page end a pass. In a list in strict order one would do; a site that puts an
ad a few places too low must not hide it. Two passes a minute apart differ by two to six ads: mostly one page does."""

CUT_SHORT: Final = frozenset({"page_bound", "last_page"})
"""Reasons for which a pass ends without having met old ads, that the next one cannot do better."""


class NewestPass:
    """A pass over the newest ads. `number` is its token, `began_at` its beginning by the database's clock.

    An ad is old if it was posted no later than the newest ad that the last pass saw, by the clock of the site, and, if
    its make is followed, is recorded: all that the list shows below it was recorded by that pass or before. The ads of
    a pass that was killed are not old, so each page can be recorded at once. The first pass of all knows no old ads,
    and reads to its bound. Promoted ads come first whatever their age: they count as neither old nor new.
    """

    make = None

    def __init__(
        self,
        *,
        number: int,
        began_at: datetime,
        posted_before: datetime | None,
        pages: int,
        page_limit: int,
    ) -> None:
        """`posted_before` is the newest ad of the last pass, None if there was none. Read no more than `pages` pages,
        and none after `page_limit`, where the site cuts its lists off."""
        self.number = number
        self.began_at = began_at
        self.newest_posted_at: datetime | None = None
        self.reason: str | None = None
        self.steps = 0
        self._posted_before = posted_before
        self._pages = pages
        self._page_limit = page_limit

    @property
    def is_complete(self) -> bool:
        """Tell whether the next pass may rely on this one: it met old ads, or could not have read more."""
        return self.reason is None or self.is_cut_short

    @property
    def is_cut_short(self) -> bool:
        """Tell whether it reached its bound or the last page of the site before it met old ads."""
        return self.reason in CUT_SHORT

    def first(self) -> Step:
        """Return the first page."""
        return Step(page=1)

    def fail(self, reason: str) -> None:
        """Give up, for the first reason given."""
        self.reason = self.reason or reason

    def take(
        self, step: Step, page: ListPage, known: Collection[str], is_followed: Callable[[Listing], bool]
    ) -> Step | None:
        """Add a page; return the next one, None at the end. `known` are those ads of the page that were active in the
        database before the page is recorded."""
        self.steps += 1
        dated = [listing for listing in page.listings if listing.promotion is None]
        for listing in dated:
            if self.newest_posted_at is None or listing.posted_at > self.newest_posted_at:
                self.newest_posted_at = listing.posted_at
        last = dated[-ENOUGH:]
        if (last and all(self._is_old(listing, known, is_followed) for listing in last)) or not page.listings:
            return None
        if step.page >= self._page_limit:
            self.fail("last_page")
        elif page.next_url is None:
            return None  # the whole list was read
        elif self.steps >= self._pages:
            self.fail("page_bound")
        else:
            return Step(page=step.page + 1)
        return None

    def _is_old(self, listing: Listing, known: Collection[str], is_followed: Callable[[Listing], bool]) -> bool:
        """Tell whether the last pass saw an ad, or one before it."""
        if self._posted_before is None or listing.posted_at > self._posted_before:
            return False
        return listing.ad_id in known or not is_followed(listing)


class NewestPasses:
    """The passes of one source in the database. A claim lasts `claim_seconds` unless it is extended; a pass that lost
    its claim records nothing any more.

    Queries are repeated when the connection breaks. Methods raise DatabaseError if there is none.
    """

    def __init__(
        self,
        pool: AsyncConnectionPool[Any],
        stats: StatsCollector,
        source: str,
        *,
        owner: str,
        every: float,
        pages: int,
        page_limit: int,
        claim_seconds: float,
    ) -> None:
        """A pass is due `every` seconds after the one before began; it reads at most `pages` pages."""
        self._pool = pool
        self._stats = stats
        self._about = {"source": source, "owner": owner, "every": every, "seconds": claim_seconds}
        self._every = every
        self._pages = pages
        self._page_limit = page_limit
        self._queries = queries("cycle")
        self._current: NewestPass | None = None

    async def begin(self) -> NewestPass | float:
        """Claim the next pass, or return in how many seconds to ask again. If the process dies the claim expires, and
        another crawl begins a pass that reads at least as far as this one had to."""
        rows = await self._rows("begin_newest")
        if not rows:
            due = await self._rows("newest_due_in")
            seconds = due[0][0] if due and due[0][0] is not None else 0.0
            return float(seconds) if seconds > 0 else self._every / 12  # overdue, and another crawl is at it
        ((number, began_at, newest_posted_at),) = rows
        self._current = NewestPass(
            number=number,
            began_at=began_at,
            posted_before=newest_posted_at,
            pages=self._pages,
            page_limit=self._page_limit,
        )
        return self._current

    async def extend(self) -> None:
        """Extend the claim of the current pass."""
        if self._current is not None:
            await self._rows("extend_newest", number=self._current.number)

    async def end(self, course: NewestPass) -> None:
        """Record the end of a pass. If the process dies before, the next pass reads at least as far."""
        self._current = None
        await self._rows(
            "end_newest",
            number=course.number,
            reason=course.reason,
            is_complete=course.is_complete,
            is_cut_short=course.is_cut_short,
            newest_posted_at=course.newest_posted_at,
        )
        self._stats.inc_value("newest/complete" if course.reason is None else f"newest/{course.reason}")
        if course.is_cut_short:
            log.warning(
                "the newest ads were not read down to known ones: the full walks find the rest %s",
                pairs(pages=course.steps, reason=course.reason),
            )

    async def close(self) -> None:
        """End the claim of a pass that ended early. Without a database the claim expires."""
        if self._current is not None:
            self._current.fail("stopped")
            try:
                await self.end(self._current)
            except (psycopg.Error, DatabaseError) as error:
                log.warning(
                    "the claim of the newest ads cannot be released: it expires %s",
                    pairs(error=" ".join(str(error).split())),
                )

    async def _rows(self, name: str, **values: Any) -> list[Any]:
        """Run a statement that may run twice, and return its rows."""

        async def run(connection: AsyncConnection[Any]) -> list[Any]:
            cursor = await connection.execute(self._queries[name], {**self._about, **values})
            return await cursor.fetchall() if cursor.description else []

        return await in_transaction(self._pool, run)
