"""`vinops demo --serve`: runs the stand-ins of the last demo until Ctrl-C."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from demo import world as demo_world
from demo.folder import kept, note, place, signals
from demo.site import open_site
from demo.text import say, typed
from demo.world import MOVES, DemoFailed
from vinops import config
from vinops.db import database, embedded
from vinops.output import at_work
from vinops.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Mapping

PLACE = "serve"
"""A folder in that of the demo, with an `.env` for the commands that are run there."""
WORKERS = ("1", "2", "3", "4", "photos")


def serve() -> int:
    """Run the stand-ins of the last demo and change their content every MOVES seconds, until a signal.

    Returns the exit code: 0 after a signal, 1 if it failed. When it returns, the workers and the stand-ins have been
    stopped. If the process is killed with SIGKILL, the stand-ins keep running.
    """
    try:
        with signals(), ExitStack() as cleanup:
            _serve(cleanup)
    except DemoFailed as failure:
        typer.echo(f"vinops demo: {redact(str(failure))}", err=True)
        return 1
    except KeyboardInterrupt:
        typer.echo("\nvinops demo: the stand-ins have ended, and the workers with them")
    return 0


def _serve(cleanup: ExitStack) -> None:
    shown = place()
    folder = shown.resolve()
    what = cleanup.enter_context(kept(shown))
    say(f"Starting the stand-ins of the demo in {shown}, with its {what['lots']:,} lots: half a minute or more.")
    settings = config.Settings(data_dir=folder, embedded_linger=0)
    cleanup.callback(embedded.release, folder)
    with at_work("starting the database") as work:
        database.migrate(settings)  # also keeps the server running until this process ends
        work(0, text="writing the feed, the market and the photos")
        environment = {**config.without_settings(), "VINOPS_DATA_DIR": str(folder)}
        world = demo_world.start(
            environment,
            folder,
            lots=what["lots"],
            count=demo_world.ads(what["lots"]),
            cleanup=cleanup,
            earlier=what,
            with_page=demo_world.has_browser(),
        )
        work(0, text="advancing feed and market to their last state")
        world.catch_up(what["served"])
    here = shown / PLACE
    here.mkdir(exist_ok=True)
    path = here / ".env"
    path.touch(mode=0o600)
    own = {
        "VINOPS_DATA_DIR": str(folder),
        "VINOPS_PACE": "steady",  # slow enough to watch
        "VINOPS_CYCLE_PAUSE": "5",
        "VINOPS_WORKERS_BACKEND": "processes",  # even where vinops is installed as services
    }
    path.write_text("".join(f"{name}={value}\n" for name, value in {**world.settings, **own}.items()))
    cleanup.callback(path.unlink)
    for service, names in (("celery", ()), ("workers", WORKERS)):
        cleanup.callback(_run, environment, here, "-m", "ops.cli", service, "stop", *names)
    link = open_site({**environment, **world.settings}, folder, cleanup)
    _show_commands(here)
    say("The deals, with photos and prices, in a browser on this machine. The link signs you in, once:")
    typer.echo(link)
    while True:
        what["served"] += 1
        note(folder, what)  # before moving: a feed newer than the database is loaded, an older one is refused
        world.move()
        _run(environment, here, "-m", "etl", "run")
        time.sleep(MOVES)


def _show_commands(folder: Path) -> None:
    here = Path(sys.executable).parent
    tools = min(str(here), os.path.relpath(here, folder), key=len)
    mine = config.in_environment()
    without = f"env {' '.join(f'-u {name}' for name in mine)} " if mine else ""
    say("The stand-ins are running. Use another terminal, in the folder whose .env has their URLs:")
    typed(f"cd {shlex.quote(str(folder))}")
    for what in ("workers start 1 2 3 4 photos", "celery start", "monitor", "health", "status", "workers stop"):
        typed(f"{without}{tools}/vinops {what}")
    say(f"Feed and market change every {MOVES / 60:.0f} minutes, and the feed is then loaded. Press Ctrl-C to stop.")


def _run(environment: Mapping[str, str], folder: Path, *arguments: str) -> None:
    """Run a command of vinops against the served stand-ins and ignore its exit code: errors are in its log."""
    subprocess.run(
        [sys.executable, *arguments],
        check=False,
        cwd=folder,
        env=dict(environment),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
