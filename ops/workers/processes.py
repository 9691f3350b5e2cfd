"""Processes that outlive who started them: at most one of a name, known by their identity, told apart by their end.

Each has a keeper (`keeper.py`) that starts it, keeps what it writes to standard error, and notes how it ended. All
agreement is in the folder `run` of the data folder:

- `NAME.lock` is held (`flock`) by the keeper and by the process itself, for as long as either lives;
- `NAME.json` says which process it is (id, start time, boot) and, when it is over, its exit code;
- `NAME.stop` names the process that was told to stop, so that its end is no failure; `NAME.stop.lock` is held while
  somebody waits for it: Scrapy takes a second SIGTERM for an order to drop everything.

A process id alone says nothing: ids are used again. With the start time in clock ticks and the boot it is one process
and no other. psutil's create_time is a date, and moves when the clock of the machine is set. Linux only.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from vinops import locks
from vinops.db import embedded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

State = Literal["running", "finished", "failed", "stopped", "dead"]

KEEPER: Final = Path(__file__).with_name("keeper.py")
LOCK_SECONDS: Final = 5.0  # a keeper needs an instant to note an end; a child of a killed process, a few
LEFTOVER_SECONDS: Final = 5.0  # Playwright's driver closes its browser by itself when Scrapy is gone
LOOK_SECONDS: Final = 0.5  # between two looks at what a process has below it
KILL_SECONDS: Final = 30.0
PAUSE: Final = 0.05
LAST_LINES: Final = 5


class ProcessError(Exception):
    """A process was not started. The message says why and what mends it."""


class AlreadyRunning(ProcessError):  # noqa: N818 # a state, not a fault
    """There is one of that name. `pid` is its process, None if only remains of it are there."""

    def __init__(self, message: str, pid: int | None) -> None:
        """Keep the process's id with the message."""
        super().__init__(message)
        self.pid = pid


@dataclass(frozen=True, kw_only=True)
class Identity:
    """One process and no other, also when its id is used again: when it began, in clock ticks since the boot."""

    pid: int
    ticks: int
    boot: str

    @property
    def is_alive(self) -> bool:
        """Whether the process is there. One that has ended and was not collected (a zombie) is not."""
        return identify(self.pid) == self


@dataclass(frozen=True, kw_only=True)
class Program:
    """What is run under a name. `errors` is the file for standard output and error; `title` is for people."""

    name: str
    title: str
    command: tuple[str, ...]
    log: Path
    errors: Path


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a process is. `exit_code` is negative for a signal; a process that never was is `stopped`."""

    state: State
    identity: Identity | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        return self.identity.pid if self.identity and self.state == "running" else None


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """How a stop went. `pid` is the process that was there, `leftovers` how many of its children had to be killed."""

    name: str
    pid: int | None
    was_killed: bool = False
    leftovers: int = 0


def boot() -> str:
    """Return what tells this boot of the machine from the others."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def identify(pid: int) -> Identity | None:
    """Return the identity of a process; None if there is none with this id, or only what is left of one."""
    fields = _stat(pid)
    return Identity(pid=pid, ticks=int(fields[19]), boot=boot()) if fields and fields[0] not in "ZX" else None


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat behind the name of the program, which may hold blanks and parentheses."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def arguments(pid: int) -> list[str]:
    """Return the command line of a process; empty if it is gone."""
    try:
        data = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return [os.fsdecode(part) for part in data.split(b"\0") if part]


def parent(pid: int) -> int | None:
    """Return the parent of a process; None if it is gone."""
    fields = _stat(pid)
    return int(fields[1]) if fields else None


def pids() -> list[int]:
    """Return the ids of all processes that this one can see."""
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def descendants(pid: int) -> set[Identity]:
    """Return the processes below one. The keeper of the embedded database is not counted: it is there for everybody."""
    children: dict[int, list[int]] = {}
    for each in pids():
        if fields := _stat(each):
            children.setdefault(int(fields[1]), []).append(each)
    found: set[Identity] = set()
    waiting = list(children.get(pid, ()))
    while waiting:
        each = waiting.pop()
        if embedded.KEEPER in arguments(each):
            continue
        if identity := identify(each):
            found.add(identity)
        waiting += children.get(each, ())
    return found


class Processes:
    """The processes whose files lie in one folder."""

    def __init__(self, folder: Path) -> None:
        """`folder` is made when it is needed."""
        self.folder = folder

    def standing(self, name: str) -> Standing:
        """Return how the process of this name is."""
        noted = self._noted(name)
        identity = _identity(noted)
        if identity is None:
            return Standing(state="stopped")
        if noted.get("ended_at") is None and not identity.is_alive:
            noted = self._ended(name, noted)
        code: int | None = noted.get("exit_code")
        about: dict[str, Any] = {
            "identity": identity,
            "started_at": _time(noted.get("started_at")),
            "ended_at": _time(noted.get("ended_at")),
            "exit_code": code,
        }
        if noted.get("ended_at") is None and identity.is_alive:
            return Standing(state="running", **about)
        if _identity(_read(self.folder / f"{name}.stop")) == identity:
            return Standing(state="stopped", **about)
        if code is None or code < 0:
            return Standing(state="dead", **about)
        return Standing(state="failed" if code else "finished", **about)

    def start(self, program: Program) -> Standing:
        """Start the program, detached from this process and its terminal, and return how it is then.

        Of two who start at once one does; the other gets AlreadyRunning. Raises ProcessError if there is nothing to
        be started. If this process dies in here the program runs, with its keeper, or was never begun.
        """
        name = program.name
        self._make_folders(program)
        lock = self._lock_of(program)
        ready, told = os.pipe()
        try:
            launcher = subprocess.Popen(
                # Isolated and without site: up in 15 ms, and no file in the folder can stand in for a library.
                [
                    *(sys.executable, "-I", "-S", str(KEEPER), str(lock), str(told)),
                    *(str(self.folder / f"{name}.json"), str(program.errors), *program.command),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(lock, told),
                start_new_session=True,
            )
        finally:
            os.close(lock)
            os.close(told)
        with os.fdopen(ready, "rb") as answer:
            said = answer.read().decode("utf-8", "replace")
        launcher.wait()
        if said != "started":
            raise ProcessError(f"{program.title} was not started: {said or 'its keeper died'}")
        return self.standing(name)

    def stop(self, name: str, *, grace: float, title: str = "") -> Stopped:
        """Tell the process to end, wait up to `grace` seconds, then kill it; nothing of it is left afterwards.

        SIGTERM goes to the process alone: to its whole group, and Scrapy loses its browser before the page it is at.
        Of two who stop at once one does. If this process dies in here, the other one was told to end and does; its end
        is known as a stop.
        """
        if self._noted(name) == {}:
            return Stopped(name=name, pid=None)
        with self._alone(f"{name}.stop.lock"):
            standing = self.standing(name)
            identity = standing.identity
            if standing.state != "running" or identity is None:
                return Stopped(name=name, pid=None)
            _write(self.folder / f"{name}.stop", {"pid": identity.pid, "ticks": identity.ticks, "boot": identity.boot})
            below = descendants(identity.pid)
            _signal(identity, signal.SIGTERM)
            _signal(identity, signal.SIGCONT)  # one that was suspended must run to end
            deadline = time.monotonic() + grace
            while time.monotonic() < deadline and not _wait(lambda: not identity.is_alive, min(grace, LOOK_SECONDS)):
                below |= descendants(identity.pid)
            was_killed = identity.is_alive
            _signal(identity, signal.SIGKILL)
            if not _wait(lambda: not identity.is_alive, KILL_SECONDS):
                raise ProcessError(
                    f"process {identity.pid} does not end, not even by SIGKILL: the kernel waits for a disk or a "
                    "network file system; look at `dmesg`"
                )
            leftovers = _end(below)
            _wait(lambda: self._is_free(name), LOCK_SECONDS)
            return Stopped(name=name, pid=identity.pid, was_killed=was_killed, leftovers=leftovers)

    def clear(self, name: str) -> list[str]:
        """Remove the files of a name whose process is gone and whose end was noted by nobody; return their names."""
        if self.standing(name).state == "running" or not self._is_free(name):
            return []
        if self._noted(name).get("ended_at") is not None:
            return []
        found = [path for path in (self.folder / f"{name}.json", self.folder / f"{name}.stop") if path.exists()]
        for path in found:
            path.unlink(missing_ok=True)
        return [path.name for path in found]

    def holders(self, name: str) -> list[int]:
        """Return the processes that hold the lock of a name, as far as this account may look."""
        path = str((self.folder / f"{name}.lock").resolve())
        found = []
        for pid in pids():
            try:
                links = [str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()]
            except OSError:
                continue
            if path in links:
                found.append(pid)
        return found

    def _lock_of(self, program: Program) -> int:
        """Return a descriptor that holds the program's lock. Raises AlreadyRunning."""
        descriptor = locks.opened(self.folder / f"{program.name}.lock", os.O_RDWR)
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid = self.standing(program.name).pid
                if pid is None and time.monotonic() < deadline:
                    time.sleep(PAUSE)  # it is being started or noted, or is about to be gone
                    continue
                os.close(descriptor)
                raise self._there_already(program, pid) from None
            if pid := self.standing(program.name).pid:  # it let go of what it inherited, and runs all the same
                os.close(descriptor)
                raise self._there_already(program, pid)
            return descriptor

    def _there_already(self, program: Program, pid: int | None) -> AlreadyRunning:
        if pid is not None:
            return AlreadyRunning(f"{program.title} runs already: PID {pid}", pid)
        held = ", ".join(map(str, self.holders(program.name))) or "a process of another account"
        return AlreadyRunning(
            f"{program.title} was not started: remains of an earlier one are still there (PID {held}); "
            "end them with `kill`, then start it again",
            None,
        )

    def _is_free(self, name: str) -> bool:
        try:
            descriptor = locks.opened(self.folder / f"{name}.lock", os.O_RDWR)
        except OSError:
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True

    def _alone(self, lock: str) -> Held:
        return Held(self.folder / lock)

    def _noted(self, name: str) -> Mapping[str, Any]:
        return _read(self.folder / f"{name}.json")

    def _ended(self, name: str, noted: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the notes of a process that is gone: its keeper, if it lives, is about to write how it ended."""
        keeper = _identity(noted.get("keeper") or {})
        if keeper is not None:
            _wait(lambda: not keeper.is_alive or self._noted(name).get("ended_at") is not None, LOCK_SECONDS)
        return self._noted(name)

    def _make_folders(self, program: Program) -> None:
        try:
            for folder in (self.folder, program.errors.parent):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ProcessError(
                f"{error.filename} cannot be made ({error.strerror}): set VINOPS_DATA_DIR and VINOPS_LOG_DIR to "
                "folders of yours"
            ) from None


class Held:
    """A lock file, held from `with` to the end of the block. Waits for it unless told otherwise."""

    def __init__(self, path: Path, *, wait: bool = True) -> None:
        """Open the file."""
        self._path = path
        self._wait = wait
        self._descriptor = locks.opened(path, os.O_RDWR)

    def __enter__(self) -> None:
        """Take the lock; a long wait says who has it. Raises BlockingIOError if it is not to be waited for and another
        process has it."""
        try:
            if self._wait:
                locks.wait(self._descriptor, self._path, fcntl.LOCK_EX, math.inf)
            else:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            os.close(self._descriptor)
            raise

    def __exit__(self, *_: object) -> None:
        """Let it go."""
        os.close(self._descriptor)


def last_lines(path: Path, count: int = LAST_LINES) -> list[str]:
    """Return the last lines of a file, as far as its last 8 kB hold them."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 8192))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-count:]


def _identity(noted: Mapping[str, Any]) -> Identity | None:
    pid, ticks, name = noted.get("pid"), noted.get("ticks"), noted.get("boot")
    if not isinstance(pid, int) or not isinstance(ticks, int) or not isinstance(name, str):
        return None
    return Identity(pid=pid, ticks=ticks, boot=name)


def _time(text: Any) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None


def _read(path: Path) -> Mapping[str, Any]:
    """Return what a file says; nothing if it is not there or is no such file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, values: Mapping[str, Any]) -> None:
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(values), encoding="utf-8")
    new.replace(path)


def _signal(identity: Identity, number: int) -> None:
    if identity.is_alive:
        try:
            os.kill(identity.pid, number)
        except ProcessLookupError:
            return
        except PermissionError:
            raise ProcessError(
                f"process {identity.pid} belongs to another account: run this as that account or as root"
            ) from None


def _end(processes: Iterable[Identity]) -> int:
    """Wait until these processes are gone, then kill what is left; return how many had to be killed."""
    below = list(processes)
    _wait(lambda: not any(each.is_alive for each in below), LEFTOVER_SECONDS)
    left = [each for each in below if each.is_alive]
    for each in left:
        _signal(each, signal.SIGKILL)
    return len(left)


def _wait(is_so: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(PAUSE)
    return True
