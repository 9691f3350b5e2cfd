"""A feed file into the database: COPY of what is new to staging, then set-based upserts, in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from etl.merge.diff import Difference, RejectedRow
from etl.read.file import FeedFile
from etl.worker import Worker
from vinops.db.database import queries
from vinops.logs import pairs

if TYPE_CHECKING:
    from psycopg import Connection

log = logging.getLogger("etl")

MOST_MAKES = 3
"""So many makes one vehicle may have at once: one make is spelled in several ways, and one builds on another's chassis.
What stands as VIN under more is a placeholder."""

MANY_ROWS = 20_000
"""From here on the start of parallel workers (some 10 ms each) pays."""


@dataclass(kw_only=True)
class Merged:
    """What a file changed in the tables, in lots."""

    lots_new: int = 0
    lots_changed: int = 0
    lots_gone: int = 0
    lots_returned: int = 0
    lots_relisted: int = 0
    conflicts: int = 0


class Merge:
    """The statements of one file on one connection. Nothing is visible to others before the caller commits."""

    def __init__(self, connection: Connection[Any], file_id: int, happened_at: datetime, latest: str) -> None:
        """`happened_at` is the time of the file, and so of every event that it causes; a Last Updated Time after
        `latest` counts as unknown."""
        self._connection = connection
        self._queries = queries("feed")
        self._values: dict[str, Any] = {"file_id": file_id, "happened_at": happened_at, "latest": latest}
        self.done = Merged()

    @contextmanager
    def staging(self, feed: FeedFile) -> Iterator[Callable[[bytes], None]]:
        """Take lines of CSV (file, line number, digest, then the file's known columns in order) into staging."""
        with self._connection.cursor().copy(copy_statement(feed)) as copy:
            # In a thread: the server takes rows while the next ones are being read.
            worker: Worker[bytes] = Worker("copy", copy.write, waiting=2)
            try:
                yield worker.put
                worker.finish()
            finally:
                worker.drop()

    def replace_staged(self, lots: list[int], feed: FeedFile, rows: list[bytes]) -> None:
        """Put one row a lot in the place of whatever was staged for these lots."""
        self._connection.execute(self._queries["unstage"], {**self._values, "lots": lots})
        if rows:
            with self.staging(feed) as send:
                send(b"".join(rows))

    def reject(self, rows: list[RejectedRow]) -> None:
        """Keep the rejected rows, each distinct one once."""
        if rows:
            parameters = [
                {
                    **self._values,
                    "line_number": row.line_number,
                    "reason": row.reason,
                    "detail": row.detail,
                    "raw_text": row.raw_text,
                    "row_hash": row.digest,
                }
                for row in rows
            ]
            with self._connection.cursor() as cursor:
                cursor.executemany(self._queries["reject_row"], parameters)

    def run(
        self, rows: int, gone: list[int], step: Callable[[str], None], restage: Callable[[set[int]], None]
    ) -> Merged:
        """Move the staged rows, about so many, into vehicles, lots and events; `step` is told before each statement.

        `restage` is to stage the rows of some lots, also those that are known: the lots were taken for one vehicle.
        """
        done = self.done
        if rows >= MANY_ROWS:
            self._connection.execute(self._queries["plan_for_many"])
        for name in (
            "read_rows",
            "drop_placeholders",
            "forget_shared_vins",
            "note_shared_vins",
            "upsert_vehicles_by_vin",
            "upsert_vehicles_without_vin",
            "record_returns",
            "count_conflicts",
            "record_changes",
            "upsert_lots",
            "record_gone",
        ):
            if name == "record_gone" and not gone:
                continue
            step(name)
            cursor = self._connection.execute(self._queries[name], {**self._values, "lots": gone})
            if name == "read_rows" and rows >= MANY_ROWS:
                self._connection.execute(self._queries["analyze_rows"])
            elif name == "note_shared_vins" and cursor.rowcount:
                self._split_placeholders(gone, step, restage)
            elif name == "record_returns":
                done.lots_returned = cursor.rowcount
            elif name == "record_gone":
                done.lots_gone = cursor.rowcount
            elif name == "count_conflicts":
                done.conflicts = _row(cursor)[0]
            elif name == "upsert_lots":
                done.lots_new, done.lots_changed, done.lots_relisted = _row(cursor)
        return done

    def _split_placeholders(
        self, gone: list[int], step: Callable[[str], None], restage: Callable[[set[int]], None]
    ) -> None:
        """Find placeholders among the VINs that makes share, and give each lot of theirs a vehicle of its own."""

        def run(name: str) -> Any:
            step(name)
            return self._connection.execute(self._queries[name], values)

        values = {**self._values, "lots": gone, "most_makes": MOST_MAKES, "vins": [""]}
        vins = values["vins"] = [vin for (vin,) in run("find_placeholders")]
        if not vins:
            return
        log.warning("more makes share a VIN than one vehicle has: it joins nothing any more %s", pairs(vins=vins))
        run("add_own_vehicles")
        lots = {lot for (lot,) in run("split_lots")}
        run("drop_shared_vins")
        if lots:
            restage(lots)
            run("drop_incoming")
            run("read_rows")
        run("drop_placeholders")

    def unread(self) -> dict[str, int]:
        """Return how many staged values of each column could not be read or are no known code. Needs read_rows."""
        return dict(self._connection.execute(self._queries["count_unread"]).fetchall())


def copy_statement(feed: FeedFile) -> str:
    """Return the COPY that takes rows of this file: its columns as they come, '' as null.

    The names are those of columns.py, never the feed's own.
    """
    known = [name for name in feed.header.names if name]
    columns = ", ".join(["file_id", "line_number", "row_hash", *known])
    extra = ", extra" if feed.header.unknown else ""
    nulls = ", ".join([*known, *(["extra"] if extra else [])])
    return f"copy staging.copart_raw ({columns}{extra}) from stdin (format csv, force_null ({nulls}))"


def _row(cursor: Any) -> tuple[Any, ...]:
    row: tuple[Any, ...] = cursor.fetchone()
    return row


def gone_lots(found: Difference, present: set[int]) -> list[int]:
    """Return the lots of the last file that have no line in this one; `present` have one that was not missed."""
    return sorted(set(found.vanished).difference(found.missed, present))
