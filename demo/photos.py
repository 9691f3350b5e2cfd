"""The photos of the demo: the stand-in, the lots that are shown, and the crawl."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from standin.photos.lots import PhotoLots
from vinops import config
from vinops_scrapy.copart.browser import find_chromium

if TYPE_CHECKING:
    from psycopg import Connection

SEED = 1
LOTS = 24
SESSION_LOTS = 10
MEMBER = {"COPART_USERNAME": "stand-in-member", "COPART_PASSWORD": "stand-in-password"}


@dataclass(frozen=True, kw_only=True)
class Crawled:
    """How the crawl ended, and what it said."""

    exit_code: int
    lines: list[str]

    def told(self, *marks: str) -> list[str]:
        """Return the lines with one of these marks, without their time."""
        return [line.partition(" ")[2] for line in self.lines if any(mark in line for mark in marks)]


def start(environment: Mapping[str, str], folder: Path, ports: Mapping[str, int]) -> tuple[subprocess.Popen[str], Any]:
    """Start the stand-in, on the ports of an earlier demo if they are given; return it and its addresses."""
    given = [part for name, port in ports.items() for part in (f"--{name}-port", str(port))]
    process = subprocess.Popen(
        [sys.executable, "-m", "standin.photos", "serve", "--seed", str(SEED), *given],
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=dict(environment),
    )
    line = cast("IO[str]", process.stdout).readline()
    return process, json.loads(line) if line else None


def has_browser() -> bool:
    """Tell whether there is a Chromium."""
    try:
        find_chromium(config.Settings())
    except config.ConfigError:
        return False
    return True


def lots(connection: Connection[Any], *, with_page: bool) -> tuple[list[int], int | None]:
    """Return the lots that are sold first, and one whose list is empty though it has photos."""
    rows = connection.execute(
        "select lot_external_id from lots where status = 'active' and image_url is not null"
        " order by coalesce(sale_at, sale_date) asc nulls last, id desc limit 1000"
    ).fetchall()
    drawn = PhotoLots(seed=SEED)
    numbers = [int(number) for (number,) in rows]
    empty = [number for number in numbers if drawn.state(number) == "empty_list"]
    listed = [number for number in numbers if number not in empty][: LOTS - with_page]
    return listed, (empty[0] if empty and with_page else None)


def crawl(environment: Mapping[str, str], folder: Path, numbers: list[int]) -> Crawled:
    """Photograph some lots."""
    done = subprocess.run(
        [sys.executable, "-m", "scrapy", "crawl", "lot_photos", "-a", f"lot={','.join(map(str, numbers))}"],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        cwd=folder,
        env={**environment, "SCRAPY_SETTINGS_MODULE": "vinops_scrapy.settings"},
    )
    return Crawled(exit_code=done.returncode, lines=done.stderr.splitlines())


def settings_of(addresses: Mapping[str, str], *, with_page: bool) -> dict[str, str]:
    """Return the variables of a crawl on the stand-in: unpaced, which only loopback is asked."""
    return {
        "COPART_SITE_URL": addresses["site_url"],
        "COPART_IMAGE_HOSTS": addresses["image_hosts"],
        "VINOPS_PACE": "none",
        "VINOPS_SESSION_LOTS": str(SESSION_LOTS),
        "VINOPS_SESSION_PAUSE": "1",
        **(MEMBER if with_page else {}),
    }
