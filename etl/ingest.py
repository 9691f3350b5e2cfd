"""One feed file under the lock: what comes of it, and the short way of a file that is loaded already.

Imports little on purpose: a file that did not change costs its hash, and load.py only where there is something to load.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etl.connection import connected
from etl.errors import FeedRefused
from etl.memory import keep_freed
from etl.steps import Steps
from etl.store.places import NEXT
from vinops import disk
from vinops.db import database

if TYPE_CHECKING:
    from psycopg import Connection

    from vinops.config import Settings

LOCK = 5_410_059_001  # the advisory lock of the feed: one loader over all processes and machines


class Busy(Exception):  # noqa: N818 # not a fault: another run has the work
    """Another run holds the lock of the feed."""


@dataclass(kw_only=True)
class Outcome:
    """What came of a file. `status` is loaded, unchanged, refused, failed or busy; counts are of rows and lots."""

    status: str = "failed"
    reason: str | None = None
    message: str = ""
    file_id: int | None = None
    path: str | None = None
    sha256: str | None = None
    bytes: int | None = None
    archive_bytes: int | None = None
    newest_update: str | None = None
    rows_read: int | None = None
    rows_accepted: int | None = None
    rows_rejected: int | None = None
    rows_repaired: int | None = None
    lots_new: int | None = None
    lots_changed: int | None = None
    lots_unchanged: int | None = None
    lots_gone: int | None = None
    lots_returned: int | None = None
    lots_relisted: int | None = None
    conflicts: int | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    drift: dict[str, Any] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 for a file that is loaded, was already, or is left to another run; 1 for one that was refused or failed."""
        return 0 if self.status in {"loaded", "unchanged", "busy"} else 1


@dataclass(frozen=True, kw_only=True)
class LastLoad:
    """The file whose rows the tables hold."""

    file_id: int
    sha256: str
    rows_accepted: int
    newest_update: datetime | None
    fetched_at: datetime


class Sha256:
    """The sha256 of a file, computed in a thread while the database is being connected to."""

    def __init__(self, path: Path) -> None:
        """Start. A file that cannot be read shows when the result is asked for."""
        self._path = path
        self._digest = ""
        self._failed: OSError | None = None
        self._thread = threading.Thread(target=self._work, name="sha256", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            # In large pieces: between two of them the thread has to wait until the imports let it.
            piece = memoryview(bytearray(8 << 20))
            digest = hashlib.sha256()
            with self._path.open("rb", buffering=0) as file:
                while count := file.readinto(piece):
                    digest.update(piece[:count])
            self._digest = digest.hexdigest()
        except OSError as error:
            self._failed = error

    def result(self) -> str:
        """Return the digest in hexadecimal. Raises OSError."""
        self._thread.join()
        if self._failed:
            raise self._failed
        return self._digest


def ingest(
    settings: Settings,
    path: Path,
    *,
    fetched_at: datetime,
    allow_shrink: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
    steps: Steps | None = None,
) -> Outcome:
    """Load a file. What was refused or failed is an Outcome too, recorded in audit.etl_runs where that can be.

    Raises Busy if another run holds the lock, DatabaseError if there is no database, FileNotFoundError. `progress` is
    told the bytes that are done and all of them.
    """
    keep_freed()
    steps = steps or Steps()
    started_at = datetime.now(UTC)
    steps.reached("connect")
    sha256 = Sha256(path)
    with connected(settings) as connection, locked(connection):
        run = Run(settings, connection, steps, started_at, fetched_at)
        steps.reached("hash")
        return run.take(path, sha256.result(), allow_shrink=allow_shrink, progress=progress)


@contextmanager
def locked(connection: Connection[Any]) -> Iterator[None]:
    """Hold the lock of the feed. Raises Busy. Of a process that dies the server gives it back, when it notices.

    That takes the server some milliseconds, in which the next run would be busy: hence it is given back in words.
    """
    import psycopg  # imported by connect already

    row = connection.execute("select pg_try_advisory_lock(%s)", (LOCK,)).fetchone()
    if not row or not row[0]:
        raise Busy("another run is loading the feed: this one leaves it the work")
    connection.commit()
    try:
        yield
    finally:
        with suppress(psycopg.Error):  # no connection, no lock
            connection.rollback()
            connection.execute("select pg_advisory_unlock(%s)", (LOCK,))
            connection.commit()


def last_load(connection: Connection[Any]) -> LastLoad | None:
    """Return the last file that was loaded."""
    row = connection.execute(database.queries("feed")["last_load"]).fetchone()
    if row is None:
        return None
    return LastLoad(file_id=row[0], sha256=row[1], rows_accepted=row[2], newest_update=row[3], fetched_at=row[4])


class Run:
    """The work on one file under the lock. `outcome` tells how far it came."""

    def __init__(
        self, settings: Settings, connection: Connection[Any], steps: Steps, started_at: datetime, fetched_at: datetime
    ) -> None:
        """The connection holds the lock and is in no transaction."""
        self.settings = settings
        self.connection = connection
        self.steps = steps
        self.started_at = started_at
        self.fetched_at = fetched_at
        self.queries = database.queries("feed")
        self.outcome = Outcome()

    def take(self, path: Path, sha256: str, *, allow_shrink: bool, progress: Callable[[int, int], None]) -> Outcome:
        """Load the file and return what came of it, recorded; see `ingest`."""
        self.outcome.sha256 = sha256
        self.outcome.bytes = path.stat().st_size
        try:
            self.load(path, allow_shrink=allow_shrink, progress=progress)
        except FeedRefused as refusal:
            self.ended("refused", refusal.reason, str(refusal))
        except OSError as error:
            self.ended("failed", "disk", _disk_message(self.settings, error))
        return self.outcome

    def load(self, path: Path, *, allow_shrink: bool, progress: Callable[[int, int], None]) -> None:
        """Load the file, or find that there is nothing to do. Raises FeedRefused, OSError; the tables are as before."""
        last = last_load(self.connection)
        if (self.settings.data_dir / NEXT).exists():
            from etl.load import settle

            settle(self)
        if last is not None and last.sha256 == self.outcome.sha256:
            self.outcome.file_id = last.file_id
            self.ended("unchanged", None, "the same file as the last one")
            return
        from etl.load import Load  # an unchanged file does without all that it needs

        Load(self, last).run(path, allow_shrink=allow_shrink, progress=progress)

    def record(self, status: str, reason: str | None, message: str) -> None:
        """Write the row of audit.etl_runs; it counts with the commit of the caller."""
        outcome = self.outcome
        outcome.status, outcome.reason, outcome.message = status, reason, message
        values = asdict(outcome)
        values["seconds"] = json.dumps(self.steps.so_far())
        values["drift"] = json.dumps(outcome.drift)
        self.connection.execute(self.queries["record_run"], {**values, "started_at": self.started_at})

    def ended(self, status: str, reason: str | None, message: str) -> None:
        """Record a run that changed nothing, and commit that."""
        self.connection.rollback()
        self.record(status, reason, message)
        self.connection.commit()
        self.outcome.seconds = self.steps.finish()


def _disk_message(settings: Settings, error: OSError) -> str:
    more = f"VINOPS_ARCHIVE_DAYS says how long files are kept; {disk.GO}"
    return f"{disk.explain(error, settings.data_dir, go=more)}; then run again: the tables are as before"
