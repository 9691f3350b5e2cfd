"""`vinops demo`: runs the steps of the demo on this machine, with stand-ins for the sources.

It needs no setup and only writes to the folder `demo` in the data folder. The first run starts with an empty folder; a
later one reuses its content and shows that nothing is fetched or loaded twice. The only setting of the user that it
reads is VINOPS_DATA_DIR: other values from the environment, `.env` and systemd credentials are ignored.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from demo.folder import migrations, note, place, signals
from demo.site import open_site
from demo.steps import STEPS
from demo.text import say, title, typed
from demo.world import Crawled, DemoFailed, World, crawl
from vinops import config
from vinops.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Sequence

LOTS = 150_000
COUNT_LOTS = "'select status, count(*) from lots group by status'"


@dataclass(kw_only=True)
class Demo:
    """The state of a demo: its folder with the database, the stand-ins, and the note of an earlier demo (if any)."""

    folder: Path
    lots: int
    is_fresh: bool
    cleanup: ExitStack
    settings: config.Settings = field(init=False)
    environment: dict[str, str] = field(init=False)
    world: World = field(init=False)
    earlier: dict[str, Any] = field(default_factory=dict)
    sha256: str = ""  # of the first file

    def __post_init__(self) -> None:
        """Set the settings of this process and the environment of commands, which has no other setting of vinops.

        Commands run in the folder of the demo, because `.env` is read from the current folder.
        """
        data_dir = self.folder.resolve()
        # embedded_linger is 0: this process keeps the server running, and nothing uses it afterwards.
        self.settings = config.Settings(data_dir=data_dir, embedded_linger=0)
        self.environment = {
            **config.without_settings(),
            "VINOPS_DATA_DIR": str(data_dir),
            "VINOPS_EMBEDDED_LINGER": "0",
        }

    def show(self, module: str, *arguments: str, log: str, indent: str) -> None:
        """Run `python -m MODULE …` and print its output. Raises DemoFailed unless it exits with 0."""
        # Standard error is not redirected: on a terminal it shows the progress bar.
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
            cwd=self.folder,
            env=self.environment,
        )
        for line in done.stdout.splitlines():
            # The demo prints its folder itself. URLs of stand-ins are wider than a line, and invalid after the demo.
            if "://" not in line and not line.startswith("data folder "):
                say(line, indent=indent)
        if done.returncode:
            command = " ".join((module, *arguments)).replace("ops.cli", "vinops").replace("etl", "python -m etl")
            raise DemoFailed(f"`{command}` ended with {done.returncode}: read {self.folder}/logs/{log}")

    def crawl(self, *crawls: Sequence[str]) -> list[Crawled]:
        """Run crawls in parallel and wait for all of them. See `demo.world.crawl`."""
        return crawl(self.environment, self.folder, *crawls)


def run(lots: int = LOTS, *, fresh: bool = False, page: bool = False) -> int:
    """Run the demo with so many lots and return the exit code: 0 done, 1 failed, 130 interrupted.

    `fresh` starts with an empty folder even if there is an earlier demo. `page` opens the site at the end, and keeps it
    and the stand-ins running until a signal.

    When it returns, also after a signal or an error, the stand-ins have been stopped, and the database server stops a
    moment later. If the process is killed with SIGKILL, the stand-ins keep running.
    """
    try:
        with signals(), ExitStack() as cleanup:
            demo = Demo(folder=place(), lots=lots, is_fresh=fresh, cleanup=cleanup)
            _go_through(demo)
            if page:
                _keep_site(demo)
    except DemoFailed as failure:
        typer.echo(f"vinops demo: {redact(str(failure))}", err=True)
        return 1
    except KeyboardInterrupt:
        typer.echo("\nvinops demo: interrupted; the stand-ins have been stopped. Run it again at any time", err=True)
        return 130
    return 0


def _keep_site(demo: Demo) -> None:
    """Open the site and wait for a signal."""
    with suppress(KeyboardInterrupt):
        environment = demo.environment | demo.world.settings
        link = open_site(environment, demo.folder.resolve(), demo.cleanup)
        title("The site")
        say("The deals, with photos and prices, in a browser on this machine. The link signs you in, once:")
        typer.echo(link)
        say("Press Ctrl-C to stop it and the stand-ins. `vinops demo --serve` starts them again.")
        while True:
            time.sleep(3600)
    typer.echo("\nvinops demo: the site and the stand-ins have ended")


def _go_through(demo: Demo) -> None:
    began = time.monotonic()
    say("vinops demo: feed, photos, market and deals, end to end, on this machine.")
    say(
        f"All its files are in {demo.folder}, below VINOPS_DATA_DIR. It reads no other setting of yours, neither "
        "from the environment nor from .env: not even DATABASE_URL."
    )
    number = 0
    for step in STEPS:
        if step.in_demo in ("any", "later" if demo.earlier else "first"):
            number += 1
            title(f"{number}. {step.title}")
            step.run(demo)
    # Without this note the next demo starts with an empty folder.
    what = {"lots": demo.lots, "migrations": migrations(), "sha256": demo.sha256, "served": 0}
    note(demo.folder, {**what, **demo.earlier, **demo.world.noted})
    _show_places(demo.folder)
    say(f"Done in {time.monotonic() - began:.0f} s.")


def _show_places(folder: Path) -> None:
    """Print the paths of the demo's data, and commands to explore it."""
    prefix = f"VINOPS_DATA_DIR={shlex.quote(str(folder))} "
    tools = Path(sys.executable).parent
    with suppress(ValueError):
        tools = tools.relative_to(Path.cwd())
    here = tools
    if _has_own_database():
        # The commands run in the folder of the demo, which has no .env, so they need a path back to their programs.
        prefix = f"cd {shlex.quote(str(folder))} && env -u DATABASE_URL VINOPS_DATA_DIR=. "
        tools = Path(min(os.path.relpath(tools, folder), str(tools.absolute()), key=len))
    title("Where everything is")
    for name, path in {
        "database": "postgres, started by any command that needs it",
        "archive": "raw/copart/YYYY/MM/DD/HHMM.csv.zst",
        "photos": "photos/LOT/SHA256.jpg",
        "logs": "logs/etl.log, logs/photo-scraper.log",
        "the last file": "state/copart, compared with the next file",
    }.items():
        say(f"{name:<15}{folder}/{path}")
    say("")
    say("Look further:")
    for command in (
        f"{tools}/vinops sql {COUNT_LOTS}",
        f"{tools}/python -m etl status",
        f"{tools}/python -m etl cat latest >salesdata.csv",
    ):
        typed(f"{prefix}{command}")
    say("To open the site, and to try the workers, deals, monitor and health checks, keep the stand-ins running:")
    typed(f"{here}/vinops demo --serve")
    say(f"Your own feed: put COPART_CSV_URL into .env (see .env.example), then {tools}/python -m etl run")
    say("")


def _has_own_database() -> bool:
    """Return whether the user's settings name a database, which commands would use; also true for invalid settings."""
    try:
        return config.load().database_url is not None
    except config.ConfigError:
        return True
