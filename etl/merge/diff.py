"""The difference between a feed file and the last one, found before a row is parsed or sent to the database.

Rows are compared without their `Id`, which is the row's position and shifts with every row that leaves; the digest
that goes to the database with each row covers the same bytes.
"""

from __future__ import annotations

import csv
import io
import json
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b

from etl.errors import FeedRefused
from etl.merge.window import AHEAD, BEHIND, DIGEST_BYTES, Window, digest_of
from etl.read.body import BodyPart, tail_of
from etl.read.file import Block, Broken, FeedFile, Record, decoded
from etl.store.state import EMPTY, State, StateWriter
from vinops.text.printable import without_controls

TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-5][0-9]:[0-5][0-9]Z")
MOST_LOT_DIGITS = 18  # what a bigint holds
MOST_NEWEST_LINES = 1000
MOST_REJECTED_SHARE = 0.2
MOST_REJECTED_FREE = 200
"""A file is refused when more rows than this and more than that share are rejected."""

RAW_TEXT_CHARACTERS = 20_000
"""How much of a rejected row is kept in the database; the archive has all of it."""

CONTROLS = bytes(each for each in (*range(32), 127) if each not in b"\t\n\r")
"""The control characters of ASCII but for line breaks and tabs."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """An accepted row that the last file did not have, as a line of CSV for COPY."""

    line_number: int
    digest: bytes
    lot: int
    updated: str
    csv: bytes


@dataclass(frozen=True, kw_only=True)
class RejectedRow:
    """A row that is not loaded, as audit.rejected_rows keeps it."""

    line_number: int
    reason: str
    detail: str
    raw_text: str
    row_hash: bytes


PLACEHOLDER = Broken(reason="placeholder", detail="the lot number is not a number")


@dataclass(kw_only=True)
class Difference:
    """What a file changes. `missed` are the lots of its new and changed rows, `vanished` those of rows that left."""

    rows_read: int = 0
    rows_known: int = 0
    rows_repaired: int = 0
    rejected: list[RejectedRow] = field(default_factory=list)
    duplicates: int = 0
    """How many of the rejected rows are older rows of a lot that has another one."""
    missed: array[int] = field(default_factory=lambda: array("Q"))
    vanished: array[int] = field(default_factory=lambda: array("Q"))
    doubled: set[int] = field(default_factory=set)
    """Lots that the last file has twice in the very same row."""
    newest: str = ""
    newest_lines: set[int] = field(default_factory=set)


class Differ:
    """Reads a file once and sends every row that the last one does not have."""

    def __init__(
        self,
        feed: FeedFile,
        last: State,
        *,
        send: Callable[[bytes], None],
        keep: Callable[[BodyPart], None],
        state: StateWriter,
        file_id: int,
        latest: str,
    ) -> None:
        """`send` takes lines of CSV for COPY, `keep` the parts of the file for the archive.

        A Last Updated Time after `latest` comes from a wrong clock and is never the newest.
        """
        self._feed = feed
        self._is_comparable = last.layout == feed.header.layout
        self._last = last
        self._window = Window(last if self._is_comparable else EMPTY)
        self._send = send
        self._keep = keep
        self._state = state
        self._file_id = file_id
        self._latest = latest
        self._lot_and_updated = _picker(feed)
        self._newest = b""
        self._has_unknown = bool(feed.header.unknown)
        self._still_joined: set[bytes] = set()
        self.found = Difference()

    def run(self, progress: Callable[[int], None]) -> Difference:
        """Read the file to its end; `progress` gets the bytes that are done.

        Raises FeedRefused, StateDamaged, OSError.
        """
        found = self.found
        stripper = self._feed.stripper()
        self._keep(stripper.head())
        met = 0  # the farthest line of the last file that this one has
        done = self._feed.start
        for block in self._feed.blocks():
            body = stripper.strip(block.raw, block.lines)
            self._window.read_to(met + len(block.lines) + AHEAD)
            places = self._window.take(body)
            met = max(met, max(places))
            body.like = self._window.alike(places)
            self._keep(body)
            self._rows(block, body, places)
            found.vanished.extend(self._window.forget(met - BEHIND))
            done += len(block.raw)
            progress(done)
        found.vanished.extend(self._window.left())
        found.doubled = self._window.doubled | set(self._last.joined.values()).intersection(self._last.spares)
        found.vanished.extend(lot for digest, lot in self._last.joined.items() if digest not in self._still_joined)
        if not self._is_comparable:
            found.vanished.extend(self._last.lots)
        return found

    def _rows(self, block: Block, body: BodyPart, places: list[int]) -> None:
        """Count the rows of a block that the last file has and send the others."""
        found, state, last = self.found, self._state, self._last
        missed = [index for index, place in enumerate(places) if place < 0]
        known = len(places) - len(missed)
        found.rows_read += known
        found.rows_known += known
        first = len(state.lots)
        if known:
            lots = last.lots
            state.lots.extend([lots[place] for place in places])
            if not last.newest_lines.isdisjoint(places):
                lines = {first + index for index, place in enumerate(places) if place in last.newest_lines}
                self._note_newest(last.newest, lines)
        else:
            state.lots.extend([0] * len(places))
        if missed:
            self._misses(block, body, missed, first)
            self._check_rejected()

    def _misses(self, block: Block, body: BodyPart, missed: list[int], first: int) -> None:
        """Send the rows of a block that the last file does not have; its first line is number `first` of the state."""
        found, feed, lines, lots = self.found, self._feed, block.lines, self._state.lots
        is_plain = not self._has_unknown and block.raw.isascii() and not _has_controls(block.raw)
        is_clean = feed.is_clean
        field_at = self._lot_and_updated
        out: list[bytes] = []
        skip_to = 0
        for index in missed:
            lots[first + index] = 0
            if index < skip_to:
                continue
            line = lines[index]
            number = block.first_line + index
            if is_clean(line) and (is_plain or self._is_plain(line)):
                lot, updated = field_at(line)
                if is_lot(lot):
                    digest = blake2b(body.tails[index], digest_size=DIGEST_BYTES).hexdigest().encode()
                    out.append(b"%d,%d,\\x%b,%b\n" % (self._file_id, number, digest, line))
                    lots[first + index] = found_lot = int(lot)
                    found.missed.append(found_lot)
                    if updated >= self._newest:
                        self._note_newest(updated.decode("ascii", "replace"), {first + index})
                    continue
                self._reject(line, number, PLACEHOLDER)
                continue
            read = feed.record(lines, index)
            if isinstance(read, Broken):
                self._reject(line, number, read)
                continue
            skip_to = index + read.lines
            raw = feed.separator.join(lines[index:skip_to])
            tail = feed.separator.join([body.tails[index], *lines[index + 1 : skip_to]])
            row = row_of(feed, self._file_id, number, read, digest_of(tail))
            if row is None:
                self._reject(raw, number, PLACEHOLDER)
            elif self._take(row, read, first + index):
                out.append(row.csv)
        found.rows_read += len(out)
        if out:
            self._send(b"".join(out))

    def _take(self, row: Row, record: Record, line: int) -> bool:
        """Note a row that had to be parsed, and tell whether it is to be sent."""
        found = self.found
        self._note_newest(row.updated, {line})
        if record.lines == 1:
            self._state.lots[line] = row.lot
        else:
            self._state.joined[row.digest] = row.lot
            if self._is_comparable and row.digest in self._last.joined and row.digest not in self._still_joined:
                self._still_joined.add(row.digest)
                found.rows_read += 1
                found.rows_known += 1
                return False
        found.rows_repaired += record.repaired
        found.missed.append(row.lot)
        return True

    def _is_plain(self, line: bytes) -> bool:
        """Tell whether PostgreSQL may have the line unchanged: it is text, without control characters."""
        text = decoded(line)
        return not self._has_unknown and not isinstance(text, Broken) and without_controls(text) == text

    def _note_newest(self, updated: str, lines: set[int]) -> None:
        found = self.found
        if updated < found.newest or not known_time(updated, self._latest):
            return
        if updated > found.newest:
            found.newest = updated
            self._newest = updated.encode()
            found.newest_lines.clear()
        if len(found.newest_lines) < MOST_NEWEST_LINES:
            found.newest_lines |= lines

    def _reject(self, line: bytes, number: int, why: Broken) -> None:
        self.found.rows_read += 1
        self.found.rejected.append(rejected(line, number, why))

    def _check_rejected(self) -> None:
        found = self.found
        most = max(MOST_REJECTED_FREE, MOST_REJECTED_SHARE * max(found.rows_read, len(self._last.lots)))
        if len(found.rejected) > most:
            reasons = ", ".join(
                f"{count} {reason}" for reason, count in Counter(r.reason for r in found.rejected).items()
            )
            first = found.rejected[0]
            raise FeedRefused(
                "unreadable",
                f"{len(found.rejected)} of {found.rows_read} rows cannot be read ({reasons}; the first is line "
                f"{first.line_number}: {first.detail}): the format changed or the file is damaged",
            )


def rejected(line: bytes, number: int, why: Broken) -> RejectedRow:
    """Return a rejected row with its text as PostgreSQL can hold it."""
    text = line.decode("utf-8", "backslashreplace").replace("\0", "\\x00")
    return RejectedRow(
        line_number=number,
        reason=why.reason,
        detail=why.detail,
        raw_text=text[:RAW_TEXT_CHARACTERS],
        row_hash=digest_of(tail_of(line)),
    )


def _picker(feed: FeedFile) -> Callable[[bytes], tuple[bytes, bytes]]:
    """Return a function that picks lot number and Last Updated Time from a clean line without splitting all of it."""
    lot = feed.header.index("lot_number") + 1
    updated = feed.width - feed.header.index("last_updated_at")

    def pick(line: bytes) -> tuple[bytes, bytes]:
        return (
            line.split(b'","', lot)[lot - 1].strip(b'" '),
            line.rsplit(b'","', updated)[1 if updated < feed.width else 0].strip(b'"'),
        )

    return pick


def _has_controls(raw: bytes) -> bool:
    """Tell whether there are control characters in ASCII lines."""
    return len(raw.translate(None, CONTROLS)) < len(raw)


def is_lot(text: bytes) -> bool:
    """Tell whether a lot number is valid; 0 stands for none."""
    return text.isdigit() and len(text) <= MOST_LOT_DIGITS and text.strip(b"0") != b""


def known_time(text: str, latest: str) -> str:
    """Return a Last Updated Time, or "" for an invalid one and one after `latest`; the same as staging.to_instant."""
    if text > latest or not TIME.fullmatch(text):
        return ""
    try:
        datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        return ""
    return text


def row_of(feed: FeedFile, file_id: int, number: int, record: Record, digest: bytes) -> Row | None:
    """Return a parsed record as a row, or None if its lot number is invalid.

    Values of unknown columns follow the known ones as JSON: see upsert.copy_statement.
    """
    fields = record.fields
    lot = fields[feed.header.index("lot_number")].strip(" \t\n\r\v\f")  # what PostgreSQL strips, not more
    if not (lot.isascii() and is_lot(lot.encode())):
        return None
    header = feed.header
    fields = [without_controls(field) for field in record.fields]
    values = [value for value, name in zip(fields, header.names, strict=True) if name]
    if header.unknown:
        extra = {
            title: value
            for title, name, value in zip(header.titles, header.names, fields, strict=True)
            if name is None and value
        }
        values.append(json.dumps(extra, ensure_ascii=False) if extra else "")
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(values)
    return Row(
        line_number=number,
        digest=digest,
        lot=int(lot),
        updated=fields[header.index("last_updated_at")],
        csv=b"%d,%d,\\x%b,%b" % (file_id, number, digest.hex().encode(), text.getvalue().encode()),
    )


def rows_of(feed: FeedFile, file_id: int, lots: set[int]) -> Iterator[tuple[Row, bytes]]:
    """Read the file again and yield every readable row of some lots with its raw bytes."""
    stripper = feed.stripper()
    lot_at = feed.header.index("lot_number")
    for block in feed.blocks():
        tails = stripper.strip(block.raw, block.lines).tails
        skip_to = 0
        for index, line in enumerate(block.lines):
            if index < skip_to:
                continue
            if feed.is_clean(line):
                lot = line[1:-1].split(b'","', lot_at + 1)[lot_at].strip()
                if not (lot.isdigit() and len(lot) <= MOST_LOT_DIGITS and int(lot) in lots):
                    continue
            read = feed.record(block.lines, index)
            if isinstance(read, Broken):
                continue
            skip_to = index + read.lines
            tail = feed.separator.join([tails[index], *block.lines[index + 1 : skip_to]])
            digest = digest_of(tail)
            row = row_of(feed, file_id, block.first_line + index, read, digest)
            if row is not None and row.lot in lots:
                yield row, feed.separator.join(block.lines[index:skip_to])
