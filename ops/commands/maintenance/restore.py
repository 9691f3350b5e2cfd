"""`vinops restore`: brings a database back from a backup."""

from __future__ import annotations

import json
import logging
import time
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ops.backup import backup, carry_over, files as backup_files, restore
from ops.backup.progress import Progress
from ops.commands.maintenance.backup import failed
from vinops import config, logs, parsers
from vinops.logs import pairs
from vinops.output import name_data_folder
from vinops.storage.opening import open_bucket
from vinops.storage.store import BACKUPS

if TYPE_CHECKING:
    from ops.backup.restore import Restored

log = logging.getLogger("backup")


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
    """Restore the database from a backup. One that is damaged, cut short or without its .json is refused.

    It is restored into a new database and every table is compared with the backup. Without --into and --yes that is
    NAME_restored_TIME, beside the database in use, which is left alone. With --yes the two change places once all is
    compared; no program may be connected then. External effects since the backup are carried over: messages, host
    budgets, breakers and alerts; where they cannot be read, posting is held until `vinops deals release`. Photos and
    raw feed files are not part of a backup.
    """
    if (into is not None) + yes + drill > 1:
        raise typer.BadParameter("--into, --yes and --drill exclude each other")
    if source is not None and from_r2:
        raise typer.BadParameter("--from and --from-r2 exclude each other")
    target = checked_target(into)
    settings = config.load()
    logs.configure("backup", settings, console=False)
    if not as_json:
        name_data_folder(settings)
    progress, began = Progress(), time.monotonic()
    folder = source or backup_files.folder_of(settings)
    try:
        with ExitStack() as stack:
            if from_r2:
                store = stack.enter_context(closing(open_bucket(settings, BACKUPS)))
                dumped = restore.dump_in_bucket(store, file, settings, progress, stack)
            else:
                dumped = restore.dump_in_folder(folder, file, settings, progress)
            progress.step(f"checking {dumped.name}")
            kept = backup_files.checked(dumped)
            for name in kept.skipped:
                progress.warn(f"{name} will be empty: its rows were left out of this backup (VINOPS_BACKUP_SKIP)")
            result = restore.restore(settings, target, dumped, kept, yes=yes, drill=drill, progress=progress)
    except backup.FAILURES as error:
        failed(error, backup_files.folder_of(settings))
    progress.end()
    seconds = round(time.monotonic() - began, 1)
    log.info("restored %s", pairs(file=kept.name, into=result.database or "a drill", seconds=seconds))
    if as_json:
        fields = asdict(result)
        if result.carried_over is None:
            del fields["carried_over"]
        about = {"tables": len(kept.tables), "rows": kept.contents.rows, "equal": True, "seconds": seconds}
        typer.echo(json.dumps({"backup": kept.name, "taken_at": kept.taken_at, **fields, **about}))
        return
    typer.echo(
        f"{kept.name}: {len(kept.tables)} tables, {kept.contents.rows:,} rows, all checksums equal, {seconds:.1f} s"
    )
    typer.echo(_text(result, file))


def checked_target(into: str | None) -> str | None:
    """Return --into. Raises BadParameter for an address with a password: other accounts can read a command line."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    if into is None or "://" not in into:
        return into
    if reason := parsers.unescaped(into):
        raise typer.BadParameter(f"--into {reason}")
    try:
        holds_password = bool(conninfo_to_dict(into).get("password"))
    except ProgrammingError:
        raise typer.BadParameter("--into is not the address of a database") from None
    if holds_password:
        raise typer.BadParameter(
            "--into holds a password, which every account here can read: leave it out, and keep it in ~/.pgpass"
        )
    return into


def _text(result: Restored, file: str) -> str:
    if result.database is None:
        return "a drill: nothing was changed"
    rights = f"\nthe roles of services have their rights again: {result.granted} granted" if result.granted else ""
    if (carried := result.carried_over) is None:
        in_use = f"the database in use is as before (`vinops restore {file} --yes` swaps)"
        return f"restored into {result.database}; {in_use}{rights}"
    kept = f"; the replaced one is kept as {result.replaced}: drop it when you are sure" if result.replaced else ""
    first = f"the database in use is {result.database} again{kept}{rights}\n"
    if carried.held:
        return f"{first}posting is held: {carry_over.held_text(carried.held)}"
    return (
        f"{first}carried over from there: {carried.messages} messages, the budgets of {carried.hosts} hosts, "
        f"{carried.alerts} alerts"
    )
