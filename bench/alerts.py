"""How long it takes from an ad's page to its message: a scheduled market crawl, workers of the deals, and the bot, all
as processes, while the market moves at the stand-in and a stand-in of Telegram keeps the limits of the real one.

The page is committed at the end of a transaction whose beginning is `first_seen`, so the figures are rather too long.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import psycopg

from bench import deals
from bench.day import standin
from bench.market import Source, crawl, source
from bench.pairs import say
from bench.processes import run
from deals.watches import people
from vinops.db import database
from vinops.filters import Filter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bench.server import Place, Server

MOST_FROM_PAGE_P95: Final = 60.0  # seconds
MOST_FROM_SCORE_P95: Final = 5.0
TOKEN: Final = "12345:stand-in"  # the only one that the stand-in accepts
FIRST_CHAT: Final = 7_000_000
EVERY: Final = 20.0  # seconds between two moves of the market
MOVE: Final = {"new": 6, "changed": 12, "gone": 4, "back": 1, "hours": EVERY / 3600}
PARTS: Final = 50  # of all models, each of which is a watch
PATIENCE: Final = 120.0
SCORED: Final = (
    "create table bench_scored (listing_id bigint primary key, at timestamptz not null)",
    """create function bench_note() returns trigger language plpgsql as $$ begin
        insert into bench_scored values (new.listing_id, now()) on conflict do nothing; return null; end $$""",
    "create trigger bench_note after insert on scores for each row execute function bench_note()",
)
TOLD: Final = """
    select messages.message_id, extract(epoch from ads.first_seen), extract(epoch from scored.at)
    from watch_messages as messages
    join listings as ads on ads.id = messages.listing_id
    join bench_scored as scored on scored.listing_id = ads.id
    where messages.kind = 'hit' and messages.state = 'sent'"""


@dataclass(frozen=True, kw_only=True)
class Size:
    """Ads in the beginning, people with a watch each, seconds of the crawls, and the workers that crawl."""

    ads: int
    people: int
    seconds: float
    workers: tuple[str, ...]


FULL: Final = Size(ads=7_600, people=100, seconds=600, workers=("1", "2"))
QUICK: Final = Size(ads=1_500, people=100, seconds=120, workers=("1",))


@dataclass(frozen=True, kw_only=True)
class Alerts:
    """Seconds from page and score to message, how many cars and messages that were, and how busy the machine was."""

    size: Size
    from_page: Sequence[float]
    from_score: Sequence[float]
    cars: int
    refused: int
    """Calls that the stand-in of Telegram answered with 429."""
    load: float


def measure(server: Server, size: Size) -> Alerts:
    """Run everything, and read the times. Raises BenchFailed, ProcessFailed."""
    place = server.make("alerts", "migrated")
    with ExitStack() as running:
        market = running.enter_context(source(size.ads))
        telegram = running.enter_context(standin("telegram", "--token", TOKEN, "--limits"))["url"]
        crawl(place, market)
        say(f"alerts: {size.ads:,} ads are read")
        environ = place.environ | {
            "MOBILE_BG_URL": market.url,
            "TELEGRAM_API_URL": telegram,
            "TELEGRAM_BOT_TOKEN": TOKEN,
            "VINOPS_LOG_DIR": str(place.data_dir / "logs"),
            "VINOPS_DAILY_REQUESTS": "1000000",
        }
        run([sys.executable, "-m", "ops.cli", "deals", "run", "--no-post"], environ)
        say("alerts: they are scored")
        with psycopg.connect(place.url, autocommit=True) as connection:
            for statement in SCORED:
                connection.execute(statement.encode())
            _watch(place, size)
            running.enter_context(deals.workers(place, running.enter_context(deals.redis(place.data_dir)), environ))
            running.enter_context(_process(environ, "ops.cli", "watch", "bot"))
            for worker in size.workers:
                running.enter_context(_process(environ, "scrapy", "crawl", "mobile_bg", "-a", f"worker={worker}"))
            loads = _let_it_run(market, size)
            return _read(connection, telegram, size, statistics.mean(loads))


def _watch(place: Place, size: Size) -> None:
    """Let people in, each with a watch for one of PARTS parts of all models."""
    with database.connect(place.settings, application="bench", autocommit=True) as connection:
        rows = connection.execute("select family from board where family is not null group by family order by family")
        families = [row[0] for row in rows.fetchall()]
        for number in range(size.people):
            with connection.transaction():
                code = people.invite(connection, "bg")
                person = people.accept(connection, code, FIRST_CHAT + number, "Europe/Sofia")
                assert person is not None
                wanted = Filter(family=tuple(families[number % PARTS :: PARTS]))
                people.save(connection, person, wanted, kind="ad", typed="some models")


def _let_it_run(market: Source, size: Size) -> list[float]:
    """Move the market now and then, and return the load of the machine meanwhile."""
    loads = []
    until = time.monotonic() + size.seconds
    while time.monotonic() < until:
        market.ask("advance", "POST", MOVE)
        time.sleep(EVERY)
        loads.append(os.getloadavg()[0])
    return loads


def _read(connection: psycopg.Connection[Any], telegram: str, size: Size, load: float) -> Alerts:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        row = connection.execute("select count(*) from watch_messages where state in ('waiting', 'trying')").fetchone()
        if row is not None and not row[0]:
            break
        time.sleep(1)
    taken = {each["message_id"]: each["taken_at"] for each in _ask(f"{telegram}/control/messages")}
    refused = sum(each["status"] == 429 for each in _ask(f"{telegram}/control/requests"))
    rows = [(taken[number], float(seen), float(scored)) for number, seen, scored in connection.execute(TOLD.encode())]
    cars = connection.execute("select count(distinct car) from watch_messages where kind = 'hit'").fetchone()
    return Alerts(
        size=size,
        from_page=[at - seen for at, seen, _ in rows],
        from_score=[at - scored for at, _, scored in rows],
        cars=cars[0] if cars else 0,
        refused=refused,
        load=load,
    )


def _ask(url: str) -> Any:
    with urllib.request.urlopen(url) as answer:
        return json.loads(answer.read())


@contextmanager
def _process(environ: Mapping[str, str], module: str, *arguments: str) -> Iterator[None]:
    """Run a command of vinops until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, **environ, "SCRAPY_SETTINGS_MODULE": "vinops_scrapy.settings"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def table(measured: Alerts | None) -> str:
    """Return a Markdown table, nothing if nothing was measured."""
    if measured is None or not measured.from_page:
        return ""
    rows = (("from the page of an ad", measured.from_page), ("from its score", measured.from_score))
    head = (
        f"{len(measured.from_page):,} messages about {measured.cars:,} cars to {measured.size.people} people in "
        f"{measured.size.seconds / 60:g} minutes, {len(measured.size.workers)} scheduled crawls; mean load "
        f"{measured.load:.1f}; Telegram's limits exceeded {measured.refused} times:"
    )
    return "\n".join([
        head,
        "",
        "| to its message at Telegram | p50 | p95 | worst |",
        "|---|---:|---:|---:|",
        *(
            f"| {name} | {statistics.median(each):.2f} s | {_p95(each):.2f} s | {max(each):.2f} s |"
            for name, each in rows
        ),
    ])  # fmt: skip


def _p95(seconds: Sequence[float]) -> float:
    return statistics.quantiles(seconds, n=20)[-1]


def missed(measured: Alerts | None) -> list[str]:
    """Return the goals that were missed."""
    if measured is None:
        return []
    if len(measured.from_page) < 2:
        return ["alerts: nobody was told of anything"]
    figures = (
        ("alerts, from the page, p95", _p95(measured.from_page), MOST_FROM_PAGE_P95),
        ("alerts, from the score, p95", _p95(measured.from_score), MOST_FROM_SCORE_P95),
        ("alerts, answers 429", float(measured.refused), 0.0),
    )
    return [f"{name}: {value:.2f}, not {most:g}" for name, value, most in figures if value > most]
