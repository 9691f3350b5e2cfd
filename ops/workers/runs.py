"""What the database knows of programs: which are wanted on this machine, their runs, and runs of theirs elsewhere."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ops.workers.processes import descendants, identify
from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from psycopg import Connection

    from ops.workers.processes import ProcessStatus, State
    from ops.workers.registry import Program


@dataclass(frozen=True, kw_only=True)
class CrawlRun:
    """The run of a process: how far it is, why it ended, and how many seconds ago its last heartbeat was."""

    pid: int
    reason: str | None
    current_item: str | None
    unit: str
    done: int
    total: int | None
    items: int
    items_per_minute: float | None
    heartbeat_at: datetime
    seconds_silent: float


def want(connection: Connection[Any], programs: Sequence[Program], desired: State) -> None:
    """Record that an operator wants these programs to be `running` or `stopped` on this machine."""
    connection.execute(
        queries("workers")["want_running" if desired == "running" else "want_stopped"],
        {"machine": socket.gethostname(), "workers": [program.name for program in programs]},
    )


def retire(connection: Connection[Any], programs: Sequence[Program]) -> None:
    """Record that these programs are no longer expected on this machine."""
    about = {"machine": socket.gethostname(), "workers": [program.name for program in programs]}
    connection.execute(queries("workers")["retire"], about)


def newest(connection: Connection[Any], found: Sequence[ProcessStatus]) -> dict[str, CrawlRun]:
    """Return the newest run of each process by the name of its program; of one that has ended, its last run.

    A run of a process below it counts too: the main process of a unit is not the crawl.
    """
    processes: dict[int, ProcessStatus] = {}
    for status in found:
        if status.identity is None or status.started_at is None:
            continue
        below = [each.pid for each in descendants(status.identity.pid)] if status.state == "running" else []
        processes |= dict.fromkeys([*below, status.identity.pid], status)
    started = {pid: status.started_at for pid, status in processes.items() if status.started_at}
    newest_last = sorted(of_processes(connection, started), key=lambda run: -run.seconds_silent)
    return {processes[run.pid].program.name: run for run in newest_last}


def of_processes(connection: Connection[Any], started: Mapping[int, datetime]) -> list[CrawlRun]:
    """Return the newest run of each of these processes of this machine, by id with the time of its start."""
    cursor = connection.execute(
        queries("workers")["runs_of_processes"],
        {"machine": socket.gethostname(), "pids": list(started), "times": list(started.values())},
    )
    names = [column.name for column in cursor.description or ()]
    return [CrawlRun(**dict(zip(names, row, strict=True))) for row in cursor.fetchall()]


def elsewhere(connection: Connection[Any], programs: Sequence[Program]) -> dict[str, str]:
    """Return which of these crawls run without having been started here, and where: by hand, or on another machine.

    Shared ones are left out: any number of machines may run them.
    """
    exclusive = {(program.spider, program.worker): program.name for program in programs if not program.is_shared}
    here = socket.gethostname()
    rows = connection.execute(
        queries("workers")["live_runs"],
        {"spiders": [spider for spider, _ in exclusive], "workers": [worker for _, worker in exclusive]},
    ).fetchall()
    return {
        exclusive[spider, worker]: f"PID {pid}" if machine == here else f"PID {pid} on {machine}"
        for machine, pid, spider, worker in rows
        if machine != here or identify(pid) is not None
    }
