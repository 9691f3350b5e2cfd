"""`vinops doctor`: is the configuration right? Each finding says what mends it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ops.checks.configuration import OFFLINE, ONLINE, Finding, fault
from vinops import config
from vinops.redaction import redact, remember

if TYPE_CHECKING:
    from vinops.config import Survey

WIDTH = 9
SUBJECT = 22


def examine(survey: Survey, *, online: bool = False) -> list[Finding]:
    """Run all checks and return what they found, redacted. A check that fails itself is a finding too."""
    found: list[Finding] = []
    for check in (*OFFLINE, *(ONLINE if online else ())):
        name = check.__name__.replace("_", " ").strip()
        try:
            found += check(survey)
        except Exception as error:  # noqa: BLE001 # whatever is wrong there, the other checks are to be heard
            found.append(fault(name, RuntimeError(f"could not be checked ({type(error).__name__}): see the runbook")))
    return [
        Finding(level=each.level, subject=each.subject, text=redact(each.text), mend=redact(each.mend))
        for each in found
    ]


def command(
    *,
    online: Annotated[
        bool, typer.Option("--online", help="Ask the feed's source and Telegram too, once each.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check the configuration: every variable, the folders, the database, R2, Chromium, the broker and more.

    Prints OK, WARNING or ERROR for each, and what mends it; no secret. Exit code 1 if there is an ERROR. A trial
    object is written where photos go and removed; nothing else is changed, and no source is asked without --online.
    """
    survey = config.survey()
    remember(survey.settings)
    found = examine(survey, online=online)
    counts = Counter(each.level for each in found)
    if as_json:
        typer.echo(json.dumps({"ok": not counts["ERROR"], "findings": [asdict(each) for each in found]}))
    else:
        for each in found:
            typer.echo(f"{each.level:<{WIDTH}}{each.subject:<{SUBJECT}} {each.text}")
            if each.mend:
                typer.echo(f"{'':<{WIDTH}}{'':<{SUBJECT}} -> {each.mend}")
        typer.echo(f"{counts['ERROR']} errors, {counts['WARNING']} warnings, {counts['OK']} fine", err=True)
    if counts["ERROR"]:
        raise typer.Exit(1)
