"""The walks in the database: which make is next, which crawl walks it, and what a complete walk did not see."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from vinops.db.database import queries
from vinops.logs import pairs
from vinops_scrapy.listings.records import in_transaction
from vinops_scrapy.mobile_bg.walks import Walk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from psycopg import AsyncConnection
    from psycopg_pool import AsyncConnectionPool
    from scrapy.statscollectors import StatsCollector

    from vinops_scrapy.mobile_bg.makes import Make, Makes

log = logging.getLogger("market")

FEW: Final = 20
"""So many ads of a make may be gone after one walk, whatever their share."""


@dataclass(frozen=True, kw_only=True)
class Removal:
    """How many ads are gone after a walk. `held_back` counts those that it did not see and that are not gone yet."""

    gone: int = 0
    held_back: int = 0


class Schedule:
    """The walks of one source. Methods raise psycopg's errors if the connection breaks."""

    def __init__(
        self, pool: AsyncConnectionPool[Any], stats: StatsCollector, source: str, *, shrink_limit: float
    ) -> None:
        """`shrink_limit` is the share of a make that may be gone after one walk."""
        self._pool = pool
        self._stats = stats
        self._source = source
        self._shrink_limit = shrink_limit
        self._queries = queries("listings")
        self._claims: AsyncConnection[Any] | None = None

    async def walks(self, makes: Iterable[Make], book: Makes, *, pages: int | None = None) -> AsyncIterator[Walk]:
        """Yield a walk for each make that no other crawl walks; the make is released when the next walk is taken.

        The make whose last complete walk is longest ago comes first: the next crawl continues where one was killed.
        """
        last = await self._last_walks()
        never = datetime.min.replace(tzinfo=UTC)
        for make in sorted(makes, key=lambda make: last.get(make.slug, never)):
            if not await self.claim(make.slug):
                self._stats.inc_value("walk/claimed_elsewhere")
                log.warning("another crawl walks this make %s", pairs(make=make.slug))
                continue
            number, started_at = await self.begin_walk(make.slug)
            yield Walk(
                make,
                number=number,
                started_at=started_at,
                page_limit=book.page_limit,
                page_size=book.page_size,
                pages=pages,
            )
            await self.release(make.slug)

    async def claim(self, make: str) -> bool:
        """Lock a make against other crawls until `release`, or until this process dies. False if another has it."""
        if self._claims is None:
            self._claims = await self._pool.getconn()
        cursor = await self._claims.execute(self._queries["claim_make"], {"source": self._source, "make": make})
        row = await cursor.fetchone()
        return bool(row and row[0])

    async def release(self, make: str) -> None:
        """Unlock a make."""
        if self._claims is not None:
            await self._claims.execute(self._queries["release_make"], {"source": self._source, "make": make})

    async def close(self) -> None:
        """Unlock all makes."""
        if self._claims is not None:
            claims, self._claims = self._claims, None
            try:
                await claims.execute(self._queries["release_makes"])
            finally:
                await self._pool.putconn(claims)

    async def begin_walk(self, make: str) -> tuple[int, datetime]:
        """Record the beginning of a walk; return its number, and its start by the database's clock."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(self._queries["begin_walk"], {"source": self._source, "make": make})
            ((number, started_at),) = await cursor.fetchall()
        return number, started_at

    async def end_walk(self, walk: Walk) -> Removal:
        """Record the end of a walk; ads that a complete one did not see are gone, in the same transaction.

        If more than the shrink limit is missing at once, or the site counted more ads than it showed, only those ads
        are gone that the complete walk before did not see either. If the process dies before the commit no ad is gone.
        """
        about = {
            "source": self._source,
            "make": walk.make.slug,
            "walk": walk.number,
            "started_at": walk.started_at,
            "is_complete": walk.is_complete,
            "reason": walk.shortfall,
            "total": walk.total,
            "ads_seen": len(walk.seen),
        }

        async def end(connection: AsyncConnection[Any]) -> Removal:
            removal = await self._remove(connection, walk, about) if walk.is_complete else Removal()
            await connection.execute(self._queries["end_walk"], {**about, "gone": removal.gone})
            return removal

        removal = await in_transaction(self._pool, end)
        self._log(walk, removal)
        return removal

    def _log(self, walk: Walk, removal: Removal) -> None:
        self._stats.inc_value("walk/complete" if walk.is_complete else "walk/incomplete")
        self._stats.inc_value("listing/gone", removal.gone)
        reason = walk.shortfall
        log.info(
            "walked %s",
            pairs(
                make=walk.make.slug,
                complete="no" if reason else "yes",
                ads=len(walk.seen),
                total=walk.total,
                gone=removal.gone,
                **({"reason": reason} if reason else {}),
            ),
        )
        if removal.held_back:
            self._stats.inc_value("listing/held_back", removal.held_back)
            log.warning(
                "ads that were not seen are not taken for gone yet %s",
                pairs(make=walk.make.slug, ads=removal.held_back),
            )
        if walk.total is not None and walk.total * 3 < walk.make.expected:
            self._stats.inc_value("walk/fewer_than_expected")
            log.warning(
                "a make has far fewer ads than expected %s",
                pairs(make=walk.make.slug, total=walk.total, expected=walk.make.expected),
            )

    async def _remove(self, connection: AsyncConnection[Any], walk: Walk, about: dict[str, Any]) -> Removal:
        ((active, unseen),) = await (await connection.execute(self._queries["count_unseen"], about)).fetchall()
        seen_before = walk.started_at
        if not walk.is_exact or unseen > max(FEW, active * self._shrink_limit):
            row = await (await connection.execute(self._queries["last_complete_walk"], about)).fetchone()
            if row is None or row[0] is None:
                return Removal(held_back=unseen)
            seen_before = row[0]
        cursor = await connection.execute(self._queries["mark_gone"], {**about, "seen_before": seen_before})
        return Removal(gone=cursor.rowcount, held_back=unseen - cursor.rowcount)

    async def _last_walks(self) -> dict[str, datetime]:
        """Return when the last complete walk of each make ended."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(self._queries["walks_by_age"], {"source": self._source})
            return dict(await cursor.fetchall())
