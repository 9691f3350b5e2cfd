"""`vinops logs`: shows log files by the operators' names, merged by time, follows them over rotation, prunes them."""

from __future__ import annotations

import heapq
import json
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from ops.log_files import NAMES, Event, Follower, last_events, parse_age, present, prune
from vinops import config
from vinops.clock import ClockDoubted
from vinops.output import at_work
from vinops.redaction import one_line, redact, remember
from vinops.text.printable import printable, printable_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vinops.config import Settings

POLL_SECONDS = 0.25


def command(
    worker: Annotated[
        str | None, typer.Argument(metavar="[WORKER]", help=f"{', '.join(NAMES)}, or another log; all of them.")
    ] = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing new events.")] = False,
    errors: Annotated[bool, typer.Option("--errors", help="Warnings and worse only, with their tracebacks.")] = False,
    count: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many events from the end.")] = 20,
    older: Annotated[
        str | None, typer.Option("--prune", metavar="AGE", help="Remove rotated files older than this, as in 7d.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object for each event.")] = False,
) -> None:
    """Show the end of the log files: of one worker or program, or of all, merged by time. Tracebacks stay whole."""
    settings = config.load()
    remember(settings)
    try:
        if older is not None:
            _prune(settings, older, as_json=as_json)
            return
        logs = _chosen(settings.log_dir, worker)
        show = _Show(as_json=as_json, named=len(logs) > 1 or worker is None)
        followers = [Follower(folder=settings.log_dir, log=log, at_end=True) for log in logs] if follow else []
        ends = [last_events(settings.log_dir, log, count, only_errors=errors) for log in logs]
        merged = list(heapq.merge(*ends, key=lambda event: event.time))
        show.events(merged[max(0, len(merged) - count) :])
        if follow:
            _follow(settings, worker, followers, show, only_errors=errors)
        elif not merged:
            typer.echo("no error in the logs" if errors else "the logs are empty", err=True)
    except KeyboardInterrupt:
        return  # --follow ends so


def _chosen(folder: Path, worker: str | None) -> list[str]:
    there = present(folder)
    if worker is None:
        return there
    logs = [log for log in NAMES.get(worker, (worker,)) if log in there]
    if not logs and worker in NAMES:
        typer.echo(f"vinops: {folder} has no {NAMES[worker][0]}.log yet: it has not run on this machine", err=True)
        raise typer.Exit(1)
    if not logs:
        known = ", ".join([*NAMES, *(log for log in there if not any(log in logs for logs in NAMES.values()))])
        raise typer.BadParameter(f"there is no log {worker}: name one of {known}")
    return logs


def _prune(settings: Settings, older: str, *, as_json: bool) -> None:
    try:
        seconds = parse_age(older)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    try:
        with at_work("removing old files"):
            removed = prune(settings.log_dir, seconds)
    except ClockDoubted as doubt:
        typer.echo(f"vinops: {settings.log_dir} was not pruned: {one_line(str(doubt))}", err=True)
        raise typer.Exit(1) from None
    except OSError as error:
        typer.echo(f"vinops: {settings.log_dir} was not pruned ({error.strerror}): run as the owner of it", err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps([{"file": path.name, "bytes": size} for path, size in removed]))
        return
    for path, size in removed:
        typer.echo(f"removed {path.name}  {size:,} bytes")
    typer.echo(f"{len(removed)} files, {sum(size for _, size in removed):,} bytes removed", err=True)


def _follow(
    settings: Settings, worker: str | None, followers: Sequence[Follower], show: _Show, *, only_errors: bool
) -> None:
    known = {each.log: each for each in followers}
    while True:
        for log in present(settings.log_dir) if worker is None else ():
            if log not in known:
                known[log] = Follower(folder=settings.log_dir, log=log, at_end=False)
        found = [[event for event in each.new() if event.is_error or not only_errors] for each in known.values()]
        show.events(list(heapq.merge(*found, key=lambda event: event.time)))
        time.sleep(POLL_SECONDS)


@dataclass(frozen=True, kw_only=True)
class _Show:
    """Prints events as in the files, each after the name of its log if there are several."""

    as_json: bool
    named: bool

    def events(self, events: Sequence[Event]) -> None:
        for event in events:
            if self.as_json:
                sys.stdout.write(printable_json(redact(json.dumps(event.data(), ensure_ascii=False))) + "\n")
                continue
            for line in event.lines:
                text = printable(redact(line))
                sys.stdout.write(f"{event.log:<13} {text}\n" if self.named else f"{text}\n")
        if events:
            sys.stdout.flush()
