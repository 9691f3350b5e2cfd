"""The outside world of the demo and of the picture of the monitor: stand-ins on loopback, each a process."""

from __future__ import annotations

import json
import subprocess
import sys
from http.client import HTTPConnection, HTTPException
from typing import IO, TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from demo import deals as demo_deals, market as demo_market, photos as demo_photos

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import ExitStack
    from pathlib import Path

PATIENCE = 10  # seconds for a process to end
MOVES = 300.0  # seconds: real feeds come every 15 minutes, and nobody wants to wait so long
MORE_LOTS: dict[str, float] = {"minutes": round(MOVES / 60)}
MORE_ADS: dict[str, float] = {"new": 8, "changed": 12, "gone": 10, "back": 2, "hours": MOVES / 3600}
"""By how much a world that is served moves on each time."""


class DemoFailed(Exception):  # noqa: N818 # as FetchFailed: how a piece of work ended
    """The demo cannot go on. The message says why and what mends it."""


def feed(
    environment: Mapping[str, str], folder: Path, *, lots: int, photos: Mapping[str, str], cleanup: ExitStack
) -> str:
    """Start the stand-in of the feed, whose lots have their photos at these addresses, and return its URL."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "standin.feed", "serve", "--rows", str(lots)),
            *("--photo-url", photos["api_url"], "--thumbnail-url", photos["cdn_url"]),
        ],
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=dict(environment),
    )
    cleanup.callback(end, process)
    line = cast("IO[str]", process.stdout).readline()
    if not line:
        raise DemoFailed("the stand-in of the feed did not start: see its message above")
    return str(json.loads(line)["url"])


def start(
    environment: Mapping[str, str],
    folder: Path,
    *,
    lots: int,
    ads: int,
    market_now: str,
    photo_ports: Mapping[str, int] | None = None,
    market_port: int = 0,
    with_page: bool = False,
    cleanup: ExitStack,
) -> dict[str, str]:
    """Start all of them, and return the settings with which vinops asks them. `cleanup` ends them. Raises DemoFailed.

    The ports are those of an earlier start: addresses of then are in the database.
    """
    process, photos = demo_photos.start(environment, folder, photo_ports or {})
    cleanup.callback(end, process)
    process, market = demo_market.start(environment, folder, count=ads, now=market_now, port=market_port)
    cleanup.callback(end, process)
    process, telegram = demo_deals.start(environment, folder)
    cleanup.callback(end, process)
    if photos is None or market is None or telegram is None:
        raise DemoFailed(
            "a stand-in did not start: see its message above. One of a demo that was killed may have its port: "
            "end it (`pkill -f standin`), and try again"
        )
    return {
        **demo_photos.settings_of(photos, with_page=with_page),
        **demo_market.settings_of(market),
        **demo_deals.settings_of(telegram),
        "COPART_CSV_URL": feed(environment, folder, lots=lots, photos=photos, cleanup=cleanup),
    }


def advance(url: str, how: Mapping[str, float] | None = None) -> dict[str, Any]:
    """Let what a stand-in tells of move on, and return what has. Raises DemoFailed."""
    return control(url, "POST", "advance", how or {})


def move(url: str, how: Mapping[str, float], times: int) -> None:
    """Let it move on as often as a world that was served has. Raises DemoFailed."""
    for _ in range(times):
        advance(url, how)


def control(url: str, method: str, what: str, order: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Tell a stand-in to do something, and return its answer. Raises DemoFailed."""
    answer: dict[str, Any] = json.loads(ask(method, f"http://{urlsplit(url).netloc}/control/{what}", order))
    return answer


def ask(method: str, url: str, order: Mapping[str, Any] | None = None) -> bytes:
    """Ask the stand-in, past any proxy. Raises DemoFailed."""
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
