"""Starts and stops programs for an operator: records what is wanted, confirms each start, says why one failed."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ops.workers import by_hand, celery, runs
from ops.workers.processes import AlreadyRunning, ProcessError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg import Connection

    from ops.workers.backends import Backend
    from ops.workers.processes import ProcessStatus, Stopped
    from ops.workers.registry import Program
    from vinops.config import Settings

POLL_SECONDS: Final = 0.2
BEGIN_SECONDS: Final = 60.0  # Python, Scrapy and the database take three on an idle machine
READY: Final = (" ready.", "beat: Starting...")
READY_SECONDS: Final = 30.0
"""Seconds after which Celery counts as up if its log level suppresses the line that it is ready."""


@dataclass(frozen=True, kw_only=True)
class Started:
    """The result of a start. `problem` says why the program was not started, or is not known to work; `pid` is that of
    another process where that is the reason. `runs_already`: it runs, as it was started here before."""

    status: ProcessStatus
    pid: int | None
    problem: str | None = None
    runs_already: bool = False


def start(
    settings: Settings, backend: Backend, programs: Sequence[Program], connection: Connection[Any] | None
) -> list[Started]:
    """Start programs and wait until each is up. One that fails does not keep the others from being started.

    A crawl is up when its run has begun, Celery when its log says so. Without a connection, which crawls need, a
    supervisor does not learn that they are wanted. Raises ProcessError.
    """
    log_sizes = {program.name: _size(program) for program in programs}
    outcomes = [_start(settings, backend, status, connection) for status in backend.status(programs)]
    started = [each.status.program for each in outcomes if each.problem is None]
    came_up = {each.status.program.name: each for each in _wait_until_up(backend, started, connection, log_sizes)}
    return [came_up.get(each.status.program.name, each) for each in outcomes]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The result of a stop: of a program, or of a process that was started by hand; `program` is None for a crawl that
    is no program's."""

    title: str
    program: Program | None
    stopped: Stopped
    is_by_hand: bool = False

    @property
    def text(self) -> str:
        """The result as a line."""
        if self.stopped.pid is None:
            return f"{self.title} does not run"
        how = ", started by hand," if self.is_by_hand else ""
        end = "killed: it did not end in time" if self.stopped.was_killed else "stopped"
        left = self.stopped.leftovers
        rest = f"; {left} processes that it left were killed" if left else ""
        return f"{self.title}: PID {self.stopped.pid}{how} {end}{rest}"


def stop(
    settings: Settings, backend: Backend, programs: Sequence[Program], *, grace: float, all_of_them: bool = False
) -> list[Ended]:
    """Stop programs, all at once, and what does their work on this data folder and was started by hand; with
    `all_of_them` also other crawls of their spiders. Raises ProcessError when the others are stopped."""
    with ThreadPoolExecutor(max_workers=len(programs)) as pool:
        waiting = [pool.submit(backend.stop, program, grace=grace) for program in programs]
    stopped = [each.result() for each in waiting]
    found = by_hand.find(settings, programs, all_of_them=all_of_them)
    theirs = [
        Ended(title=each.title, program=each.program, stopped=end, is_by_hand=True)
        for each, end in zip(found, by_hand.end(found, grace=grace), strict=True)
    ]
    ended = list[Ended]()
    for program, end in zip(programs, stopped, strict=True):
        same = [each for each in theirs if each.program is program]
        if end.pid is not None or not same:
            ended.append(Ended(title=program.title, program=program, stopped=end))
        ended += same
    return ended + [each for each in theirs if each.program is None]


def _start(settings: Settings, backend: Backend, status: ProcessStatus, connection: Connection[Any] | None) -> Started:
    """Start a program unless it runs. If this process dies in here it runs, and the supervisor does not watch it."""
    program = status.program
    # A supervisor that is about to start it waits for the end of the transaction, and finds it running.
    with connection.transaction() if connection else nullcontext():
        if connection:
            runs.want(connection, [program], "running")
        pid, reason = None, None
        if program.spider is None and (hold := celery.held_by_hand(settings, status)):
            pid, reason = hold.pid, hold.text
        elif connection and status.state != "running":
            where = runs.elsewhere(connection, [program]).get(program.name)
            reason = f"it runs elsewhere, as {where}" if where else None
        if reason:
            return Started(status=status, pid=pid, problem=f"{program.title} was not started: {reason}")
        try:
            status = backend.start(program)
        except AlreadyRunning as error:
            return Started(status=status, pid=error.pid, problem=str(error), runs_already=error.pid is not None)
        except (ProcessError, OSError) as error:
            return Started(status=status, pid=status.pid, problem=str(error))
    return Started(status=status, pid=status.pid)


def _wait_until_up(
    backend: Backend, programs: Sequence[Program], connection: Connection[Any] | None, log_sizes: Mapping[str, int]
) -> list[Started]:
    """Wait until each is up, or has ended, or the time is over; return the results."""
    waiting, done = list(programs), list[Started]()
    began = time.monotonic()
    while waiting:
        found = backend.status(waiting)
        crawls = [status for status in found if status.program.spider]
        begun = runs.newest(connection, crawls) if connection and crawls else {}
        for status in found:
            program, is_crawl = status.program, status in crawls
            has_ended = is_crawl and status.state in ("finished", "stopped")
            lived = time.monotonic() - began
            if status.state != "running" and not has_ended:
                problem: str | None = _why(backend, status)
            elif has_ended or program.name in begun or (not is_crawl and _is_ready(program, log_sizes, lived)):
                problem = None
            elif lived > BEGIN_SECONDS:
                seconds = f"{BEGIN_SECONDS:.0f} s"
                problem = f"{program.title}: PID {status.pid}, but it has not begun after {seconds}: see {program.log}"
            else:
                continue
            done.append(Started(status=status, pid=status.pid, problem=problem))
            waiting.remove(program)
        if waiting:
            time.sleep(POLL_SECONDS)
    return done


def _why(backend: Backend, status: ProcessStatus) -> str:
    code = f"exit code {status.exit_code}" if status.exit_code is not None else "no exit code"
    return f"{status.program.title} ended at once ({code}): {backend.why(status)}"


def _is_ready(program: Program, log_sizes: Mapping[str, int], lived: float) -> bool:
    """Tell whether Celery has written that it is ready since the log had its size, which a rotation may have cut."""
    try:
        data = program.log.read_bytes()
    except OSError:
        data = b""
    size = log_sizes[program.name]
    text = data[size if size <= len(data) else 0 :].decode("utf-8", "replace")
    return lived > READY_SECONDS or any(each in text for each in READY)


def _size(program: Program) -> int:
    return program.log.stat().st_size if program.log.exists() else 0
