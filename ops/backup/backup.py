"""Takes backups: a dump of the database counts only after it was restored and compared.

The dump and the figures it is compared with come from one snapshot, so that other sessions may write meanwhile
(docs/decisions/0018-backups.md).
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from ops.backup import dumps, files as backup_files
from ops.backup.dumps import BackupError
from ops.backup.files import LAST, PART, SIDECAR, Backup
from vinops import clock, disk
from vinops.clock import ClockDoubted
from vinops.db import database
from vinops.db.database import queries
from vinops.logs import pairs
from vinops.redaction import redact
from vinops.storage.store import StoreError
from vinops.text.figures import age

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from psycopg import Connection

    from ops.backup.dumps import Contents, Programs
    from ops.backup.progress import Progress
    from vinops.config import Settings
    from vinops.storage.store import Store

log = logging.getLogger("backup")

FAILURES: Final = (BackupError, StoreError, OSError)
ROWS_A_SECOND: Final = 60_000  # dumped, restored and compared: 20.7 M rows in 347 s on two cores, 2026-11-29
ENOUGH_ROWS: Final = 100_000  # of a backup, to tell its pace: a small one takes the time of its start
GO: Final = (
    "fewer backups (VINOPS_BACKUP_KEEP, VINOPS_BACKUP_DAYS; `vinops backup --list`), or another place (`--to FOLDER`, "
    f"`--to-r2`); {disk.GO}"
)
DATABASE_FULL: Final = (
    "; the disk of the database's server is full: a backup and a restore need room for a second copy of the database "
    "there; docs/runbook.md, The disk is full"
)


def take(
    settings: Settings, folder: Path, *, keep: int, days: float, progress: Progress, store: Store | None = None
) -> tuple[Backup, list[str]]:
    """Take a backup into the folder, or through it into a `store`; return it, and the names of the backups removed.

    Removed are those beyond the newest `keep` and those older than `days`, never this one, and none while the clock
    may be wrong. Raises BackupError, StoreError, OSError; the backups that were there are as before then. If the
    process dies, a part and a scratch database are left, which the next call removes, and either the backup is whole
    or there is none.
    """
    import psycopg

    began = time.monotonic()
    address = database.url(settings)
    with ExitStack() as stack:
        stack.enter_context(backup_files.only_one(folder))
        store = store or backup_files.in_folder(folder)
        _remove_leftovers(folder)
        admin = stack.enter_context(closing(dumps.maintenance(address, "vinops backup")))
        dumps.require_create(admin)
        for name in dumps.sweep(admin):
            log.warning("a killed backup or restore left a database; it was dropped %s", pairs(database=name))
        taken_at = _free_second(folder, clock.agreed(clock.now(), dumps.clock_of(admin)))
        name = f"vinops-{taken_at:%Y%m%dT%H%M%SZ}.dump"
        part = folder / (name + PART)
        for path in (part, folder / (name + SIDECAR + PART)):
            stack.callback(path.unlink, missing_ok=True)
        progress.step(_expected(settings, address))
        which, facts, held, size, digest = _dump(address, part, progress, skip=settings.backup_skip)
        progress.step(f"verifying: {size / 1e6:,.1f} MB into a scratch database, {held.rows:,} rows to compare")
        with dumps.scratch(admin, address, encoding=facts["encoding"]) as scratch:
            try:
                compare(which, scratch.address, part, digest, held, progress)
            except BackupError as error:
                raise BackupError(f"the dump was not verified, and is not a backup: {error}") from None
        backup = Backup(
            name=name,
            taken_at=taken_at.isoformat(),
            seconds=round(time.monotonic() - began, 1),
            bytes=size,
            sha256=digest,
            database=facts["database_name"],
            encoding=facts["encoding"],
            server_version=facts["server_version"],
            dump_major=which.major,
            migrations=facts["migrations"],
            tables=dict(held.tables),
            sequences=dict(held.sequences),
            skipped=settings.backup_skip,
        )
        progress.step(f"storing in {store.describe()}")
        backup_files.place(store, part, backup, progress)
        _note(settings, backup)
        log.info("backup %s", pairs(file=name, bytes=size, rows=held.rows, seconds=backup.seconds))
        removed: list[str] = []
        now = clock.now()
        try:
            clock.compare(now, dumps.clock_of(admin), "the database")
            removed = retain(store, progress, keep=keep, days=days, now=now, taken=backup)
        except ClockDoubted as doubt:
            progress.warn(f"old backups stay: {doubt}")
        except (StoreError, psycopg.Error) as error:
            raise StoreError(f"{name} was taken and verified, but old backups were not removed: {error}") from None
    progress.end()
    return backup, removed


def _remove_leftovers(folder: Path) -> None:
    for path in backup_files.leftovers(folder):
        log.warning("leftovers of a killed backup were removed %s", pairs(file=path.name))
        path.unlink()
    for path in backup_files.abandoned_fetches(folder):
        log.warning("a killed restore left what it had fetched; it was removed %s", pairs(folder=path.name))
        shutil.rmtree(path, ignore_errors=True)


def _expected(settings: Settings, address: str) -> str:
    """Return in words how long this backup is expected to take: as many rows a second as the last one, or as was
    measured."""
    import psycopg

    last = _last(settings)
    try:
        with closing(dumps.connect(address, "vinops backup")) as connection:
            rows = dumps.expected_rows(connection, skip=settings.backup_skip)
    except psycopg.Error as error:
        raise BackupError(f"the database was not read: {redact(str(error)).strip()}") from None
    is_enough = last is not None and last.contents.rows >= ENOUGH_ROWS and last.seconds > 0
    pace = last.contents.rows / last.seconds if is_enough and last else ROWS_A_SECOND
    how = "as the last one did" if is_enough else "as measured elsewhere"
    without = f", without the rows of {', '.join(settings.backup_skip)}" if settings.backup_skip else ""
    took = age(max(rows / pace, 1))
    return f"some {rows:,.0f} rows{without}: expected to take {took}, at {pace:,.0f} rows a second {how}"


def _last(settings: Settings) -> Backup | None:
    """Return the last backup that was taken here, to whatever place; None if there is none or its note is damaged."""
    try:
        return backup_files.parse_sidecar((backup_files.folder_of(settings) / LAST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _dump(
    address: str, part: Path, progress: Progress, *, skip: tuple[str, ...]
) -> tuple[Programs, dict[str, Any], Contents, int, str]:
    """Write the dump to a part, and read the figures that it is compared with. Both see one snapshot."""
    import psycopg

    with closing(dumps.connect(address, "vinops backup", autocommit=False)) as connection:
        try:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            which = dumps.programs(connection)
            before = dumps.sequences(connection)  # before pg_dump reads them: they go on meanwhile
            connection.commit()  # so that the snapshot is a new one
            row = connection.execute(queries("backup")["export_snapshot"]).fetchone()
            snapshot = str(row[0]) if row else ""
            facts = _facts(connection)
            progress.step(f"dumping {facts['database_name']} with pg_dump {which.major}")
            with part.open("xb") as file, ThreadPoolExecutor(1) as threads:
                os.fchmod(file.fileno(), 0o600)  # the dump has everything in it
                counting = threads.submit(dumps.contents, connection, skip=skip)
                try:
                    size, digest = dumps.dump(
                        which,
                        address,
                        snapshot=snapshot,
                        write=file.write,
                        progress=progress.counter("dumped"),
                        skip=skip,
                    )
                except BaseException:
                    connection.cancel_safe()  # the figures are no longer needed
                    raise
                progress.show("counting and hashing rows")
                held = replace(counting.result(), sequences=before)
        except psycopg.Error as error:
            raise BackupError(f"the database was not read: {redact(str(error)).strip()}") from None
    return which, facts, held, size, digest


def _facts(connection: Connection[Any]) -> dict[str, Any]:
    facts = dumps.named_row(connection.execute(queries("backup")["database_facts"]))
    applied = connection.execute(queries("backup")["migrations"]).fetchall() if facts["has_migrations"] else []
    return {**facts, "migrations": tuple(str(name) for (name,) in applied)}


def compare(which: Programs, address: str, dumped: Path, digest: str, held: Contents, progress: Progress) -> None:
    """Restore a dump into an empty database, and compare its rows with `held`. Raises BackupError for any
    difference."""
    import psycopg

    with closing(dumps.connect(address, "vinops restore")) as connection:
        major = connection.info.server_version // 10_000
        try:
            read = dumps.restore(which, address, dumped, progress=progress.counter("restored"))
        except BackupError as error:
            hint = f"; apt-get install postgresql-client-{major} brings the one that fits" * (which.major != major)
            raise BackupError(f"{error}{hint}") from None
        if read != digest:
            raise BackupError(f"{dumped.name} was read back with another sha256: check the disk")
        try:
            found = dumps.contents(connection, lambda table: progress.show(f"comparing {table}"))
        except psycopg.Error as error:
            raise BackupError(f"the restored database cannot be read: {redact(str(error)).strip()}") from None
    if differences := held.differences(found):
        more = f", and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise BackupError(f"the restored database differs: {'; '.join(differences[:3])}{more}")


def _free_second(folder: Path, when: datetime) -> datetime:
    """Return this time, or the next second that no backup in this folder is named after."""
    while (folder / f"vinops-{when:%Y%m%dT%H%M%SZ}.dump").exists():
        when += timedelta(seconds=1)
    return when


def _note(settings: Settings, backup: Backup) -> None:
    folder = backup_files.folder_of(settings)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    backup_files.write_whole(folder / LAST, backup.text())


def retain(
    store: Store, progress: Progress, *, keep: int, days: float, now: datetime, taken: Backup | None = None
) -> list[str]:
    """Remove the backups beyond the newest `keep` and those older than `days`, and return their names. The newest
    verified one always stays, and so does the one that was `taken` just now.

    A backup that cannot be read, has the wrong size or is dated in the future is neither counted nor removed, but
    reported. Raises ClockDoubted, before anything is removed, and StoreError. If the process dies in it, a dump without
    its sidecar is left; in a folder the next backup removes that.
    """
    backups, wrong = backup_files.verified(store)
    for text in (*wrong, *backup_files.counted(backups, now)[1]):
        progress.warn(f"a backup does not count: {text}")
    removed = [each.name for each in backup_files.outdated(backups, keep=keep, days=days, now=now, taken=taken)]
    for name in removed:
        backup_files.remove(store, name)
    return removed


def explain(error: Exception, folder: Path) -> str:
    """Return in words why a backup or a restore failed whose files are in `folder`."""
    if isinstance(error, OSError):
        return disk.explain(error, folder, go=GO)
    is_server = isinstance(error, BackupError) and disk.PHRASE in str(error)
    return f"{error}{DATABASE_FULL if is_server else ''}"
