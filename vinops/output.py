"""Standard output: its width, and a reader who may close it early, as in `… | head`: a command that shows something
ends there, silently, and one that does something does all of it."""

from __future__ import annotations

import os
import select
import shutil
import sys
from typing import TYPE_CHECKING, TextIO, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vinops.config import Settings

T = TypeVar("T")


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
                if stream is not None:  # closed by the shell, as `>&-` does
                    stream.flush()
            except BrokenPipeError:
                _discard(stream)


def say(text: str, *, err: bool = False) -> None:
    """Print a line of a command whose work goes on also when nobody reads it any more."""
    stream = sys.stderr if err else sys.stdout
    try:
        stream.write(f"{text}\n")
        stream.flush()
    except BrokenPipeError:
        _discard(stream)


def not_text(arguments: Sequence[str]) -> str | None:
    """Return a message for the first argument that is no UTF-8 text, which neither the database nor the terminal takes;
    None if all are."""
    for each in arguments:
        try:
            each.encode()
        except UnicodeEncodeError:
            shown = each.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            return f"the argument {shown} is no UTF-8 text: type it again, or rename the file"
    return None


def data_folder(settings: Settings) -> str:
    """Return the data folder as people read it: its whole path, and that it is not there yet if so."""
    missing = "" if settings.data_dir.is_dir() else " (not there yet)"
    return f"{settings.data_dir.absolute()}{missing}"


def name_data_folder(settings: Settings, program: str = "vinops") -> None:
    """Say on standard error which data folder a command is about: the first line of what starts or judges something."""
    say(f"{program}: data folder {data_folder(settings)}", err=True)


def _discard(stream: TextIO) -> None:
    """Send the rest of a stream nowhere: what is buffered must not fail again at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def terminal_width() -> int | None:
    """Return the columns of standard output; None if it is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _is_closed() -> bool:
    """Tell whether the reader of standard output or standard error has closed it."""
    poll = select.poll()
    try:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            poll.register(stream.fileno(), 0)  # errors are always reported
    except (OSError, ValueError):  # in tests a stream may be no file
        return False
    return any(event & select.POLLERR for _, event in poll.poll(0))
