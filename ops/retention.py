"""`vinops retention`: what is older than its days goes, and what went is said. A job of every day."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from etl.retention import remove_old
from ops.log_files import prune
from vinops import config, database, logs
from vinops.database import queries
from vinops.logs import pairs
from vinops.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

    from vinops.config import Settings

log = logging.getLogger("retention")

BATCH: Final = 10_000  # rows in one transaction: a tenth of a second, and no lock that others wait for
DAY: Final = 86_400.0


@dataclass(frozen=True, kw_only=True)
class Removed:
    """How much of a thing went, and from what age on it does."""

    what: str
    count: int
    unit: str
    older_than_days: float


def command(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Remove what is older than its days: raw rows, runs, archived files, rotated logs. Says what went."""
    settings = config.load()
    logs.configure("retention", settings, console=False)
    removed: list[Removed] = []
    failures: list[str] = []
    with database.connect(settings, application="vinops retention") as connection:
        for each in retain(connection, settings, datetime.now(UTC)):
            if isinstance(each, Removed):
                removed.append(each)
                log.info("removed %s", pairs(what=each.what, count=each.count, older_than_days=each.older_than_days))
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
) -> Iterator[Removed | str]:
    """Remove what is too old at `now`, and yield what went, or why a thing could not be removed.

    Rows go `batch` at a time, each batch a transaction of its own: if the process dies, the batches done are done, and
    the next call goes on. Files of the archive are marked in the database before they go (`etl.retention`); of logs
    only rotated files go. Nothing that the streets still read goes at any age: the last load of the feed and its chain
    of files stay, and so do runs whose heart still beats.
    """
    for what, query, days in (
        ("raw rows of the feed", "remove_staging", settings.staging_days),
        ("runs of the feed", "remove_etl_runs", settings.runs_days),
        ("runs of crawls", "remove_crawl_runs", settings.runs_days),
        ("alerts that have passed", "remove_alerts", settings.runs_days),
    ):
        count = _remove_rows(connection, query, now - timedelta(days=days), batch)
        yield Removed(what=what, count=count, unit="rows", older_than_days=days)
    try:
        files = remove_old(connection, settings, now)
        yield Removed(
            what="archived feed files", count=len(files), unit="files", older_than_days=float(settings.archive_days)
        )
        pruned = prune(settings.log_dir, settings.log_days * DAY)
        yield Removed(what="rotated logs", count=len(pruned), unit="files", older_than_days=settings.log_days)
    except OSError as error:
        yield f"{error.filename}: {error.strerror}: run it as the owner of the file"


def _remove_rows(connection: Connection[Any], query: str, older_than: datetime, batch: int) -> int:
    """Remove rows batch by batch, each committed, and return how many went."""
    total = 0
    while True:
        count = connection.execute(queries("retention")[query], {"older_than": older_than, "count": batch}).rowcount
        connection.commit()
        total += count
        if count < batch:
            return total
