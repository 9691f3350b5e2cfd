"""The body of a feed file: its bytes without the ordinals that lead each row.

`Id` is the row's position in the file: one row that leaves changes every later line, and a delta against the file
before would hold them all. It is removed here and restored exactly: a line of the body that begins with a comma had the
next ordinal in front; any other line is unchanged (with a backslash before it if it began with one of the two).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_ORDINAL = re.compile(rb'"([1-9][0-9]{0,17})",')


@dataclass(kw_only=True)
class BodyPart:
    """A part of the body: the lines as they are stored (`data` with separators) and as they came (`raw`).

    `tails` are the rows without their first field, which the digests cover. `like` is the similar range of the last
    body: where it starts, and its length in bytes.
    """

    raw: bytes
    data: bytes
    lines: list[bytes]
    tails: list[bytes]
    like: tuple[int, int] = (0, 0)


class Stripper:
    """Turns a file, part by part in order, into its body. The result does not depend on where the parts are cut."""

    def __init__(self, head: bytes, separator: bytes, *, has_ordinal: bool) -> None:
        """Begin before the first row; `head` is the header line with its end."""
        self._head = head
        self._separator = separator
        self._has_ordinal = has_ordinal
        self._next = 1

    def head(self) -> BodyPart:
        """Return the header as the first part of the body."""
        head = self._head
        return BodyPart(raw=head, data=head, lines=[], tails=[])

    def strip(self, raw: bytes, lines: list[bytes]) -> BodyPart:
        """Return the part of the body for some lines; `raw` is the same with their separators."""
        if not self._has_ordinal:
            return BodyPart(raw=raw, data=raw, lines=lines, tails=lines)
        last = self._next + len(lines)
        width = len(str(self._next)) + 3
        # One comparison proves every ordinal of the part: `"41","42","43",` as their digits are equally many.
        if len(str(last)) + 3 == width:
            expected = '"' + '","'.join(map(str, range(self._next, last))) + '",'
            if b"".join([line[:width] for line in lines]) == expected.encode():
                self._next = last
                width -= 1
                tails = [line[width:] for line in lines]
                return BodyPart(raw=raw, data=self._joined(tails), lines=tails, tails=tails)
        stored = [self._strip_line(line) for line in lines]
        return BodyPart(raw=raw, data=self._joined(stored), lines=stored, tails=[tail_of(line) for line in lines])

    def _joined(self, lines: list[bytes]) -> bytes:
        return self._separator.join([*lines, b""])

    def _strip_line(self, line: bytes) -> bytes:
        head = b'"%d"' % self._next
        if line.startswith(head) and line[len(head) : len(head) + 1] == b",":
            self._next += 1
            return line[len(head) :]
        self._next = following(line, self._next)
        return b"\\" + line if line.startswith((b",", b"\\")) else line


def tail_of(line: bytes) -> bytes:
    """Return a row without its first field; a line without a comma is returned whole."""
    return line[line.find(b",") :] if b"," in line else line


def following(line: bytes, expected: int) -> int:
    """Return the ordinal that is expected after a line that is stored unchanged."""
    found = _ORDINAL.match(line)
    return int(found[1]) + 1 if found else expected


def restored(body: BinaryIO, separator: bytes, *, has_ordinal: bool) -> Iterator[bytes]:
    """Yield the bytes of the file that has this body."""
    size = 1 << 20
    if not has_ordinal:
        while chunk := body.read(size):
            yield chunk
        return
    expected = 1
    is_head = True
    rest = b""
    while chunk := body.read(size):
        lines = (rest + chunk).split(separator)
        rest = lines.pop()
        out = []
        for line in lines:
            if is_head:
                is_head = False
                out.append(line)
            elif line.startswith(b","):
                out.append(b'"%d"%b' % (expected, line))
                expected += 1
            else:
                plain = line[1:] if line.startswith(b"\\") else line
                expected = following(plain, expected)
                out.append(plain)
        if out:
            yield separator.join(out) + separator
