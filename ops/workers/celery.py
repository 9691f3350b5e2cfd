"""What is particular to Celery's worker and beat: processes that were started by hand, leftovers of the broker, and
when they count as silent.

What they do and how many at once is in deals/app.py. A process that was started by hand is found by its command line
and its data folder (by_hand.py): two workers share the work without harm, two beats send each task twice.
"""

from __future__ import annotations

import json
import shutil
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops import log_files
from ops.workers import backends, by_hand, registry
from ops.workers.holds import Hold
from ops.workers.processes import Processes
from vinops.db.database import queries
from vinops.text import figures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from deals.broker.state import BrokerState
    from ops.workers.processes import ProcessStatus
    from vinops.config import Settings


def duplicates(settings: Settings, status: ProcessStatus) -> tuple[int, ...]:
    """Return the processes started by hand that do the same work on this data folder."""
    return by_hand.duplicates(settings, status.program, status.pid)


def held_by_hand(settings: Settings, status: ProcessStatus) -> Hold | None:
    """Return why this program must not be started: one that was started by hand runs already; None if none does."""
    found = () if status.state == "running" else duplicates(settings, status)
    if not found:
        return None
    text = f"one that was started by hand runs: PID {', '.join(map(str, found))}; `vinops celery restart` ends it first"
    return Hold(reason="elsewhere", text=text, pid=found[0])


def clean(settings: Settings) -> list[str]:
    """Remove what dead processes left, rotate the logs, and return what was done, a line each. What runs is left alone.

    Messages that can be read stay: they announce work that is recorded in PostgreSQL. One that cannot be read is moved
    aside, and the sweep sends a new one. If this process dies in here the next call continues.
    """
    programs = registry.celery(settings)
    found = backends.backend(settings, programs).status(programs)
    runs = [each.program.title for each in found if each.state == "running" or duplicates(settings, each)]
    processes = Processes(registry.run_folder(settings))
    done = [f"removed the stale {name} of {program.title}" for program in programs for name in processes.clear(program)]
    done += [f"left the broker alone: {' and '.join(runs)} runs"] if runs else _clean_broker(settings)
    rotated = log_files.rotate(settings, [program.log for program in programs])
    return done + [f"rotated {path.name}, {figures.size(size)}" for path, size in rotated]


def silences(
    connection: Connection[Any],
    settings: Settings,
    found: Sequence[ProcessStatus],
    *,
    sees_since: float | None,
) -> tuple[dict[str, float], dict[str, Hold]]:
    """Return for how many seconds each has done nothing although it could, and what holds it up, by name.

    The database has been reachable for `sees_since` seconds (None: for a long time). The broker is queried only if one
    of them has ended or has done nothing for too long.
    """
    row = connection.execute(queries("workers")["task_progress"], {"machine": socket.gethostname()}).fetchone()
    here, anywhere = row or (None, None)
    now = datetime.now(UTC)
    ups = {
        each.program.name: min((now - each.started_at).total_seconds(), _or_ever(sees_since))
        for each in found
        if each.state == "running" and each.started_at
    }
    suspects = [
        each
        for each in found
        if each.state != "running" or min(ups.get(each.program.name, 0.0), _or_ever(here)) > settings.worker_silence
    ]
    if not suspects:
        return dict.fromkeys(ups, 0.0), {}
    broker = broker_state(settings)
    silent = {
        name: silence(
            is_beat=name == registry.CELERY_BEAT,
            up=up,
            here=here,
            anywhere=anywhere,
            waiting=broker.waiting,
            beat_runs=registry.CELERY_BEAT in ups,
        )
        for name, up in ups.items()
    }
    holds = {each.program.name: hold for each in found if (hold := held_by_hand(settings, each))}
    if broker.trouble is not None:
        away = Hold(reason="broker", text=f"the broker takes no messages: {broker.trouble}")
        holds = {each.program.name: away for each in suspects} | holds
    return silent, holds


def silence(
    *, is_beat: bool, up: float | None, here: float | None, anywhere: float | None, waiting: int, beat_runs: bool
) -> float:
    """Return for how many seconds Celery's worker, or beat, has done nothing although there was something to do.

    `here` and `anywhere` are how many seconds ago a worker of this machine, and of any, last finished a task; beat
    sends one every two seconds. If messages are `waiting` in the broker that is the worker's fault, if none is it is
    beat's. A worker whose queues are gone from the broker finds none either: it is silent, too, while a beat runs.
    """
    if is_beat:
        return 0.0 if waiting else min(_or_ever(up), _or_ever(anywhere))
    return min(_or_ever(up), _or_ever(here)) if waiting or beat_runs else 0.0


def broker_state(settings: Settings) -> BrokerState:
    """Query the broker: how many messages wait, and whether it accepts messages."""
    from celery import Celery  # with deals.app half a second, for a question that is seldom asked

    from deals.app import configuration
    from deals.broker import state

    app = Celery("supervise", set_as_current=False)
    app.conf.update({**configuration(settings), "include": []})
    return state.ask(app)


def _or_ever(seconds: float | None) -> float:
    return float("inf") if seconds is None else seconds


def _clean_broker(settings: Settings) -> list[str]:
    if settings.celery_broker_url is not None:
        return []
    folder = settings.data_dir / "celery"
    done, waiting = [], 0
    for path in sorted((folder / "messages").glob("*.msg")):
        if _is_message(path):
            waiting += 1
            continue
        aside = folder / "unreadable"
        aside.mkdir(exist_ok=True)
        shutil.move(path, aside / path.name)
        done.append(f"moved the message {path.name}, which cannot be read, to {aside}: the sweep sends a new one")
    if waiting:
        done.append(f"kept {waiting} messages: the next worker reads them")
    return done


def _is_message(path: Path) -> bool:
    try:
        found: Any = json.loads(path.read_bytes())
    except FileNotFoundError:
        return True  # a worker has read it
    except ValueError:
        return False
    return isinstance(found, dict) and "body" in found
