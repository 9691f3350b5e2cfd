"""Takes snapshots: queries the database, the operating system, the logs and the workers' backend.

What changes by the second is read each time. The rest is cached, and a figure that takes long is read so seldom that
it takes no more than a fiftieth of the time (docs/decisions/0017-one-snapshot.md).
"""

from __future__ import annotations

import socket
import time
from collections import deque
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
from psycopg.rows import dict_row

from deals import board
from deals.alarms import Backlog
from deals.landed import book
from deals.market import State
from deals.queue import outbox
from deals.stages.registry import LOT_STAGES, STAGES
from etl.merge import board as lot_board
from ops.observe import machine, market, site
from ops.observe.log_tails import LogTails
from ops.observe.pace import Pace
from ops.observe.snapshot import (
    Alert,
    Audit,
    Celery,
    CrawlRun,
    Database,
    Deal,
    Deals,
    Feed,
    Host,
    Photos,
    PriceModel,
    Snapshot,
    Wanted,
    Watching,
    Worker,
)
from ops.photos import places
from ops.workers import backends, registry
from vinops import disk
from vinops.db import database, embedded
from vinops.db.database import queries
from vinops.db.errors import explain
from vinops.output import at_work
from vinops.redaction import redact
from vinops_scrapy.shortfalls import shortfalls

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from psycopg import Connection

    from ops.workers.processes import ProcessStatus
    from vinops.config import Settings

T = TypeVar("T")

PARTS: Final = frozenset(
    {
        *("workers", "runs", "feed", "audit", "photos", "stored", "hosts", "deals", "top", "alerts", "sizes"),
        *("wanted", "supervisor", "market", "board", "lot_board", "tariffs", "site", "watching"),
        *("machine", "logs", "celery", "backup", "secrets", "clock"),
    }
)
"""What may be asked for; the database itself always is. `top` belongs to the deals, `sizes` to the database."""
SOON: Final = 10.0  # seconds: what a person need not see the same moment
RARELY: Final = 60.0
CLOCK: Final = 600.0
SHARE: Final = 50  # seconds that a figure is cached for each second that reading it took
RETRY: Final = 5.0  # seconds between two attempts to connect to an unavailable database
STATEMENT_SECONDS: Final = 10
WINDOW: Final = 60.0  # seconds over which a rate is measured
BUCKET: Final = 10.0  # seconds of one bar of a history
BUCKETS: Final = 60
SHORTEST: Final = 0.9  # seconds: PostgreSQL's backends report their counts once a second
TOP_DEALS: Final = 10
FREE_SPACE: Final = "vinops logs --prune 1d; docs/runbook.md, The disk is full"
DAY: Final = timedelta(days=1)
ENOUGH: Final = 3  # lots of a run that goes on, to say of it that none of them ends well


@dataclass(kw_only=True)
class RateWindow:
    """The growth of a counter: samples of the last minute, and a rate for each ten seconds."""

    samples: deque[tuple[float, int]] = field(default_factory=deque)
    history: deque[float] = field(default_factory=lambda: deque(maxlen=BUCKETS))
    bucket: tuple[float, int] | None = None

    def add(self, at: float, count: int) -> None:
        """Add a sample. `at` is in seconds, and increases."""
        if self.samples and count < self.samples[-1][1]:  # it was reset
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
        """Return the growth per minute, None while the samples span less than `shortest` seconds."""
        if not self.samples:
            return None
        (began, first), (ended, last) = self.samples[0], self.samples[-1]
        return 60 * (last - first) / (ended - began) if ended - began >= shortest else None


class Observer:
    """Takes one snapshot after the other. Not safe for two threads at once."""

    def __init__(
        self,
        settings: Settings,
        *,
        application: str,
        workers: Callable[[], Sequence[ProcessStatus]] | None = None,
        celery: Callable[[], Celery] | None = None,
        connect: Callable[[], Connection[Any]] | None = None,
    ) -> None:
        """Observe with these settings; `application` is what pg_stat_activity shows. `workers` and `celery` replace the
        backend of this machine and its processes; `connect` opens a connection in autocommit with another role."""
        self.settings = settings
        self.asked = 0  # statements sent
        self._workers = workers or (lambda: _statuses(settings))
        self._celery = celery or (lambda: machine.celery(settings))
        self._opened = connect or (lambda: database.connect(self.settings, application=application, autocommit=True))
        self._connection: Connection[dict[str, Any]] | None = None
        self._away: tuple[float, Database] | None = None
        self._remembered: dict[str, tuple[float, Any]] = {}
        self._faults: dict[str, str] = {}
        self._wanted = PARTS
        self._logs = LogTails(settings.log_dir)
        self._rates: dict[int, RateWindow] = {}
        self._inserts, self._updates = RateWindow(), RateWindow()
        machine.cpu()  # the next call returns the share since this one

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def observe(self, parts: Collection[str] = PARTS) -> Snapshot:
        """Take a snapshot of these parts. Raises nothing for a part that cannot be read: `faults` has the reason."""
        began, now = time.monotonic(), datetime.now(UTC)
        self._faults.clear()
        # The run of a worker is one of its parts, and that of the photo crawl has its rate.
        self._wanted = PARTS.intersection(parts) | ({"runs"} if {"workers", "photos"} & set(parts) else set())
        self._wanted |= {"wanted"} if "workers" in self._wanted else set()
        found, asked, runs = self._database()
        logs = self._part("logs", 0, lambda: self._logs.read(now))
        statuses = self._part("workers", 0, self._workers)
        return Snapshot(
            at=now,
            silence=self.settings.worker_silence,
            workers=None
            if statuses is None
            else tuple(self._worker(status, runs, now, asked.get("wanted") or ()) for status in statuses),
            supervisor=self._part("supervisor", SOON, lambda: machine.supervisor(self.settings)),
            database=found,
            machine=self._part("machine", 0, lambda: machine.machine(self.settings)),
            logs=logs,
            celery=self._part("celery", SOON, self._celery),
            backup=self._part("backup", RARELY, lambda: machine.backup(self.settings)),
            secrets=self._part("secrets", 0, lambda: machine.secrets(self.settings)),
            site=self._part("site", SOON, lambda: site.read(self.settings)),
            tariffs=self._part("tariffs", RARELY, lambda: book.load(self.settings.tariffs_dir).checked(now.date())),
            clock_synchronized=self._part("clock", CLOCK, machine.clock_synchronized),
            **asked,
            faults=dict(self._faults),
            seconds=time.monotonic() - began,
        )

    # The database.

    def _database(self) -> tuple[Database, dict[str, Any], list[CrawlRun]]:
        """Return the state of the database, the parts that are read from it, and the runs."""
        if self._away and time.monotonic() - self._away[0] < RETRY:
            return self._away[1], {}, []
        if self._connection is not None and not database.is_alive(self._connection):
            self.close()
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
            if not cluster.exists():  # observing must not create a database
                raise _NotCreated(f"there is no database yet in {self.settings.data_dir}")
        connection: Any = self._opened()
        connection.row_factory = dict_row
        connection.execute(f"set statement_timeout to '{STATEMENT_SECONDS}s'")
        connection.execute("set max_parallel_workers_per_gather to 0")  # leave the cores to the pipelines
        return connection  # type: ignore[no-any-return]

    def _said(self, error: Exception) -> Database:
        text = explain(error, self.settings)
        is_behind = isinstance(error, (database.NotMigrated, _NotCreated))
        fix = "vinops migrate" if is_behind else FREE_SPACE if disk.PHRASE in text else "vinops doctor"
        return Database(error=text, fix=fix, is_new=isinstance(error, _NotCreated))

    def _ask_all(self) -> tuple[Database, dict[str, Any], list[CrawlRun]]:
        before = time.time()
        activity = self._rows("activity")[0]
        offset = activity["now"].timestamp() - (before + time.time()) / 2
        now, inserted, updated = time.monotonic(), activity["rows_inserted"], activity["rows_updated"]
        self._inserts.add(now, inserted)
        self._updates.add(now, updated)
        inserts, updates = self._inserts.rate(SHORTEST), self._updates.rate(SHORTEST)
        sizes = self._part("sizes", RARELY, lambda: self._rows("sizes")[0]) or {}
        runs = self._part("runs", 0, self._runs)
        found = Database(
            size=sizes.get("bytes"),
            connections=activity["connections"],
            most_connections=activity["most_connections"],
            rows_written=inserted + updated,
            rows_inserted=inserted,
            rows_updated=updated,
            writes_per_minute=None if inserts is None or updates is None else inserts + updates,
            inserts_per_minute=inserts,
            updates_per_minute=updates,
            clock_offset=offset,
            lots=sizes.get("lots"),
            images=sizes.get("images"),
            listings=sizes.get("listings"),
        )
        parts = {
            "feed": self._part("feed", SOON, self._feed),
            "audit": self._part("audit", RARELY, self._audit),
            "photos": self._photos(runs or []),
            "stored": self._part("stored", RARELY, lambda: places.read(self._open(), self.settings)),
            "hosts": self._part("hosts", SOON, lambda: tuple(Host(**row) for row in self._rows("host_budgets"))),
            "deals": self._deals(),
            "board": self._part("board", RARELY, lambda: board.compare(self._asking())),
            "lot_board": self._part("lot_board", RARELY, lambda: lot_board.compare(self._asking())),
            "watching": self._part("watching", SOON, lambda: Watching(**self._rows("watching", "watch_people")[0])),
            "runs": None if runs is None else tuple(run for run in runs if datetime.now(UTC) - run.heartbeat_at < DAY),
            "wanted": self._wanted_programs(),
            "market": self._part("market", SOON, lambda: market.read(self.settings, self._rows, datetime.now(UTC))),
            "alerts": self._part("alerts", SOON, lambda: tuple(Alert(**row) for row in self._rows("open_alerts"))),
        }
        return found, parts, runs or []

    def _rows(self, name: str, file: str = "snapshot", **values: object) -> list[dict[str, Any]]:
        self.asked += 1
        return self._open().execute(queries(file)[name], values or None).fetchall()

    def _asking(self) -> Connection[dict[str, Any]]:
        """Return the connection for a function that sends a statement of its own."""
        self.asked += 1
        return self._open()

    def _runs(self) -> list[CrawlRun]:
        # A shared program's runs are each of their own: the last one will do.
        counts = {each.spider: 1 if each.is_shared else 200 for each in registry.workers(self.settings)}
        rows = self._rows("latest_runs", spiders=list(counts), counts=list(counts.values()))
        return [_run(row) for row in rows]

    def _feed(self) -> Feed:
        (row, *_) = [*self._rows("feed"), {}]
        return Feed(is_configured=self.settings.copart_csv_url is not None, **row)

    def _wanted_programs(self) -> tuple[Wanted, ...] | None:
        here = socket.gethostname()
        return self._part(
            "wanted", SOON, lambda: tuple(Wanted(is_here=row["machine"] == here, **row) for row in self._rows("wanted"))
        )

    def _audit(self) -> Audit:
        unknown = dict(self._rows("unknown_rate")[0])
        lots = unknown.pop("lots")
        errors = tuple((row["kind"], row["name"], row["errors"]) for row in self._rows("parse_errors"))
        return Audit(lots=lots, unknown=unknown, errors=errors)

    def _photos(self, runs: list[CrawlRun]) -> Photos | None:
        def count() -> Photos:
            (pace, *_) = [*self._rows("photo_pace"), None]
            return Photos.of(self._rows("photo_states"), Pace.of(pace))

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

    def _deals(self) -> Deals | None:
        counted = self._part("deals", SOON, self._backlog)
        top = self._part("top", SOON, self._top)
        return replace(counted, top=top or ()) if counted else None

    def _backlog(self) -> Deals:
        stages = tuple(Backlog(**row) for row in self._rows("backlog", "deals", stages=list(STAGES)))
        waiting = self._asking().execute(outbox.statements(of_lots=True)["backlog"], {"stages": list(LOT_STAGES)})
        lots = tuple(Backlog(**row) for row in waiting.fetchall())
        (task, *_) = [*self._rows("last_task", machine=socket.gethostname()), {}]
        (model, *_) = [*(PriceModel(**row) for row in self._rows("measured_model", "pricing")), None]
        figures = State(**self._rows("figures_state", "market")[0])
        return Deals(stages=stages, lots=lots, model=model, figures=figures, **task, **self._rows("posts")[0])

    def _top(self) -> tuple[Deal, ...]:
        return tuple(
            Deal(score=float(row["score"]), title=row["title"], price=_number(row["price_eur"]), url=row["url"])
            for row in self._rows("best_deals", count=TOP_DEALS)
        )

    def _part(self, name: str, seconds: float, read: Callable[[], T]) -> T | None:
        """Return what `read` returns, cached for `seconds`, and for longer if it takes long; None if the part was not
        requested.

        A failure is put into `faults`; one that broke the connection is raised.
        """
        if name not in self._wanted:
            return None
        until, kept = self._remembered.get(name, (0.0, None))
        began = time.monotonic()
        if began < until:
            return kept  # type: ignore[no-any-return]
        try:
            value = read()
        except Exception as error:
            if isinstance(error, psycopg.Error) and (self._connection is None or self._connection.broken):
                raise
            # Whatever it is, the other parts can still be read.
            reason = " ".join(redact(str(error), self.settings).split()) or type(error).__name__
            self._faults[name] = reason
            return kept  # type: ignore[no-any-return]
        took = time.monotonic() - began
        if seconds:
            self._remembered[name] = (began + max(seconds, SHARE * took), value)
        return value

    # The workers.

    def _worker(self, status: ProcessStatus, runs: list[CrawlRun], now: datetime, wanted: Sequence[Wanted]) -> Worker:
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
            wanted=_wanted(status.program.name, wanted),
            is_shared=status.program.is_shared,
            is_optional=status.program.is_optional,
        )

    def _growth(self, run: CrawlRun, now: datetime) -> tuple[float | None, tuple[float, ...]]:
        """Return the rate and the history of a run, from earlier snapshots."""
        window = self._rates.setdefault(run.id, RateWindow())
        for old in sorted(self._rates)[:-20]:
            del self._rates[old]
        window.add(now.timestamp(), run.items)
        if run.finished_at is not None:
            return run.items_per_minute, tuple(window.history)
        measured = window.rate(3 * BUCKET)
        return (run.items_per_minute if measured is None else measured), tuple(window.history)


def observe_once(
    settings: Settings, *, application: str, parts: Collection[str] = PARTS, pause: float = 1.0, first: bool = False
) -> Snapshot:
    """Take one snapshot after `pause` seconds, over which the CPU is measured; `first` measures what the database
    writes, too."""
    with at_work("observing"), closing(Observer(settings, application=application)) as observer:
        if first:
            observer.observe(())
        time.sleep(pause)
        return observer.observe(parts)


OF_THE_MACHINE: Final = frozenset({"celery", "backup", "site", "tariffs", "clock"})
"""The parts that stay cached while the database is unavailable."""


class _NotCreated(database.DatabaseError):
    """The embedded database has not been created yet."""


def _run(row: Mapping[str, Any]) -> CrawlRun:
    """Return a run, with what its statistics say about failures."""
    values = dict(row)
    stats: dict[str, Any] = values.pop("stats")
    return CrawlRun(
        **{
            **values,
            "last_items": tuple(map(str, row["last_items"])),
            "settled": row["done"] - stats.get("lot/failed", 0) - stats.get("lot/partial", 0),
            "shortfalls": tuple(map(str, shortfalls(stats))),
        }
    )


def _run_of(status: ProcessStatus, runs: list[CrawlRun]) -> CrawlRun | None:
    """Return the latest run of a worker; none while its current process has not begun one."""
    run = next((run for run in runs if status.program.has_run(run.spider, run.worker)), None)
    if run is None or status.pid is None or status.state != "running":
        return run
    is_its_own = run.pid == status.pid and run.machine == socket.gethostname()
    is_later = status.started_at is None or run.started_at >= status.started_at
    return run if is_its_own or is_later else None


def _wanted(name: str, wanted: Sequence[Wanted]) -> str | None:
    """Return what is wanted of a worker, as `Worker.wanted` has it."""
    rows = [each for each in wanted if each.name == name]
    is_elsewhere = any(each.desired == "running" and not each.is_here for each in rows)
    return next((each.desired for each in rows if each.is_here), "elsewhere" if is_elsewhere else None)


def _statuses(settings: Settings) -> Sequence[ProcessStatus]:
    programs = registry.workers(settings)
    return backends.backend(settings, programs).status(programs)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
