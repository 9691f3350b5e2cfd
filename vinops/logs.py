"""Logs: one event a line, for people and for grep, with every secret masked.

A line reads `2026-11-23T07:10:00Z INFO etl: message key=value`; the lines of a traceback follow, indented. Any number
of processes may write one file: a line is one append, and the process that finds the file too large, or its first line
too old, rotates it for all, and removes rotated files that are too old.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TextIO

from vinops import clock, disk, locks
from vinops.clock import ClockDoubted
from vinops.config import ConfigError
from vinops.output import clear_line
from vinops.redaction import redact, remember
from vinops.text.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType

    from vinops.config import Settings

__all__ = ["also", "configure", "pairs", "redact"]

FILE_BYTES = 10_000_000
OLD_FILES = 5
OLD_DAYS = 14.0  # the default of VINOPS_LOG_DAYS
DAY = 86_400.0
LOCK = ".rotation.lock"
LOCK_SECONDS = 5.0  # less than locks.NOTICE_SECONDS: logging the wait would call this again
POSTPONED_SECONDS = 60.0


def configure(name: str, settings: Settings, *, console: bool) -> logging.Logger:
    """Send all logs of this process to NAME.log in the log folder, and to standard error too if `console`.

    Returns the logger NAME. Uncaught exceptions are logged from here on, redacted wherever they are shown. Calling it
    again replaces the handlers. Raises ConfigError if the log folder cannot be written.
    """
    remember(settings)
    try:
        settings.log_dir.mkdir(parents=True, exist_ok=True)
        file = LogFile(settings.log_dir / f"{name}.log", days=settings.log_days)
    except OSError as error:
        fix = f"free some space ({disk.GO}), or " * disk.is_full(error) + "set it to a folder of yours"
        raise ConfigError(f"VINOPS_LOG_DIR {settings.log_dir} cannot be written ({error.strerror}): {fix}") from None
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, (LogFile, Console))]:
        root.removeHandler(handler)
        handler.close()
    for handler in (file, Console()) if console else (file,):
        handler.setLevel(settings.log_level)  # a library such as Scrapy may lower the level of the root
        root.addHandler(handler)
    root.setLevel(settings.log_level)
    logger = logging.getLogger(name)
    _watch(logger, console=console)
    return logger


def also(path: Path) -> None:
    """Send all logs of this process to one more file, until `configure` is called again. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    root = logging.getLogger()
    file = LogFile(path)
    file.setLevel(root.level)
    root.addHandler(file)


def rotate(path: Path, *, days: float = OLD_DAYS) -> bool:
    """Rotate a log now, and return whether that was done. The new file belongs to the owner of the old one. Raises
    OSError."""
    before = path.stat()
    file = LogFile(path, days=days)
    try:
        file.rotate()
        after = path.stat()
        if os.geteuid() == 0:
            os.chown(path, before.st_uid, before.st_gid, follow_symlinks=False)
    finally:
        file.close()
    return (before.st_dev, before.st_ino) != (after.st_dev, after.st_ino)


def check_log_clock(written: Iterable[float], now: datetime, oldest: float) -> None:
    """Raise ClockDoubted if the clock may be wrong according to the times of log files, in seconds since 1970. A file
    that is rotated for its age was last written up to `oldest` seconds ago: such a pause is usual."""
    moments = [datetime.fromtimestamp(each, UTC) for each in written]
    clock.check(moments, now, pause=max(clock.PAUSE, 1.5 * timedelta(seconds=oldest)))


def pairs(**values: object) -> str:
    """Return `key=value key=value` for the end of a message; a value with a blank is quoted."""
    return " ".join(f"{key}={_value(str(value))}" for key, value in values.items())


def _value(text: str) -> str:
    return '"' + text.replace('"', "'") + '"' if not text or any(sign.isspace() for sign in text) else text


class Line(logging.Formatter):
    """Formats an event. Redacts last, so that arguments, exceptions and stacks are covered with the message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the event as one line, and the traceback if there is one as indented lines below it."""
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        # An escaped line break cannot forge an event.
        message = printable(redact(record.getMessage()))
        below = [self.formatException(record.exc_info)] if record.exc_info else []
        below += [record.stack_info] if record.stack_info else []
        lines = [f"    {printable(line)}" for part in below for line in redact(part).splitlines()]
        return "\n".join([f"{when} {record.levelname} {record.name}: {message}", *lines])


class Quiet(logging.Handler):
    """A handler whose own failure shows neither the message nor its arguments, which may hold a secret. `folder` is
    the folder of its file, if it has one."""

    folder: Path | None = None

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 # the name that logging calls
        """Report on standard error that an event was lost, and the line that logged it."""
        error = sys.exc_info()[1]
        reason = type(error).__name__ if error else "unknown"
        if isinstance(error, OSError) and self.folder is not None:
            reason = disk.explain(error, self.folder)
        try:
            sys.stderr.write(f"an event of {record.name} ({record.filename}:{record.lineno}) was lost: {reason}\n")
        except (OSError, ValueError):
            return  # no standard error either


class LogFile(Quiet):
    """Appends to a file that other processes append to and rotate at the same time.

    An event is one write in append mode, so lines stay whole. If the process dies in the rotation, a number may be
    missing between the rotated files; no line is lost.
    """

    def __init__(self, path: Path, *, most: int = FILE_BYTES, days: float = OLD_DAYS) -> None:
        """Open the file. It is rotated before it has more than `most` bytes, and when its first event is older than
        `days`; rotated files whose last event is older than that are removed, here and with each rotation. Raises
        OSError."""
        super().__init__()
        self.path = path
        self.folder = path.parent
        self.most = most
        self.oldest = days * DAY
        self.setFormatter(Line())
        self._begun = 0.0
        self._postponed = 0.0
        self._descriptor = self._open()
        self.rotate(only_old=True)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            data = (self.format(record) + "\n").encode("utf-8", "backslashreplace")
            self._follow()
            if os.fstat(self._descriptor).st_size + len(data) > self.most or self._is_old():
                self.rotate()
            os.write(self._descriptor, data)
        except Exception:  # noqa: BLE001 # logging must never end the work that it reports
            self.handleError(record)

    def close(self) -> None:
        with self.lock or threading.RLock():
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1
        super().close()

    def _open(self) -> int:
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._begun = _first_event(descriptor)
        return descriptor

    def _is_old(self) -> bool:
        return time.time() - self._begun > self.oldest

    def _follow(self) -> None:
        """Reopen the file if another process rotated or removed it."""
        if not self._is_current():
            os.close(self._descriptor)
            self._descriptor = -1
            self._descriptor = self._open()

    def _is_current(self) -> bool:
        mine = os.fstat(self._descriptor)
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return False
        return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)

    def rotate(self, *, only_old: bool = False) -> None:
        """Rotate, unless another process did or, with `only_old`, the file is not old; remove old rotated files."""
        if time.monotonic() < self._postponed:
            return
        try:
            lock = locks.locked(self.path.parent / LOCK, fcntl.LOCK_EX, seconds=LOCK_SECONDS)
        except (OSError, locks.LockTimeoutError):
            self._postponed = time.monotonic() + POSTPONED_SECONDS  # a large file is better than lost events
            return
        try:
            is_due = self._is_old() or not only_old
            if is_due and self._is_current() and os.fstat(self._descriptor).st_size:
                for number in range(OLD_FILES - 1, 0, -1):
                    old = self._numbered(number)
                    if old.exists():
                        old.replace(self._numbered(number + 1))
                self.path.replace(self._numbered(1))
            self._remove_old()
            self._follow()
        finally:
            os.close(lock)

    def _remove_old(self) -> None:
        """Remove the rotated files that are too old; none while the clock may be wrong."""
        written = {}
        for path in (self.path, *map(self._numbered, range(1, OLD_FILES + 1))):
            with suppress(FileNotFoundError):
                written[path] = path.stat().st_mtime
        now = clock.now()
        old = [path for path, at in written.items() if now.timestamp() - at > self.oldest and path != self.path]
        if old:
            with suppress(ClockDoubted):
                check_log_clock(written.values(), now, self.oldest)
                for path in old:
                    path.unlink(missing_ok=True)

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


def _first_event(descriptor: int) -> float:
    """Return the time of the first event of a file, in seconds since 1970; now, if there is none."""
    try:
        return datetime.fromisoformat(os.pread(descriptor, 20, 0).decode("ascii")).timestamp()
    except ValueError:
        return time.time()


class Console(Quiet):
    """Writes to the current standard error."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(Line())

    def emit(self, record: logging.LogRecord) -> None:
        stream: TextIO = sys.stderr
        try:
            clear_line()
            stream.write(self.format(record) + "\n")
            stream.flush()
        except Exception:  # noqa: BLE001 # as in LogFile
            self.handleError(record)


def _watch(logger: logging.Logger, *, console: bool) -> None:
    """Log uncaught exceptions. Without a console handler they are shown on standard error here, redacted."""

    def report(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None, where: str) -> None:
        event = (kind, error or kind(), trace)
        logger.critical("uncaught %s%s", kind.__name__, where, exc_info=event)
        if not console:
            sys.stderr.write(printable(redact(logging.Formatter().formatException(event)), lines=True) + "\n")

    def uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.stderr.write("interrupted\n")
        else:
            report(kind, error, trace, "")

    def uncaught_in_thread(event: threading.ExceptHookArgs) -> None:
        if not issubclass(event.exc_type, SystemExit):
            where = f" in thread {event.thread.name}" if event.thread else " in a thread"
            report(event.exc_type, event.exc_value, event.exc_traceback, where)

    sys.excepthook = uncaught
    threading.excepthook = uncaught_in_thread
