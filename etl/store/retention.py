"""Retention of archived files: whole chains at once, never a file that another one still needs."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vinops import clock
from vinops.db.database import queries

if TYPE_CHECKING:
    from psycopg import Connection

    from vinops.config import Settings

log = logging.getLogger("etl")


def remove_old(connection: Connection[Any], settings: Settings, now: datetime, *, dry_run: bool = False) -> list[Path]:
    """Remove the chains whose newest file is VINOPS_ARCHIVE_DAYS older than the newest of all; return their paths. With
    `dry_run` nothing is removed or marked.

    The chain of the last load stays at any age. The rows are marked in one transaction, then the files are removed: if
    the process dies in between, the next call removes the rest. Raises ClockDoubted, before anything is removed, if the
    clock may be wrong.
    """
    limit = _newest(connection, now) - timedelta(days=settings.archive_days)
    marked = connection.execute(queries("feed")["mark_old_files"], {"older_than": limit}).fetchall()
    if dry_run:
        left = connection.execute(queries("feed")["removed_files"]).fetchall()
        connection.rollback()
        return [Path(path) for (path,) in left if (settings.data_dir / path).exists()]
    connection.commit()
    if marked:
        log.info("archive: %d files older than %d days are removed", len(marked), settings.archive_days)
    removed = []
    for (path,) in connection.execute(queries("feed")["removed_files"]).fetchall():
        target = settings.data_dir / path
        if target.exists():
            target.unlink()
            removed.append(Path(path))
    connection.rollback()
    return removed


def check_clock(connection: Connection[Any]) -> None:
    """Raise ClockDoubted if this machine's clock is not the database's, or if the runs of the feed say that it
    jumped. Ends the transaction."""
    rows = connection.execute(queries("feed")["run_days"]).fetchall()
    connection.rollback()
    (_, at), *days = rows
    clock.compare(clock.now(), at, "the database")
    clock.check((day for _, day in days), at)


def _newest(connection: Connection[Any], now: datetime) -> datetime:
    """Return when the newest file was fetched. Raises ClockDoubted if that is so long ago that `now` may be wrong."""
    row = connection.execute(queries("feed")["newest_file"], {"latest": now + clock.AHEAD}).fetchone()
    if row is None or row[0] is None:
        return now
    found: datetime = row[0]
    clock.check([found], now)
    return min(now, found)
