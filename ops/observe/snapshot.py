"""A point-in-time status snapshot of workers, pipelines, machine and database, as values.

A part that could not be read, or was not asked for, is None, never a zero. Times are aware and in UTC, durations in
seconds, rates per minute, sizes in bytes. Parts are final: one that is there is true, so `s.feed and s.feed.rows` reads
a value of a part that may lack.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from deals.alarms import Backlog
    from deals.board import Compared
    from deals.landed.book import Checked
    from deals.market import State
    from etl.merge.board import Compared as ComparedLots
    from ops.observe.site import Site
    from ops.photos.places import Stored

from ops.observe.market import Market
from ops.observe.pace import Pace, days_to_go, not_yet, to_go
from vinops.config import Settings
from vinops.text.figures import percent, plural


@dataclass(frozen=True, kw_only=True)
class CrawlRun:
    """A row of ops.crawl_runs. `done` of `total` are in units of `unit`; `items` are ads, or photos.

    `settled` are those of `done` that ended well; `shortfalls` are sentences on what mostly failed.
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
    """A worker: its process and its crawl run.

    `run` is None before its first one. `wanted` is what an operator last wanted of it here, `running` or `stopped`;
    `elsewhere` if it is to run on another machine; None if it was never started or is retired. `rate` is measured over
    the last minute of observation, or by the run itself; `history` are rates over ten seconds each, oldest first.
    """

    name: str
    makes: tuple[str, ...]
    state: str
    pid: int | None
    started_at: datetime | None
    ended_at: datetime | None
    exit_code: int | None
    log: Path
    run: CrawlRun | None = None
    rate: float | None = None
    history: tuple[float, ...] = ()
    error: LogError | None = None
    wanted: str | None = None
    is_shared: bool = False
    is_optional: bool = False

    @property
    def end(self) -> str:
        """Why it ended: the reason of its run, else the exit code."""
        code = f"exit code {self.exit_code}" if self.exit_code is not None else "no exit code"
        return (self.run.reason if self.run else None) or code

    def silence(self, now: datetime) -> float:
        """Return the seconds since the heartbeat of its run or the start of its process, whichever is later."""
        moments = [self.run.heartbeat_at] if self.run else []
        moments += [self.started_at] if self.started_at else []
        return max((now - max(moments)).total_seconds(), 0.0) if moments else 0.0


@final
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


@final
@dataclass(frozen=True, kw_only=True)
class Audit:
    """The feed in the audit views: the active lots, in how many of them each key column is unknown, and what
    of the last load could not be read, as (kind, name, count)."""

    lots: int
    unknown: dict[str, int]
    errors: tuple[tuple[str, str, int], ...] = ()

    @property
    def unknown_rate(self) -> float:
        """The share of values of the key columns that are unknown, 0 to 1."""
        return sum(self.unknown.values()) / (self.lots * len(self.unknown)) if self.lots else 0.0


COUNTS: Final = ("with_photo", "with_first", "lots_before", "with_first_before", "lots_left", "lots_lost")


@final
@dataclass(frozen=True, kw_only=True)
class Photos:
    """The photos of the active lots, by the state of the lot; `counted_at` is the time of the count, which is cached.

    `with_photo` lots have a photo at least, `with_first` have had their first pass. Of `lots_before`, the lots of a day
    ago, `with_first_before` had had it by then; of `lots_left`, which left since and had been there for an hour,
    `lots_lost` had no photo. `lots_per_minute` counts lots of the last run that ended well, `pace` is what crawls did a
    day. `is_stuck` is True when the last run did lots and none of them did.
    """

    counted_at: datetime
    lots: dict[str, int]
    with_photo: int = 0
    with_first: int = 0
    lots_before: int = 0
    with_first_before: int = 0
    lots_left: int = 0
    lots_lost: int = 0
    lots_per_minute: float | None = None
    last_run_at: datetime | None = None
    is_stuck: bool = False
    pace: Pace | None = None

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]], pace: Pace | None) -> Self:
        """Return the result of the query `photo_states`, counted now."""
        found = list(rows)
        counts = {name: sum(row[name] for row in found) for name in COUNTS}
        lots = {row["state"]: row["lots"] for row in found if row["lots"]}
        return cls(counted_at=datetime.now(UTC), lots=lots, pace=pace, **counts)

    @property
    def photo_share(self) -> float | None:
        """The part of the active lots that has a photo at least, 0 to 1; None without lots."""
        return self.with_photo / self.active if self.active else None

    @property
    def past_first(self) -> int:
        """The active lots that have had their first pass, or for which there are no photos."""
        nothing = sum(self.lots.get(state, 0) for state in ("none_yet", "gone"))
        return min(self.active, self.with_first + nothing)

    @property
    def first_share(self) -> float | None:
        """The part of the active lots that is past the first pass, 0 to 1; None without lots."""
        return self.past_first / self.active if self.active else None

    @property
    def first_share_before(self) -> float | None:
        """The same a day ago; None if there were no lots."""
        return self.with_first_before / self.lots_before if self.lots_before else None

    @property
    def coverage(self) -> str:
        """The three shares in words: a photo, the first pass, all photos; empty without lots."""
        if self.photo_share is None or self.first_share is None or self.share is None:
            return ""
        return (
            f"{percent(self.photo_share)} of {plural(self.active, 'active lot')} with a photo, "
            f"{percent(self.first_share)} past the first pass, {percent(self.share)} with all"
        )

    @property
    def active(self) -> int:
        """All active lots."""
        return sum(self.lots.values())

    @property
    def settled(self) -> int:
        """Active lots with all photos that the source has, also those for which it has none."""
        return sum(self.lots.get(state, 0) for state in ("ok", "none_yet", "gone"))

    @property
    def remaining(self) -> int:
        """Active lots that are not settled."""
        return self.active - self.settled

    @property
    def share(self) -> float | None:
        """The part of the active lots that is settled, 0 to 1; None without lots."""
        return self.settled / self.active if self.active else None

    @property
    def days_to_go(self) -> float | None:
        """The days that the others take at the measured pace; None without one."""
        return days_to_go(self.remaining, self.pace.lots_a_day if self.pace else None)

    @property
    def seconds_to_go(self) -> float | None:
        """The same in seconds."""
        return None if (days := self.days_to_go) is None else days * 86_400

    @property
    def time_left(self) -> str:
        """The pace and the days to go, or from when on they are known; empty if no crawl ran in the last week."""
        if self.pace is None:
            return ""
        measured = self.pace.lots_a_day
        return not_yet(self.pace.enough_from) if measured is None else to_go(self.remaining, measured)


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
class Deal:
    """One of the best deals."""

    score: float
    title: str
    price: float | None
    url: str


@dataclass(frozen=True, kw_only=True)
class PriceModel:
    """The newest price model. `ads`, `off` (the median error) and `inside` (the share of prices within p10 to p90) are
    of its evaluation by time: on ads that came after those it had learned from; None if there were too few."""

    trained_at: datetime
    is_used: bool
    reason: str
    ads: int | None = None
    off: float | None = None
    inside: float | None = None


@final
@dataclass(frozen=True, kw_only=True)
class Deals:
    """The deals: the backlog in the order of the stages, of ads and of `lots`, and the number posted since midnight
    (UTC).

    `last_task_at` is when a Celery worker of this machine last completed a task, to ten seconds; `figures` is how far
    the prices over time are computed.
    """

    stages: tuple[Backlog, ...]
    posted_today: int
    waiting_posts: int
    last_task_at: datetime | None = None
    top: tuple[Deal, ...] = ()
    model: PriceModel | None = None
    figures: State | None = None
    lots: tuple[Backlog, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Disk:
    """The file system that a folder lies on. `files` is the used share of the files (inodes) that it can have, 0 to 1,
    0 where it has no such limit."""

    path: Path
    size: int
    used: int
    free: int
    files: float = 0.0
    is_read_only: bool = False

    @property
    def share(self) -> float:
        """The used share, 0 to 1; space reserved for root counts as used, as with `df`."""
        return self.used / (self.used + self.free) if self.used + self.free else 1.0


@final
@dataclass(frozen=True, kw_only=True)
class Machine:
    """This machine. `cpu` and `memory` are shares, 0 to 1; `memory_free` is what processes can still allocate.

    `data_dir` is the data folder, whole; `has_data_dir` is False where there is no such folder.
    """

    cpu: float
    cores: int
    load: float
    memory: float
    memory_size: int
    memory_free: int
    data_disk: Disk
    log_disk: Disk
    data_dir: Path
    has_data_dir: bool = True

    @property
    def disks(self) -> dict[str, Disk]:
        """The disks by the folders on them."""
        return {"data": self.data_disk, "logs": self.log_disk}


@final
@dataclass(frozen=True, kw_only=True)
class Logs:
    """The files in the log folder. `errors` are events of the last hour, as far as the tails that are read go back."""

    folder: Path
    bytes: int
    largest: Path | None
    largest_bytes: int
    errors: int
    last_error: LogError | None
    is_writable: bool


@dataclass(frozen=True, kw_only=True)
class Database:
    """The database. `error` says why it cannot be used, and the rest is None then; `fix` is the command that fixes it.

    `listings`, `images` and `lots` are PostgreSQL's own estimates. `clock_offset` is by how much its clock is ahead of
    ours. `rows_inserted`, `rows_updated` and their sum `rows_written` are since its statistics were reset.
    """

    error: str | None = None
    fix: str | None = None
    is_new: bool = False
    size: int | None = None
    connections: int | None = None
    most_connections: int | None = None
    rows_written: int | None = None
    rows_inserted: int | None = None
    rows_updated: int | None = None
    writes_per_minute: float | None = None
    inserts_per_minute: float | None = None
    updates_per_minute: float | None = None
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
class Wanted:
    """What an operator wants of a program of a machine, and since when; of a supervisor `at` is its last pass."""

    name: str
    machine: str
    desired: str
    at: datetime
    is_here: bool = True


@final
@dataclass(frozen=True, kw_only=True)
class Supervision:
    """The supervisor of this data folder: its process, None if there is none or it cannot be seen, and the seconds
    between two passes."""

    pid: int | None
    every: float


@dataclass(frozen=True, kw_only=True)
class Alert:
    """An open alert of ops.alerts."""

    kind: str
    subject: str
    message: str
    raised_at: datetime
    times: int


@final
@dataclass(frozen=True, kw_only=True)
class Backup:
    """The newest backup that counts. `ahead` names those dated in the future, which do not."""

    folder: Path
    newest: Path | None
    at: datetime | None
    bytes: int | None
    ahead: tuple[str, ...] = ()


@final
@dataclass(frozen=True, kw_only=True)
class Watching:
    """The alerts: how many people with a chat and watches there are, how many messages wait, and since when the oldest
    thing that could be told already does."""

    people: int
    watches: int
    waiting: int
    oldest: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """The number of secrets that are set, and sentences on what is wrong with them; no value."""

    count: int
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The parts at one moment. `faults` has the reason why a part could not be read, by its name; a process without a
    heartbeat for `silence` seconds counts as hung."""

    at: datetime
    seconds: float
    workers: tuple[Worker, ...] | None
    database: Database
    machine: Machine | None
    logs: Logs | None
    celery: Celery | None
    backup: Backup | None
    secrets: Secrets | None
    feed: Feed | None = None
    audit: Audit | None = None
    photos: Photos | None = None
    stored: Stored | None = None
    hosts: tuple[Host, ...] | None = None
    deals: Deals | None = None
    board: Compared | None = None
    lot_board: ComparedLots | None = None
    tariffs: Checked | None = None
    alerts: tuple[Alert, ...] | None = None
    wanted: tuple[Wanted, ...] | None = None
    market: Market | None = None
    supervisor: Supervision | None = None
    site: Site | None = None
    watching: Watching | None = None
    runs: tuple[CrawlRun, ...] | None = None
    clock_synchronized: bool | None = None
    silence: float = Settings.worker_silence
    faults: dict[str, str] = field(default_factory=dict)

    @property
    def last_items(self) -> tuple[tuple[str, str], ...]:
        """The last items of the open runs, as (worker, item), newest first; of the last runs if none is open."""
        runs = [(worker.name, worker.run) for worker in self.workers or () if worker.run is not None]
        going = [(name, run) for name, run in runs if run.finished_at is None] or runs
        going.sort(key=lambda each: each[1].heartbeat_at, reverse=True)
        deepest = max((len(run.last_items) for _, run in going), default=0)
        # In turns: a run writes five items at once, and one busy worker must not hide the others.
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
