"""`vinops demo --serve`: the stand-ins of the last demo, running until Ctrl-C."""

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
from demo.text import say, typed
from demo.world import MOVES, DemoFailed
from vinops import config
from vinops.db import database, embedded
from vinops.output import at_work
from vinops.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Mapping

PLACE = "serve"
"""Below the folder of the demo: commands that are run there find the settings in its `.env`."""
WORKERS = ("1", "2", "3", "4", "photos")


def serve() -> int:
    """Start the stand-ins of the last demo, and change their content every few minutes until a signal comes; return the
    exit code: 0, or 1 if it could not go on.

    However it ends, the workers and the stand-ins have ended too. Killed by SIGKILL it leaves the stand-ins running.
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
        database.migrate(settings)  # and the server stays up with this process
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
        work(0, text="moving them on to where they were")
        world.catch_up(what["served"])
    here = shown / PLACE
    here.mkdir(exist_ok=True)
    path = here / ".env"
    path.touch(mode=0o600)
    own = {
        "VINOPS_DATA_DIR": str(folder),
        "VINOPS_PACE": "steady",  # a pace at which there is something to see
        "VINOPS_CYCLE_PAUSE": "5",
        "VINOPS_WORKERS_BACKEND": "processes",  # even where vinops is installed as services
    }
    path.write_text("".join(f"{name}={value}\n" for name, value in {**world.settings, **own}.items()))
    cleanup.callback(path.unlink)
    for service, names in (("celery", ()), ("workers", WORKERS)):
        cleanup.callback(_run, environment, here, "-m", "ops.cli", service, "stop", *names)
    _show_commands(here)
    while True:
        what["served"] += 1
        note(folder, what)  # first: a feed ahead of its database has something new, one behind it is refused
        world.move()
        _run(environment, here, "-m", "etl", "run")
        time.sleep(MOVES)


def _show_commands(folder: Path) -> None:
    here = Path(sys.executable).parent
    tools = min(str(here), os.path.relpath(here, folder), key=len)
    mine = config.in_environment()
    without = f"env {' '.join(f'-u {name}' for name in mine)} " if mine else ""
    say("The outside world of the demo is up. In another terminal, where an .env names it:")
    typed(f"cd {shlex.quote(str(folder))}")
    for what in ("workers start 1 2 3 4 photos", "celery start", "monitor", "health", "status", "workers stop"):
        typed(f"{without}{tools}/vinops {what}")
    say(f"Feed and market move on every {MOVES / 60:.0f} minutes, and the feed is loaded then. Ctrl-C ends it all.")


def _run(environment: Mapping[str, str], folder: Path, *arguments: str) -> None:
    """Run a command of vinops in the served world, whatever its exit code: its log says why."""
    subprocess.run(
        [sys.executable, *arguments],
        check=False,
        cwd=folder,
        env=dict(environment),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
