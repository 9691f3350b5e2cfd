"""Why there is no picture to show."""

from __future__ import annotations

from typing import Final

STATUS: Final = {"absent": 404, "missing": 404, "damaged": 502, "away": 503, "busy": 503}
"""The status of the answer, by kind. absent: there is none. missing: it is recorded, and its object is gone. damaged:
what came is no photo, or costs more than one. away: where it is does not answer. busy: not now."""


class PhotoError(Exception):
    """There is no picture to show, of a `kind` in STATUS; `reason` is for the log."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind, self.reason = kind, reason

    @property
    def status(self) -> int:
        """The status of the answer."""
        return STATUS[self.kind]
