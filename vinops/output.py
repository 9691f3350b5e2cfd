"""Standard output whose reader may leave early, as in `… | head`: the command ends there, without a word."""

from __future__ import annotations

import os
import select
import sys
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def for_reader(command: Callable[[], T], *, enough: T) -> T:
    """Return what a command returns that writes to standard output, or `enough` if its reader left before its end.

    Whatever is buffered is written, however the command ends; an exit code that it asks for stands. A BrokenPipeError
    of another pipe is raised.
    """
    try:
        return command()
    except BrokenPipeError:
        if not _has_left():
            raise
        return enough
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except BrokenPipeError:
                # What is still buffered must not fail again at exit.
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _has_left() -> bool:
    """Tell whether nobody reads standard output or standard error any more."""
    poll = select.poll()
    try:
        for stream in (sys.stdout, sys.stderr):
            poll.register(stream.fileno(), 0)  # errors are reported unasked
    except (OSError, ValueError):  # a stream of a test is no file
        return False
    return any(event & select.POLLERR for _, event in poll.poll(0))
