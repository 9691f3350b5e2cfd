"""Plain processes that outlive whatever started them: at most one of a program, known by identity, not by a bare PID.

Each has a keeper (`keeper.py`) that starts it, keeps what it writes to standard error, and records how it ended. The
state is in the folder `run` of the data folder:

- `KEY.lock` is held (`flock`) by the keeper and by the process itself, for as long as either lives;
- `KEY.json` says which process it is (id, start time, boot) and, when it has ended, its exit code;
- `KEY.stop` names the process that was asked to stop, so that its end is not a failure; `KEY.stop.lock` is held while a
  stop waits for it: Scrapy takes a second SIGTERM for an order to drop everything.

A process id alone proves nothing: ids are used again. With the start time in clock ticks and the boot it is one process
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
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from vinops import disk, locks
from vinops.db import embedded
from vinops.db.embedded.process import command_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from ops.workers.registry import Program

State = Literal["running", "finished", "failed", "stopped", "dead"]

KEEPER: Final = Path(__file__).with_name("keeper.py")
LOCK_SECONDS: Final = 5.0  # a keeper records an end in an instant; a child of a killed process takes longer to go
LEFTOVER_SECONDS: Final = 5.0  # Playwright's driver closes its browser by itself when Scrapy is gone
POLL_SECONDS: Final = 0.5  # between two listings of the children of a process that is ending
KILL_SECONDS: Final = 30.0
PAUSE: Final = 0.05
LAST_LINES: Final = 5


class ProcessError(Exception):
    """A process was not started or stopped. The message says why and what fixes it."""


class AlreadyRunning(ProcessError):  # noqa: N818 # a state, not a fault
    """The program runs already. `pid` is its process, None if only children of an earlier one are left."""

    def __init__(self, message: str, pid: int | None) -> None:
        """Keep the process id with the message."""
        super().__init__(message)
        self.pid = pid


@dataclass(frozen=True, kw_only=True)
class Identity:
    """One process and no other, also when its id is used again. `ticks` is its start, in clock ticks since the boot."""

    pid: int
    ticks: int
    boot: str

    @property
    def is_alive(self) -> bool:
        """Whether the process exists. A zombie, which has ended and was not collected, does not."""
        return identify(self.pid) == self


@dataclass(frozen=True, kw_only=True)
class ProcessStatus:
    """The state of a program's process. `dead` is one that was started and is gone without an exit code of its own.

    `exit_code` is negative for a signal. What was never started is `stopped`. `identity` stays when it has ended.
    """

    program: Program
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
    """The result of a stop. `pid` is the process that ran, `leftovers` how many of its children had to be killed."""

    pid: int | None
    was_killed: bool = False
    leftovers: int = 0


def boot() -> str:
    """Return the id of this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def identify(pid: int) -> Identity | None:
    """Return the identity of a process; None if no process has this id, or only a zombie."""
    fields = _stat(pid)
    return Identity(pid=pid, ticks=int(fields[19]), boot=boot()) if fields and fields[0] not in "ZX" else None


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the program's name, which may contain blanks and parentheses."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def arguments(pid: int) -> list[str]:
    """Return the command line of a process; empty if it is gone."""
    return [os.fsdecode(part) for part in command_line(pid) if part]


def parent(pid: int) -> int | None:
    """Return the parent of a process; None if it is gone."""
    fields = _stat(pid)
    return int(fields[1]) if fields else None


def pids() -> list[int]:
    """Return the ids of all processes that this one can see."""
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def descendants(pid: int) -> set[Identity]:
    """Return all descendants of a process, without the keeper of the embedded database, which others use too."""
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
    """Starts and stops programs as plain processes. `folder`, where their state is kept, is made when it is needed."""

    name = "processes"
    owns_restarts = False

    def __init__(self, folder: Path) -> None:
        """Use this folder."""
        self.folder = folder

    def status(self, programs: Sequence[Program]) -> list[ProcessStatus]:
        """Return the status of each."""
        return [self.status_of(program) for program in programs]

    def status_of(self, program: Program) -> ProcessStatus:
        """Return the status of a program. The last output of one that has ended is in its file by then."""
        recorded = self._recorded(program)
        identity = _identity(recorded)
        if identity is None:
            return ProcessStatus(program=program, state="stopped")
        is_alive = identity.is_alive  # asked once: it may end between two questions
        if not is_alive and recorded.get("ended_at") is None:
            recorded = self._await_end(program, recorded)
        code: int | None = recorded.get("exit_code")
        if is_alive and recorded.get("ended_at") is None:
            state: State = "running"
        elif _identity(read_state(self._stop_file(program))) == identity:
            state = "stopped"
        elif code is None or code < 0:
            state = "dead"
        else:
            state = "failed" if code else "finished"
        return ProcessStatus(
            program=program,
            state=state,
            identity=identity,
            started_at=_time(recorded.get("started_at")),
            ended_at=_time(recorded.get("ended_at")),
            exit_code=code,
        )

    def start(self, program: Program) -> ProcessStatus:
        """Start the program, detached from this process and its terminal, and return its status.

        Of two calls at once one starts it; the other gets AlreadyRunning. Raises ProcessError if it cannot be started.
        If this process dies in here the program runs, with its keeper, or was never begun.
        """
        self._make_folders(program)
        lock = self._lock_of(program)
        answer, ready = os.pipe()
        try:
            launcher = subprocess.Popen(
                # Isolated and without site: up in 15 ms, and no file in the folder can stand in for a library.
                [
                    *(sys.executable, "-I", "-S", str(KEEPER), str(lock), str(ready)),
                    *(str(self._state_file(program)), str(program.errors), *program.command),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(lock, ready),
                start_new_session=True,
            )
        finally:
            os.close(lock)
            os.close(ready)
        with os.fdopen(answer, "rb") as pipe:
            text = pipe.read().decode("utf-8", "replace")
        launcher.wait()
        if text != "started":
            more = f": free some space: {disk.GO}" * text.endswith(disk.PHRASE)
            raise ProcessError(f"{program.title} was not started: {text or 'its keeper died'}{more}")
        return self.status_of(program)

    def stop(self, program: Program, *, grace: float) -> Stopped:
        """Terminate the process as `terminate` does.

        Of two calls at once one stops it. If this process dies in here, the other one has its SIGTERM and ends, and its
        end is known as a stop.
        """
        if self._recorded(program) == {}:
            return Stopped(pid=None)
        with held(self.folder / f"{program.key}.stop.lock"):
            status = self.status_of(program)
            identity = status.identity
            if status.state != "running" or identity is None:
                return Stopped(pid=None)
            about = {"pid": identity.pid, "ticks": identity.ticks, "boot": identity.boot}
            write_state(self._stop_file(program), about)
            stopped = terminate(identity, grace=grace)
            _wait(lambda: self._is_free(program), LOCK_SECONDS)
            return stopped

    def why(self, status: ProcessStatus) -> str:
        """Return the last lines that a process wrote, and where."""
        program = status.program
        lines = last_lines(program.errors) or last_lines(program.log)
        return "\n".join([f"{program.log} and {program.errors} end with:", *lines])

    def clear(self, program: Program) -> list[str]:
        """Remove the state of a program whose process is gone and whose end was not recorded; return the file names."""
        if self.status_of(program).state == "running" or not self._is_free(program):
            return []
        if self._recorded(program).get("ended_at") is not None:
            return []
        found = [path for path in (self._state_file(program), self._stop_file(program)) if path.exists()]
        for path in found:
            path.unlink(missing_ok=True)
        return [path.name for path in found]

    def holders(self, key: str) -> list[int]:
        """Return the processes that hold a lock of this folder, as far as this account may see them."""
        path = str((self.folder / f"{key}.lock").resolve())
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
        descriptor = locks.opened(self._lock_file(program), os.O_RDWR)
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid = self.status_of(program).pid
                if pid is None and time.monotonic() < deadline:
                    time.sleep(PAUSE)  # it is being started, or is about to be gone
                    continue
                os.close(descriptor)
                raise self._already_running(program, pid) from None
            if pid := self.status_of(program).pid:  # it closed the descriptor that it inherited, and runs all the same
                os.close(descriptor)
                raise self._already_running(program, pid)
            return descriptor

    def _already_running(self, program: Program, pid: int | None) -> AlreadyRunning:
        if pid is not None:
            return AlreadyRunning(f"{program.title} runs already: PID {pid}", pid)
        held = ", ".join(map(str, self.holders(program.key))) or "a process of another account"
        return AlreadyRunning(
            f"{program.title} was not started: remains of an earlier one are still there (PID {held}); "
            "end them with `kill`, then start it again",
            None,
        )

    def _is_free(self, program: Program) -> bool:
        try:
            with held(self._lock_file(program), wait=False):
                return True
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _lock_file(self, program: Program) -> Path:
        return self.folder / f"{program.key}.lock"

    def _state_file(self, program: Program) -> Path:
        return self.folder / f"{program.key}.json"

    def _stop_file(self, program: Program) -> Path:
        return self.folder / f"{program.key}.stop"

    def _recorded(self, program: Program) -> Mapping[str, Any]:
        return read_state(self._state_file(program))

    def _await_end(self, program: Program, recorded: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the state of a process that is gone, once its keeper has copied its last output and recorded its end.

        A keeper that is gone as well records nothing.
        """
        keeper = _identity(recorded.get("keeper") or {})
        if keeper is not None:
            _wait(lambda: not keeper.is_alive or self._recorded(program).get("ended_at") is not None, LOCK_SECONDS)
        return self._recorded(program)

    def _make_folders(self, program: Program) -> None:
        try:
            for folder in (self.folder, program.errors.parent):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ProcessError(
                f"{error.filename} cannot be made ({error.strerror}): set VINOPS_DATA_DIR and VINOPS_LOG_DIR to "
                "folders of yours"
            ) from None


@contextmanager
def held(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a lock file for the block; a long wait says who has it. Without `wait`, raises BlockingIOError instead."""
    descriptor = locks.opened(path, os.O_RDWR)
    try:
        if wait:
            locks.wait(descriptor, path, fcntl.LOCK_EX, math.inf)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def last_lines(path: Path, count: int = LAST_LINES) -> list[str]:
    """Return the last lines of a file, as far as its last 8 kB hold them."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 8192))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-count:]


def _identity(recorded: Mapping[str, Any]) -> Identity | None:
    pid, ticks, name = recorded.get("pid"), recorded.get("ticks"), recorded.get("boot")
    if not isinstance(pid, int) or not isinstance(ticks, int) or not isinstance(name, str):
        return None
    return Identity(pid=pid, ticks=ticks, boot=name)


def _time(text: Any) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None


def read_state(path: Path) -> Mapping[str, Any]:
    """Return the contents of a state file; empty if it is missing or invalid."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_state(path: Path, values: Mapping[str, Any]) -> None:
    """Write a state file, whole or not at all."""
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(values), encoding="utf-8")
    hand_over(new)
    new.replace(path)


def hand_over(path: Path) -> None:
    """Give a file that root made to the owner of its folder, whose services read it too."""
    if os.geteuid() == 0:
        above = path.parent.stat()
        os.chown(path, above.st_uid, above.st_gid, follow_symlinks=False)


def terminate(identity: Identity, *, grace: float) -> Stopped:
    """Terminate a process, wait up to `grace` seconds, then kill it; none of its children is left afterwards.

    SIGTERM goes to the process alone: sent to its whole group it would end Scrapy's browser within a page.
    """
    below = descendants(identity.pid)
    _signal(identity, signal.SIGTERM)
    _signal(identity, signal.SIGCONT)  # a suspended process has to run to end
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline and not _wait(lambda: not identity.is_alive, min(grace, POLL_SECONDS)):
        below |= descendants(identity.pid)
    was_killed = identity.is_alive
    _signal(identity, signal.SIGKILL)
    if not _wait(lambda: not identity.is_alive, KILL_SECONDS):
        raise ProcessError(
            f"process {identity.pid} does not end, not even by SIGKILL: the kernel waits for a disk or a "
            "network file system; look at `dmesg`"
        )
    return Stopped(pid=identity.pid, was_killed=was_killed, leftovers=_end(below))


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
    """Wait until these processes are gone, then kill the rest; return how many had to be killed."""
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
