"""The ways in which a feed file can come to nothing."""

from __future__ import annotations


class FeedRefused(Exception):  # noqa: N818 # the word the operators know from audit.etl_runs
    """The file is not one to load; nothing was changed. `reason` is its name in audit.etl_runs and the runbook."""

    def __init__(self, reason: str, message: str) -> None:
        """`message` says what failed, why, and what mends it."""
        super().__init__(message)
        self.reason = reason


class FetchFailed(Exception):  # noqa: N818 # as above
    """The file could not be brought here. `reason` is its name in audit.etl_runs and the runbook."""

    def __init__(self, reason: str, message: str) -> None:
        """`message` says what failed, why, and what mends it, and shows no key."""
        super().__init__(message)
        self.reason = reason


class ArchiveDamaged(Exception):  # noqa: N818 # as above
    """An archived file, or one that it is built on, does not give back the bytes that were put in."""
