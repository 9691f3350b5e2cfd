"""The loop of a worker's unit: one crawl cycle after the other, in the foreground.

systemd gets READY after the first heartbeat of the crawl, and its watchdog is fed when that heartbeat has moved, not
because this process lives. A failed crawl ends the loop with its exit code: systemd restarts it, counts
and gives up. What is no fault of the worker is waited for: an open breaker, the day's requests used up, the same worker
elsewhere, a database that is unavailable.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import threading
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ops.workers import holds, runs
from ops.workers.supervision import DID_ITS_WORK
from vinops import systemd
from vinops.db import database
from vinops.db.errors import is_passing
from vinops.logs import pairs

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg import Connection

    from ops.workers.registry import Program
    from ops.workers.runs import CrawlRun
    from vinops.config import Settings

T = TypeVar("T")

POLL_SECONDS: Final = 5.0  # between two readings of the heartbeat, which beats every 3 s
WAIT_SECONDS: Final = 30.0  # between two questions whether the crawl may start


class _DatabaseAway(Exception):  # noqa: N818 # a state, not a fault
    """The database is unavailable."""


class WorkerLoop:
    """Starts the crawl of a worker, again and again, and watches its heartbeat.

    Killed at any line it leaves at most a crawl, which systemd ends with the unit; what that had in hand is free again
    when its lease runs out.
    """

    def __init__(self, settings: Settings, program: Program) -> None:
        """Run this program."""
        self._settings = settings
        self._program = program
        self._log = logging.getLogger("worker_loop")
        self._connection: Connection[Any] | None = None
        self._crawl: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._is_ready = False
        self._away = ""
        # A third of the watchdog's limit: two signs may be lost.
        self._poll = min(POLL_SECONDS, (systemd.watchdog_seconds() or POLL_SECONDS * 3) / 3)

    def stop(self) -> None:
        """Ask the crawl to end in order, after which `run` returns. Called from a signal handler."""
        self._stopping.set()
        if self._crawl is not None and self._crawl.poll() is None:
            self._crawl.send_signal(signal.SIGTERM)

    def run(self, *, once: bool = False) -> int:
        """Run cycle after cycle until one fails or the loop is asked to stop, and return the exit code."""
        cycle = 0
        while not self._stopping.is_set():
            self._wait_until_free()
            if self._stopping.is_set():
                break
            cycle += 1
            code, reason = self._run_crawl(cycle)
            if self._stopping.is_set():
                # A crawl that got SIGTERM before it had a handler died of it.
                return 0 if code in (0, -signal.SIGTERM) else _exit_code(code)
            if code and reason in DID_ITS_WORK and not once:
                # The crawl has raised an alert; the work failed, not the worker.
                self._log.warning("most of the crawl failed %s", pairs(cycle=cycle, exit_code=code))
            elif code and self._is_there():
                self._log.error("the crawl failed %s", pairs(cycle=cycle, exit_code=code))
                systemd.says(f"cycle {cycle} failed with exit code {code}")
                return _exit_code(code)
            elif code:
                self._log.warning("the crawl failed because the database is unavailable %s", pairs(cycle=cycle))
            elif once:
                return 0
            self._ready()
            self._pause(self._settings.cycle_pause, f"cycle {cycle} is done, the next one begins in a moment")
        self._log.info("the loop ends")
        return 0

    def _run_crawl(self, cycle: int) -> tuple[int, str | None]:
        """Run one crawl to its end and return its exit code, and why it ended if that is known."""
        started_at = datetime.now(UTC)
        crawl = self._crawl = subprocess.Popen(self._program.command, stdin=subprocess.DEVNULL)
        if self._stopping.is_set():  # SIGTERM came between the question and the start
            self.stop()
        self._log.info("a crawl begins %s", pairs(cycle=cycle, pid=crawl.pid))
        last: datetime | None = None
        while True:
            try:
                code = crawl.wait(self._poll)
            except subprocess.TimeoutExpired:
                if self._stopping.is_set():
                    systemd.stopping("the crawl finishes its page and releases its leases")
                    continue
                beat, status = self._heartbeat(crawl.pid, started_at)
                if beat is not None and beat != last:
                    last = beat
                    self._ready()
                    systemd.alive(f"cycle {cycle}: {status}")
                continue
            self._log.info("a crawl has ended %s", pairs(cycle=cycle, pid=crawl.pid, exit_code=code))
            run = None
            with suppress(_DatabaseAway):
                run = self._run_of(crawl.pid, started_at) if code else None
            return code, run.reason if run else None

    def _heartbeat(self, pid: int, started_at: datetime) -> tuple[datetime | None, str]:
        """Return the time of the crawl's last heartbeat and how far it is; None if it has not begun.

        While the database is unavailable no crawl can record one: the current time counts as a heartbeat instead.
        """
        try:
            run = self._run_of(pid, started_at)
        except _DatabaseAway:
            return datetime.now(UTC), "the database is unavailable"
        if run is None:
            return None, "it begins"
        return run.heartbeat_at, f"{run.done} of {run.total or '?'} {run.unit}s, {run.items} items"

    def _run_of(self, pid: int, started_at: datetime) -> CrawlRun | None:
        """Return the run of a crawl, None if it has not begun. Raises _DatabaseAway."""
        return next(iter(self._ask(lambda connection: runs.of_processes(connection, {pid: started_at}))), None)

    def _wait_until_free(self) -> None:
        """Wait until nothing keeps a crawl from starting, or the loop is asked to stop."""
        logged = ""
        while not self._stopping.is_set():
            why = self._obstacle()
            if why is None:
                return
            if why != logged:
                self._log.info("waiting: %s", why)
                logged = why
            self._ready()  # one that waits on purpose is up
            self._pause(WAIT_SECONDS, f"waiting: {why}")

    def _obstacle(self) -> str | None:
        """Return what keeps a crawl from starting, None if nothing does."""
        try:
            hold = self._ask(lambda connection: holds.hold_of(connection, self._settings, self._program))
        except _DatabaseAway:
            return "the database is unavailable"
        return hold.text if hold else None

    def _pause(self, seconds: float, status: str) -> None:
        """Wait, and keep feeding the watchdog."""
        left = seconds
        while left > 0 and not self._stopping.is_set():
            systemd.alive(status)
            self._stopping.wait(min(left, self._poll))
            left -= self._poll

    def _ready(self) -> None:
        if not self._is_ready:
            self._is_ready = True
            systemd.ready()

    def _is_there(self) -> bool:
        """Tell whether the database answers."""
        for _ in range(2):  # the first connection may be one that broke
            with suppress(_DatabaseAway):
                return self._ask(lambda connection: connection.execute("select 1").fetchone()) is not None
        return False

    def _ask(self, question: Callable[[Connection[Any]], T]) -> T:
        """Return the result of a query. Raises _DatabaseAway."""
        import psycopg  # as vinops.db.database has it: the command line does not pay for it

        connection = self._open()
        try:
            return question(connection)
        except psycopg.Error as error:
            if not is_passing(error):
                raise
            raise _DatabaseAway from None

    def _open(self) -> Connection[Any]:
        """Return a connection that is not known to be broken. Raises _DatabaseAway."""
        if self._connection is not None and database.is_alive(self._connection):
            return self._connection
        if not self._is_ready:
            systemd.more_time(2 * database.READY_SECONDS + database.CONNECT_SECONDS)
        try:
            self._connection = database.connect(self._settings, application="vinops workers run", autocommit=True)
        except database.DatabaseError as error:
            why = " ".join(str(error).split())
            if why != self._away:
                self._log.warning("%s", why)
            self._connection, self._away = None, why
            raise _DatabaseAway from None
        self._away = ""
        return self._connection


def _exit_code(code: int) -> int:
    """Return the exit code as a shell reports it: 128 plus the signal if a signal ended the process."""
    return 128 - code if code < 0 else code
