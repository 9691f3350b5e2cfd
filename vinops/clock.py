"""The clock, and checks that it is right before anything is removed for its age.

A clock that is wrong for a night makes everything look old. Ages are therefore measured against the newest thing of the
same kind, never against the clock alone, and after a jump of the clock nothing is removed until it has kept to the new
time for a while (docs/decisions/0018-backups.md).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

AHEAD: Final = timedelta(hours=1)
"""The largest plausible difference between two clocks, or between a timestamp and an earlier reading of the clock."""
PAUSE: Final = timedelta(days=21)
"""A longer pause without events means that the clock is wrong, unless such pauses are usual."""
USUAL: Final = 3
"""A pause up to this many times the usual one (the median of those before it) is not a jump of the clock."""
TRUST: Final = timedelta(days=7)
"""How long events must have been dated after a jump before the clock is trusted again."""

FIX: Final = "check `date`; `timedatectl set-ntp true` sets it"


class ClockDoubted(Exception):  # noqa: N818 # a state, not a fault
    """The clock may be wrong, so nothing may be removed. The message says why, and what to do."""


class ClocksDiffer(ClockDoubted):
    """Two clocks that should agree do not."""


def now() -> datetime:
    """Return the time by this machine's clock, in UTC."""
    return datetime.now(UTC)


def days_since(seconds: float) -> float:
    """Return how many days ago a moment was, given in seconds since 1970."""
    return (now().timestamp() - seconds) / 86_400


def is_ahead(moment: datetime, at: datetime) -> bool:
    """Tell whether a timestamp is in the future: a clock was wrong when it was made, or is wrong now."""
    return moment - at > AHEAD


def newest(moments: Iterable[datetime], at: datetime) -> datetime | None:
    """Return the newest of the moments that are not in the future; None without one. Ages are measured against it."""
    return max((min(moment, at) for moment in moments if not is_ahead(moment, at)), default=None)


def agreed(ours: datetime, theirs: datetime) -> datetime:
    """Return the time by two clocks: ours or, if it is ahead, the other one, as timestamps in the future do not
    count."""
    return theirs if is_ahead(ours, theirs) else ours


def compare(ours: datetime, theirs: datetime, whose: str) -> None:
    """Raise ClocksDiffer if two clocks do not agree. `whose` names the second one."""
    if abs(ours - theirs) > AHEAD:
        raise ClocksDiffer(
            f"the clock of this machine says {_text(ours)} and that of {whose} {_text(theirs)}: nothing is removed "
            f"until they agree: {FIX}"
        )


def check(history: Iterable[datetime], at: datetime, *, pause: timedelta = PAUSE) -> None:
    """Raise ClockDoubted if the clock may have jumped: the history has a gap longer than `pause`, and events for
    less than TRUST since. Moments in the future do not count."""
    moments = sorted({min(moment, at) for moment in history if not is_ahead(moment, at)} | {at})
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    for place in range(len(gaps) - 1, -1, -1):
        if at - moments[place + 1] >= TRUST:
            return
        if gaps[place] > max(pause, USUAL * _median(gaps[:place])):
            raise ClockDoubted(
                f"it is {_text(at)} by the clock, and nothing happened between {_text(moments[place])} and "
                f"{_text(moments[place + 1])}: the clock may be wrong, and nothing is removed before it has kept to "
                f"this for {TRUST.days} days; if it is wrong: {FIX}"
            )


def _median(gaps: list[timedelta]) -> timedelta:
    return sorted(gaps)[len(gaps) // 2] if gaps else timedelta()


def _text(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
