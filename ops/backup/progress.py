"""Progress of backups and restores, on standard error and in the log."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("backup")

SECONDS_BETWEEN: Final = 0.5  # of two updates of a line on a terminal


class Progress:
    """Writes a line for each step, and on a terminal how far the step is."""

    def __init__(self) -> None:
        self._shown = 0.0
        self._clear = "\r\033[K" if sys.stderr.isatty() else ""

    def step(self, text: str) -> None:
        """Begin a step."""
        self._write(f"{self._clear}{text}\n")
        log.info("%s", text)

    def warn(self, text: str) -> None:
        """Report what a person has to look at."""
        self._write(f"{self._clear}vinops: {text}\n")
        log.warning("%s", text)

    def counter(self, what: str) -> Callable[[int], None]:
        """Return a function to call with the bytes done so far."""
        return lambda done: self.show(f"{what} {done / 1e6:,.1f} MB")

    def show(self, text: str) -> None:
        """Show on a terminal how far the step is."""
        if self._clear and time.monotonic() - self._shown > SECONDS_BETWEEN:
            self._shown = time.monotonic()
            self._write(f"{self._clear}  {text}")

    def end(self) -> None:
        """Clear the line."""
        self._write(self._clear)

    @staticmethod
    def _write(text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
