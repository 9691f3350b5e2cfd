"""`vinops supervise`: looks at the workers, restarts what died, and tells the owner what it cannot mend.

The rules are in supervision.py. What has to outlive the supervisor is in the database: who is to run, restarts, what
the owner was told, how far logs were read (`ops.workers`, `ops.worker_restarts`).
"""

from __future__ import annotations

import json
import logging
import signal
import socket
import sys
import threading
import time
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ops.workers import backends, log_watch, registry as workers, supervision
from ops.workers.celery_backend import BEAT, NAMES, CeleryBackend
from ops.workers.log_watch import Position
from ops.workers.processes import AlreadyRunning, Held, ProcessError, Processes
from ops.workers.supervision import Decision, Hold, Limits, Seen
from vinops import alerts, config, logs, systemd as notify_socket
from vinops.db import database
from vinops.db.database import queries
from vinops.db.errors import is_passing
from vinops.logs import pairs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg import Connection

    from ops.workers.backends import Backend
    from ops.workers.registry import Run, WorkerStatus
    from vinops.config import Settings

log = logging.getLogger("supervisor")

# What refuses a crawl is nothing to Celery: Telegram's 429 is waited for.
CELERYS_PATTERNS: Final = {"worker_tracebacks": supervision.PATTERNS["worker_tracebacks"]}
LOCK: Final = "supervisor"
HOLDS: Final = {
    "breaker": "{host} refuses, the breaker is open until {until}",
    "postponed": "{host} asked to be left alone until {until}",
    "daily_cap": "the requests of the day to {host} are used up, until {until}",
}


def supervise(
    *,
    once: Annotated[bool, typer.Option("--once", help="Look once and exit, as for cron.")] = False,
    every: Annotated[
        float | None, typer.Option(min=0.05, help="Seconds between two looks; default: VINOPS_SUPERVISE_EVERY.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="With --once: print JSON.")] = False,
) -> None:
    """Watch over the workers and Celery: restart what died or hangs, begin the next cycle, raise alerts. One on each
    machine."""
    settings = config.load()
    logs.configure("supervisor", settings, console=not once or sys.stderr.isatty())
    folder = workers.run_folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with (
            Held(folder / f"{LOCK}.lock", wait=False),
            closing(Supervisor(settings, backends.backend(settings), CeleryBackend(settings))) as supervisor,
        ):
            if once:
                _print(supervisor.once(), as_json=as_json)
            else:
                for number in (signal.SIGTERM, signal.SIGINT):
                    signal.signal(number, lambda *_: supervisor.stop())
                supervisor.run(every or settings.supervise_every)
    except BlockingIOError:
        typer.echo(f"vinops: a supervisor runs already: PID {pid(settings) or 'unknown'}", err=True)
        raise typer.Exit(1) from None


def pid(settings: Settings) -> int | None:
    """Return the process of the supervisor of this data folder; None if there is none, or it may not be seen."""
    held = Processes(workers.run_folder(settings)).holders(LOCK)
    return held[0] if held else None


def _print(decisions: Sequence[Decision], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in decisions]))
    for each in [] if as_json else decisions:
        typer.echo(f"worker {each.name}: {each.deed}: {each.text}")


class Supervisor:
    """Looks, decides, acts. Killed at any line it leaves workers running, and the next one knows what it knew."""

    def __init__(self, settings: Settings, backend: Backend, celery: CeleryBackend | None = None) -> None:
        """`backend` is what starts and stops the workers of this machine, `celery` Celery's processes."""
        self._settings = settings
        self._backend = backend
        self._celery = celery
        self._machine = socket.gethostname()
        self._limits = Limits(
            silence=settings.worker_silence,
            cooldown=settings.restart_cooldown,
            restarts=settings.restart_limit,
            cycle_pause=settings.cycle_pause,
        )
        self._queries = queries("workers")
        self._connection: Connection[Any] | None = None
        self._is_blind = False
        self._sees_since: float | None = None
        self._ending: dict[str, threading.Thread] = {}
        self._stopping = threading.Event()
        self._awake = threading.Event()
        self._reported = -float("inf")

    def stop(self) -> None:
        """Have `run` return soon. Workers go on."""
        self._stopping.set()
        self._awake.set()

    def close(self) -> None:
        """Let the database go, until the next look."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def run(self, every: float) -> None:
        """Look every so many seconds, until told to stop. A database that is away is waited for."""
        # systemd is told at each look; a third of what it waits: two may be lost.
        every = min(every, (notify_socket.watchdog_seconds() or 3 * every) / 3)
        log.info("supervising %s", pairs(backend=self._backend.name, every=f"{every:g}s"))
        while not self._stopping.is_set():
            decisions = self.look()
            notify_socket.ready()
            notify_socket.alive(_standing(decisions))
            self._awake.wait(every)
            if not self._stopping.is_set():
                self._awake.clear()
        notify_socket.stopping()
        log.info("supervisor ends: workers go on")

    def once(self) -> list[Decision]:
        """Look, wait for what is being ended, and look again if something was. Raises DatabaseError."""
        decisions = self._look()
        if self._ending:
            for thread in list(self._ending.values()):
                thread.join()
            decisions = [*(each for each in decisions if each.deed == "terminate"), *self._look()]
        return decisions

    def look(self) -> list[Decision] | None:
        """Look once; None if the database is away, without which nothing is known."""
        import psycopg  # as vinops.db.database has it: the command line does not pay for it

        try:
            decisions = self._look()
            if time.monotonic() - self._reported >= self._settings.supervise_report:
                self._report(decisions)
        except (psycopg.Error, database.DatabaseError) as error:
            if not is_passing(error):
                raise
            if not self._is_blind:
                log.warning("the database is away, nothing is restarted meanwhile: %s", " ".join(str(error).split()))
            self._is_blind = True
            self.close()
            return None
        except (ProcessError, OSError, config.ConfigError) as error:
            log.warning("a look came to nothing: %s", error)
            return None
        return decisions

    def _look(self) -> list[Decision]:
        connection = self._connected()
        seen, positions, memories = self._see(connection)
        decisions = []
        after: dict[str, supervision.Memory] = {}
        for each in seen:
            owns_restarts = not self._backend_of(each.name).owns_restarts
            decision = supervision.decide(each, self._limits, owns_restarts=owns_restarts)
            if each.name in self._ending:
                decision = Decision(name=each.name, deed="wait", text="it is being ended", trouble="hung")
            decisions.append(decision)
            self._act(connection, each, decision)
            after[each.name] = supervision.remember(
                memories.get(each.name, {}),
                supervision.shows(each, decision),
                each,
                now=time.time(),
                quiet=self._limits.cooldown,
            )
        self._tell(connection, memories, after, {each.name: each for each in seen}, decisions)
        self._keep(connection, positions, after, memories)
        return decisions

    def _connected(self) -> Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = database.connect(self._settings, application="vinops supervise", autocommit=True)
            if self._is_blind:
                log.info("the database is back")
                self._is_blind, self._sees_since = False, time.monotonic()
        return self._connection

    def _see(
        self, connection: Connection[Any]
    ) -> tuple[list[Seen], dict[str, Position], dict[str, supervision.Memory]]:
        """Return the workers, how far their logs are read now, and what the owner knows of them."""
        found, celery = self._backend.status(), self._celery.status() if self._celery else []
        for backend, statuses in ((self._backend, found), (self._celery, celery)):
            if backend is None or not backend.owns_restarts:
                continue
            # Units are started with the machine, or by `systemctl`: what runs there is meant to.
            running = [each for each in statuses if each.state == "running" and each.started_at]
            connection.execute(
                self._queries["adopt"],
                {
                    "machine": self._machine,
                    "workers": [each.name for each in running],
                    "times": [each.started_at for each in running],
                },
            )
        about = {"machine": self._machine, "seconds": self._settings.restart_window}
        known = {row[0]: row[1:] for row in connection.execute(self._queries["remembered"], about).fetchall()}
        going = workers.runs(connection, found)
        elsewhere = workers.elsewhere(
            connection, [each.name for each in found if each.state != "running" and each.name in known]
        )
        silences, holds = self._see_celery(connection, [each for each in celery if each.name in known])
        seen, positions, memories = [], {}, {}
        for status in (*found, *celery):
            desired, gave_up_at, log_file, log_offset, troubles, restarts = known.get(
                status.name, (None, None, None, None, {}, [])
            )
            lines, positions[status.name] = log_watch.new_lines(status.log, Position(file=log_file, offset=log_offset))
            memories[status.name] = dict(troubles)
            run = going.get(status.name)
            seen.append(
                Seen(
                    name=status.name,
                    title=status.title,
                    state=status.state,
                    desired=desired,
                    pid=status.pid,
                    gave_up=gave_up_at is not None,
                    up=_ago(status.started_at),
                    over=_ago(status.ended_at),
                    silent=silences.get(status.name, self._silence(run)),
                    exit_code=status.exit_code,
                    reason=run.reason if run else None,
                    restarts=restarts,
                    hold=holds.get(status.name) if status in celery else self._hold(connection, status, elsewhere),
                    errors=log_watch.count(lines, CELERYS_PATTERNS if status in celery else supervision.PATTERNS),
                )
            )
        return seen, positions, memories

    def _see_celery(
        self, connection: Connection[Any], found: Sequence[WorkerStatus]
    ) -> tuple[dict[str, float], dict[str, Hold]]:
        """Return for how long each of Celery's processes has done nothing though it could, and what holds it up.

        The broker is asked of those that are ended or have done nothing for too long, and of no others.
        """
        if self._celery is None or not found:
            return {}, {}
        row = connection.execute(self._queries["task_progress"], {"machine": self._machine}).fetchone()
        here, anywhere = row or (None, None)
        sees_for = None if self._sees_since is None else time.monotonic() - self._sees_since
        ups = {
            each.name: min(_ago(each.started_at) or 0.0, float("inf") if sees_for is None else sees_for)
            for each in found
            if each.state == "running"
        }
        suspects = [each for each in found if each.state != "running" or self._is_long(ups[each.name], here)]
        if not suspects:
            return dict.fromkeys(ups, 0.0), {}
        broker = self._celery.broker()
        silences = {
            name: supervision.silence_of_celery(
                is_beat=name == BEAT, up=up, here=here, anywhere=anywhere, waiting=broker.waiting, is_rung=BEAT in ups
            )
            for name, up in ups.items()
        }
        holds = {name: Hold(reason="elsewhere", text=f"PID {pid} runs") for name, (pid, *_) in self._by_hand().items()}
        if broker.trouble is not None:
            text = f"the broker takes no messages: {broker.trouble}"
            holds = {each.name: Hold(reason="broker", text=text) for each in suspects} | holds
        return silences, holds

    def _is_long(self, up: float, done: float | None) -> bool:
        return min(up, float("inf") if done is None else done) > self._limits.silence

    def _by_hand(self) -> dict[str, tuple[int, ...]]:
        return self._celery.by_hand() if self._celery else {}

    def _backend_of(self, name: str) -> Backend:
        return self._celery if self._celery and name in NAMES else self._backend

    def _silence(self, run: Run | None) -> float | None:
        """Return how long a run has not been heard of. While the database was away nobody could be heard."""
        if run is None:
            return None
        if self._sees_since is None:
            return run.seconds_silent
        return min(run.seconds_silent, time.monotonic() - self._sees_since)

    def _hold(self, connection: Connection[Any], status: WorkerStatus, elsewhere: Mapping[str, str]) -> Hold | None:
        """Return what keeps a worker that does not run from being started."""
        if status.state == "running":
            return None
        if where := elsewhere.get(status.name):
            return Hold(reason="elsewhere", text=f"it runs as {where}")
        row = connection.execute(
            self._queries["holds"],
            {
                "hosts": sorted(workers.hosts_of_worker(self._settings, status.name)),
                "daily": self._settings.daily_requests,
            },
        ).fetchone()
        if row is None:
            return None
        host, reason, until = row
        return Hold(reason=reason, text=HOLDS[reason].format(host=host, until=f"{until:%Y-%m-%dT%H:%M:%SZ}"))

    def _act(self, connection: Connection[Any], seen: Seen, decision: Decision) -> None:
        if decision.deed == "terminate":
            log.warning("worker hangs %s: it is ended and started again", pairs(worker=seen.name, pid=seen.pid))
            thread = threading.Thread(target=self._end, args=(seen.name,), daemon=True)
            self._ending[seen.name] = thread
            thread.start()
        elif decision.deed == "give_up":
            log.error("worker is given up %s", pairs(worker=seen.name, restarts=len(seen.restarts), why=decision.text))
            connection.execute(self._queries["give_up"], {"machine": self._machine, "worker": seen.name})
        elif decision.deed in ("start", "restart"):
            self._start(connection, seen, decision)

    def _start(self, connection: Connection[Any], seen: Seen, decision: Decision) -> None:
        """Start a worker unless an operator stopped it meanwhile; a restart is counted before.

        If this process dies between the two, a restart counts that never was, and the next one waits for the cooldown:
        the other way round a start that kills its supervisor would go on for ever.
        """
        about = {"machine": self._machine, "worker": seen.name}
        if decision.deed == "restart":
            connection.execute(
                self._queries["note_restart"], {**about, "reason": decision.trouble, "detail": decision.text}
            )
        status: WorkerStatus | None = None
        with connection.transaction():
            row = connection.execute(self._queries["is_wanted"], about).fetchone()
            if row is None or not row[0]:
                return
            try:
                status = self._backend_of(seen.name).start(seen.name)
            except AlreadyRunning as error:
                log.info("worker was not started %s", pairs(worker=seen.name, why=error))
            except (ProcessError, OSError) as error:
                log.error("worker cannot be started %s", pairs(worker=seen.name, why=error))
        if status is None:
            return
        if decision.deed == "restart":
            number = len(seen.restarts) + 1
            log.warning(
                "worker restarted %s",
                pairs(
                    worker=seen.name,
                    reason=decision.trouble,
                    pid=status.pid,
                    restarts=f"{number} of {self._limits.restarts}",
                    why=decision.text,
                ),
            )
        else:
            log.info("worker begins its next cycle %s", pairs(worker=seen.name, pid=status.pid))

    def _end(self, name: str) -> None:
        """End a worker that hangs, in a thread of its own: it may take the whole grace time."""
        try:
            stopped = self._backend_of(name).stop(name, grace=self._settings.stop_grace)
            log.info("worker ended %s", pairs(worker=name, pid=stopped.pid, killed=stopped.was_killed))
        except (ProcessError, OSError) as error:
            log.error("worker cannot be ended %s", pairs(worker=name, why=error))
        finally:
            self._ending.pop(name, None)
            self._awake.set()

    def _tell(
        self,
        connection: Connection[Any],
        before: Mapping[str, supervision.Memory],
        after: Mapping[str, supervision.Memory],
        seen: Mapping[str, Seen],
        decisions: Sequence[Decision],
    ) -> None:
        """Tell the owner what is new, one message for all workers with the same trouble."""
        why = {each.name: each.text for each in decisions}
        for each in supervision.news(before, after):
            titles = "; ".join(
                seen[name].title if each.is_over else f"{seen[name].title}: {self._detail(each.kind, seen[name], why)}"
                for name in each.names
            )
            alerts.clear_alert(connection, each.kind, self._machine)
            if each.is_over:
                message = f"it has passed: {each.kind} ({titles})"
                log.info("recovered %s", pairs(kind=each.kind, workers=",".join(each.names)))
                connection.execute(
                    self._queries["tell_recovery"], {"subject": f"{self._machine} {each.kind}", "message": message}
                )
            else:
                message = f"{supervision.MEANINGS[each.kind]}: {titles}"
                alerts.raise_alert(connection, self._settings, each.kind, self._machine, message)
        alerts.deliver(connection, self._settings)
        is_delivered = bool(self._settings.telegram_bot_token and self._settings.telegram_alert_chat_id)
        connection.execute(self._queries["settle_recoveries"], {"is_delivered": is_delivered})

    def _detail(self, kind: str, seen: Seen, why: Mapping[str, str]) -> str:
        count = seen.errors.get(kind, 0)
        return f"{count} lines" if count else why[seen.name]

    def _keep(
        self,
        connection: Connection[Any],
        positions: Mapping[str, Position],
        after: Mapping[str, supervision.Memory],
        before: Mapping[str, supervision.Memory],
    ) -> None:
        """Remember what was read and told. If the process dies before this the owner may be told once more."""
        from psycopg.types.json import Jsonb

        for name, position in positions.items():
            about = {"machine": self._machine, "worker": name}
            with connection.transaction():
                connection.execute(
                    self._queries["remember_log"],
                    {**about, "log_file": position.file, "log_offset": position.offset},
                )
                if after[name] != before[name]:
                    connection.execute(self._queries["remember_troubles"], {**about, "troubles": Jsonb(after[name])})

    def _report(self, decisions: Sequence[Decision]) -> None:
        """Write how all workers are, and forget restarts of long ago."""
        self._reported = time.monotonic()
        connection = self._connected()
        connection.execute(self._queries["forget_restarts"])
        found = self._backend.status()
        going = workers.runs(connection, found)
        found += self._celery.status() if self._celery else []
        why = {each.name: each.text for each in decisions}
        for each in found:
            run = going.get(each.name) if each.pid else None
            more = (
                {"page": run.current_item or "", "items": run.items, "per_minute": f"{run.items_per_minute or 0:.0f}"}
                if run
                else {}
            )
            log.info("report %s", pairs(worker=each.name, state=each.state, why=why.get(each.name, ""), **more))


def _ago(moment: datetime | None) -> float | None:
    return (datetime.now(UTC) - moment).total_seconds() if moment else None


def _standing(decisions: Sequence[Decision] | None) -> str:
    """Return how the workers are, for `systemctl status`."""
    if decisions is None:
        return "nothing is known: the database is away, or the log says why"
    return "; ".join(f"{each.name}: {each.text}" for each in decisions)
