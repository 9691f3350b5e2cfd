"""`vinops migrate`: the schema of the database, brought up to this version."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from vinops import config
from vinops.db import database
from vinops.output import at_work, name_data_folder
from vinops.redaction import remember


def command(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Bring the database's schema up to this version. Safe to run again, and at the same time elsewhere."""
    settings = config.load()
    remember(settings)
    if not as_json:
        name_data_folder(settings)
    with at_work("migrating the database"):
        applied = database.migrate(settings)
    if as_json:
        typer.echo(json.dumps({"applied": applied}))
    for name in [] if as_json else applied:
        typer.echo(name)
    typer.echo(f"{len(applied)} migrations applied" if applied else "the schema is up to date", err=True)
