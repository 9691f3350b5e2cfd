"""The command line with a stand-in for Celery: `python celery_cli.py celery start` starts celery_process.py."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from ops import cli
from ops.workers import celery_control
from ops.workers.celery_control import Kind
from ops.workers.processes import Program
from vinops.config import Settings

real = celery_control.celery_programs


def programs(settings: Settings) -> dict[Kind, Program]:
    """Return what is run instead of Celery."""
    script = str(Path(__file__).with_name("celery_process.py"))
    return {kind: replace(each, command=(sys.executable, script, kind)) for kind, each in real(settings).items()}


if __name__ == "__main__":
    celery_control.celery_programs = programs
    cli.main()
