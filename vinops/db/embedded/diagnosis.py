"""Why the embedded server fails, where its log and its file system say more than libpq: a full or a read-only disk."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from vinops import disk

SEGMENT: Final = 16 * 1024 * 1024
"""Bytes of a file of the write-ahead log: with less free space the server cannot begin the next one, and ends."""
LOG_TAIL: Final = 64_000  # bytes
RECENT: Final = 60.0  # seconds for which an error in the log explains a failure, if there is space again


def explain(base: Path) -> str | None:
    """Return what is wrong with the file system of this server's folder, and what fixes it; None if nothing is."""
    try:
        found = os.statvfs(base)
    except OSError:
        return None
    if found.f_flag & os.ST_RDONLY:
        return disk.read_only(base)
    is_full = found.f_bavail * found.f_frsize < SEGMENT or (found.f_files > 0 and found.f_favail == 0)
    said = last_complaint(base / "server.log", now=datetime.now(UTC), recent=None if is_full else RECENT)
    if said is None and not is_full:
        return None
    return f"the disk of {base} is full ({said or disk.PHRASE}): free some space: {disk.GO}"


def last_complaint(log: Path, *, now: datetime, recent: float | None = None) -> str | None:
    """Return the server's last message in this log about a full disk; with `recent`, only one of the last `recent`
    seconds."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_TAIL))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return None
    line = next((each for each in reversed(lines) if disk.PHRASE in each), None)
    if line is None or (recent is not None and not _is_since(line, now, recent)):
        return None
    return line.partition(":  ")[2] or line


def _is_since(line: str, now: datetime, seconds: float) -> bool:
    try:  # log_line_prefix begins with %m, in UTC: cluster.py
        at = datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
    except ValueError:
        return False
    return (now - at).total_seconds() <= seconds
