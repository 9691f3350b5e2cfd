"""The site on the data of the demo: a process of `vinops web` that ends with the demo."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

from demo.world import PATIENCE, DemoFailed, end

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import ExitStack
    from pathlib import Path

PORT: Final = 8080
START_SECONDS: Final = 60
OUTPUT: Final = "web-output.txt"
LINK: Final = re.compile(r"http://\S+/enter\?key=\S+")


def open_site(environment: Mapping[str, str], folder: Path, cleanup: ExitStack) -> str:
    """Start the site in the folder of the demo, and return the link that signs the operator in; `cleanup` stops it.

    It listens on PORT, or on a free one if that is in use. Raises DemoFailed.
    """
    path = folder / OUTPUT
    with path.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "ops.cli", "web", "--port", str(_port())],
            stdout=output,
            stderr=output,
            cwd=folder,
            env=dict(environment),
        )
    cleanup.callback(end, process)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        text = path.read_text(errors="replace")
        if (found := LINK.search(text)) and "startup complete" in text:
            return found[0]
        time.sleep(0.1)
    raise DemoFailed(f"the site did not start within {START_SECONDS + PATIENCE} s: read {path}")


def _port() -> int:
    """Return PORT, or a free port if it is in use."""
    for port in (PORT, 0):
        try:
            with socket.create_server(("127.0.0.1", port)) as listener:
                return int(listener.getsockname()[1])
        except OSError:
            continue
    raise DemoFailed("no port of this machine is free: end something that listens")
