"""The supervisor: restarts what died or hangs, begins the next cycle of a crawl, and alerts the owner.

The rules are in supervision.py, the alerts in troubles.py. What has to outlive the supervisor is in the database:
which programs are wanted, restarts, alerts that were sent, how far logs were read (`ops.workers`,
`ops.worker_restarts`).
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from ops.workers import backends, celery, holds, log_watch, registry, runs, supervision, troubles
from ops.workers.log_watch import Position
from ops.workers.processes import AlreadyRunning, ProcessError, Processes
from ops.workers.supervision import Decision, Limits, Seen
from vinops import alerts, config, systemd
from vinops.db import database
from vinops.db.database import queries
from vinops.db.errors import explain, is_passing
from vinops.logs import pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from psycopg import Connection

    from ops.workers.backends import Backend
    from ops.workers.processes import ProcessStatus, Stopped
    from ops.workers.registry import Program
    from ops.workers.runs import CrawlRun
    from vinops.config import Settings

log = logging.getLogger("supervisor")

LOCK: Final = registry.SUPERVISOR
WATCH_SECONDS: Final = 60.0
STOP_SECONDS: Final = 30.0  # a pass takes a few; programs that it is stopping still end


def pid(settings: Settings) -> int | None:
    """Return the process of the supervisor of this data folder; None if there is none, or it cannot be seen."""
    held = Processes(registry.run_folder(settings)).holders(LOCK)
    return held[0] if held else None


def stop_running(settings: Settings) -> Stopped:
    """Stop the supervisor of this data folder: its unit, or the process that is one. Raises ProcessError."""
    return backends.stop_only(settings, registry.supervisor(settings), lambda: pid(settings), grace=STOP_SECONDS)


class Supervisor:
    """Watches the programs of this machine. If it is killed, they keep running and the next one takes over."""

    def __init__(
        self,
        settings: Settings,
        workers: Backend,
        celery_backend: Backend | None = None,
        *,
        watch: Callable[[Connection[Any]], None] | None = None,
    ) -> None:
        """Watch the crawls through one backend, and Celery through another, if one is given.

        `watch` raises the alerts of parts that cannot raise their own; it is called every WATCH_SECONDS with the
        connection.
        """
        self._settings = settings
        self._workers = workers
        self._celery = celery_backend
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
        self._reported = self._watched = -float("inf")
        self._watch = watch
        self._blind_since: float | None = None
        self._told_blind = False

    def stop(self) -> None:
        """Make `run` return soon. The programs continue."""
        self._stopping.set()
        self._awake.set()

    def close(self) -> None:
        """Close the connection, until the next pass."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def run(self, every: float) -> None:
        """Make a pass at each interval until asked to stop. While the database is unavailable, wait for it."""
        # Each pass feeds the watchdog. A third of its limit: two may be lost.
        every = min(every, (systemd.watchdog_seconds() or 3 * every) / 3)
        log.info("supervising %s", pairs(backend=self._workers.name, every=f"{every:g}s"))
        while not self._stopping.is_set():
            decisions = self.check()
            systemd.ready()
            systemd.alive(_summary(decisions))
            self._awake.wait(every)
            if not self._stopping.is_set():
                self._awake.clear()
        systemd.stopping()
        self._record("want_stopped")
        log.info("supervisor ends: workers go on")

    def once(self) -> list[Decision]:
        """Make a pass, wait for programs being stopped, and if there were any, make another. Raises DatabaseError."""
        decisions = self._pass()
        if self._ending:
            for thread in list(self._ending.values()):
                thread.join()
            decisions = [*(each for each in decisions if each.action == "terminate"), *self._pass()]
        return decisions

    def check(self) -> list[Decision] | None:
        """Make a pass; None if the database is unavailable, without which nothing is known."""
        import psycopg  # as vinops.db.database has it: the command line does not pay for it

        try:
            decisions = self._pass()
            if time.monotonic() - self._reported >= self._settings.supervise_report:
                self._report(decisions)
            if self._watch and time.monotonic() - self._watched >= WATCH_SECONDS:
                self._watched = time.monotonic()
                self._watch(self._connected())
        except (psycopg.Error, database.DatabaseError) as error:
            if not is_passing(error):
                raise
            if not self._is_blind:
                log.warning(
                    "the database is unavailable, nothing is restarted meanwhile: %s", explain(error, self._settings)
                )
            self._is_blind = True
            self.close()
            self._tell_blind(error)
            return None
        except (ProcessError, OSError, config.ConfigError) as error:
            log.warning("supervision pass failed: %s", error)
            return None
        return decisions

    def _tell_blind(self, error: Exception) -> None:
        """Alert the owner, once and without the database, that it is unavailable for longer than a restart takes."""
        now = time.monotonic()
        self._blind_since = self._blind_since or now
        chat = self._settings.telegram_alert_chat_id
        if self._told_blind or now - self._blind_since < self._limits.cooldown:
            return
        self._told_blind = True
        text = f"nothing is restarted, and no alert can be recorded, while it is: {explain(error, self._settings)}"
        log.error("alert database_away %s: %s", self._machine, text)
        if chat is not None and self._settings.telegram_bot_token is not None:
            alerts.tell(self._settings, chat, "database_away", self._machine, text)

    def _record(self, query: str) -> None:
        """Record that the supervisor of this machine is to run, and made a pass, or that it was asked to stop."""
        import psycopg  # as above

        if self._connection is None or self._connection.closed:
            return
        with suppress(psycopg.Error):  # the next pass meets the same
            self._connection.execute(self._queries[query], {"machine": self._machine, "workers": [LOCK]})

    def _pass(self) -> list[Decision]:
        connection = self._connected()
        self._record("want_running")
        found = self._see(connection)
        decisions = [self._decide(each) for each in found]
        for seen, decision in zip(found, decisions, strict=True):
            self._act(connection, seen, decision)
        after = {
            seen.name: troubles.applying(seen, decision, now=time.time(), quiet=self._limits.cooldown)
            for seen, decision in zip(found, decisions, strict=True)
        }
        self._tell(connection, found, decisions, after)
        self._keep(connection, found, after)
        return decisions

    def _decide(self, seen: Seen) -> Decision:
        if seen.name in self._ending:
            return Decision(name=seen.name, action="wait", text="it is being ended", trouble="hung")
        owns_restarts = not self._backend_of(seen.program).owns_restarts
        return supervision.decide(seen, self._limits, owns_restarts=owns_restarts)

    def _connected(self) -> Connection[Any]:
        if self._connection is None or not database.is_alive(self._connection):
            self.close()
            self._connection = database.connect(self._settings, application="vinops supervise", autocommit=True)
            if self._is_blind:
                log.info("the database is back")
                self._is_blind, self._sees_since = False, time.monotonic()
                self._blind_since, self._told_blind = None, False
        return self._connection

    def _statuses(self) -> tuple[list[ProcessStatus], list[ProcessStatus]]:
        """Return the status of the crawls, and of Celery as far as it was ever started here."""
        crawls = self._workers.status(registry.workers(self._settings))
        if self._celery is None:
            return crawls, []
        found = self._celery.status(registry.celery(self._settings))
        return crawls, [each for each in found if each.started_at]

    def _see(self, connection: Connection[Any]) -> list[Seen]:
        """Return what is known of each program."""
        crawls, of_celery = self._statuses()
        self._adopt(connection, [*crawls, *of_celery])
        about = {"machine": self._machine, "seconds": self._settings.restart_window}
        known = {row[0]: row[1:] for row in connection.execute(self._queries["remembered"], about).fetchall()}
        going = runs.newest(connection, crawls)
        sees_for = None if self._sees_since is None else time.monotonic() - self._sees_since
        silent = {name: _since(run, sees_for) for name, run in going.items()}
        held = {
            each.program.name: holds.hold_of(connection, self._settings, each.program)
            for each in crawls
            if each.program.name in known and each.state != "running"
        }
        if watched := [each for each in of_celery if each.program.name in known]:
            idle, waits = celery.silences(connection, self._settings, watched, sees_since=sees_for)
            silent.update(idle)
            held.update(waits)
        seen = []
        for status in (*crawls, *of_celery):
            program, name = status.program, status.program.name
            never: tuple[Any, ...] = (None, None, None, None, {}, [])
            desired, gave_up_at, log_file, log_offset, alerted, restarts = known.get(name, never)
            lines, position = log_watch.new_lines(program.log, Position(file=log_file, offset=log_offset))
            patterns = troubles.PATTERNS if program.spider else troubles.CELERY_PATTERNS
            seen.append(
                Seen(
                    program=program,
                    state=status.state,
                    desired=desired,
                    pid=status.pid,
                    gave_up=gave_up_at is not None,
                    up=_ago(status.started_at),
                    over=_ago(status.ended_at),
                    silent=silent.get(name),
                    exit_code=status.exit_code,
                    reason=going[name].reason if name in going else None,
                    restarts=restarts,
                    hold=held.get(name),
                    errors=log_watch.count(lines, patterns),
                    position=position,
                    alerts=alerted,
                )
            )
        return seen

    def _adopt(self, connection: Connection[Any], found: Sequence[ProcessStatus]) -> None:
        """Record running units as wanted: systemd starts them with the machine, or an operator by `systemctl`."""
        units = [
            each for each in found if each.pid and each.started_at and self._backend_of(each.program).owns_restarts
        ]
        connection.execute(
            self._queries["adopt"],
            {
                "machine": self._machine,
                "workers": [each.program.name for each in units],
                "times": [each.started_at for each in units],
            },
        )

    def _backend_of(self, program: Program) -> Backend:
        return self._workers if self._celery is None or program.spider else self._celery

    def _act(self, connection: Connection[Any], seen: Seen, decision: Decision) -> None:
        if decision.action == "terminate":
            log.warning("worker hangs %s: it is ended and started again", pairs(worker=seen.name, pid=seen.pid))
            thread = threading.Thread(target=self._end, args=(seen.program,), daemon=True)
            self._ending[seen.name] = thread
            thread.start()
        elif decision.action == "give_up":
            log.error("worker is given up %s", pairs(worker=seen.name, restarts=len(seen.restarts), why=decision.text))
            connection.execute(self._queries["give_up"], {"machine": self._machine, "worker": seen.name})
        elif decision.action in ("start", "restart"):
            self._start(connection, seen, decision)

    def _start(self, connection: Connection[Any], seen: Seen, decision: Decision) -> None:
        """Start a program unless an operator stopped it meanwhile; a restart is counted before.

        If this process dies between the two, a restart is counted that was not made, and the next one waits for the
        cooldown. In the other order, a start that kills its supervisor would be repeated for ever.
        """
        about = {"machine": self._machine, "worker": seen.name}
        if decision.action == "restart":
            connection.execute(
                self._queries["note_restart"], {**about, "reason": decision.trouble, "detail": decision.text}
            )
        status: ProcessStatus | None = None
        with connection.transaction():
            row = connection.execute(self._queries["is_wanted"], about).fetchone()
            if row is None or not row[0]:
                return
            try:
                status = self._backend_of(seen.program).start(seen.program)
            except AlreadyRunning as error:
                log.info("worker was not started %s", pairs(worker=seen.name, why=error))
            except (ProcessError, OSError) as error:
                log.error("worker cannot be started %s", pairs(worker=seen.name, why=error))
        if status is None:
            return
        if decision.action == "restart":
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

    def _end(self, program: Program) -> None:
        """End a program that hangs, in a thread of its own: it may take the whole grace time."""
        try:
            stopped = self._backend_of(program).stop(program, grace=self._settings.stop_grace)
            log.info("worker ended %s", pairs(worker=program.name, pid=stopped.pid, killed=stopped.was_killed))
        except (ProcessError, OSError) as error:
            log.error("worker cannot be ended %s", pairs(worker=program.name, why=error))
        finally:
            self._ending.pop(program.name, None)
            self._awake.set()

    def _tell(
        self,
        connection: Connection[Any],
        found: Sequence[Seen],
        decisions: Sequence[Decision],
        after: Mapping[str, Mapping[str, float]],
    ) -> None:
        """Send new alerts to the owner, one message for all programs with the same alert."""
        seen = {each.name: each for each in found}
        why = {each.name: each.text for each in decisions}
        for each in troubles.news({name: one.alerts for name, one in seen.items()}, after):
            alerts.clear_alert(connection, each.kind, self._machine)
            if each.is_over:
                titles = "; ".join(seen[name].program.title for name in each.names)
                log.info("recovered %s", pairs(kind=each.kind, workers=",".join(each.names)))
                subject, message = f"{self._machine} {each.kind}", f"resolved: {each.kind} ({titles})"
                connection.execute(self._queries["tell_recovery"], {"subject": subject, "message": message})
            else:
                titles = "; ".join(_detail(each.kind, seen[name], why[name]) for name in each.names)
                message = f"{troubles.MEANINGS[each.kind]}: {titles}"
                alerts.raise_alert(connection, self._settings, each.kind, self._machine, message)
        alerts.deliver(connection, self._settings)
        is_delivered = bool(self._settings.telegram_bot_token and self._settings.telegram_alert_chat_id)
        connection.execute(self._queries["settle_recoveries"], {"is_delivered": is_delivered})

    def _keep(
        self, connection: Connection[Any], found: Sequence[Seen], after: Mapping[str, Mapping[str, float]]
    ) -> None:
        """Record which log lines were read and which alerts sent. If the process dies before, one may be sent again."""
        from psycopg.types.json import Jsonb

        for seen in found:
            about = {"machine": self._machine, "worker": seen.name}
            position = seen.position or Position()
            with connection.transaction():
                connection.execute(
                    self._queries["remember_log"],
                    {**about, "log_file": position.file, "log_offset": position.offset},
                )
                if after[seen.name] != seen.alerts:
                    troubled = Jsonb(after[seen.name])
                    connection.execute(self._queries["remember_troubles"], {**about, "troubles": troubled})

    def _report(self, decisions: Sequence[Decision]) -> None:
        """Log the status of all programs, and forget old restarts."""
        self._reported = time.monotonic()
        connection = self._connected()
        connection.execute(self._queries["forget_restarts"])
        crawls, of_celery = self._statuses()
        going = runs.newest(connection, crawls)
        why = {each.name: each.text for each in decisions}
        for each in (*crawls, *of_celery):
            name = each.program.name
            run = going.get(name) if each.pid else None
            more = (
                {"page": run.current_item or "", "items": run.items, "per_minute": f"{run.items_per_minute or 0:.0f}"}
                if run
                else {}
            )
            log.info("report %s", pairs(worker=name, state=each.state, why=why.get(name, ""), **more))


def _since(run: CrawlRun, sees_for: float | None) -> float:
    """Return the age of a run's heartbeat, without the time in which no run could reach the database."""
    return run.seconds_silent if sees_for is None else min(run.seconds_silent, sees_for)


def _detail(kind: str, seen: Seen, why: str) -> str:
    count = seen.errors.get(kind, 0)
    return f"{seen.program.title}: {f'{count} lines' if count else why}"


def _ago(moment: datetime | None) -> float | None:
    return (datetime.now(UTC) - moment).total_seconds() if moment else None


def _summary(decisions: Sequence[Decision] | None) -> str:
    """Return what was decided, for `systemctl status`."""
    if decisions is None:
        return "no status: the database is unavailable, or the log says why"
    return "; ".join(f"{each.name}: {each.text}" for each in decisions)
