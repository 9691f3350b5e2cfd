"""`vinops backup`: takes a backup, or lists those that are there."""

from __future__ import annotations

import json
import logging
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from ops.backup import backup, files as backup_files
from ops.backup.progress import Progress
from ops.options import finite
from ops.show import tables
from vinops import clock, config, logs
from vinops.logs import pairs
from vinops.output import at_work
from vinops.redaction import redact
from vinops.storage.opening import open_bucket
from vinops.storage.store import BACKUPS

if TYPE_CHECKING:
    from ops.backup.files import Backup
    from vinops.storage.store import Store

log = logging.getLogger("backup")

SHOWN = ("name", "bytes", "tables", "rows", "database", "server_version")


def command(
    *,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FOLDER", help="Where to; `backups` in the data folder.")
    ] = None,
    to_r2: Annotated[bool, typer.Option("--to-r2", help="Into the bucket of the photos, under backups/.")] = False,
    keep: Annotated[int | None, typer.Option(min=1, help="How many are kept (VINOPS_BACKUP_KEEP).")] = None,
    days: Annotated[
        float | None, typer.Option(min=0, callback=finite, help="How long they are kept (VINOPS_BACKUP_DAYS).")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the backups that are there; take none.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Dump the database, restore the dump into a scratch database, compare every table, and only then keep it.

    Then backups beyond the newest --keep and those older than --days are removed; the newest always stays, and all do
    while the clock may be wrong. The rows of the tables in VINOPS_BACKUP_SKIP are left out. Files are not included:
    photos (R2, or `photos` in the data folder) and raw feed files (`raw`) are copied by other means. Exit code 1: there
    is no new backup and the old ones are as before, unless the message says otherwise.
    """
    settings = config.load()
    logs.configure("backup", settings, console=False)
    default = backup_files.folder_of(settings)
    folder = default if to_r2 else to or default
    try:
        with closing(open_bucket(settings, BACKUPS) if to_r2 else backup_files.in_folder(folder)) as store:
            if listed:
                if folder.exists() and not folder.is_dir() and not to_r2:
                    raise typer.BadParameter(f"--to {folder} is not a folder")
                _list(store, as_json=as_json)
                return
            taken, removed = backup.take(
                settings,
                folder,
                keep=settings.backup_keep if keep is None else keep,
                days=settings.backup_days if days is None else days,
                progress=Progress(),
                store=store,
            )
            place = store.describe(backup_files.key(taken.name))
    except backup.FAILURES as error:
        failed(error, folder)
    for name in removed:
        log.info("an old backup was removed %s", pairs(file=name))
        typer.echo(f"removed {name}", err=True)
    if as_json:
        typer.echo(json.dumps({**_summary(taken), "place": place, "removed": removed}))
    else:
        typer.echo(place)
        typer.echo(
            f"{taken.bytes / 1e6:,.1f} MB, {len(taken.tables)} tables, {taken.contents.rows:,} rows, "
            f"verified, {taken.seconds:.1f} s"
            + (f"; without the rows of {', '.join(taken.skipped)}" if taken.skipped else "")
        )


def failed(error: Exception, folder: Path) -> NoReturn:
    """Print in one line why a backup or a restore failed, and exit with 1."""
    text = " ".join(redact(backup.explain(error, folder)).split())
    log.error("%s", text)
    typer.echo(f"vinops: {text}", err=True)
    raise typer.Exit(1) from None


def _summary(taken: Backup) -> dict[str, Any]:
    return {
        "name": taken.name,
        "taken_at": taken.taken_at,
        "bytes": taken.bytes,
        "tables": len(taken.tables),
        "rows": taken.contents.rows,
        "database": taken.database,
        "server_version": taken.server_version,
        "sha256": taken.sha256,
        "seconds": taken.seconds,
        "skipped": taken.skipped,
    }


def _list(store: Store, *, as_json: bool) -> None:
    with at_work("reading the backups"):
        found, wrong = backup_files.verified(store)
    found, ahead = backup_files.counted(found, clock.now())
    for text in (*wrong, *ahead):
        typer.echo(f"does not count: {text}", err=True)
    rows = [_summary(each) for each in found]
    if as_json:
        typer.echo(json.dumps(rows))
    elif rows:
        tables.show(SHOWN, [tuple(row[name] for name in SHOWN) for row in rows])
    else:
        typer.echo("there is no backup: `vinops backup` takes one", err=True)
