"""`vinops supervise`: the supervisor of this machine."""

from __future__ import annotations

import json
import logging
import signal
import sys
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ops.checks import outside
from ops.commands.workers import errors_as_lines, want_stopped
from ops.options import finite
from ops.workers import backends, control, registry, supervisor as supervising
from ops.workers.processes import held
from vinops import config, logs
from vinops.output import at_work, data_folder, name_data_folder, say

if TYPE_CHECKING:
    from vinops.config import Settings


def command(
    *,
    once: Annotated[bool, typer.Option("--once", help="Make one pass and exit, as for cron.")] = False,
    every: Annotated[
        float | None,
        typer.Option(min=0.05, callback=finite, help="Seconds between two passes; default: VINOPS_SUPERVISE_EVERY."),
    ] = None,
    stop: Annotated[bool, typer.Option("--stop", help="Stop the supervisor that runs; the workers go on.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --once or --stop: print JSON.")] = False,
) -> None:
    """Watch over the workers and Celery: restart what died or hangs, begin the next cycle, raise alerts. One on each
    machine."""
    settings = config.load()
    if stop:
        _stop(settings, as_json=as_json)
        return
    logs.configure("supervisor", settings, console=not once or sys.stderr.isatty())
    if not once:
        logging.getLogger("supervisor").info("the data folder is %s", data_folder(settings))
    folder = registry.run_folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    workers, celery = (
        backends.backend(settings, programs) for programs in (registry.workers(settings), registry.celery(settings))
    )
    try:
        with (
            held(folder / f"{supervising.LOCK}.lock", wait=False),
            closing(supervising.Supervisor(settings, workers, celery, watch=outside.Watch(settings))) as supervisor,
        ):
            if not once:
                for number in (signal.SIGTERM, signal.SIGINT):
                    signal.signal(number, lambda *_: supervisor.stop())
                supervisor.run(every or settings.supervise_every)
                return
            if not as_json:
                say(f"data folder {data_folder(settings)}")
            with at_work("watching the workers"):
                decisions = supervisor.once()
    except BlockingIOError:
        typer.echo(f"vinops: a supervisor runs already: PID {supervising.pid(settings) or 'unknown'}", err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in decisions]))
    for each in [] if as_json else decisions:
        typer.echo(f"worker {each.name}: {each.action}: {each.text}")


def _stop(settings: Settings, *, as_json: bool) -> None:
    if not as_json:
        name_data_folder(settings)
    with errors_as_lines():
        stopped = supervising.stop_running(settings)
    want_stopped(settings, [registry.supervisor(settings)])
    if as_json:
        say(json.dumps({"pid": stopped.pid, "killed": stopped.was_killed}))
    else:
        program = registry.supervisor(settings)
        say(control.Ended(title=program.title, program=program, stopped=stopped).text)
