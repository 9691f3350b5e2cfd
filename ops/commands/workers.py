"""`vinops workers …`: start, stop and show the workers of this machine."""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from ops.show import tables
from ops.workers import backends, control, registry, runs
from ops.workers.loop import WorkerLoop
from ops.workers.processes import ProcessError
from vinops import config, logs
from vinops.db import database
from vinops.redaction import redact, remember

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ops.workers.backends import Backend
    from ops.workers.processes import ProcessStatus, Stopped
    from ops.workers.registry import Program
    from vinops.config import Settings

app = typer.Typer(help="The workers of this machine: four market crawls, and the photo crawl.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Grace = Annotated[
    float | None,
    typer.Option(min=0, help="Seconds before what does not end is killed; default: VINOPS_STOP_GRACE."),
]
Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[N]...", help="1 to 4, or photos; default: the market workers.", show_default=False),
]


@app.command()
def run(
    name: Annotated[str, typer.Argument(metavar="N", help="1 to 4.", show_default=False)],
    *,
    once: Annotated[bool, typer.Option("--once", help="One cycle, then exit.")] = False,
) -> None:
    """Run a worker in the foreground: one cycle after the other, as its unit does. SIGTERM ends it in order."""
    settings = config.load()
    (program,) = _chosen(settings, [name])
    logs.configure(program.log.stem, settings, console=True)
    loop = WorkerLoop(settings, program)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.stop())
    raise typer.Exit(loop.run(once=once))


@app.command()
def start(chosen: Names = None, *, as_json: AsJson = False) -> None:
    """Start workers, and wait until each has begun its run. Exits with 1 if one runs already or does not come up."""
    settings = _settings()
    _start(settings, _chosen(settings, chosen), as_json=as_json)


@app.command()
def stop(chosen: Names = None, *, grace: Grace = None, as_json: AsJson = False) -> None:
    """Stop workers: each ends its page, gives back what it had, and is killed if it takes too long."""
    settings = _settings()
    programs = _chosen(settings, chosen)
    stopped = _stop(settings, programs, grace)
    if as_json:
        rows = [
            {"worker": program.name, "pid": each.pid, "killed": each.was_killed, "leftovers": each.leftovers}
            for program, each in zip(programs, stopped, strict=True)
        ]
        typer.echo(json.dumps(rows))
    else:
        _show_stops(programs, stopped, err=False)


@app.command()
def restart(chosen: Names = None, *, grace: Grace = None, as_json: AsJson = False) -> None:
    """Stop workers, then start them."""
    settings = _settings()
    programs = _chosen(settings, chosen)
    _show_stops(programs, _stop(settings, programs, grace), err=True)
    _start(settings, programs, as_json=as_json)


@app.command()
def status(chosen: Names = None, *, as_json: AsJson = False) -> None:
    """Show the status of workers. Exits with 0 if all that are named run, else with 1."""
    settings = _settings()
    asked = [program.name for program in _chosen(settings, chosen)]
    found = _backend(settings).status(registry.workers(settings))
    # Without names the photo crawl is shown too, where it was ever started.
    shown = [each for each in found if each.program.name in asked or (not chosen and each.started_at)]
    rows = [_row(each, now=datetime.now(UTC)) for each in shown]
    if not as_json:
        for row in rows:
            row["makes"] = ", ".join(row["makes"])
    tables.write_objects(rows, as_json=as_json)
    if any(each.state != "running" for each in shown if each.program.name in asked):
        raise typer.Exit(1)


def since(status: ProcessStatus, *, now: datetime) -> dict[str, Any]:
    """Return since when, and for how many seconds, a process has been in its state."""
    at = status.started_at if status.state == "running" else status.ended_at
    return {
        "since": at.replace(microsecond=0) if at else None,
        "seconds": max(0, round((now - at).total_seconds())) if at else None,
    }


def _row(status: ProcessStatus, *, now: datetime) -> dict[str, Any]:
    """Return the row of a worker."""
    return {
        "worker": status.program.name,
        "state": status.state,
        "pid": status.pid,
        **since(status, now=now),
        "exit_code": status.exit_code,
        "makes": list(status.program.makes),
        "log": str(status.program.log),
    }


def _start(settings: Settings, programs: Sequence[Program], *, as_json: bool) -> None:
    try:
        with database.connect(settings, application="vinops workers", autocommit=True) as connection:
            outcomes = control.start(settings, _backend(settings), programs, connection)
    except ProcessError as error:
        _fail(error)
    if as_json:
        rows = [
            {"worker": each.status.program.name, "pid": each.pid, "state": each.status.state, "problem": each.problem}
            for each in outcomes
        ]
        typer.echo(json.dumps(rows))
    for each in outcomes:
        if each.problem:
            typer.echo(redact(each.problem), err=True)
        elif not as_json:
            typer.echo(f"{each.status.program.title}: {f'PID {each.pid}' if each.pid else 'has done its work already'}")
    if any(each.problem for each in outcomes):
        raise typer.Exit(1)


def _stop(settings: Settings, programs: Sequence[Program], grace: float | None) -> list[Stopped]:
    """Stop workers. What an operator stopped is not started again by the supervisor."""
    try:
        with database.connect(settings, application="vinops workers", autocommit=True) as connection:
            runs.want(connection, programs, "stopped")
    except database.DatabaseError as error:  # a database that is away must not keep a crawl from being stopped
        typer.echo(f"vinops: {redact(str(error))}\na supervisor that runs may start them again", err=True)
    try:
        return control.stop(_backend(settings), programs, grace=settings.stop_grace if grace is None else grace)
    except (ProcessError, OSError) as error:
        _fail(error)


def _show_stops(programs: Sequence[Program], stopped: Sequence[Stopped], *, err: bool) -> None:
    for program, each in zip(programs, stopped, strict=True):
        left = f"; {each.leftovers} processes that it left were killed" if each.leftovers else ""
        typer.echo(control.describe(program, each) + left, err=err)


def _backend(settings: Settings) -> Backend:
    return backends.backend(settings, registry.workers(settings))


def _chosen(settings: Settings, names: Sequence[str] | None) -> list[Program]:
    try:
        return registry.chosen(settings, names)
    except LookupError as error:
        raise typer.BadParameter(str(error)) from None


def _fail(error: Exception) -> NoReturn:
    typer.echo(f"vinops: {redact(str(error))}", err=True)
    raise typer.Exit(1) from None


def _settings() -> Settings:
    settings = config.load()
    remember(settings)
    return settings
