"""Progress of a fetch or a load: a function that gets the bytes that are done and the size (0: unknown)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vinops.output import AtWork

Progress = Callable[[int, int], None]


def silent(_done: int, _whole: int) -> None:
    """Show no progress."""


def shown(work: AtWork, text: str) -> Progress:
    """Return the progress of a part of some work, in MB."""
    return lambda done, whole: work(done >> 20, whole >> 20, "MB", text=text)
