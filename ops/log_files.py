"""Log files: their events from the end, followed over rotation, and pruned."""

from __future__ import annotations

import fcntl
import math
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vinops import clock, locks, logs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vinops.config import Settings

NAMES = {
    "1": ("worker_1",),
    "2": ("worker_2",),
    "3": ("worker_3",),
    "4": ("worker_4",),
    "5": ("worker_5",),
    "photos": ("photo-scraper",),
    "etl": ("etl",),
    "celery": ("celery_worker", "celery_beat"),
    "supervisor": ("supervisor",),
    "deals": ("deals",),
    "backup": ("backup",),
    "watch": ("watch",),
}
"""The operators' names of the workers and programs, and the logs of each."""

EVENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) ([A-Z]+) ([^:\s]+): (.*)")
LOG = re.compile(r".+\.log(\.\d+)?")
NUMBERED = re.compile(r"(.+\.log)\.\d+")
ERRORS = frozenset({"WARNING", "ERROR", "CRITICAL"})
BLOCK = 64 << 10
LARGE = 1_000_000  # bytes of a log that `vinops celery clean` rotates
AGE = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


@dataclass(frozen=True, kw_only=True)
class Event:
    """An event: its line, and the lines that belong to it, such as a traceback."""

    log: str
    time: str
    level: str
    lines: tuple[str, ...]

    @property
    def is_error(self) -> bool:
        """Tell whether it is a warning or worse."""
        return self.level in ERRORS

    def data(self) -> dict[str, Any]:
        """Return the event as a JSON object."""
        found = EVENT.fullmatch(self.lines[0])
        logger, message = (found[3], found[4]) if found else ("", self.lines[0])
        about = {"log": self.log, "time": self.time, "level": self.level, "logger": logger, "message": message}
        return about | ({"below": list(self.lines[1:])} if len(self.lines) > 1 else {})


def grouped(log: str, lines: Iterable[str]) -> Iterator[Event]:
    """Yield the events of a file's lines. Lines before the first event, such as a program's output, have no time."""
    current: list[str] = []
    for line in lines:
        if current and EVENT.match(line):
            yield _event(log, current)
            current = []
        current.append(line)
    if current:
        yield _event(log, current)


def _event(log: str, lines: list[str]) -> Event:
    found = EVENT.match(lines[0])
    return Event(log=log, time=found[1] if found else "", level=found[2] if found else "", lines=tuple(lines))


def backwards(path: Path) -> Iterator[str]:
    """Yield the lines of a file, the last first. Reads only as much as is consumed. Raises OSError."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        rest = b""
        while end > 0:
            start = max(0, end - BLOCK)
            file.seek(start)
            block = file.read(end - start) + rest
            end = start
            lines = block.split(b"\n")
            rest = lines[0]
            for line in reversed(lines[1:]):
                yield line.decode("utf-8", "replace")
        yield rest.decode("utf-8", "replace")


def last_events(folder: Path, log: str, count: int, *, only_errors: bool) -> list[Event]:
    """Return the last events of a log, in their order, from as many of its rotated files as it takes."""
    found: list[Event] = []
    for path in (folder / f"{log}.log", *rotated(folder, log)):
        below: list[str] = []
        with suppress(OSError):  # rotated or removed meanwhile
            for line in backwards(path):
                if not line and not below:
                    continue  # the end of the last line
                below.append(line)
                if EVENT.match(line):
                    event = _event(log, below[::-1])
                    below = []
                    if event.is_error or not only_errors:
                        found.append(event)
                    if len(found) >= count:
                        return found[::-1]
        if any(below) and not only_errors:
            found.append(_event(log, below[::-1]))
    return found[:count][::-1]


def rotated(folder: Path, log: str) -> list[Path]:
    """Return the rotated files of a log, the newest first."""
    found = [(int(path.suffix[1:]), path) for path in folder.glob(f"{log}.log.*") if path.suffix[1:].isdecimal()]
    return [path for _, path in sorted(found)]


def present(folder: Path) -> list[str]:
    """Return the names of all logs in a folder."""
    return sorted(path.name.removesuffix(".log") for path in folder.glob("*.log"))


@dataclass(kw_only=True)
class Follower:
    """Reads the events appended to a log, across rotations."""

    folder: Path
    log: str
    at_end: bool
    _file: Any = None
    _inode: int = 0
    _rest: bytes = b""
    _lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin at the end of the file, or at its beginning if it is new."""
        self._open(self.folder / f"{self.log}.log")
        if self._file is not None and self.at_end:
            self._file.seek(0, os.SEEK_END)

    def new(self) -> list[Event]:
        """Return the events that were written since the last call. A file that was rotated is read to its end first,
        then those that came after it."""
        current = self.folder / f"{self.log}.log"
        lines = self._read()
        if self._inode != _inode(current):
            for path in self._since():
                self._open(path)
                lines += self._read()
            lines += self._reopen(current)
        return list(grouped(self.log, lines))

    def _reopen(self, current: Path) -> list[str]:
        if self._inode != _inode(current):
            self._open(current)
        return self._read()

    def _since(self) -> list[Path]:
        """Return the rotated files that are newer than the one that was read, the oldest first."""
        newer: list[Path] = []
        for path in rotated(self.folder, self.log):
            if _inode(path) == self._inode:
                return newer[::-1]
            newer.append(path)
        return []  # it was removed: the others are older

    def _open(self, path: Path) -> None:
        if self._file is not None:
            self._file.close()
        try:
            self._file = path.open("rb")
            self._inode = os.fstat(self._file.fileno()).st_ino
        except OSError:
            self._file, self._inode = None, 0

    def _read(self) -> list[str]:
        if self._file is None:
            return []
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        return [line.decode("utf-8", "replace") for line in lines]


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def prune(folder: Path, seconds: float, *, dry_run: bool = False) -> list[tuple[Path, int]]:
    """Remove the rotated files whose last event is older than `seconds`, and return them with their bytes; with
    `dry_run` only return them. The files in use stay. Raises ClockDoubted, before anything is removed, if the clock may
    be wrong according to the log files, and OSError. If the process dies in it, the next call does the rest."""
    if not folder.is_dir():
        return []
    lock = locks.locked(folder / logs.LOCK, fcntl.LOCK_EX, seconds=math.inf)  # the lock of rotation
    removed = []
    try:
        found = {path: path.stat() for path in sorted(folder.iterdir()) if LOG.fullmatch(path.name) and path.is_file()}
        now = clock.now()
        logs.check_log_clock((each.st_mtime for each in found.values()), now, seconds)
        for path, about in found.items():
            if NUMBERED.fullmatch(path.name) and now.timestamp() - about.st_mtime > seconds:
                if not dry_run:
                    path.unlink()
                removed.append((path, about.st_size))
    finally:
        os.close(lock)
    return removed


def rotate(settings: Settings, always: Sequence[Path]) -> list[tuple[Path, int]]:
    """Rotate these logs, and all of the log folder that are large; return them with their bytes. Processes that write
    them continue in the new files. If this process dies in it, the next call does the rest."""
    done = []
    for path in sorted({*always, *settings.log_dir.glob("*.log")}):
        size = path.stat().st_size if path.is_file() else 0
        if size and (path in always or size >= LARGE) and logs.rotate(path, days=settings.log_days):
            done.append((path, size))
    return done


def parse_age(text: str) -> float:
    """Return an age in seconds: 7d, 12h, 30m, 90s. Raises ValueError."""
    found = AGE.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError(f"{text!r} is not an age: write 7d, 12h, 30m or 90s")
    return float(found[1]) * UNITS[found[2]]
