"""What the market costs: ads a request, a page's processor time, an unchanged page in the database, and fresh ads."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from scrapy.http import HtmlResponse

from bench.pairs import say
from bench.processes import run
from bench.server import BenchFailed, Place, Server
from vinops.db import database
from vinops.db.database import queries
from vinops_scrapy.pages import mobile_bg

SEED = 1
ADS = 7600
QUICK_ADS = 1500
NEW = 40
GAP_SECONDS = 3
PAGES = 60


@dataclass(frozen=True, kw_only=True)
class Crawl:
    """A crawl as the stand-in saw it. Seconds are those of the whole process, without a pace."""

    ads: int
    requests: int
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True, kw_only=True)
class Market:
    """Everything that was found out about the market."""

    full: Crawl
    unchanged: Crawl
    fresh: Crawl
    fresh_found: int
    parse_ms: float
    parse_page: str
    statement_ms: float
    recording_ms: float


class Source:
    """The stand-in as a process."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        """Take the addresses that it printed."""
        self.url = addresses["url"]

    def ask(self, what: str, method: str = "GET", order: Mapping[str, Any] | None = None) -> Any:
        """Tell the stand-in to do something, and return its answer."""
        body = None if order is None else json.dumps(order).encode()
        request = urllib.request.Request(f"{self.url}/control/{what}", method=method, data=body)
        with urllib.request.urlopen(request) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def lists(self) -> int:
        """Return how many pages of lists were asked for since they were last forgotten, and forget them."""
        found = [each for each in self.ask("requests") if each["kind"] == "list"]
        self.ask("requests", "DELETE")
        return len(found)


@contextmanager
def source(ads: int) -> Iterator[Source]:
    """Run the stand-in until the block ends."""
    command = [sys.executable, "-m", "standin.market", "serve", "--seed", str(SEED), "--ads", str(ads)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise BenchFailed("the stand-in of the market did not start")
        yield Source(json.loads(line))
    finally:
        process.terminate()
        process.wait()


def measure(server: Server, ads: int, page: Path | None) -> Market:
    """Measure all of it; `page` is a saved page to read instead of one of the stand-in's. Raises BenchFailed,
    ProcessFailed."""
    place = server.make("market", "migrated")
    with source(ads) as found:
        full = crawl(place, found)
        say(f"market: {full.ads} ads in {full.requests} requests, {full.seconds:.1f} s")
        unchanged = crawl(place, found)
        found.ask("advance", "POST", {"new": NEW, "changed": 0, "gone": 0, "back": 0})
        fresh = crawl(place, found, "-a", "mode=fresh")
        with urllib.request.urlopen(f"{found.url}/obiavi/avtomobili-dzhipove/bmw?sort=6") as answer:
            body, url = answer.read(), answer.url
    if page is not None:
        body = page.read_bytes()
    with psycopg.connect(place.url, autocommit=True) as connection:
        connection.execute("vacuum analyze listings")  # as autovacuum does between two walks
    statement, recording = asyncio.run(unchanged_pages(place))
    (new,) = server.query(
        "market", "select count(*) from ops.deal_outbox where queued_at > (select max(started_at) from ops.crawl_runs)"
    )
    return Market(
        full=full,
        unchanged=unchanged,
        fresh=fresh,
        fresh_found=new,
        parse_ms=parse(HtmlResponse(url, body=body, headers={"Content-Type": "text/html; charset=windows-1251"})),
        parse_page=f"{page.name}" if page else "a page of the stand-in",
        statement_ms=statement,
        recording_ms=recording,
    )


def crawl(place: Place, found: Source, *arguments: str) -> Crawl:
    """Crawl without a pace, and count. Raises BenchFailed for one that did not record what it read."""
    found.lists()
    environ = {**place.environ, "MOBILE_BG_URL": found.url, "VINOPS_PACE": "none", "VINOPS_DAILY_REQUESTS": "1000000"}
    environ["VINOPS_LOG_DIR"] = str(place.data_dir / "logs")
    finished = run([sys.executable, "-m", "scrapy", "crawl", "mobile_bg", *arguments], {**os.environ, **environ})
    shown = sum(not ad["is_abroad"] for ad in found.ask("ads").values())
    with psycopg.connect(place.url) as connection:
        row = connection.execute("select count(*) from listings where removed_at is null").fetchone()
    if row is None or row[0] != shown:
        raise BenchFailed(f"the market has {shown} ads, the database {row and row[0]}")
    return Crawl(ads=shown, requests=found.lists(), seconds=finished.seconds, cpu_seconds=finished.cpu_seconds)


def parse(response: HtmlResponse) -> float:
    """Return the milliseconds of processor time that a page costs: the median of many."""
    seconds = []
    gc.collect()
    gc.freeze()  # what the bench holds is nothing that a crawl would look through
    for _ in range(PAGES):
        began = time.process_time()
        mobile_bg.list_page(HtmlResponse(response.url, body=response.body, headers=response.headers))
        seconds.append(time.process_time() - began)
    return 1000 * statistics.median(seconds)


async def unchanged_pages(place: Place) -> tuple[float, float]:
    """Record pages of 20 unchanged ads; return the median milliseconds of the statement by the server's own count, and
    of all of it as the crawl sees it."""
    statements, whole = [], []
    async with database.async_pool(place.settings, application="bench") as pool, pool.connection() as connection:
        rows = await (
            await connection.execute(
                "select make_slug, ad_id, list_hash from listings where removed_at is null order by ad_id"
            )
        ).fetchall()
        for start in range(0, PAGES * 20, 20):
            page = rows[start % max(len(rows) - 20, 1) :][:20]
            about = {
                "source": mobile_bg.SOURCE,
                "makes": sorted({make for make, _, _ in page}),
                "ad_ids": [ad_id for _, ad_id, _ in page],
                "hashes": [found for _, _, found in page],
                "walk": 1,
                "pieces": [0] * len(page),
            }
            began = time.perf_counter()
            async with connection.transaction():
                cursor = await connection.execute(queries("listings")["see_listings"], about)
                seen = len(await cursor.fetchall())
            whole.append(time.perf_counter() - began)
            if seen != len(page):
                raise BenchFailed(f"{len(page) - seen} of {len(page)} ads are not as they were")
            explained = "explain (analyze, format json) " + queries("listings")["see_listings"]
            plan = await (await connection.execute(explained.encode(), about)).fetchone()
            statements.append(float(plan[0][0]["Execution Time"]) if plan else 0.0)
    return statistics.median(statements), 1000 * statistics.median(whole)
