"""`vinops retention`: removes what is past its retention period, once a day."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from typing import Annotated

import typer

from ops.retention import Kept, Removed, retain
from vinops import clock, config, logs
from vinops.db import database
from vinops.logs import pairs
from vinops.output import say
from vinops.redaction import redact

log = logging.getLogger("retention")


def command(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Remove what is past its retention period: raw rows, runs, archived files, rotated logs. Prints what was removed.

    Ages are measured against the newest thing of the same kind. While the clock may be wrong nothing is removed, and
    if it differs from the database's the exit code is 1.
    """
    settings = config.load()
    logs.configure("retention", settings, console=False)
    removed: list[Removed] = []
    failures: list[str] = []
    with database.connect(settings, application="vinops retention") as connection:
        for each in retain(connection, settings, clock.now()):
            if isinstance(each, Removed):
                removed.append(each)
                log.info("removed %s", pairs(what=each.what, count=each.count, older_than_days=each.older_than_days))
            elif isinstance(each, Kept):
                log.warning("nothing removed %s: %s", pairs(what=each.what), each.reason)
                say(f"vinops: {each.what}: nothing removed: {each.reason}", err=True)
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
