"""The process that forks crawls which may be killed, as the tests see it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.crash.world import Job, Loader


class Crawler(Loader):
    """The process that forks crawls: photo_crawl.py or market_crawl.py."""

    def __init__(self, script: str, folder: Path) -> None:
        """Start it; the traces go to the folder."""
        self._folder = folder
        self._number = 0
        self._job: Job | None = None
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name(script))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
        )

    def crawl(
        self,
        environment: dict[str, str],
        *arguments: str,
        plan: str | None = None,
        victim: str = "loader",
        asked_to_stop: str | None = None,
        broken: str | None = None,
    ) -> Job:
        """Start a crawl; one at a time."""
        self.clear()
        self._number += 1
        trace = self._folder / f"{id(self)}-{self._number}.trace"
        job = {
            "environment": {**environment, "SCRAPY_SETTINGS_MODULE": "vinops_scrapy.settings"},
            "arguments": arguments,
            "trace": str(trace),
            "plan": plan,
            "victim": victim,
            "asked_to_stop": asked_to_stop,
            "broken": broken,
        }
        self._tell(json.dumps(job))
        self._job = Job(self, int(self.line()), trace)
        return self._job
