"""The machine and the versions that a table was measured with."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from bench.server import Server


def described(server: Server) -> dict[str, str]:
    """Return what a reader needs to compare: date, machine, versions, and the checkout's commit if there is one."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    (postgres,) = server.query("postgres", "select current_setting('server_version')")
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{memory:.0f} GB",
        "kernel": f"{platform.system()} {platform.release()}",
        "PostgreSQL": f"{postgres}, embedded, its own settings",
        "Python": platform.python_version(),
        "commit": _commit(),
        "load before": f"{os.getloadavg()[0]:.2f}",
    }


def processor_seconds(pid: int) -> float:
    """Return the seconds of processor that a process has taken, to the nanosecond."""
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    found = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "none"
