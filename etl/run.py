"""One run of the feed: fetch, then load, under one lock, so that a second run does not even download.

Whoever dies here, at any line: the tables are as before or as after; the next run carries on and removes what was left.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from etl import ingest
from etl.connection import connected
from etl.errors import FeedRefused, FetchFailed
from etl.fetch.download import silent
from etl.fetch.incoming import INCOMING, Fetched, fetch, remember, source
from etl.memory import keep_freed
from etl.merge.report import summary
from etl.steps import Steps

if TYPE_CHECKING:
    from psycopg import Connection

    from etl.ingest import Outcome
    from vinops.config import Settings

log = logging.getLogger("etl")

NAME = "run"
"""How the files of this module begin in the incoming folder: whoever holds the lock may remove them all."""


def run(
    settings: Settings,
    *,
    allow_shrink: bool = False,
    progress: Callable[[int, int], None] = silent,
    fetching: Callable[[int, int], None] | None = None,
) -> Outcome:
    """Fetch the feed and load what changed. What was refused or failed is an Outcome, recorded in audit.etl_runs.

    `progress` is told the bytes that are loaded and all of them, `fetching` (default: the same) those that came. The
    outcome is `busy`, and not recorded, if another run holds the lock. Raises FetchFailed if COPART_CSV_URL is missing
    or wrong, DatabaseError if there is no database.
    """
    source(settings)  # a wrong setting is no run: say so before anything else
    keep_freed()
    steps = Steps()
    started_at = datetime.now(UTC)
    steps.reached("connect")
    with connected(settings) as connection:
        try:
            with ingest.locked(connection):
                work = Work(settings, connection, steps, started_at)
                outcome = work.run(allow_shrink=allow_shrink, progress=progress, fetching=fetching or progress)
        except ingest.Busy as busy:
            outcome = ingest.Outcome(status="busy", message=str(busy), seconds=steps.finish())
    log.log(logging.ERROR if outcome.exit_code else logging.INFO, "%s", summary(outcome))
    return outcome


class Work:
    """What a run does while it holds the lock."""

    def __init__(self, settings: Settings, connection: Connection[Any], steps: Steps, started_at: datetime) -> None:
        """The connection holds the lock and is in no transaction."""
        self._settings = settings
        self._connection = connection
        self._steps = steps
        self._started_at = started_at

    def run(
        self, *, allow_shrink: bool, progress: Callable[[int, int], None], fetching: Callable[[int, int], None]
    ) -> Outcome:
        """Fetch and load; the fetched file is removed in every case: what counts of it is in the archive."""
        self._sweep()
        last = ingest.last_load(self._connection)
        self._connection.rollback()  # nothing is open in the database while the network is waited for
        self._steps.reached("fetch")
        try:
            fetched = fetch(self._settings, have=last.sha256 if last else None, name=NAME, progress=fetching)
        except FeedRefused as refusal:
            return self._ended("refused", refusal.reason, str(refusal))
        except FetchFailed as failure:
            return self._ended("failed", failure.reason, str(failure))
        if fetched is None:
            return self._unchanged(last)
        try:
            outcome = self._load(fetched, allow_shrink=allow_shrink, progress=progress)
        finally:
            fetched.path.unlink(missing_ok=True)
        if outcome.exit_code == 0:
            self._remember(fetched)
        return outcome

    def _sweep(self) -> None:
        """Remove the files of runs that were killed after their download: only this run holds the lock."""
        for path in (self._settings.data_dir / INCOMING).glob(f"{NAME}-*.csv"):
            path.unlink(missing_ok=True)

    def _load(self, fetched: Fetched, *, allow_shrink: bool, progress: Callable[[int, int], None]) -> Outcome:
        run = self._recorded(fetched.fetched_at)
        return run.take(fetched.path, fetched.sha256, allow_shrink=allow_shrink, progress=progress)

    def _unchanged(self, last: ingest.LastLoad | None) -> Outcome:
        run = self._recorded(self._started_at)
        if last is not None:
            run.outcome.file_id, run.outcome.sha256 = last.file_id, last.sha256
        run.ended("unchanged", None, "the source says that nothing changed since the last load")
        return run.outcome

    def _ended(self, status: str, reason: str, message: str) -> Outcome:
        run = self._recorded(self._started_at)
        run.ended(status, reason, message)
        return run.outcome

    def _recorded(self, fetched_at: datetime) -> ingest.Run:
        self._steps.reached("compare")
        return ingest.Run(self._settings, self._connection, self._steps, self._started_at, fetched_at)

    def _remember(self, fetched: Fetched) -> None:
        try:
            remember(self._settings, fetched)
        except OSError as error:  # the next run downloads what it could have been spared, no more
            log.warning("the answer of the source could not be noted (%s)", error.strerror)
