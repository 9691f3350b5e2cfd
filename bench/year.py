"""What operators ask beside a year of history, and beside half of it: `python -m bench --year`.

What is judged is the processor time of the command and of the server: on an idle machine it is the time that passes.
Other work makes it longer, never shorter, so the least of several runs counts, after one that warms the cache.
Statements that write are rolled back.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, LiteralString

import psutil
import psycopg

from bench import year_data
from bench.pairs import say
from bench.processes import run, used, used_by_all
from bench.report import reached, table
from bench.server import BenchFailed
from ops.workers import registry
from vinops.db import session
from vinops.db.database import queries
from vinops_scrapy.copart.leases import ENLISTED_AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bench.server import Place, Server
    from bench.year_data import Year
    from vinops.config import Settings

MOST_SECONDS: Final = 1.0
MOST_HOURS: Final = 12  # of rows that were kept
CALM: Final = {"autovacuum": "off"}  # its processes would count as the server's part of a command
MOST_GROWTH: Final = 1.2  # of a whole year to half of one
NOISE: Final = 0.1  # processor seconds: a smaller difference tells nothing
FILTERS: Final = ("make", "family", "max_price", "from_year", "to_year")  # of `vinops deals top`: none is set
SNAPSHOT: Final = (
    *("activity", "host_budgets", "open_alerts", "feed", "photo_states", "photo_pace", "posts", "sizes"),
    *("unknown_rate", "parse_errors", "wanted", "market_cycle"),
)

ROWS_OF_ALL_TIME: Final = "all rows"
"""Marks a question whose answer is a count of all rows, however old: PostgreSQL reads as many index entries. It is
within the limit of seconds, and grows with the history; retention bounds it."""

OPERATORS: Final[tuple[tuple[str, str, str], ...]] = (
    ("v_ingest_count", "", "SELECT * FROM audit.v_ingest_count ORDER BY last_ingest DESC LIMIT 10"),
    ("v_unknown_rate", "", "SELECT * FROM audit.v_unknown_rate"),
    ("v_column_coverage", "", "SELECT * FROM audit.v_column_coverage"),
    ("v_parse_errors", "", "SELECT * FROM audit.v_parse_errors"),
    ("v_all_parse_errors", "", "SELECT * FROM audit.v_all_parse_errors"),
    ("v_photo_coverage", "", "SELECT * FROM audit.v_photo_coverage"),
    ("v_market", "", "SELECT * FROM audit.v_market"),
    ("newest staged row", "", "SELECT MAX(ingested_at), COUNT(*) FROM staging.copart_raw"),
    ("lots with photos", ROWS_OF_ALL_TIME, "SELECT COUNT(DISTINCT lot_id) FROM images WHERE lot_id IS NOT NULL"),
    ("photos in all", ROWS_OF_ALL_TIME, "SELECT COUNT(*) FROM images"),
    (
        "photos by lot, top 20",
        ROWS_OF_ALL_TIME,
        "SELECT lot_id, COUNT(*) FROM images GROUP BY lot_id ORDER BY COUNT(*) DESC LIMIT 20",
    ),
    (
        "lots without photos",
        ROWS_OF_ALL_TIME,
        """SELECT COUNT(*) FROM lots
        WHERE status='active' AND id NOT IN (SELECT DISTINCT lot_id FROM images WHERE lot_id IS NOT NULL)""",
    ),
    ("newest photos", "", "SELECT vin, lot_id, seq, bytes, created_at FROM images ORDER BY created_at DESC LIMIT 20"),
    ("active lots", "", "SELECT COUNT(*) FROM lots WHERE status='active'"),
    (
        "the lots that left last",
        "",
        "SELECT lot_external_id, vin, gone_at FROM lots WHERE status = 'gone' ORDER BY gone_at DESC LIMIT 20",
    ),
    (
        "the lots of a VIN",
        "",
        "SELECT lots.* FROM lots JOIN vehicles ON vehicles.id = vehicle_id WHERE vehicles.vin = '1FTFW000000001000'",
    ),
    ("a lot by its id", "", "SELECT id, vin, lot_external_id FROM lots WHERE id = 2999000"),
    ("a gone lot by its number", "", "SELECT * FROM lots WHERE lot_external_id = 41000000"),
    ("the events of a gone lot", "", "SELECT * FROM audit.lot_events WHERE lot_id = 2000000"),
)
"""Their name, whether the answer counts all rows, and the text."""


NOT_ENLISTED: Final = "delete from lot_photos where turn_at is not null"


@dataclass(frozen=True, kw_only=True)
class Question:
    """A statement with its parameters."""

    title: str
    text: str
    values: Mapping[str, Any]
    grows: bool = False
    before: LiteralString = ""  # a statement to execute before it that is not measured


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The processor seconds of a question beside half a year and beside a year, of both those of the server,
    and whether it may grow."""

    title: str
    kind: str
    half: float
    whole: float
    half_of_server: float
    whole_of_server: float
    grows: bool = False

    @property
    def is_reached(self) -> bool:
        """Whether both targets are."""
        growth = self.whole_of_server - self.half_of_server
        is_flat = self.grows or self.whole_of_server <= MOST_GROWTH * self.half_of_server or growth < NOISE
        return self.whole <= MOST_SECONDS and is_flat


@dataclass(frozen=True, kw_only=True)
class YearCosts:
    """What was measured: the rows of a year, the bytes of half of it and of all, each cost, and of the largest tables
    of a year the bytes and those of their indexes."""

    year: Year
    half_bytes: int
    whole_bytes: int
    costs: tuple[Cost, ...]
    sizes: tuple[tuple[str, int, int], ...]


def measure(server: Server, *, quick: bool, runs: int) -> YearCosts:
    """Fill a database with half a year and a copy of it with the other half, each unless it was kept, and measure
    beside both. Raises BenchFailed, ProcessFailed."""
    year = year_data.QUICK if quick else year_data.FULL
    _check_disk(server, year)
    with server.settings(CALM):
        half = _filled(server, "year_half", "migrated", year, year_data.fill_newest)
        beside_half = seconds(half, year, runs)
        whole = _filled(server, "year", "year_half", year, year_data.add_oldest)
        beside_whole = seconds(whole, year, runs)
    costs = tuple(
        Cost(
            title=title,
            kind=kind,
            grows=grows,
            half=sum(beside_half[kind, title, grows]),
            whole=sum(found),
            half_of_server=beside_half[kind, title, grows][1],
            whole_of_server=found[1],
        )
        for (kind, title, grows), found in beside_whole.items()
    )
    return YearCosts(
        year=year,
        half_bytes=_bytes(server, half),
        whole_bytes=_bytes(server, whole),
        costs=costs,
        sizes=_sizes(whole),
    )


def _check_disk(server: Server, year: Year) -> None:
    (kept,) = server.query(
        "postgres",
        "select coalesce(sum(pg_database_size(oid)), 0) from pg_database where datname in ('year', 'year_half')",
    )
    free = shutil.disk_usage(server.folder).free + int(kept)
    if free < year.disk_bytes:
        raise BenchFailed(
            f"{server.folder} has {free / 1e9:.0f} GB free, a year needs {year.disk_bytes / 1e9:.0f}: make room, "
            "or set VINOPS_DATA_DIR to a folder on another disk"
        )


def _filled(server: Server, name: str, template: str, year: Year, fill: Callable[[str, Year], None]) -> Place:
    """Return the database of that name if one was kept that is as it would be filled now, else fill one. It gets its
    comment last: one that is not complete is not used."""
    place, about = server.place(name), year_data.fingerprint(year)
    if is_usable(server.comment(name), about, time.time()):
        say(f"year: {name} was kept")
        return place
    began = _began(server.comment(template), time.time())
    with server.settings(year_data.LOADING):
        server.make(name, template)
        fill(place.url, year)
    os.sync()  # the server did not wait for the disk
    server.set_comment(name, f"{began:.0f} {about}")
    return place


def is_usable(comment: str | None, about: str, now: float) -> bool:
    """Tell by its comment whether a database has these rows, of the last hours: their times count back from when they
    were made."""
    if not comment:
        return False
    return comment.partition(" ")[2] == about and now - _began(comment, now) < MOST_HOURS * 3600


def _began(comment: str | None, otherwise: float) -> float:
    return float(comment.partition(" ")[0]) if comment else otherwise


def seconds(place: Place, year: Year, runs: int) -> dict[tuple[str, str, bool], tuple[float, float]]:
    """Return the processor seconds of everything that is asked: of the command, and of the server."""
    found = {}
    with psycopg.connect(place.url, context=session.adapters()) as connection:
        connection.execute("set max_parallel_workers_per_gather to 0")
        connection.commit()
        server = psutil.Process(connection.info.backend_pid).parent()
        assert server is not None  # the postmaster
        say(f"year: statements beside {place.name}")
        for each in questions(place.settings, year):
            found["statement", each.title, each.grows] = (0.0, _statement(connection, each, runs))
        year_data.settle(place.url)  # what was rolled back left dead rows
        say(f"year: commands beside {place.name}")
        for title, arguments in commands(year).items():
            found["command", title, False] = _command(place, arguments, server, runs)
    return found


def commands(year: Year) -> dict[str, tuple[str, ...]]:
    """Return what an operator types. `status`, `health` and `monitor` also wait for one to three seconds, over which
    they measure the processor."""
    of_vinops: tuple[tuple[str, ...], ...] = (
        ("status",),
        ("health",),
        ("monitor", "--once"),
        ("metrics", "--once"),
        ("forecast",),
        ("doctor",),
        ("deals", "top"),
        ("deals", "show", str(year.ads)),
        ("deals", "unknowns"),
        ("deals", "dead"),
        ("landed", "top"),
        ("landed", "show", str(40_000_000 + year.lots)),
        ("landed", "funnel"),
        ("landed", "evaluate"),
        ("landed", "dead"),
        ("watch", "list"),
        ("users", "list"),
        ("watch", "list"),
        ("photos", "status"),
        ("workers", "status"),
        ("celery", "status"),
        ("retention", "--dry-run"),
    )
    view = "SELECT * FROM audit.v_unknown_rate"
    return {
        "python -m etl status": ("-m", "etl", "status"),
        **{f"vinops {' '.join(words)}": ("-m", "ops.cli", *words) for words in of_vinops},
        f'vinops sql "{view}"': ("-m", "ops.cli", "sql", view),
    }


def questions(settings: Settings, year: Year) -> Iterator[Question]:
    """Yield the statements that operators type and those that commands and crawls send."""
    for title, kind, text in OPERATORS:
        yield Question(title=title, text=text, values={}, grows=kind == ROWS_OF_ALL_TIME)
    now = datetime.now(UTC)
    counts = {each.spider: 1 if each.is_shared else 200 for each in registry.workers(settings)}
    market = {
        "source": "mobile.bg",
        "make": year_data.MAKES[0],
        "makes": list(year_data.MAKES),
        "walk": 0,
        "pieces": [0] * 20,
        "hours": 48,
        "reason": None,
        "ad_ids": [str(year.ads - n) for n in range(20)],
    }
    named: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
        *(("snapshot", name, {}) for name in SNAPSHOT),
        ("snapshot", "latest_runs", {"spiders": list(counts), "counts": list(counts.values())}),
        ("snapshot", "best_deals", {"count": 10}),
        ("snapshot", "last_task", {"machine": "here"}),
        ("snapshot", "market_makes", market),
        *(("forecast", name, {}) for name in queries("forecast")),
        *(("feed", f"status_{name}", {}) for name in ("runs", "files", "lots", "archive", "unknown", "errors")),
        *(("feed", name, {"latest": now}) for name in ("newest_file", "run_days", "removed_files", "last_load")),
        *(("retention", f"newest_{name}", {"latest": now}) for name in ("staging", "etl_runs", "crawl_runs", "gone")),
        ("retention", "run_days", {}),
        ("photo_stores", "counts", {"most": 500_000}),
        ("photo_stores", "newest_store", {}),
        ("photo_stores", "next_elsewhere", {"store": "folder", "after": 0, "count": 500}),
        ("photos", "enlist_lots", {"count": ENLISTED_AT_ONCE}),
        ("photos", "count_due_lots", {}),
        ("photos", "queue_lots", {}),
        ("photos", "unqueue_lots", {}),
        ("photos", "lease_due_lots", {"count": 4, "owner": "bench", "seconds": 600, "list_seconds": 259_200}),
        ("photos", "lease_kept_lots", {"count": 1, "owner": "bench", "seconds": 600, "list_seconds": 259_200}),
        (
            "photos",
            "lease_named_lots",
            {"lots": [40_000_000 + year.lots], "vins": ["1FTFW000000000012"], "owner": "bench", "seconds": 600},
        ),
        ("photos", "known_photos", {"lot_id": year.lots, "vin": f"1FTFW{year.lots:012}", "store": "folder"}),
        ("listings", "walks_by_age", market),
        ("listings", "begin_walk", {**market, "make": "make-new", "owner": "bench", "seconds": 60}),
        ("listings", "abandon_walks", market),
        ("listings", "continue_walk", {**market, "owner": "bench", "seconds": 60}),
        ("listings", "known_parts", market),
        ("listings", "seen_by_walk", market),
        ("listings", "claim_expires", market),
        ("listings", "last_complete_walk", market),
        ("listings", "count_unseen", {**market, "started_at": "now"}),
        ("listings", "known_listings", market),
        ("listings", "see_listings", {**market, "hashes": [b""] * 20}),
        ("listings", "fill_rates", market),
        ("listings", "doubtful_ads", {**market, "started_at": "now", "most": 20}),
        ("cycle", "newest_due_in", {**market, "every": 60}),
        ("cycle", "walk_ages", market),
        ("cycle", "claim_recheck", {**market, "posted": 3600, "approved": 10_800, "high": 21_600, "min_score": 7}),
        (
            "deals",
            "take_work",
            {"stage": "price", "attempts": 0, "listing_ids": None, "count": 500, "seconds": 120},
        ),
        ("deals", "announce_work", {"stage": "price", "count": 500, "seconds": 60}),
        ("deals", "give_up_work", {"most_attempts": 5}),
        ("deals", "is_crowded", {"stage": "price", "count": 1000}),
        ("deals", "backlog", {"stages": ["normalize", "price", "score", "match"]}),
        ("deals", "dead_work", {"count": 20}),
        *(("notifications", name, {"now": None}) for name in ("next_deal", "next_change", "waiting")),
        ("notifications", "posted_lately", {"now": None, "is_dry_run": False}),
        ("notifications", "is_due", {"seconds": 60}),
        ("scoring", "top_deals", {"limit": 10, **dict.fromkeys(FILTERS)}),
        ("scoring", "deal", {"id": str(year.ads)}),
        ("normalize", "unknown_words", {"count": 20}),
        ("normalize", "unknown_rate", {}),
    )
    for file, name, values in named:
        yield Question(title=f"{file}: {name}", text=queries(file)[name], values=values)
    yield Question(
        title="photos: enlist_lots, of a first load",
        text=queries("photos")["enlist_lots"],
        values={"count": ENLISTED_AT_ONCE},
        before=NOT_ENLISTED,
    )


def _statement(connection: psycopg.Connection[Any], question: Question, runs: int) -> float:
    backend, found = psutil.Process(connection.info.backend_pid), []
    for _ in range(runs + 1):
        if question.before:
            connection.execute(question.before)
        began = used(backend)
        cursor = connection.execute(question.text.encode(), question.values or None)
        if cursor.description:
            cursor.fetchall()
        found.append(used(backend) - began)
        connection.rollback()
    return min(found[1:])


def _command(place: Place, arguments: tuple[str, ...], server: psutil.Process, runs: int) -> tuple[float, float]:
    """Return the seconds of a command as it is installed, compiled, and of the server meanwhile. Its exit code says how
    the machine is, and is not judged. Raises BenchFailed if it did not do its work, ProcessFailed."""
    found = []
    for _ in range(runs + 1):
        began = used_by_all(server)
        command = ["sh", "-c", 'timeout 300 "$@" 2>&1 || [ $? -lt 124 ]', "sh", sys.executable, *arguments]
        finished = run(command, {**place.environ, "PYTHONDONTWRITEBYTECODE": ""})
        if not finished.output or any(word in finished.output for word in ("Traceback", "Usage: ")):
            raise BenchFailed(f"`{' '.join(arguments)}` did not do its work: {finished.output[-1000:]}")
        found.append((finished.cpu_seconds, used_by_all(server) - began))
    return min(found[1:], key=sum)


def _bytes(server: Server, place: Place) -> int:
    return int(server.query(place.name, "select pg_database_size(current_database())")[0])


def _sizes(place: Place) -> tuple[tuple[str, int, int], ...]:
    with psycopg.connect(place.url) as connection:
        rows = connection.execute(
            """
            select oid::regclass::text, pg_total_relation_size(oid), pg_indexes_size(oid)
            from pg_class
            where relkind = 'r'
            order by pg_total_relation_size(oid) desc
            limit 12
            """
        )
        return tuple(rows.fetchall())


def tables(measured: YearCosts | None) -> str:
    """Return Markdown tables, nothing if nothing was measured."""
    if measured is None:
        return ""
    year = measured.year
    about = (
        f"Beside {year.lots:,} lots ({year.active:,} active), {3 * year.lots:,} events, {year.photos:,} photos and "
        f"{year.ads:,} ads, {measured.whole_bytes / 1e9:.1f} GB; beside the newest half of it "
        f"{measured.half_bytes / 1e9:.1f} GB, with as many active. Seconds of the processor:"
    )
    rows = [
        (
            each.title,
            each.kind,
            f"{each.half:.2f}",
            f"{each.whole:.2f}",
            f"{each.half_of_server:.2f}",
            f"{each.whole_of_server:.2f}",
            _ratio(each) + " (counts all rows)" * each.grows,
            reached(each.is_reached),
        )
        for each in sorted(measured.costs, key=lambda cost: (cost.kind, -cost.whole))
    ]
    header = ("", "as", "half a year", "a year", "half, server", "year, server", "ratio", "reached")
    sizes = [(name, f"{size / 1e9:.2f} GB", f"{indexes / 1e9:.2f} GB") for name, size, indexes in measured.sizes]
    return f"{about}\n\n{table(header, rows)}\n\n{table(('table', 'a year', 'of it indexes'), sizes)}"


def _ratio(cost: Cost) -> str:
    """Return the ratio of the server's seconds; of less than a hundredth it tells nothing."""
    return f"{cost.whole_of_server / cost.half_of_server:.2f}" if cost.half_of_server >= 0.01 else ""


def missed(measured: YearCosts | None) -> list[str]:
    """Return the targets that were not reached."""
    return [
        f"{each.title}: {each.whole:.2f} s, {each.half:.2f} s beside half"
        for each in (measured.costs if measured else ())
        if not each.is_reached
    ]
