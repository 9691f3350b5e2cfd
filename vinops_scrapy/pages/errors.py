"""What a page function raises when an answer is not the page that it reads."""

from __future__ import annotations


class PageError(Exception):
    """Raised by the functions in pages/: the answer is of another shape. `reason` is a name from docs/runbook.md."""

    def __init__(self, reason: str, message: str) -> None:
        """Say under which name it is counted, and what was seen."""
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
