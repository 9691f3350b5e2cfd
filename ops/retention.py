"""Removes what is past its retention period: rows, photos of gone lots, archived feed files, rotated logs.

Photos go in an order that is safe at any kill: first the rows, in one transaction with a queue of their objects; a day
later, if still no photo refers to it, the object; then its entry in the queue. A row never names an object that
retention has removed, and an object without rows is in the queue until it is gone.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from etl.store.retention import remove_old
from ops.log_files import prune
from vinops import clock, disk
from vinops.clock import ClockDoubted, ClocksDiffer
from vinops.db.database import queries
from vinops.storage.folder import Folder
from vinops.storage.opening import open_photos
from vinops.storage.store import PHOTOS, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sized
    from datetime import datetime

    from psycopg import Connection

    from vinops.config import Settings
    from vinops.storage.store import Store

LOTS: Final = 1_000  # lots with all that belongs to them in one transaction: half a second
OBJECTS: Final = 1_000  # removed from the store between two commits
HOLD: Final = timedelta(days=1)
"""How long the objects of removed photos stay: a crawl that found them before, for another lot of the vehicle, has
recorded its photos by then."""
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

    Rows are removed `batch` at a time, each batch in a transaction of its own: if the process dies, the next call
    continues. Files of the archive are marked in the database before they are removed (etl/store/retention.py); of
    logs, only rotated files are. Nothing that the pipelines still read is removed at any age: the last load of the feed
    and its chain of files stay, and so do active lots and runs with a current heartbeat. Events, gone lots and their
    photos are removed only if a setting says so.
    """
    try:
        _check_clock(connection, now)
    except ClockDoubted as doubt:
        yield str(doubt) if isinstance(doubt, ClocksDiffer) else Kept(what="all old data", reason=str(doubt))
        return
    yield from _retain_rows(connection, settings, now, batch=batch, dry_run=dry_run)
    if not dry_run:
        try:
            yield from _remove_objects(connection, settings, now)
        except StoreError as error:
            yield f"objects of removed photos: {error}"
    yield from _retain_files(connection, settings, now, dry_run=dry_run)


def _retain_files(
    connection: Connection[Any], settings: Settings, now: datetime, *, dry_run: bool
) -> Iterator[Removed | Kept | str]:
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


def _retain_rows(
    connection: Connection[Any], settings: Settings, now: datetime, *, batch: int, dry_run: bool
) -> Iterator[Removed | Kept]:
    for what, query, newest, days in (
        ("raw rows of the feed", "staging", "staging", settings.staging_days),
        ("runs of the feed", "etl_runs", "etl_runs", settings.runs_days),
        ("runs of crawls", "crawl_runs", "crawl_runs", settings.runs_days),
        ("alerts that have passed", "alerts", "alerts", settings.runs_days),
        ("events of lots", "events", "etl_runs", settings.event_days),  # a load writes them
        ("photos of gone lots", "gone_photos", "gone", photo_days(settings)),
        ("gone lots", "lots", "gone", settings.gone_lot_days),
    ):
        if days is None:
            continue
        try:
            limit = _newest(connection, newest, now) - timedelta(days=days)
        except ClockDoubted as doubt:
            yield Kept(what=what, reason=str(doubt))
            continue
        if dry_run:
            count = _count(connection, query, limit)
        elif query == "lots":
            count = _remove_lots(connection, limit, min(batch, LOTS))
        else:
            count = _remove_rows(connection, query, limit, batch, now)
        yield Removed(what=what, count=count, unit="rows", older_than_days=days)


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


def photo_days(settings: Settings) -> float | None:
    """Return for how many days the photos of gone lots are kept, None for ever: no longer than the lots."""
    days = (settings.gone_photo_days, settings.gone_lot_days)
    return min((each for each in days if each is not None), default=None)


def _remove_lots(connection: Connection[Any], older_than: datetime, batch: int) -> int:
    """Remove gone lots with all that belongs to them, batch by batch, each committed, and return how many.

    Lots whose photos are not removed yet stay. A load that links a new lot to one of them at this moment fails, and the
    next load succeeds.
    """
    statements, total = queries("retention"), 0
    while True:
        found = connection.execute(statements["old_lots"], {"older_than": older_than, "count": batch}).fetchall()
        lots = {"lot_ids": [lot for (lot,) in found]}
        for name in ("events_of_lots", "leases_of_lots", "shared_vins_of_lots", "rows_of_lots"):
            connection.execute(statements[f"drop_{name}"], lots)
        connection.execute(statements["forget_previous_lots"], lots)
        connection.execute(statements["remove_lots"], lots)
        connection.commit()
        total += len(found)
        if len(found) < batch:
            return total


def _remove_objects(connection: Connection[Any], settings: Settings, now: datetime) -> Iterator[Removed]:
    """Remove the objects of photos whose rows were removed HOLD ago, unless a photo refers to them. Raises StoreError.

    If the process dies, entries of objects that are removed already may be left; removing those again does nothing.
    """
    statements = queries("retention")
    about = {"older_than": now - HOLD, "count": OBJECTS}
    connection.execute(statements["forget_used_objects"], about)
    connection.commit()
    total = 0
    with ExitStack() as stack:
        stores: list[Store] = []
        while keys := [str(key) for (key,) in connection.execute(statements["unused_objects"], about).fetchall()]:
            connection.rollback()  # no transaction is open while the store is asked
            stores = stores or _stores(settings, stack)
            for key in keys:
                for store in stores:
                    with suppress(ValueError):  # text that is no key: the store has no such object
                        store.delete(key)
            connection.execute(statements["forget_objects"], {"keys": keys})
            connection.commit()
            total += len(keys)
        connection.rollback()
    if total:
        days = HOLD / timedelta(days=1)
        yield Removed(what="objects of removed photos", count=total, unit="objects", older_than_days=days)


def _stores(settings: Settings, stack: ExitStack) -> list[Store]:
    """Return the stores that photos may be in: that of the settings, and the folder from before R2 was set."""
    stores = [open_photos(settings)]
    if settings.r2_endpoint:
        stores.append(Folder(settings.data_dir / "photos", PHOTOS))
    for store in stores:
        stack.callback(store.close)
    return stores


def _remove_rows(connection: Connection[Any], query: str, older_than: datetime, batch: int, now: datetime) -> int:
    """Remove rows batch by batch, each committed, and return how many."""
    total = 0
    while True:
        values = {"older_than": older_than, "count": batch, "now": now}
        cursor = connection.execute(queries("retention")[f"remove_{query}"], values)
        # A statement that does more than to remove rows returns how many it removed.
        row = cursor.fetchone() if cursor.description else None
        count = cursor.rowcount if row is None else int(row[0])
        connection.commit()
        total += count
        if count < batch:
            return total
