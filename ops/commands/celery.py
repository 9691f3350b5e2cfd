"""`vinops celery …`: the Celery worker and beat of this machine."""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

import typer

from ops.commands.workers import AsJson, Grace, errors_as_lines, load_settings, show_starts, values
from ops.show import tables
from ops.workers import backends, celery, control, registry, runs
from vinops.db import database
from vinops.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

    from ops.workers.backends import Backend
    from ops.workers.processes import State, Stopped
    from ops.workers.registry import Program
    from vinops.config import Settings

app = typer.Typer(help="The Celery worker and beat of the deals.", no_args_is_help=True)

NOT_RECORDED: Final = {
    "running": "a supervisor does not look after them until they are started with the database there",
    "stopped": "a supervisor that runs may start them again",
}


@app.command()
def start(*, as_json: AsJson = False) -> None:
    """Start what does not run of the worker and beat, and wait until it is up.

    Exits with 1 if both run already, or one does not come up.
    """
    _start(load_settings(), as_json=as_json)


@app.command()
def stop(*, grace: Grace = None, as_json: AsJson = False) -> None:
    """Stop both: tasks in hand are finished first, and what takes too long is killed."""
    stopped = _stop(load_settings(), grace)
    if as_json:
        rows = [{"process": _kind(program), "pid": each.pid, "killed": each.was_killed} for program, each in stopped]
        typer.echo(json.dumps(rows))
    for program, each in [] if as_json else stopped:
        typer.echo(control.describe(program, each))


@app.command()
def restart(*, grace: Grace = None, as_json: AsJson = False) -> None:
    """Stop both, then start them."""
    settings = load_settings()
    for program, each in _stop(settings, grace):
        typer.echo(control.describe(program, each), err=True)
    _start(settings, as_json=as_json)


@app.command()
def status(*, as_json: AsJson = False) -> None:
    """Show the status of both, and others that were started by hand. Exits with 0 if both run, each once."""
    settings = load_settings()
    with errors_as_lines():
        found = _backend(settings).status(registry.celery(settings))
    rows: list[dict[str, Any]] = [
        {
            "process": _kind(each.program),
            **values(each),
            "duplicates": list(celery.duplicates(settings, each)),
            "log": str(each.program.log),
        }
        for each in found
    ]
    shown = rows if as_json else [{**row, "duplicates": ", ".join(map(str, row["duplicates"]))} for row in rows]
    tables.write_objects(shown, as_json=as_json)
    for row in [] if as_json else rows:
        for pid in row["duplicates"]:
            typer.echo(f"vinops: another Celery {row['process']} was started by hand: `kill {pid}`", err=True)
    if any(row["state"] != "running" or row["duplicates"] for row in rows):
        raise typer.Exit(1)


@app.command()
def clean(*, as_json: AsJson = False) -> None:
    """Remove what dead processes left: stale PID files, messages that cannot be read. What runs is left alone."""
    with errors_as_lines():
        done = celery.clean(load_settings())
    if as_json:
        typer.echo(json.dumps({"done": done}))
        return
    for line in done or ["nothing to clean"]:
        typer.echo(line)


def _start(settings: Settings, *, as_json: bool) -> None:
    with errors_as_lines(), _database(settings, "running") as connection:
        outcomes = control.start(settings, _backend(settings), registry.celery(settings), connection)
    rows = [
        {
            "process": _kind(each.status.program),
            "pid": each.pid,
            "problem": redact(each.problem) if each.problem else None,
        }
        for each in outcomes
    ]
    show_starts(outcomes, rows, as_json=as_json)
    is_failure = any(each.problem and not each.runs_already for each in outcomes)
    if is_failure or all(each.runs_already for each in outcomes):
        raise typer.Exit(1)


def _stop(settings: Settings, grace: float | None) -> list[tuple[Program, Stopped]]:
    """Stop beat, then the worker, which finishes the tasks that it has in hand. If it has to be killed the next one
    does them anew: they are recorded in PostgreSQL."""
    programs = registry.celery(settings)
    with _database(settings, "stopped") as connection:
        if connection:
            runs.want(connection, programs, "stopped")
    seconds = settings.stop_grace if grace is None else grace
    with errors_as_lines():
        backend = _backend(settings)
        return [(program, backend.stop(program, grace=seconds)) for program in reversed(programs)]


@contextmanager
def _database(settings: Settings, desired: State) -> Iterator[Connection[Any] | None]:
    """Connect to the database. Celery is started and stopped without one, too: None then."""
    with ExitStack() as stack:
        connection: Connection[Any] | None = None
        try:
            connection = stack.enter_context(database.connect(settings, application="vinops celery", autocommit=True))
        except database.DatabaseError as error:
            typer.echo(f"vinops: {redact(str(error))}\n{NOT_RECORDED[desired]}", err=True)
        yield connection


def _kind(program: Program) -> str:
    return program.name.removeprefix("celery_")


def _backend(settings: Settings) -> Backend:
    return backends.backend(settings, registry.celery(settings))
