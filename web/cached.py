"""A value that is read from the database at most once in a while."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg import Connection

Value = TypeVar("Value")


class Cached(Generic[Value]):
    """A value that a function reads, at most `seconds` old; an older one while another request reads it."""

    def __init__(self, read: Callable[[Connection[Any]], Value], seconds: float) -> None:
        """Read nothing yet."""
        self._read, self._seconds = read, seconds
        self._found: tuple[float, Value] | None = None
        self._lock = threading.Lock()

    def get(self, connection: Connection[Any]) -> Value:
        """Return the value. Raises what reading it raises."""
        found = self._found
        if found is not None and (
            time.monotonic() - found[0] < self._seconds or not self._lock.acquire(blocking=False)
        ):
            return found[1]
        if found is None:
            self._lock.acquire()
        try:
            if self._found is None or time.monotonic() - self._found[0] >= self._seconds:
                self._found = (time.monotonic(), self._read(connection))
            return self._found[1]
        finally:
            self._lock.release()
