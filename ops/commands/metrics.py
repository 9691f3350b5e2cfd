"""`vinops metrics`: the snapshot as Prometheus reads it.

Labels are worker, host, stage and state, and nothing else: a label for a lot or a car would make a series of each.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from ops.checks.lines import Level
from ops.checks.rules import judge
from ops.commands import health
from vinops import config, network, systemd as notify_socket
from vinops.redaction import remember

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.core import Metric

    from ops.observe.snapshot import Snapshot

PORT: Final = 9477
LOOPBACK: Final = network.LOOPBACK
FRESH: Final = 1.0  # seconds that a snapshot answers all who ask
STATES: Final = ("running", "finished", "failed", "stopped", "dead")

Sample: TypeAlias = "tuple[dict[str, str], float]"


def command(
    *,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where to listen.")] = PORT,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    expose: Annotated[
        bool, typer.Option("--expose", help="Allow an address that others can reach: nothing asks for a password.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="Print them and exit.")] = False,
) -> None:
    """Serve the metrics for Prometheus, on loopback."""
    settings = config.load()
    remember(settings)
    if once:
        typer.echo(exposition(health.look_twice(settings, application="vinops metrics")), nl=False)
        return
    if host not in LOOPBACK and not expose:
        raise typer.BadParameter(f"{host} can be reached by others: add --expose if that is meant", param_hint="--host")
    _serve(settings, host, port)


def _serve(settings: config.Settings, host: str, port: int) -> None:
    from prometheus_client import start_http_server
    from prometheus_client.registry import CollectorRegistry

    from ops.observe.observer import Observer

    observer = Observer(settings, application="vinops metrics")
    registry = CollectorRegistry()
    registry.register(Collector(observer.observe))
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise config.ConfigError(f"--port {port} on {host} cannot be had ({error.strerror}): choose another") from None
    typer.echo(f"http://{host}:{port}/metrics", err=True)
    notify_socket.ready()
    try:
        while thread.is_alive():
            notify_socket.alive()
            thread.join((notify_socket.watchdog_seconds() or 30) / 3)
    except KeyboardInterrupt:
        server.shutdown()
    finally:
        notify_socket.stopping()
        observer.close()


def exposition(snapshot: Snapshot) -> str:
    """Return the metrics as text, as Prometheus reads it."""
    from prometheus_client import generate_latest
    from prometheus_client.registry import CollectorRegistry

    registry = CollectorRegistry()
    registry.register(Collector(lambda: snapshot))
    return generate_latest(registry).decode()


class Collector:
    """What the registry asks for metrics. Of two who ask at once the second gets what the first one found."""

    def __init__(self, look: Callable[[], Snapshot]) -> None:
        """Make metrics of what `look` returns."""
        self._look = look
        self._lock = threading.Lock()
        self._seen: tuple[float, Snapshot] | None = None

    def describe(self) -> list[Metric]:
        """Return nothing: registering must not ask the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        with self._lock:
            if self._seen is None or time.monotonic() - self._seen[0] > FRESH:
                self._seen = (time.monotonic(), self._look())
            snapshot = self._seen[1]
        yield from metrics(snapshot)


def metrics(snapshot: Snapshot) -> Iterator[Metric]:
    """Yield the metrics of a snapshot. What is not known has no sample."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    kinds = {"gauge": GaugeMetricFamily, "counter": CounterMetricFamily}
    for kind, name, about, samples in (*_workers(snapshot), *_streets(snapshot), *_machine(snapshot)):
        labels = sorted({label for found, _ in samples for label in found})
        family = kinds[kind](f"vinops_{name}", about, labels=labels)
        for found, value in samples:
            family.add_metric([found[label] for label in labels], value)
        yield family


Described: TypeAlias = "tuple[str, str, str, list[Sample]]"


def _gauge(name: str, about: str, value: float | None) -> Described:
    return "gauge", name, about, [] if value is None else [({}, float(value))]


def _workers(snapshot: Snapshot) -> Iterator[Described]:
    workers = snapshot.workers or ()
    states = [
        ({"worker": worker.name, "state": state}, float(worker.state == state))
        for worker in workers
        for state in STATES
    ]
    runs = [(worker, worker.run) for worker in workers if worker.run is not None]
    yield "gauge", "worker_state", "1 for the state that the worker is in.", states
    going = [(worker, run) for worker, run in runs if worker.state == "running"]
    for kind, name, about, samples in (
        ("counter", "worker_items_total", "Items (ads, photos) of the current run.", [(w, r.items) for w, r in runs]),
        ("counter", "worker_done_total", "Pages or lots done in the current run.", [(w, r.done) for w, r in runs]),
        (
            "gauge",
            "worker_expected",
            "Pages or lots that the run expects.",
            [(w, r.total) for w, r in runs if r.total is not None],
        ),
        ("counter", "worker_refusals_total", "Refusals in the current run.", [(w, r.refusals) for w, r in runs]),
        (
            "gauge",
            "worker_heartbeat_age_seconds",
            "Time since the run's last heartbeat.",
            [(w, max((snapshot.at - r.heartbeat_at).total_seconds(), 0)) for w, r in going],
        ),
        (
            "gauge",
            "worker_uptime_seconds",
            "Time since the worker's process began.",
            [(w, (snapshot.at - w.started_at).total_seconds()) for w, _ in going if w.started_at],
        ),
    ):
        yield kind, name, about, [({"worker": worker.name}, float(value)) for worker, value in samples]


def _streets(snapshot: Snapshot) -> Iterator[Described]:
    feed, photos, deals = snapshot.feed, snapshot.photos, snapshot.deals
    good_at = feed.good_at if feed else None
    yield _gauge("feed_age_seconds", "Time since the feed last ended well.", _age(snapshot, good_at))
    rows = {name: getattr(feed, name) for name in ("new", "changed", "gone", "rejected")} if feed else {}
    yield (
        "gauge",
        "feed_rows",
        "Rows of the last file that was loaded, by what became of them.",
        [({"state": state}, float(count)) for state, count in rows.items() if count is not None],
    )
    lots = photos.lots if photos else {}
    yield (
        "gauge",
        "photo_lots",
        "Active lots by the state of their photos.",
        [({"state": state}, float(count)) for state, count in sorted(lots.items())],
    )
    yield _gauge(
        "photo_coverage_ratio", "Share of active lots with all their photos.", photos.share if photos else None
    )
    days = photos.days_to_drain if photos else None
    yield _gauge(
        "photo_drain_seconds", "Time until all active lots are photographed.", None if days is None else days * 86_400
    )
    hosts = snapshot.hosts or ()
    for kind, name, about, value in (
        ("counter", "host_requests_total", "Requests reserved today (UTC).", lambda host: host.requests),
        ("gauge", "host_refusals_in_row", "Refusals without an answer in between.", lambda host: host.refusals_in_row),
        ("gauge", "host_breaker_open", "1 while the breaker is open.", lambda host: host.open_until is not None),
    ):
        yield kind, name, about, [({"host": host.host}, float(value(host))) for host in hosts]
    stages = deals.stages if deals else ()
    yield (
        "gauge",
        "deal_waiting",
        "Ads that wait for a stage.",
        [({"stage": stage.stage}, float(stage.waiting)) for stage in stages],
    )
    yield (
        "gauge",
        "deal_oldest_seconds",
        "How long the oldest of them has waited.",
        [({"stage": stage.stage}, _age(snapshot, stage.oldest) or 0.0) for stage in stages],
    )
    yield (
        "gauge",
        "deal_dead",
        "Ads that were given up.",
        [({"stage": stage.stage}, float(stage.dead)) for stage in stages],
    )
    yield _gauge("deal_posted_today", "Deals posted since midnight (UTC).", deals.posted_today if deals else None)
    yield _gauge("deal_posts_waiting", "Messages that wait to be posted.", deals.waiting_posts if deals else None)


def _machine(snapshot: Snapshot) -> Iterator[Described]:
    machine, database, logs, celery = snapshot.machine, snapshot.database, snapshot.logs, snapshot.celery
    yield _gauge("cpu_ratio", "How busy the cores are.", machine.cpu if machine else None)
    yield _gauge("load", "Processes that want to run, over the last minute.", machine.load if machine else None)
    yield _gauge("memory_ratio", "Share of the memory in use.", machine.memory if machine else None)
    yield _gauge("memory_free_bytes", "Memory that can still be had.", machine.memory_free if machine else None)
    disks = {"data": machine.data_disk, "logs": machine.log_disk} if machine else {}
    yield (
        "gauge",
        "disk_ratio",
        "Share of the disk in use, below the folder of data or logs.",
        [({"state": name}, disk.share) for name, disk in disks.items()],
    )
    yield (
        "gauge",
        "disk_free_bytes",
        "What is free of it.",
        [({"state": name}, float(disk.free)) for name, disk in disks.items()],
    )
    yield _gauge("log_files_bytes", "Size of the log files.", logs.bytes if logs else None)
    yield _gauge("log_errors", "Errors logged in the last hour.", logs.errors if logs else None)
    yield _gauge("database_up", "1 while the database answers.", database.error is None)
    yield _gauge("database_size_bytes", "Size of the database.", database.size)
    yield (
        "counter",
        "database_rows_written_total",
        "Rows inserted and updated.",
        [] if database.rows_written is None else [({}, float(database.rows_written))],
    )
    yield _gauge("database_connections", "Connections in use.", database.connections)
    yield _gauge("database_connections_limit", "Connections that there may be.", database.most_connections)
    yield _gauge("clock_offset_seconds", "How far the database's clock is ahead.", database.clock_offset)
    found = {"worker": len(celery.workers), "child": celery.children, "beat": len(celery.beats)} if celery else {}
    yield (
        "gauge",
        "celery_processes",
        "Celery processes of this data folder.",
        [({"state": name}, float(count)) for name, count in found.items()],
    )
    yield _gauge(
        "backup_age_seconds", "Age of the newest backup.", _age(snapshot, snapshot.backup and snapshot.backup.at)
    )
    alerts = None if snapshot.alerts is None else len(snapshot.alerts)
    yield _gauge("alerts_open", "Alerts that have not passed.", alerts)
    judged = judge(snapshot)
    levels = [line.level for line in judged.lines]
    yield (
        "gauge",
        "health_lines",
        "Lines of `vinops health` by how they stand.",
        [({"state": level.value.lower()}, float(levels.count(level))) for level in Level],
    )
    yield _gauge(
        "health_exit_code", "What `vinops health` exits with: 0 OK, 1, 2 critical, 3 unknown.", judged.exit_code
    )
    yield _gauge("snapshot_seconds", "How long it took to look.", snapshot.seconds)


def _age(snapshot: Snapshot, since: object) -> float | None:
    from datetime import datetime

    return max((snapshot.at - since).total_seconds(), 0.0) if isinstance(since, datetime) else None
