"""Workers as systemd units: vinops-worker@N.service and vinops-photo-scraper.service, through `systemctl`."""

from __future__ import annotations

import json
import subprocess
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from ops.processes import PAUSE, AlreadyRunning, Held, Identity, ProcessError, Standing, Stopped, identify
from ops.workers import PHOTOS, WorkerStatus, makes_of, names, run_folder, status_of, title

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from vinops.config import Settings

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


def unit(name: str) -> str:
    """Return the unit of a worker."""
    return "vinops-photo-scraper.service" if name == PHOTOS else f"vinops-worker@{name}.service"


def has_units() -> bool:
    """Tell whether systemd runs this machine and knows the unit of the workers."""
    try:
        return _show(unit("1"))[0].get("LoadState") == "loaded"
    except (ProcessError, IndexError):
        return False


class SystemdBackend:
    """Workers as units. systemd restarts what dies, and stops all of a unit's processes with it."""

    name = "systemd"
    owns_restarts = True

    def __init__(self, settings: Settings) -> None:
        """The folder `run` of the data folder keeps which start of a unit was stopped on purpose."""
        self._settings = settings
        self._folder = run_folder(settings)

    def start(self, name: str) -> WorkerStatus:
        """As the protocol says."""
        with self._alone(name):
            status = self._status(name)
            if status.state == "running":
                raise AlreadyRunning(f"{self._title(name)} runs already: PID {status.pid}", status.pid)
            _systemctl("start", unit(name))
        return self._status(name)

    def stop(self, name: str, *, grace: float) -> Stopped:
        """As the protocol says. The unit's own TimeoutStopSec may kill it earlier."""
        with self._alone(name):
            shown = _show(unit(name))[0]
            process = _running(shown)
            if shown["ActiveState"] in OVER:
                return Stopped(name=name, pid=None)
            # Without a process it is about to be restarted: stopped all the same.
            _write(self._marker(name), {"started": shown["ExecMainStartTimestampMonotonic"]})
            _systemctl("stop", "--no-block", unit(name))
            was_killed = not self._is_over(name, grace)
            if was_killed:
                _systemctl("kill", "--signal=SIGKILL", unit(name))
                if not self._is_over(name, KILL_SECONDS):
                    raise ProcessError(f"{unit(name)} does not end: look at `systemctl status {unit(name)}`")
            after = _show(unit(name))[0]
            was_killed |= after["ExecMainCode"] in KILLED and after["ExecMainStatus"] == "9"
            return Stopped(
                name=name, pid=process.pid if process else None, was_killed=was_killed and process is not None
            )

    def status(self) -> list[WorkerStatus]:
        """As the protocol says."""
        known = names(self._settings)
        shown = {each["Id"]: each for each in _show(*map(unit, known))}
        return [self._status_of(name, shown.get(unit(name), {})) for name in known]

    def _status(self, name: str) -> WorkerStatus:
        return self._status_of(name, _show(unit(name))[0])

    def _status_of(self, name: str, shown: Mapping[str, str]) -> WorkerStatus:
        return status_of(self._settings, name, self._standing(name, shown))

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

    def _is_over(self, name: str, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while _show(unit(name))[0]["ActiveState"] not in OVER:
            if time.monotonic() > deadline:
                return False
            time.sleep(PAUSE)
        return True

    def _was_stopped(self, name: str, started: int) -> bool:
        try:
            found = json.loads(self._marker(name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return bool(found.get("started") == str(started))

    def _marker(self, name: str) -> Path:
        return self._folder / f"unit_{name}.stop"

    def _alone(self, name: str) -> Held:
        self._folder.mkdir(parents=True, exist_ok=True)
        return Held(self._folder / f"unit_{name}.lock")

    def _title(self, name: str) -> str:
        return title(name, makes_of(self._settings, name))


def _running(shown: Mapping[str, str]) -> Identity | None:
    """Return the main process of a unit that has one. A unit that waits for its next start has none."""
    pid = int(shown.get("MainPID") or 0)
    return identify(pid) if pid and shown.get("ActiveState") not in OVER else None


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
        raise ProcessError(f"systemctl {' '.join(arguments[:1])} failed: {said}; a unit is started and stopped by root")
    return done.stdout


def _write(path: Path, values: Mapping[str, str]) -> None:
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(values), encoding="utf-8")
    new.replace(path)
