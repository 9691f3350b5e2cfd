"""Units of systemd that outlive who started them, through `systemctl`: what `Processes` is to plain processes.

Which start of a unit was stopped on purpose is kept in the folder `run` of the data folder, as `unit_NAME.stop`: an
exit code alone does not tell it from an end of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from ops.workers.processes import PAUSE, AlreadyRunning, Held, Identity, ProcessError, Standing, Stopped, identify

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from ops.workers.processes import Program

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
KILL_SECONDS: Final = 30.0
NOTICE_SECONDS: Final = 2.0
"""So long systemd may take to notice that a process has ended; until then nobody can tell how."""


def is_installed(unit: str) -> bool:
    """Tell whether systemd runs this machine and knows the unit."""
    try:
        return _show(unit)[0].get("LoadState") == "loaded"
    except (ProcessError, IndexError):
        return False


class Units:
    """The units of one kind, by the names of their programs."""

    def __init__(self, folder: Path, unit: Callable[[str], str]) -> None:
        """`folder` is made when it is needed; `unit` says what the unit of a name is called."""
        self._folder = folder
        self._unit = unit

    def standing(self, name: str) -> Standing:
        """Return how the unit of this name is. Raises ProcessError."""
        return self.standings([name])[name]

    def standings(self, names: Sequence[str]) -> dict[str, Standing]:
        """Return how units are, asked for all at once. Raises ProcessError."""
        deadline = time.monotonic() + NOTICE_SECONDS
        while any(map(_is_unnoticed, found := _show(*map(self._unit, names)))) and time.monotonic() < deadline:
            time.sleep(PAUSE)
        shown = {each["Id"]: each for each in found}
        return {name: self._standing(name, shown.get(self._unit(name), {})) for name in names}

    def start(self, program: Program) -> Standing:
        """Start the unit, and return how it is then. Raises AlreadyRunning, and ProcessError with systemd's words."""
        with self._alone(program.name):
            pid = self.standing(program.name).pid
            if pid is not None:
                raise AlreadyRunning(f"{program.title} runs already: PID {pid}", pid)
            _systemctl("start", self._unit(program.name))
        return self.standing(program.name)

    def stop(self, name: str, *, grace: float) -> Stopped:
        """Stop the unit, wait up to `grace` seconds, then kill it. Its own TimeoutStopSec may kill it earlier."""
        unit = self._unit(name)
        with self._alone(name):
            shown = _show(unit)[0]
            process = _running(shown)
            if shown["ActiveState"] in OVER:
                return Stopped(name=name, pid=None)
            # Without a process it is about to be restarted: stopped all the same.
            _write(self._marker(name), {"started": shown["ExecMainStartTimestampMonotonic"]})
            _systemctl("stop", "--no-block", unit)
            was_killed = not _is_over(unit, grace)
            if was_killed:
                _systemctl("kill", "--signal=SIGKILL", unit)
                if not _is_over(unit, KILL_SECONDS):
                    raise ProcessError(f"{unit} does not end: look at `systemctl status {unit}`")
            after = _show(unit)[0]
            was_killed |= after["ExecMainCode"] in KILLED and after["ExecMainStatus"] == "9"
            return Stopped(
                name=name, pid=process.pid if process else None, was_killed=was_killed and process is not None
            )

    def _standing(self, name: str, shown: Mapping[str, str]) -> Standing:
        started = int(shown.get("ExecMainStartTimestampMonotonic") or 0)
        about: dict[str, Any] = {"started_at": _time(started)}
        if process := _running(shown):
            return Standing(state="running", identity=process, **about)
        if not started:
            return Standing(state="stopped")
        by_signal = shown.get("ExecMainCode") in KILLED
        status = int(shown.get("ExecMainStatus") or 0)
        about |= {
            # Of a process that is gone only the id is known.
            "identity": Identity(pid=int(shown.get("ExecMainPID") or 0), ticks=0, boot=""),
            "ended_at": _time(int(shown.get("ExecMainExitTimestampMonotonic") or 0)),
            "exit_code": -status if by_signal else status,
        }
        if self._was_stopped(name, started):
            return Standing(state="stopped", **about)
        return Standing(state="dead" if by_signal else "failed" if status else "finished", **about)

    def _was_stopped(self, name: str, started: int) -> bool:
        try:
            found = json.loads(self._marker(name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return bool(found.get("started") == str(started))

    def _marker(self, name: str) -> Path:
        return self._folder / f"unit_{name}.stop"

    def _alone(self, name: str) -> Held:
        if not self._folder.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            _hand_over(self._folder)
        lock = self._folder / f"unit_{name}.lock"
        held = Held(lock)
        _hand_over(lock)
        return held


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
    """Tell whether a unit's main process is gone, and systemd still takes it for running."""
    return bool(int(shown.get("MainPID") or 0)) and shown.get("ActiveState") not in OVER and _running(shown) is None


def _time(microseconds: int) -> datetime | None:
    """Return the date of a moment of the monotonic clock: systemd's own dates differ with language and time zone."""
    if not microseconds:
        return None
    return datetime.now(UTC) - timedelta(seconds=time.monotonic() - microseconds / 1e6)


def _show(*units: str) -> list[Mapping[str, str]]:
    """Return the properties of units, in their order. Raises ProcessError."""
    said = _systemctl("show", f"--property={','.join(SHOWN)}", *units)
    return [
        dict(line.partition("=")[::2] for line in block.splitlines())
        for block in said.strip().split("\n\n")
        if block.strip()
    ]


def _systemctl(*arguments: str) -> str:
    try:
        done = subprocess.run(["systemctl", *arguments], capture_output=True, encoding="utf-8", check=False)
    except OSError as error:
        raise ProcessError(f"systemctl cannot be run ({error.strerror})") from None
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        who = "" if os.geteuid() == 0 else "; a unit is started and stopped by root"
        raise ProcessError(f"systemctl {arguments[0]} failed: {said}{who}")
    return done.stdout


def _write(path: Path, values: Mapping[str, str]) -> None:
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(values), encoding="utf-8")
    _hand_over(new)
    new.replace(path)


def _hand_over(path: Path) -> None:
    """Give what root makes to the account that the folder above it belongs to: the services read it, too."""
    if os.geteuid() == 0:
        above = path.parent.stat()
        os.chown(path, above.st_uid, above.st_gid, follow_symlinks=False)
