"""What lots cost to read: random filters, pages of lots, facets and the CSV, among three million lots of which 150,000
are in the feed, with 2 M photos and 9 M events.

The rows are those of the bench of a year (bench/year_data.py); the lots that are on the board get makes, damages and so
on in the proportions of a feed.
"""

from __future__ import annotations

import random
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, LiteralString

from psycopg.sql import SQL

from bench import lots_site, year_data
from bench.board import in_ms, quantile
from bench.pairs import say
from bench.server import BenchFailed
from etl.merge import board
from vinops.db import database
from vinops.lots import reads
from vinops.lots.filter import DAMAGES, KEYS, RUNS, TITLES, LotFilter
from vinops.lots.sorts import SORTS
from vinops.lots.writer import where

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from bench.lots_site import Pages
    from bench.server import Place, Server
    from bench.year_data import Year
    from vinops.board.records import Facets

WORST: Final = 0.5  # seconds
MOST_P95: Final = 0.2
MOST_LOT_P95: Final = 0.1
CSV_SECONDS: Final = 20.0
STEPS: Final = (("lots",), ("vehicles", "lot_photos", "events", "images"))
LARGE: Final = frozenset({"lots", "images", "lot_events", "vehicles", "lot_photos"})

VARIED: Final[tuple[LiteralString, ...]] = (
    """update vehicles set vin = '1FTFW' || lpad(vehicles.id::text, 12, 'ABCDEFGHJKLM'),
        make = (array['FORD', 'TOYOTA', 'HONDA', 'CHEVROLET', 'BMW', 'AUDI', 'NISSAN', 'JEEP'])[1 + n %% 8],
        model = (array['F150', 'CAMRY', 'CIVIC', 'MALIBU', 'X5', 'A4', 'ALTIMA', 'WRANGLER'])[1 + n %% 8],
        model_group = 'X', fuel = (array['gasoline', 'gasoline', 'gasoline', 'diesel', 'hybrid', null])[1 + n %% 6],
        transmission = case when n %% 20 > 0 then 'automatic' end,
        body_style = (array['SEDAN 4D', '4DR SPOR', 'PICKUP', 'COUPE'])[1 + n %% 4],
        color = (array['white', 'black', 'silver', 'gray', 'blue', 'red', null])[1 + n %% 7], year = 2000 + n %% 26
    from (select id, (hashint8(id) & 2147483647) as n from vehicles where id > %(since)s) as dice
    where vehicles.id = dice.id""",
    """update lots set
        sale_at = case when n %% 10 < 7 then now() + (n %% 700) * interval '1 hour' - interval '3 days' end,
        sale_date = null, high_bid = nullif(n %% 9000, 0) * (n %% 3), damage = (%(damages)s::text[])[1 + n %% 24],
        title_group = (array['clean', 'salvage', 'salvage', 'other'])[1 + n %% 4],
        has_keys = case when n %% 10 < 8 then n %% 10 < 7 end,
        condition = (array['run and drive', 'run and drive', 'starts', null])[1 + n %% 4],
        state = (array['TX', 'CA', 'FL', 'OH', 'GA', 'NY'])[1 + n %% 6],
        yard_name = 'TX - YARD ' || n %% 200, seller_name = case when n %% 3 = 0 then 'SELLER ' || n %% 500 end,
        buy_now_price = case when n %% 7 = 0 then 5000 end
    from (select id, (hashint8(id * 7) & 2147483647) as n from lots where id > %(since)s) as dice
    where lots.id = dice.id""",
    """insert into images (lot_id, vin, seq, variant, source_url, storage_key, content_hash, content_type, width,
        height, bytes)
    select lots.id, lots.vin, k, 'ful', 'https://b.example/' || lots.id || '/' || k, 'b' || lots.id || '/' || k,
        encode(sha256((lots.id || 'b' || k)::bytea), 'hex'), 'image/jpeg', 1600, 1200, 1
    from lots, generate_series(1, 12) as k where lots.status = 'active' and lots.id %% 4 = 0""",
    """update lot_photos set stored = 12 from lots
    where lots.id = lot_photos.lot_id and lots.status = 'active' and lots.id %% 4 = 0""",
)


@dataclass(frozen=True, kw_only=True)
class Size:
    """The rows of the year, and how many random filters and lots are tried."""

    year: Year
    filters: int
    lots: int


FULL: Final = Size(
    year=year_data.Year(lots=3_000_000, active=150_000, photos=2_000_000, ads=10, active_ads=5, staged=0),
    filters=1_000,
    lots=300,
)
QUICK: Final = Size(
    year=year_data.Year(lots=60_000, active=3_000, photos=40_000, ads=10, active_ads=5, staged=0), filters=100, lots=30
)


@dataclass(frozen=True, kw_only=True)
class Lots:
    """What was measured, in seconds; `slowest` are the worst filters, `scans` the large tables that a page reads as a
    whole."""

    size: Size
    rows: tuple[int, int]
    pages: Sequence[float]
    counts: Sequence[float]
    lots: Sequence[float]
    facets: float
    rebuild: float
    csv_rows: int
    csv_seconds: float
    slowest: Sequence[tuple[float, str]]
    scans: Sequence[str]
    site: Pages | None = None


def measure(server: Server, size: Size) -> Lots:
    """Fill a database, ask it, and serve it. Raises BenchFailed."""
    place = server.make("lots", "migrated")
    try:
        measured = ask(place, size, fill(place, size))
        return replace(measured, site=lots_site.measure(place, drawn, size.lots))
    finally:
        server.drop(place.name)


def fill(place: Place, size: Size) -> float:
    """Put the lots of a year into a database; return the seconds that the board's first rebuild took."""
    year = size.year
    with database.connect(place.settings, application="bench", autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        for half in (1, 2):
            about = year_data.about(year, half=half)
            for names in STEPS:
                for name in names:
                    say(f"lots: {name} of half {half}")
                    connection.execute(year_data.HALF[name], about)
        since = year.lots - year.active - year.lots * 60 // 365
        connection.execute("vacuum analyze")
        for statement in VARIED:
            say(f"lots: {' '.join(statement.split())[:60]}")
            connection.execute(statement, {"since": since, "damages": list(DAMAGES)})
        connection.execute("vacuum analyze")
        say("lots: the board")
        began = time.monotonic()
        board.rebuild(connection)
        took = time.monotonic() - began
        connection.execute("vacuum analyze")
    return took


def ask(place: Place, size: Size, rebuilt: float) -> Lots:
    """Ask for pages, counts, lots, facets and the CSV."""
    dice = random.Random(1)
    pages, counts, lots = list[float](), list[float](), list[float]()
    slowest = list[tuple[float, str]]()
    scans: set[str] = set()
    with database.connect(place.settings, application="bench", autocommit=True) as connection:
        began = time.monotonic()
        facets = reads.facets(connection)
        took_facets = time.monotonic() - began
        for number in range(size.filters):
            wanted, sort = drawn(dice, facets), dice.choice(list(SORTS))
            began = time.monotonic()
            page, problems = reads.page(connection, wanted, sort=sort)
            pages.append(time.monotonic() - began)
            slowest.append((pages[-1], f"{sort}: {wanted.to_params()}"))
            if page.next and number % 3 == 0:  # and what is behind it
                began = time.monotonic()
                _, more = reads.page(connection, wanted, sort=sort, after=page.next)
                pages.append(time.monotonic() - began)
                problems += more
            if problems:
                raise BenchFailed(f"{problems[0]}")
            began = time.monotonic()
            reads.count(connection, wanted)
            counts.append(time.monotonic() - began)
            scans |= _scans(connection, wanted, sort)
            if len(lots) < size.lots and page.cards:
                chosen = dice.choice(page.cards).lot_external_id
                began = time.monotonic()
                reads.lot(connection, chosen)
                lots.append(time.monotonic() - began)
        began = time.monotonic()
        csv_rows = sum(1 for _ in reads.export(lambda: nullcontext(connection), LotFilter()))
        csv_seconds = time.monotonic() - began
        active, gone = connection.execute(
            "select (select count(*) from lot_board_active), (select count(*) from lot_board_gone)"
        ).fetchone() or (0, 0)
    return Lots(
        size=size, rows=(active, gone), pages=pages, counts=counts, lots=lots, facets=took_facets, rebuild=rebuilt,
        csv_rows=csv_rows, csv_seconds=csv_seconds, slowest=sorted(slowest, reverse=True)[:10], scans=sorted(scans),
    )  # fmt: skip


FIXED: Final = {"damage": DAMAGES, "title_group": tuple(TITLES), "runs": tuple(RUNS), "keys": tuple(KEYS)}


def drawn(dice: random.Random, facets: Facets) -> LotFilter:
    """Return a random filter: each field in one of four or five cases, with frequent and with rare values."""
    fields: dict[str, Any] = {}
    for name, found in facets.items():
        if found and dice.random() < 0.2:
            weights = [facet.ads for facet in found] if dice.random() < 0.5 else None
            chosen = {facet.value for facet in dice.choices(found, weights, k=dice.choice((1, 1, 2, 4)))}
            fields[name] = tuple(sorted(each.casefold() if name in ("yard", "seller") else each for each in chosen))
    for name, values in FIXED.items():
        if dice.random() < 0.2:
            fields[name] = tuple(sorted(set(dice.choices(values, k=dice.choice((1, 2))))))
    today = datetime.now(UTC).date()
    others: tuple[tuple[str, Any], ...] = (
        ("year_from", dice.randint(1995, 2026)), ("year_to", dice.randint(1995, 2026)),
        ("odometer_to", dice.randint(0, 250_000)), ("bid_to", Decimal(dice.randint(0, 20_000))),
        ("sale_from", today + timedelta(days=dice.randint(-5, 40))),
        ("sale_to", today + timedelta(days=dice.randint(-5, 40))), ("buy_now", dice.choice(("yes", "no"))),
        ("has_photos", dice.choice(("yes", "no"))),
        ("new_since", timedelta(hours=dice.choice((1, 24, 72, 24 * 30)))), ("gone", dice.choice(("also", "only"))),
    )  # fmt: skip
    return LotFilter(**fields, **{name: value for name, value in others if dice.random() < 0.2})


def _scans(connection: Connection[Any], wanted: LotFilter, sort: str) -> set[str]:
    """Return the large tables that the plans of a page and of its cards read as a whole."""
    condition, values = where(wanted)
    order = SORTS[sort]
    statement = SQL("explain (format json) select {}, lot_id from lot_board where {} order by {} limit 26").format(
        order.by, condition, order.order
    )
    cards = SQL("explain (format json) ") + SQL(database.queries("lots")["lot_cards"].rstrip(";"))
    found: set[str] = set()
    for asked, given in ((statement, values), (cards, {"lot_ids": list(range(1, 25))})):
        row = connection.execute(asked, given, prepare=False).fetchone()
        nodes = [row[0][0]["Plan"]] if row else []
        while nodes:
            node = nodes.pop()
            nodes += node.get("Plans", ())
            if node["Node Type"] == "Seq Scan" and node["Relation Name"] in LARGE:
                found.add(node["Relation Name"])
    return found


def table(measured: Lots | None) -> str:
    """Return a Markdown table, nothing if nothing was measured."""
    if measured is None:
        return ""
    active, gone = measured.rows
    lots, filters = measured.size.year.lots, measured.size.filters
    rows = f"{active:,} rows of lots in the feed, {gone:,} of lots that are gone, of {lots:,} lots"
    others = f"Facets {1000 * measured.facets:.0f} ms, rebuild {measured.rebuild:.1f} s"
    csv = f"CSV of {measured.csv_rows:,} rows in {measured.csv_seconds:.1f} s"
    lines = [
        f"{rows}; {filters:,} random filters:",
        "",
        "| what | p50 | p95 | worst |",
        "|---|---:|---:|---:|",
    ]
    lines += [
        f"| {name} | {in_ms(seconds, 0.5)} | {in_ms(seconds, 0.95)} | {in_ms(seconds, 1)} |"
        for name, seconds in (("page", measured.pages), ("count", measured.counts), ("lot", measured.lots))
    ]
    lines += lots_site.rows(measured.site)
    lines += ["", f"{others}; {csv}. {lots_site.summary(measured.site)} The slowest: {measured.slowest[0][1]}"]
    return "\n".join(lines)


def missed(measured: Lots | None) -> list[str]:
    """Return the goals that were missed."""
    if measured is None:
        return []
    figures = (
        ("lots, page, p95", quantile(measured.pages, 0.95), MOST_P95),
        ("lots, page, worst", quantile(measured.pages, 1), WORST),
        ("lots, count, p95", quantile(measured.counts, 0.95), MOST_P95),
        ("lots, count, worst", quantile(measured.counts, 1), WORST),
        ("lot, p95", quantile(measured.lots, 0.95), MOST_LOT_P95),
        ("lots, CSV", measured.csv_seconds, CSV_SECONDS),
    )
    found = [f"{name}: {value:.3g} s, more than {most:g} s" for name, value, most in figures if value > most]
    scans = measured.scans if measured.size.year.lots > QUICK.year.lots else ()  # a few rows are best read as a whole
    found += lots_site.missed(measured.site)
    return found + [f"a page of lots reads all of {name}" for name in scans]
