"""`vinops workers …`: start, stop and look at the workers of this machine."""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ops.show import tables
from ops.workers import backends, loop as worker_loop, registry as workers
from ops.workers.processes import AlreadyRunning, ProcessError, last_lines
from vinops import config
from vinops.db import database
from vinops.redaction import redact, remember

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from ops.workers.backends import Backend
    from ops.workers.processes import Stopped
    from ops.workers.registry import WorkerStatus
    from vinops.config import Settings

UP_SECONDS: Final = 60.0  # Python, Scrapy and the database take three on an idle machine
LOOK_SECONDS: Final = 0.2
RESTED: Final = ("finished", "stopped")

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


@dataclass(frozen=True, kw_only=True)
class Started:
    """How a start went: `problem` is why there is no new worker, or why it is not known to work."""

    status: WorkerStatus
    problem: str | None = None

    def values(self) -> dict[str, object]:
        """Return what `--json` prints."""
        return {"worker": self.status.name, "pid": self.status.pid, "state": self.status.state, "problem": self.problem}


app.command()(worker_loop.run)


@app.command()
def start(chosen: Names = None, *, as_json: AsJson = False) -> None:
    """Start workers, and wait until each has begun its run. Exits with 1 if one runs already or does not come up."""
    settings = _settings()
    _report_start(_start(settings, _chosen(settings, chosen)), as_json=as_json)


@app.command()
def stop(chosen: Names = None, *, grace: Grace = None, as_json: AsJson = False) -> None:
    """Stop workers: each ends its page, gives back what it had, and is killed if it takes too long."""
    settings = _settings()
    stopped = _stop(settings, _chosen(settings, chosen), grace)
    if as_json:
        typer.echo(
            json.dumps(
                [
                    {"worker": each.name, "pid": each.pid, "killed": each.was_killed, "leftovers": each.leftovers}
                    for each in stopped
                ]
            )
        )
    for each in [] if as_json else stopped:
        typer.echo(_told(settings, each))


@app.command()
def restart(chosen: Names = None, *, grace: Grace = None, as_json: AsJson = False) -> None:
    """Stop workers, then start them."""
    settings = _settings()
    which = _chosen(settings, chosen)
    for each in _stop(settings, which, grace):
        typer.echo(_told(settings, each), err=True)
    _report_start(_start(settings, which), as_json=as_json)


@app.command()
def status(chosen: Names = None, *, as_json: AsJson = False) -> None:
    """Show how workers are. Exits with 0 if all that are asked for run, else with 1."""
    settings = _settings()
    which = _chosen(settings, chosen)
    found = backends.backend(settings).status()
    if not chosen:  # the photo crawl too, where it was ever started
        which += [each.name for each in found if each.name == workers.PHOTOS and each.started_at]
    shown = [each for each in found if each.name in which]
    rows = [_row(each, now=datetime.now(UTC)) for each in shown]
    if as_json:
        tables.write_json(sys.stdout, list(rows[0]), [tuple(row.values()) for row in rows])
    else:
        for row in rows:
            row["makes"] = ", ".join(row["makes"])
        write = tables.write_rich if sys.stdout.isatty() else _write_plain
        write(list(rows[0]), [tuple(row.values()) for row in rows])
    asked = [each for each in shown if chosen or each.name != workers.PHOTOS]
    if any(each.state != "running" for each in asked):
        raise typer.Exit(1)


def _row(each: WorkerStatus, *, now: datetime) -> dict[str, Any]:
    """Return what a table shows of a worker; `seconds` is how long it has been as it is."""
    since = each.started_at if each.state == "running" else each.ended_at
    return {
        "worker": each.name,
        "state": each.state,
        "pid": each.pid,
        "since": since.replace(microsecond=0) if since else None,
        "seconds": max(0, round((now - since).total_seconds())) if since else None,
        "exit_code": each.exit_code,
        "makes": list(each.makes),
        "log": str(each.log),
    }


def _write_plain(names: Sequence[str], rows: Sequence[tuple[object, ...]]) -> None:
    tables.write_plain(sys.stdout, names, rows)


def _start(settings: Settings, which: Sequence[str]) -> list[Started]:
    """Start workers and wait for them. A worker that fails does not keep the others from being started."""
    backend = backends.backend(settings)
    with database.connect(settings, application="vinops workers", autocommit=True) as connection:
        outcomes = [_start_one(backend, connection, name) for name in which]
        started = [each.status.name for each in outcomes if each.problem is None]
        came_up = {each.status.name: each for each in _wait_until_up(backend, connection, settings, started)}
    return [came_up.get(each.status.name, each) for each in outcomes]


def _start_one(backend: Backend, connection: Connection[Any], name: str) -> Started:
    """Start one, unless it runs. If this process dies in here it runs, and the supervisor does not look after it."""
    status = next(each for each in backend.status() if each.name == name)
    with connection.transaction():  # a supervisor that is about to start it waits, and finds it running
        workers.want(connection, [name], "running")
        if status.state != "running" and (where := workers.elsewhere(connection, [name]).get(name)):
            return Started(status=status, problem=f"{status.title} was not started: it runs elsewhere, as {where}")
        try:
            return Started(status=backend.start(name))
        except AlreadyRunning as error:
            return Started(status=replace(status, pid=error.pid), problem=str(error))
        except (ProcessError, OSError) as error:
            return Started(status=status, problem=str(error))


def _wait_until_up(
    backend: Backend, connection: Connection[Any], settings: Settings, which: Sequence[str]
) -> list[Started]:
    """Wait until each has a run in the database, or has ended, or a minute is over; return how they are."""
    waiting, done = set(which), list[Started]()
    deadline = time.monotonic() + UP_SECONDS
    while waiting:
        found = [each for each in backend.status() if each.name in waiting]
        known = workers.runs(connection, found)
        for each in found:
            if each.state != "running" and each.state not in RESTED:
                done.append(Started(status=each, problem=_why(settings, each)))
            elif each.state in RESTED or each.name in known:
                done.append(Started(status=each))
            elif time.monotonic() > deadline:
                problem = f"{each.title}: PID {each.pid}, but it has not begun after {UP_SECONDS:.0f} s: see {each.log}"
                done.append(Started(status=each, problem=problem))
        waiting -= {each.status.name for each in done}
        if waiting:
            time.sleep(LOOK_SECONDS)
    return done


def _why(settings: Settings, each: WorkerStatus) -> str:
    """Return why a worker ended, in its own last words."""
    program = workers.worker_program(settings, each.name)
    lines = last_lines(program.errors) or last_lines(each.log)
    code = f"exit code {each.exit_code}" if each.exit_code is not None else "no exit code"
    return "\n".join([f"{each.title} ended at once ({code}); {each.log} and {program.errors} end with:", *lines])


def _report_start(outcomes: Sequence[Started], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([each.values() for each in outcomes]))
    for each in outcomes:
        if each.problem:
            typer.echo(redact(each.problem), err=True)
        elif not as_json:
            pid = f"PID {each.status.pid}" if each.status.pid else "has done its work already"
            typer.echo(f"{each.status.title}: {pid}")
    if any(each.problem for each in outcomes):
        raise typer.Exit(1)


def _stop(settings: Settings, which: Sequence[str], grace: float | None) -> list[Stopped]:
    """Stop workers, all at once. What an operator stopped is not started again by the supervisor."""
    backend = backends.backend(settings)
    try:
        with database.connect(settings, application="vinops workers", autocommit=True) as connection:
            workers.want(connection, which, "stopped")
    except database.DatabaseError as error:  # which must not keep anybody from stopping a crawl
        typer.echo(f"vinops: {redact(str(error))}\na supervisor that runs may start them again", err=True)
    seconds = settings.stop_grace if grace is None else grace
    with ThreadPoolExecutor(max_workers=len(which)) as pool:
        waiting = [pool.submit(backend.stop, name, grace=seconds) for name in which]
    try:
        return [each.result() for each in waiting]
    except (ProcessError, OSError) as error:
        typer.echo(f"vinops: {error}", err=True)
        raise typer.Exit(1) from None


def _told(settings: Settings, stopped: Stopped) -> str:
    """Return what is said of a stop."""
    title = workers.title(stopped.name, workers.makes_of(settings, stopped.name))
    if stopped.pid is None:
        return f"{title} does not run"
    how = "killed: it did not end in time" if stopped.was_killed else "stopped"
    left = f"; {stopped.leftovers} processes that it left were killed" if stopped.leftovers else ""
    return f"{title}: PID {stopped.pid} {how}{left}"


def _chosen(settings: Settings, chosen: list[str] | None) -> list[str]:
    known = workers.names(settings)
    if unknown := [name for name in chosen or () if name not in known]:
        raise typer.BadParameter(f"{unknown[0]} is no worker: use {', '.join(known)}")
    return list(dict.fromkeys(chosen)) if chosen else [name for name in known if name != workers.PHOTOS]


def _settings() -> Settings:
    settings = config.load()
    remember(settings)
    return settings
