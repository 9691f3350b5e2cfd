"""The stand-ins of the demo, of `--serve` and of the screenshot of the monitor: processes that listen on loopback."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException
from typing import IO, TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from standin.feed.imports import BARGAIN_VIN, PLANTED
from vinops import config
from vinops.db import database
from vinops_scrapy.copart.browser_program import find_chromium

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import ExitStack
    from pathlib import Path

PATIENCE = 10  # seconds for a process to end
MOVES = 300.0  # seconds between two changes with `--serve`; real feeds change every 15 minutes
MORE_LOTS: dict[str, float] = {"minutes": round(MOVES / 60)}
MORE_ADS: dict[str, float] = {"new": 8, "changed": 12, "gone": 10, "back": 2, "hours": MOVES / 3600}
"""The size of each change of feed and market with `--serve`."""
SALES_AHEAD = 1  # days from then to the first sales: those that are photographed first are still to come
SALE_IN = timedelta(days=6)  # from now until the sale of the lots that are planted for the import deals
NEW_ADS: dict[str, float] = {"new": 150, "changed": 0, "gone": 0, "back": 0, "hours": 0.1}
OTHER_PRICES: dict[str, float] = {"new": 0, "changed": 1500, "gone": 0, "back": 0, "hours": 0.1}
"""The changes of the market in the step of the alerts."""
NEW_LOTS: dict[str, float] = {"changed": 0, "new": 0.03, "gone": 0, "returned": 0, "relisted": 0}
"""The change of the feed in that step: a share of the lots that there are."""
HOURS_LATER = timedelta(hours=6)  # how long ago the market starts: the demo advances it by about as much

SEED = 1
LEAST_ADS = 3000  # with fewer ads, too few are comparable to estimate a price
MOST_ADS = 7600
SESSION_LOTS = 10
MEMBER = {"COPART_USERNAME": "stand-in-member", "COPART_PASSWORD": "stand-in-password"}
TOKEN = "12345:stand-in"  # noqa: S105 # the only one that the stand-in accepts
CHANNEL = "@stand_in_deals"
IMPORTS = "@stand_in_imports"
CHAT = "telegram.json"  # in the folder of the demo, so that a later demo can edit the messages of an earlier one
POSTS = 10  # per hour; they are sent a second apart, as Telegram requires


class DemoFailed(Exception):  # noqa: N818 # as FetchFailed: the result of a run
    """The demo cannot continue. The message gives the reason and the fix."""


@dataclass(frozen=True, kw_only=True)
class World:
    """The running stand-ins: the settings of vinops to use them, and the values a later start needs to repeat them."""

    settings: dict[str, str]
    noted: dict[str, Any]

    @property
    def feed(self) -> str:
        return self.settings["COPART_CSV_URL"]

    @property
    def market(self) -> str:
        return self.settings["MOBILE_BG_URL"]

    def catch_up(self, served: int) -> None:
        """Advance feed and market to the end of the demo, and then by `served` further moves. Raises DemoFailed."""
        advance(self.feed)
        advance(self.market)
        advance(self.market, NEW_ADS)
        advance(self.market, OTHER_PRICES)
        advance(self.feed, NEW_LOTS)
        for _ in range(served):
            self.move()

    def move(self) -> None:
        """Change feed and market a little, as `--serve` does every MOVES seconds. Raises DemoFailed."""
        advance(self.feed, MORE_LOTS)
        advance(self.market, MORE_ADS)


def ads(lots: int) -> int:
    """Return the number of ads for a demo with so many lots: a tenth of them, from LEAST_ADS to MOST_ADS."""
    return max(LEAST_ADS, min(MOST_ADS, lots // 10))


def has_browser() -> bool:
    """Return whether Chromium is installed."""
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
    """Start all stand-ins, with so many lots and `count` ads; `cleanup` stops them. Raises DemoFailed.

    `earlier` is the note of an earlier start, whose ports are used again, because URLs are stored in the database, and
    whose market has the same start time. `with_page` sets a member's credentials, for lot pages in the browser.
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
                f"the stand-in {name} did not start: see its message above. If a stand-in of a killed demo still uses "
                "its port, end that (`pkill -f standin`) and try again, or add --fresh"
            )
        found: dict[str, Any] = json.loads(line)
        return found

    earlier = earlier or {}
    # The demo advances the market by some hours, to about now: the ads that it marks as new then really are new.
    now = earlier.get("market_now") or f"{datetime.now(UTC) - HOURS_LATER:%Y-%m-%dT%H:%M:%S+00:00}"
    ports = [part for name, port in earlier.get("ports", {}).items() for part in (f"--{name}-port", port)]
    photos = serve("photos", "--seed", SEED, *ports)
    port = ("--port", earlier["market_port"]) if "market_port" in earlier else ()
    market = serve("market", "--seed", SEED, "--ads", count, "--now", now, "--vin", BARGAIN_VIN, *port)
    telegram = serve("telegram", "--token", TOKEN, "--keep", CHAT)
    rates = serve("rates")
    urls = ("--photo-url", photos["api_url"], "--thumbnail-url", photos["cdn_url"])
    sale = earlier.get("imports_sale") or f"{datetime.now(UTC) + SALE_IN:%Y-%m-%d}"
    feed = serve("feed", "--rows", lots, "--now", now, "--sales-ahead", SALES_AHEAD, "--imports", sale, *urls)
    return World(
        settings={
            "COPART_CSV_URL": str(feed["url"]),
            "COPART_SITE_URL": photos["site_url"],
            "COPART_IMAGE_HOSTS": photos["image_hosts"],
            **(MEMBER if with_page else {}),
            "VINOPS_SESSION_LOTS": str(SESSION_LOTS),
            "VINOPS_SESSION_PAUSE": "1",
            "MOBILE_BG_URL": str(market["url"]),
            "VINOPS_PACE": "none",  # all requests go to loopback
            "TELEGRAM_API_URL": str(telegram["url"]),
            "TELEGRAM_BOT_TOKEN": TOKEN,
            "TELEGRAM_CHANNEL_ID": CHANNEL,
            "TELEGRAM_IMPORTS_CHAT_ID": IMPORTS,
            "VINOPS_DEALS_POSTS_AN_HOUR": str(POSTS),
            "ECB_RATES_URL": str(rates["url"]),
        },
        noted={
            "ports": {name: urlsplit(photos[f"{name}_url"]).port for name in ("api", "cdn", "site")},
            "market_port": urlsplit(market["url"]).port,
            "market_now": now,
            "imports_sale": sale,
        },
    )


def planted(settings: config.Settings) -> dict[str, int]:
    """Return the numbers of the lots that were planted for the import deals, by name: the first of the feed."""
    with database.connect(settings, application="vinops demo") as connection:
        rows = connection.execute("select lot_external_id from lots order by 1 limit %s", [len(PLANTED)]).fetchall()
    return dict(zip(PLANTED, (number for (number,) in rows), strict=True))


@dataclass(frozen=True, kw_only=True)
class Crawled:
    """The exit code of a crawl and the lines of its log."""

    exit_code: int
    lines: list[str]

    def marked(self, *marks: str) -> list[str]:
        """Return the lines that contain one of these marks, without the timestamp."""
        return [line.partition(" ")[2] for line in self.lines if any(mark in line for mark in marks)]


def crawl(environment: Mapping[str, str], folder: Path, *crawls: Sequence[str]) -> list[Crawled]:
    """Run crawls in parallel, each with its arguments of `scrapy crawl`, and return their results."""
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
    """Advance the content of a stand-in and return the changes. Raises DemoFailed."""
    moved: dict[str, Any] = control(url, "POST", "advance", how or {})
    return moved


def control(url: str, method: str, what: str, order: Mapping[str, Any] | None = None) -> Any:
    """Send a control request to a stand-in and return the decoded JSON of its response. Raises DemoFailed."""
    return json.loads(ask(method, f"http://{urlsplit(url).netloc}/control/{what}", order))


def ask(method: str, url: str, order: Mapping[str, Any] | None = None) -> bytes:
    """Send a request to a stand-in, without any proxy, and return the response body. Raises DemoFailed."""
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
    """Terminate a process and wait for it; kill it if it has not ended after PATIENCE seconds."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
