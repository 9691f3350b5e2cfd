"""The command line with a stand-in for the crawls: `python worker_cli.py workers start 1` starts worker_process.py."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from ops import cli
from ops.workers import registry as workers
from ops.workers.processes import Program
from vinops.config import Settings

real = workers.worker_program


def program(settings: Settings, name: str) -> Program:
    """Return what is run instead of a crawl."""
    script = Path(__file__).with_name("worker_process.py")
    return replace(real(settings, name), command=(sys.executable, str(script), name))


if __name__ == "__main__":
    workers.worker_program = program
    cli.main()
