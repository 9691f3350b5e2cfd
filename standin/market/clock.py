"""The clock of a market that changes by itself: real time, faster or slower, or standing still."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class Clock:
    """Tells the time of a market, which passes `speed` times as fast as real time; 0 stands still."""

    def __init__(self, start: datetime, *, speed: float = 0.0, real: Callable[[], float] = time.time) -> None:
        """Begin at `start`; `real` gives real time in seconds. Raises ValueError for a speed below 0 or infinite."""
        self._real = real
        self._began, self._at = start, real()
        self.speed = 0.0
        self.run(speed)

    @property
    def now(self) -> datetime:
        """Return the time of the market."""
        return self._began + timedelta(seconds=max(self._real() - self._at, 0.0) * self.speed)

    def run(self, speed: float) -> None:
        """Go on from now at another speed. Raises ValueError for one below 0 or infinite."""
        if not (speed >= 0 and math.isfinite(speed)):
            message = f"the speed of the clock must be at least 0, not {speed:g}"
            raise ValueError(message)
        self._began, self._at = self.now, self._real()
        self.speed = speed

    def skip(self, passed: timedelta) -> None:
        """Let time pass at once."""
        self._began += passed


def milliseconds(moment: datetime) -> int:
    """Return a time in milliseconds since 1970."""
    return (moment - _EPOCH) // _MILLISECOND


def moment(at: int) -> datetime:
    """Return the time that is so many milliseconds after 1970."""
    return _EPOCH + at * _MILLISECOND
