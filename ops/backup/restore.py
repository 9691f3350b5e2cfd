"""`vinops restore`: a backup, checked byte by byte, into a new database; compared, and only then given a name.

Until then it is a scratch database: whoever dies leaves one of those, which the next backup or restore drops.
"""

from __future__ import annotations

import json
import logging
import os
import time
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ops.backup import backup, carry_over, dumps, files as backup_files
from ops.backup.backup import Say, failed, started
from ops.backup.dumps import BackupError
from ops.backup.files import PART, SIDECAR, Backup
from vinops import alerts, clock, config
from vinops.db import database
from vinops.db.database import queries
from vinops.logs import pairs
from vinops.redaction import redact
from vinops.storage.objects import ObjectMissing

if TYPE_CHECKING:
    from psycopg import Connection

    from ops.backup.carry_over import Carried
    from ops.backup.dumps import Programs, Scratch
    from vinops.config import Settings

log = logging.getLogger("backup")

LEAVING = 10.0  # seconds; an alert of a unit that has just been stopped is connected for one or two


def into_scratch(
    admin: Connection[Any], address: str, dumped: Path, kept: Backup, say: Say, stack: ExitStack
) -> Scratch:
    """Restore into a scratch database and compare it. It is dropped when the stack is closed, unless it was renamed.
    Raises BackupError."""
    which = _programs(admin, kept)
    scratch = stack.enter_context(dumps.scratch(admin, address, encoding=kept.encoding))
    say.step(f"restoring {kept.bytes / 1e6:,.1f} MB, {kept.contents.rows:,} rows to compare")
    backup.compare(which, scratch.address, dumped, kept.sha256, kept.contents, say)
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
    say: Say,
) -> tuple[str | None, Carried | None]:
    """Restore into a new database, and give it the name; with `replace` also if there is one of that name, which then
    becomes NAME_before_TIME, and what the outside has seen since the backup is carried over from there. Returns the
    name of what was replaced, and what was carried over.

    Raises BackupError; what was there is as before then. If the process dies, what was there is as before, and a
    scratch database is left, or all is done: both renamings are one transaction.
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
        scratch = into_scratch(admin, address, dumped, kept, say, stack)
        carried = None
        if replace is not None:
            source = dumps.named(address, name) if is_there else None
            carried = carry_over.carry_over(replace, source, scratch.address, kept.sequences, name=name)
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
            raise BackupError(f"somebody was connected to {name} at the moment of the swap: try again") from None
        except psycopg.Error as error:
            raise BackupError(f"{name} was not put in place: {redact(str(error)).strip()}") from None
    return before, carried


def into_empty(address: str, dumped: Path, kept: Backup, say: Say) -> None:
    """Restore into a database that is there and empty. Raises BackupError; it is as empty as before then, unless the
    message says otherwise. If the process dies, it is empty, or all is there and was not compared."""
    with closing(dumps.connect(address, "vinops restore")) as connection:
        if dumps.contents(connection).tables:
            raise BackupError(f"the database {connection.info.dbname} is not empty: name an empty one, or a new one")
        which = _programs(connection, kept)
    say.step(f"restoring {kept.bytes / 1e6:,.1f} MB, {kept.contents.rows:,} rows to compare")
    try:
        backup.compare(which, address, dumped, kept.sha256, kept.contents, say)
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
    """Raise BackupError if somebody is connected, and still is after so many seconds."""
    until = time.monotonic() + patience
    while users := [str(row[0]) for row in admin.execute(queries("backup")["connected"], {"database": name})]:
        if time.monotonic() < until:
            time.sleep(0.2)
            continue
        raise BackupError(
            f"{name} is in use ({', '.join(sorted(set(users)))}): stop the workers, Celery and the supervisor first "
            "(`vinops workers stop`, `vinops celery stop`), and try again"
        )


def _from_bucket(settings: Settings, file: str, at: datetime, say: Say, stack: ExitStack) -> Path:
    """Bring a backup here from R2; `latest` is the newest that is not dated after `at`. It lies in a part that
    goes when the stack is closed; or, if the process dies, with the next backup. Raises BackupError, StoreError,
    OSError."""
    from vinops.storage.backups import open_backups

    bucket = stack.enter_context(closing(open_backups(settings)))
    folder = backup_files.folder_of(settings)
    if file == "latest":
        found, ahead = backup_files.counted(backup.stored(bucket, folder)[0], at)
        for text in ahead:
            say.warn(f"not the latest: {text}")
        if not found:
            raise BackupError(f"there is no backup in {bucket.describe()}: `vinops backup --to-r2` takes one")
        file = found[0].name
    if not backup_files.NAME.fullmatch(file):
        raise BackupError(f"{file} is no name of a backup: `vinops backup --to-r2 --list` names what there is")
    staging = folder / f"restore-{datetime.now(UTC):%Y%m%dT%H%M%S%f}{PART}"
    staging.mkdir(parents=True, mode=0o700)
    stack.callback(os.close, backup_files.locked(staging))
    say.step(f"fetching {file} from {bucket.describe()}")
    dumped = staging / file
    stack.callback(staging.rmdir)
    for name in (file, file + SIDECAR):
        stack.callback((staging / name).unlink, missing_ok=True)
        try:
            bucket.get_file(name, staging / name, say.bytes("fetched"))
        except ObjectMissing:
            raise BackupError(f"{name} is not in {bucket.describe()}: `vinops backup --to-r2 --list`") from None
    return dumped


def _local(folder: Path, file: str, at: datetime, say: Say) -> Path:
    """Return the path of a backup; `latest` is the newest that is not dated after `at`. Raises BackupError."""
    if file != "latest":
        path = Path(file)
        return path if path.exists() or path.parent != Path() else folder / file
    found, ahead = backup_files.candidates(folder, at)
    for path in ahead:
        say.warn(f"not the latest: {backup_files.ahead_text(path.name, backup_files.dated(path.name) or at)}")
    if not found:
        name = f", or name one: `vinops restore {ahead[0].name}`" if ahead else ""
        raise BackupError(
            f"there is no backup in {folder}: `vinops backup` takes one, --from names another folder{name}"
        )
    return found[0]


def _clock(settings: Settings) -> datetime:
    """Return the time: of this machine's clock and the server's, where that answers, the earlier one."""
    import psycopg

    now = clock.now()
    with (
        suppress(BackupError, database.DatabaseError, psycopg.Error),
        closing(dumps.maintenance(database.url(settings), "vinops restore")) as connection,
    ):
        return clock.agreed(now, dumps.clock_of(connection))
    return now


def command(
    file: Annotated[str, typer.Argument(metavar="FILE|latest", help="A backup, or the newest.", show_default=False)],
    *,
    into: Annotated[
        str | None,
        typer.Option(metavar="NAME|URL", help="A database to restore into: a new name, or one that is empty."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Put it in the place of the database in use, which is kept beside it.")
    ] = False,
    drill: Annotated[bool, typer.Option("--drill", help="Restore into a scratch database, compare, drop it.")] = False,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="FOLDER", help="Where `latest` is looked for.")
    ] = None,
    from_r2: Annotated[
        bool, typer.Option("--from-r2", help="From the bucket, where `backup --to-r2` left it.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Bring the database back from a backup. What is damaged, cut short or without its .json is refused.

    It is restored into a new database, every table is compared with what was in it, and without --into and --yes that
    is NAME_restored_TIME, beside the database in use, which nothing happens to. With --yes the two change places when
    all is compared; nobody may be connected then. What the outside has seen since the backup is carried over: messages,
    host budgets, breakers and alerts; where that cannot be read, posting is held until `vinops deals release`. Photos
    and raw feed files are not part of a backup.
    """
    if (into is not None) + yes + drill > 1:
        raise typer.BadParameter("--into, --yes and --drill exclude each other")
    if source is not None and from_r2:
        raise typer.BadParameter("--from and --from-r2 exclude each other")
    target = _target(into)
    settings = started()
    say, began = Say(), time.monotonic()
    try:
        with ExitStack() as stack:
            folder = source or backup_files.folder_of(settings)
            at = _clock(settings) if file == "latest" else clock.now()
            dumped = _from_bucket(settings, file, at, say, stack) if from_r2 else _local(folder, file, at, say)
            say.step(f"checking {dumped.name}")
            kept = backup_files.checked(dumped)
            result = _restore(settings, target, dumped, kept, yes=yes, drill=drill, say=say)
    except backup.FAILURES as error:
        failed(error, backup_files.folder_of(settings))
    say.end()
    seconds = round(time.monotonic() - began, 1)
    log.info("restored %s", pairs(file=kept.name, into=result["database"] or "a drill", seconds=seconds))
    if as_json:
        about = {"tables": len(kept.tables), "rows": kept.contents.rows, "equal": True, "seconds": seconds}
        typer.echo(json.dumps({"backup": kept.name, "taken_at": kept.taken_at, **result, **about}))
        return
    typer.echo(
        f"{kept.name}: {len(kept.tables)} tables, {kept.contents.rows:,} rows, all checksums equal, {seconds:.1f} s"
    )
    typer.echo(_told(result, file, is_drill=drill))


def _target(into: str | None) -> str | None:
    """Return --into. Raises BadParameter for an address with a password: other accounts can read a command line."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    if into is None or "://" not in into:
        return into
    if reason := config.unescaped(into):
        raise typer.BadParameter(f"--into {reason}")
    try:
        holds_password = bool(conninfo_to_dict(into).get("password"))
    except ProgrammingError:
        raise typer.BadParameter("--into is no address of a database") from None
    if holds_password:
        raise typer.BadParameter(
            "--into holds a password, which every account here can read: leave it out, and keep it in ~/.pgpass"
        )
    return into


def _restore(
    settings: Settings, into: str | None, dumped: Path, kept: Backup, *, yes: bool, drill: bool, say: Say
) -> dict[str, Any]:
    if into is not None and "://" in into:
        into_empty(into, dumped, kept, say)
        return {"database": _name(into), "replaced": None}
    address = database.url(settings)
    own = _name(address)
    with closing(dumps.maintenance(address, "vinops restore")) as admin:
        for left in dumps.sweep(admin):
            log.warning("a killed backup or restore left a database; it was dropped %s", pairs(database=left))
        if drill:
            with ExitStack() as stack:
                into_scratch(admin, address, dumped, kept, say, stack)
            return {"database": None, "replaced": None}
        if into is not None and _has(admin, into):
            into_empty(dumps.named(address, into), dumped, kept, say)
            return {"database": into, "replaced": None}
        name = own if yes else into or f"{own}_restored_{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
        before, carried = into_new(admin, address, dumped, kept, name=name, replace=settings if yes else None, say=say)
    if carried is not None and carried.held:
        _tell_owner(settings)
    return {"database": name, "replaced": before, **({} if carried is None else {"carried_over": asdict(carried)})}


def _tell_owner(settings: Settings) -> None:
    """Send the alert that posting is held, if Telegram takes it: else whoever sends the next alert sends it."""
    import psycopg

    with (
        suppress(BackupError, database.DatabaseError, psycopg.Error),
        closing(dumps.connect(database.url(settings), "vinops restore")) as connection,
    ):
        alerts.deliver(connection, settings)


def _name(address: str) -> str:
    """Return the name of the database at an address, which may not be there: what it says, else what libpq makes of
    it. Raises BackupError."""
    from psycopg.conninfo import conninfo_to_dict

    if said := conninfo_to_dict(address).get("dbname"):
        return str(said)
    with closing(dumps.connect(address, "vinops restore")) as connection:
        return connection.info.dbname


def _carried(*, messages: int, hosts: int, alerts: int, held: str | None) -> str:
    if held:
        return f"posting is held: {carry_over.held_text(held)}"
    return f"carried over from there: {messages} messages, the budgets of {hosts} hosts, {alerts} alerts"


def _told(result: dict[str, Any], file: str, *, is_drill: bool) -> str:
    if is_drill:
        return "a drill: nothing was changed"
    if "carried_over" in result:
        there = f"; what was there is kept as {result['replaced']}: drop it when you are sure"
        return f"the database in use is {result['database']} again{there * bool(result['replaced'])}\n" + _carried(
            **result["carried_over"]
        )
    return f"restored into {result['database']}; the database in use is as before (`vinops restore {file} --yes` swaps)"
