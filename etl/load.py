"""One file into the tables and the archive: the order of the steps, and the one transaction.

Whoever dies here, at any line: the tables are as before or as after, never between; the next run carries on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etl.errors import FeedRefused
from etl.merge.diff import Differ, Difference, layout_of
from etl.merge.duplicates import settle_duplicates, stage_again
from etl.merge.upsert import Merge, Merged, gone_lots
from etl.read.file import FeedFile
from etl.store import archive, retention, state
from etl.store.places import NEXT, STATES
from vinops.clock import ClockDoubted
from vinops.db.database import queries

if TYPE_CHECKING:
    from psycopg import Connection

    from etl.ingest import LastLoad, Run

log = logging.getLogger("etl")

CLOCK_TOLERANCE = timedelta(hours=1)
"""A Last Updated Time farther ahead is a mistake of the source and counts as unknown: believed, it would refuse every
file, and every change of its lot, until its time has come (docs/decisions/0004-stale-by-last-updated-time.md)."""


class Load:
    """Loads a file that is not the last one."""

    def __init__(self, run: Run, last: LastLoad | None) -> None:
        """`run` has the connection, with the lock, and takes down what comes of it."""
        self._run = run
        self._last = last
        self._states = run.settings.data_dir / STATES

    def run(self, path: Path, *, allow_shrink: bool, progress: Callable[[int, int], None]) -> None:
        """Load the file. Raises FeedRefused, OSError; the tables are as before."""
        feed = FeedFile(path)
        self._run.connection.rollback()
        try:
            self._load(feed, allow_shrink=allow_shrink, progress=progress, without_state=False)
        except state.BodyDamaged as damage:
            log.warning("%s: done without it; the archive gets a whole file instead of a delta", damage)
            self._load(feed, allow_shrink=allow_shrink, progress=progress, without_state=True)

    def _load(
        self,
        feed: FeedFile,
        *,
        allow_shrink: bool,
        progress: Callable[[int, int], None],
        without_state: bool,
    ) -> None:
        sha256 = self._run.outcome.sha256 or ""
        last = self._last
        self._run.steps.reached("state")
        known = self._rebuilt(feed, last) if without_state else self._state(feed, last)
        archived = self._archived(sha256)
        base = last if last is not None and not without_state and self._is_base(known, last) else None
        file_id = archived[0] if archived else self._one("next_file_id")
        latest = self._latest(last)
        with ExitStack() as cleanup:
            cleanup.callback(self._run.connection.rollback)
            writer = state.StateWriter(self._states, sha256, layout_of(feed), feed.separator)
            cleanup.callback(writer.drop)
            archiver = archive.Archiver(
                self._run.settings.data_dir,
                feed,
                sha256,
                writer,
                base=known if base else None,
                wanted=archived is None or archived[1],
            )
            cleanup.callback(archiver.drop)
            merge = Merge(self._run.connection, file_id, self._run.fetched_at, latest)
            self._run.steps.reached("diff")
            with merge.staging(feed) as send:
                differ = Differ(
                    feed,
                    known,
                    send=send,
                    keep=archiver.keep,
                    state=writer,
                    file_id=file_id,
                    latest=latest,
                )
                found = differ.run(lambda done: progress(done, feed.size))
            self._run.steps.reached("duplicates")
            present = settle_duplicates(feed, found, known, merge, writer, file_id, latest)
            accepted = found.rows_known + len(found.missed) - len(writer.spares)
            self._count(feed, found, accepted, len(writer.spares))
            self._check(found, known, last, accepted, allow_shrink=allow_shrink)
            self._run.steps.reached("archive")
            written = archiver.finish()
            if written:
                self._add_file(file_id, written, base)
            writer.finish(found.newest, found.newest_lines)
            self._run.steps.reached("merge")
            merge.reject(found.rejected)
            merged = merge.run(
                len(found.missed),
                gone_lots(found, present),
                self._run.steps.reached,
                lambda lots: stage_again(feed, merge, file_id, latest, lots),
            )
            self._note(merged, found, accepted, merge.unread())
            self._run.steps.reached("record")
            self._run.outcome.file_id = file_id
            self._run.record("loaded", None, "")
            self._run.steps.reached("commit")
            self._run.connection.commit()
            cleanup.pop_all()
        self._run.steps.reached("place")
        if written:
            archive.place(self._run.settings.data_dir, Path(self._run.outcome.path or ""))
        state.sweep(self._states, sha256)
        if written and base is None:
            self._run.steps.reached("retention")
            try:
                retention.check_clock(self._run.connection)
                retention.remove_old(self._run.connection, self._run.settings, self._run.fetched_at)
            except ClockDoubted as doubt:
                log.warning("archive: %s", doubt)
        self._run.outcome.status = "loaded"
        self._run.outcome.seconds = self._run.steps.finish()

    def _latest(self, last: LastLoad | None) -> str:
        """Return the latest Last Updated Time that is believed, as the feed writes it.

        By the clock that is ahead, this machine's or the database's, and no earlier than what is loaded: a clock that
        is behind would make every time unknown.
        """
        latest: datetime = max(datetime.now(UTC), self._one("clock")) + CLOCK_TOLERANCE
        if last is not None and last.newest_update is not None:
            latest = max(latest, last.newest_update)
        return f"{latest.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

    def _state(self, feed: FeedFile, last: LastLoad | None) -> state.State:
        known = state.load(self._states, last.sha256) if last is not None else None
        if known is None and last is not None:
            log.warning("the state of the last file is missing or damaged: rebuilt from the database")
        return known or self._rebuilt(feed, last)

    def _rebuilt(self, feed: FeedFile, last: LastLoad | None) -> state.State:
        if last is None:
            return state.EMPTY
        newest = last.newest_update
        rows = self._run.connection.execute(self._run.queries["active_rows"], {"newest": newest}).fetchall()
        text = f"{newest.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if newest else ""
        return state.rebuilt(last.sha256, layout_of(feed), text, rows)

    def _archived(self, sha256: str) -> tuple[int, bool] | None:
        """Return (id, whether its file was removed) of an archived file of these bytes."""
        row = self._run.connection.execute(self._run.queries["file_by_sha256"], {"sha256": sha256}).fetchone()
        return (row[0], row[6] is not None) if row else None

    def _is_base(self, known: state.State, last: LastLoad) -> bool:
        """Tell whether a delta can be built on the last file, or it is time for a whole one."""
        if known.body is None:
            return False
        chain = chain_of(self._run.connection, last.file_id)
        if len(chain) >= self._run.settings.archive_chain:
            return False
        if not archive.is_intact(self._run.settings.data_dir, chain):
            log.warning("the archive of the last file is missing or damaged: a new chain begins with a whole file")
            return False
        return True

    def _check(
        self, found: Difference, known: state.State, last: LastLoad | None, accepted: int, *, allow_shrink: bool
    ) -> None:
        settings = self._run.settings
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
        least = last.rows_accepted * (1 - settings.feed_shrink_limit)
        if accepted < least and not allow_shrink:
            raise FeedRefused(
                "shrunk",
                f"the file has {accepted} lots, the last one had {last.rows_accepted}: more than "
                f"{settings.feed_shrink_limit:.0%} would be marked gone. If that is right, load it with --allow-shrink",
            )

    def _count(self, feed: FeedFile, found: Difference, accepted: int, spares: int) -> None:
        outcome = self._run.outcome
        duplicates = sum(row.reason == "duplicate_lot" for row in found.rejected)
        outcome.rows_read = found.rows_read
        outcome.rows_accepted = accepted
        outcome.rows_rejected = len(found.rejected) - duplicates + spares
        outcome.rows_repaired = found.rows_repaired
        outcome.newest_update = found.newest or None
        header = feed.header
        if header.unknown:
            outcome.drift["unknown_columns"] = list(header.unknown)
        if header.missing:
            outcome.drift["missing_columns"] = list(header.missing)

    def _note(self, merged: Merged, found: Difference, accepted: int, unread: dict[str, int]) -> None:
        outcome = self._run.outcome
        outcome.lots_new = merged.lots_new
        outcome.lots_changed = merged.lots_changed
        outcome.lots_unchanged = accepted - merged.lots_new - merged.lots_changed
        outcome.lots_gone = merged.lots_gone
        outcome.lots_returned = merged.lots_returned
        outcome.lots_relisted = merged.lots_relisted
        outcome.conflicts = merged.conflicts + sum(row.reason == "duplicate_lot" for row in found.rejected)
        if unread:
            outcome.drift["unread_values"] = unread

    def _add_file(self, file_id: int, written: archive.Written, base: LastLoad | None) -> None:
        path = archive.path_for(self._run.settings.data_dir, self._run.fetched_at, self._is_path_taken)
        self._run.connection.execute(
            self._run.queries["add_file"],
            {
                "id": file_id,
                "sha256": self._run.outcome.sha256,
                "fetched_at": self._run.fetched_at,
                "path": path.as_posix(),
                "base_id": base.file_id if base else None,
                "bytes": self._run.outcome.bytes,
                "archive_bytes": written.archive_bytes,
                "archive_sha256": written.archive_sha256,
            },
        )
        self._run.outcome.path = path.as_posix()
        self._run.outcome.archive_bytes = written.archive_bytes

    def _is_path_taken(self, path: str) -> bool:
        row = self._run.connection.execute(self._run.queries["is_path_taken"], {"path": path}).fetchone()
        return bool(row and row[0])

    def _one(self, name: str) -> Any:
        row = self._run.connection.execute(self._run.queries[name]).fetchone()
        return row[0] if row else None


def settle(run: Run) -> None:
    """Finish or undo what a killed run left in the archive."""
    left = archive.file_sha256(run.settings.data_dir / NEXT)
    row = run.connection.execute(queries("feed")["file_by_archive"], {"sha256": left}).fetchone()
    archive.settle(run.settings.data_dir, link(row).path if row else None)


def chain_of(connection: Connection[Any], file_id: int) -> list[archive.Link]:
    """Return the archived files that a file is built on, the whole one first, itself last."""
    rows = connection.execute(queries("feed")["chain"], {"id": file_id}).fetchall()
    return [link(row) for row in rows]


def link(row: tuple[Any, ...]) -> archive.Link:
    """Return a row of raw.csv_files as a link of a chain."""
    return archive.Link(
        id=row[0], sha256=row[1], path=Path(row[2]), bytes=row[3], archive_bytes=row[4], archive_sha256=row[5]
    )
