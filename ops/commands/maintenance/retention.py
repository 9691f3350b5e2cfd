"""`vinops retention`: removes what is past its retention period, once a day."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ops.masked_texts import mask_again
from ops.retention import Kept, Removed, retain
from vinops import clock, config, logs
from vinops.db import database
from vinops.logs import pairs
from vinops.output import at_work, say
from vinops.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

log = logging.getLogger("retention")


def command(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what would be removed, and remove nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Remove what is past its retention period: raw rows, runs, archived files, rotated logs. Prints what was removed.
    Then masks texts of ads again whose masking is of older rules.

    Ages are measured against the newest thing of the same kind. While the clock may be wrong nothing is removed, and
    if it differs from the database's the exit code is 1.
    """
    settings = config.load()
    logs.configure("retention", settings, console=False)
    removed: list[Removed] = []
    kept: list[str] = []
    failures: list[str] = []
    doing = "counting" if dry_run else "removing"
    with at_work(doing) as work, database.connect(settings, application="vinops retention") as connection:
        for each in retain(connection, settings, clock.now(), dry_run=dry_run):
            if isinstance(each, Removed):
                removed.append(each)
                work(0, text=f"{doing}: {each.what} done")
                if not dry_run:
                    days = each.older_than_days
                    log.info("removed %s", pairs(what=each.what, count=each.count, older_than_days=days))
            elif isinstance(each, Kept):
                kept.append(f"{each.what}: nothing removed: {each.reason}")
                log.warning("nothing removed %s: %s", pairs(what=each.what), each.reason)
            else:
                failures.append(redact(each))
                log.error("%s", each)
        work(0, text="masking texts of ads")
        masked = 0 if dry_run else mask_again(connection)
    for text in kept:
        say(f"vinops: {text}", err=True)
    if as_json:
        say(json.dumps([asdict(each) for each in removed]))
    for text in [] if as_json else _lines(removed, masked, dry_run=dry_run):
        say(text)
    for failure in failures:
        say(f"vinops: {failure}", err=True)
    if failures:
        raise typer.Exit(1)


def _lines(removed: Sequence[Removed], masked: int, *, dry_run: bool) -> Iterator[str]:
    done = "would be removed" if dry_run else "removed"
    for each in removed:
        yield f"{each.what}: {each.count:,} {each.unit} older than {each.older_than_days:g} days {done}"
    if masked:
        yield f"texts of ads: {masked:,} masked again by the rules of today"
