"""Standard output: its width, and a reader who may close it early, as in `… | head`: the command then ends silently."""

from __future__ import annotations

import os
import select
import shutil
import sys
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

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
                stream.flush()
            except BrokenPipeError:
                # The rest of the buffer must not fail again at exit.
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def terminal_width() -> int | None:
    """Return the columns of standard output; None if it is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _is_closed() -> bool:
    """Tell whether the reader of standard output or standard error has closed it."""
    poll = select.poll()
    try:
        for stream in (sys.stdout, sys.stderr):
            poll.register(stream.fileno(), 0)  # errors are always reported
    except (OSError, ValueError):  # in tests a stream may be no file
        return False
    return any(event & select.POLLERR for _, event in poll.poll(0))
