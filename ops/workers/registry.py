"""The workers: a market crawl for each group of makes, and the photo crawl. Who they are, and what starts them.

Plain processes here, systemd units where those are installed (`workers_systemd.py`), behind one interface.
"""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ops.workers.processes import Program, Standing, State, descendants, identify
from vinops.db.database import queries
from vinops_scrapy.hosts import hosts_of, netloc
from vinops_scrapy.mobile_bg.makes import read_makes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from psycopg import Connection

    from vinops.config import Settings

PHOTOS: Final = "photos"


@dataclass(frozen=True, kw_only=True)
class WorkerStatus:
    """How a worker is. `dead`: it was started, and its process is gone without an end of its own. `pid` is None when it
    does not run; `last_pid` stays."""

    name: str
    makes: tuple[str, ...]
    state: State
    pid: int | None
    started_at: datetime | None
    ended_at: datetime | None
    exit_code: int | None
    log: Path
    last_pid: int | None = None

    @property
    def title(self) -> str:
        """How people are told of it: `Worker 1 (Mercedes-Benz, BMW)`."""
        return title(self.name, self.makes)


def names(settings: Settings) -> tuple[str, ...]:
    """Return the names of all workers: those of the makes file, then the photo crawl. Raises ConfigError."""
    return (*map(str, read_makes(settings.makes_file).workers), PHOTOS)


def makes_of(settings: Settings, name: str) -> tuple[str, ...]:
    """Return the makes that a worker walks; none for the photo crawl."""
    if name == PHOTOS:
        return ()
    return tuple(make.name for make in read_makes(settings.makes_file).of_worker(int(name)))


def title(name: str, makes: Sequence[str]) -> str:
    """Return how people are told of a worker, or of a process of Celery."""
    if name.startswith("celery_"):
        return name.replace("_", " ").capitalize()
    return "Photo crawl" if name == PHOTOS else f"Worker {name} ({', '.join(makes)})"


def log_of(settings: Settings, name: str) -> Path:
    """Return the log that a worker writes."""
    return settings.log_dir / ("photo-scraper.log" if name == PHOTOS else f"worker_{name}.log")


def hosts_of_worker(settings: Settings, name: str) -> frozenset[str]:
    """Return the hosts that a worker asks."""
    return hosts_of(settings) if name == PHOTOS else frozenset({netloc(settings.mobile_bg_url)})


def run_folder(settings: Settings) -> Path:
    """Return the folder of locks and notes of what runs."""
    return settings.data_dir / "run"


def worker_program(settings: Settings, name: str) -> Program:
    """Return what is run as a worker. `env` names the settings of Scrapy: from any folder, without its scrapy.cfg."""
    spider = ("lot_photos",) if name == PHOTOS else ("mobile_bg", "-a", f"worker={name}")
    log = log_of(settings, name)
    return Program(
        name=f"worker_{name}",
        title=title(name, makes_of(settings, name)),
        command=(
            *("env", "SCRAPY_SETTINGS_MODULE=vinops_scrapy.settings"),
            *(sys.executable, "-m", "scrapy", "crawl", *spider),
        ),
        log=log,
        errors=log.with_suffix(".err"),
    )


def status_of(settings: Settings, name: str, standing: Standing) -> WorkerStatus:
    """Return the status of a worker whose process is as `standing` says."""
    return WorkerStatus(
        name=name,
        makes=makes_of(settings, name),
        state=standing.state,
        pid=standing.pid,
        started_at=standing.started_at,
        ended_at=standing.ended_at,
        exit_code=standing.exit_code,
        log=log_of(settings, name),
        last_pid=standing.identity.pid if standing.identity else None,
    )


def want(connection: Connection[Any], chosen: Sequence[str], desired: State) -> None:
    """Note that an operator wants these workers to be `running` or `stopped` on this machine."""
    connection.execute(
        queries("workers")["want_running" if desired == "running" else "want_stopped"],
        {"machine": socket.gethostname(), "workers": list(chosen)},
    )


@dataclass(frozen=True, kw_only=True)
class Run:
    """The run of a process: why it ended, and for how many seconds it has not been heard of."""

    pid: int
    reason: str | None
    current_item: str | None
    items: int
    items_per_minute: float | None
    seconds_silent: float


def runs(connection: Connection[Any], found: Sequence[WorkerStatus]) -> dict[str, Run]:
    """Return the run of each worker's process, or of the process below it: a unit's main process is no crawl itself.

    Of a worker that does not run any more it is the last run of its process.
    """
    processes: dict[int, WorkerStatus] = {}
    for status in found:
        if status.last_pid is None or status.started_at is None:
            continue
        below = [each.pid for each in descendants(status.last_pid)] if status.state == "running" else []
        processes |= dict.fromkeys([*below, status.last_pid], status)
    rows = connection.execute(
        queries("workers")["runs_of_processes"],
        {
            "machine": socket.gethostname(),
            "pids": list(processes),
            "times": [status.started_at for status in processes.values()],
        },
    ).fetchall()
    fields = ("pid", "reason", "current_item", "items", "items_per_minute", "seconds_silent")
    newest_last = sorted(
        (Run(**dict(zip(fields, row, strict=True))) for row in rows), key=lambda run: -run.seconds_silent
    )
    return {processes[run.pid].name: run for run in newest_last}


def elsewhere(connection: Connection[Any], chosen: Sequence[str]) -> dict[str, str]:
    """Return which of these workers run though nobody here started them, and where: by hand, or on another machine.

    The photo crawl is none of them: any number of machines share its work by leases.
    """
    here = socket.gethostname()
    rows = connection.execute(
        queries("workers")["live_runs"], {"workers": [name for name in chosen if name != PHOTOS]}
    ).fetchall()
    return {
        worker: f"PID {pid}" if machine == here else f"PID {pid} on {machine}"
        for machine, pid, worker in rows
        if machine != here or identify(pid) is not None
    }
