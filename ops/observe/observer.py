"""Makes snapshots: asks the database, the operating system, the logs and the workers' backend, and remembers.

What changes by the second is asked each time. The rest is remembered, and a figure that takes long is asked for so
seldom that it takes no more than a fiftieth of the time (docs/decisions/0017-one-snapshot.md).
"""

from __future__ import annotations

import socket
import time
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
from psycopg.rows import dict_row

from deals.stages.registry import STAGES
from ops.observe import machine
from ops.observe.log_tails import LogTails
from ops.observe.snapshot import Alert, Celery, Database, Deal, Deals, Feed, Host, Photos, Run, Snapshot, Stage, Worker
from ops.workers import backends, registry
from vinops.db import database, embedded
from vinops.db.database import queries
from vinops.redaction import redact
from vinops_scrapy.shortfalls import shortfalls

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from psycopg import Connection

    from ops.workers.processes import ProcessStatus
    from vinops.config import Settings

T = TypeVar("T")

SOON: Final = 10.0  # seconds: what a person need not see the same moment
RARELY: Final = 60.0
CLOCK: Final = 600.0
SHARE: Final = 50  # a figure that took a second is remembered for so many seconds
RETRY: Final = 5.0  # seconds between two tries to reach a database that is away
STATEMENT_SECONDS: Final = 10
WINDOW: Final = 60.0  # seconds that a rate is measured over
BUCKET: Final = 10.0  # seconds of one bar of a history
BUCKETS: Final = 60
SHORTEST: Final = 0.9  # seconds: PostgreSQL's backends report their counts once a second
TOP_DEALS: Final = 10
DAY: Final = timedelta(days=1)
ENOUGH: Final = 3  # lots of a run that goes on, to say of it that none of them ends well


@dataclass(kw_only=True)
class Course:
    """How a count has grown: samples of the last minute, and a rate for each ten seconds."""

    samples: deque[tuple[float, int]] = field(default_factory=deque)
    history: deque[float] = field(default_factory=lambda: deque(maxlen=BUCKETS))
    bucket: tuple[float, int] | None = None

    def add(self, at: float, count: int) -> None:
        """Note a count. `at` is in seconds, and grows."""
        if self.samples and count < self.samples[-1][1]:  # it began anew
            self.samples.clear()
            self.bucket = None
        self.samples.append((at, count))
        while at - self.samples[0][0] > WINDOW and len(self.samples) > 2:
            self.samples.popleft()
        if self.bucket is None:
            self.bucket = (at, count)
        elif at - self.bucket[0] >= BUCKET:
            self.history.append(60 * (count - self.bucket[1]) / (at - self.bucket[0]))
            self.bucket = (at, count)

    def rate(self, shortest: float) -> float | None:
        """Return the growth a minute, None before it has been watched for so many seconds."""
        if not self.samples:
            return None
        (began, first), (ended, last) = self.samples[0], self.samples[-1]
        return 60 * (last - first) / (ended - began) if ended - began >= shortest else None


class Observer:
    """Looks again and again. Not for two threads at once."""

    def __init__(
        self,
        settings: Settings,
        *,
        application: str,
        workers: Callable[[], Sequence[ProcessStatus]] | None = None,
        celery: Callable[[], Celery] | None = None,
    ) -> None:
        """Look with these settings; `application` is what pg_stat_activity shows. `workers` and `celery` stand for the
        backend of this machine and its processes."""
        self.settings = settings
        self.asked = 0  # statements sent, for whoever measures what this costs
        self._application = application
        self._workers = workers or (lambda: _statuses(settings))
        self._celery = celery or (lambda: machine.celery(settings))
        self._connection: Connection[dict[str, Any]] | None = None
        self._away: tuple[float, Database] | None = None
        self._remembered: dict[str, tuple[float, Any]] = {}
        self._faults: dict[str, str] = {}
        self._logs = LogTails(settings.log_dir)
        self._courses: dict[int, Course] = {}
        self._writes = Course()
        machine.cpu()  # the next call says how busy it was since this one

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def observe(self) -> Snapshot:
        """Return what is so now. Raises nothing for a part that cannot be looked at: the snapshot says so."""
        began, now = time.monotonic(), datetime.now(UTC)
        self._faults.clear()
        found, parts, runs = self._database()
        logs = self._part("logs", 0, lambda: self._logs.look(now))
        statuses = self._part("workers", 0, self._workers)
        return Snapshot(
            at=now,
            silence=self.settings.worker_silence,
            workers=None if statuses is None else tuple(self._worker(status, runs, now) for status in statuses),
            database=found,
            machine=self._part("machine", 0, lambda: machine.machine(self.settings)),
            logs=logs,
            celery=self._part("celery", SOON, self._celery),
            backup=self._part("backup", RARELY, lambda: machine.backup(self.settings)),
            secrets=machine.secrets(self.settings),
            clock_synchronized=self._part("clock", CLOCK, machine.clock_synchronized),
            **parts,
            faults=dict(self._faults),
            seconds=time.monotonic() - began,
        )

    # The database.

    def _database(self) -> tuple[Database, dict[str, Any], list[Run]]:
        """Return how the database is, the parts that come from it, and the runs."""
        if self._away and time.monotonic() - self._away[0] < RETRY:
            return self._away[1], {}, []
        try:
            self._open()
            found, parts, runs = self._ask_all()
        except (psycopg.Error, database.DatabaseError) as error:
            self.close()
            self._remembered = {name: kept for name, kept in self._remembered.items() if name in OF_THE_MACHINE}
            away = self._said(error)
            self._away = (time.monotonic(), away)
            return away, {}, []
        self._away = None
        return found, parts, runs

    def _open(self) -> Connection[dict[str, Any]]:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> Connection[dict[str, Any]]:
        if self.settings.database_url is None:
            cluster = embedded.folder(self.settings.data_dir) / "data" / "PG_VERSION"
            if not cluster.exists():  # who only looks makes no database
                raise _NoneYet(f"there is no database yet in {self.settings.data_dir}")
        connection: Any = database.connect(self.settings, application=self._application, autocommit=True)
        connection.row_factory = dict_row
        connection.execute(f"set statement_timeout to '{STATEMENT_SECONDS}s'")
        connection.execute("set max_parallel_workers_per_gather to 0")  # two cores, and others have work to do
        return connection  # type: ignore[no-any-return]

    def _said(self, error: Exception) -> Database:
        text = " ".join(redact(str(error), self.settings).split())
        is_behind = isinstance(error, (database.NotMigrated, _NoneYet))
        return Database(
            error=text, mend="vinops migrate" if is_behind else "vinops doctor", is_new=isinstance(error, _NoneYet)
        )

    def _ask_all(self) -> tuple[Database, dict[str, Any], list[Run]]:
        before = time.time()
        activity = self._rows("activity")[0]
        offset = activity["now"].timestamp() - (before + time.time()) / 2
        self._writes.add(time.monotonic(), activity["rows_written"])
        sizes = self._part("sizes", RARELY, lambda: self._rows("sizes")[0]) or {}
        runs = self._part("runs", 0, self._runs) or []
        found = Database(
            size=sizes.get("bytes"),
            connections=activity["connections"],
            most_connections=activity["most_connections"],
            rows_written=activity["rows_written"],
            writes_per_minute=self._writes.rate(SHORTEST),
            clock_offset=offset,
            lots=sizes.get("lots"),
            images=sizes.get("images"),
            listings=sizes.get("listings"),
        )
        parts = {
            "feed": self._part("feed", SOON, self._feed),
            "photos": self._photos(runs),
            "hosts": self._part("hosts", SOON, lambda: tuple(Host(**row) for row in self._rows("host_budgets"))),
            "deals": self._part("deals", SOON, self._deals),
            "runs": tuple(run for run in runs if datetime.now(UTC) - run.heartbeat_at < DAY),
            "alerts": self._part("alerts", SOON, lambda: tuple(Alert(**row) for row in self._rows("open_alerts"))),
        }
        return found, parts, runs

    def _rows(self, name: str, file: str = "snapshot", **values: object) -> list[dict[str, Any]]:
        self.asked += 1
        return self._open().execute(queries(file)[name], values or None).fetchall()

    def _runs(self) -> list[Run]:
        # A shared program's runs are each of their own: the last one will do.
        counts = {each.spider: 1 if each.is_shared else 200 for each in registry.workers(self.settings)}
        rows = self._rows("latest_runs", spiders=list(counts), counts=list(counts.values()))
        return [_run(row) for row in rows]

    def _feed(self) -> Feed:
        rows = self._rows("feed")
        is_configured = self.settings.copart_csv_url is not None
        return Feed(is_configured=is_configured, **(rows[0] if rows else {}))

    def _photos(self, runs: list[Run]) -> Photos | None:
        def count() -> Photos:
            lots = {row["state"]: row["lots"] for row in self._rows("photo_states")}
            return Photos(counted_at=datetime.now(UTC), lots=lots)

        counted = self._part("photos", RARELY, count)
        run = next((run for run in runs if run.spider == "lot_photos"), None)
        if counted is None or run is None:
            return counted
        minutes = ((run.finished_at or run.heartbeat_at) - run.started_at).total_seconds() / 60
        is_recent = datetime.now(UTC) - run.heartbeat_at < DAY
        rate = run.settled / minutes if is_recent and run.settled and minutes > 0 else None
        is_enough = run.done >= ENOUGH or run.finished_at is not None
        is_stuck = is_recent and is_enough and run.done > 0 and run.settled == 0
        return replace(counted, lots_per_minute=rate, last_run_at=run.heartbeat_at, is_stuck=is_stuck)

    def _deals(self) -> Deals:
        top = [
            Deal(score=float(row["score"]), title=row["title"], price=_number(row["price_eur"]), url=row["url"])
            for row in self._rows("best_deals", count=TOP_DEALS)
        ]
        stages = tuple(Stage(**row) for row in self._rows("backlog", "deals", stages=list(STAGES)))
        (task, *_) = [*self._rows("last_task", machine=socket.gethostname()), {}]
        return Deals(stages=stages, top=tuple(top), **task, **self._rows("posts")[0])

    def _part(self, name: str, seconds: float, look: Callable[[], T]) -> T | None:
        """Return what `look` returns, remembered for so many seconds, and for longer if it takes long.

        A failure is noted, except when the connection is gone: then nothing more is to be had from it.
        """
        until, kept = self._remembered.get(name, (0.0, None))
        began = time.monotonic()
        if began < until:
            return kept  # type: ignore[no-any-return]
        try:
            value = look()
        except Exception as error:
            if isinstance(error, psycopg.Error) and (self._connection is None or self._connection.broken):
                raise
            # Whatever it is, the other parts are still to be seen.
            reason = " ".join(redact(str(error), self.settings).split()) or type(error).__name__
            self._faults[name] = reason
            return kept  # type: ignore[no-any-return]
        took = time.monotonic() - began
        if seconds:
            self._remembered[name] = (began + max(seconds, SHARE * took), value)
        return value

    # The workers.

    def _worker(self, status: ProcessStatus, runs: list[Run], now: datetime) -> Worker:
        run = _run_of(status, runs)
        rate, history = self._growth(run, now) if run else (None, ())
        return Worker(
            name=status.program.name,
            makes=status.program.makes,
            state=status.state,
            pid=status.pid,
            started_at=status.started_at,
            ended_at=status.ended_at,
            exit_code=status.exit_code,
            log=status.program.log,
            run=run,
            rate=rate,
            history=history,
            error=self._logs.last_error(status.program.log),
        )

    def _growth(self, run: Run, now: datetime) -> tuple[float | None, tuple[float, ...]]:
        """Return the rate and the history of a run, from what was seen of it."""
        course = self._courses.setdefault(run.id, Course())
        for old in sorted(self._courses)[:-20]:
            del self._courses[old]
        course.add(now.timestamp(), run.items)
        if run.finished_at is not None:
            return run.items_per_minute, tuple(course.history)
        measured = course.rate(3 * BUCKET)
        return (run.items_per_minute if measured is None else measured), tuple(course.history)


OF_THE_MACHINE: Final = frozenset({"celery", "backup", "clock"})
"""What is remembered although the database went away."""


class _NoneYet(database.DatabaseError):  # a state, not a fault
    """The embedded database was never made."""


def _run(row: Mapping[str, Any]) -> Run:
    """Return a run with what its statistics say of it."""
    values = dict(row)
    stats: dict[str, Any] = values.pop("stats")
    return Run(
        **{
            **values,
            "last_items": tuple(map(str, row["last_items"])),
            "settled": row["done"] - stats.get("lot/failed", 0) - stats.get("lot/partial", 0),
            "shortfalls": tuple(map(str, shortfalls(stats))),
        }
    )


def _run_of(status: ProcessStatus, runs: list[Run]) -> Run | None:
    """Return the run of a worker; not one of an earlier process of it, while it has not begun its own."""
    run = next((run for run in runs if status.program.has_run(run.spider, run.worker)), None)
    if run is None or status.pid is None or status.state != "running":
        return run
    is_its_own = run.pid == status.pid and run.machine == socket.gethostname()
    is_later = status.started_at is None or run.started_at >= status.started_at
    return run if is_its_own or is_later else None


def _statuses(settings: Settings) -> Sequence[ProcessStatus]:
    programs = registry.workers(settings)
    return backends.backend(settings, programs).status(programs)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
