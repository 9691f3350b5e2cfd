"""`vinops workers …`: start, stop and show the workers of this machine."""

from __future__ import annotations

import json
import signal
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ops.log_files import last_events
from ops.observe.observer import Observer
from ops.options import finite
from ops.show import screen, tables, workers as worker_lines
from ops.workers import backends, by_hand, control, registry, runs
from ops.workers.loop import WorkerLoop
from ops.workers.processes import ProcessError
from vinops import config, logs
from vinops.db import database, embedded
from vinops.db.errors import explanation, is_of_database
from vinops.output import at_work, name_data_folder, say
from vinops.redaction import one_line, redact, remember
from vinops.text.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ops.observe.snapshot import Snapshot, Worker
    from ops.workers.backends import Backend
    from ops.workers.control import Ended, Started
    from ops.workers.processes import ProcessStatus
    from ops.workers.registry import Program
    from vinops.config import Settings

app = typer.Typer(
    help="The workers of this machine: four market crawls, a fifth for import makes, and the photo crawl.",
    no_args_is_help=True,
)


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Grace = Annotated[
    float | None,
    typer.Option(
        min=0, callback=finite, help="Seconds before what does not end is killed; default: VINOPS_STOP_GRACE."
    ),
]
Retire = Annotated[
    bool, typer.Option("--retire", help="They no longer run here: `vinops health` does not report them as missing.")
]
Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[N]...", help="1 to 5, or photos; default: the market workers 1 to 4.", show_default=False),
]


@app.command()
def run(
    name: Annotated[str, typer.Argument(metavar="N", help="1 to 5, or photos.", show_default=False)],
    *,
    once: Annotated[bool, typer.Option("--once", help="One cycle, then exit.")] = False,
) -> None:
    """Run a worker in the foreground: one cycle after the other, as its unit does. SIGTERM ends it in order."""
    settings = config.load()
    name_data_folder(settings)
    (program,) = chosen_programs(settings, [name])
    logs.configure(program.log.stem, settings, console=True)
    loop = WorkerLoop(settings, program)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.stop())
    raise typer.Exit(loop.run(once=once))


@app.command()
def start(chosen: Names = None, *, as_json: AsJson = False) -> None:
    """Start workers, and wait until each has begun its run. Exits with 1 if one runs already or does not come up."""
    settings = load_settings(quiet=as_json)
    _start(settings, chosen_programs(settings, chosen), as_json=as_json)


@app.command()
def stop(chosen: Names = None, *, grace: Grace = None, retire: Retire = False, as_json: AsJson = False) -> None:
    """Stop workers: each finishes its page and releases its leases, and is killed if it takes too long. Without names
    all market workers, the fifth too.

    Crawls of this data folder that were started by hand are stopped too. `vinops stop` stops everything.
    """
    settings = load_settings(quiet=as_json)
    programs = _started_too(settings, chosen)
    show_ends(_stop(settings, programs, grace, all_of_them=not chosen, retire=retire), as_json=as_json)


@app.command()
def restart(chosen: Names = None, *, grace: Grace = None, as_json: AsJson = False) -> None:
    """Stop workers, also those that were started by hand, then start them."""
    settings = load_settings(quiet=as_json)
    programs = _started_too(settings, chosen)
    show_ends(_stop(settings, programs, grace, all_of_them=not chosen), err=True)
    _start(settings, programs, as_json=as_json)


@app.command()
def status(chosen: Names = None, *, as_json: AsJson = False) -> None:
    """Show workers: state, page, progress, the last line of the log; the load of the machine. Exits with 0 if all that
    are named run, else with 1."""
    settings = load_settings(quiet=as_json)
    asked = [program.name for program in chosen_programs(settings, chosen)]
    with errors_as_lines(), at_work("asking for the workers"):
        found = _backend(settings).status(registry.workers(settings))
    # Without names the photo crawl is shown too, where it was ever started or was started by hand.
    doubles = {each.program.name: by_hand.duplicates(settings, each.program, each.pid) for each in found}
    shown = [
        each
        for each in found
        if each.program.name in asked or (not chosen and (each.started_at or doubles[each.program.name]))
    ]
    with closing(Observer(settings, application="vinops workers", workers=lambda: shown)) as observer:
        snapshot = observer.observe(("workers", "market") if as_json else ("workers", "machine", "market"))
    if as_json:
        rows = [
            {
                "worker": each.program.name,
                **values(each),
                "makes": list(each.program.makes),
                "log": str(each.program.log),
                "duplicates": list(doubles[each.program.name]),
                "run": run_values(worker),
                "complete": complete_values(snapshot, each.program.name),
            }
            for each, worker in zip(shown, snapshot.workers or [None] * len(shown), strict=True)
        ]
        tables.write_objects(rows, as_json=True)
    else:
        last = {each.program.name: last_line(each.program.log) for each in shown}
        text = worker_lines.lines(snapshot, by_hand=doubles, last=last, width=screen.width())
        screen.show_levelled(text)
    if any(each.state != "running" for each in shown if each.program.name in asked):
        raise typer.Exit(1)


def last_line(log: Path) -> str:
    """Return the first line of the last event of a log; empty without one."""
    found = last_events(log.parent, log.stem, 1, only_errors=False)
    return found[0].lines[0] if found else ""


def complete_values(snapshot: Snapshot, name: str) -> dict[str, Any] | None:
    """Return what JSON shows of the makes of a worker: when each was last complete; None if that is not known."""
    if snapshot.market is None:
        return None
    return {make.slug: make.complete_at for make in snapshot.market.of_worker(name)}


def run_values(worker: Worker | None) -> dict[str, Any] | None:
    """Return what JSON shows of the run of a worker: how far it is, and why it ended."""
    run = worker.run if worker else None
    if worker is None or run is None:
        return None
    return {
        "current_item": run.current_item,
        "unit": run.unit,
        "done": run.done,
        "total": run.total,
        "items": run.items,
        "items_per_minute": worker.rate,
        "heartbeat_at": run.heartbeat_at,
        "reason": run.reason,
    }


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


def show_ends(ended: Sequence[Ended], *, as_json: bool = False, err: bool = False) -> None:
    """Print the results of a stop."""
    if as_json:
        rows = [
            {
                "worker": each.program.name if each.program else None,
                "pid": each.stopped.pid,
                "killed": each.stopped.was_killed,
                "leftovers": each.stopped.leftovers,
                "by_hand": each.is_by_hand,
            }
            for each in ended
        ]
        say(json.dumps(rows))
    for each in [] if as_json else ended:
        say(each.text, err=err)


def show_starts(outcomes: Sequence[Started], rows: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """Print the result of a start, in JSON the rows."""
    if as_json:
        say(json.dumps(rows))
    for each in outcomes:
        if each.problem:
            say(redact(each.problem), err=True)
        elif not as_json:
            say(f"{each.status.program.title}: {f'PID {each.pid}' if each.pid else 'has done its work already'}")


@contextmanager
def errors_as_lines() -> Iterator[None]:
    """Turn an error in the block into a line and exit code 1."""
    try:
        yield
    except (ProcessError, OSError) as error:
        typer.echo(f"vinops: {printable(redact(str(error)), lines=True)}", err=True)
        raise typer.Exit(1) from None


def load_settings(*, quiet: bool = True) -> Settings:
    """Return the settings, and name the data folder unless `quiet`; their secrets are hidden in all output from here
    on."""
    settings = config.load()
    remember(settings)
    if not quiet:
        name_data_folder(settings)
    return settings


def _start(settings: Settings, programs: Sequence[Program], *, as_json: bool) -> None:
    with (
        errors_as_lines(),
        at_work(f"starting {', '.join(program.name for program in programs)}"),
        database.connect(settings, application="vinops workers", autocommit=True) as connection,
    ):
        outcomes = control.start(settings, _backend(settings), programs, connection)
    rows = [
        {"worker": each.status.program.name, "pid": each.pid, "state": each.status.state, "problem": each.problem}
        for each in outcomes
    ]
    show_starts(outcomes, rows, as_json=as_json)
    if any(each.problem for each in outcomes):
        raise typer.Exit(1)


def _stop(
    settings: Settings, programs: Sequence[Program], grace: float | None, *, all_of_them: bool, retire: bool = False
) -> list[Ended]:
    """Stop workers. The supervisor does not restart them; with `retire`, health does not report them as missing."""
    want_stopped(settings, programs, retire=retire)
    seconds = settings.stop_grace if grace is None else grace
    with errors_as_lines(), at_work(f"waiting for {', '.join(program.name for program in programs)} to end"):
        ended = control.stop(settings, _backend(settings), programs, grace=seconds, all_of_them=all_of_them)
    tell_elsewhere(settings, programs)
    return ended


def _started_too(settings: Settings, names: Sequence[str] | None) -> list[Program]:
    """Return the workers of these names; without names the market workers, and optional ones that were started."""
    programs = chosen_programs(settings, names)
    if names:
        return programs
    optional = [program for program in registry.workers(settings) if program.is_optional]
    with errors_as_lines():
        found = _backend(settings).status(optional) if optional else []
    return [*programs, *(each.program for each in found if each.started_at and each.state != "stopped")]


def has_database(settings: Settings) -> bool:
    """Tell whether there is a database: the embedded one may not have been made yet."""
    return settings.database_url is not None or (embedded.folder(settings.data_dir) / "data" / "PG_VERSION").exists()


def want_stopped(settings: Settings, programs: Sequence[Program], *, retire: bool = False) -> None:
    """Record that these are not wanted, or with `retire` no longer expected. They can be stopped
    without a database too; a stop does not create the embedded one."""
    if not has_database(settings):
        return
    try:
        with database.connect(settings, application="vinops stop", autocommit=True) as connection:
            runs.want(connection, programs, "stopped")
            if retire:
                runs.retire(connection, programs)
    except Exception as error:
        if not is_of_database(error):
            raise
        say(f"vinops: {one_line(explanation(error))}\na supervisor that runs may start them again", err=True)


def tell_elsewhere(settings: Settings, programs: Sequence[Program]) -> None:
    """Name what still runs after a stop: on another machine, or for another data folder or account."""
    if not has_database(settings):
        return
    try:
        with database.connect(settings, application="vinops stop", autocommit=True) as connection:
            found = runs.elsewhere(connection, programs)
    except Exception as error:
        if not is_of_database(error):
            raise
        return
    for program in programs:
        if where := found.get(program.name):
            say(f"{program.title} runs elsewhere, as {where}: stop it there", err=True)


def _backend(settings: Settings) -> Backend:
    return backends.backend(settings, registry.workers(settings))


def chosen_programs(settings: Settings, names: Sequence[str] | None) -> list[Program]:
    """Return the workers of these names, without names the market workers; a name that is none is wrong usage."""
    try:
        return registry.chosen(settings, names)
    except LookupError as error:
        raise typer.BadParameter(str(error)) from None
