"""`vinops celery …`: the Celery worker and beat of this machine."""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ops.commands.workers import since
from ops.show import tables
from ops.workers import backends, celery, control, registry, runs
from ops.workers.processes import ProcessError
from vinops import config
from vinops.db import database
from vinops.redaction import redact, remember

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

    from ops.workers.backends import Backend
    from ops.workers.processes import State, Stopped
    from ops.workers.registry import Program
    from vinops.config import Settings

app = typer.Typer(help="The Celery worker and beat of the deals.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Grace = Annotated[
    float | None,
    typer.Option(min=0, help="Seconds before what does not end is killed; default: VINOPS_STOP_GRACE."),
]

NOT_RECORDED: Final = {
    "running": "a supervisor does not look after them until they are started with the database there",
    "stopped": "a supervisor that runs may start them again",
}


@app.command()
def start(*, as_json: AsJson = False) -> None:
    """Start the worker and beat, and wait until they are up. Exits with 1 if one runs already or does not come up."""
    _start(_settings(), as_json=as_json)


@app.command()
def stop(*, grace: Grace = None, as_json: AsJson = False) -> None:
    """Stop both: tasks in hand are finished first, and what takes too long is killed."""
    stopped = _stop(_settings(), grace)
    if as_json:
        rows = [{"process": _kind(program), "pid": each.pid, "killed": each.was_killed} for program, each in stopped]
        typer.echo(json.dumps(rows))
    for program, each in [] if as_json else stopped:
        typer.echo(control.describe(program, each))


@app.command()
def restart(*, grace: Grace = None, as_json: AsJson = False) -> None:
    """Stop both, then start them."""
    settings = _settings()
    for program, each in _stop(settings, grace):
        typer.echo(control.describe(program, each), err=True)
    _start(settings, as_json=as_json)


@app.command()
def status(*, as_json: AsJson = False) -> None:
    """Show the status of both, and others that were started by hand. Exits with 0 if both run, each once."""
    settings = _settings()
    with _errors_as_lines():
        found = _backend(settings).status(registry.celery(settings))
    now = datetime.now(UTC)
    rows: list[dict[str, Any]] = [
        {
            "process": _kind(each.program),
            "state": each.state,
            "pid": each.pid,
            **since(each, now=now),
            "exit_code": each.exit_code,
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
    with _errors_as_lines():
        done = celery.clean(_settings())
    if as_json:
        typer.echo(json.dumps({"done": done}))
        return
    for line in done or ["nothing to clean"]:
        typer.echo(line)


def _start(settings: Settings, *, as_json: bool) -> None:
    with _errors_as_lines(), _database(settings, "running") as connection:
        outcomes = control.start(settings, _backend(settings), registry.celery(settings), connection)
    rows = []
    for each in outcomes:
        program, problem = each.status.program, redact(each.problem) if each.problem else None
        rows.append({"process": _kind(program), "pid": each.pid, "problem": problem})
        if problem:
            typer.echo(problem, err=True)
        elif not as_json:
            typer.echo(f"{program.title}: PID {each.pid}")
    if as_json:
        typer.echo(json.dumps(rows))
    if any(row["problem"] for row in rows):
        raise typer.Exit(1)


def _stop(settings: Settings, grace: float | None) -> list[tuple[Program, Stopped]]:
    """Stop beat, then the worker, which finishes the tasks that it has in hand. If it has to be killed the next one
    does them anew: they are recorded in PostgreSQL."""
    programs = registry.celery(settings)
    with _database(settings, "stopped") as connection:
        if connection:
            runs.want(connection, programs, "stopped")
    seconds = settings.stop_grace if grace is None else grace
    with _errors_as_lines():
        backend = _backend(settings)
        return [(program, backend.stop(program, grace=seconds)) for program in reversed(programs)]


@contextmanager
def _database(settings: Settings, desired: State) -> Iterator[Connection[Any] | None]:
    """Connect to the database. One that is away keeps nobody from starting or stopping Celery: None then."""
    with ExitStack() as stack:
        connection: Connection[Any] | None = None
        try:
            connection = stack.enter_context(database.connect(settings, application="vinops celery", autocommit=True))
        except database.DatabaseError as error:
            typer.echo(f"vinops: {redact(str(error))}\n{NOT_RECORDED[desired]}", err=True)
        yield connection


@contextmanager
def _errors_as_lines() -> Iterator[None]:
    """Turn an error in the block into a line and exit code 1."""
    try:
        yield
    except (ProcessError, OSError) as error:
        typer.echo(f"vinops: {redact(str(error))}", err=True)
        raise typer.Exit(1) from None


def _kind(program: Program) -> str:
    return program.name.removeprefix("celery_")


def _backend(settings: Settings) -> Backend:
    return backends.backend(settings, registry.celery(settings))


def _settings() -> Settings:
    settings = config.load()
    remember(settings)
    return settings
