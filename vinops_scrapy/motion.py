"""Whether a crawl progresses: tells a working crawl from one that hangs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vinops_scrapy.spiders.base import CrawlProgress

RESULTS: Final = ("lot/", "photo/", "listing/", "detail/", "walk/", "newest/", "recheck/", "session/paused_seconds")
"""Prefixes of the statistics that count results of lots, photos and ads. Requests and responses are not among them:
they go on for a while when nothing uses them. A pause between two sessions counts while it lasts."""


class Motion:
    """Records when a crawl last completed something, well or not, and until when it waits on purpose."""

    def __init__(self, *, still_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """A crawl stands still when nothing has been completed for more than `still_seconds`."""
        self._still_seconds = still_seconds
        self._clock = clock
        self._moved_at = clock()
        self._results: tuple[float, ...] = (0, 0, 0)

    def rest(self, seconds: float) -> None:
        """Note that the crawl waits on purpose for `seconds`, as for its place in a budget."""
        self._moved_at = max(self._moved_at, self._clock() + seconds)

    def still(self, progress: CrawlProgress, stats: Mapping[str, Any]) -> float:
        """Return for how many seconds the crawl has stood still; 0 while it progresses or waits on purpose."""
        counts = [value for name, value in stats.items() if name.startswith(RESULTS)]
        results = (progress.done, progress.items, sum(each for each in counts if isinstance(each, (int, float))))
        if results != self._results:
            self._results = results
            self._moved_at = max(self._moved_at, self._clock())
        seconds = self._clock() - self._moved_at
        return seconds if seconds > self._still_seconds else 0.0
