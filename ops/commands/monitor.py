"""`vinops monitor`: everything at a glance, live in a terminal; `--once` as text, `--json` as data."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ops.checks.rules import judge
from ops.commands import health
from vinops import config
from vinops.redaction import remember

if TYPE_CHECKING:
    from ops.observe.snapshot import Snapshot

REFRESH: Final = 2.0  # seconds
BEAT: Final = 3.1  # seconds, in which every run has written once: in less nothing may seem to be written


def command(
    *,
    once: Annotated[bool, typer.Option("--once", help="Print it as text, once.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON, once.")] = False,
    width: Annotated[
        int | None, typer.Option(min=60, max=400, help="Columns of --once; default: the terminal's, else 80.")
    ] = None,
    refresh: Annotated[float, typer.Option(min=0.5, max=60, help="Seconds between two looks.")] = REFRESH,
) -> None:
    """Watch workers, feed, photos, deals and machine, live. Keys: ? lists them. Off a terminal as --once."""
    settings = config.load()
    remember(settings)
    if once or as_json or not (sys.stdout.isatty() and sys.stdin.isatty()):
        snapshot = health.look_twice(settings, application="vinops monitor", pause=BEAT)
        if as_json:
            typer.echo(data(snapshot))
        else:
            from ops.monitor import panels
            from ops.show import screen

            view = panels.View(snapshot=snapshot, health=judge(snapshot))
            screen.show(panels.page(view, width or screen.width()))
        return
    from ops.monitor.screen import Monitor  # Textual takes 0.3 s to import

    Monitor(settings, refresh=refresh).run()


def data(snapshot: Snapshot) -> str:
    """Return the snapshot and its judgement as JSON."""
    from ops.observe.snapshot import as_json

    judged = judge(snapshot)
    return json.dumps({**json.loads(as_json(snapshot)), "health": health.as_dict(judged)})
