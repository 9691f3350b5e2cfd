"""Whether anything moves in a crawl: what tells one that works from one that only breathes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vinops_scrapy.runs import Standing

OUTCOMES: Final = ("lot/", "photo/", "listing/", "detail/", "walk/", "session/paused_seconds")
"""What came of lots, photos and ads, by the beginnings of their statistics. Requests and answers are none: they go on
for a while when nobody takes what they bring. A pause between two sessions counts while it goes on."""


class Motion:
    """Notes when a crawl last brought something to its end, good or bad, and until when it waits on purpose."""

    def __init__(self, *, still_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """A crawl stands still when nothing has come to its end for so many seconds. It has just begun."""
        self._still_seconds = still_seconds
        self._clock = clock
        self._moved_at = clock()
        self._outcomes: tuple[float, ...] = (0, 0, 0)

    def rest(self, seconds: float) -> None:
        """Note that the crawl waits on purpose for so many seconds, as for its place in a budget."""
        self._moved_at = max(self._moved_at, self._clock() + seconds)

    def still(self, standing: Standing, stats: Mapping[str, Any]) -> float:
        """Return for how many seconds the crawl has stood still; 0 while it moves or waits on purpose."""
        counts = [value for name, value in stats.items() if name.startswith(OUTCOMES)]
        outcomes = (standing.done, standing.items, sum(each for each in counts if isinstance(each, (int, float))))
        if outcomes != self._outcomes:
            self._outcomes = outcomes
            self._moved_at = max(self._moved_at, self._clock())
        seconds = self._clock() - self._moved_at
        return seconds if seconds > self._still_seconds else 0.0
