"""`vinops celery …`: the Celery worker and beat of this machine."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ops.show import tables
from ops.workers import registry as workers
from ops.workers.celery_backend import NAMES
from ops.workers.celery_control import KINDS, CeleryControl
from ops.workers.processes import ProcessError
from vinops import config
from vinops.db import database
from vinops.redaction import redact, remember

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ops.workers.celery_control import Kind
    from ops.workers.processes import State, Stopped

app = typer.Typer(help="The Celery worker and beat of the deals.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Grace = Annotated[
    float | None,
    typer.Option(min=0, help="Seconds before what does not end is killed; default: VINOPS_STOP_GRACE."),
]


UNNOTED: Final = {
    "running": "a supervisor does not look after them until they are started with the database there",
    "stopped": "a supervisor that runs may start them again",
}


@app.command()
def start(*, as_json: AsJson = False) -> None:
    """Start the worker and beat, and wait until they are up. Exits with 1 if one runs already or does not come up."""
    _start(_control(), as_json=as_json)


@app.command()
def stop(*, grace: Grace = None, as_json: AsJson = False) -> None:
    """Stop both: tasks in hand are ended first, and what takes too long is killed."""
    control = _control()
    stopped = _stop(control, grace)
    if as_json:
        rows = [{"process": kind, "pid": each.pid, "killed": each.was_killed} for kind, each in stopped.items()]
        typer.echo(json.dumps(rows))
    for kind, each in [] if as_json else stopped.items():
        typer.echo(_told(control.programs[kind].title, each))


@app.command()
def restart(*, grace: Grace = None, as_json: AsJson = False) -> None:
    """Stop both, then start them."""
    control = _control()
    for kind, each in _stop(control, grace).items():
        typer.echo(_told(control.programs[kind].title, each), err=True)
    _start(control, as_json=as_json)


@app.command()
def status(*, as_json: AsJson = False) -> None:
    """Show how both are, and others that were started by hand. Exits with 0 if both run, each once."""
    control = _control()
    with _said():
        found = control.status()
    now = datetime.now(UTC)
    rows: list[dict[str, Any]] = []
    for each in found:
        since = each.standing.started_at if each.standing.pid else each.standing.ended_at
        rows.append(
            {
                "process": each.kind,
                "state": each.standing.state,
                "pid": each.standing.pid,
                "since": since.replace(microsecond=0) if since else None,
                "seconds": max(0, round((now - since).total_seconds())) if since else None,
                "exit_code": each.standing.exit_code,
                "duplicates": list(each.duplicates),
                "log": str(each.log),
            }
        )
    if as_json:
        tables.write_json(sys.stdout, list(rows[0]), [tuple(row.values()) for row in rows])
    else:
        shown = [{**row, "duplicates": ", ".join(map(str, row["duplicates"]))} for row in rows]
        tables.write_plain(sys.stdout, list(shown[0]), [tuple(row.values()) for row in shown])
        for row in rows:
            for pid in row["duplicates"]:
                typer.echo(f"vinops: another Celery {row['process']} was started by hand: `kill {pid}`", err=True)
    if any(each.standing.state != "running" or each.duplicates for each in found):
        raise typer.Exit(1)


@app.command()
def clean(*, as_json: AsJson = False) -> None:
    """Remove what dead processes left: stale PID files, messages that cannot be read. What runs is left alone."""
    control = _control()
    with _said():
        done = control.clean()
    if as_json:
        typer.echo(json.dumps({"done": done}))
        return
    for line in done or ["nothing to clean"]:
        typer.echo(line)


def _start(control: CeleryControl, *, as_json: bool) -> None:
    with _said():
        outcomes = control.start(_wanted("running"))
    rows = []
    for kind in KINDS:
        outcome = outcomes[kind]
        problem = redact(str(outcome)) if isinstance(outcome, ProcessError) else None
        pid = outcome.pid if not isinstance(outcome, ProcessError) else getattr(outcome, "pid", None)
        rows.append({"process": kind, "pid": pid, "problem": problem})
        if problem:
            typer.echo(problem, err=True)
        elif not as_json:
            typer.echo(f"{control.programs[kind].title}: PID {pid}")
    if as_json:
        typer.echo(json.dumps(rows))
    if any(row["problem"] for row in rows):
        raise typer.Exit(1)


def _stop(control: CeleryControl, grace: float | None) -> Mapping[Kind, Stopped]:
    seconds = config.load().stop_grace if grace is None else grace
    with _wanted("stopped"):
        pass
    with _said():
        return control.stop(grace=seconds)


@contextmanager
def _wanted(desired: State) -> Iterator[None]:
    """Note for the supervisor that they are to run, or to be stopped; one that is about to start them waits meanwhile.

    A database that is away keeps nobody from starting or stopping them.
    """
    with ExitStack() as open_until_the_end:
        try:
            connection = open_until_the_end.enter_context(
                database.connect(config.load(), application="vinops celery", autocommit=True)
            )
            open_until_the_end.enter_context(connection.transaction())
            workers.want(connection, NAMES, desired)
        except database.DatabaseError as error:
            typer.echo(f"vinops: {redact(str(error))}\n{UNNOTED[desired]}", err=True)
        yield


@contextmanager
def _said() -> Iterator[None]:
    """Turn what goes wrong in the block into a line and exit code 1."""
    try:
        yield
    except (ProcessError, OSError) as error:
        typer.echo(f"vinops: {redact(str(error))}", err=True)
        raise typer.Exit(1) from None


def _told(title: str, stopped: Stopped) -> str:
    if stopped.pid is None:
        return f"{title} does not run"
    return f"{title}: PID {stopped.pid} {'killed: it did not end in time' if stopped.was_killed else 'stopped'}"


def _control() -> CeleryControl:
    settings = config.load()
    remember(settings)
    return CeleryControl(settings)
