"""The metrics of a snapshot, one a line, and their text as Prometheus reads it.

Labels are worker, make, host, stage and state, and nothing else: a label for a lot would make a series of each lot.
What is not known has no sample.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from ops.checks import health
from vinops.checks import Level

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric as Family

    from deals.alarms import Backlog
    from ops.observe.snapshot import CrawlRun, Disk, Host, Snapshot, Worker

FRESH: Final = 1.0  # seconds that a snapshot answers all who ask
STATES: Final = ("running", "finished", "failed", "stopped", "dead")
PARTS: Final = health.PARTS  # the metrics read no other part of a snapshot

Sample = float | datetime | None
Values = Callable[["Snapshot"], Sample | Mapping[str, Sample] | Mapping[tuple[str, str], Sample]]


@dataclass(frozen=True)
class Metric:
    """A metric: its name without `vinops_` (a counter ends with `_total`), its help text, and its value.

    With labels the value is a mapping from their values. A time is exported as the seconds since.
    """

    name: str
    about: str
    value: Values
    labels: tuple[str, ...] = ()

    def samples(self, snapshot: Snapshot) -> Iterator[tuple[tuple[str, ...], float]]:
        """Yield the values of the labels, and the value of the metric."""
        found = self.value(snapshot)
        for labels, value in (found if isinstance(found, Mapping) else {(): found}).items():
            if isinstance(value, datetime):
                value = max((snapshot.at - value).total_seconds(), 0.0)
            if value is not None:
                yield (labels,) if isinstance(labels, str) else labels, float(value)


def _runs(value: Callable[[CrawlRun], Sample]) -> Values:
    return lambda s: {worker.name: value(worker.run) for worker in s.workers or () if worker.run}


def _running(value: Callable[[Worker, CrawlRun], Sample]) -> Values:
    return lambda s: {
        each.name: value(each, each.run) for each in s.workers or () if each.run and each.state == "running"
    }


def _hosts(value: Callable[[Host], Sample]) -> Values:
    return lambda s: {host.host: value(host) for host in s.hosts or ()}


def _stages(value: Callable[[Backlog, Snapshot], Sample]) -> Values:
    return lambda s: {stage.stage: value(stage, s) for stage in (s.deals.stages if s.deals else ())}


def _lots(value: Callable[[Backlog, Snapshot], Sample]) -> Values:
    return lambda s: {stage.stage: value(stage, s) for stage in (s.deals.lots if s.deals else ())}


def _disks(value: Callable[[Disk], Sample]) -> Values:
    return lambda s: {name: value(disk) for name, disk in s.machine.disks.items()} if s.machine else None


def _states(s: Snapshot) -> Mapping[tuple[str, str], Sample]:
    return {(worker.name, state): worker.state == state for worker in s.workers or () for state in STATES}


def _rows(s: Snapshot) -> Mapping[str, Sample]:
    return {name: getattr(s.feed, name, None) for name in ("new", "changed", "gone", "rejected")}


def _processes(s: Snapshot) -> Mapping[str, Sample]:
    found = s.celery
    return {"worker": len(found.workers), "child": found.children, "beat": len(found.beats)} if found else {}


def _levels(s: Snapshot) -> Mapping[str, Sample]:
    levels = [line.level for line in health.judge(s).lines]
    return {level.value.lower(): levels.count(level) for level in Level}


def _makes(s: Snapshot) -> Mapping[str, Sample]:
    return {make.slug: make.complete_at for make in s.market.makes} if s.market else {}


def _oldest_alert(s: Snapshot) -> Sample:
    return None if s.watching is None else s.watching.oldest or s.at


WORKER, MAKE, HOST, STAGE, STATE = ("worker",), ("make",), ("host",), ("stage",), ("state",)

METRICS: Final = (
    Metric("worker_state", "1 for the state that the worker is in.", _states, ("worker", "state")),
    Metric("worker_items_total", "Items (ads, photos) of the current run.", _runs(lambda run: run.items), WORKER),
    Metric("worker_done_total", "Pages or lots done in the current run.", _runs(lambda run: run.done), WORKER),
    Metric("worker_expected", "Pages or lots that the run expects.", _runs(lambda run: run.total), WORKER),
    Metric("worker_refusals_total", "Refusals in the current run.", _runs(lambda run: run.refusals), WORKER),
    Metric("worker_heartbeat_age_seconds", "Age of the heartbeat.", _running(lambda _, run: run.heartbeat_at), WORKER),
    Metric("worker_uptime_seconds", "Age of the process.", _running(lambda worker, _: worker.started_at), WORKER),
    Metric("feed_age_seconds", "Time since the feed last ended well.", lambda s: s.feed and s.feed.good_at),
    Metric("feed_rows", "Rows of the last file that was loaded, by their outcome.", _rows, STATE),
    Metric("photo_lots", "Active lots by the state of their photos.", lambda s: s.photos and s.photos.lots, STATE),
    Metric("photo_coverage_ratio", "Share of active lots with all photos.", lambda s: s.photos and s.photos.share),
    Metric("photo_first_ratio", "Share past the first pass.", lambda s: s.photos and s.photos.first_share),
    Metric("photo_any_ratio", "Share with a photo at least.", lambda s: s.photos and s.photos.photo_share),
    Metric("photo_lost_lots", "Lots that left in a day without one.", lambda s: s.photos and s.photos.lots_lost),
    Metric("photo_drain_seconds", "Time until all lots have photos.", lambda s: s.photos and s.photos.seconds_to_go),
    Metric("newest_age_seconds", "Time since the newest ads were read.", lambda s: s.market and s.market.newest_at),
    Metric("make_complete_age_seconds", "Time since a make was last complete.", _makes, MAKE),
    Metric("walk_expected_seconds", "Time that a full walk takes.", lambda s: s.market and s.market.walk_seconds),
    Metric("host_requests_total", "Requests reserved today (UTC).", _hosts(lambda host: host.requests), HOST),
    Metric("host_refusals_in_row", "Refusals in a row.", _hosts(lambda h: h.refusals_in_row), HOST),
    Metric("host_breaker_open", "1 while the breaker is open.", _hosts(lambda h: h.open_until is not None), HOST),
    Metric("deal_waiting", "Ads that wait for a stage.", _stages(lambda stage, _: stage.waiting), STAGE),
    Metric("deal_oldest_seconds", "Time the oldest waits.", _stages(lambda stage, s: stage.oldest or s.at), STAGE),
    Metric("deal_dead", "Ads that were given up.", _stages(lambda stage, _: stage.dead), STAGE),
    Metric("lot_waiting", "Lots that wait for a stage.", _lots(lambda stage, _: stage.waiting), STAGE),
    Metric("lot_oldest_seconds", "Time the oldest waits.", _lots(lambda stage, s: stage.oldest or s.at), STAGE),
    Metric("lot_dead", "Lots that were given up.", _lots(lambda stage, _: stage.dead), STAGE),
    Metric("deal_posted_today", "Deals posted since midnight (UTC).", lambda s: s.deals and s.deals.posted_today),
    Metric("deal_posts_waiting", "Messages that wait to be posted.", lambda s: s.deals and s.deals.waiting_posts),
    Metric("watches", "Watches of people.", lambda s: s.watching and s.watching.watches),
    Metric("watch_messages_waiting", "Messages of alerts that wait.", lambda s: s.watching and s.watching.waiting),
    Metric("watch_oldest_seconds", "Time that the oldest alert waits.", _oldest_alert),
    Metric("cpu_ratio", "Share of the CPU in use.", lambda s: s.machine and s.machine.cpu),
    Metric("load", "Runnable processes, mean of the last minute.", lambda s: s.machine and s.machine.load),
    Metric("memory_ratio", "Share of the memory in use.", lambda s: s.machine and s.machine.memory),
    Metric("memory_free_bytes", "Memory that is available.", lambda s: s.machine and s.machine.memory_free),
    Metric("disk_ratio", "Share of the disk of the folder in use.", _disks(lambda disk: disk.share), STATE),
    Metric("disk_free_bytes", "Free space on that disk.", _disks(lambda disk: disk.free), STATE),
    Metric("log_files_bytes", "Size of the log files.", lambda s: s.logs and s.logs.bytes),
    Metric("log_errors", "Errors logged in the last hour.", lambda s: s.logs and s.logs.errors),
    Metric("database_up", "1 while the database answers.", lambda s: s.database.error is None),
    Metric("database_size_bytes", "Size of the database.", lambda s: s.database.size),
    Metric("database_rows_written_total", "Rows inserted and updated.", lambda s: s.database.rows_written),
    Metric("database_connections", "Connections in use.", lambda s: s.database.connections),
    Metric("database_connections_limit", "Connections that are allowed.", lambda s: s.database.most_connections),
    Metric("clock_offset_seconds", "By how much the database's clock is ahead.", lambda s: s.database.clock_offset),
    Metric("celery_processes", "Celery processes of this data folder.", _processes, STATE),
    Metric("backup_age_seconds", "Age of the newest backup.", lambda s: s.backup and s.backup.at),
    Metric("alerts_open", "Open alerts.", lambda s: None if s.alerts is None else len(s.alerts)),
    Metric("health_lines", "Lines of `vinops health` by their level.", _levels, STATE),
    Metric("health_exit_code", "Exit code of `vinops health`.", lambda s: health.judge(s).exit_code),
    Metric("snapshot_seconds", "Time that taking the snapshot took.", lambda s: s.seconds),
)


def families(snapshot: Snapshot) -> Iterator[Family]:
    """Yield the metrics of a snapshot for prometheus_client."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    for metric in METRICS:
        kind = CounterMetricFamily if metric.name.endswith("_total") else GaugeMetricFamily
        family = kind(f"vinops_{metric.name}", metric.about, labels=metric.labels)
        for labels, value in metric.samples(snapshot):
            family.add_metric(labels, value)
        yield family


class Collector:
    """Collects metrics for a registry. Of two requests at once the second gets the snapshot of the first."""

    def __init__(self, observe: Callable[[], Snapshot]) -> None:
        """Take snapshots with `observe`."""
        self._observe = observe
        self._lock = threading.Lock()
        self._seen: tuple[float, Snapshot] | None = None

    def describe(self) -> list[Family]:
        """Return nothing: registering must not query the database."""
        return []

    def collect(self) -> Iterator[Family]:
        """Yield all metrics."""
        with self._lock:
            if self._seen is None or time.monotonic() - self._seen[0] > FRESH:
                self._seen = (time.monotonic(), self._observe())
            snapshot = self._seen[1]
        yield from families(snapshot)


def exposition(snapshot: Snapshot) -> str:
    """Return the metrics as text, as Prometheus reads it."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(Collector(lambda: snapshot))
    return generate_latest(registry).decode()
