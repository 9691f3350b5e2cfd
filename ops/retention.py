"""`vinops retention`: what is older than its days goes, and what went is said. A job of every day."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from etl.store.retention import remove_old
from ops.log_files import prune
from vinops import clock, config, disk, logs
from vinops.clock import ClockDoubted, ClocksDiffer
from vinops.db import database
from vinops.db.database import queries
from vinops.logs import pairs
from vinops.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sized
    from datetime import datetime

    from psycopg import Connection

    from vinops.config import Settings

log = logging.getLogger("retention")

BATCH: Final = 10_000  # rows in one transaction: a tenth of a second, and no lock that others wait for
DAY: Final = 86_400.0


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What stays this time although it may be old, and why."""

    what: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Removed:
    """How much of a thing went, and from what age on it does."""

    what: str
    count: int
    unit: str
    older_than_days: float


def command(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Remove what is older than its days: raw rows, runs, archived files, rotated logs. Says what went.

    Ages are measured against the newest thing of the same kind. While the clock may be wrong nothing is removed, and
    if it is not the database's the exit code is 1.
    """
    settings = config.load()
    logs.configure("retention", settings, console=False)
    removed: list[Removed] = []
    failures: list[str] = []
    with database.connect(settings, application="vinops retention") as connection:
        for each in retain(connection, settings, clock.now()):
            if isinstance(each, Removed):
                removed.append(each)
                log.info("removed %s", pairs(what=each.what, count=each.count, older_than_days=each.older_than_days))
            elif isinstance(each, Kept):
                log.warning("nothing removed %s: %s", pairs(what=each.what), each.reason)
                typer.echo(f"vinops: {each.what}: nothing removed: {each.reason}", err=True)
            else:
                failures.append(redact(each))
                log.error("%s", each)
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in removed]))
    for each in [] if as_json else removed:
        typer.echo(f"{each.what}: {each.count:,} {each.unit} older than {each.older_than_days:g} days removed")
    for failure in failures:
        typer.echo(f"vinops: {failure}", err=True)
    if failures:
        raise typer.Exit(1)


def retain(
    connection: Connection[Any], settings: Settings, now: datetime, *, batch: int = BATCH
) -> Iterator[Removed | Kept | str]:
    """Remove what is too old at `now`, and yield what went, what stays because the clock may be wrong, or why a thing
    could not be removed.

    Rows go `batch` at a time, each batch a transaction of its own: if the process dies, the batches done are done, and
    the next call goes on. Files of the archive are marked in the database before they go (etl/store/retention.py); of
    logs
    only rotated files go. Nothing that the streets still read goes at any age: the last load of the feed and its chain
    of files stay, and so do runs whose heart still beats.
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
        count = _remove_rows(connection, f"remove_{query}", limit, batch)
        yield Removed(what=what, count=count, unit="rows", older_than_days=days)
    files: tuple[tuple[str, Callable[[], Sized], float], ...] = (
        ("archived feed files", lambda: remove_old(connection, settings, now), float(settings.archive_days)),
        ("rotated logs", lambda: prune(settings.log_dir, settings.log_days * DAY), settings.log_days),
    )
    for what, remove, days in files:
        try:
            yield Removed(what=what, count=len(remove()), unit="files", older_than_days=days)
        except ClockDoubted as doubt:
            yield Kept(what=what, reason=str(doubt))
        except OSError as error:
            yield disk.explain(error, settings.data_dir)


def _check_clock(connection: Connection[Any], now: datetime) -> None:
    """Raise ClocksDiffer, or ClockDoubted if the runs of the feed and of crawls say that the clock jumped."""
    (_, at), *days = connection.execute(queries("retention")["run_days"]).fetchall()
    connection.rollback()
    clock.compare(clock.now(), at, "the database")
    clock.check((day for _, day in days), now)


def _newest(connection: Connection[Any], what: str, now: datetime) -> datetime:
    """Return when the newest thing of a kind was, `now` if there is none. Raises ClockDoubted if that is so long ago
    that `now` may be wrong."""
    row = connection.execute(queries("retention")[f"newest_{what}"], {"latest": now + clock.AHEAD}).fetchone()
    connection.rollback()
    if row is None or row[0] is None:
        return now
    clock.check([row[0]], now)
    found: datetime = row[0]
    return min(now, found)


def _remove_rows(connection: Connection[Any], query: str, older_than: datetime, batch: int) -> int:
    """Remove rows batch by batch, each committed, and return how many went."""
    total = 0
    while True:
        count = connection.execute(queries("retention")[query], {"older_than": older_than, "count": batch}).rowcount
        connection.commit()
        total += count
        if count < batch:
            return total
