"""Crawls by fork: a process that has imported what a crawl needs starts each, which spares it a second of processor.

Each crawl is a process of its own, with its own environment and log; `ps` shows it under this file's name. A test that
looks at command lines or reads along starts a crawl the ordinary way.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
MOST_SECONDS = 240


class Ended(NamedTuple):
    """A crawl that ended."""

    pid: int
    exit_code: int
    log: str


def run(environment: dict[str, str], *arguments: str) -> Ended:
    """Run `scrapy` with these arguments to its end."""
    with tempfile.NamedTemporaryFile("r", suffix=".log", errors="replace") as log:
        job = {"environment": environment, "arguments": ["scrapy", *arguments], "log": log.name}
        server = _server()
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(job) + "\n")
        server.stdin.flush()
        pid, status = server.stdout.readline().split()
        return Ended(int(pid), os.waitstatus_to_exitcode(int(status)), log.read())


@cache
def _server() -> subprocess.Popen[str]:
    """It ends with the tests: when its input ends."""
    command = [sys.executable, "-m", "tests.forks"]
    server = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(server.__exit__, None, None, None)
    return server


def crawl(job: dict[str, object]) -> None:
    """Be a crawl, in a process that was forked for it."""
    from scrapy import cmdline

    signal.alarm(MOST_SECONDS)  # nothing is left of a crawl that does not end
    log = os.open(str(job["log"]), os.O_WRONLY | os.O_APPEND)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(log, 2)
    os.environ.clear()
    os.environ.update(job["environment"])  # type: ignore[call-overload]
    cmdline.execute(list(job["arguments"]))  # type: ignore[call-overload]


def main() -> None:
    """Fork a crawl for each line, wait for its end, and say what it was."""

    import vinops_scrapy.commands.crawl
    import vinops_scrapy.pipelines.record
    import vinops_scrapy.pipelines.validate
    import vinops_scrapy.spiders.lot_photos
    import vinops_scrapy.spiders.mobile_bg  # noqa: F401

    assert "twisted.internet.reactor" not in sys.modules
    for line in sys.stdin:
        if not (pid := os.fork()):
            crawl(json.loads(line))
            os._exit(70)  # not reached: Scrapy exits
        print(pid, os.waitpid(pid, 0)[1], flush=True)


if __name__ == "__main__":
    main()
