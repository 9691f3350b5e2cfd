"""What operators ask beside a year of history, and beside half of it: `python -m bench --year`.

What is judged is the processor time of the command and of the server, the median of three runs after one that warms the
cache: on an idle machine it is the time that passes, and other work does not change it. Statements that write are
rolled back.
"""

from __future__ import annotations

import statistics
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, LiteralString

import psutil
import psycopg

from bench import year_data
from bench.processes import run
from bench.report import reached, table
from ops.workers import registry
from vinops.db import session
from vinops.db.database import queries
from vinops_scrapy.copart.leases import ENLISTED_AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bench.server import Place, Server
    from bench.year_data import Year
    from vinops.config import Settings

RUNS: Final = 3
MOST_SECONDS: Final = 1.0
MOST_GROWTH: Final = 1.2  # of a whole year to half of one
NOISE: Final = 0.1  # processor seconds: a smaller difference between two medians tells nothing
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
    """The median processor seconds of a question beside half a year and beside a year, of both those of the server,
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
    """What was measured: the rows of a year, the bytes of half of it and of all, and each cost."""

    year: Year
    half_bytes: int
    whole_bytes: int
    costs: tuple[Cost, ...]


def measure(server: Server, *, quick: bool) -> YearCosts:
    """Fill a database with half a year, measure, add the other half, measure again. Raises BenchFailed,
    ProcessFailed."""
    year = year_data.QUICK if quick else year_data.FULL
    place = server.make("year", "migrated")
    try:
        with _without_autovacuum(server):
            year_data.fill_newest(place.url, year)
            half, half_bytes = seconds(place, year), _bytes(server, place)
            year_data.add_oldest(place.url, year)
            whole, whole_bytes = seconds(place, year), _bytes(server, place)
    finally:
        server.drop(place.name)
    costs = tuple(
        Cost(
            title=title,
            kind=kind,
            grows=grows,
            half=sum(half[kind, title, grows]),
            whole=sum(found),
            half_of_server=half[kind, title, grows][1],
            whole_of_server=found[1],
        )
        for (kind, title, grows), found in whole.items()
    )
    return YearCosts(year=year, half_bytes=half_bytes, whole_bytes=whole_bytes, costs=costs)


@contextmanager
def _without_autovacuum(server: Server) -> Iterator[None]:
    """Keep autovacuum from what is measured: its processes would count as the server's part of a command."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("alter system set autovacuum to off")
        connection.execute("select pg_reload_conf()")
        try:
            yield
        finally:
            connection.execute("alter system reset autovacuum")
            connection.execute("select pg_reload_conf()")


def seconds(place: Place, year: Year) -> dict[tuple[str, str, bool], tuple[float, float]]:
    """Return the median processor seconds of everything that is asked: of the command, and of the server."""
    found = {}
    with psycopg.connect(place.url, context=session.adapters()) as connection:
        connection.execute("set max_parallel_workers_per_gather to 0")
        connection.commit()
        server = psutil.Process(connection.info.backend_pid).parent()
        assert server is not None  # the postmaster
        for each in questions(place.settings, year):
            found["statement", each.title, each.grows] = (0.0, _statement(connection, each))
        for title, arguments in COMMANDS.items():
            found["command", title, False] = _command(place, arguments, server)
    return found


COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "python -m etl status": ("-m", "etl", "status"),
    "vinops status": ("-m", "ops.cli", "status"),
    "vinops health": ("-m", "ops.cli", "health"),
    "vinops monitor --once": ("-m", "ops.cli", "monitor", "--once"),
    "vinops metrics --once": ("-m", "ops.cli", "metrics", "--once"),
    "vinops forecast": ("-m", "ops.cli", "forecast"),
    "vinops doctor": ("-m", "ops.cli", "doctor"),
    "vinops deals top": ("-m", "ops.cli", "deals", "top"),
    "vinops deals unknowns": ("-m", "ops.cli", "deals", "unknowns"),
    "vinops deals dead": ("-m", "ops.cli", "deals", "dead"),
    "vinops workers status": ("-m", "ops.cli", "workers", "status"),
    "vinops sql": ("-m", "ops.cli", "sql", "SELECT * FROM audit.v_unknown_rate"),
}
"""What an operator types. `status`, `health` and `monitor` also wait for one to three seconds, over which they measure
the processor."""


def questions(settings: Settings, year: Year) -> Iterator[Question]:
    """Yield the statements that operators type and those that commands and crawls send."""
    for title, kind, text in OPERATORS:
        yield Question(title=title, text=text, values={}, grows=kind == ROWS_OF_ALL_TIME)
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
        ("photo_stores", "counts", {"most": 500_000}),
        ("photo_stores", "newest_store", {}),
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
        ("deals", "backlog", {"stages": ["normalize", "price", "score"]}),
        ("deals", "dead_work", {"count": 20}),
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


def _statement(connection: psycopg.Connection[Any], question: Question) -> float:
    backend, found = psutil.Process(connection.info.backend_pid), []
    for _ in range(RUNS + 1):
        if question.before:
            connection.execute(question.before)
        began = _used(backend)
        cursor = connection.execute(question.text.encode(), question.values or None)
        if cursor.description:
            cursor.fetchall()
        found.append(_used(backend) - began)
        connection.rollback()
    return statistics.median(found[1:])


def _command(place: Place, arguments: tuple[str, ...], server: psutil.Process) -> tuple[float, float]:
    """Return the seconds of a command as it is installed, compiled, and of the server meanwhile. Its exit code says how
    the machine is, and is not judged."""
    found = []
    for _ in range(RUNS + 1):
        began = _used_by_all(server)
        command = ["sh", "-c", 'timeout 300 "$@" || [ $? -lt 124 ]', "sh", sys.executable, *arguments]
        finished = run(command, {**place.environ, "PYTHONDONTWRITEBYTECODE": ""})
        found.append((finished.cpu_seconds, _used_by_all(server) - began))
    return sorted(found[1:], key=sum)[RUNS // 2]


def _used(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _used_by_all(server: psutil.Process) -> float:
    """Return the processor time of the backends of a server, of those that have ended too."""
    times = server.cpu_times()
    used = float(times.children_user + times.children_system)
    for each in server.children():
        with suppress(psutil.NoSuchProcess):
            used += _used(each)
    return used


def _bytes(server: Server, place: Place) -> int:
    return int(server.query(place.name, "select pg_database_size(current_database())")[0])


def tables(measured: YearCosts | None) -> str:
    """Return a Markdown table, nothing if nothing was measured."""
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
    return f"{about}\n\n{table(header, rows)}"


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
