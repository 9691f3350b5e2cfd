"""`vinops demo --serve`: the outside world of a demo, for as long as somebody works with it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from demo import market as demo_market, photos as demo_photos, world as demo_world
from demo.folder import kept, note, place, signals
from demo.text import say, typed
from demo.world import MORE_ADS, MORE_LOTS, MOVES, DemoFailed
from vinops import config
from vinops.db import database, embedded
from vinops.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Mapping

PLACE = "serve"
"""Below the folder of the demo: what is typed there finds the world in its `.env`."""
MORE: dict[str, dict[str, float]] = {"COPART_CSV_URL": MORE_LOTS, "MOBILE_BG_URL": MORE_ADS}
WORKERS = ("1", "2", "3", "4", "photos")


def serve() -> int:
    """Start the stand-ins of the demo that was shown last, and have the world move on every few minutes until a
    signal comes; return the exit code: 0, or 1 if it could not go on.

    Whenever it ends, the workers and the stand-ins have ended too. Killed by SIGKILL it leaves the stand-ins running.
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
    settings = config.Settings(data_dir=folder, embedded_linger=0)
    cleanup.callback(embedded.release, folder)
    database.migrate(settings)  # and the server stays up with this process
    environment = {**config.without_settings(), "VINOPS_DATA_DIR": str(folder)}
    world = _world(environment, folder, what, cleanup)
    here = shown / PLACE
    here.mkdir(exist_ok=True)
    path = here / ".env"
    path.touch(mode=0o600)
    path.write_text("".join(f"{name}={value}\n" for name, value in {**world, **_settings(folder)}.items()))
    cleanup.callback(path.unlink)
    for service, names in (("celery", ()), ("workers", WORKERS)):
        cleanup.callback(_run, environment, here, "-m", "ops.cli", service, "stop", *names)
    _tell(here)
    while True:
        what["served"] += 1
        note(folder, what)  # first: a feed ahead of its database has something new, one behind it is refused
        for name, how in MORE.items():
            demo_world.advance(world[name], how)
        _run(environment, here, "-m", "etl", "run")
        time.sleep(MOVES)


def _world(environment: Mapping[str, str], folder: Path, what: Mapping[str, Any], cleanup: ExitStack) -> dict[str, str]:
    """Start the stand-ins and have them move on as far as the demo and those who were served came."""
    world = demo_world.start(
        environment,
        folder,
        lots=what["lots"],
        ads=demo_market.ads(what["lots"]),
        market_now=what["market_now"],
        photo_ports=what["ports"],
        market_port=what["market_port"],
        with_page=demo_photos.has_browser(),
        cleanup=cleanup,
    )
    for name, how in MORE.items():
        demo_world.advance(world[name])
        demo_world.move(world[name], how, what["served"])
    return world


def _settings(folder: Path) -> dict[str, str]:
    """Return what is not of the stand-ins: the folder, a pace at which there is something to see, and workers that are
    processes even where vinops is installed as services."""
    return {
        "VINOPS_DATA_DIR": str(folder),
        "VINOPS_PACE": "steady",
        "VINOPS_CYCLE_PAUSE": "5",
        "VINOPS_WORKERS_BACKEND": "processes",
    }


def _tell(folder: Path) -> None:
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
    """Run a command of vinops in the served world, whatever comes of it: its log says."""
    subprocess.run(
        [sys.executable, *arguments],
        check=False,
        cwd=folder,
        env=dict(environment),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
