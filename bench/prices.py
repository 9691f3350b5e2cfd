"""What the market over time costs: the nightly figures among a million ads with a year of prices, and the site's pages.

The ads are those of bench/board.py. Each changed its price twice, and each make was walked to its end every day.
"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, LiteralString
from urllib.parse import quote, urlencode

import psutil

from bench import board
from bench.board import in_ms, quantile
from bench.pairs import say
from bench.site import asked, serving
from deals import market as figures
from vinops.db import database
from web.pages.market import SORTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from bench.server import Place, Server

MOST_PAGE: Final = 0.3  # seconds, p95
MOST_PAGE_KB: Final = 150
MOST_NIGHT: Final = 120.0  # seconds: a fifth of what a task may take
YEAR: Final[tuple[LiteralString, ...]] = (
    "set session_replication_role = replica",
    "delete from listing_prices",
    """insert into listing_prices
    select ads.id, ads.price_eur * (1.06 - 0.03 * n), ads.first_seen + n * (ads.last_seen - ads.first_seen) / 3
    from listings as ads, generate_series(0, 2) as n where ads.price_eur is not null""",
    """insert into ops.listing_walks (source, make_slug, started_at, finished_at, is_complete)
    select source, make_slug, at - interval '20 minutes', at, true
    from (select distinct source, make_slug from listings) as makes,
        generate_series(now() - interval '420 days', now(), interval '1 day') as at""",
    "set session_replication_role = origin",
)


@dataclass(frozen=True, kw_only=True)
class Prices:
    """What was measured, in seconds: the first computation of all months and a night's; the most memory of the server's
    process, in MB; pages, and the largest of them in bytes."""

    ads: int
    prices: int
    months: int
    families: int
    rows: int
    first: float
    night: float
    memory_mb: float
    overview: Sequence[float]
    family: Sequence[float]
    csv: float
    page_bytes: int


def measure(server: Server, size: board.Size) -> Prices:
    """Fill a database, compute, and ask the site. Raises BenchFailed."""
    place = server.make("prices", "migrated")
    try:
        board.fill(place, size)
        with database.connect(place.settings, application="bench", autocommit=True) as connection:
            for statement in YEAR:
                say(f"prices: {' '.join(statement.split())[:70]}")
                connection.execute(statement)
            connection.execute("vacuum (analyze)")
            first, memory = _refreshed(connection)
            night, more = _refreshed(connection)
            state = figures.state(connection)
            ads, prices, rows = connection.execute(
                "select (select count(*) from listings), (select count(*) from listing_prices),"
                " (select count(*) from market_prices) + (select count(*) from market_now)"
                " + (select count(*) from market_stays)"
            ).fetchone() or (0, 0, 0)
        overview, family, csv, page_bytes = _asked(place)
    finally:
        server.drop(place.name)
    return Prices(
        ads=ads, prices=prices, months=state.months, families=state.families, rows=rows, first=first, night=night,
        memory_mb=max(memory, more), overview=overview, family=family, csv=csv, page_bytes=page_bytes,
    )  # fmt: skip


def _refreshed(connection: Connection[Any]) -> tuple[float, float]:
    """Compute the figures; return the seconds, and the most MB that the server's process had of its own."""
    (pid,) = connection.execute("select pg_backend_pid()").fetchone() or (0,)
    process, most, ended = psutil.Process(pid), [0.0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.1):
            memory = process.memory_info()
            most[0] = max(most[0], (memory.rss - memory.shared) / 1e6)

    thread = threading.Thread(target=watch)
    thread.start()
    began = time.monotonic()
    try:
        done = figures.refresh(connection)
    finally:
        ended.set()
        thread.join()
    seconds = time.monotonic() - began
    say(f"prices: {len(done.months)} months, {done.rows:,} rows in {seconds:.1f} s")
    return seconds, most[0]


def _asked(place: Place) -> tuple[list[float], list[float], float, int]:
    """Serve the database; return the seconds of overviews and families, those of the CSV, and the largest page."""
    with database.connect(place.settings, application="bench", autocommit=True) as connection:
        rows = connection.execute(
            "select family from market_now where split = '' and family <> '' order by ads desc"
        ).fetchall()
        makes = connection.execute("select make from market_now where family = '' and make <> ''").fetchall()
    dice = random.Random(1)
    names = [name for (name,) in rows]
    chosen = names[:50] + dice.sample(names, min(100, len(names)))  # the largest, and any
    families = [f"/market/{quote(name)}" for name in chosen]
    overviews = [f"/market?{urlencode({'sort': sort, 'make': make})}" for sort in SORTS for (make,) in makes[:10]]
    overviews += [f"/market?{urlencode({'sort': sort, 'page': page})}" for sort in SORTS for page in (1, 2, 5)]
    with serving(place) as (browser, _):
        for path in (*families[:20], *overviews[:20]):
            browser.get(path)
        of_market, of_family = (asked(browser, paths) for paths in (overviews, families))
        csv, _ = browser.get("/market.csv")
    return of_market[0], of_family[0], csv, max(*of_market[1], *of_family[1])


def table(measured: Prices | None) -> str:
    """Return a Markdown table, nothing if nothing was measured."""
    if measured is None:
        return ""
    rows = f"{measured.ads:,} ads with {measured.prices:,} prices, {measured.months} months of"
    took = f"Computed for the first time in {measured.first:.1f} s, in a night in {measured.night:.1f} s"
    lines = [
        f"{rows} {measured.families:,} families, {measured.rows:,} rows.",
        f"{took}: {measured.memory_mb:.0f} MB of the server's process.",
        "",
        "| what | p50 | p95 | worst |",
        "|---|---:|---:|---:|",
    ]
    lines += [
        f"| {name} | {in_ms(seconds, 0.5)} | {in_ms(seconds, 0.95)} | {in_ms(seconds, 1)} |"
        for name, seconds in (("the market", measured.overview), ("a family", measured.family))
    ]
    lines += ["", f"The CSV took {measured.csv:.2f} s; the largest page has {measured.page_bytes / 1000:.0f} KB."]
    return "\n".join(lines)


def missed(measured: Prices | None) -> list[str]:
    """Return the goals that were missed."""
    if measured is None:
        return []
    found = (
        ("the market, p95", quantile(measured.overview, 0.95), MOST_PAGE, "s"),
        ("a family, p95", quantile(measured.family, 0.95), MOST_PAGE, "s"),
        ("a night's figures", measured.night, MOST_NIGHT, "s"),
        ("a page of the market", measured.page_bytes / 1000, MOST_PAGE_KB, "KB"),
    )
    return [
        f"{name}: {value:.3g} {unit}, more than {most:g} {unit}" for name, value, most, unit in found if value > most
    ]
