"""Quiet hours and times of day in a person's zone, with its daylight saving: pure functions.

Times of day are minutes after midnight, and hold as people read them on a clock there: quiet hours from 22 to 8 are an
hour shorter or longer in the nights in which the clock is changed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAY: Final = 24 * 60


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def minute(hour: str, minutes: str | None) -> int | None:
    """Return the minutes after midnight of a time as it is written; 24 is 0. None if there is no such time."""
    found = int(hour) * 60 + int(minutes or 0)
    return found % DAY if found <= DAY and int(minutes or 0) < 60 else None


def written(at: int) -> str:
    """Return a time of day: 8:30."""
    return f"{at // 60}:{at % 60:02}"


def is_quiet(moment: datetime, zone: str, start: int | None, end: int | None) -> bool:
    """Tell whether a moment is within quiet hours, which may cross midnight."""
    if start is None or end is None:
        return False
    local = moment.astimezone(_zone(zone))
    at = local.hour * 60 + local.minute
    return start <= at < end if start < end else at >= start or at < end


def next_time(moment: datetime, zone: str, at: int) -> datetime:
    """Return when it is that time of day next, after `moment`. A time that the clock leaves out comes an hour later;
    of one that it repeats the first counts."""
    local = moment.astimezone(_zone(zone))
    for days in (0, 1, 2):
        day = (local + timedelta(days=days)).date()
        found = datetime(day.year, day.month, day.day, at // 60, at % 60, tzinfo=_zone(zone)).astimezone(UTC)
        if found > moment:
            return found
    raise AssertionError("unreachable")


def after(moment: datetime, seconds: float) -> datetime:
    """Return the time so many seconds later."""
    return moment + timedelta(seconds=seconds)


def midnight(moment: datetime, zone: str) -> datetime:
    """Return when the day of a moment began there."""
    local = moment.astimezone(_zone(zone))
    return datetime(local.year, local.month, local.day, tzinfo=_zone(zone)).astimezone(UTC)


@cache
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")
