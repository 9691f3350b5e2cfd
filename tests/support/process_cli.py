"""The command line with stand-ins for what runs: `python process_cli.py workers start 1` starts worker_process.py,
`… celery start` celery_process.py."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from ops import cli
from ops.workers import registry
from ops.workers.registry import Program
from vinops.config import Settings

real_workers, real_celery = registry.workers, registry.celery


def workers(settings: Settings) -> tuple[Program, ...]:
    """Return the workers, each with a stand-in for its crawl."""
    return tuple(replace(each, command=stand_in("worker_process.py", each.name)) for each in real_workers(settings))


def celery(settings: Settings) -> tuple[Program, Program]:
    """Return Celery's worker and beat, each a stand-in."""
    worker, beat = real_celery(settings)
    script = "celery_process.py"
    return replace(worker, command=stand_in(script, "worker")), replace(beat, command=stand_in(script, "beat"))


def stand_in(script: str, name: str) -> tuple[str, ...]:
    """Return the command of a stand-in."""
    return sys.executable, str(Path(__file__).with_name(script)), name


if __name__ == "__main__":
    registry.workers, registry.celery = workers, celery
    cli.main()
