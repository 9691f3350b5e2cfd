"""New lines of a log since it was last read, across its rotation."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MOST_BYTES: Final = 10_000_000  # of one pass: the size at which logs are rotated


@dataclass(frozen=True, kw_only=True)
class Position:
    """How far a log was read: the inode of its file and an offset in bytes. None at first."""

    file: int | None = None
    offset: int | None = None


def new_lines(log: Path, since: Position) -> tuple[list[str], Position]:
    """Return the whole lines written since a position, and the new position.

    Lines before the first read are old. A file that was rotated is found by its inode and read to its end.
    """
    try:
        now = log.stat()
    except OSError:
        return [], since
    if since.file is None or since.offset is None:
        return [], Position(file=now.st_ino, offset=now.st_size)
    if since.file == now.st_ino:
        lines, offset = _read(log, since.offset if since.offset <= now.st_size else 0)
        return lines, Position(file=now.st_ino, offset=offset)
    rest: list[str] = []
    for old in log.parent.glob(f"{log.name}.[0-9]*"):
        try:
            if old.stat().st_ino == since.file:
                rest, _ = _read(old, since.offset)
        except OSError:
            continue
    lines, offset = _read(log, 0)
    return rest + lines, Position(file=now.st_ino, offset=offset)


def count(lines: list[str], patterns: Mapping[str, tuple[str, int]]) -> dict[str, int]:
    """Return how many lines match each pattern."""
    return {kind: sum(bool(re.search(pattern, line)) for line in lines) for kind, (pattern, _) in patterns.items()}


def _read(path: Path, offset: int) -> tuple[list[str], int]:
    """Return the lines from an offset on, and the offset after the last whole one."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(offset, size - MOST_BYTES))
            data = file.read(MOST_BYTES)
            end = file.tell()
    except OSError:
        return [], offset
    whole, _, part = data.rpartition(b"\n")
    return whole.decode("utf-8", "replace").splitlines(), end - len(part)
