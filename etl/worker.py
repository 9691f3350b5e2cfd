"""A thread that processes items in order: disk, database and compression work while the file is read."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Dropped(Exception):  # noqa: N818 # a state, not a fault
    """An item was put to a worker that was dropped."""


class Worker(Generic[T]):
    """Calls a function with each item in a thread of its own. `put` raises what the function raised."""

    def __init__(self, name: str, function: Callable[[T], None], *, waiting: int) -> None:
        """Make `put` wait while `waiting` items are in the queue."""
        self._function = function
        self._items: queue.Queue[T | None] = queue.Queue(waiting)
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Add an item. Raises what the function raised for an earlier one."""
        if self._failed:
            raise self._failed
        self._items.put(item)

    def finish(self) -> None:
        """Wait until all items are done. Raises what the function raised."""
        self._join()
        if self._failed:
            raise self._failed

    def drop(self) -> None:
        """Discard what is waiting and wait for the current item. Never raises."""
        self._failed = self._failed or Dropped()
        self._join()

    def _join(self) -> None:
        if self._thread.is_alive():
            self._items.put(None)
            self._thread.join()

    def _work(self) -> None:
        while (item := self._items.get()) is not None:
            if self._failed:
                continue  # empty the queue, so that no `put` waits for room in it
            try:
                self._function(item)
            except BaseException as error:  # noqa: BLE001 # raised again by put and finish
                self._failed = error
