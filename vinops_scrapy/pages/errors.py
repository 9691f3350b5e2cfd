"""The exception of page functions."""

from __future__ import annotations


class PageError(Exception):
    """A response is not the page that was expected, for this `reason` from docs/runbook.md. Raised in pages/."""

    def __init__(self, reason: str, message: str) -> None:
        """Keep the reason, by which it is counted, and the message."""
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
