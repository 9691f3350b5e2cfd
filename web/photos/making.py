"""Work on pictures: each one once at a time, a limited number at once, and none again soon that could not be made."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from vinops.logs import pairs
from web.photos.errors import PhotoError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    Made = Mapping[str, bytes]

MOST_REMEMBERED: Final = 10_000

log = logging.getLogger("web.photos")


class Making:
    """What is being made, by key. For the loop of the site only."""

    def __init__(self, *, most: int, absent: Mapping[str, float]) -> None:
        """Wait for at most `most` at once; `absent` is how many seconds a failure holds, by the kind of PhotoError."""
        self._most = most
        self._seconds = absent
        self._tasks: dict[str, asyncio.Task[Made]] = {}
        self._failed: dict[str, tuple[float, PhotoError]] = {}

    async def make(self, key: str, work: Callable[[], Awaitable[Made]]) -> Made:
        """Return the result of `work`, or of the one that is under way for this key, also if who began it is gone.
        Raises PhotoError: that of the work, also of an earlier one for a while, or `busy`."""
        if (failed := self._failed.get(key)) is not None:
            if time.monotonic() - failed[0] < self._seconds[failed[1].kind]:
                raise PhotoError(failed[1].kind, failed[1].reason)
            del self._failed[key]
        if (task := self._tasks.get(key)) is None:
            if len(self._tasks) >= self._most:
                raise PhotoError("busy", "too many photos are waited for")
            task = self._tasks[key] = asyncio.create_task(_awaited(work))
            task.add_done_callback(lambda done: self._done(key, done))
        return await asyncio.shield(task)

    def cancel(self) -> None:
        """End all work."""
        for task in self._tasks.values():
            task.cancel()

    def _done(self, key: str, task: asyncio.Task[Made]) -> None:
        self._tasks.pop(key, None)
        error = None if task.cancelled() else task.exception()  # whoever waits raises it; nobody may wait any more
        if isinstance(error, PhotoError) and error.kind in self._seconds:
            if error.kind != "absent":
                log.warning("there is no photo to show %s", pairs(photo=key, kind=error.kind, reason=error.reason))
            self._failed[key] = time.monotonic(), error
            if len(self._failed) > MOST_REMEMBERED:
                self._failed.pop(next(iter(self._failed)))


async def _awaited(work: Callable[[], Awaitable[Made]]) -> Made:
    return await work()
