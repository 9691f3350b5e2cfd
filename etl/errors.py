"""The errors of the feed. The command line prints the message of any of them and exits with 1."""

# ruff: noqa: N818 # the names say the state that the operator reads in audit.etl_runs

from __future__ import annotations

from typing import ClassVar


class FeedError(Exception):
    """Base of the errors below. The message says what failed, why, and what fixes it; it shows no key."""

    status: ClassVar[str] = "failed"
    """The status of a run that ends with it."""


class FeedBusy(FeedError):
    """Another run holds the lock of the feed. Raised by etl.connection."""

    status = "busy"


class LockStuck(FeedBusy):
    """The lock of the feed is held although no run has ended for a long time. Raised by etl.connection."""

    status = "failed"
    reason = "lock_stuck"

    def __init__(self, pid: int, application: str, since: str) -> None:
        """The server's process that holds the lock, its application, and the time of its start."""
        super().__init__(
            f"process {pid} of the database's server ({application or 'unnamed'}, connected since {since}) holds the "
            f"lock of the feed, and no run has ended for an hour: check whether that run still works, else end it by "
            f'`vinops sql --write "select pg_terminate_backend({pid})"`'
        )


class ArchiveDamaged(FeedError):
    """An archived file is unknown, removed, missing or damaged. Raised by etl.store when a file is extracted."""


class StateDamaged(FeedError):
    """The copy of the last file does not match its checksums. Raised by etl.store; the run loads without the copy."""


class NotLoaded(FeedError):
    """No file was loaded and the tables are unchanged. `reason` is its name in audit.etl_runs and the runbook."""

    def __init__(
        self, reason: str, message: str, *, is_transient: bool = False, retry_after: float | None = None
    ) -> None:
        """`is_transient`: another attempt may succeed, not before `retry_after` seconds if the source said so."""
        super().__init__(message)
        self.reason = reason
        self.is_transient = is_transient
        self.retry_after = retry_after


class FeedRefused(NotLoaded):
    """The file must not be loaded. Raised by etl.fetch (the source refuses, or sends no feed), etl.read (this is no
    feed file), etl.merge (too many bad rows) and etl.run (the file is short, stale or shrunk)."""

    status = "refused"


class FetchFailed(NotLoaded):
    """The file could not be fetched. Raised by etl.fetch."""
