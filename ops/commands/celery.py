"""`vinops celery …`: the Celery worker and beat of this machine."""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

import typer

from ops.commands.workers import (
    AsJson,
    Grace,
    Retire,
    errors_as_lines,
    has_database,
    load_settings,
    show_starts,
    values,
)
from ops.show import tables
from ops.workers import backends, celery, control, registry, runs
from vinops.db import database
from vinops.db.errors import explanation, is_of_database
from vinops.output import at_work, say
from vinops.redaction import one_line, redact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

    from ops.workers.backends import Backend
    from ops.workers.control import Ended
    from ops.workers.processes import State
    from ops.workers.registry import Program
    from vinops.config import Settings

app = typer.Typer(help="The Celery worker and beat of the deals.", no_args_is_help=True)

NOT_RECORDED: Final = {
    "running": "a supervisor does not watch them until they are started with the database there",
    "stopped": "a supervisor that runs may start them again",
}


@app.command()
def start(*, as_json: AsJson = False) -> None:
    """Start what does not run of the worker and beat, and wait until it is up.

    Exits with 1 if both run already, or one does not come up.
    """
    _start(load_settings(quiet=as_json), as_json=as_json)


@app.command()
def stop(*, grace: Grace = None, retire: Retire = False, as_json: AsJson = False) -> None:
    """Stop both, and those that were started by hand: running tasks are finished first, and what takes too long is
    killed."""
    ended = stop_all(load_settings(quiet=as_json), grace, retire=retire)
    if as_json:
        rows = [
            {
                "process": _kind(each.program),
                "pid": each.stopped.pid,
                "killed": each.stopped.was_killed,
                "by_hand": each.is_by_hand,
            }
            for each in ended
            if each.program
        ]
        say(json.dumps(rows))
    for each in [] if as_json else ended:
        say(each.text)


@app.command()
def restart(*, grace: Grace = None, as_json: AsJson = False) -> None:
    """Stop both, and those that were started by hand, then start one of each."""
    settings = load_settings(quiet=as_json)
    for each in stop_all(settings, grace):
        say(each.text, err=True)
    _start(settings, as_json=as_json)


@app.command()
def status(*, as_json: AsJson = False) -> None:
    """Show the status of both, and others that were started by hand. Exits with 0 if both run, each once."""
    settings = load_settings(quiet=as_json)
    with errors_as_lines(), at_work("asking for Celery"):
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
    tables.write_objects(shown, as_json=as_json, zone=settings.time_zone)
    for row in [] if as_json else rows:
        for pid in row["duplicates"]:
            fix = "`vinops celery restart` leaves one"
            typer.echo(f"vinops: another Celery {row['process']} was started by hand, PID {pid}: {fix}", err=True)
    if any(row["state"] != "running" or row["duplicates"] for row in rows):
        raise typer.Exit(1)


@app.command()
def clean(*, grace: Grace = None, as_json: AsJson = False) -> None:
    """Stop all Celery processes of this data folder, remove what dead ones left (state files, messages that cannot be
    read), and rotate the logs: those of Celery, and every one of more than 1 MB."""
    settings = load_settings(quiet=as_json)
    ended = [each.text for each in stop_all(settings, grace) if each.stopped.pid is not None]
    with errors_as_lines(), at_work("cleaning"):
        done = [*ended, *celery.clean(settings)]
    if as_json:
        say(json.dumps({"done": done}))
        return
    for line in done or ["nothing to clean"]:
        say(line)


def _start(settings: Settings, *, as_json: bool) -> None:
    with errors_as_lines(), _database(settings, "running") as connection, at_work("starting Celery"):
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


def stop_all(settings: Settings, grace: float | None, *, retire: bool = False) -> list[Ended]:
    """Stop beat, then the worker, which finishes its running tasks; also those started by hand.
    If a worker has to be killed the next one does its tasks anew: they are recorded in PostgreSQL."""
    programs = registry.celery(settings)
    try:
        with _database(settings, "stopped") as connection:
            if connection:
                runs.want(connection, programs, "stopped")
                if retire:
                    runs.retire(connection, programs)
    except Exception as error:
        if not is_of_database(error):
            raise
        say(f"vinops: {one_line(explanation(error))}\n{NOT_RECORDED['stopped']}", err=True)
    seconds = settings.stop_grace if grace is None else grace
    with errors_as_lines(), at_work("waiting for the running tasks to finish"):
        backend = _backend(settings)
        return [
            each for program in reversed(programs) for each in control.stop(settings, backend, [program], grace=seconds)
        ]


@contextmanager
def _database(settings: Settings, desired: State) -> Iterator[Connection[Any] | None]:
    """Connect to the database; None if it is unavailable. A stop does not create the embedded one."""
    if desired == "stopped" and not has_database(settings):
        yield None
        return
    with ExitStack() as stack:
        connection: Connection[Any] | None = None
        try:
            connection = stack.enter_context(database.connect(settings, application="vinops celery", autocommit=True))
        except database.DatabaseError as error:
            say(f"vinops: {redact(str(error))}\n{NOT_RECORDED[desired]}", err=True)
        yield connection


def _kind(program: Program) -> str:
    return program.name.removeprefix("celery_")


def _backend(settings: Settings) -> Backend:
    return backends.backend(settings, registry.celery(settings))
