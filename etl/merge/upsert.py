"""The merge of a feed file into the database: COPY of what is new to staging, then set-based upserts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from etl.merge import board
from etl.merge.diff import Difference, RejectedRow
from etl.merge.duplicates import newest_rows
from etl.read.file import FeedFile
from etl.worker import Worker
from vinops.db.database import queries
from vinops.logs import pairs

if TYPE_CHECKING:
    from psycopg import Connection

log = logging.getLogger("etl")

MOST_MAKES = 3
"""How many makes one vehicle may have at once: one make is spelled in several ways, and one builds on another's
chassis. A VIN with more is a placeholder."""

MANY_ROWS = 20_000
"""The number of rows from which parallel workers save more time than their start takes (some 10 ms each)."""


@dataclass(frozen=True, kw_only=True)
class Merged:
    """What a file changed in the tables, in lots."""

    lots_new: int
    lots_changed: int
    lots_gone: int
    lots_returned: int
    lots_relisted: int
    conflicts: int


class Merge:
    """The statements of one file on one connection. The caller commits."""

    def __init__(
        self,
        connection: Connection[Any],
        feed: FeedFile,
        file_id: int,
        happened_at: datetime,
        latest: str,
        step: Callable[[str], None],
    ) -> None:
        """`happened_at` is the time of the file and of every event that it causes; a Last Updated Time after `latest`
        counts as unknown; `step` is called with the name of each statement before it."""
        self._connection = connection
        self._feed = feed
        self._latest = latest
        self._step = step
        self._queries = {**queries("feed_parse"), **queries("feed_merge")}
        self._file_id = file_id
        self._split: set[int] = set()
        """Lots that were split from a placeholder, also those that are not in the file."""
        self._values: dict[str, Any] = {"file_id": file_id, "happened_at": happened_at, "latest": latest}

    @contextmanager
    def staging(self) -> Iterator[Callable[[bytes], None]]:
        """Take lines of CSV (file, line number, digest, then the file's known columns in order) into staging."""
        with self._connection.cursor().copy(copy_statement(self._feed)) as copy:
            # In a thread: the server takes rows while the next ones are being read.
            worker: Worker[bytes] = Worker("copy", copy.write, waiting=2)
            try:
                yield worker.put
                worker.finish()
            finally:
                worker.drop()

    def replace_staged(self, lots: Iterable[int], rows: Iterable[bytes]) -> None:
        """Stage these rows in place of whatever was staged for these lots."""
        self._connection.execute(self._queries["unstage"], {**self._values, "lots": sorted(lots)})
        if staged := b"".join(rows):
            with self.staging() as send:
                send(staged)

    def reject(self, rows: list[RejectedRow]) -> None:
        """Keep the rejected rows, each distinct one once."""
        if rows:
            with self._connection.cursor() as cursor:
                cursor.executemany(self._queries["reject_row"], [{**self._values, **asdict(row)} for row in rows])

    def run(self, rows: int, gone: list[int]) -> Merged:
        """Move the staged rows (about `rows`) into vehicles, lots and events, mark gone lots, and write the board."""
        if rows >= MANY_ROWS:
            self._connection.execute(self._queries["plan_for_many"])
        self._run("read_rows")
        if rows >= MANY_ROWS:
            self._connection.execute(self._queries["analyze_rows"])
        self._run("drop_placeholders")
        self._run("forget_shared_vins")
        if self._run("note_shared_vins").rowcount:
            self._split_placeholders(gone)
        self._run("upsert_vehicles_by_vin")
        self._run("upsert_vehicles_without_vin")
        returned = self._run("record_returns").rowcount
        ((conflicts,),) = self._run("count_conflicts")
        self._run("record_changes")
        self._run("find_earlier_lots")
        ((new, changed, relisted),) = self._run("upsert_lots")
        lots_gone = self._run("record_gone", lots=gone).rowcount if gone else 0
        board.write(self._connection, sorted(self._split.union(gone)), self._step)
        return Merged(
            lots_new=new,
            lots_changed=changed,
            lots_gone=lots_gone,
            lots_returned=returned,
            lots_relisted=relisted,
            conflicts=conflicts,
        )

    def unread(self) -> dict[str, int]:
        """Return how many staged values of each column could not be read or are not a known code. Needs read_rows."""
        return dict(self._connection.execute(self._queries["count_unread"]).fetchall())

    def _run(self, name: str, **values: Any) -> Any:
        self._step(name)
        return self._connection.execute(self._queries[name], {**self._values, **values})

    def _split_placeholders(self, gone: list[int]) -> None:
        """Find placeholders among VINs that several makes share, and give each of their lots a vehicle of its own."""
        vins = [vin for (vin,) in self._run("find_placeholders", lots=gone, most_makes=MOST_MAKES)]
        if not vins:
            return
        log.warning("more makes share a VIN than one vehicle has: lots are no longer linked by it %s", pairs(vins=vins))
        self._run("add_own_vehicles", vins=vins)
        lots = {lot for (lot,) in self._run("split_lots", vins=vins)}
        self._split |= lots
        self._run("drop_shared_vins", vins=vins)
        if lots:
            self.replace_staged(lots, newest_rows(self._feed, self._file_id, self._latest, lots))
            self._run("drop_incoming")
            self._run("read_rows")
        self._run("drop_placeholders")


def copy_statement(feed: FeedFile) -> str:
    """Return the COPY that takes rows of this file: its columns in their order, '' as null.

    The names are those of etl/read/columns.py, never the feed's own.
    """
    known = [name for name in feed.header.names if name]
    if feed.header.unknown:
        known.append("extra")
    columns, nulls = ", ".join(["file_id", "line_number", "row_hash", *known]), ", ".join(known)
    return f"copy staging.copart_raw ({columns}) from stdin (format csv, force_null ({nulls}))"


def gone_lots(found: Difference, present: Iterable[int]) -> list[int]:
    """Return the lots of the last file that have no line in this one; `present` are known to have one."""
    return sorted(set(found.vanished).difference(found.missed, present))
