"""A day of alerts at Telegram's limits: `python -m bench.alert_day`, ten thousand watches of a hundred chats.

New ads come all day, in bursts, are matched and told by the real code, at the stand-in for Telegram, which enforces the
limits of messages (standin/telegram/limits.py). The day is not waited for: the code, the statements and the stand-in
are told another time, which passes only while the sender waits for its next place, and when there is nothing to do. A
call takes no time, so nothing but the sender's own pace keeps it below the limits. It is exact: a refusal is a fault,
and no slow machine.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, LiteralString
from unittest.mock import patch

from bench import watches
from bench.pairs import say
from bench.server import running
from deals.channel import pace
from deals.watches import clock, matching
from deals.watches.sending import queue
from deals.watches.sending.send import Sender
from standin.telegram import limits
from standin.telegram.server import TelegramServer
from vinops import config, telegram, vehicles
from vinops.config import Secret
from vinops.db import database

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from psycopg import Connection

    from bench.server import Place
    from vinops.config import Settings

TOKEN: Final = "12345:bench"  # of the stand-in
LOOK: Final = timedelta(seconds=0.5)  # as the bot rests between two looks

# Unqualified names are looked up here first, so that all statements are told the time of the day that is played.
CLOCK: Final[tuple[LiteralString, ...]] = (
    "create schema played",
    (
        "create function played.now() returns timestamptz stable as"
        " $$ select current_setting('played.at')::timestamptz $$ language sql"
    ),
    (
        "create function played.clock_timestamp() returns timestamptz volatile as"
        " $$ select current_setting('played.at')::timestamptz $$ language sql"
    ),
    "set search_path to played, public, pg_catalog",
    "alter table watch_hits alter found_at set default played.clock_timestamp()",
    (
        "alter table watch_messages alter created_at set default played.clock_timestamp(),"
        " alter next_try_at set default played.now()"
    ),
)
# The times of people count from when the day begins, whenever that is: quiet hours are its tenth to its twentieth.
PEOPLE: Final[tuple[LiteralString, ...]] = (
    """update watch_people set language = 'en',
        quiet_from = case when mod(id, 2) = 0 then mod(begins.at + 600, 1440) end,
        quiet_to = case when mod(id, 2) = 0 then mod(begins.at + 1200, 1440) end,
        digest_at = case when mod(id, 5) = 0 then mod(begins.at + 1260, 1440) end
    from (select extract(epoch from played.now() at time zone 'Europe/Sofia')::bigint / 60 % 1440 as at) as begins""",
    "update watch_people set chat_id = -1000000 - id where mod(id, 10) = 1",
    "update watches set since = played.now()",
)


@dataclass(frozen=True, kw_only=True)
class Size:
    """What the market and its watches are, and how many ads come how often."""

    watches: watches.Size
    hours: float
    ads: int
    every: timedelta


FULL: Final = Size(watches=watches.FULL, hours=24, ads=20, every=timedelta(minutes=30))


@dataclass(kw_only=True)
class Played:
    """The time of the day that is played, of the code, the statements of a connection, and the stand-in."""

    connection: Connection[Any]
    at: datetime

    def __post_init__(self) -> None:
        """Tell the connection."""
        self.to(self.at)

    def to(self, moment: datetime) -> None:
        """Let it be that time, unless it is later."""
        self.at = max(self.at, moment)
        self.connection.execute("select set_config('played.at', %s, false)", [self.at.isoformat()])

    def sleep(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self.to(self.at + timedelta(seconds=seconds))

    @contextmanager
    def told(self) -> Iterator[None]:
        """Tell this time to the code and the stand-in."""
        times = SimpleNamespace(monotonic=lambda: self.at.timestamp())
        with ExitStack() as patches:
            patches.enter_context(patch.object(clock, "now", lambda: self.at))
            patches.enter_context(patch.object(pace, "time", SimpleNamespace(sleep=self.sleep)))
            patches.enter_context(patch.object(limits, "time", times))
            yield


@dataclass(frozen=True, kw_only=True)
class Day:
    """What a day came to. `delays` are the seconds from finding a car to its message, of those told at once."""

    hits: int
    ads: int
    messages: dict[str, int] = field(repr=False)
    refused: int
    connections: int
    delays: Sequence[float] = field(repr=False)
    seconds: float
    """That the machine took for all of it."""
    sending: float
    """Of these, for the sender's steps."""

    def __str__(self) -> str:
        """Return the lines that are printed."""
        sent = sum(self.messages.values())
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.messages.items()))
        quick = statistics.quantiles(self.delays, n=20) if len(self.delays) > 1 else [0.0] * 19
        return "\n".join([
            f"{self.ads:,} new ads, {self.hits:,} hits, {sent:,} calls: {kinds}",
            f"refused with 429: {self.refused}",
            f"from a hit to its message, of those told at once: p50 {quick[9]:.1f} s, p95 {quick[18]:.1f} s",
            f"connections: {self.connections}; {sent / max(self.sending, 0.001):.0f} calls a second without a pace",
            f"played in {self.seconds:.0f} s",
        ])  # fmt: skip


def play(connection: Connection[Any], settings: Settings, size: Size) -> Day:
    """Play a day on a database that has ads and watches. The connection is in autocommit."""
    for statement in CLOCK[:3]:
        connection.execute(statement)
    with TelegramServer(token=TOKEN, limits=True) as server:
        told = replace(settings, telegram_bot_token=Secret(TOKEN), telegram_api_url=server.url)
        played = Played(connection=connection, at=datetime.now(UTC))
        for statement in (*CLOCK[3:], *PEOPLE):
            connection.execute(statement)
        with played.told(), telegram.kept_connection():
            return _Player(played, Sender(connection, told), server).play(size)


class _Player:
    def __init__(self, played: Played, sender: Sender, server: TelegramServer) -> None:
        self._played = played
        self._connection = played.connection
        self._sender = sender
        self._server = server
        self._sending = 0.0
        self._told: list[int] = []

    def play(self, size: Size) -> Day:
        began = time.perf_counter()
        played, connection = self._played, self._connection
        end = played.at + timedelta(hours=size.hours)
        bursts = [played.at + size.every * number for number in range(int(timedelta(hours=size.hours) / size.every))]
        ids = [row[0] for row in connection.execute("select listing_id from board where not is_gone").fetchall()]
        coming = random.Random(7).sample(ids, size.ads * len(bursts))
        hits = 0
        for number, burst in enumerate(bursts, 1):
            played.to(burst)
            hits += self._publish([coming.pop() for _ in range(size.ads)])
            self._send(until=bursts[number] if number < len(bursts) else end)
        return self._day(hits, size.ads * len(bursts), began)

    def _publish(self, ids: list[int]) -> int:
        """Let ads come, a tenth of the cars that were told before cost less, and some of them go; return the hits."""
        connection, at = self._connection, self._played.at
        connection.execute("update board set first_seen = %s where listing_id = any(%s)", [at, ids])
        photo = "update listings set photo_urls = array['https://photos.example/1.jpg'] where id = any(%s)"
        connection.execute(photo, [ids])
        cheaper, going = self._told[::10], self._told[5::10]
        lower = "update normalized_listings set price_eur = price_eur * 0.8 where listing_id = any(%s)"
        connection.execute(lower, [cheaper])
        connection.execute("update listings set removed_at = %s where id = any(%s)", [at, going])
        queue.queue_changes(connection, [*cheaper, *going])
        self._told = ids
        return matching.record(connection, ids)

    def _send(self, until: datetime) -> None:
        """Send what is due, as the loop of the bot does, until a time."""
        played = self._played
        while played.at < until:
            found = self._sender.queue()
            began = time.perf_counter()
            while self._sender.step():
                pass
            self._sending += time.perf_counter() - began
            next_at = None if found else self._next()
            played.to(min(until, max(next_at or until, played.at + LOOK) if not found else played.at + LOOK))

    def _next(self) -> datetime | None:
        """Return when the next message or digest is due."""
        row = self._connection.execute(
            "select least(min(greatest(messages.next_try_at, people.next_at)), (select min(digest_due) from"
            " watch_people)) from watch_messages as messages inner join watch_people as people"
            " on messages.person_id = people.id where messages.state = 'waiting'"
        ).fetchone()
        found: datetime | None = row[0] if row else None
        return found

    def _day(self, hits: int, ads: int, began: float) -> Day:
        rows = self._connection.execute(
            "select kind, count(*) from watch_messages where state = 'sent' group by kind"
        ).fetchall()
        delays = self._connection.execute(
            "select extract(epoch from settled_at - created_at)::float8 from watch_messages"
            " where state = 'sent' and kind = 'hit'"
        ).fetchall()
        calls = self._server.limits
        return Day(
            hits=hits,
            ads=ads,
            messages=dict(rows),
            refused=0 if calls is None else calls.refused,
            connections=len({each.port for each in self._server.requests}),
            delays=[row[0] for row in delays],
            seconds=time.perf_counter() - began,
            sending=self._sending,
        )


def main() -> int:
    """Fill a database, play a day, and print what it came to; 1 if Telegram refused a call."""
    with running(config.load().data_dir.resolve() / "bench") as server:
        place = server.make("alerts", "migrated")
        say(f"alerts: {FULL.watches.active:,} ads, {FULL.watches.watches:,} watches")
        watches.fill(place, FULL.watches, random.Random(4).sample(sorted(vehicles.families()), 300))
        day = played(place)
    print(day)
    return 1 if day.refused else 0


def played(place: Place) -> Day:
    """Play the day on a database that was filled."""
    with database.connect(place.settings, application="bench", autocommit=True) as connection:
        return play(connection, place.settings, FULL)


if __name__ == "__main__":
    sys.exit(main())
