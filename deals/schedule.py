"""The scheduled tasks. The time of their last completion is in `ops.scheduled_tasks`, not in Celery beat.

The sweep sends each task that has become due since then. After a night without a broker, a worker or a database, the
tasks therefore run as soon as these are back, not a day later.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from celery.schedules import crontab

from vinops.db.database import queries

if TYPE_CHECKING:
    from datetime import datetime

    from psycopg import Connection

TIMES: Final = {
    "demand": crontab(minute="7"),
    "market": crontab(hour="2", minute="30"),
    "train": crontab(hour="3", minute="30"),
    "rescore": crontab(hour="4", minute="30"),
    "measure": crontab(hour="5", minute="0"),
    "train_lots": crontab(hour="5", minute="30"),
    "value_lots": crontab(hour="6", minute="15"),
    "exchange_rate": crontab(hour="*/4", minute="20"),
}
"""The scheduled tasks and their times, in UTC."""

AGAIN: Final = 900.0  # seconds until a task is sent again: longer than one may take


def is_due(task: str, *, done_at: datetime, now: datetime) -> bool:
    """Tell whether a task has become due since it was last completed."""
    since, rest, _ = TIMES[task].remaining_delta(done_at.astimezone(UTC), tz=UTC)
    return bool(since + rest <= now)


def due(connection: Connection[Any]) -> list[str]:
    """Return the tasks that are due and were not announced to workers lately; now they are. Commits.

    If the process dies before it sends them, or the worker before it completes them, they are due again after AGAIN
    seconds.
    """
    statements = queries("deals")
    rows = connection.execute(statements["scheduled"]).fetchall()
    return [
        task
        for task, done_at, now in rows
        if task in TIMES
        and is_due(task, done_at=done_at, now=now)
        and connection.execute(statements["announce_scheduled"], {"task": task, "seconds": AGAIN}).fetchone()
    ]


def finish(connection: Connection[Any], task: str) -> None:
    """Record that a task was completed. If the record is lost, the task runs once more."""
    connection.execute(queries("deals")["finish_scheduled"], {"task": task})
