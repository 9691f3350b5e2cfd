"""systemd units as a backend of programs, through `systemctl`: vinops-worker@N.service, vinops-celery.service, …"""

from __future__ import annotations

import os
import subprocess
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from ops.workers.processes import (
    KILL_SECONDS,
    PAUSE,
    AlreadyRunning,
    Identity,
    ProcessError,
    ProcessStatus,
    Stopped,
    hand_over,
    held,
    identify,
    last_lines,
    read_state,
    write_state,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from ops.workers.registry import Program

SHOWN: Final = (
    "Id",
    "LoadState",
    "ActiveState",
    "MainPID",
    "ExecMainPID",
    "ExecMainStartTimestampMonotonic",
    "ExecMainExitTimestampMonotonic",
    "ExecMainCode",
    "ExecMainStatus",
)
OVER: Final = ("inactive", "failed")
KILLED: Final = ("2", "3")  # CLD_KILLED, CLD_DUMPED
NOTICE_SECONDS: Final = 2.0
"""How long systemd may take to notice that a process has ended; until then its exit code is not known."""


def is_installed(unit: str) -> bool:
    """Tell whether systemd runs this machine and knows the unit."""
    try:
        return _show(unit)[0].get("LoadState") == "loaded"
    except (ProcessError, IndexError):
        return False


class Units:
    """Starts and stops programs as units of systemd, which restarts what dies and ends all processes of a unit.

    `folder` keeps which start of a unit was stopped on purpose: an exit code does not tell that from another end.
    """

    name = "systemd"
    owns_restarts = True

    def __init__(self, folder: Path) -> None:
        """Use this folder, which is made when it is needed."""
        self._folder = folder

    def status(self, programs: Sequence[Program]) -> list[ProcessStatus]:
        """Return the status of each, read by one `systemctl show`. Raises ProcessError."""
        deadline = time.monotonic() + NOTICE_SECONDS
        names = [program.unit for program in programs]
        while any(map(_is_unnoticed, found := _show(*names))) and time.monotonic() < deadline:
            time.sleep(PAUSE)
        shown = {each["Id"]: each for each in found}
        return [self._status(program, shown.get(program.unit, {})) for program in programs]

    def start(self, program: Program) -> ProcessStatus:
        """Start the unit and return its status. Raises AlreadyRunning, and ProcessError with the message of systemd."""
        with self._lock(program):
            (status,) = self.status([program])
            if status.pid is not None:
                raise AlreadyRunning(f"{program.title} runs already: PID {status.pid}", status.pid)
            _systemctl("start", program.unit)
        (status,) = self.status([program])
        return status

    def stop(self, program: Program, *, grace: float) -> Stopped:
        """Stop the unit, wait up to `grace` seconds, then kill it. Its own TimeoutStopSec may kill it earlier."""
        with self._lock(program):
            shown = _show(program.unit)[0]
            process = _running(shown)
            if shown["ActiveState"] in OVER:
                return Stopped(pid=None)
            # One without a process waits to be restarted: it is stopped too.
            write_state(self._stop_file(program), {"started": shown["ExecMainStartTimestampMonotonic"]})
            _systemctl("stop", "--no-block", program.unit)
            was_killed = not _is_over(program.unit, grace)
            if was_killed:
                _systemctl("kill", "--signal=SIGKILL", program.unit)
                if not _is_over(program.unit, KILL_SECONDS):
                    raise ProcessError(f"{program.unit} does not end: look at `systemctl status {program.unit}`")
            after = _show(program.unit)[0]
            was_killed |= after["ExecMainCode"] in KILLED and after["ExecMainStatus"] == "9"
            return Stopped(pid=process.pid if process else None, was_killed=was_killed and process is not None)

    def why(self, status: ProcessStatus) -> str:
        """Return where the output of a unit is, and the last lines of its log."""
        unit, log = status.program.unit, status.program.log
        return "\n".join([f"look at `journalctl -u {unit} -n 50` and at {log}", *last_lines(log)])

    def _status(self, program: Program, shown: Mapping[str, str]) -> ProcessStatus:
        started = int(shown.get("ExecMainStartTimestampMonotonic") or 0)
        about: dict[str, Any] = {"program": program, "started_at": _time(started)}
        if process := _running(shown):
            return ProcessStatus(state="running", identity=process, **about)
        if not started:
            return ProcessStatus(state="stopped", program=program)
        by_signal = shown.get("ExecMainCode") in KILLED
        status = int(shown.get("ExecMainStatus") or 0)
        about |= {
            # Of a process that is gone only the id is known.
            "identity": Identity(pid=int(shown.get("ExecMainPID") or 0), ticks=0, boot=""),
            "ended_at": _time(int(shown.get("ExecMainExitTimestampMonotonic") or 0)),
            "exit_code": -status if by_signal else status,
        }
        if read_state(self._stop_file(program)).get("started") == str(started):
            return ProcessStatus(state="stopped", **about)
        return ProcessStatus(state="dead" if by_signal else "failed" if status else "finished", **about)

    def _stop_file(self, program: Program) -> Path:
        return self._folder / f"unit_{program.key}.stop"

    def _lock(self, program: Program) -> AbstractContextManager[None]:
        if not self._folder.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            hand_over(self._folder)
        return held(self._folder / f"unit_{program.key}.lock")


def _is_over(unit: str, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while _show(unit)[0]["ActiveState"] not in OVER:
        if time.monotonic() > deadline:
            return False
        time.sleep(PAUSE)
    return True


def _running(shown: Mapping[str, str]) -> Identity | None:
    """Return the main process of a unit that has one. A unit that waits for its next start has none."""
    pid = int(shown.get("MainPID") or 0)
    return identify(pid) if pid and shown.get("ActiveState") not in OVER else None


def _is_unnoticed(shown: Mapping[str, str]) -> bool:
    """Tell whether a unit's main process is gone and systemd has not noticed yet."""
    return bool(int(shown.get("MainPID") or 0)) and shown.get("ActiveState") not in OVER and _running(shown) is None


def _time(microseconds: int) -> datetime | None:
    """Return the date of a time of the monotonic clock: systemd's own dates differ with language and time zone."""
    if not microseconds:
        return None
    return datetime.now(UTC) - timedelta(seconds=time.monotonic() - microseconds / 1e6)


def _show(*units: str) -> list[Mapping[str, str]]:
    """Return the properties of units, in their order. Raises ProcessError."""
    output = _systemctl("show", f"--property={','.join(SHOWN)}", *units)
    return [
        dict(line.partition("=")[::2] for line in block.splitlines())
        for block in output.strip().split("\n\n")
        if block.strip()
    ]


def _systemctl(*arguments: str) -> str:
    try:
        done = subprocess.run(["systemctl", *arguments], capture_output=True, encoding="utf-8", check=False)
    except OSError as error:
        raise ProcessError(f"systemctl cannot be run ({error.strerror})") from None
    if done.returncode:
        reason = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        hint = "" if os.geteuid() == 0 else "; a unit is started and stopped by root"
        raise ProcessError(f"systemctl {arguments[0]} failed: {reason}{hint}")
    return done.stdout
