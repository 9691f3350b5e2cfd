"""`vinops health`: a line for each thing that has to be right, with its figure, its threshold and what mends it.

Exit codes: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN: nothing critical is known, and something could not be looked at.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ops.checks.lines import Health, Level, Line
from ops.checks.rules import RULES, judge
from ops.show import figures
from vinops import config
from vinops.redaction import redact, remember

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ops.observe.snapshot import Snapshot


def unreadable(error: str) -> Health:
    """Return the health of a vinops whose settings cannot be read: that is critical, and nothing else is known."""
    broken = Line(name="", level=Level.CRITICAL, figure=error, mend="vinops doctor")
    unknown = Line(name="", level=Level.UNKNOWN, figure="the settings cannot be read", mend="vinops doctor")
    lines = tuple(replace(broken if name == "secrets" else unknown, name=name) for name in RULES)
    return Health(at=datetime.now(UTC), lines=lines)


def text(health: Health, width: int) -> Iterator[str]:
    """Yield the lines as people read them, none wider than `width`."""
    yield from figures.wrapped(health.summary, width, "")
    for line in health.lines:
        limit = f" (limit {line.threshold})" if line.threshold else ""
        head = f"{line.level.value:<8}  {line.name:<8}  "
        yield from figures.wrapped(f"{line.figure}{limit}", width, head)
        if line.mend and line.level is not Level.OK:
            yield f"{' ' * len(head)}mend: {line.mend}"  # whole, to be copied


PAUSE: Final = 1.0  # seconds between the two looks that the load of the CPU needs


def command(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check everything: a line each, with its figure, its threshold and what mends it. Exits with 0, 1, 2 or 3."""
    try:
        settings = config.load()
        remember(settings)
    except config.ConfigError as error:
        health = unreadable(" ".join(redact(str(error)).split()))
    else:
        health = judge(look_twice(settings, application="vinops health"))
    if as_json:
        typer.echo(json.dumps({**as_dict(health), "exit_code": health.exit_code}))
    else:
        from ops.show import screen

        screen.show(screen.levelled(line) for line in text(health, screen.width()))
    raise typer.Exit(health.exit_code)


def look_twice(settings: config.Settings, *, application: str, pause: float = PAUSE) -> Snapshot:
    """Return a snapshot with rates: of the time that lies between two looks."""
    from ops.observe.observer import Observer

    observer = Observer(settings, application=application)
    try:
        observer.observe()
        time.sleep(pause)
        return observer.observe()
    finally:
        observer.close()


def as_dict(health: Health) -> dict[str, object]:
    """Return what `--json` prints of it."""
    lines = [{**asdict(line), "level": line.level.value} for line in health.lines]
    return {"at": health.at.isoformat(), "level": health.level.value, "summary": health.summary, "lines": lines}
