"""One row in ops.crawl_runs for each run of a spider."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How far a run is: what `spider.standing()` returns.

    `done` of `total` units (lots, pages), `items` got in them, `bytes` of theirs stored, what is in work, and the last
    items that were done.
    """

    done: int = 0
    total: int | None = None
    items: int = 0
    bytes: int = 0
    current_item: str | None = None
    last_items: tuple[str, ...] = ()


@cache
def owner() -> str:
    """Return the name of this crawl, unlike that of any other: machine, process, and when it began."""
    return f"{socket.gethostname()}:{os.getpid()}:{time.time_ns()}"
