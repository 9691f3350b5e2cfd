"""One row in ops.crawl_runs for each run of a spider."""

from __future__ import annotations

import os
import socket
import time
from functools import cache


@cache
def owner() -> str:
    """Return the name of this crawl, unlike that of any other: machine, process, and when it began."""
    return f"{socket.gethostname()}:{os.getpid()}:{time.time_ns()}"
