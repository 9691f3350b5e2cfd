"""What the site takes for a page and for the CSV, as a browser on this machine sees it, while a feed file loads."""

from __future__ import annotations

import gzip
import http.client
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import psutil

from bench.pairs import say
from bench.server import BenchFailed, Place
from vinops.db import database
from web import people

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bench.files import Feed

BROWSERS: Final = 2  # that ask at once
START_SECONDS: Final = 60.0
LOADS: Final = 6
FEWEST: Final = 50  # pages of each kind, for a p95


@dataclass(frozen=True, kw_only=True)
class Pages:
    """Seconds of each page, while nothing loads and while a file does; bytes of the largest board; the CSV's rows,
    seconds, and by how many MB the site grew for it."""

    board: Sequence[float]
    ad: Sequence[float]
    board_loading: Sequence[float]
    ad_loading: Sequence[float]
    page_bytes: int
    csv_rows: int
    csv_seconds: float
    csv_mb: float


def measure(place: Place, feeds: Mapping[str, Feed], boards: Sequence[str], ads: Sequence[str]) -> Pages:
    """Serve a place that the first feed file was loaded to, and ask for pages: while nothing happens, and while files
    that follow it load. Raises BenchFailed."""
    with serving(place) as (browser, pid):
        for path in (*boards[:20], *ads[:20]):  # connections and caches are there, as in an hour of work
            browser.get(path)
        quiet, quiet_ads = asked(browser, boards), asked(browser, ads)
        say(f"site: {len(quiet[0])} boards and {len(quiet_ads[0])} ads, then the same while {LOADS} files load")
        busy, busy_ads = list[float](), list[float]()
        for feed in (feeds[f"later{number}"] for number in range(1, LOADS + 1)):
            with ingest(place, feed) as load:
                _while_it_runs(browser, load, (boards, busy), (ads, busy_ads))
            if load.returncode:
                raise BenchFailed(f"{feed.path.name} was not loaded: exit code {load.returncode}")
        if min(len(busy), len(busy_ads)) < FEWEST:
            raise BenchFailed(f"only {len(busy)} boards were asked for while files were loaded: load larger ones")
        rows, seconds, grown = browser.csv(pid, "/deals.csv")
    return Pages(
        board=quiet[0], ad=quiet_ads[0], board_loading=busy, ad_loading=busy_ads,
        page_bytes=max(quiet[1]), csv_rows=rows, csv_seconds=seconds, csv_mb=grown,
    )  # fmt: skip


@contextmanager
def serving(place: Place) -> Iterator[tuple[Browser, int]]:
    """Serve a place; yield a browser that is signed in, and the id of the site's process. Raises BenchFailed."""
    with database.connect(place.settings, application="bench", autocommit=True) as connection:
        token = people.sign_in(connection, None)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "ops.cli", "web", "--port", str(port)]
    environ = {**os.environ, **place.environ}
    with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            browser = Browser(port=port, cookie=f"session={token}")
            browser.wait(server)
            yield browser, server.pid
        finally:
            server.terminate()


def asked(browser: Browser, paths: Sequence[str]) -> tuple[list[float], list[int]]:
    """Return the seconds and bytes of pages that BROWSERS ask for at once."""
    with ThreadPoolExecutor(BROWSERS) as threads:
        found = list(threads.map(browser.get, paths))
    return [seconds for seconds, _ in found], [size for _, size in found]


def ingest(place: Place, feed: Feed) -> subprocess.Popen[bytes]:
    """Begin to load a file."""
    return subprocess.Popen(
        [sys.executable, "-m", "etl", "ingest", str(feed.path)],
        env={**os.environ, **place.environ},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _while_it_runs(browser: Browser, load: subprocess.Popen[bytes], *kinds: tuple[Sequence[str], list[float]]) -> None:
    """Ask for pages, of each kind in turn, while a process runs, and add their seconds to those of their kind."""
    number = 0
    while load.poll() is None:
        some = [paths[(number + place) % len(paths)] for place in range(5) for paths, _ in kinds]
        seconds, _ = asked(browser, some)
        if load.poll() is None:
            for place, (_, found) in enumerate(kinds):
                found += seconds[place :: len(kinds)]
        number += 5


@dataclass(frozen=True, kw_only=True)
class Browser:
    """Asks the site for pages as somebody who is signed in."""

    port: int
    cookie: str

    def get(self, path: str) -> tuple[float, int]:
        """Return the seconds until a page was there, and its bytes. Raises BenchFailed if it was not."""
        seconds, body = self.body(path)
        return seconds, len(body)

    def body(self, path: str) -> tuple[float, bytes]:
        """Return the seconds until a page was there, and its content; one that only leads to
        another counts. Raises BenchFailed for other answers."""
        began = time.monotonic()
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            answer = self._asked(connection, path)
            body = answer.read()
        seconds = time.monotonic() - began
        if answer.status not in (200, 303):
            raise BenchFailed(f"{path} has status {answer.status}")
        if answer.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        return seconds, body

    def _asked(self, connection: http.client.HTTPConnection, path: str) -> http.client.HTTPResponse:
        connection.request("GET", path, headers={"Cookie": self.cookie, "Host": f"localhost:{self.port}"})
        return connection.getresponse()

    def wait(self, server: subprocess.Popen[bytes]) -> None:
        """Wait until the site answers. Raises BenchFailed if it does not start."""
        deadline = time.monotonic() + START_SECONDS
        while server.poll() is None and time.monotonic() < deadline:
            try:
                self.get("/health")
            except (OSError, BenchFailed):
                time.sleep(0.1)
            else:
                return
        raise BenchFailed(f"the site did not start within {START_SECONDS:.0f} s")

    def csv(self, pid: int, path: str) -> tuple[int, float, float]:
        """Return the rows of a whole CSV, its seconds, and the MB by which the process of the site grew for it."""
        rows, last = 0, b""
        began = time.monotonic()
        with self.streamed(pid, path) as (pieces, growth):
            for piece in pieces:
                rows += piece.count(b"\n")
                last = (last + piece)[-100:]
        if b"# complete" not in last:
            raise BenchFailed("the CSV ends without its last line")
        return rows - 2, time.monotonic() - began, growth[0] / 1e6

    @contextmanager
    def streamed(self, pid: int, path: str) -> Iterator[tuple[Iterator[bytes], list[int]]]:
        """Yield the pieces of an answer as they come, and a list of one figure: by how many bytes the process of the
        site grew, up to the piece that came last."""
        process = psutil.Process(pid)
        before = process.memory_info().rss
        growth = [0]

        def pieces(answer: http.client.HTTPResponse) -> Iterator[bytes]:
            while piece := answer.read(1 << 18):
                growth[0] = max(growth[0], process.memory_info().rss - before)
                yield piece

        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)) as connection:
            answer = self._asked(connection, path)
            if answer.status != 200:
                raise BenchFailed(f"{path} has status {answer.status}")
            yield pieces(answer), growth
