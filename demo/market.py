"""The market of the demo: the stand-in of mobile.bg, and two workers that walk it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import IO, TYPE_CHECKING, Any, cast

from demo.photos import Crawled
from ops.workers import registry
from vinops import config

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ops.workers.registry import Program

SEED = 1
LEAST_ADS = 3000  # of fewer, too few are alike to say what one is worth
MOST_ADS = 7600


def ads(lots: int) -> int:
    """Return how many ads go with so many lots: fewer in a quick demo."""
    return max(LEAST_ADS, min(MOST_ADS, lots // 10))


def start(
    environment: Mapping[str, str], folder: Path, *, count: int, now: str, port: int
) -> tuple[subprocess.Popen[str], dict[str, str] | None]:
    """Start the stand-in, whose market begins `now`, an ISO time, on the port of an earlier demo if it is not 0; return
    it and its addresses."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "standin.market",
            "serve",
            *("--seed", str(SEED)),
            *("--ads", str(count)),
            *("--now", now),
        ]
        + (["--port", str(port)] if port else []),
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=dict(environment),
    )
    line = cast("IO[str]", process.stdout).readline()
    return process, json.loads(line) if line else None


def workers(environment: Mapping[str, str]) -> tuple[Program, ...]:
    """Return the workers of the demo: the first two market workers."""
    return registry.workers(config.load(environment))[:2]


def crawl(environment: Mapping[str, str], folder: Path) -> list[Crawled]:
    """Run the two workers at once, to their end."""
    running: list[subprocess.Popen[str]] = []
    try:
        for program in workers(environment):
            about: dict[str, Any] = {"stderr": subprocess.PIPE, "text": True, "cwd": folder, "env": dict(environment)}
            process = subprocess.Popen(program.command, **about)
            running.append(process)
        ends = [process.communicate() for process in running]
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
                process.wait()
    return [
        Crawled(exit_code=process.returncode, lines=log.splitlines())
        for process, (_, log) in zip(running, ends, strict=True)
    ]


def settings_of(addresses: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables of a crawl on the stand-in: unpaced, which only loopback is asked."""
    return {"MOBILE_BG_URL": str(addresses["url"]), "VINOPS_PACE": "none"}
