"""What is so now: one typed picture of workers, streets, machine and database, which every view of them is made of.

Everything here is a value. A part that could not be looked at is None, never a zero; a figure that is an estimate says
so by its name. Times are aware and in UTC, durations in seconds, rates per minute, sizes in bytes.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from vinops.config import Settings


@dataclass(frozen=True, kw_only=True)
class Run:
    """A row of ops.crawl_runs. `done` of `total` are in units of `unit`; `items` are ads, or photos.

    `settled` are those of `done` that ended well, `shortfalls` says what most of which failed.
    """

    id: int
    spider: str
    worker: str | None
    machine: str
    pid: int
    started_at: datetime
    heartbeat_at: datetime
    finished_at: datetime | None = None
    reason: str | None = None
    unit: str = "page"
    done: int = 0
    total: int | None = None
    items: int = 0
    refusals: int = 0
    items_per_minute: float | None = None
    expected_end: datetime | None = None
    current_item: str | None = None
    last_items: tuple[str, ...] = ()
    settled: int = 0
    shortfalls: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LogError:
    """The last ERROR or CRITICAL of a log, without its time and level."""

    at: datetime
    text: str


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A worker as its process and its run tell.

    `run` is None while it has not begun one. `rate` is measured over the last minute of watching, or by the run itself;
    `history` are rates of ten seconds each, oldest first.
    """

    name: str
    makes: tuple[str, ...]
    state: str
    pid: int | None
    started_at: datetime | None
    ended_at: datetime | None
    exit_code: int | None
    log: Path
    run: Run | None = None
    rate: float | None = None
    history: tuple[float, ...] = ()
    error: LogError | None = None


@dataclass(frozen=True, kw_only=True)
class Feed:
    """The last run of the feed, the last one that ended well, and the counts of the last file that was loaded."""

    is_configured: bool
    last_at: datetime | None = None
    status: str | None = None
    reason: str | None = None
    good_at: datetime | None = None
    loaded_at: datetime | None = None
    rows: int | None = None
    new: int | None = None
    changed: int | None = None
    gone: int | None = None
    rejected: int | None = None


@dataclass(frozen=True, kw_only=True)
class Photos:
    """The photos of the active lots, by the state of the lot; `counted_at` is when, for it is not asked each time.

    `lots_per_minute` counts lots that ended well. `is_stuck` is True when the last run did lots, and none of them did.
    """

    counted_at: datetime
    lots: dict[str, int]
    lots_per_minute: float | None = None
    last_run_at: datetime | None = None
    is_stuck: bool = False

    @property
    def active(self) -> int:
        """All active lots."""
        return sum(self.lots.values())

    @property
    def settled(self) -> int:
        """Active lots that have all photos the source has: also those for which it has none."""
        return sum(self.lots.get(state, 0) for state in ("ok", "none_yet", "gone"))

    @property
    def share(self) -> float | None:
        """The part of the active lots that is settled, 0 to 1; None without lots."""
        return self.settled / self.active if self.active else None

    @property
    def days_to_drain(self) -> float | None:
        """How long the others take at the measured rate; None without one."""
        return (self.active - self.settled) / self.lots_per_minute / 1440 if self.lots_per_minute else None


@dataclass(frozen=True, kw_only=True)
class Host:
    """The budget of a host. `open_until` is in the future while its breaker is open, else None."""

    host: str
    requests: int
    refusals_in_row: int
    last_refusal: str | None
    open_until: datetime | None
    asked_at: datetime


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The ads that wait for a stage of the deals, the oldest of them, and those that were given up."""

    stage: str
    waiting: int
    in_hand: int
    dead: int
    oldest: datetime | None


@dataclass(frozen=True, kw_only=True)
class Deal:
    """One of the best deals."""

    score: float
    title: str
    price: float | None
    url: str


@dataclass(frozen=True, kw_only=True)
class Deals:
    """The deals street: its backlog in the order of the stages, and what was posted since midnight (UTC).

    `last_task_at` is when a Celery worker of this machine last did a task to its end, to ten seconds.
    """

    stages: tuple[Stage, ...]
    posted_today: int
    waiting_posts: int
    last_task_at: datetime | None = None
    top: tuple[Deal, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Disk:
    """The file system that a folder lies on."""

    path: Path
    size: int
    used: int
    free: int

    @property
    def share(self) -> float:
        """How full it is for us, 0 to 1: what only root may still fill counts as full, as with `df`."""
        return self.used / (self.used + self.free) if self.used + self.free else 1.0


@dataclass(frozen=True, kw_only=True)
class Machine:
    """This machine. `cpu` and `memory` are shares, 0 to 1; `memory_free` is what processes can still have."""

    cpu: float
    cores: int
    load: float
    memory: float
    memory_size: int
    memory_free: int
    data_disk: Disk
    log_disk: Disk


@dataclass(frozen=True, kw_only=True)
class Logs:
    """The files in the log folder. `errors` are events of the last hour, as far as the ends of the files go back."""

    folder: Path
    bytes: int
    largest: Path | None
    largest_bytes: int
    errors: int
    last_error: LogError | None
    is_writable: bool


@dataclass(frozen=True, kw_only=True)
class Database:
    """The database. `error` says why it cannot be used, and the rest is None then; `mend` is the command for it.

    `listings`, `images` and `lots` are PostgreSQL's own estimates. `clock_offset` is how far its clock is ahead of
    ours. `rows_written` counts inserts and updates since its statistics began.
    """

    error: str | None = None
    mend: str | None = None
    is_new: bool = False
    size: int | None = None
    connections: int | None = None
    most_connections: int | None = None
    rows_written: int | None = None
    writes_per_minute: float | None = None
    clock_offset: float | None = None
    lots: int | None = None
    images: int | None = None
    listings: int | None = None


@dataclass(frozen=True, kw_only=True)
class Celery:
    """The Celery processes of this data folder: PIDs of workers (not of their children) and of beat.

    `since` is when the last of them began.
    """

    workers: tuple[int, ...]
    children: int
    beats: tuple[int, ...]
    since: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, kw_only=True)
class Alert:
    """An open alert of ops.alerts."""

    kind: str
    subject: str
    message: str
    raised_at: datetime
    times: int


@dataclass(frozen=True, kw_only=True)
class Backup:
    """The newest backup that counts. `ahead` names those dated in the future, which do not."""

    folder: Path
    newest: Path | None
    at: datetime | None
    bytes: int | None
    ahead: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """How many secrets are set, and what is wrong with how they are kept: sentences that hold no value."""

    count: int
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Everything at one moment. `faults` says why a part is None: by the name of the part. What has given no sign for
    `silence` seconds counts as hung."""

    at: datetime
    seconds: float
    workers: tuple[Worker, ...] | None
    database: Database
    machine: Machine | None
    logs: Logs | None
    celery: Celery | None
    backup: Backup | None
    secrets: Secrets
    feed: Feed | None = None
    photos: Photos | None = None
    hosts: tuple[Host, ...] | None = None
    deals: Deals | None = None
    alerts: tuple[Alert, ...] | None = None
    runs: tuple[Run, ...] | None = None
    clock_synchronized: bool | None = None
    silence: float = Settings.worker_silence
    faults: dict[str, str] = field(default_factory=dict)

    @property
    def last_items(self) -> tuple[tuple[str, str], ...]:
        """The last items of all runs that go on, as (worker, item), newest first; of the last runs if none does."""
        runs = [(worker.name, worker.run) for worker in self.workers or () if worker.run is not None]
        going = [(name, run) for name, run in runs if run.finished_at is None] or runs
        going.sort(key=lambda each: each[1].heartbeat_at, reverse=True)
        deepest = max((len(run.last_items) for _, run in going), default=0)
        # Round by round: a run writes five items at once, and one busy worker must not hide the others.
        return tuple(
            (name, run.last_items[-1 - place])
            for place in range(deepest)
            for name, run in going
            if place < len(run.last_items)
        )


def as_json(value: Any) -> str:
    """Return a dataclass as JSON: times in ISO 8601, paths as text, numbers as numbers."""
    return json.dumps(asdict(value), default=_plain)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else str(value)
