"""The walks in the database: which make is next, which crawl walks it, and which ads a complete walk did not see."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import psycopg

from vinops.db.database import DatabaseError, queries
from vinops.logs import pairs
from vinops_scrapy.listings.records import in_transaction
from vinops_scrapy.mobile_bg.walks import Walk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from psycopg import AsyncConnection
    from psycopg_pool import AsyncConnectionPool
    from scrapy.statscollectors import StatsCollector

    from vinops_scrapy.mobile_bg.makes import Make, Makes

log = logging.getLogger("market")

FEW: Final = 20
"""The number of ads of a make that may be gone after one walk, whatever their share."""


@dataclass(frozen=True, kw_only=True)
class Removal:
    """How many ads are gone after a walk. `held_back` counts those that it did not see and that are not gone yet."""

    gone: int = 0
    held_back: int = 0


class Schedule:
    """The walks of one source. A crawl claims a make by the row of its walk, and extends the claim; one that expired
    may be taken over, and the walk that had it ends nothing.

    Queries are repeated when the connection breaks. Methods raise DatabaseError if there is none.
    """

    def __init__(
        self,
        pool: AsyncConnectionPool[Any],
        stats: StatsCollector,
        source: str,
        *,
        owner: str,
        shrink_limit: float,
        claim_seconds: float,
    ) -> None:
        """`owner` names this crawl, `shrink_limit` is the share of a make that may be gone after one walk. A claim
        lasts `claim_seconds`."""
        self._pool = pool
        self._stats = stats
        self._source = source
        self._owner = owner
        self._shrink_limit = shrink_limit
        self._seconds = claim_seconds
        self._queries = queries("listings")
        self._claimed: int | None = None

    async def walks(
        self,
        makes: Iterable[Make],
        book: Makes,
        *,
        pause: Callable[[float], Awaitable[bool]],
        pages: int | None = None,
    ) -> AsyncIterator[Walk]:
        """Yield a walk for each make that no other crawl walks; the make is released when the next walk is taken.

        The make whose last complete walk is longest ago comes first: the next crawl continues where one was killed. A
        make that another crawl has claimed is tried once more at the end, after a `pause` in which a claim expires that
        is not extended. No more walks follow a pause that returns False.
        """
        last = await self._last_walks()
        never = datetime.min.replace(tzinfo=UTC)
        waiting = sorted(makes, key=lambda make: last.get(make.slug, never))
        for is_last in (False, True):
            claimed = []
            for make in waiting:
                begun = await self.begin_walk(make.slug)
                if begun is None:
                    claimed.append(make)
                    continue
                self._claimed, started_at = begun
                yield Walk(
                    make,
                    number=self._claimed,
                    started_at=started_at,
                    page_limit=book.page_limit,
                    page_size=book.page_size,
                    pages=pages,
                )
                await self.release()
            waiting = claimed
            if not is_last and (seconds := [await self._expires_in(make.slug) for make in claimed]):
                log.info(
                    "claimed by other crawls: tried again when the claims end %s",
                    pairs(makes=",".join(make.slug for make in claimed), seconds=round(max(seconds))),
                )
                if not await pause(max(seconds)):
                    return
        for make in waiting:
            self._stats.inc_value("walk/claimed_elsewhere")
            log.warning("another crawl walks this make %s", pairs(make=make.slug))

    async def begin_walk(self, make: str) -> tuple[int, datetime] | None:
        """Claim a make and record the beginning of a walk; return its number, and its start by the database's clock.
        None if another crawl has claimed the make. If the process dies the claim expires."""
        about = {"source": self._source, "make": make, "owner": self._owner, "seconds": self._seconds}

        async def begin(connection: AsyncConnection[Any]) -> tuple[int, datetime] | None:
            await connection.execute(self._queries["free_make"], about)
            row: tuple[int, datetime] | None = await (
                await connection.execute(self._queries["begin_walk"], about)
            ).fetchone()
            return row

        return await in_transaction(self._pool, begin)

    async def extend(self) -> None:
        """Extend the claim of the current walk. If another crawl took it over, the next page is not recorded."""
        if self._claimed is not None:
            await self._rows("extend_claim", walk=self._claimed, seconds=self._seconds)

    async def release(self) -> None:
        """End the claim of the current walk."""
        if self._claimed is not None:
            claimed, self._claimed = self._claimed, None
            await self._rows("release_claim", walk=claimed)

    async def close(self) -> None:
        """End the claim of a walk that ended early. Without a database the claim expires."""
        try:
            await self.release()
        except (psycopg.Error, DatabaseError) as error:
            log.warning(
                "the claim of a make cannot be released: it expires %s", pairs(error=" ".join(str(error).split()))
            )

    async def end_walk(self, walk: Walk) -> Removal:
        """Record the end of a walk; ads that a complete one did not see are gone, in the same transaction.

        The walk of a crawl whose claim was taken over ends incomplete, with the reason `claim_lost`. If more than the
        shrink limit is missing at once, or the site counted more ads than it showed, only those ads
        are gone that the complete walk before did not see either. If the process dies before the commit no ad is gone.
        """

        async def end(connection: AsyncConnection[Any]) -> Removal:
            ((is_claimed, gone),) = await (
                await connection.execute(self._queries["hold_claim"], {"walk": walk.number})
            ).fetchall()
            if gone is not None:
                return Removal(gone=gone)  # it was committed, and only the confirmation was lost
            if not is_claimed:
                walk.fail("claim_lost")
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
                "ads that were not seen are not marked as gone yet %s",
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
        return dict(await self._rows("walks_by_age", source=self._source))

    async def _expires_in(self, make: str) -> float:
        """Return in how many seconds the claim of a make expires if it is not extended."""
        rows = await self._rows("claim_expires", source=self._source, make=make)
        return max(0.0, *(row[0] for row in rows)) if rows else 0.0

    async def _rows(self, name: str, **values: Any) -> list[Any]:
        """Run a statement that may run twice, and return its rows."""

        async def run(connection: AsyncConnection[Any]) -> list[Any]:
            cursor = await connection.execute(self._queries[name], values)
            return await cursor.fetchall() if cursor.description else []

        return await in_transaction(self._pool, run)
