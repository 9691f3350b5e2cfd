"""The scheduled cycle of a market worker: before each request, what it is for.

All workers together have one request budget. Of it the newest ads come first, each minute; then a few rechecks of ads
whose price matters; what is left belongs to the full walks, the make that was walked longest ago first.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Final, Literal

from vinops.db.database import queries
from vinops.politeness import pace
from vinops_scrapy.listings.records import in_transaction
from vinops_scrapy.mobile_bg.newest import NewestPass, NewestPasses
from vinops_scrapy.mobile_bg.rechecks import Recheck, Rechecks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from psycopg import AsyncConnection
    from psycopg_pool import AsyncConnectionPool
    from scrapy import Request
    from scrapy.statscollectors import StatsCollector

    from vinops.config import Settings
    from vinops_scrapy.mobile_bg.makes import Make, Makes
    from vinops_scrapy.mobile_bg.schedule import Schedule
    from vinops_scrapy.mobile_bg.walks import Walk

Kind = Literal["newest", "recheck", "walk"]

UNBROKEN: Final = 3
"""Pages of a pass over the newest ads that follow one another; after that every other page is one of a walk."""
APART: Final = 4
"""Other requests between two rechecks, at least, while there is a walk: on a slow site a recheck is always due."""
PATIENCE: Final = 40
"""After so many other requests a recheck that is due comes before the newest ads."""
RETRIES: Final = 6
"""A make whose walk ended incomplete is walked again after a sixth of the time between two complete walks."""
AGAIN: Final = 1 / 72
"""A walk that was left open is continued after this part of the same time: seven minutes of eight hours."""
LONGEST_IDLE: Final = 5.0
"""Seconds of a worker's clock after which it looks again whether something is due."""


@dataclass(frozen=True, kw_only=True)
class Ready:
    """What a crawl could request now."""

    newest: bool = False
    recheck: bool = False
    walk: bool = False


class Turns:
    """Whose turn the next request is. A pure decision, which no kind of request can starve:

    - The newest ads come first, but after three pages of a pass every other request is one of the walk, and between two
      passes there is at least one.
    - A recheck that is due comes before the walk, but at most every fifth request is one. How often one is due is not
      decided here.
    - After forty other requests a recheck that is due comes before the newest ads.
    """

    def __init__(self) -> None:
        """Begin with the newest ads."""
        self._pages = 0
        self._others = PATIENCE
        self.owes_walk = False
        """Whether the walk, if there is one, comes before the newest ads."""

    def choose(self, ready: Ready) -> Kind | None:
        """Return what the next request is for; None if nothing is ready."""
        kind = self._kind(ready)
        if kind == "newest":
            self._pages += 1
            self.owes_walk = self._pages >= UNBROKEN
        elif kind == "walk":
            self.owes_walk = False
        if kind is not None:
            self._others = 0 if kind == "recheck" else self._others + 1
        return kind

    def _kind(self, ready: Ready) -> Kind | None:
        if ready.recheck and self._others > PATIENCE:
            return "recheck"
        if ready.newest and not (ready.walk and self.owes_walk):
            return "newest"
        if ready.recheck and (self._others >= APART or not ready.walk):
            return "recheck"
        return "walk" if ready.walk else None

    def pass_ended(self) -> None:
        """The pass over the newest ads has ended."""
        self._pages = 0
        self.owes_walk = True


@dataclass(frozen=True, kw_only=True)
class Ages:
    """Seconds since the last complete walk of a make began, since its last walk ended, and since the last one that
    ended incomplete; infinite for never. With `is_open` a walk is to be continued."""

    complete: float = inf
    ended: float = inf
    incomplete: float = inf
    is_open: bool = False

    def due_in(self, every: float) -> float:
        """Return in how many seconds the make is to be walked again; 0 if it is due."""
        if self.is_open:
            return 0.0
        return max(every - self.complete, every / RETRIES - self.incomplete, 0.0)


def next_makes(makes: Sequence[Make], ages: Mapping[str, Ages], every: float) -> tuple[list[Make], float]:
    """Return the makes that are due, first those whose walk is open, then the one whose last walk ended longest ago,
    and in how many seconds another one will be; infinity if there is no other."""
    due_in = {make.slug: ages.get(make.slug, Ages()).due_in(every) for make in makes}
    due = [make for make in makes if due_in[make.slug] <= 0]
    due.sort(key=lambda make: (not ages.get(make.slug, Ages()).is_open, -ages.get(make.slug, Ages()).ended))
    return due, min((seconds for seconds in due_in.values() if seconds > 0), default=inf)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What the next request is for: a page of a pass or of a walk, or a recheck. `request` is the next one of a course
    that has begun."""

    course: NewestPass | Walk | None = None
    recheck: Recheck | None = None
    request: Request | None = None


class Cycle:
    """What one worker has in hand: a pass over the newest ads, a recheck and a walk, each if it has claimed one.

    If the process dies, each claim expires: another crawl makes the pass and walks the make.
    """

    def __init__(
        self,
        pool: AsyncConnectionPool[Any],
        source: str,
        *,
        schedule: Schedule,
        passes: NewestPasses,
        rechecks: Rechecks | None,
        makes: Sequence[Make],
        book: Makes,
        every: float,
        speed: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Walk these makes, none more often than each `every` seconds. `speed` is that of the clock, for stand-ins."""
        self._pool = pool
        self._source = source
        self._schedule = schedule
        self._passes = passes
        self._rechecks = rechecks
        self._makes = makes
        self._book = book
        self._every = every
        self._longest = LONGEST_IDLE / speed
        self._clock = clock
        self._queries = queries("cycle")
        self._turns = Turns()
        self._newest: NewestPass | None = None
        self._recheck: Recheck | None = None
        self._walk: Walk | None = None
        self._not_before: dict[str, float] = {}
        self._requests: dict[int, Request] = {}  # by the id of the course
        self._ask_at: dict[Kind, float] = dict.fromkeys(("newest", "recheck", "walk"), 0.0)

    async def turn(self) -> Turn | None:
        """Return what the next request is for, claimed for this crawl; None if nothing is due."""
        if self._walk is None and self._is_time("walk"):
            await self._begin_walk()
        if self._newest is None and self._is_time("newest") and not (self._walk and self._turns.owes_walk):
            self._newest = self._taken("newest", await self._passes.begin())
        if self._rechecks and self._recheck is None and self._is_time("recheck"):
            self._recheck = self._taken("recheck", await self._rechecks.take())
        kind = self._turns.choose(Ready(newest=bool(self._newest), recheck=bool(self._recheck), walk=bool(self._walk)))
        if kind is None:
            return None
        if kind == "recheck":
            recheck, self._recheck = self._recheck, None
            return Turn(recheck=recheck)
        course = self._newest if kind == "newest" else self._walk
        return Turn(course=course, request=self._requests.pop(id(course), None))

    def idle_seconds(self) -> float:
        """Return for how many seconds nothing will be due."""
        soonest = min(at for kind, at in self._ask_at.items() if kind != "recheck" or self._rechecks)
        return min(max(soonest - self._clock(), 0.01), self._longest)

    async def due_makes(self) -> list[Make]:
        """Return the makes that are due to be walked, in their order."""
        due, _ = next_makes(self._makes, await self._ages(), self._every)
        return due

    def follow(self, course: NewestPass | Walk, request: Request) -> None:
        """Keep the next request of a course until its turn comes."""
        self._requests[id(course)] = request

    async def end_pass(self, course: NewestPass) -> None:
        """Record the end of the pass."""
        self._newest = None
        self._turns.pass_ended()
        await self._passes.end(course)

    async def end_walk(self, *, is_open: bool = False) -> None:
        """Release the make of the walk, and let another walk begin. One that is left open is continued after a while:
        the site may be about to recover, and other makes wait."""
        if self._walk is not None and is_open:
            self._not_before[self._walk.make.slug] = self._clock() + AGAIN * self._every
        self._walk = None
        await self._schedule.release()

    def end_recheck(self, outcome: str) -> None:
        """Note the outcome of a recheck."""
        if self._rechecks:
            self._ask_at["recheck"] = max(self._ask_at["recheck"], self._clock() + self._rechecks.ended(outcome))

    async def extend(self) -> None:
        """Extend the claim of the pass; the schedule extends that of the walk."""
        await self._passes.extend()

    async def close(self) -> None:
        """End the claim of the pass."""
        await self._passes.close()

    def _is_time(self, kind: Kind) -> bool:
        return self._clock() >= self._ask_at[kind]

    def _taken(self, kind: Kind, found: Any) -> Any:
        """Return what was taken; None, and when to ask again, if it was nothing."""
        if not isinstance(found, float):
            return found
        self._ask_at[kind] = self._clock() + found
        return None

    async def _begin_walk(self) -> None:
        """Begin, or continue, the walk of the make that is due first, of those that no other crawl walks."""
        due, seconds = next_makes(self._makes, await self._ages(), self._every)
        for make in due:
            if self._clock() >= self._not_before.get(make.slug, 0.0):
                self._walk = await self._schedule.begin(make, self._book)
            if self._walk is not None:
                return
        self._ask_at["walk"] = self._clock() + min(seconds, 6 * self._longest)

    async def _ages(self) -> dict[str, Ages]:
        about = {"source": self._source, "makes": [make.slug for make in self._makes]}

        async def read(connection: AsyncConnection[Any]) -> list[Any]:
            return await (await connection.execute(self._queries["walk_ages"], about)).fetchall()

        rows = await in_transaction(self._pool, read)
        return {
            slug: Ages(complete=complete, ended=ended, incomplete=incomplete, is_open=is_open)
            for slug, complete, ended, incomplete, is_open in rows
        }


def new_cycle(
    pool: AsyncConnectionPool[Any],
    stats: StatsCollector,
    source: str,
    schedule: Schedule,
    settings: Settings,
    makes: Sequence[Make],
    book: Makes,
    *,
    owner: str,
    claim_seconds: float,
    speed: float,
) -> Cycle:
    """Return the cycle of a crawl as the settings have it. On a fast clock all intervals are as much shorter; claims
    are not."""
    passes = NewestPasses(
        pool,
        stats,
        source,
        owner=owner,
        every=settings.newest_every / speed,
        pages=settings.newest_pages,
        page_limit=book.page_limit,
        claim_seconds=claim_seconds,
    )
    rechecks = Rechecks(
        pool,
        stats,
        source,
        spacing=pace("steady", speed=speed).page_gap / (settings.recheck_share or 1.0),
        min_score=settings.deals_min_score,
        speed=speed,
    )
    return Cycle(
        pool,
        source,
        schedule=schedule,
        passes=passes,
        rechecks=rechecks if settings.recheck_share else None,
        makes=makes,
        book=book,
        every=settings.walk_every_hours * 3600 / speed,
        speed=speed,
    )
