"""The tails of the log files: the last error of each, and the number of recent errors.

Files are followed: of one that was read before only what was written since is read, and a file that did not change
costs a stat.
"""

from __future__ import annotations

import os
import re
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ops.observe.snapshot import LogError, Logs
from vinops.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST_BYTES: Final = 256_000  # of a file that is seen for the first time, and at most of what it grew by
EVENT: Final = re.compile(rb"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) (?:ERROR|CRITICAL) (.*)$", re.MULTILINE)
HOUR: Final = 3600.0
KEPT_ERRORS: Final = 1000
LONGEST_TEXT: Final = 300


@dataclass(kw_only=True)
class Tail:
    """The position and the errors of one file."""

    inode: int = 0
    offset: int = 0
    errors: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_ERRORS))
    last: LogError | None = None


class LogTails:
    """Follows the logs in a folder."""

    def __init__(self, folder: Path) -> None:
        """Follow the `*.log` files of this folder; it need not be there yet."""
        self.folder = folder
        self._tails: dict[Path, Tail] = {}

    def read(self, now: datetime) -> Logs:
        """Read what is new and return the state of the folder. Raises OSError if it cannot be read."""
        total = largest_bytes = 0
        largest: Path | None = None
        for path in self._files():
            found = path.stat()
            total += found.st_size
            if found.st_size > largest_bytes:
                largest, largest_bytes = path, found.st_size
            if path.suffix == ".log":
                self._follow(path, found)
        oldest = now.timestamp() - HOUR
        place = self.folder.absolute()
        last = max((tail.last for tail in self._tails.values() if tail.last), key=lambda each: each.at, default=None)
        return Logs(
            folder=self.folder,
            bytes=total,
            largest=largest,
            largest_bytes=largest_bytes,
            errors=sum(at >= oldest for tail in self._tails.values() for at in tail.errors),
            last_error=last,
            is_writable=os.access(next(each for each in (place, *place.parents) if each.exists()), os.W_OK | os.X_OK),
        )

    def last_error(self, path: Path) -> LogError | None:
        """Return the last error that `read` found in a file, None if there was none."""
        tail = self._tails.get(self.folder / path.name)
        return tail.last if tail else None

    def _files(self) -> Iterator[Path]:
        """Yield the logs and the rotated ones, as `worker_1.log.2`."""
        if self.folder.is_dir():
            with os.scandir(self.folder) as entries:
                names = sorted(entry.name for entry in entries if ".log" in entry.name and entry.is_file())
            yield from (self.folder / name for name in names if (self.folder / name).exists())

    def _follow(self, path: Path, found: os.stat_result) -> None:
        tail = self._tails.setdefault(path, Tail())
        if tail.inode != found.st_ino or found.st_size < tail.offset:  # rotated: this is another file
            tail.inode, tail.offset = found.st_ino, 0
        if found.st_size == tail.offset:
            return
        begin = max(tail.offset, found.st_size - FIRST_BYTES)
        with path.open("rb") as file:
            file.seek(begin)
            data = file.read(found.st_size - begin)
        whole = data.rfind(b"\n") + 1  # a line that is being written is read the next time
        tail.offset = begin + whole
        for event in EVENT.finditer(data[:whole]):
            at = datetime.strptime(event[1].decode(), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
            tail.errors.append(at.timestamp())
            tail.last = LogError(at=at, text=redact(event[2].decode("utf-8", "replace"))[:LONGEST_TEXT])


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last lines of a file, none if it is not there. Raises OSError."""
    if not path.exists():
        return []
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - FIRST_BYTES))
        text = file.read().decode("utf-8", "replace")
    return text.splitlines()[-count:]
