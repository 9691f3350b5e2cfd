"""Removes what is past its retention period: rows, archived feed files, rotated logs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from etl.store.retention import remove_old
from ops.log_files import prune
from vinops import clock, disk
from vinops.clock import ClockDoubted, ClocksDiffer
from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sized
    from datetime import datetime

    from psycopg import Connection

    from vinops.config import Settings

BATCH: Final = 10_000  # rows in one transaction: a tenth of a second, and no lock that others wait for
DAY: Final = 86_400.0


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A kind of data that is not removed this time, and why."""

    what: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Removed:
    """How much of a kind of data was removed, and its retention period."""

    what: str
    count: int
    unit: str
    older_than_days: float


def retain(
    connection: Connection[Any], settings: Settings, now: datetime, *, batch: int = BATCH, dry_run: bool = False
) -> Iterator[Removed | Kept | str]:
    """Remove what is past its retention period at `now`. Yield for each kind of data how much was removed, why it was
    kept because the clock may be wrong, or why it could not be removed. With `dry_run` nothing is removed or marked:
    the counts are of what would be.

    Rows are removed `batch` at a time, each batch in a transaction of its own: if the process dies, the next call goes
    on. Files of the archive are marked in the database before they are removed (etl/store/retention.py); of logs only
    rotated files are. Nothing that the pipelines still read is removed at any age: the last load of the feed and its
    chain of files stay, and so do runs with a current heartbeat.
    """
    try:
        _check_clock(connection, now)
    except ClockDoubted as doubt:
        yield str(doubt) if isinstance(doubt, ClocksDiffer) else Kept(what="all that is old", reason=str(doubt))
        return
    for what, query, days in (
        ("raw rows of the feed", "staging", settings.staging_days),
        ("runs of the feed", "etl_runs", settings.runs_days),
        ("runs of crawls", "crawl_runs", settings.runs_days),
        ("alerts that have passed", "alerts", settings.runs_days),
    ):
        try:
            limit = _newest(connection, query, now) - timedelta(days=days)
        except ClockDoubted as doubt:
            yield Kept(what=what, reason=str(doubt))
            continue
        count = _count(connection, query, limit) if dry_run else _remove_rows(connection, query, limit, batch)
        yield Removed(what=what, count=count, unit="rows", older_than_days=days)
    files: tuple[tuple[str, Callable[[], Sized], float], ...] = (
        (
            "archived feed files",
            lambda: remove_old(connection, settings, now, dry_run=dry_run),
            float(settings.archive_days),
        ),
        (
            "rotated logs",
            lambda: prune(settings.log_dir, settings.log_days * DAY, dry_run=dry_run),
            settings.log_days,
        ),
    )
    for what, remove, days in files:
        try:
            yield Removed(what=what, count=len(remove()), unit="files", older_than_days=days)
        except ClockDoubted as doubt:
            yield Kept(what=what, reason=str(doubt))
        except OSError as error:
            yield disk.explain(error, settings.data_dir)


def _check_clock(connection: Connection[Any], now: datetime) -> None:
    """Raise ClocksDiffer, or ClockDoubted if the clock jumped ahead of the runs of the feed and of crawls."""
    (_, at), *days = connection.execute(queries("retention")["run_days"]).fetchall()
    connection.rollback()
    clock.compare(clock.now(), at, "the database")
    clock.check((day for _, day in days), now)


def _newest(connection: Connection[Any], what: str, now: datetime) -> datetime:
    """Return the time of the newest row of a kind, `now` if there is none. Raises ClockDoubted if it is so old that
    `now` may be wrong."""
    row = connection.execute(queries("retention")[f"newest_{what}"], {"latest": now + clock.AHEAD}).fetchone()
    connection.rollback()
    if row is None or row[0] is None:
        return now
    clock.check([row[0]], now)
    found: datetime = row[0]
    return min(now, found)


def _count(connection: Connection[Any], what: str, older_than: datetime) -> int:
    """Return how many rows of a kind would be removed."""
    row = connection.execute(queries("retention")[f"count_{what}"], {"older_than": older_than}).fetchone()
    connection.rollback()
    return int(row[0]) if row else 0


def _remove_rows(connection: Connection[Any], what: str, older_than: datetime, batch: int) -> int:
    """Remove rows batch by batch, each committed, and return how many."""
    total = 0
    while True:
        about = {"older_than": older_than, "count": batch}
        count = connection.execute(queries("retention")[f"remove_{what}"], about).rowcount
        connection.commit()
        total += count
        if count < batch:
            return total
