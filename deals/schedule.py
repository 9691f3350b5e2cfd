"""What is done by the clock. When it was last done stands in `ops.scheduled_tasks`, not in beat.

The sweep rings for a task whose time has come since. So a night without a broker, a worker or a database costs the
time until they are back, and not a day.
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
    "train": crontab(hour="3", minute="30"),
    "rescore": crontab(hour="4", minute="30"),
}
"""The tasks, and their times in UTC."""

AGAIN: Final = 900.0  # seconds until another worker is told: longer than a task may take


def is_due(task: str, *, done_at: datetime, now: datetime) -> bool:
    """Tell whether the time of a task has come since it was last done."""
    since, rest, _ = TIMES[task].remaining_delta(done_at.astimezone(UTC), tz=UTC)
    return bool(since + rest <= now)


def due(connection: Connection[Any]) -> list[str]:
    """Return the tasks whose time has come and of which no worker was told lately; they count as told from now on.

    Commits. If the process dies before it tells, or the worker before it is done, they are due again after AGAIN
    seconds.
    """
    rows = connection.execute(queries("deals")["scheduled"]).fetchall()
    found = [task for task, done_at, now in rows if task in TIMES and is_due(task, done_at=done_at, now=now)]
    about = [{"task": task, "seconds": AGAIN} for task in found]
    return [
        each["task"]
        for each in about
        if connection.execute(queries("deals")["ring_scheduled"], each).fetchone() is not None
    ]


def finish(connection: Connection[Any], task: str) -> None:
    """Note that a task was done to its end. Done twice, or not noted, it is only done once more."""
    connection.execute(queries("deals")["finish_scheduled"], {"task": task})
