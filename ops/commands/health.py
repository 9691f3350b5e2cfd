"""`vinops health`: a line for each check, with its value, its limit and the command that fixes it.

Exit codes: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN: nothing is known to be critical, and a part could not be examined.
"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from ops.checks import health
from ops.observe.observer import observe_once
from ops.show import screen
from vinops import config
from vinops.output import name_data_folder
from vinops.redaction import one_line, remember


def command(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Run all checks: a line each, with its value, its limit and what fixes it.

    Exits with 0 if all is well, 1 for a warning, 2 if something is critical, and 3 if nothing is known to be critical
    and something could not be examined: a script that knows only 0, 1 and 2 takes that for a failure, as it should.
    """
    try:
        settings = config.load()
        remember(settings)
    except config.ConfigError as error:
        found = health.unreadable(one_line(str(error)))
    else:
        if not as_json:
            name_data_folder(settings)
        found = health.judge(observe_once(settings, application="vinops health", parts=health.PARTS))
    if as_json:
        typer.echo(json.dumps({**health.as_dict(found), "exit_code": found.exit_code}))
    else:
        screen.show_levelled(health.text(found, screen.width()))
    raise typer.Exit(found.exit_code)
