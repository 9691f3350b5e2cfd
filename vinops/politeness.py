"""Request budgets and circuit breakers of hosts, in the database, shared by all crawls on all machines.

No lock is held while a process waits: one that dies leaves at most a place in the budget unused.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from vinops.config import PACES
from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from psycopg_pool import AsyncConnectionPool

DAY = 86_400.0  # seconds: the longest honoured Retry-After
NO_CAP = 1 << 62
"""A limit of a day's requests that no host reaches, as the database takes it."""


class BreakerOpen(Exception):  # noqa: N818 # a state, not a fault
    """The host refused requests, most recently with `kind`: none is sent before `until`. Raised by Budgets."""

    def __init__(self, host: str, until: datetime, kind: str) -> None:
        super().__init__(f"{host} refused ({kind}): not asked until {until:%Y-%m-%d %H:%M} UTC")
        self.host, self.until, self.kind = host, until, kind


class DailyCapReached(Exception):  # noqa: N818 # a state, not a fault
    """The host got `cap` requests on this day (UTC), which is the limit. Raised by Budgets."""

    def __init__(self, host: str, cap: int) -> None:
        super().__init__(f"{host} was asked {cap} times today, as often as VINOPS_DAILY_REQUESTS or its pace allows")
        self.host, self.cap = host, cap


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Gaps in seconds: between two lots, between two pages of a host, between two images of a host. `daily` is how
    many requests a host gets on a day (UTC); None: as many as the gaps leave room for."""

    lot_gap: float
    page_gap: float
    image_gap: float
    daily: int | None = None

    def first_photos(self, first: int) -> int:
        """Return how many photos the first pass takes of a lot: `first`, or as many as fit into the time until the
        next lot, where lots are so far apart that coming back for the rest would cost another lot its turn."""
        return max(first, int(self.lot_gap / self.image_gap) if self.image_gap else 0)

    def daily_cap(self, most: int | None) -> int | None:
        """Return how many requests a host gets on a day: `most`, the setting, else what the pace says; None: as many
        as the gaps leave room for."""
        return self.daily if most is None else most

    def requests_a_day(self, most: int | None) -> float:
        """Return how many photos a host of photos can be asked for on a day, by the gaps and the limit."""
        gaps = DAY / self.image_gap if self.image_gap else math.inf
        cap = self.daily_cap(most)
        return gaps if cap is None else min(gaps, cap)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place in a host's budget: when its request may start, by the database's clock, and in how many seconds."""

    starts_at: datetime
    seconds: float


@dataclass(frozen=True, kw_only=True)
class OpenBreaker:
    """A host that gets no request before `until`, because it refused, most recently with `kind`."""

    host: str
    until: datetime
    kind: str


_PACES = {
    "careful": Pace(lot_gap=24, page_gap=3, image_gap=0.5, daily=60_000),  # 2.5 lots a minute
    "steady": Pace(lot_gap=0, page_gap=3, image_gap=0.5),
    "none": Pace(lot_gap=0, page_gap=0, image_gap=0),
}


def pace(name: str, *, speed: float = 1.0) -> Pace:
    """Return a pace by its name, its gaps divided by `speed`, as for a clock that runs that much faster.

    `none` is for loopback hosts only; the caller must check that. Raises ValueError for a name that is not in
    config.PACES and for a speed that is not above 0.
    """
    if name not in _PACES or not speed > 0:
        raise ValueError(f"no pace {name!r} at speed {speed}: use one of {', '.join(PACES)}, and a speed above 0")
    found = _PACES[name]
    return replace(
        found,
        lot_gap=found.lot_gap / speed,
        page_gap=found.page_gap / speed,
        image_gap=found.image_gap / speed,
    )


def retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds in a Retry-After header, from 0 to a day; None if it is missing or malformed.

    It is a number of seconds or a date (RFC 9110, section 10.2.3); a date in the past is 0. `now` has a time zone.
    """
    text = (value or "").strip()
    if re.fullmatch(r"[+-]?[0-9]+(?:\.[0-9]+)?", text):
        seconds = float(text)
    else:
        try:
            moment = parsedate_to_datetime(text)
            seconds = ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(seconds, 0.0), DAY)


class Departures:
    """The actual times of the requests of this process. Places are exactly a gap apart, but on a busy loop or machine a
    waiting request leaves late, by up to 20 ms (2026-11-25): the next one, on time, would be too early."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        rest: Callable[[float], object] = lambda _seconds: None,
    ) -> None:
        """Begin without any. `rest` is called with the seconds of each wait before it begins."""
        self._clock = clock
        self._sleep = sleep
        self._rest = rest
        self._last: dict[str, float] = {}

    async def leave(self, host: str, seconds: float, gap: float) -> float:
        """Wait for `seconds`, until the place begins, or until `gap` seconds after the last request, whichever is
        later, and return how long that took. Several waiting requests leave one gap apart."""
        began = self._clock()
        while (left := max(began + seconds, self._last.get(host, -math.inf) + gap) - self._clock()) > 0:
            self._rest(left)
            await self._sleep(left)
        self._last[host] = self._clock()
        return self._last[host] - began


class Budgets:
    """The budgets of the hosts of one crawl. Methods raise DatabaseError without a connection, and psycopg's errors if
    it breaks.

    Each is one transaction, decided by the database and its clock. If the connection breaks, it may have been committed
    all the same; repeating it leaves a place unused, or counts a refusal twice.
    """

    def __init__(
        self, pool: AsyncConnectionPool[Any], *, daily: int | None, refusals: int, open_seconds: float
    ) -> None:
        """Allow `daily` requests for each host and day (UTC), None: any number; open its breaker after `refusals` in a
        row, first for `open_seconds`."""
        self._pool = pool
        self._daily = NO_CAP if daily is None else daily
        self._refusals = refusals
        self._open_seconds = open_seconds
        self._queries = queries("politeness")
        self._refusing: set[str] = set()  # hosts known to this crawl to have refusals to clear
        self._waiting: defaultdict[tuple[str, float], list[asyncio.Future[Place]]] = defaultdict(list)
        self._asking: dict[tuple[str, float], asyncio.Task[None]] = {}

    async def reserve(self, host: str, gap: float) -> float:
        """Reserve the host's next request and return the seconds until it may start; see `place`."""
        return (await self.place(host, gap)).seconds

    async def place(self, host: str, gap: float) -> Place:
        """Reserve the host's next request and count it; the one after it starts at least `gap` seconds later.

        Raises BreakerOpen and DailyCapReached; nothing is reserved or counted then. Raises ValueError for a negative
        gap. A reserved request may be sent even if the host is postponed or its breaker opens meanwhile.
        """
        if not gap >= 0:
            raise ValueError(f"a gap is 0 seconds or more, not {gap}")
        key = host, float(gap)
        place: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        self._waiting[key].append(place)
        if key not in self._asking:
            self._asking[key] = asyncio.ensure_future(self._ask(*key))
        return await place

    async def _ask(self, host: str, gap: float) -> None:
        """Reserve places until no request waits. Requests that arrive during a statement share the next one: separate
        statements lock the same row in turn, and with 16 at once each took 2.6 ms instead of 0.5 (2026-11-25)."""
        key = host, gap
        try:
            while waiting := self._waiting.pop(key, []):
                most = max(self._daily, 1)
                for start in range(0, len(waiting), most):
                    await self._hand_out(host, gap, waiting[start : start + most])
        finally:
            del self._asking[key]

    async def _hand_out(self, host: str, gap: float, waiting: list[asyncio.Future[Place]]) -> None:
        """Give each waiting request a place, in turn, or the exception why there is none."""
        try:
            first = await self._reserve(host, gap, len(waiting))
        except Exception as error:  # noqa: BLE001 # raised in the waiting task
            if isinstance(error, DailyCapReached) and len(waiting) > 1:
                for one in waiting:  # a statement reserves all places or none, and a few may be left
                    await self._hand_out(host, gap, [one])
                return
            for one in waiting:
                if not one.done():
                    one.set_exception(error)
            return
        for number, one in enumerate(waiting):
            if not one.done():  # done if the task was cancelled: the place stays unused
                later = number * gap
                starts_at = first.starts_at + timedelta(seconds=later)
                one.set_result(Place(starts_at=starts_at, seconds=max(first.seconds + later, 0.0)))

    async def _reserve(self, host: str, gap: float, count: int) -> Place:
        """Reserve `count` places, a gap apart, and return the first; its seconds are negative if it has begun."""
        asked = {"host": host, "gap": gap, "count": count, "daily": self._daily}
        async with self._pool.connection() as connection:
            while True:
                row = await (await connection.execute(self._queries["reserve_requests"], asked)).fetchone()
                if row is not None:
                    break
                why = await (await connection.execute(self._queries["blocked_by"], asked)).fetchone()
                if why is not None:
                    until, kind, is_open, is_used_up = why
                    if is_open:
                        raise BreakerOpen(host, until, kind)
                    if is_used_up:
                        raise DailyCapReached(host, self._daily)
                # Between the two statements the breaker closed or the day ended: ask again.
        starts_at, seconds, is_refusing = row
        if is_refusing:
            self._refusing.add(host)
        return Place(starts_at=starts_at, seconds=float(seconds))

    async def postpone(self, host: str, seconds: float) -> None:
        """Let no request to the host start within `seconds`, at most a day. A shorter time never replaces a
        longer one."""
        async with self._pool.connection() as connection:
            await connection.execute(
                self._queries["postpone_requests"], {"host": host, "seconds": min(max(float(seconds), 0.0), DAY)}
            )

    async def refused(self, host: str, kind: str, *, at_once: bool = False) -> datetime | None:
        """Count a refusal, and return until when the breaker is open, None if it is not.

        It opens after `refusals` in a row, or `at_once`; and at the first refusal after it has closed, unless there was
        a success in between. Each time it stays open twice as long, at most a day, until it has been closed for a day.
        """
        about = {
            "host": host,
            "kind": kind,
            "at_once": at_once,
            "refusals": self._refusals,
            "seconds": float(self._open_seconds),
        }
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute(self._queries["count_refusal"], about)
            await connection.execute(self._queries["open_breaker"], about)
            row = await (await connection.execute(self._queries["open_until"], about)).fetchone()
        self._refusing.add(host)  # only now: a success that arrived meanwhile preceded it
        return row[0] if row else None

    async def succeeded(self, host: str) -> bool:
        """Reset the host's count of refusals, unless its breaker is open. Runs a statement only if this crawl knows of
        refusals, from `refused` or from its last `place`.

        Return whether the breaker had been open before: its alert has then passed.
        """
        if host not in self._refusing:
            return False
        async with self._pool.connection() as connection:
            row = await (await connection.execute(self._queries["clear_refusals"], {"host": host})).fetchone()
        self._refusing.discard(host)
        return bool(row and row[0])

    async def open_breakers(self, hosts: Collection[str]) -> list[OpenBreaker]:
        """Return the hosts whose breaker is open, by name."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(self._queries["open_breakers"], {"hosts": list(hosts)})
            rows = await cursor.fetchall()
        return [OpenBreaker(host=host, until=until, kind=kind) for host, until, kind in rows]
