"""Processes that a test runs for the length of a block."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def child(*arguments: Any, **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Run what `subprocess.Popen` would. One that a failure leaves running is killed: Popen alone waits for its end."""
    with subprocess.Popen(*arguments, **options) as process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise
