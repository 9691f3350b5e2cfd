"""What the health check says: lines with a level, and the thresholds that they are judged by."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from vinops_scrapy.shortfalls import MOST_FAILED

if TYPE_CHECKING:
    from datetime import datetime

MINUTE: Final = 60.0
HOUR: Final = 3600.0
DAY: Final = 86_400.0
MB: Final = 1_000_000
GB: Final = 1_000_000_000


class Level(Enum):
    """How a thing stands."""

    OK = "OK"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"
    UNKNOWN = "UNKNOWN"


EXIT: Final = {Level.OK: 0, Level.WARNING: 1, Level.CRITICAL: 2, Level.UNKNOWN: 3}
GRAVITY: Final = (Level.OK, Level.WARNING, Level.UNKNOWN, Level.CRITICAL)
"""What decides: what is known to be bad, then what nobody knows, then what is not good."""


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """From where on a figure is not good (`_warning`) and bad (`_critical`). Times are in seconds."""

    # Of the silence after which a process counts as hung: ten missed heartbeats are no hiccup any more.
    heartbeat_warning: float = 0.1
    # The careful pace asks every few seconds; sessions pause for seconds, Retry-After seldom asks for more than this.
    quiet: float = 15 * MINUTE
    # The sweep rings every 10 seconds and a dead worker's lease ends after two minutes.
    backlog_warning: float = 15 * MINUTE
    backlog_critical: float = 2 * HOUR
    # The timer loads every 15 minutes: three missed, then a morning's worth of sales.
    feed_warning: float = 45 * MINUTE
    feed_critical: float = 3 * HOUR
    # Lots come and go all day. What lacks photos is no fault as long as it takes no longer than lots stay in the feed.
    coverage: float = 0.9
    drain_days: float = 7
    # Of the photos, lots, pages and ads of a run: vinops_scrapy/shortfalls.py judges, this is what it judges by.
    failed: float = MOST_FAILED
    # A photo crawl every eight hours is what the README advises: a day without one is three missed.
    photos_idle: float = DAY
    # One a day, and an hour or two of patience with a slow one.
    backup_warning: float = 26 * HOUR
    backup_critical: float = 3 * DAY
    disk_warning: float = 0.8
    disk_critical: float = 0.9
    # 17 logs of 10 MB, five old ones of each, is what rotation leaves at the most.
    logs_warning: int = 1 * GB
    logs_critical: int = 5 * GB
    # A file is rotated at 10 MB: one of twice that is not.
    unrotated: int = 20 * MB
    cpu: float = 0.95
    load_warning: float = 2.0  # processes that want to run, a core
    load_critical: float = 8.0
    memory_warning: float = 0.9
    memory_critical: float = 0.97
    # A page that failed after its retries is one; five an hour have a common cause.
    errors_warning: int = 5
    errors_critical: int = 50
    connections: float = 0.8
    # Leases are minutes long and times are the database's: seconds do no harm yet.
    clock_warning: float = 2
    clock_critical: float = 30


@dataclass(frozen=True, kw_only=True)
class Line:
    """One thing: how it stands, the figure that says so, where the threshold is, the command that mends it."""

    name: str
    level: Level
    figure: str
    threshold: str = ""
    mend: str = ""


@dataclass(frozen=True, kw_only=True)
class Health:
    """All lines, in a fixed order."""

    at: datetime
    lines: tuple[Line, ...]

    @property
    def level(self) -> Level:
        """The gravest of the lines."""
        return max((line.level for line in self.lines), key=GRAVITY.index, default=Level.UNKNOWN)

    @property
    def exit_code(self) -> int:
        """What the command exits with."""
        return EXIT[self.level]

    @property
    def summary(self) -> str:
        """One line that says it all."""
        bad = [
            f"{level.value}: {', '.join(line.name for line in self.lines if line.level is level)}"
            for level in reversed(GRAVITY[1:])
            if any(line.level is level for line in self.lines)
        ]
        return "; ".join(bad) if bad else f"OK: {len(self.lines)} of {len(self.lines)} as they should be"

    @property
    def alarms(self) -> tuple[Line, ...]:
        """The lines that are not OK, the gravest first; without those that only follow from a database that is away."""
        follow = Level.UNKNOWN if self._is_away else None
        found = [line for line in self.lines if line.level not in {Level.OK, follow}]
        return tuple(sorted(found, key=lambda line: -GRAVITY.index(line.level)))

    @property
    def _is_away(self) -> bool:
        return any(line.name == "database" and line.level is Level.CRITICAL for line in self.lines)
