"""The stand-ins of the demo, of `--serve` and of the picture of the monitor: processes on loopback."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException
from typing import IO, TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from vinops import config
from vinops_scrapy.copart.browser import find_chromium

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import ExitStack
    from pathlib import Path

PATIENCE = 10  # seconds for a process to end
MOVES = 300.0  # seconds between two changes of a served world: real feeds change every 15 minutes
MORE_LOTS: dict[str, float] = {"minutes": round(MOVES / 60)}
MORE_ADS: dict[str, float] = {"new": 8, "changed": 12, "gone": 10, "back": 2, "hours": MOVES / 3600}
"""By how much feed and market of a served world change each time."""
HOURS_LATER = timedelta(hours=6)  # by so much the market of the demo moves on

SEED = 1
LEAST_ADS = 3000  # with fewer, too few are alike to estimate a price
MOST_ADS = 7600
SESSION_LOTS = 10
MEMBER = {"COPART_USERNAME": "stand-in-member", "COPART_PASSWORD": "stand-in-password"}
TOKEN = "12345:stand-in"  # noqa: S105 # the only one that the stand-in knows
CHANNEL = "@stand_in_deals"
CHAT = "telegram.json"  # in the folder of the demo: a later demo finds the messages that it has to change
POSTS = 10  # an hour; a second apart, as Telegram requires


class DemoFailed(Exception):  # noqa: N818 # as FetchFailed: the result of a run
    """The demo cannot go on. The message says why and what fixes it."""


@dataclass(frozen=True, kw_only=True)
class World:
    """Running stand-ins: the settings with which vinops uses them, and what a later start needs to be the same."""

    settings: dict[str, str]
    noted: dict[str, Any]

    @property
    def feed(self) -> str:
        return self.settings["COPART_CSV_URL"]

    @property
    def market(self) -> str:
        return self.settings["MOBILE_BG_URL"]

    def catch_up(self, served: int) -> None:
        """Advance feed and market to where the demo left them, and then `served` times. Raises DemoFailed."""
        advance(self.feed)
        advance(self.market)
        for _ in range(served):
            self.move()

    def move(self) -> None:
        """Change feed and market a little, as a served world does every few minutes. Raises DemoFailed."""
        advance(self.feed, MORE_LOTS)
        advance(self.market, MORE_ADS)


def ads(lots: int) -> int:
    """Return how many ads go with so many lots: fewer in a quick demo."""
    return max(LEAST_ADS, min(MOST_ADS, lots // 10))


def has_browser() -> bool:
    """Tell whether Chromium is installed."""
    try:
        find_chromium(config.Settings())
    except config.ConfigError:
        return False
    return True


def start(
    environment: Mapping[str, str],
    folder: Path,
    *,
    lots: int,
    count: int,
    cleanup: ExitStack,
    earlier: Mapping[str, Any] | None = None,
    with_page: bool = False,
) -> World:
    """Start all stand-ins, with so many lots and `count` ads; `cleanup` ends them. Raises DemoFailed.

    `earlier` is what an earlier start noted: the same ports, because addresses are in the database, and the same time.
    """

    def serve(name: str, *arguments: object) -> dict[str, Any]:
        process = subprocess.Popen(
            [sys.executable, "-m", f"standin.{name}", "serve", *map(str, arguments)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=dict(environment),
        )
        cleanup.callback(end, process)
        line = cast("IO[str]", process.stdout).readline()
        if not line:
            raise DemoFailed(
                f"the stand-in {name} did not start: see its message above. One of a demo that was killed may have "
                "its port: end it (`pkill -f standin`) and try again, or add --fresh"
            )
        found: dict[str, Any] = json.loads(line)
        return found

    earlier = earlier or {}
    # Hours later it is now, so that ads that the stand-in calls new are new.
    now = earlier.get("market_now") or f"{datetime.now(UTC) - HOURS_LATER:%Y-%m-%dT%H:%M:%S+00:00}"
    ports = [part for name, port in earlier.get("ports", {}).items() for part in (f"--{name}-port", port)]
    photos = serve("photos", "--seed", SEED, *ports)
    port = ("--port", earlier["market_port"]) if "market_port" in earlier else ()
    market = serve("market", "--seed", SEED, "--ads", count, "--now", now, *port)
    telegram = serve("telegram", "--token", TOKEN, "--keep", CHAT)
    urls = ("--photo-url", photos["api_url"], "--thumbnail-url", photos["cdn_url"])
    feed = serve("feed", "--rows", lots, *urls)
    return World(
        settings={
            "COPART_CSV_URL": str(feed["url"]),
            "COPART_SITE_URL": photos["site_url"],
            "COPART_IMAGE_HOSTS": photos["image_hosts"],
            **(MEMBER if with_page else {}),
            "VINOPS_SESSION_LOTS": str(SESSION_LOTS),
            "VINOPS_SESSION_PAUSE": "1",
            "MOBILE_BG_URL": str(market["url"]),
            "VINOPS_PACE": "none",  # only loopback is asked
            "TELEGRAM_API_URL": str(telegram["url"]),
            "TELEGRAM_BOT_TOKEN": TOKEN,
            "TELEGRAM_CHANNEL_ID": CHANNEL,
            "VINOPS_DEALS_POSTS_AN_HOUR": str(POSTS),
        },
        noted={
            "ports": {name: urlsplit(photos[f"{name}_url"]).port for name in ("api", "cdn", "site")},
            "market_port": urlsplit(market["url"]).port,
            "market_now": now,
        },
    )


@dataclass(frozen=True, kw_only=True)
class Crawled:
    """The exit code of a crawl and the lines of its log."""

    exit_code: int
    lines: list[str]

    def marked(self, *marks: str) -> list[str]:
        """Return the lines that contain one of these marks, without their time."""
        return [line.partition(" ")[2] for line in self.lines if any(mark in line for mark in marks)]


def crawl(environment: Mapping[str, str], folder: Path, *crawls: Sequence[str]) -> list[Crawled]:
    """Run crawls at once, each given by the arguments of `scrapy crawl`, to their end."""
    running: list[subprocess.Popen[str]] = []
    try:
        running.extend(
            subprocess.Popen(
                [sys.executable, "-m", "scrapy", "crawl", *arguments],
                stderr=subprocess.PIPE,
                text=True,
                cwd=folder,
                env={**environment, "SCRAPY_SETTINGS_MODULE": "vinops_scrapy.settings"},
            )
            for arguments in crawls
        )
        logs = [process.communicate()[1] for process in running]
    finally:
        for process in running:
            end(process)
    return [
        Crawled(exit_code=process.returncode, lines=log.splitlines())
        for process, log in zip(running, logs, strict=True)
    ]


def advance(url: str, how: Mapping[str, float] | None = None) -> dict[str, Any]:
    """Advance the content of a stand-in, and return what changed. Raises DemoFailed."""
    moved: dict[str, Any] = control(url, "POST", "advance", how or {})
    return moved


def control(url: str, method: str, what: str, order: Mapping[str, Any] | None = None) -> Any:
    """Send a command to a stand-in, and return its answer. Raises DemoFailed."""
    return json.loads(ask(method, f"http://{urlsplit(url).netloc}/control/{what}", order))


def ask(method: str, url: str, order: Mapping[str, Any] | None = None) -> bytes:
    """Send a request to a stand-in, past any proxy, and return the answer. Raises DemoFailed."""
    where = urlsplit(url)
    connection = HTTPConnection(where.netloc, timeout=120)
    try:
        connection.request(method, f"{where.path}?{where.query}", body=None if order is None else json.dumps(order))
        response = connection.getresponse()
        answer = response.read()
    except (OSError, HTTPException) as error:
        raise DemoFailed(f"the stand-in does not answer ({type(error).__name__}): run this again") from None
    finally:
        connection.close()
    if response.status != 200:
        raise DemoFailed(f"the stand-in answered with status {response.status}: {answer[:200]!r}")
    return answer


def end(process: subprocess.Popen[Any]) -> None:
    """End a process and wait for it."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
