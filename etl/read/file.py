"""The reader of feed files: blocks of lines, and records from irregular lines.

The feed quotes every field and escapes nothing, so a row may hold quotes (`"125" SLEEPER CAB"`) that make a strict
parser lose the rest of the file and a lenient one move the quote silently. Here one bad row costs one row: almost
every line is `clean` and needs no parsing at all; any other is parsed strictly, then joined with the lines after it
(a line break in a field), then split at `","`; if it still lacks the header's number of fields, it is rejected.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from etl.errors import FeedRefused
from etl.read.body import Stripper
from etl.read.columns import Header, read_header

BLOCK_BYTES = 2 << 20
"""How much is read at a time. One frame of the archive covers as much."""

MOST_BROKEN_BYTES = 16 << 20
"""A file with more bytes in a row than this and no complete row among them is not a feed."""

MOST_JOINED_LINES = 20
"""How many lines a record with line breaks in its fields may span."""

HEADER_BYTES = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Block:
    """Whole lines of the file, without their separators; `raw` is the same with them. Lines count from 1."""

    raw: bytes
    lines: list[bytes]
    first_line: int


@dataclass(frozen=True, kw_only=True)
class Record:
    """The fields of one row, in the order of the header, and how many lines it took from the block."""

    fields: list[str]
    lines: int
    repaired: bool


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A line that is not a row: the reason, as in the runbook, and the detail."""

    reason: str
    detail: str


class FeedFile:
    """A feed file on disk."""

    def __init__(self, path: Path, *, block_bytes: int = BLOCK_BYTES) -> None:
        """Read the header. Raises FeedRefused if this is not a complete feed file, OSError if it cannot be read."""
        self.path = path
        self.size = path.stat().st_size
        self._block_bytes = block_bytes
        with path.open("rb") as file:
            head = file.read(HEADER_BYTES)
            file.seek(max(0, self.size - 2))
            tail = file.read(2)
        _check_is_text(head)
        line, newline, _ = head.partition(b"\n")
        if not newline:
            raise FeedRefused("short", f"the file ({self.size} bytes) holds no whole line: fetch it again")
        self.separator = b"\r\n" if line.endswith(b"\r") else b"\n"
        self.start = len(line) + 1
        self.head = head[: self.start]
        self.header = _header_of(line)
        self.width = len(self.header.names)
        if not tail.endswith(self.separator):
            raise FeedRefused("truncated", "the last line has no end: the file was cut short; fetch it again")
        self._quotes = 2 * self.width
        self._commas = self.width - 1

    def blocks(self) -> Iterator[Block]:
        """Yield the lines after the header. A block ends after a complete row, so that no record spans two.

        The rows do not depend on the size of the blocks. Raises FeedRefused for MOST_BROKEN_BYTES without a row.
        """
        number = 2
        with self.path.open("rb") as file:
            file.seek(self.start)
            rest = b""
            while chunk := file.read(self._block_bytes):
                rest += chunk
                cut = self._cut(rest)
                if cut:
                    block = self._block(rest[:cut], number)
                    number += len(block.lines)
                    rest = rest[cut:]
                    yield block
                elif len(rest) > MOST_BROKEN_BYTES:
                    raise FeedRefused(
                        "unreadable",
                        f"{len(rest)} bytes from line {number} on hold no complete row: this is not a feed",
                    )
            if rest:
                yield self._block(rest, number)

    def stripper(self) -> Stripper:
        """Return the stripper that turns the blocks of this file into its body."""
        return Stripper(self.head, self.separator, has_ordinal=self.header.has_ordinal)

    def _block(self, raw: bytes, number: int) -> Block:
        lines = raw.split(self.separator)
        lines.pop()
        return Block(raw=raw, lines=lines, first_line=number)

    def _cut(self, text: bytes) -> int:
        """Return the length of the longest part that ends after a complete row."""
        end = text.rfind(self.separator)
        while end > 0:
            start = text.rfind(self.separator, 0, end)
            begin = start + len(self.separator) if start >= 0 else 0
            if self._reads_alone(text[begin:end]):
                return end + len(self.separator)
            end = start
        return 0

    def is_clean(self, line: bytes) -> bool:
        """Tell whether every quote of the line encloses a field; PostgreSQL then accepts it unchanged."""
        return (
            line.count(b'","') == self._commas
            and line.count(b'"') == self._quotes
            and line.startswith(b'"')
            and line.endswith(b'"')
            and not line.startswith(b'",')  # one quote cannot open a field and close another:
            and not line.endswith(b',"')  # then some field holds a quote of its own
        )

    def is_complete(self, line: bytes) -> bool:
        """Tell whether the line is a row by itself."""
        return self._reads_alone(line) or self._split(line) is not None

    def _reads_alone(self, line: bytes) -> bool:
        """Tell whether the line is a row whatever follows: one with quotes in its last field may continue."""
        return self.is_clean(line) or isinstance(self._read(line), list)

    def record(self, lines: list[bytes], index: int) -> Record | Broken:
        """Read the record that begins at a line, in the order of attempts above."""
        line = lines[index]
        if not line.strip():
            return Broken(reason="blank", detail="an empty line")
        fields = self._read(line)
        if isinstance(fields, list):
            return Record(fields=fields, lines=1, repaired=False)
        joined = list(self._joined(lines, index))
        for count, text in joined:
            fields = self._read(text)
            if isinstance(fields, list):
                return Record(fields=fields, lines=count, repaired=False)
        for count, text in [(1, line), *joined]:
            split = self._split(text)
            if split is not None:
                return Record(fields=split, lines=count, repaired=True)
        return self._broken(line)

    def _joined(self, lines: list[bytes], index: int) -> Iterator[tuple[int, bytes]]:
        """Yield the line joined with one, two, … of the lines after it, as long as those are not rows themselves."""
        text = lines[index]
        for count, line in enumerate(lines[index + 1 : index + MOST_JOINED_LINES], 2):
            if self.is_complete(line):
                return
            text += self.separator + line
            yield count, text

    def _read(self, line: bytes) -> list[str] | Broken:
        """Parse a line strictly as CSV."""
        text = decoded(line)
        if isinstance(text, Broken):
            return text
        try:
            rows = list(csv.reader([text], strict=True))
        except csv.Error as error:
            return Broken(reason="quotes", detail=str(error))
        if len(rows) != 1 or len(rows[0]) != self.width:
            found = len(rows[0]) if rows else 0
            return Broken(reason="field_count", detail=f"{found} fields instead of {self.width}")
        return rows[0]

    def _split(self, line: bytes) -> list[str] | None:
        """Split a line whose fields hold unescaped quotes, which are kept."""
        text = decoded(line.removesuffix(b"\r"))
        if isinstance(text, Broken) or len(text) < 2 or not (text.startswith('"') and text.endswith('"')):
            return None
        fields = text[1:-1].split('","')
        return fields if len(fields) == self.width else None

    def _broken(self, line: bytes) -> Broken:
        text = decoded(line)
        if isinstance(text, Broken):
            return text
        found = line.count(b'","') + 1
        if found != self.width:
            return Broken(reason="field_count", detail=f"{found} fields instead of {self.width}")
        return Broken(reason="quotes", detail="the quotes do not enclose the fields")


def decoded(line: bytes) -> str | Broken:
    """Return a line as text that PostgreSQL can store, or why PostgreSQL cannot."""
    if b"\0" in line:
        return Broken(reason="nul", detail=f"a NUL byte at position {line.index(0) + 1}")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        return Broken(reason="encoding", detail=f"not UTF-8 at position {error.start + 1}")


def _check_is_text(head: bytes) -> None:
    if not head.strip():
        raise FeedRefused("empty", "the file is empty: get it again")
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:2048].lower()
    if start.startswith(b"<") or b"<html" in start:
        message = "this is an HTML page, not a feed: how the source refuses a request"
        raise FeedRefused("html", f"{message}; see the runbook")


def _header_of(line: bytes) -> Header:
    text = decoded(line.removeprefix(b"\xef\xbb\xbf").removesuffix(b"\r"))
    if isinstance(text, Broken):
        raise FeedRefused("header", f"the header cannot be read: {text.detail}")
    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error as error:
        raise FeedRefused("header", f"the header cannot be read: {error}") from None
    return read_header(rows[0] if rows else [])
