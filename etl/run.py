"""One run of the feed: fetch, archive, read, diff, merge, audit, commit, place, under one lock.

Wherever the process dies, the tables are as before the run or as after it, and the next run finishes or removes what it
left. A file that did not change costs one request, or its hash; the modules that load one are imported only for that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etl import audit
from etl.connection import connected, locked
from etl.errors import FeedBusy, FeedRefused, LockStuck, NotLoaded, StateDamaged
from etl.memory import keep_freed
from etl.outcome import Outcome
from etl.progress import Progress, silent
from etl.sha256 import Sha256
from etl.steps import Steps
from etl.store.places import INCOMING, NEXT, STATES
from vinops import disk
from vinops.clock import ClockDoubted
from vinops.db.database import queries

if TYPE_CHECKING:
    from psycopg import Connection

    from etl.audit import LastLoad
    from etl.fetch.incoming import Fetched
    from etl.merge.diff import Difference
    from etl.read.file import FeedFile
    from etl.store.state import State
    from vinops.config import Settings

log = logging.getLogger("etl")

CLOCK_TOLERANCE = timedelta(hours=1)
"""A Last Updated Time farther ahead is a mistake of the source and counts as unknown: believed, it would refuse every
file, and every change of its lot, until that time (docs/decisions/0004-stale-by-last-updated-time.md)."""

FETCHED = "run"
"""The prefix of this module's files in the incoming folder: the run that holds the lock may remove them all."""


def run(
    settings: Settings, *, allow_shrink: bool = False, progress: Progress = silent, fetching: Progress = silent
) -> Outcome:
    """Fetch the feed and load what changed.

    A file that is refused, or a fetch that fails, is an Outcome too, recorded in audit.etl_runs, and so is a lock that
    is held for longer than a run takes (`lock_stuck`); `busy`, if another run holds the lock, is not. `progress` gets
    the bytes that are loaded and the size, `fetching` those received.
    Raises FetchFailed if COPART_CSV_URL is missing or wrong, DatabaseError if there is no database.
    """
    from etl.fetch.incoming import source

    source(settings)  # a wrong setting is not recorded as a run: it is reported before anything else
    feed_run = FeedRun(settings, allow_shrink=allow_shrink, progress=progress)
    return feed_run.under_lock(lambda: feed_run.fetch_and_load(fetching))


def ingest(
    settings: Settings, path: Path, *, fetched_at: datetime, allow_shrink: bool = False, progress: Progress = silent
) -> Outcome:
    """Load a file from disk, plain or compressed with gzip, fetched at that time; otherwise as `run`.

    Raises NotLoaded for what cannot be a feed file, and OSError if it cannot be read; neither is recorded.
    """
    from etl.fetch.given import plain

    with plain(settings, path, progress) as file:
        feed_run = FeedRun(settings, allow_shrink=allow_shrink, progress=progress)
        sha256 = Sha256(file)

        def work() -> None:
            feed_run.steps.reached("hash")
            feed_run.load(file, sha256.result(), fetched_at)

        return feed_run.under_lock(work)


class FeedRun:
    """One run of the feed. `outcome` is replaced by a new value as facts become known."""

    def __init__(self, settings: Settings, *, allow_shrink: bool, progress: Progress) -> None:
        """Begin the run; `allow_shrink` loads a file that lacks more lots than VINOPS_FEED_SHRINK_LIMIT allows."""
        keep_freed()
        self.outcome = Outcome()
        self.steps = Steps()
        self._settings = settings
        self._allow_shrink = allow_shrink
        self._progress = progress
        self._started_at = datetime.now(UTC)
        self._connection: Connection[Any]

    def under_lock(self, work: Callable[[], None]) -> Outcome:
        """Do the work under the lock of the feed, log the outcome and return it."""
        self.steps.reached("connect")
        with connected(self._settings) as self._connection:
            try:
                with locked(self._connection):
                    work()
            except LockStuck as stuck:
                self._end(stuck.status, stuck.reason, str(stuck))
            except FeedBusy as busy:
                self._note(status=busy.status, message=str(busy))
        self._note(seconds=self.steps.finish())
        log.log(logging.ERROR if self.outcome.exit_code else logging.INFO, "%s", self.outcome.summary)
        return self.outcome

    def fetch_and_load(self, fetching: Progress) -> None:
        """Fetch the feed and load it. The fetched file is removed in every case: the archive has what was loaded."""
        from etl.fetch.incoming import fetch

        for path in (self._settings.data_dir / INCOMING).glob(f"{FETCHED}-*.csv"):
            path.unlink(missing_ok=True)  # left by a run that was killed after its download
        last = audit.last_load(self._connection)
        self._connection.rollback()  # no transaction is open while the network is waited for
        self.steps.reached("fetch")
        fetched: Fetched | NotLoaded | None
        try:
            fetched = fetch(self._settings, have=last.sha256 if last else None, name=FETCHED, progress=fetching)
        except NotLoaded as error:
            fetched = error
        self.steps.reached("compare")
        if isinstance(fetched, NotLoaded):
            self._end(fetched.status, fetched.reason, str(fetched))
        elif fetched is None:
            if last is not None:
                self._note(file_id=last.file_id, sha256=last.sha256)
            self._end("unchanged", None, "the source says that nothing changed since the last load")
        else:
            try:
                self.load(fetched.path, fetched.sha256, fetched.fetched_at)
            finally:
                fetched.path.unlink(missing_ok=True)
            if not self.outcome.exit_code:
                self._remember(fetched)

    def load(self, path: Path, sha256: str, fetched_at: datetime) -> None:
        """Load a file unless it is loaded already. A file that is refused or fails leaves the tables as before."""
        self._note(sha256=sha256, bytes=path.stat().st_size)
        try:
            last = audit.last_load(self._connection)
            if (self._settings.data_dir / NEXT).exists():
                from etl.store import files

                files.settle(self._connection, self._settings.data_dir)
            if last is not None and last.sha256 == sha256:
                self._note(file_id=last.file_id)
                self._end("unchanged", None, "the same file as the last one")
            else:
                self._load_changed(path, fetched_at, last)
        except NotLoaded as error:
            self._end(error.status, error.reason, str(error))
        except OSError as error:
            more = f"VINOPS_ARCHIVE_DAYS says how long files are kept; {disk.GO}"
            message = disk.explain(error, self._settings.data_dir, go=more)
            self._end("failed", "disk", f"{message}; then run again: the tables are as before")

    def _load_changed(self, path: Path, fetched_at: datetime, last: LastLoad | None) -> None:
        """Load a file that is not the last one, compared with the last one by its state on disk or in the tables."""
        from etl.read.file import FeedFile
        from etl.store import state

        feed, states = FeedFile(path), self._settings.data_dir / STATES
        self._connection.rollback()
        self.steps.reached("state")
        known = state.of_last_load(self._connection, states, last, feed.header.layout)
        try:
            self._merge_and_commit(feed, fetched_at, last, known)
        except StateDamaged as damage:
            log.warning("%s: the run continues without it; the archive gets a whole file instead of a delta", damage)
            self.steps.reached("state")
            known = state.rebuilt(self._connection, last, feed.header.layout)
            self._merge_and_commit(feed, fetched_at, last, known)

    def _merge_and_commit(self, feed: FeedFile, fetched_at: datetime, last: LastLoad | None, known: State) -> None:
        """Do everything from the diff to retention; one transaction up to the commit."""
        from etl.merge.diff import Differ
        from etl.merge.duplicates import settle_duplicates
        from etl.merge.upsert import Merge, gone_lots
        from etl.store import archive, files, state

        settings, connection, sha256 = self._settings, self._connection, str(self.outcome.sha256)
        file_id, is_missing = files.id_for(connection, sha256)
        can_be_delta = last is not None and known.body and files.can_be_base(connection, settings, last.file_id)
        base_id = last.file_id if last is not None and can_be_delta else None
        latest = self._latest_update(last)
        with ExitStack() as undo:
            undo.callback(connection.rollback)
            writer = state.StateWriter(settings.data_dir / STATES, sha256, feed.header.layout, feed.separator)
            undo.callback(writer.drop)
            archiver = archive.Archiver(
                settings.data_dir, feed, sha256, writer, base=known if base_id else None, wanted=is_missing
            )
            undo.callback(archiver.drop)
            merge = Merge(connection, feed, file_id, fetched_at, latest, self.steps.reached)
            self.steps.reached("diff")
            with merge.staging() as send:
                differ = Differ(
                    feed, known, send=send, keep=archiver.keep, state=writer, file_id=file_id, latest=latest
                )
                found = differ.run(lambda done: self._progress(done, feed.size))
            self.steps.reached("duplicates")
            unsettled, winners = settle_duplicates(feed, found, known, writer, file_id, latest)
            if unsettled:
                merge.replace_staged(unsettled, winners.values())
            accepted = found.rows_known + len(found.missed) - len(writer.spares)
            self._note_rows(feed, found, accepted, len(writer.spares))
            self._refuse_implausible(found, known, last, accepted)
            self.steps.reached("archive")
            written = archiver.finish()
            if written:
                values = {"id": file_id, "sha256": sha256, "bytes": feed.size, "base_id": base_id}
                file_path = files.add(connection, settings.data_dir, written, fetched_at=fetched_at, **values)
                self._note(path=file_path.as_posix(), archive_bytes=written.archive_bytes)
            writer.finish(found.newest, found.newest_lines)
            self.steps.reached("merge")
            merge.reject(found.rejected)
            merged = merge.run(len(found.missed), gone_lots(found, set(winners)))
            self._note(
                **asdict(merged) | {"conflicts": merged.conflicts + found.duplicates},
                lots_unchanged=accepted - merged.lots_new - merged.lots_changed,
            )
            if unread := merge.unread():
                self._note(drift={**self.outcome.drift, "unread_values": unread})
            self.steps.reached("record")
            self._note(file_id=file_id)
            self._record("loaded", None, "")
            self.steps.reached("commit")
            connection.commit()
            undo.pop_all()
        self.steps.reached("place")
        if written:
            archive.place(settings.data_dir, file_path)
        state.remove_others(settings.data_dir / STATES, sha256)
        if written and base_id is None:
            self._remove_old_files(fetched_at)

    def _latest_update(self, last: LastLoad | None) -> str:
        """Return the latest Last Updated Time that is believed, as the feed writes it.

        By the clock that is ahead, this machine's or the database's, and no earlier than what is loaded: a clock that
        is behind would make every time unknown.
        """
        row = self._connection.execute(queries("feed")["clock"]).fetchone()
        latest = max(datetime.now(UTC), *(row or ())) + CLOCK_TOLERANCE
        if last is not None and last.newest_update is not None:
            latest = max(latest, last.newest_update)
        return f"{latest.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

    def _note_rows(self, feed: FeedFile, found: Difference, accepted: int, spares: int) -> None:
        header = feed.header
        drift = {"unknown_columns": list(header.unknown), "missing_columns": list(header.missing)}
        self._note(
            rows_read=found.rows_read,
            rows_accepted=accepted,
            rows_rejected=len(found.rejected) - found.duplicates + spares,
            rows_repaired=found.rows_repaired,
            newest_update=found.newest or None,
            drift={name: titles for name, titles in drift.items() if titles},
        )

    def _refuse_implausible(self, found: Difference, known: State, last: LastLoad | None, accepted: int) -> None:
        """Raise FeedRefused for a file that is too short, older than the last one, or lacks too many of its lots."""
        settings = self._settings
        if accepted < settings.feed_min_rows:
            raise FeedRefused(
                "short",
                f"the file has {accepted} rows, fewer than VINOPS_FEED_MIN_ROWS={settings.feed_min_rows}: it is "
                "incomplete; fetch it again",
            )
        if last is None:
            return
        if found.newest < known.newest:
            raise FeedRefused(
                "stale",
                f"the file is older than what is loaded (its newest update is {found.newest or 'unknown'}, that of "
                f"the tables {known.newest}): a stale copy; wait for the next one",
            )
        if accepted < last.rows_accepted * (1 - settings.feed_shrink_limit) and not self._allow_shrink:
            raise FeedRefused(
                "shrunk",
                f"the file has {accepted} lots, the last one had {last.rows_accepted}: more than "
                f"{settings.feed_shrink_limit:.0%} would be marked gone. If that is right, load it with --allow-shrink",
            )

    def _remove_old_files(self, now: datetime) -> None:
        from etl.store import retention

        self.steps.reached("retention")
        try:
            retention.check_clock(self._connection)
            retention.remove_old(self._connection, self._settings, now)
        except ClockDoubted as doubt:
            log.warning("archive: %s", doubt)

    def _remember(self, fetched: Fetched) -> None:
        from etl.fetch.incoming import remember

        try:
            remember(self._settings, fetched)
        except OSError as error:  # the next run downloads a file that the source could have called unchanged
            log.warning("the response headers of the source could not be stored (%s)", error.strerror)

    def _note(self, **facts: Any) -> None:
        self.outcome = replace(self.outcome, **facts)

    def _record(self, status: str, reason: str | None, message: str) -> None:
        self._note(status=status, reason=reason, message=message, seconds=self.steps.so_far())
        audit.record(self._connection, self.outcome, self._started_at)

    def _end(self, status: str, reason: str | None, message: str) -> None:
        """Record a run that changed nothing, and commit that."""
        self._connection.rollback()
        self._record(status, reason, message)
        self._connection.commit()
