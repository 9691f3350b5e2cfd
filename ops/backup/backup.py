"""`vinops backup`: a dump of the database that was restored and compared before it counts.

The dump and the figures it is compared with come from one snapshot, so that writers at work do not matter
(docs/decisions/0018-backups.md).
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from ops.backup import dumps, files as backup_files
from ops.backup.dumps import BackupError
from ops.backup.files import LAST, PART, SIDECAR, Backup
from ops.show import tables
from vinops import clock, config, disk, logs
from vinops.clock import ClockDoubted
from vinops.db import database
from vinops.db.database import queries
from vinops.logs import pairs
from vinops.redaction import redact
from vinops.storage.objects import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from psycopg import Connection

    from ops.backup.dumps import Contents, Programs
    from vinops.config import Settings
    from vinops.storage.backups import BackupBucket

log = logging.getLogger("backup")

FAILURES = (BackupError, StoreError, OSError)
GO = (
    "fewer backups (VINOPS_BACKUP_KEEP, VINOPS_BACKUP_DAYS; `vinops backup --list`), or another place (`--to FOLDER`, "
    f"`--to-r2`); {disk.GO}"
)
DATABASE_FULL = (
    "; the disk of the database's server is full: a backup and a restore need room for a second copy of the database "
    "there; docs/runbook.md, The disk is full"
)
SECONDS_BETWEEN = 0.5  # of two lines of progress on a terminal


class Say:
    """Progress on standard error: a line for each step, and on a terminal how far it is."""

    def __init__(self) -> None:
        """Say nothing yet."""
        self._shown = 0.0
        self._is_terminal = sys.stderr.isatty()

    def step(self, text: str) -> None:
        """Begin a step."""
        self._write(("\r\033[K" if self._is_terminal else "") + text + "\n")
        log.info("%s", text)

    def warn(self, text: str) -> None:
        """Say what a person has to look at."""
        self._write(("\r\033[K" if self._is_terminal else "") + f"vinops: {text}\n")
        log.warning("%s", text)

    def bytes(self, what: str) -> Callable[[int], None]:
        """Return what is to be told the bytes so far."""

        def tell(done: int) -> None:
            self.now(f"{what} {done / 1e6:,.1f} MB")

        return tell

    def now(self, text: str) -> None:
        """Show where the step is, on a terminal."""
        if self._is_terminal and time.monotonic() - self._shown > SECONDS_BETWEEN:
            self._shown = time.monotonic()
            self._write(f"\r\033[K  {text}")

    def end(self) -> None:
        """Clear the line."""
        if self._is_terminal:
            self._write("\r\033[K")

    @staticmethod
    def _write(text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


def take(
    settings: Settings, folder: Path, *, keep: int, days: float, say: Say, bucket: BackupBucket | None = None
) -> tuple[Backup, list[str]]:
    """Take a backup into the folder, or with `bucket` through the folder into the bucket, and return what it is.

    Then the backups beyond the newest `keep` and those older than `days` go; their names are returned too. This one
    never goes, and none does while the clock may be wrong. Raises BackupError, StoreError, OSError; the backups that
    were there are as before then. If the process dies a part and a scratch database are left, which the next call
    removes, and nothing that counts as a backup; or the backup is there and whole.
    """
    import psycopg

    began = time.monotonic()
    address = database.url(settings)
    with ExitStack() as stack:
        stack.enter_context(backup_files.only_one(folder))
        for path in backup_files.leftovers(folder):
            log.warning("a killed backup left something; it was removed %s", pairs(file=path.name))
            path.unlink()
        for path in backup_files.abandoned_fetches(folder):
            log.warning("a killed restore left what it had fetched; it was removed %s", pairs(folder=path.name))
            shutil.rmtree(path, ignore_errors=True)
        admin = stack.enter_context(closing(dumps.maintenance(address, "vinops backup")))
        dumps.require_create(admin)
        for name in dumps.sweep(admin):
            log.warning("a killed backup or restore left a database; it was dropped %s", pairs(database=name))
        taken_at = _free_second(folder, clock.agreed(clock.now(), dumps.clock_of(admin)))
        name = f"vinops-{taken_at:%Y%m%dT%H%M%SZ}.dump"
        part = folder / (name + PART)
        stack.callback(part.unlink, missing_ok=True)
        which, facts, held, size, digest = _dump(address, part, say)
        say.step(f"verifying: {size / 1e6:,.1f} MB into a scratch database, {held.rows:,} rows to compare")
        _verify(admin, address, part, which, facts["encoding"], held, digest, say)
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
        )
        if bucket is None:
            backup_files.place(part, backup)
        else:
            _upload(bucket, part, backup, say)
        _note(settings, backup)
        log.info("backup %s", pairs(file=name, bytes=size, rows=held.rows, seconds=backup.seconds))
        rule: dict[str, Any] = {"keep": keep, "days": days, "now": clock.now(), "taken": backup}
        removed: list[str] = []
        try:
            clock.compare(rule["now"], dumps.clock_of(admin), "the database")
            removed = retain_stored(bucket, folder, say, **rule) if bucket else retain(folder, say, **rule)
        except ClockDoubted as doubt:
            say.warn(f"old backups stay: {doubt}")
        except (StoreError, OSError, psycopg.Error) as error:
            raise BackupError(
                f"{name} was taken and verified, but old backups were not removed: {said(error, folder)}"
            ) from None
    say.end()
    return backup, removed


def _dump(address: str, part: Path, say: Say) -> tuple[Programs, dict[str, Any], Contents, int, str]:
    """Write the dump to a part, on disk, and find out what it has to hold. Both see one snapshot."""
    import psycopg

    with closing(dumps.connect(address, "vinops backup", autocommit=False)) as connection:
        try:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            which = dumps.programs(connection)
            before = dumps.sequences(connection)  # before pg_dump reads them: they go on meanwhile
            connection.commit()  # the snapshot is to be of now
            row = connection.execute(queries("backup")["export_snapshot"]).fetchone()
            snapshot = str(row[0]) if row else ""
            facts = _facts(connection)
            say.step(f"dumping {facts['database_name']} with pg_dump {which.major}")
            with part.open("xb") as file, ThreadPoolExecutor(1) as threads:
                os.fchmod(file.fileno(), 0o600)  # all that is known is in it
                counting = threads.submit(dumps.contents, connection)
                try:
                    size, digest = dumps.dump(
                        which, address, snapshot=snapshot, write=file.write, progress=say.bytes("dumped")
                    )
                except BaseException:
                    connection.cancel_safe()  # nobody needs the figures any more
                    raise
                file.flush()
                os.fsync(file.fileno())
                say.now("counting and hashing rows")
                held = replace(counting.result(), sequences=before)
        except psycopg.Error as error:
            raise BackupError(f"the database was not read: {redact(str(error)).strip()}") from None
    return which, facts, held, size, digest


def _facts(connection: Connection[Any]) -> dict[str, Any]:
    cursor = connection.execute(queries("backup")["database_facts"])
    row = cursor.fetchone()
    names = [column.name for column in cursor.description or ()]
    facts: dict[str, Any] = dict(zip(names, row or (), strict=True))
    applied = connection.execute(queries("backup")["migrations"]).fetchall() if facts["has_migrations"] else []
    return {**facts, "migrations": tuple(str(name) for (name,) in applied)}


def _verify(
    admin: Connection[Any],
    address: str,
    part: Path,
    which: Programs,
    encoding: str,
    held: Contents,
    digest: str,
    say: Say,
) -> None:
    """Restore the part into a scratch database and compare it. Raises BackupError for the smallest difference."""
    with dumps.scratch(admin, address, encoding=encoding) as scratch:
        try:
            compare(which, scratch.address, part, digest, held, say)
        except BackupError as error:
            raise BackupError(f"the dump was not verified, and is no backup: {error}") from None


def compare(which: Programs, address: str, dumped: Path, digest: str, held: Contents, say: Say) -> None:
    """Restore a dump into an empty database, and compare what is there with what has to be. Raises BackupError."""
    import psycopg

    with closing(dumps.connect(address, "vinops restore")) as connection:
        major = connection.info.server_version // 10_000
        try:
            read = dumps.restore(which, address, dumped, progress=say.bytes("restored"))
        except BackupError as error:
            hint = f"; apt-get install postgresql-client-{major} brings the one that fits" * (which.major != major)
            raise BackupError(f"{error}{hint}") from None
        if read != digest:
            raise BackupError(f"{dumped.name} was read back with another sha256: check the disk")
        try:
            found = dumps.contents(connection, lambda table: say.now(f"comparing {table}"))
        except psycopg.Error as error:
            raise BackupError(f"what was restored cannot be read: {redact(str(error)).strip()}") from None
    if differences := held.differences(found):
        more = f", and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise BackupError(f"what was restored differs: {'; '.join(differences[:3])}{more}")


def _free_second(folder: Path, when: datetime) -> datetime:
    """Return this time, or the next second that no backup in this folder has its name from."""
    while (folder / f"vinops-{when:%Y%m%dT%H%M%SZ}.dump").exists():
        when += timedelta(seconds=1)
    return when


def _upload(bucket: BackupBucket, part: Path, backup: Backup, say: Say) -> None:
    """Store the dump and then its sidecar. If the process dies in between, the dump counts for nothing."""
    say.step(f"storing in {bucket.describe()}")
    bucket.abort_abandoned()
    bucket.put_file(backup.name, part, say.bytes("stored"))
    if (there := bucket.sizes().get(backup.name)) != backup.bytes:
        raise StoreError(f"{backup.name} has {there} bytes in {bucket.describe()} instead of {backup.bytes}: try again")
    text = part.with_name(backup.name + SIDECAR + PART)
    try:
        with open(text, "w", encoding="utf-8", opener=backup_files.private) as file:  # as there
            file.write(backup.text())
        bucket.put_file(backup.name + SIDECAR, text)
    finally:
        text.unlink(missing_ok=True)


def _note(settings: Settings, backup: Backup) -> None:
    folder = backup_files.folder_of(settings)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    backup_files.write_whole(folder / LAST, backup.text())


def retain(folder: Path, say: Say, *, keep: int, days: float, now: datetime, taken: Backup | None = None) -> list[str]:
    """Remove the backups beyond the newest `keep` and those older than `days`; the newest verified one always stays,
    and so does the one that was `taken` just now.

    Returns their names. What cannot be read, has another size than it should or is dated in the future is neither
    counted nor removed: it is said. Raises ClockDoubted, before anything is removed, and OSError. If the process dies
    in it, a dump without its sidecar is left, and the next backup removes that.
    """
    gone = _outdated(backup_files.verified(folder), say, keep=keep, days=days, now=now, taken=taken)
    for each in gone:
        dumped = folder / each.name
        backup_files.sidecar(dumped).unlink(missing_ok=True)
        dumped.unlink(missing_ok=True)
    return [each.name for each in gone]


def _outdated(found: tuple[list[Backup], list[str]], say: Say, *, now: datetime, **rule: Any) -> list[Backup]:
    backups, wrong = found
    for text in (*wrong, *backup_files.counted(backups, now)[1]):
        say.warn(f"a backup does not count: {text}")
    return backup_files.outdated(backups, now=now, **rule)


def stored(bucket: BackupBucket, staging: Path) -> tuple[list[Backup], list[str]]:
    """Return the backups in a bucket, the newest first, and what is wrong with those that do not count. `staging` is a
    folder that sidecars may be written to for a moment. Raises StoreError, OSError."""
    sizes = bucket.sizes()
    found, wrong = [], []
    staging.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = staging / f"sidecar-{os.getpid()}{PART}"
    try:
        for name in sorted(sizes):
            if not name.endswith(SIDECAR):
                continue
            bucket.get_file(name, text)
            try:
                backup = backup_files.parse_sidecar(text.read_text(encoding="utf-8"))
            except ValueError as error:
                wrong.append(f"{name}: {error}")
                continue
            if name != backup.name + SIDECAR or sizes.get(backup.name) != backup.bytes:
                wrong.append(f"{name}: its dump is not there, or is another one")
            else:
                found.append(backup)
    finally:
        text.unlink(missing_ok=True)
    return sorted(found, key=lambda each: each.time, reverse=True), wrong


def retain_stored(
    bucket: BackupBucket,
    staging: Path,
    say: Say,
    *,
    keep: int,
    days: float,
    now: datetime,
    taken: Backup | None = None,
) -> list[str]:
    """As `retain`, in a bucket. Raises StoreError too."""
    gone = _outdated(stored(bucket, staging), say, keep=keep, days=days, now=now, taken=taken)
    for each in gone:
        bucket.remove_file(each.name + SIDECAR)
        bucket.remove_file(each.name)
    return [each.name for each in gone]


def command(
    *,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FOLDER", help="Where to; `backups` in the data folder.")
    ] = None,
    to_r2: Annotated[bool, typer.Option("--to-r2", help="Into the bucket of the photos, under backups/.")] = False,
    keep: Annotated[int | None, typer.Option(min=1, help="How many are kept (VINOPS_BACKUP_KEEP).")] = None,
    days: Annotated[float | None, typer.Option(min=0, help="How long they are kept (VINOPS_BACKUP_DAYS).")] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the backups that are there; take none.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Dump the database, restore the dump into a scratch database, compare every table, and only then keep it.

    Then backups beyond the newest --keep and those older than --days are removed; the newest always stays, and all do
    while the clock may be wrong. The files
    are not part of it: photos (R2, or `photos` in the data folder) and raw feed files (`raw`) are copied by other
    means. Exit code 1: there is no new backup and the old ones are as before, unless the message says otherwise.
    """
    settings = started()
    folder = to or backup_files.folder_of(settings)
    try:
        with ExitStack() as stack:
            bucket = _bucket(settings, stack) if to_r2 else None
            if listed:
                _list(folder, bucket, backup_files.folder_of(settings), as_json=as_json)
                return
            backup, removed = take(
                settings,
                backup_files.folder_of(settings) if bucket else folder,
                keep=settings.backup_keep if keep is None else keep,
                days=settings.backup_days if days is None else days,
                say=Say(),
                bucket=bucket,
            )
            place = f"{bucket.describe()}, backups/{backup.name}" if bucket else str(folder / backup.name)
    except FAILURES as error:
        failed(error, folder)
    for name in removed:
        log.info("an old backup was removed %s", pairs(file=name))
        typer.echo(f"removed {name}", err=True)
    if as_json:
        typer.echo(json.dumps({**_summary(backup), "place": place, "removed": removed}))
    else:
        typer.echo(place)
        typer.echo(
            f"{backup.bytes / 1e6:,.1f} MB, {len(backup.tables)} tables, {backup.contents.rows:,} rows, "
            f"verified, {backup.seconds:.1f} s"
        )


def started() -> Settings:
    """Return the settings; the log goes to backup.log. Raises ConfigError."""
    settings = config.load()
    logs.configure("backup", settings, console=False)
    return settings


def said(error: Exception, folder: Path) -> str:
    """Return in words why a backup or a restore failed whose files are in `folder`."""
    if isinstance(error, OSError):
        return disk.explain(error, folder, go=GO)
    return f"{error}{DATABASE_FULL if disk.PHRASE in str(error) else ''}"


def failed(error: Exception, folder: Path) -> NoReturn:
    """Say in one line why, and exit with 1."""
    text = " ".join(redact(said(error, folder)).split())
    log.error("%s", text)
    typer.echo(f"vinops: {text}", err=True)
    raise typer.Exit(1) from None


def _bucket(settings: Settings, stack: ExitStack) -> BackupBucket:
    from vinops.storage.backups import open_backups

    return stack.enter_context(closing(open_backups(settings)))


def _summary(backup: Backup) -> dict[str, Any]:
    return {
        "name": backup.name,
        "taken_at": backup.taken_at,
        "bytes": backup.bytes,
        "tables": len(backup.tables),
        "rows": backup.contents.rows,
        "database": backup.database,
        "server_version": backup.server_version,
        "sha256": backup.sha256,
        "seconds": backup.seconds,
    }


def _list(folder: Path, bucket: BackupBucket | None, staging: Path, *, as_json: bool) -> None:
    found, wrong = stored(bucket, staging) if bucket else backup_files.verified(folder)
    found, ahead = backup_files.counted(found, clock.now())
    for text in (*wrong, *ahead):
        typer.echo(f"does not count: {text}", err=True)
    rows = [_summary(each) for each in found]
    if as_json:
        typer.echo(json.dumps(rows))
    elif rows:
        shown = ("name", "bytes", "tables", "rows", "database", "server_version")
        tables.write_plain(sys.stdout, shown, [tuple(row[name] for name in shown) for row in rows])
    else:
        typer.echo("there is no backup: `vinops backup` takes one", err=True)
