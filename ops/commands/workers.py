"""`vinops workers …`: start, stop and show the workers of this machine."""

from __future__ import annotations

import json
import signal
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ops.show import tables
from ops.workers import backends, control, registry, runs
from ops.workers.loop import WorkerLoop
from ops.workers.processes import ProcessError
from vinops import config, logs
from vinops.db import database
from vinops.redaction import redact, remember

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ops.workers.backends import Backend
    from ops.workers.control import Started
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
    (program,) = chosen_programs(settings, [name])
    logs.configure(program.log.stem, settings, console=True)
    loop = WorkerLoop(settings, program)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.stop())
    raise typer.Exit(loop.run(once=once))


@app.command()
def start(chosen: Names = None, *, as_json: AsJson = False) -> None:
    """Start workers, and wait until each has begun its run. Exits with 1 if one runs already or does not come up."""
    settings = load_settings()
    _start(settings, chosen_programs(settings, chosen), as_json=as_json)


@app.command()
def stop(chosen: Names = None, *, grace: Grace = None, as_json: AsJson = False) -> None:
    """Stop workers: each ends its page, gives back what it had, and is killed if it takes too long."""
    settings = load_settings()
    programs = chosen_programs(settings, chosen)
    stopped = _stop(settings, programs, grace)
    if not as_json:
        _show_stops(programs, stopped, err=False)
        return
    rows = [
        {"worker": program.name, "pid": each.pid, "killed": each.was_killed, "leftovers": each.leftovers}
        for program, each in zip(programs, stopped, strict=True)
    ]
    typer.echo(json.dumps(rows))


@app.command()
def restart(chosen: Names = None, *, grace: Grace = None, as_json: AsJson = False) -> None:
    """Stop workers, then start them."""
    settings = load_settings()
    programs = chosen_programs(settings, chosen)
    _show_stops(programs, _stop(settings, programs, grace), err=True)
    _start(settings, programs, as_json=as_json)


@app.command()
def status(chosen: Names = None, *, as_json: AsJson = False) -> None:
    """Show the status of workers. Exits with 0 if all that are named run, else with 1."""
    settings = load_settings()
    asked = [program.name for program in chosen_programs(settings, chosen)]
    found = _backend(settings).status(registry.workers(settings))
    # Without names the photo crawl is shown too, where it was ever started.
    shown = [each for each in found if each.program.name in asked or (not chosen and each.started_at)]
    rows = [
        {
            "worker": each.program.name,
            **values(each),
            "makes": list(each.program.makes) if as_json else ", ".join(each.program.makes),
            "log": str(each.program.log),
        }
        for each in shown
    ]
    tables.write_objects(rows, as_json=as_json)
    if any(each.state != "running" for each in shown if each.program.name in asked):
        raise typer.Exit(1)


def values(status: ProcessStatus) -> dict[str, Any]:
    """Return what a table shows of a process; `seconds` is how long it has been in its state."""
    since = status.started_at if status.state == "running" else status.ended_at
    return {
        "state": status.state,
        "pid": status.pid,
        "since": since.replace(microsecond=0) if since else None,
        "seconds": max(0, round((datetime.now(UTC) - since).total_seconds())) if since else None,
        "exit_code": status.exit_code,
    }


def show_starts(outcomes: Sequence[Started], rows: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """Print the result of a start, in JSON the rows."""
    if as_json:
        typer.echo(json.dumps(rows))
    for each in outcomes:
        if each.problem:
            typer.echo(redact(each.problem), err=True)
        elif not as_json:
            typer.echo(f"{each.status.program.title}: {f'PID {each.pid}' if each.pid else 'has done its work already'}")


@contextmanager
def errors_as_lines() -> Iterator[None]:
    """Turn an error in the block into a line and exit code 1."""
    try:
        yield
    except (ProcessError, OSError) as error:
        typer.echo(f"vinops: {redact(str(error))}", err=True)
        raise typer.Exit(1) from None


def load_settings() -> Settings:
    """Return the settings; their secrets are hidden in all output from here on."""
    settings = config.load()
    remember(settings)
    return settings


def _start(settings: Settings, programs: Sequence[Program], *, as_json: bool) -> None:
    with errors_as_lines(), database.connect(settings, application="vinops workers", autocommit=True) as connection:
        outcomes = control.start(settings, _backend(settings), programs, connection)
    rows = [
        {"worker": each.status.program.name, "pid": each.pid, "state": each.status.state, "problem": each.problem}
        for each in outcomes
    ]
    show_starts(outcomes, rows, as_json=as_json)
    if any(each.problem for each in outcomes):
        raise typer.Exit(1)


def _stop(settings: Settings, programs: Sequence[Program], grace: float | None) -> list[Stopped]:
    """Stop workers. What an operator stopped is not started again by the supervisor."""
    try:
        with database.connect(settings, application="vinops workers", autocommit=True) as connection:
            runs.want(connection, programs, "stopped")
    except database.DatabaseError as error:  # without a database a crawl can be stopped all the same
        typer.echo(f"vinops: {redact(str(error))}\na supervisor that runs may start them again", err=True)
    with errors_as_lines():
        return control.stop(_backend(settings), programs, grace=settings.stop_grace if grace is None else grace)


def _show_stops(programs: Sequence[Program], stopped: Sequence[Stopped], *, err: bool) -> None:
    for program, each in zip(programs, stopped, strict=True):
        left = f"; {each.leftovers} processes that it left were killed" if each.leftovers else ""
        typer.echo(control.describe(program, each) + left, err=err)


def _backend(settings: Settings) -> Backend:
    return backends.backend(settings, registry.workers(settings))


def chosen_programs(settings: Settings, names: Sequence[str] | None) -> list[Program]:
    """Return the workers of these names, without names the market workers; a name that is none is wrong usage."""
    try:
        return registry.chosen(settings, names)
    except LookupError as error:
        raise typer.BadParameter(str(error)) from None
