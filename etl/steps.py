"""The named steps of a run: how long each took. They are fault-injection points of the crash tests."""

from __future__ import annotations

import logging
import time

log = logging.getLogger("etl")


class Steps:
    """Times the steps of one run. A step lasts until the next one is reached."""

    def __init__(self) -> None:
        """Begin before the first step."""
        self.began = time.perf_counter()
        self.seconds: dict[str, float] = {}
        self._name = ""
        self._since = self.began

    def reached(self, name: str) -> None:
        """Begin a step and end the one before."""
        now = time.perf_counter()
        if self._name:
            self.seconds[self._name] = round(self.seconds.get(self._name, 0.0) + now - self._since, 4)
        self._name, self._since = name, now
        log.debug("step %s", name)

    def so_far(self) -> dict[str, float]:
        """Return the seconds of the steps that ended, and the total until now."""
        return {**self.seconds, "total": round(time.perf_counter() - self.began, 4)}

    def finish(self) -> dict[str, float]:
        """End the last step and return the seconds of each, with their total."""
        self.reached("")
        return self.so_far()
