"""A thread that takes work in order, so that disk, database and compression go on while the file is being read."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Dropped(Exception):  # noqa: N818 # raised in the thread that gives work to a worker that was dropped
    """The work was given up."""


class Worker(Generic[T]):
    """Calls a function with each item in a thread of its own. What it raises is raised where the next item is put."""

    def __init__(self, name: str, function: Callable[[T], None], *, waiting: int) -> None:
        """`waiting` items may wait before `put` does."""
        self._function = function
        self._items: queue.Queue[T | None] = queue.Queue(waiting)
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Hand over an item. Raises what the function raised for an earlier one."""
        if self._failed:
            raise self._failed
        self._items.put(item)

    def finish(self) -> None:
        """Wait until all is done. Raises what the function raised."""
        self._join()
        if self._failed:
            raise self._failed

    def drop(self) -> None:
        """Give up what is waiting and wait for the end of the item in work. Never raises."""
        self._failed = self._failed or Dropped()
        self._join()

    def _join(self) -> None:
        if self._thread.is_alive():
            self._items.put(None)
            self._thread.join()

    def _work(self) -> None:
        while (item := self._items.get()) is not None:
            if self._failed:
                continue  # empty the queue, so that nobody waits for room in it
            try:
                self._function(item)
            except BaseException as error:  # noqa: BLE001 # raised again by put and finish
                self._failed = error
