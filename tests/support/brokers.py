"""The brokers that the deals' workers run on: the embedded one, and a real Redis as a process of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KINDS = ("embedded", "redis")
WITHOUT_REDIS = "redis-server is not installed: as root on Debian `make setup` does it"


@dataclass(kw_only=True)
class Broker:
    """A broker for the workers of one test. `url` is what CELERY_BROKER_URL holds: empty for the embedded one."""

    kind: str
    folder: Path  # the data folder of the workers
    port: int = 0
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """What CELERY_BROKER_URL holds."""
        return f"redis://127.0.0.1:{self.port}/0" if self.port else ""

    def start(self) -> None:
        """Start it; the embedded one is there when its folder is."""
        if self.kind == "redis":
            if not self.port:
                with closing(socket.socket()) as found:
                    found.bind(("127.0.0.1", 0))
                    self.port = found.getsockname()[1]
            # Kept in memory only: what a killed one had is lost.
            command = [
                "redis-server",
                "--port",
                str(self.port),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--enable-protected-configs",
                "local",
            ]
            self.processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=self.folder))
            wait_for_port(self.port)

    def lose(self) -> None:
        """Lose every message: kill the server and start another, or empty the folder."""
        if self.kind == "redis":
            self.stop()
            self.start()
        else:
            for path in (self.folder / "celery" / "messages").glob("*.msg"):
                path.unlink(missing_ok=True)

    def stop(self) -> None:
        """Kill the server."""
        for process in self.processes:
            process.kill()
            process.wait()
        self.processes.clear()


def wait_for_port(port: int) -> None:
    """Wait until somebody listens."""
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"nobody listens on port {port}")


@contextmanager
def broker(kind: str, folder: Path) -> Iterator[Broker]:
    """A running broker. `available` tells whether there can be one."""
    found = Broker(kind=kind, folder=folder)
    found.start()
    try:
        yield found
    finally:
        found.stop()


def available(kind: str) -> bool:
    """Tell whether this machine has such a broker."""
    return kind == "embedded" or shutil.which("redis-server") is not None
