"""A systemctl for the tests: keeps units in a folder, and really runs their processes.

    python fake_systemctl.py FOLDER show|start|stop|kill …

FOLDER holds `UNIT.command` (JSON, a list) for each unit that is installed, and `UNIT.json` for each that was started.
As the real one does it runs one main process a unit, and tells of it by the properties that are asked for.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

TIMEOUT_STOP = 90.0


def main(folder: Path, verb: str, *arguments: str) -> int:
    """Do what systemctl would."""
    units = [each for each in arguments if not each.startswith("--")]
    options = dict(each.lstrip("-").partition("=")[::2] for each in arguments if each.startswith("--"))
    if verb == "show":
        print("\n\n".join(show(folder, unit, options["property"].split(",")) for unit in units))
        return 0
    for unit in units:
        if not (folder / f"{unit}.command").exists():
            sys.stderr.write(f"Failed to {verb} {unit}: Unit {unit} not found.\n")
            return 5
        {"start": start, "stop": stop, "kill": kill}[verb](folder, unit, options)
    return 0


def show(folder: Path, unit: str, names: list[str]) -> str:
    """Return the properties of a unit."""
    noted = read(folder, unit)
    shown: dict[str, Any] = {
        "Id": unit,
        "LoadState": "loaded" if (folder / f"{unit}.command").exists() else "not-found",
        "ActiveState": noted.get("active", "inactive"),
        "MainPID": noted.get("pid", 0) if noted.get("active") in ("active", "deactivating") else 0,
        "ExecMainPID": noted.get("pid", 0),
        "ExecMainStartTimestampMonotonic": noted.get("started", 0),
        "ExecMainExitTimestampMonotonic": noted.get("ended", 0),
        "ExecMainCode": noted.get("code", 0),
        "ExecMainStatus": noted.get("status", 0),
    }
    return "\n".join(f"{name}={shown[name]}" for name in names)


def start(folder: Path, unit: str, options: dict[str, str]) -> None:
    """Start the main process of a unit, and a process that waits for its end, as systemd itself does."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if read(folder, unit).get("active") == "active":
            return
        command = json.loads((folder / f"{unit}.command").read_text())
        go, told = os.pipe()
        if os.fork() == 0:
            os.setsid()
            null = os.open(os.devnull, os.O_RDWR)
            for number in (0, 1, 2):
                os.dup2(null, number)
            pid = os.fork()
            if pid == 0:
                os.setsid()
                os.execvp(command[0], command)
            write(folder, unit, {"active": "active", "pid": pid, "started": now()})
            os.close(go)
            os.write(told, b"1")
            os.close(told)
            lock.close()
            _, status = os.waitpid(pid, 0)
            code = os.waitstatus_to_exitcode(status)
            with contextlib.suppress(ProcessLookupError):  # what it left, as with KillMode=mixed
                os.killpg(pid, signal.SIGKILL)
            noted = read(folder, unit)
            by_signal = code < 0 and not (code == -signal.SIGTERM and noted["active"] == "deactivating")
            write(
                folder,
                unit,
                {
                    **noted,
                    "active": "failed" if code else "inactive",
                    "ended": now(),
                    "code": 2 if by_signal or code < 0 else 1,
                    "status": abs(code),
                },
            )
            os._exit(0)
        os.close(told)
        os.read(go, 1)


def stop(folder: Path, unit: str, options: dict[str, str]) -> None:
    """Send SIGTERM to the main process, as with KillMode=mixed."""
    noted = read(folder, unit)
    if noted.get("active") == "active":
        write(folder, unit, {**noted, "active": "deactivating"})
        for number in (signal.SIGTERM, signal.SIGCONT):
            with contextlib.suppress(ProcessLookupError):  # it may have ended meanwhile
                os.kill(noted["pid"], number)
    elif noted.get("active") == "activating":  # it waits for its next start
        write(folder, unit, {**noted, "active": "inactive"})
    deadline = time.monotonic() + TIMEOUT_STOP
    while "no-block" not in options and read(folder, unit).get("active") == "deactivating":
        if time.monotonic() > deadline:
            kill(folder, unit, {"signal": "SIGKILL"})
        time.sleep(0.02)


def kill(folder: Path, unit: str, options: dict[str, str]) -> None:
    """Send a signal to the processes of a unit."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(read(folder, unit)["pid"], signal.Signals[options["signal"]])


def now() -> int:
    """Return the monotonic clock in microseconds."""
    return time.monotonic_ns() // 1000


def read(folder: Path, unit: str) -> dict[str, Any]:
    """Return what is noted of a unit."""
    try:
        found: dict[str, Any] = json.loads((folder / f"{unit}.json").read_text())
    except FileNotFoundError:
        return {}
    return found


def write(folder: Path, unit: str, values: dict[str, Any]) -> None:
    """Note something of a unit."""
    new = folder / f"{unit}.json.{os.getpid()}"
    new.write_text(json.dumps(values))
    new.replace(folder / f"{unit}.json")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
