"""What the board costs to read: random filters, pages of ads and the CSV, among a million ads of which 129,000 are
advertised; and what the site takes for them while a feed file loads.

The ads that are advertised go through the stages as in real life. The others are copies of them that are gone: seven of
each, over a year.
"""

from __future__ import annotations

import random
import statistics
import time
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, LiteralString
from urllib.parse import urlencode

from psycopg.sql import SQL

from bench import deals, files, site
from bench.pairs import say
from bench.server import BenchFailed, Place, Server
from deals.queue import runner
from deals.stages.registry import STAGES
from standin.market.real import FOLLOWED
from vinops.board import reads
from vinops.board.sorts import SORTS
from vinops.board.writer import where
from vinops.db import database
from vinops.filters import Filter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from psycopg import Connection

    from bench.site import Pages
    from vinops.board.records import Facets

WORST: Final = 0.5  # seconds
MOST_P95: Final = 0.2
MOST_AD_P95: Final = 0.1
MOST_PAGE_P95: Final = 0.1  # of the site, while a feed file loads
MOST_PAGE_KB: Final = 150
CSV_SECONDS: Final = 20.0
CSV_MB: Final = 64.0
COPIES: Final = 7
WORDS: Final = ("климатик", "navi", "панорама", "кожа", "гаранция", "лизинг", "внос", "сервиз", "удари", "ръжда", "xyz")

GONE: Final[tuple[LiteralString, ...]] = (
    "set session_replication_role = replica",
    """create temporary table copies as
    select ads.id, nextval(pg_get_serial_sequence('listings', 'id')) as new_id, n,
        now() - 60 * n * interval '1 day' * random() as removed_at
    from listings as ads, generate_series(1, %(copies)s) as n where ads.removed_at is null""",
    "create index on copies (id)",
    "analyze copies",
    """insert into listings (id, source, ad_id, make_slug, url, title, make_text, model_text, price, currency,
        price_eur, vat, year, month, mileage_km, fuel, gearbox, body, power_hp, engine_cc, colour, euro_class, region,
        place, seller_kind, description, equipment, photo_urls, posted_at, first_seen, last_seen, removed_at, list_hash)
    overriding system value
    select c.new_id, source, ad_id || '-' || n, make_slug, url, title, make_text, model_text, price, currency,
        price_eur, vat, year, month, mileage_km, fuel, gearbox, body, power_hp, engine_cc, colour, euro_class, region,
        place, seller_kind, description, equipment, photo_urls, c.removed_at - interval '40 days',
        c.removed_at - interval '40 days', c.removed_at, c.removed_at, list_hash
    from listings as ads inner join copies as c on ads.id = c.id""",
    """insert into listing_prices select c.new_id, price_eur, c.removed_at - interval '40 days'
    from listing_prices as p inner join copies as c on p.listing_id = c.id""",
    """insert into normalized_listings (listing_id, make, model, family, fuel, gearbox, body, colour, region, year,
        month, mileage_km, power_hp, engine_cc, price_eur, price_problem, risk, risks, is_comparable)
    select c.new_id, make, model, family, fuel, gearbox, body, colour, region, year, month, mileage_km, power_hp,
        engine_cc, price_eur, price_problem, risk, risks, is_comparable and c.removed_at > now() - interval '45 days'
    from normalized_listings as n inner join copies as c on n.listing_id = c.id""",
    """insert into valuations select c.new_id, p10, p50, p90, comparables, confidence, method, model_version, details,
        valued_at from valuations as v inner join copies as c on v.listing_id = c.id""",
    """insert into scores select c.new_id, score, parts, reasons, false, scored_at
    from scores as s inner join copies as c on s.listing_id = c.id""",
    """insert into listing_words select c.new_id, words from listing_words as w inner join copies as c
    on w.listing_id = c.id where c.removed_at > now() - interval '60 days'""",
    """update listings set first_seen = now() - 60 * random() * random() * interval '1 day',
        photo_urls = array['https://cdn.example/1.jpg', 'https://cdn.example/2.jpg'] where removed_at is null""",
    "drop table copies",
    "set session_replication_role = origin",
)


@dataclass(frozen=True, kw_only=True)
class Size:
    """How many ads are advertised, how many random filters and ads are tried, and the lots of the feed file."""

    active: int
    filters: int
    ads: int
    lots: int


FULL: Final = Size(active=FOLLOWED, filters=1_000, ads=300, lots=150_000)
QUICK: Final = Size(active=2_000, filters=100, ads=30, lots=40_000)


@dataclass(frozen=True, kw_only=True)
class Board:
    """What was measured, in seconds; `slowest` are the worst filters, `scans` the large tables that a page reads as a
    whole."""

    size: Size
    rows: tuple[int, int]
    table_mb: float
    pages: Sequence[float]
    counts: Sequence[float]
    ads: Sequence[float]
    facets: float
    rebuild: float
    slowest: Sequence[tuple[float, str]]
    site: Pages | None = None
    scans: Sequence[str] = field(default=())


def measure(server: Server, size: Size, folder: Path) -> Board:
    """Fill a database, ask it, and serve it; the feed file is made in a folder. Raises BenchFailed."""
    place = server.make("board", "migrated")
    try:
        feeds = files.make(folder, size.lots, site.LOADS)
        with site.ingest(place, feeds["first"]) as load:
            pass
        if load.returncode:
            raise BenchFailed(f"{feeds['first'].path.name} was not loaded: exit code {load.returncode}")
        fill(place, size)
        measured = ask(place, size)
        return replace(measured, site=site.measure(place, feeds, *addresses(place, size)))
    finally:
        server.drop(place.name)


def fill(place: Place, size: Size) -> None:
    """Put so many ads into a database, and seven times as many that are gone."""
    place.data_dir.mkdir(parents=True, exist_ok=True)
    with database.connect(place.settings, application="bench", autocommit=True) as connection:
        say(f"board: {size.active:,} ads")
        deals.queue(connection, deals.insert(connection, deals.drawn(size.active)))
        connection.execute("vacuum analyze")
        for stage in STAGES:
            began = time.monotonic()
            runner.drain(connection, place.settings, stage)
            say(f"board: {stage} took {time.monotonic() - began:.0f} s")
            connection.execute("vacuum analyze")
        for statement in GONE:
            say(f"board: {' '.join(statement.split())[:70]}")
            connection.execute(statement, {"copies": COPIES} if "%(" in statement else None)
        rebuild(connection)
        connection.execute("vacuum (analyze)")


def rebuild(connection: Connection[Any]) -> float:
    """Rebuild the board; return the seconds that it took."""
    began = time.monotonic()
    with connection.transaction():
        for name in ("lock_board", "rebuild_board", "remove_from_board"):
            connection.execute(database.queries("board")[name])
    return time.monotonic() - began


def ask(place: Place, size: Size) -> Board:
    """Ask for pages, counts, ads and the CSV."""
    dice = random.Random(1)
    pages, counts, ads = list[float](), list[float](), list[float]()
    slowest = list[tuple[float, str]]()
    scans: set[str] = set()
    with database.connect(place.settings, application="bench", autocommit=True) as connection:
        rebuilt = rebuild(connection)
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
            if len(ads) < size.ads and page.cards:
                listing_id = dice.choice(page.cards).listing_id
                began = time.monotonic()
                reads.ad(connection, listing_id)
                ads.append(time.monotonic() - began)
        active, gone, table_mb = connection.execute(
            "select (select count(*) from board_active), (select count(*) from board_gone),"
            " pg_table_size('board_active') / 1e6"
        ).fetchone() or (0, 0, 0)
    return Board(
        size=size, rows=(active, gone), table_mb=float(table_mb), pages=pages, counts=counts, ads=ads,
        facets=took_facets, rebuild=rebuilt,
        slowest=sorted(slowest, reverse=True)[:10], scans=sorted(scans),
    )  # fmt: skip


def addresses(place: Place, size: Size) -> tuple[list[str], list[str]]:
    """Return addresses of the site: boards of random filters, half of them the first page of all, and ads of them."""
    dice = random.Random(2)
    boards, ads = [], list[str]()
    with database.connect(place.settings, application="bench", autocommit=True) as connection:
        facets = reads.facets(connection)
        for _ in range(size.ads):
            wanted = drawn(dice, facets)
            page, _problems = reads.page(connection, wanted)
            boards += ["/", f"/?{urlencode(wanted.to_params())}"]
            ads += [f"/ads/{dice.choice(page.cards).listing_id}"] if page.cards else []
    return boards, ads


RANGES: Final = {"year": (1995, 2026), "km": (0, 300_000), "power": (60, 400), "price": (500, 60_000)}
OTHERS: Final[Mapping[str, Callable[[random.Random], Any]]] = {
    "min_score": lambda dice: Decimal(dice.randint(10, 95)) / 10,
    "below_market": lambda dice: Decimal(dice.randint(0, 50)),
    "new_since": lambda dice: timedelta(hours=dice.choice((1, 24, 72, 24 * 30))),
    "gone": lambda dice: dice.choice(("also", "only")),
    "words": lambda dice: tuple(sorted(set(dice.choices(WORDS, k=dice.choice((1, 1, 2)))))),
    "words_not": lambda dice: tuple(sorted(set(dice.choices(WORDS, k=dice.choice((1, 2)))))),
}


def drawn(dice: random.Random, facets: Facets) -> Filter:
    """Return a random filter: each field in one of four or five cases, with frequent and with rare values."""
    fields: dict[str, Any] = {name: draw(dice) for name, draw in OTHERS.items() if dice.random() < 0.2}
    for name, found in facets.items():
        if dice.random() < 0.25:
            weights = [facet.ads for facet in found] if dice.random() < 0.5 else None
            count = dice.choice((1, 1, 2, 4))
            fields[name] = tuple(sorted({facet.value for facet in dice.choices(found, weights, k=count)}))
    for name, (low, high) in RANGES.items():
        for end in ("from", "to"):
            if dice.random() < 0.2:
                value = dice.randint(low, high)
                fields[f"{name}_{end}"] = Decimal(value) if name == "price" else value
    return Filter(**fields)


def _scans(connection: Connection[Any], wanted: Filter, sort: str) -> set[str]:
    """Return the large tables that the plan of a page reads as a whole."""
    condition, values = where(wanted)
    order = SORTS[sort]
    statement = SQL("explain (format json) select {}, listing_id from board where {} order by {} limit 26").format(
        order.by, condition, order.order
    )
    row = connection.execute(statement, values, prepare=False).fetchone()
    found: set[str] = set()
    nodes = [row[0][0]["Plan"]] if row else []
    while nodes:
        node = nodes.pop()
        nodes += node.get("Plans", ())
        if node["Node Type"] == "Seq Scan" and not node["Relation Name"].startswith("board"):
            found.add(node["Relation Name"])
    return found


def ms(seconds: Sequence[float], share: float) -> str:
    """Return a quantile of some seconds as milliseconds."""
    return f"{1000 * quantile(seconds, share):.0f} ms"


def quantile(seconds: Sequence[float], share: float) -> float:
    """Return a quantile of some seconds; 1 is the largest."""
    if share == 1 or len(seconds) < 2:
        return max(seconds, default=0.0)
    return statistics.quantiles(seconds, n=100)[round(100 * share) - 1]


def table(measured: Board | None) -> str:
    """Return a Markdown table, nothing if nothing was measured."""
    if measured is None:
        return ""
    active, gone = measured.rows
    ads, filters = (COPIES + 1) * measured.size.active, measured.size.filters
    rows = f"{active:,} rows of ads that are advertised ({measured.table_mb:.0f} MB), {gone:,} of ads that are gone"
    others = f"Facets {1000 * measured.facets:.0f} ms, rebuild {measured.rebuild:.1f} s"
    lines = [
        f"{rows}, of {ads:,} ads; {filters:,} random filters:",
        "",
        "| what | p50 | p95 | worst |",
        "|---|---:|---:|---:|",
    ]
    lines += [
        f"| {name} | {ms(seconds, 0.5)} | {ms(seconds, 0.95)} | {ms(seconds, 1)} |"
        for name, seconds in (("page", measured.pages), ("count", measured.counts), ("ad", measured.ads))
    ]
    pages = measured.site
    if pages is not None:
        lines += [
            f"| {name} | {ms(seconds, 0.5)} | {ms(seconds, 0.95)} | {ms(seconds, 1)} |"
            for name, seconds in (
                ("the site: board", pages.board),
                ("the site: ad", pages.ad),
                ("the site: board, a feed file loads", pages.board_loading),
                ("the site: ad, a feed file loads", pages.ad_loading),
            )
        ]
        others += (
            f"; CSV of {pages.csv_rows:,} rows in {pages.csv_seconds:.1f} s, for which the site grew by"
            f" {pages.csv_mb:.0f} MB; the largest board has {pages.page_bytes / 1000:.0f} KB"
        )
    lines += ["", f"{others}."]
    return "\n".join(lines)


def missed(measured: Board | None) -> list[str]:
    """Return the goals that were missed."""
    if measured is None:
        return []
    figures = [
        ("page, p95", quantile(measured.pages, 0.95), MOST_P95, "s"),
        ("page, worst", quantile(measured.pages, 1), WORST, "s"),
        ("count, p95", quantile(measured.counts, 0.95), MOST_P95, "s"),
        ("count, worst", quantile(measured.counts, 1), WORST, "s"),
        ("ad, p95", quantile(measured.ads, 0.95), MOST_AD_P95, "s"),
    ]
    if (pages := measured.site) is not None:
        figures += [
            ("the site, board, p95", quantile(pages.board_loading, 0.95), MOST_PAGE_P95, "s"),
            ("the site, ad, p95", quantile(pages.ad_loading, 0.95), MOST_PAGE_P95, "s"),
            ("the site, CSV", pages.csv_seconds, CSV_SECONDS, "s"),
            ("the site, memory of the CSV", pages.csv_mb, CSV_MB, "MB"),
            ("a board of the site", pages.page_bytes / 1000, MOST_PAGE_KB, "KB"),
        ]
    found = [
        f"{name}: {value:.3g} {unit}, more than {most:g} {unit}" for name, value, most, unit in figures if value > most
    ]
    scans = measured.scans if measured.size == FULL else ()  # all of a few rows is what a plan should read
    return found + [f"a page reads all of {name}" for name in scans]
