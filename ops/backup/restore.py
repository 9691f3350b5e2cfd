"""Restores backups: checked byte by byte, restored into a scratch database, compared, and only then renamed.

If the process dies before that, it leaves the scratch database, which the next backup or restore drops.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ops import roles
from ops.backup import backup, carry_over, dumps, files as backup_files
from ops.backup.dumps import BackupError
from ops.backup.files import PART, SIDECAR, Backup
from vinops import alerts, clock
from vinops.db import database
from vinops.db.database import queries
from vinops.logs import pairs
from vinops.redaction import redact
from vinops.storage.store import ObjectMissing

if TYPE_CHECKING:
    from psycopg import Connection

    from ops.backup.carry_over import Carried
    from ops.backup.dumps import Programs, Scratch
    from ops.backup.progress import Progress
    from vinops.config import Settings
    from vinops.storage.store import Store

log = logging.getLogger("backup")

LEAVING: Final = 10.0  # seconds; an alert of a unit that has just been stopped is connected for one or two


@dataclass(frozen=True, kw_only=True)
class Restored:
    """The result of a restore: the database restored into (None after a drill), the name that a replaced database was
    given, how many rights the roles of services got again, and what was carried over."""

    database: str | None = None
    replaced: str | None = None
    granted: int = 0
    carried_over: Carried | None = None


def into_scratch(
    admin: Connection[Any], address: str, dumped: Path, kept: Backup, progress: Progress, stack: ExitStack
) -> Scratch:
    """Restore into a scratch database and compare it. It is dropped when the stack is closed, unless it was renamed
    by then. Raises BackupError."""
    which = _programs(admin, kept)
    scratch = stack.enter_context(dumps.scratch(admin, address, encoding=kept.encoding))
    progress.step(f"restoring {kept.bytes / 1e6:,.1f} MB, {kept.contents.rows:,} rows to compare")
    backup.compare(which, scratch.address, dumped, kept.sha256, kept.contents, progress)
    return scratch


def _programs(connection: Connection[Any], kept: Backup) -> Programs:
    which = dumps.programs(connection)
    if which.major < kept.dump_major:
        raise BackupError(
            f"{kept.name} was written by pg_dump {kept.dump_major}, newer than this server and its programs: restore "
            f"it into a PostgreSQL {kept.dump_major}"
        )
    return which


def into_new(
    admin: Connection[Any],
    address: str,
    dumped: Path,
    kept: Backup,
    *,
    name: str,
    replace: Settings | None = None,
    progress: Progress,
) -> tuple[str | None, int, Carried | None]:
    """Restore into a new database of this name; with `replace` even if there is one, which is renamed to
    NAME_before_TIME, and whose external effects since the backup are carried over. The roles of services get their
    rights again. Returns the name of the replaced database, how many rights that were, and what was carried over.

    Raises BackupError; the databases that were there are as before then. So are they if the process dies, and a scratch
    database is left, or all is done: both renamings are one transaction.
    """
    import psycopg

    is_there = _has(admin, name)
    if is_there and replace is None:
        raise BackupError(f"there is a database {name} already: name another one, or an empty one")
    if is_there:
        _refuse_users(admin, name, patience=LEAVING)
        if admin.info.dbname == name:
            raise BackupError("a database cannot be renamed from within: this role needs to reach `postgres` as well")
    with ExitStack() as stack:
        scratch = into_scratch(admin, address, dumped, kept, progress, stack)
        carried = None
        if replace is not None:
            source = dumps.named(address, name) if is_there else None
            carried = carry_over.carry_over(replace, source, scratch.address, kept.sequences, name=name)
        granted = _grant(scratch.address, name, progress)
        _analyze(scratch.address)
        before = f"{name}_before_{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}" if is_there else None
        scratch.holder.close()
        try:
            with admin.transaction():
                if before is not None:
                    dumps.run_statement(admin, "rename_statement", database=name, new_name=before)
                dumps.run_statement(admin, "rename_statement", database=scratch.name, new_name=name)
        except psycopg.errors.ObjectInUse:
            _refuse_users(admin, name)
            raise BackupError(f"a program connected to {name} at the moment of the swap: try again") from None
        except psycopg.Error as error:
            raise BackupError(f"{name} was not put in place: {redact(str(error)).strip()}") from None
    return before, granted, carried


def _grant(address: str, name: str, progress: Progress) -> int:
    """Grant the roles of services their rights in a restored database, and return how many. Without them a warning says
    what does."""
    import psycopg

    try:
        with closing(dumps.connect(address, "vinops restore")) as connection:
            return roles.grant_missing(connection)
    except psycopg.Error as error:
        progress.warn(f"the roles of services have no rights in {name} ({redact(str(error)).strip()}): {roles.GRANTS}")
        return 0


def into_empty(address: str, dumped: Path, kept: Backup, progress: Progress) -> None:
    """Restore into an existing, empty database. Raises BackupError; it is as empty as before then, unless the message
    says otherwise. If the process dies, it is empty, or complete and not compared."""
    with closing(dumps.connect(address, "vinops restore")) as connection:
        if dumps.contents(connection).tables:
            raise BackupError(f"the database {connection.info.dbname} is not empty: name an empty one, or a new one")
        which = _programs(connection, kept)
    progress.step(f"restoring {kept.bytes / 1e6:,.1f} MB, {kept.contents.rows:,} rows to compare")
    try:
        backup.compare(which, address, dumped, kept.sha256, kept.contents, progress)
    except BackupError as error:
        with closing(dumps.connect(address, "vinops restore")) as connection:
            left = "; drop it, do not use it" if dumps.contents(connection).tables else ""
        raise BackupError(f"{error}{left}") from None
    _analyze(address)


def _analyze(address: str) -> None:
    with closing(dumps.connect(address, "vinops restore")) as connection:
        connection.execute(queries("backup")["analyze"])


def _has(admin: Connection[Any], name: str) -> bool:
    row = admin.execute(queries("backup")["has_database"], {"database": name}).fetchone()
    return bool(row and row[0])


def _refuse_users(admin: Connection[Any], name: str, *, patience: float = 0) -> None:
    """Raise BackupError if a program is still connected after `patience` seconds."""
    until = time.monotonic() + patience
    while users := [str(row[0]) for row in admin.execute(queries("backup")["connected"], {"database": name})]:
        if time.monotonic() < until:
            time.sleep(0.2)
            continue
        raise BackupError(
            f"{name} is in use ({', '.join(sorted(set(users)))}): stop the workers, Celery and the supervisor first "
            "(`vinops workers stop`, `vinops celery stop`), and try again"
        )


def dump_in_folder(folder: Path, file: str, settings: Settings, progress: Progress) -> Path:
    """Return the path of a backup: FILE, the one of this name in the folder, or `latest`. Raises BackupError,
    StoreError."""
    if file == "latest":
        store = backup_files.in_folder(folder)
        return folder / _latest(store, settings, progress, "`vinops backup` takes one, --from names another folder")
    path = Path(file)
    return path if path.exists() or path.parent != Path() else folder / file


def dump_in_bucket(store: Store, file: str, settings: Settings, progress: Progress, stack: ExitStack) -> Path:
    """Fetch a backup, or the `latest`, and return its path. It is removed when the stack is closed or, if the process
    dies, by the next backup. Raises BackupError, StoreError, OSError."""
    if file == "latest":
        file = _latest(store, settings, progress, "`vinops backup --to-r2` takes one")
    if not backup_files.NAME.fullmatch(file):
        raise BackupError(f"{file} is not the name of a backup: `vinops backup --to-r2 --list` names what there is")
    staging = backup_files.folder_of(settings) / f"restore-{datetime.now(UTC):%Y%m%dT%H%M%S%f}{PART}"
    staging.mkdir(parents=True, mode=0o700)
    stack.callback(os.close, backup_files.locked(staging))
    stack.callback(staging.rmdir)
    progress.step(f"fetching {file} from {store.describe()}")
    for name in (file, file + SIDECAR):
        stack.callback((staging / name).unlink, missing_ok=True)
        count, done = progress.counter("fetched"), 0
        try:
            with open(staging / name, "wb", opener=backup_files.private) as target:
                for block in store.blocks(backup_files.key(name)):
                    target.write(block)
                    done += len(block)
                    count(done)
        except ObjectMissing:
            raise BackupError(f"{name} is not in {store.describe()}: `vinops backup --to-r2 --list`") from None
    return staging / file


def _latest(store: Store, settings: Settings, progress: Progress, fix: str) -> str:
    """Return the name of the newest backup that is not dated in the future. Raises BackupError, StoreError."""
    at = _time(settings)
    found, ahead = backup_files.candidates(store, at)
    for name in ahead:
        progress.warn(f"not the latest: {backup_files.ahead_text(name, backup_files.dated(name) or at)}")
    if not found:
        name = f", or name one: `vinops restore {ahead[0]}`" if ahead else ""
        raise BackupError(f"there is no backup in {store.describe()}: {fix}{name}")
    return found[0]


def _time(settings: Settings) -> datetime:
    """Return the earlier of the times of this machine and of the database's server, where that answers."""
    import psycopg

    now = clock.now()
    with (
        suppress(BackupError, database.DatabaseError, psycopg.Error),
        closing(dumps.maintenance(database.url(settings), "vinops restore")) as connection,
    ):
        return clock.agreed(now, dumps.clock_of(connection))
    return now


def restore(
    settings: Settings, into: str | None, dumped: Path, kept: Backup, *, yes: bool, drill: bool, progress: Progress
) -> Restored:
    """Restore a dump whose sidecar is `kept`: into the database `into` (a name or an address), with `yes` in place of
    the database in use, with `drill` into a scratch database only, else beside the database in use.

    Raises BackupError; the databases that were there are as before then.
    """
    if into is not None and "://" in into:
        into_empty(into, dumped, kept, progress)
        return Restored(database=_name(into))
    address = database.url(settings)
    own = _name(address)
    with closing(dumps.maintenance(address, "vinops restore")) as admin:
        for left in dumps.sweep(admin):
            log.warning("a killed backup or restore left a database; it was dropped %s", pairs(database=left))
        if drill:
            with ExitStack() as stack:
                into_scratch(admin, address, dumped, kept, progress, stack)
            return Restored()
        if into is not None and _has(admin, into):
            into_empty(dumps.named(address, into), dumped, kept, progress)
            return Restored(database=into)
        name = own if yes else into or f"{own}_restored_{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
        before, granted, carried = into_new(
            admin, address, dumped, kept, name=name, replace=settings if yes else None, progress=progress
        )
    if carried is not None and carried.held:
        _tell_owner(settings)
    return Restored(database=name, replaced=before, granted=granted, carried_over=carried)


def _tell_owner(settings: Settings) -> None:
    """Send the alert that posting is held. If Telegram does not accept it, the next delivery of alerts sends it."""
    import psycopg

    with (
        suppress(BackupError, database.DatabaseError, psycopg.Error),
        closing(dumps.connect(database.url(settings), "vinops restore")) as connection,
    ):
        alerts.deliver(connection, settings)


def _name(address: str) -> str:
    """Return the name of the database at an address, which may not exist: the one in the address, else the one that
    libpq connects to. Raises BackupError."""
    from psycopg.conninfo import conninfo_to_dict

    if said := conninfo_to_dict(address).get("dbname"):
        return str(said)
    with closing(dumps.connect(address, "vinops restore")) as connection:
        return connection.info.dbname
