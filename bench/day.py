"""A day of the market at its real size: the scheduled workers, the deals and the stand-ins, on a fast clock.

The market has 129,431 ads of the twenty makes and gets 3,500 new ones in the day. First, with its clock standing still,
all ads are read and take their way through the deals. Then the clock runs: four workers share one request in 3 s of it,
and what they have recorded at the end is compared with what the market knows of itself. At last they run for some
minutes in real time: on a fast clock the gaps are so short that the way of a request to the stand-in counts.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from bench import deals
from bench.day_facts import Ad, Facts, Message, Row, Span, Walked, judge
from bench.pairs import say
from bench.server import BenchFailed, Place, Server
from standin.market.real import FOLLOWED
from vinops_scrapy.mobile_bg import makes

SEED = 1
TOKEN = "12345:bench"  # of the stand-in
CHANNEL = "-1001"
WORKERS = (1, 2, 3, 4)
PATIENCE = 900  # seconds in which the first ads must have been through the deals
STARTED = 60  # seconds in which a worker must have asked for something
EVERY = 2.0  # seconds between two looks at the workers
REAL_SECONDS = 300.0  # in which the gaps are counted in real time


@dataclass(frozen=True, kw_only=True)
class Size:
    """What is run: `ads` of the market with lists of `page_limit` pages, `hours` of a clock that is `speed` times as
    fast as real time. A tenth of the ads with a tenth of the pages keeps the shape of the market."""

    ads: int = FOLLOWED
    page_limit: int = 150
    hours: float = 24.0
    speed: float = 20.0
    real_seconds: float = REAL_SECONDS


FULL = Size()
QUICK = Size(ads=FOLLOWED // 10, page_limit=15, hours=3.0, real_seconds=60.0)


class Fleet:
    """The four market workers. Of each it keeps its process, how often it was started, its exit codes but for the last,
    and its resident memory in MB at each look."""

    def __init__(self, environ: Mapping[str, str], speed: float) -> None:
        """Start them."""
        self._environ = {**environ, "VINOPS_PACE": "steady"}
        self._clock = ("-s", f"VINOPS_CLOCK_SPEED={speed:g}")
        self.processes = {number: self._start(number) for number in WORKERS}
        self.memory: dict[int, list[float]] = {number: [] for number in WORKERS}
        self.exits: list[int] = []

    def look(self) -> None:
        """Note the memory of each worker, and begin the next run of one that ended."""
        for number, process in self.processes.items():
            if (code := process.poll()) is not None:
                self.exits.append(code)
                self.processes[number] = self._start(number)
            else:
                self.memory[number].append(resident_mb(process.pid))

    def end(self) -> None:
        """End them as an operator does, and wait."""
        end(list(self.processes.values()))

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        return crawl(self._environ, number, *self._clock)


@dataclass(frozen=True, kw_only=True)
class Day:
    """Everything that was found out: `filled` is how many ads the first crawl read, in how many seconds, and
    `deals_a_second` how many of them went through the deals."""

    size: Size
    filled: int
    fill_seconds: float
    deals_a_second: float
    requests: Mapping[str, int]
    gaps: Mapping[str, float]
    real_gaps: Mapping[str, float]
    """The same without a fast clock, in seconds of real time."""
    facts: Facts
    memory: Mapping[int, tuple[float, float]]
    """Of each worker the MB after a quarter of the day, and at its end."""
    exits: Sequence[int]
    """Exit codes of workers whose run ended before the day."""


class Source:
    """The control of a stand-in."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        """Take the addresses that it printed."""
        self.url = addresses["url"]

    def ask(self, what: str, method: str = "GET", **order: float) -> Any:
        """Return the answer of the stand-in."""
        body = json.dumps(order).encode() if order else None
        request = urllib.request.Request(f"{self.url}/control/{what}", method=method, data=body)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.loads(answer.read())


def measure(server: Server, size: Size) -> Day:
    """Run the day and judge it. Raises BenchFailed."""
    place = server.make("market_day", "migrated")
    with ExitStack() as cleanup:
        connection = cleanup.enter_context(psycopg.connect(place.url, autocommit=True))
        arguments = ["--ads", str(size.ads), "--page-limit", str(size.page_limit), "--seed", str(SEED)]
        market = Source(cleanup.enter_context(standin("market", "--market", "real", *arguments)))
        telegram = cleanup.enter_context(standin("telegram", "--token", TOKEN))
        environ = {
            **place.environ,
            "MOBILE_BG_URL": market.url,
            "VINOPS_MAKES_FILE": str(makes_file(place.data_dir, size.page_limit)),
            "VINOPS_LOG_DIR": str(place.data_dir / "logs"),
            "VINOPS_DAILY_REQUESTS": "1000000",
            "VINOPS_MARKET_RUN_HOURS": "720",
        }
        filled, seconds = fill(environ, connection, market)
        a_second = first_deals(place, connection)
        posting = {
            "TELEGRAM_API_URL": telegram["url"],
            "TELEGRAM_BOT_TOKEN": TOKEN,
            "TELEGRAM_CHANNEL_ID": CHANNEL,
            "VINOPS_DEALS_POSTS_AN_HOUR": "1000000",
        }
        cleanup.enter_context(deals.workers(place, "", posting, queues=f"{deals.QUEUES},notify"))
        fleet = Fleet(environ, size.speed)
        cleanup.callback(fleet.end)
        span, requests = run(market, fleet, size)
        deals.wait_until_drained(connection, PATIENCE)
        time.sleep(EVERY)  # the last messages
        history = [Ad(*each) for each in market.ask("history")]
        facts = judge(span, history, rows(connection), walks(connection), messages(connection))
        real_gaps = in_real_time(market, environ, size.real_seconds)
    return Day(
        size=size,
        filled=filled,
        fill_seconds=seconds,
        deals_a_second=a_second,
        requests=requests["requests"],
        gaps=requests["gaps"],
        real_gaps=real_gaps,
        facts=facts,
        memory={number: quarters(found) for number, found in fleet.memory.items() if found},
        exits=fleet.exits,
    )


@contextmanager
def standin(name: str, *arguments: str) -> Iterator[Mapping[str, str]]:
    """Run a stand-in until the block ends, and yield its addresses. Raises BenchFailed."""
    command = [sys.executable, "-m", f"standin.{name}", "serve", *arguments]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise BenchFailed(f"the stand-in {name} did not start")
        yield json.loads(line)
    finally:
        process.terminate()
        process.wait()


def makes_file(folder: Path, page_limit: int) -> Path:
    """Write the makes as they are, for a site whose lists end after so many pages."""
    text = makes.OURS.read_text(encoding="utf-8")
    lines = [f"page_limit = {page_limit}" if line.startswith("page_limit") else line for line in text.splitlines()]
    file = folder / "makes.toml"
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def fill(environ: Mapping[str, str], connection: psycopg.Connection[Any], market: Source) -> tuple[int, float]:
    """Read all ads once, without a pace, while the clock stands still; return how many, and the seconds."""
    began = time.monotonic()
    crawls = [crawl({**environ, "VINOPS_PACE": "none"}, number, "-a", "mode=full") for number in WORKERS]
    try:
        codes = [process.wait() for process in crawls]
    finally:
        end(crawls)
    seconds = time.monotonic() - began
    there = sum(ad.is_ours and ad.left is None for ad in (Ad(*each) for each in market.ask("history")))
    ((found,),) = connection.execute("select count(*) from listings where removed_at is null").fetchall()
    say(f"day: {found:,} of {there:,} ads read in {seconds:.0f} s, exit codes {codes}")
    if any(codes) or not 0.99 * there <= found <= there:
        ended = connection.execute("select worker, reason from ops.crawl_runs order by worker").fetchall()
        raise BenchFailed(f"the market has {there} ads in Bulgaria, the first crawl recorded {found}: {ended}")
    return found, seconds


def first_deals(place: Place, connection: psycopg.Connection[Any]) -> float:
    """Have all ads that are queued go through the deals, and return how many did in a second, from the first of them
    on. No message is sent."""
    connection.execute("vacuum analyze listings")
    ((count,),) = connection.execute("select count(*) from ops.deal_outbox").fetchall()
    with deals.workers(place, ""):
        while connection.execute("select count(*) from scores").fetchall() == [(0,)]:
            time.sleep(0.1)
        began = time.monotonic()
        deals.wait_until_drained(connection, PATIENCE)
    a_second = float(count) / (time.monotonic() - began)
    say(f"day: {count:,} ads through the deals, {a_second:.0f} a second")
    connection.execute(
        "update notifications set state = 'sent', attempts = 1, settled_at = now() - interval '1 day'"
        " where state = 'waiting'"
    )
    # As if it had been the day before, and the newest ads were read lately: each make is due, and the next pass finds
    # ads that it knows. The first pass of all reads fifty pages.
    connection.execute(
        "update ops.listing_walks set started_at = started_at - interval '1 day',"
        " finished_at = finished_at - interval '1 day'"
    )
    connection.execute(
        "insert into ops.market_cycles (source, number, began_at, finished_at, complete_from, newest_posted_at)"
        " select source, 1, now(), now(), now(), max(posted_at) from listings group by source"
    )
    connection.execute("vacuum analyze")
    connection.execute("checkpoint")
    return a_second


def crawl(environ: Mapping[str, str], number: int, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a market worker."""
    return subprocess.Popen(
        [sys.executable, "-m", "scrapy", "crawl", "mobile_bg", "-a", f"worker={number}", *arguments],
        env={**os.environ, **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End processes with SIGTERM, after half a minute with SIGKILL."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    for process in processes:
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def run(market: Source, fleet: Fleet, size: Size) -> tuple[Span, Mapping[str, Any]]:
    """Let the hours pass; return when they did, and the requests of that time. The clock stands still before and after,
    while workers start and end. Raises BenchFailed."""
    wait_until_asking(market)
    start = market.ask("clock", "POST", speed=size.speed)
    span = Span.of(start["now"], real=start["real"], speed=size.speed, hours=size.hours)
    said = 0.0
    while (passed := (time.time() - span.real) * size.speed / 3600) < size.hours:
        fleet.look()
        if passed >= said:
            say(f"day: {passed:.1f} of {size.hours:g} hours, {market.ask('tally')['total']:,} requests")
            said = passed + size.hours / 12
        time.sleep(min(EVERY, max((size.hours - passed) * 3600 / size.speed, 0.01)))
    market.ask("clock", "POST", speed=0)
    tally: Mapping[str, Any] = market.ask("tally")
    fleet.end()
    return span, tally


def wait_until_asking(market: Source) -> None:
    """Wait until each worker has requested something, and forget the requests. Raises BenchFailed."""
    began = time.monotonic()
    while (begun := market.ask("tally")["requests"].get("robots", 0)) < len(WORKERS):
        if time.monotonic() - began > STARTED:
            raise BenchFailed(f"{len(WORKERS) - begun} workers asked for nothing in {STARTED} s")
        time.sleep(0.1)
    market.ask("tally", "DELETE")


def in_real_time(market: Source, environ: Mapping[str, str], seconds: float) -> Mapping[str, float]:
    """Let the workers run for so long without a fast clock, and return the gaps between their requests in seconds.
    Raises BenchFailed."""
    market.ask("tally", "DELETE")
    market.ask("clock", "POST", speed=1)
    fleet = Fleet(environ, 1)
    try:
        wait_until_asking(market)
        time.sleep(seconds)
        tally = market.ask("tally")
    finally:
        fleet.end()
        market.ask("clock", "POST", speed=0)
    if not (gaps := tally["gaps"]):
        raise BenchFailed(f"the workers asked for nothing in {seconds:g} s of real time")
    say(f"day: {tally['total']} requests in {seconds:g} s of real time, the smallest gap {gaps['smallest']:.3f} s")
    return dict(gaps)


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process, 0 if it has just ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def quarters(memory: Sequence[float]) -> tuple[float, float]:
    """Return the memory after a quarter of the looks, and at the last one."""
    return memory[len(memory) // 4], memory[-1]


def rows(connection: psycopg.Connection[Any]) -> list[Row]:
    """Return the ads in the database; times are seconds since 1970."""
    found = connection.execute(
        "select ad_id, make_slug, extract(epoch from first_seen)::float8, extract(epoch from removed_at)::float8"
        " from listings"
    )
    return [Row(*each) for each in found.fetchall()]


def walks(connection: psycopg.Connection[Any]) -> list[Walked]:
    """Return the complete walks."""
    found = connection.execute(
        "select make_slug, extract(epoch from started_at)::float8, extract(epoch from finished_at)::float8"
        " from ops.listing_walks where is_complete"
    )
    return [Walked(*each) for each in found.fetchall()]


def messages(connection: psycopg.Connection[Any]) -> list[Message]:
    """Return when deals were posted."""
    found = connection.execute(
        "select ads.ad_id, extract(epoch from told.settled_at)::float8 from notifications as told"
        " inner join listings as ads on told.listing_id = ads.id"
        " where told.kind = 'deal' and told.state = 'sent' and told.message_id is not null"
    )
    return [Message(*each) for each in found.fetchall()]
