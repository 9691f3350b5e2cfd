"""`vinops doctor`: checks of the configuration, each finding with what fixes it."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ops.checks.configuration import examine
from vinops import config
from vinops.checks import Level
from vinops.output import at_work, name_data_folder, terminal_width
from vinops.redaction import remember
from vinops.text import grid
from vinops.text.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vinops.checks import Finding

LEVEL: Final = 9
SUBJECT: Final = 22
ROOM: Final = 30  # columns of the text beside its subject; with less it stands below
NAMES: Final = {Level.CRITICAL: "ERROR"}


def command(
    *,
    online: Annotated[
        bool, typer.Option("--online", help="Request the feed's source and Telegram, too, once each.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check the configuration: every variable, the folders, the database, R2, Chromium, the broker and more.

    Prints OK, WARNING or ERROR for each, and what fixes it; no secret. Exit code 1 if there is an ERROR. A trial
    object is written where photos are stored and removed; nothing else is changed, and no source is requested without
    --online.
    """
    survey = config.survey()
    remember(survey.settings)
    if not as_json:
        name_data_folder(survey.settings)
    with at_work("examining the configuration"):
        found = [(NAMES.get(each.level, each.level.value), each) for each in examine(survey, online=online)]
    counts = Counter(level for level, _ in found)
    if as_json:
        findings = [{"level": level, "subject": each.name, "text": each.text, "fix": each.fix} for level, each in found]
        typer.echo(json.dumps({"ok": not counts["ERROR"], "findings": findings}))
    else:
        for level, each in found:
            for line in _lines(level, each):
                typer.echo(printable(line))
        typer.echo(f"{counts['ERROR']} errors, {counts['WARNING']} warnings, {counts['OK']} fine", err=True)
    if counts["ERROR"]:
        raise typer.Exit(1)


def _lines(level: str, finding: Finding) -> Iterator[str]:
    """Yield a finding and what fixes it, on a terminal folded to its width."""
    width, head = terminal_width(), f"{level:<{LEVEL}}{finding.name:<{SUBJECT}} "
    indent = " " * len(head)
    if width is not None and width < len(head) + ROOM:
        yield head.rstrip()
        head = indent = " " * LEVEL
    room = None if width is None else max(width - len(head), ROOM)
    first, *others = grid.fold(finding.text, room)
    yield head + first
    yield from (indent + each for each in others)
    if finding.fix:
        yield f"{indent}-> {finding.fix}"  # whole, to be copied
