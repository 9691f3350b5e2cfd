"""The state of the last file, which the next one is compared with: its body and the lot of each of its lines.

The files are a cache beside the database. They are named by the sha256 of the feed file, written before the commit that
makes that file the last one, and used only when the database says that it is. When they are missing or damaged, the
digests of the rows come from the database instead, and the archive gets a whole file instead of a delta.

`<sha256>.body` is the file as etl/read/body.py stores it; `<sha256>.lots` has the lot of each of its lines (0 for a
line that is not a row by itself) and ends with a note that has the checksums of both.
"""

from __future__ import annotations

import json
import logging
import os
import struct
import zlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etl.errors import StateDamaged
from vinops.db.database import queries

if TYPE_CHECKING:
    from psycopg import Connection

    from etl.audit import LastLoad

log = logging.getLogger("etl")

_END = struct.Struct("<8sQI")  # mark of a complete file, offset of its note, CRC-32 of all before this
_MARK = b"vinops2\n"
"""Change it and the state is rebuilt from the tables: after a migration that has rows of the last file read again, as
0011_feed_repairs."""


@dataclass(frozen=True, kw_only=True)
class State:
    """What the last file holds, by line."""

    sha256: str
    layout: str
    """The staging columns of the file: rows of another layout are all new, even if their bytes are the same."""
    lots: array[int] = field(default_factory=lambda: array("Q"))
    """The lot of each line; of each row when there is no body."""
    digests: tuple[bytes, ...] = ()
    """The digest of each row, when there is no body."""
    joined: dict[bytes, int] = field(default_factory=dict)
    """Rows that span several lines: their lot by their digest."""
    spares: tuple[int, ...] = ()
    """The lot of each row that lost to a newer one of the same lot."""
    newest: str = ""
    """The newest Last Updated Time of the file, as the feed writes it."""
    newest_lines: frozenset[int] = frozenset()
    body: LastBody | None = None


EMPTY = State(sha256="", layout="")


class LastBody:
    """The body of the last file, read in the parts in which it was written; each holds whole lines."""

    def __init__(self, path: Path, separator: bytes, parts: list[tuple[int, int]]) -> None:
        """`parts` are the size and the CRC-32 of each part; the first is the header."""
        self.path = path
        self.size = sum(size for size, _ in parts)
        self.start = parts[0][0]  # where the rows begin
        self._separator = separator
        self._parts = parts

    def read(self, start: int, length: int) -> bytes:
        """Return a range of bytes, of parts that `parts` has checked."""
        with self.path.open("rb", buffering=0) as file:
            return os.pread(file.fileno(), length, start)

    def parts(self) -> Iterator[tuple[int, list[bytes]]]:
        """Yield where each part of the rows ends, and its lines. Raises StateDamaged."""
        end = self.start
        with self.path.open("rb", buffering=0) as file:
            file.seek(end)
            for size, total in self._parts[1:]:
                data = file.read(size)
                if zlib.crc32(data) != total:
                    raise StateDamaged("the copy of the last file is damaged")
                lines = data.split(self._separator)
                lines.pop()
                end += size
                yield end, lines


class StateWriter:
    """Writes the state of a file while it is read. It is used only once `finish` has named it."""

    def __init__(self, folder: Path, sha256: str, layout: str, separator: bytes) -> None:
        """Start the body in the folder under a temporary name. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._sha256 = sha256
        self._layout = layout
        self._separator = separator
        self._body = folder.joinpath("body.part").open("wb")
        self._parts: list[tuple[int, int]] = []
        self.lots = array("Q")
        self.joined: dict[bytes, int] = {}
        self.spares: list[int] = []

    def add_body(self, data: bytes) -> None:
        """Add the next part of the body; the first one is the header."""
        self._parts.append((len(data), zlib.crc32(data)))
        self._body.write(data)

    def finish(self, newest: str, newest_lines: Iterable[int]) -> None:
        """Name the files. They are not forced to disk: after a power cut their checksums fail and they are rebuilt."""
        note = {
            "sha256": self._sha256,
            "layout": self._layout,
            "separator": self._separator.decode(),
            "lines": len(self.lots),
            "joined": {digest.hex(): lot for digest, lot in self.joined.items()},
            "spares": self.spares,
            "newest": newest,
            "newest_lines": sorted(newest_lines),
            "parts": self._parts,
        }
        data = self.lots.tobytes()
        where = len(data)
        data += json.dumps(note).encode()
        self._folder.joinpath("lots.part").write_bytes(data + _END.pack(_MARK, where, zlib.crc32(data)))
        self._body.close()
        self._folder.joinpath("body.part").replace(self._folder / f"{self._sha256}.body")
        self._folder.joinpath("lots.part").replace(self._folder / f"{self._sha256}.lots")

    def drop(self) -> None:
        """Remove what was written for a file that was not loaded."""
        self._body.close()
        for name in ("body.part", "lots.part"):
            self._folder.joinpath(name).unlink(missing_ok=True)


def load(folder: Path, sha256: str) -> State | None:
    """Return the state of that file, or None if there is none or it is damaged."""
    try:
        data = folder.joinpath(f"{sha256}.lots").read_bytes()
        end = len(data) - _END.size
        mark, where, total = _END.unpack_from(data, end)
        if mark != _MARK or zlib.crc32(memoryview(data)[:end]) != total:
            return None
        note = json.loads(data[where:end])
        lots = array("Q")
        lots.frombytes(data[:where])
        parts = [(size, total) for size, total in note["parts"]]
        body = LastBody(folder / f"{sha256}.body", note["separator"].encode(), parts)
        if note["sha256"] != sha256 or len(lots) != note["lines"] or body.path.stat().st_size != body.size:
            return None
        return State(
            sha256=sha256,
            layout=note["layout"],
            lots=lots,
            joined={bytes.fromhex(digest): lot for digest, lot in note["joined"].items()},
            spares=tuple(note["spares"]),
            newest=note["newest"],
            newest_lines=frozenset(note["newest_lines"]),
            body=body,
        )
    except (OSError, ValueError, KeyError, struct.error):
        return None


def of_last_load(connection: Connection[Any], folder: Path, last: LastLoad | None, layout: str) -> State:
    """Return the state of the last file: from disk, or rebuilt from the tables."""
    known = load(folder, last.sha256) if last is not None else EMPTY
    if known is None:
        log.warning("the state of the last file is missing or damaged: rebuilt from the database")
        return rebuilt(connection, last, layout)
    return known


def rebuilt(connection: Connection[Any], last: LastLoad | None, layout: str) -> State:
    """Return the state of the last file from its lots in the tables; it has digests and no body."""
    if last is None:
        return EMPTY
    rows = connection.execute(queries("feed")["active_rows"], {"newest": last.newest_update}).fetchall()
    return State(
        sha256=last.sha256,
        layout=layout,
        lots=array("Q", (lot for _, lot, _ in rows)),
        digests=tuple(digest for digest, _, _ in rows),
        newest=f"{last.newest_update.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if last.newest_update else "",
        newest_lines=frozenset(index for index, (_, _, is_newest) in enumerate(rows) if is_newest),
    )


def remove_others(folder: Path, keep: str) -> None:
    """Remove the states of other files than `keep`. Call it when the database has that one as the last."""
    for path in folder.glob("*"):
        if path.suffix in {".lots", ".body", ".part"} and path.stem != keep:
            path.unlink(missing_ok=True)
