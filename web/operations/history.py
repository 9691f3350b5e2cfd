"""What /ops plots over time: runs of the feed, photo coverage, messages. Statements of sql/queries/operations.sql."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from psycopg.rows import dict_row

from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from psycopg import Connection

RUNS: Final = 96
"""Runs of the feed: a day of one each quarter of an hour."""
DAYS: Final = 30
"""Days of photo coverage."""
TOTAL: Final = "total"
MOST_STEPS: Final = 7
"""Steps with a color of their own: a load has some thirty, of which most take a hundredth of a second."""


@dataclass(frozen=True, kw_only=True)
class FeedRun:
    """A run of the feed. `seconds` are those of its steps, in their order; `total` all of them, None if not known."""

    at: datetime
    status: str
    reason: str | None
    rows: int | None
    new: int | None
    changed: int | None
    gone: int | None
    seconds: Mapping[str, float]
    total: float | None


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How many lots were active in an hour, had a photo, were past the first pass, had all photos."""

    at: datetime
    lots: int
    with_photo: int
    past_first: int
    with_all: int


@dataclass(frozen=True, kw_only=True)
class Messages:
    """How many messages to the channel ended so in a day, and when the last one did."""

    state: str
    messages: int
    last_at: datetime


@dataclass(frozen=True, kw_only=True)
class History:
    """All of it, each the oldest first."""

    runs: Sequence[FeedRun] = ()
    coverage: Sequence[Coverage] = ()
    messages: Sequence[Messages] = ()

    @property
    def steps(self) -> list[str]:
        """The steps of the runs that take longest, at most MOST_STEPS, in the order in which they are reached."""
        steps = dict.fromkeys(step for run in reversed(self.runs) for step in run.seconds)
        taken = {step: sum(run.seconds.get(step, 0.0) for run in self.runs) for step in steps}
        longest = sorted(taken, key=lambda step: -taken[step])[:MOST_STEPS]
        return [step for step in steps if step in longest]

    @property
    def has_other_steps(self) -> bool:
        """Whether the runs have further steps, which are shown as one."""
        return bool({step for run in self.runs for step in run.seconds} - set(self.steps))


def read(connection: Connection[Any], *, runs: int = RUNS, days: int = DAYS) -> History:
    """Return what is plotted: three short statements."""
    statements = queries("operations")
    with connection.cursor(row_factory=dict_row) as cursor:
        feed = cursor.execute(statements["feed_runs"], {"count": runs}).fetchall()
        coverage = cursor.execute(statements["coverage"], {"days": days}).fetchall()
        messages = cursor.execute(statements["messages"]).fetchall()
    return History(
        runs=[_run(row) for row in feed],
        coverage=[Coverage(**row) for row in coverage],
        messages=[Messages(**row) for row in messages],
    )


def _run(row: dict[str, Any]) -> FeedRun:
    seconds = {str(name): float(value) for name, value in (row.pop("seconds") or {}).items()}
    total = seconds.pop(TOTAL, None)
    return FeedRun(**row, seconds=seconds, total=total if total is not None else sum(seconds.values()) or None)
