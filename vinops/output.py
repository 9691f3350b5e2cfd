"""What commands write: standard output, whose reader may close it early, as in `… | head` (what only shows ends there,
silently; what does something does all of it), and a line of progress on standard error."""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeVar, cast

from vinops.text.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from vinops.config import Settings

T = TypeVar("T")

FIRST: Final = 1.0  # seconds of work before it is shown
EVERY: Final = 0.5  # seconds between two updates
BAR: Final = 20  # columns
CLEAR: Final = "\r\033[K"


def open_streams() -> None:
    """Open the standard streams that the shell has closed, as `>&-` does: what is written to them goes nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 # until the end


def for_reader(command: Callable[[], T], *, enough: T) -> T:
    """Run a command that writes to standard output, and return its result, or `enough` if the reader closed the pipe.

    Buffered output is written however the command ends; its exit code stands. A BrokenPipeError of another pipe is
    raised.
    """
    try:
        return command()
    except BrokenPipeError:
        if not _is_closed():
            raise
        return enough
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except BrokenPipeError:
                _discard(stream)


def say(text: str, *, err: bool = False) -> None:
    """Print a line, made printable, for a command that continues its work after the reader has closed the pipe."""
    stream = sys.stderr if err else sys.stdout
    try:
        clear_line()
        stream.write(f"{printable(text, lines=True)}\n")
        stream.flush()
    except BrokenPipeError:
        _discard(stream)


class Unread:
    """A stream that accepts writes, and drops them, after its reader has closed it."""

    def __init__(self, stream: Any) -> None:
        """Write to a stream of text or bytes."""
        self._stream = stream

    @property
    def buffer(self) -> Unread:
        """The stream of bytes below one of text, to which Click writes."""
        return Unread(self._stream.buffer)

    def write(self, data: Any) -> int:
        """Write, or drop the data if the reader has closed the stream."""
        try:
            return int(self._stream.write(data))
        except BrokenPipeError:
            _discard(self._stream)
            return len(data)

    def writelines(self, lines: Iterable[Any]) -> None:
        """Write several."""
        for each in lines:
            self.write(each)

    def flush(self) -> None:
        """Write out what is buffered, or drop it."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            _discard(self._stream)

    def __getattr__(self, name: str) -> Any:
        """Return the attribute of the wrapped stream."""
        return getattr(self._stream, name)


def to_its_end(command: Callable[[], T]) -> T:
    """Run a command to its end and return its result, also if its reader leaves: the exit code is its verdict, as that
    of `vinops health | head -1`."""
    stream = sys.stdout
    sys.stdout = cast("TextIO", Unread(stream))
    try:
        return command()
    finally:
        sys.stdout.flush()
        sys.stdout = stream


def not_text(arguments: Sequence[str]) -> str | None:
    """Return a message for the first argument that is not UTF-8, which neither the database nor the terminal takes;
    None if all are."""
    for each in arguments:
        try:
            each.encode()
        except UnicodeEncodeError:
            shown = each.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            return f"the argument {shown} is not UTF-8 text: type it again, or rename the file"
    return None


def data_folder(settings: Settings) -> str:
    """Return the data folder for people: its absolute path, with a note if it does not exist yet."""
    missing = "" if settings.data_dir.is_dir() else " (not there yet)"
    return f"{settings.data_dir.absolute()}{missing}"


def name_data_folder(settings: Settings, program: str = "vinops") -> None:
    """Print on standard error which data folder is used: the first line of commands that start or check something."""
    say(f"{program}: data folder {data_folder(settings)}", err=True)


def _discard(stream: TextIO) -> None:
    """Send the rest of a stream nowhere: what is buffered must not fail again at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def terminal_width() -> int | None:
    """Return the columns of standard output; None if it is not a terminal."""
    import shutil  # not needed by most commands that end after a hash

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


class AtWork:
    """The current work of a command, its progress, and its duration so far."""

    def __init__(self, text: str) -> None:
        """Begin some work."""
        self.text = text
        self._began = time.monotonic()
        self._done: int | None = None
        self._whole = 0
        self._unit = ""

    def __call__(self, done: int, whole: int = 0, unit: str = "", *, text: str = "") -> None:
        """Say how much is done, of how much if that is known, in which unit, and what is being done now."""
        self._done, self._whole, self._unit = done, whole, unit
        self.text = text or self.text

    def line(self) -> str:
        """Return it as a line: `loading [####......] 40 % 36 MB, 3 s`."""
        parts = [self.text]
        if self._whole:
            share = min(1.0, (self._done or 0) / self._whole)
            filled = int(BAR * share)
            parts.append(f"[{'#' * filled}{'.' * (BAR - filled)}] {share:.0%}")
        if self._done is not None and self._unit:
            parts.append(f"{self._done:,} {self._unit}")
        return " ".join(parts) + f", {time.monotonic() - self._began:.0f} s"


_lock = threading.RLock()
_work: list[AtWork] = []  # the innermost is shown
_is_drawn = False


@contextmanager
def at_work(text: str) -> Iterator[AtWork]:
    """Show on a terminal what is being done while the block runs, from the second second on: a line on standard error
    that goes again. Elsewhere nothing is written.

    The value tells how far it is. Blocks may be nested; a log that is shown goes above the line.
    """
    work = AtWork(text)
    if not sys.stderr.isatty():
        yield work
        return
    with _lock:
        is_first = not _work
        _work.append(work)
    over = threading.Event()
    if is_first:
        threading.Thread(target=_draw, args=(over,), name="progress", daemon=True).start()
    try:
        yield work
    finally:
        with _lock:
            _work.remove(work)
            over.set()
            clear_line()


def clear_line() -> None:
    """Remove the line of progress, before something else is written to the terminal. It is drawn again later."""
    global _is_drawn  # of the one standard error of a process
    with _lock:
        if _is_drawn:
            _is_drawn = False
            _write(CLEAR)


def _draw(over: threading.Event) -> None:
    global _is_drawn
    pause = FIRST
    while not over.wait(pause):
        pause = EVERY
        with _lock:
            if over.is_set() or not _work:
                return
            try:
                columns = os.get_terminal_size(sys.stderr.fileno()).columns
            except (OSError, ValueError):  # in tests it may be no file
                columns = 80
            _write(CLEAR + _work[-1].line()[: columns - 1])
            _is_drawn = True


def _write(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError):
        return  # the terminal was closed: the work continues


def _is_closed() -> bool:
    """Tell whether the reader of standard output or standard error has closed it."""
    poll = select.poll()
    try:
        for stream in (sys.stdout, sys.stderr):
            poll.register(stream.fileno(), 0)  # errors are always reported
    except (OSError, ValueError):  # in tests a stream may be no file
        return False
    return any(event & select.POLLERR for _, event in poll.poll(0))
