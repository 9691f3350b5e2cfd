"""The walks in the database: which make is next, which crawl walks it, and which ads a complete walk did not see."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.rows import dict_row

from vinops.db.database import DatabaseError, queries
from vinops.logs import pairs
from vinops_scrapy.listings.records import in_transaction, record_walk
from vinops_scrapy.mobile_bg.pieces import piece_of
from vinops_scrapy.mobile_bg.rechecks import Recheck
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

DOUBTS: Final = 200
"""How many ads a walk asks for by their own pages: the largest make loses that many between two walks. Others that it
doubts wait for a second complete walk."""

INTERRUPTIONS: Final = 2
"""How often a walk is continued with a page that could not be read: a page that never comes must not stop it for ever.
"""

Claimed = tuple[int, datetime, int, int, str | None, list[dict[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class Removal:
    """How many ads are gone after a walk. `held_back` counts those that it did not see and that are not gone yet."""

    gone: int = 0
    held_back: int = 0


@dataclass(frozen=True, kw_only=True)
class LastWalk:
    """When the last complete walk of a make ended and how many ads the site counted in it, and since when another one
    is open that is to be continued."""

    finished_at: datetime | None = None
    total: int | None = None
    open_since: datetime | None = None

    @property
    def order(self) -> tuple[bool, datetime]:
        """Return a key that sorts makes: those with an open walk first, then the longest ago."""
        never = datetime.min.replace(tzinfo=UTC)
        return self.open_since is None, self.open_since or self.finished_at or never


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
        walk_hours: float = 48,
    ) -> None:
        """`owner` names this crawl, `shrink_limit` is the share of a make that may be gone after one walk. A claim
        lasts `claim_seconds`; a walk that began more than `walk_hours` ago is not continued."""
        self._pool = pool
        self._stats = stats
        self._source = source
        self._owner = owner
        self._shrink_limit = shrink_limit
        self._seconds = claim_seconds
        self._hours = walk_hours
        self._queries = queries("listings")
        self._claimed: tuple[int, int] | None = None

    async def walks(
        self,
        makes: Iterable[Make],
        book: Makes,
        *,
        pause: Callable[[float], Awaitable[bool]],
        pages: int | None = None,
    ) -> AsyncIterator[Walk]:
        """Yield a walk for each make that no other crawl walks; the make is released when the next walk is taken.

        Walks that were interrupted are continued first; then comes the make whose last complete walk is longest ago. A
        make that another crawl has claimed is tried once more at the end, after a `pause` in which a claim expires that
        is not extended. No more walks follow a pause that returns False.
        """
        last = await self.last_walks()
        never = LastWalk()
        waiting = sorted(makes, key=lambda make: last.get(make.slug, never).order)
        for is_last in (False, True):
            claimed = []
            for make in waiting:
                walk = await self.begin(make, book, pages=pages)
                if walk is None:
                    claimed.append(make)
                    continue
                yield walk
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

    async def begin(self, make: Make, book: Makes, *, pages: int | None = None) -> Walk | None:
        """Claim a make and return its walk: the one that was interrupted, if there is one and no `pages` are given,
        else a new one. None if another crawl has claimed the make.

        A walk that was interrupted after its last page is ended, and a new one begins. If the process dies the claim
        expires, and the walk stays open.
        """
        while True:
            claimed = await self._claim(make.slug, pages=pages)
            if claimed is None:
                return None
            number, started_at, token, steps, reason, rows = claimed
            self._claimed = (number, token)
            walk = Walk(
                make,
                book,
                number=number,
                started_at=started_at,
                token=token,
                steps=steps,
                reason=None if pages else reason,
                pieces=[piece_of(row) for row in rows],
                pages=pages,
            )
            if walk.steps:
                self._stats.inc_value("walk/continued")
                log.info("a walk is continued %s", pairs(make=make.slug, since=started_at.isoformat(), pages=steps))
            if walk.first() is not None:
                return walk
            await self.end_walk(walk)

    async def _claim(self, make: str, *, pages: int | None = None) -> Claimed | None:
        """Claim a make and record the beginning of a walk, or take an open one; return its number, its start by the
        database's clock, the token of the claim, the pages read, why it will not be complete, and its pieces."""
        about = {
            "source": self._source,
            "make": make,
            "owner": self._owner,
            "seconds": self._seconds,
            "hours": self._hours,
            "reason": "pages" if pages else None,
        }

        async def claim(connection: AsyncConnection[Any]) -> Any:
            await connection.execute(self._queries["free_make"], about)
            left = await (await connection.execute(self._queries["abandon_walks"], about)).fetchall()
            row = None
            if not pages:
                row = await (await connection.execute(self._queries["continue_walk"], about)).fetchone()
            if row is None:
                row = await (await connection.execute(self._queries["begin_walk"], about)).fetchone()
            if row is None:
                return left, None
            cursor = connection.cursor(row_factory=dict_row)
            await cursor.execute(self._queries["walk_pieces"], {"walk": row[0]})
            return left, (*row, await cursor.fetchall())

        try:
            left, claimed = await in_transaction(self._pool, claim)
        except psycopg.errors.UniqueViolation:  # another crawl began a walk meanwhile
            return None
        for number, started_at, count in left:
            self._stats.inc_value("walk/abandoned")
            log.warning(
                "a walk is not continued: it is too old, or another one is open %s",
                pairs(make=make, walk=number, since=started_at.isoformat(), pages=count),
            )
        found: Claimed | None = claimed
        return found

    async def extend(self) -> None:
        """Extend the claim of the current walk. If another crawl took it over, the next page is not recorded."""
        if self._claimed is not None:
            number, token = self._claimed
            await self._rows("extend_claim", walk=number, token=token, seconds=self._seconds)

    async def release(self) -> None:
        """End the claim of the current walk. If it has not ended, any crawl may continue it."""
        if self._claimed is not None:
            (number, token), self._claimed = self._claimed, None
            await self._rows("release_claim", walk=number, token=token)

    async def interrupt(self, walk: Walk) -> bool:
        """Leave a walk open after a page that could not be read; the next crawl continues with it. Return False if
        that happened too often since the last page, or another crawl took the make over: then the walk is to end."""
        rows = await self._rows("interrupt_walk", walk=walk.number, token=walk.token, most=INTERRUPTIONS)
        if rows:
            self._stats.inc_value("walk/interrupted")
        return bool(rows)

    async def close(self) -> None:
        """End the claim of a walk that ended early. Without a database the claim expires."""
        try:
            await self.release()
        except (psycopg.Error, DatabaseError) as error:
            log.warning(
                "the claim of a make cannot be released: it expires %s", pairs(error=" ".join(str(error).split()))
            )

    async def next_doubt(self, walk: Walk) -> Recheck | None:
        """Return an ad whose own page is to tell whether it is gone, each once: one that no list showed which the walk
        has read to its end. None for a walk that is exact or not complete, and if more than the shrink limit are
        missing at once."""
        if walk.doubts is None:
            walk.doubts = await self._doubts(walk) if walk.is_complete and not walk.is_exact else []
        return walk.doubts.pop(0) if walk.doubts else None

    async def _doubts(self, walk: Walk) -> list[Recheck]:
        about = {
            "source": self._source,
            "make": walk.make.slug,
            "walk": walk.number,
            "started_at": walk.started_at,
            "most": DOUBTS,
        }
        ((active, unseen),) = await self._rows("count_unseen", **about)
        if unseen > max(FEW, active * self._shrink_limit):
            return []
        rows = await self._rows("doubtful_ads", **about)
        return [Recheck(ad_id=ad_id, url=url, asked_at=asked_at) for ad_id, url, asked_at in rows]

    async def end_walk(self, walk: Walk) -> Removal:
        """Record the end of a walk; ads that a complete one did not see are gone, in the same transaction.

        Nothing is recorded by a crawl whose claim was taken over: another one continues the walk. An ad is gone if the
        walk is exact, or if it has read the list that showed the ad last once more to its end. Other ads, and all if
        more than the shrink limit are missing at once, are gone if the complete walk before did not see them either.
        If the process dies before the commit no ad is gone.
        """

        async def end(connection: AsyncConnection[Any]) -> Removal:
            ((is_claimed, gone),) = await (
                await connection.execute(self._queries["hold_claim"], {"walk": walk.number, "token": walk.token})
            ).fetchall()
            if gone is not None:
                return Removal(gone=gone)  # it was committed, and only the confirmation was lost
            if not is_claimed:
                walk.fail("claim_lost")
                return Removal()
            await record_walk(connection, last)
            about = {
                "source": self._source,
                "make": walk.make.slug,
                "walk": walk.number,
                "started_at": walk.started_at,
                "is_complete": walk.is_complete,
                "reason": walk.shortfall,
            }
            removal = await self._remove(connection, walk, about) if walk.is_complete else Removal()
            await connection.execute(self._queries["end_walk"], {**about, "gone": removal.gone})
            await connection.execute(self._queries["forget_pieces"], about)
            return removal

        last = walk.page()
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
                ads=walk.ads,
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
        is_much = unseen > max(FEW, active * self._shrink_limit)
        seen_before = walk.started_at
        if is_much or not walk.is_exact:
            row = await (await connection.execute(self._queries["last_complete_walk"], about)).fetchone()
            seen_before = (row and row[0]) or datetime.min.replace(tzinfo=UTC)
        cursor = await connection.execute(
            self._queries["mark_gone"],
            {**about, "seen_before": seen_before, "read_again": None if is_much else walk.number},
        )
        return Removal(gone=cursor.rowcount, held_back=unseen - cursor.rowcount)

    async def last_walks(self) -> dict[str, LastWalk]:
        """Return the last walks by make."""
        rows = await self._rows("walks_by_age", source=self._source, hours=self._hours)
        return {
            make: LastWalk(finished_at=finished_at, total=total, open_since=open_since)
            for make, finished_at, total, open_since in rows
        }

    async def known_parts(self, make: str) -> tuple[list[str], list[str]]:
        """Return the models and the regions of which the last complete walk of a make found lists with ads."""
        rows = await self._rows("known_parts", source=self._source, make=make)
        models, regions = ([row[place] for row in rows if row[place] is not None] for place in (0, 1))
        return list(dict.fromkeys(models)), list(dict.fromkeys(regions))

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
