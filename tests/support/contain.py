"""Contains what tests start: nothing of it outlives the process that started it, whatever kills that process.

    python tests/support/contain.py --minutes 60 COMMAND …    a whole run of pytest, with a limit on its time
    python tests/support/contain.py COMMAND …                 a worker of pytest-xdist: tests/conftest.py starts them so

It runs the command as its child and is the "child subreaper" of all that descends from it (prctl(2)): a daemon whose
parent ended becomes its child and not init's. When the command has ended, however it ended, every descendant is killed
with SIGKILL. At the limit the command gets SIGINT, for pytest to name what failed and what still runs, and SIGKILL a
minute later. If this process itself dies first, the kernel kills the command. Linux only; standard library only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LAST_WORDS_SECONDS = 60
PASSED_ON = (signal.SIGINT, signal.SIGTERM)
LIMIT_CODE = 124  # as timeout(1) has it
CONTAINED = "VINOPS_TESTS_CONTAINED"
"""The variable that tells a contained process its container's id."""

STAYING: set[int] = set()
"""Children that serve many tests, and end with the process that started them."""


def children(pid: int) -> set[int]:
    """Return the processes whose parent is `pid` now; zombies are among them."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found.update(map(int, task.read_text().split()))
    return found


def descendants(pid: int) -> list[int]:
    """Return all processes below `pid`, parents before their children."""
    found = []
    for child in sorted(children(pid)):
        found += [child, *descendants(child)]
    return found


def runs(pid: int) -> bool:
    """Return whether a process has not ended. A command line does not tell: while it executes a program it has none."""
    with suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
        return state != "Z"
    return False


def command_line(pid: int, most: int = 160) -> str:
    """Return how a process was started, shortened, or an empty text for one that has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")[:most].strip()
    return ""


def kill(pids: list[int]) -> None:
    """Kill processes and wait until those that are ours to wait for have gone."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for pid in pids:
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)


def kill_descendants() -> list[str]:
    """Kill all processes below this one, new ones too, and return how they were started."""
    killed = []
    while pids := descendants(os.getpid()):
        killed += [command_line(pid) for pid in pids if runs(pid)]
        kill(pids)
    return killed


def _start(command: list[str]) -> int:
    container, libc = os.getpid(), ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    pid = os.fork()
    if not pid:
        _become(command, container, libc)
    return pid


def _become(command: list[str], container: int, libc: ctypes.CDLL) -> NoReturn:
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != container:  # it died before the line above
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored by what a shell without a terminal has put in the background
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    os.environ[CONTAINED] = str(container)
    os.execvp(command[0], command)


def _wait(pid: int, deadline: float) -> int | None:
    """Collect whatever ends until `pid` does, and return its wait status, or None when the deadline came first."""
    while time.monotonic() < deadline:
        ended, status = os.waitpid(-1, 0 if deadline == float("inf") else os.WNOHANG)
        if ended == pid:
            return status
        if not ended:
            time.sleep(0.05)
    return None


def main(arguments: list[str]) -> NoReturn:
    """Run a command, contained, and end with its exit code, 128 and the signal that killed it, or 124 at the limit."""
    seconds = float("inf")
    if arguments[0] == "--minutes":
        seconds, arguments = float(arguments[1]) * 60, arguments[2:]
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)  # until there is somebody to hand them to
    pid = _start(arguments)
    for number in PASSED_ON:  # a terminal sends Ctrl-C to both; the command decides
        signal.signal(number, lambda number, _: os.kill(pid, number) if number == signal.SIGTERM else None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    status = _wait(pid, time.monotonic() + seconds)
    is_late = status is None
    if status is None:
        print(f"\nnot ended after {seconds / 60:g} minutes: stopping", file=sys.stderr, flush=True)
        os.kill(pid, signal.SIGINT)
        status = _wait(pid, time.monotonic() + LAST_WORDS_SECONDS)
    killed = kill_descendants()
    if seconds != float("inf"):
        for line in killed:
            print(f"left running, and killed: {line}", file=sys.stderr, flush=True)
    if is_late or status is None:
        sys.exit(LIMIT_CODE)
    code = os.waitstatus_to_exitcode(status)
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main(sys.argv[1:])
