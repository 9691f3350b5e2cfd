"""`vinops monitor`: the snapshot at a glance, live in a terminal; `--once` as text, `--json` as data."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

from ops.checks import health
from ops.observe.observer import observe_once
from ops.options import finite
from vinops import config
from vinops.output import name_data_folder
from vinops.redaction import remember

REFRESH: Final = 2.0  # seconds
HEARTBEAT: Final = 3.1  # seconds, in which every run writes once: over less the rate of writes could be zero


def command(
    *,
    once: Annotated[bool, typer.Option("--once", help="Print it as text, once.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON, once.")] = False,
    width: Annotated[
        int | None, typer.Option(min=40, max=400, help="Columns of --once; default: the terminal's, else 80.")
    ] = None,
    refresh: Annotated[
        float, typer.Option(min=0.5, max=60, callback=finite, help="Seconds between two snapshots.")
    ] = REFRESH,
) -> None:
    """Show workers, feed, photos, deals and machine, live. Press ? for the keys. Without a terminal like --once."""
    settings = config.load()
    remember(settings)
    if not (once or as_json) and sys.stdout.isatty() and sys.stdin.isatty():
        from ops.monitor.screen import Monitor  # Textual takes 0.3 s to import

        Monitor(settings, refresh=refresh).run()
        return
    if not as_json:
        name_data_folder(settings)
    snapshot = observe_once(settings, application="vinops monitor", pause=HEARTBEAT, first=True)
    if as_json:
        typer.echo(health.as_json(snapshot))
    else:
        from ops.monitor import panels
        from ops.show import screen

        view = panels.View(snapshot=snapshot, health=health.judge(snapshot), zone=settings.time_zone)
        screen.show(panels.page(view, width or screen.width()))
