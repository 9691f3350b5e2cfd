"""Progress of a fetch or a load: a function that gets the bytes that are done and the size (0: unknown)."""

from __future__ import annotations

import sys
from collections.abc import Callable

Progress = Callable[[int, int], None]


def silent(_done: int, _whole: int) -> None:
    """Show no progress."""


def bar(label: str) -> Progress:
    """Return a progress bar on standard error if that is a terminal, else `silent`."""
    if not sys.stderr.isatty():
        return silent
    width = 40

    def show(done: int, whole: int) -> None:
        share = min(1.0, done / whole) if whole else 0.0
        filled = int(width * share)
        end = "\r\033[K" if share >= 1 else ""
        sys.stderr.write(f"\r{label} [{'#' * filled}{'.' * (width - filled)}] {share:4.0%} {done >> 20} MB{end}")
        sys.stderr.flush()

    return show
