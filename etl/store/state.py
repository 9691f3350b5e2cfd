"""The last state of the feed as files: the last file's body and the lot of each of its lines.

The database holds the truth; this is its shadow beside it, named by the sha256 of the feed file, written before the
commit that makes that file the last one, and trusted only when the database says that it is. When it is missing or
damaged the digests of the rows come from the database instead, and the archive gets a whole file instead of a delta.

`<sha256>.body` is the file as body.py stores it; `<sha256>.lots` has the lot of each of its lines (0 for a line that
is no row of its own) and a closing note with the sums of both.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

_END = struct.Struct("<8sQI")  # the mark of a complete file, where its note begins, the CRC-32 of all before this
_MARK = b"vinops2\n"
"""A new one has the state made anew from the tables: after a migration that has rows of the last file read again, as
0011_feed_repairs."""


class BodyDamaged(Exception):  # noqa: N818 # answered by working without it
    """The copy of the last file does not match its sums."""


@dataclass(frozen=True, kw_only=True)
class State:
    """What the last file held, by line."""

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
    body: Body | None = None


EMPTY = State(sha256="", layout="")


class Body:
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
        """Yield where each part of the rows ends, and its lines. Raises BodyDamaged."""
        end = self.start
        with self.path.open("rb", buffering=0) as file:
            file.seek(end)
            for size, total in self._parts[1:]:
                data = file.read(size)
                if zlib.crc32(data) != total:
                    raise BodyDamaged("the copy of the last file is damaged")
                lines = data.split(self._separator)
                lines.pop()
                end += size
                yield end, lines


class StateWriter:
    """Writes the state of a file while it is read. It counts only once `finish` has named it."""

    def __init__(self, folder: Path, sha256: str, layout: str, separator: bytes) -> None:
        """Start the body in the folder, under a name that nobody trusts yet. Raises OSError."""
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
        """Name the files. Not forced to disk: after a power cut they fail their sums and are done without."""
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
        """Leave nothing behind of a file that was not taken."""
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
        body = Body(folder / f"{sha256}.body", note["separator"].encode(), parts)
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


def rebuilt(sha256: str, layout: str, newest: str, rows: Iterable[tuple[bytes, int, bool]]) -> State:
    """Return a state made from what the database knows of its active lots: (digest, lot, whether it is the newest)."""
    found = list(rows)
    return State(
        sha256=sha256,
        layout=layout,
        lots=array("Q", (lot for _, lot, _ in found)),
        digests=tuple(digest for digest, _, _ in found),
        newest=newest,
        newest_lines=frozenset(index for index, (_, _, is_newest) in enumerate(found) if is_newest),
    )


def sweep(folder: Path, keep: str) -> None:
    """Remove the states of other files than `keep`; called when the database has named that one the last."""
    for path in folder.glob("*"):
        if path.suffix in {".lots", ".body", ".part"} and path.stem != keep:
            path.unlink(missing_ok=True)
