"""`vinops workers run N`: one crawl cycle after the other, in the foreground, as a unit of systemd runs it.

systemd is told what is true: READY after the first heartbeat of the crawl, and the watchdog is fed when that heartbeat
has moved, not because this process is there. A failed crawl ends the loop with its exit code: systemd restarts, counts
and gives up. What is no fault of the worker is waited for instead: an open breaker, the day's requests used up, the
same worker at work elsewhere, a database that is away.
"""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ops.workers import registry as workers
from ops.workers.supervision import DONE_ALL_THE_SAME
from vinops import config, logs, systemd as notify_socket
from vinops.db import database
from vinops.db.database import queries
from vinops.db.errors import is_passing
from vinops.logs import pairs

if TYPE_CHECKING:
    from psycopg import Connection

    from vinops.config import Settings

LOOK_SECONDS: Final = 5.0  # a crawl's heart beats every 3 s
WAIT_SECONDS: Final = 30.0  # between two looks at what keeps a crawl from starting


def run(
    name: Annotated[str, typer.Argument(metavar="N", help="1 to 4.", show_default=False)],
    *,
    once: Annotated[bool, typer.Option("--once", help="One cycle, then exit.")] = False,
) -> None:
    """Run a worker in the foreground: one cycle after the other, as its unit does. SIGTERM ends it in order."""
    settings = config.load()
    if name not in workers.names(settings):
        raise typer.BadParameter(f"{name} is none of {', '.join(workers.names(settings))}")
    logs.configure(workers.log_of(settings, name).stem, settings, console=True)
    loop = WorkerLoop(settings, name)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.stop())
    raise typer.Exit(loop.run(once=once))


class WorkerLoop:
    """Starts the crawl of a worker, again and again, and watches its heartbeat.

    Killed at any line it leaves at most a crawl, which systemd ends with the unit; what that had in hand is free again
    when its lease is over.
    """

    def __init__(self, settings: Settings, name: str) -> None:
        """`name` is the worker: 1 to 4, or photos."""
        self._settings = settings
        self._name = name
        self._log = logging.getLogger("worker_loop")
        self._about = {"machine": socket.gethostname()}
        self._connection: Connection[Any] | None = None
        self._crawl: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._is_ready = False
        self._away = ""
        # A third of what systemd waits: two signs may be lost.
        self._look = min(LOOK_SECONDS, (notify_socket.watchdog_seconds() or LOOK_SECONDS * 3) / 3)

    def stop(self) -> None:
        """Have the crawl end in order, and `run` return then. Called from a signal handler."""
        self._stopping.set()
        if self._crawl is not None and self._crawl.poll() is None:
            self._crawl.send_signal(signal.SIGTERM)

    def run(self, *, once: bool = False) -> int:
        """Run cycle after cycle until one fails or the loop is told to stop, and return the exit code."""
        cycle = 0
        while not self._stopping.is_set():
            self._wait_until_free()
            if self._stopping.is_set():
                break
            cycle += 1
            code, reason = self._run_crawl(cycle)
            if self._stopping.is_set():
                # A crawl that was told to end before it listened died of the signal itself.
                return 0 if code in (0, -signal.SIGTERM) else _exit_code(code)
            if code and reason in DONE_ALL_THE_SAME and not once:
                # The crawl has told the owner; it is the work that failed, not the worker.
                self._log.warning("most of the crawl failed %s", pairs(cycle=cycle, exit_code=code))
            elif code and self._is_there():
                self._log.error("the crawl failed %s", pairs(cycle=cycle, exit_code=code))
                notify_socket.says(f"cycle {cycle} failed with exit code {code}")
                return _exit_code(code)
            elif code:
                self._log.warning("the crawl failed because the database is away %s", pairs(cycle=cycle))
            elif once:
                return 0
            self._ready()
            self._pause(self._settings.cycle_pause, f"cycle {cycle} is done, the next one begins in a moment")
        self._log.info("the loop ends")
        return 0

    def _run_crawl(self, cycle: int) -> tuple[int, str | None]:
        """Run one crawl to its end and return its exit code, and why it ended if that is known."""
        program = workers.worker_program(self._settings, self._name)
        started_at = datetime.now(UTC)
        crawl = self._crawl = subprocess.Popen(program.command, stdin=subprocess.DEVNULL)
        if self._stopping.is_set():  # told between the look at it and the start
            self.stop()
        self._log.info("a crawl begins %s", pairs(cycle=cycle, pid=crawl.pid))
        last: datetime | None = None
        while True:
            try:
                code = crawl.wait(self._look)
                self._log.info("a crawl has ended %s", pairs(cycle=cycle, pid=crawl.pid, exit_code=code))
                row = self._run_of(crawl.pid, started_at) if code else None
                return code, row[-1] if row else None
            except subprocess.TimeoutExpired:
                pass
            if self._stopping.is_set():
                notify_socket.stopping("the crawl ends its page and gives back what it has")
                continue
            beat, status = self._heartbeat(crawl.pid, started_at)
            if beat is not None and beat != last:
                last = beat
                self._ready()
                notify_socket.alive(f"cycle {cycle}: {status}")

    def _heartbeat(self, pid: int, started_at: datetime) -> tuple[datetime | None, str]:
        """Return when the crawl's heart beat last, and how far it is; None if it has not begun.

        While the database is away no heart can beat, and that is no fault of the crawl: now counts as a beat.
        """
        row = self._run_of(pid, started_at)
        if row is None:
            return datetime.now(UTC), "the database is away"
        if not row:
            return None, "it begins"
        beat, unit, done, total, items, _ = row
        return beat, f"{done} of {total or '?'} {unit}s, {items} items"

    def _run_of(self, pid: int, started_at: datetime) -> tuple[Any, ...] | None:
        """Return the run of a crawl, empty if it has not begun; None if the database is away."""
        import psycopg  # as vinops.db.database has it: the command line does not pay for it

        connection = self._open()
        if connection is None:
            return None
        about = {**self._about, "pids": [pid], "started_at": started_at}
        try:
            return connection.execute(queries("worker_loop")["run_of_crawl"], about).fetchone() or ()
        except psycopg.Error as error:
            if not is_passing(error):
                raise
            return None

    def _wait_until_free(self) -> None:
        """Wait until nothing keeps a crawl from starting, or the loop is told to stop."""
        told = ""
        while not self._stopping.is_set():
            why = self._obstacle()
            if why is None:
                return
            if why != told:
                self._log.info("waiting: %s", why)
                told = why
            # It waits on purpose, and says so: that is being up.
            self._ready()
            self._pause(WAIT_SECONDS, f"waiting: {why}")

    def _obstacle(self) -> str | None:
        """Return what keeps a crawl from starting, None if nothing does."""
        import psycopg

        connection = self._open()
        try:
            if connection is None:
                return "the database is away"
            if where := workers.elsewhere(connection, [self._name]).get(self._name):
                return f"this worker runs already, as {where}"
            hosts = sorted(workers.hosts_of_worker(self._settings, self._name))
            row = connection.execute(
                queries("workers")["holds"], {"hosts": hosts, "daily": self._settings.daily_requests}
            ).fetchone()
        except psycopg.Error as error:
            if not is_passing(error):
                raise
            return "the database is away"
        return f"{row[0]} {_HOLDS[row[1]]} until {row[2]:%Y-%m-%dT%H:%M:%SZ}" if row else None

    def _pause(self, seconds: float, status: str) -> None:
        """Wait, and tell systemd meanwhile that this is meant."""
        left = seconds
        while left > 0 and not self._stopping.is_set():
            notify_socket.alive(status)
            self._stopping.wait(min(left, self._look))
            left -= self._look

    def _ready(self) -> None:
        if not self._is_ready:
            self._is_ready = True
            notify_socket.ready()

    def _is_there(self) -> bool:
        """Tell whether the database answers now."""
        import psycopg

        connection = self._open()
        try:
            return connection is not None and connection.execute("select 1").fetchone() is not None
        except psycopg.Error as error:
            if not is_passing(error):
                raise
            return self._open() is not None

    def _open(self) -> Connection[Any] | None:
        """Return a connection that works as far as is known; None if the database is away."""
        if self._connection is not None and not self._connection.closed and not self._connection.broken:
            return self._connection
        if not self._is_ready:
            notify_socket.more_time(2 * database.READY_SECONDS + database.CONNECT_SECONDS)
        try:
            self._connection = database.connect(self._settings, application="vinops workers run", autocommit=True)
        except database.DatabaseError as error:
            why = " ".join(str(error).split())
            if why != self._away:
                self._log.warning("%s", why)
            self._connection, self._away = None, why
        else:
            self._away = ""
        return self._connection


_HOLDS: Final = {
    "breaker": "refuses, and its breaker is open",
    "postponed": "asked to be left alone",
    "daily_cap": "has had all requests of the day",
}


def _exit_code(code: int) -> int:
    """Return what a shell would exit with: 128 and the signal for a process that one ended."""
    return 128 - code if code < 0 else code
