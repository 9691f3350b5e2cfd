"""Kills a process at a named event of another one: a file names the event and who is to die.

The process that reaches the event first renames the file, which proves that it got there, and sends the signal. Beside
the process itself that may be the backend of its connection, or any process that the test names by its id.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

SELF, BACKEND = "self", "backend"


def plan(point: Path, event: str, victim: str | int = SELF, number: int = signal.SIGKILL) -> None:
    """Let the event be the one at which that victim gets that signal."""
    landed(point).unlink(missing_ok=True)
    draft = point.with_suffix(".draft")
    draft.write_text(json.dumps([event, victim, number]))
    draft.rename(point)


def landed(point: Path) -> Path:
    """Return the file that is there once the signal was sent."""
    return point.with_suffix(".landed")


def strike(point: Path, event: str, backend: int | None = None) -> None:
    """Send the planned signal if this is the planned event. `backend` is the process of the connection at hand."""
    try:
        planned, victim, number = json.loads(point.read_text())
        if planned != event or (victim == BACKEND and backend is None):
            return
        point.rename(point.with_suffix(".taken"))  # only one process can: the others find no file
    except FileNotFoundError:
        return
    pid = {SELF: os.getpid(), BACKEND: backend}.get(victim, victim)
    if victim == SELF:
        landed(point).touch()
    os.kill(int(pid), number)
    landed(point).touch()
