"""What the monitor costs: `vinops monitor` on a terminal, beside a million photos and a million ads.

The database is filled by generate_series, in the shape that years leave:
many lots that are gone, a backlog, thousands of runs. Five workers beat while it is watched, so there is always
something new to draw.
"""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, LiteralString

import psutil
import psycopg

from bench.pairs import say
from bench.processes import used
from bench.server import BenchFailed, Place, Server
from ops.workers.processes import Processes
from ops.workers.registry import run_folder, workers
from vinops import config

if TYPE_CHECKING:
    from collections.abc import Iterator

ACTIVE: Final = 150_000
BACKLOG: Final = 50_000
WARM_UP: Final = 15.0  # the first look asks for everything, once
TERMINALS: Final = ((80, 24), (200, 60))
MOST_CPU: Final = 0.03  # of a core, at the default refresh

FILL: Final[tuple[LiteralString, ...]] = (
    # No foreign key is checked and no price noted: what is measured only reads.
    "set session_replication_role = replica",
    """insert into lots (lot_external_id, vehicle_id, status, first_seen_at, special_note, image_url, row_hash, file_id)
    select 40000000 + n, n, case when n > %(gone)s then 'active' else 'gone' end, now(), repeat('x', 300),
    'http://x', '\\x00', 1 from generate_series(1, %(lots)s) as n""",
    """insert into lot_photos (lot_id, state, listed, stored, settled_at)
    select id, case when id %% 10 = 0 then 'partial' else 'ok' end, 10, 10, now() from lots where id %% 3 <> 0""",
    """insert into images
    (lot_id, seq, variant, source_url, storage_key, content_hash, content_type, width, height, bytes)
    select 1 + n %% %(lots)s, n / %(lots)s, 'hrs', 'https://cs.copart.com/' || n, 'photos/' || n, repeat('0', 64),
    'image/jpeg', 1600, 1200, 250000 from generate_series(1, %(images)s) as n""",
    """insert into listings (source, ad_id, make_slug, url, title, price_eur, posted_at, list_hash)
    select 'mobile_bg', n::text, 'bmw', 'https://x/' || n, 'BMW 320 ' || n, 10000, now(), '\\x00'
    from generate_series(1, %(listings)s) as n""",
    """insert into ops.deal_outbox (listing_id, stage, change)
    select n, 'normalize', 'new' from generate_series(1, %(backlog)s) as n""",
    """insert into scores (listing_id, score, parts, reasons, is_approved)
    select n, 1 + (n %% 90) / 10.0, '{}', '{}', true from generate_series(1, %(listings)s, 10) as n""",
    """insert into notifications (listing_id, kind, state, score, settled_at)
    select n, 'deal', 'sent', 8, now() - make_interval(mins => n) from generate_series(1, 50000) as n""",
    """insert into audit.etl_runs (started_at, finished_at, status, rows_read, lots_new)
    select at, at, case when n %% 4 = 0 then 'loaded' else 'unchanged' end, 150000, 300
    from (select n, now() - make_interval(mins => 15 * (3000 - n)) as at from generate_series(1, 3000) as n) as runs""",
    """insert into ops.crawl_runs (spider, worker, machine, pid, started_at, heartbeat_at, finished_at, reason)
    select 'mobile_bg', (1 + n %% 4)::text, 'here', n, at, at, at, 'finished'
    from (select n, now() - make_interval(mins => 5 * (5000 - n)) as at from generate_series(1, 5000) as n) as runs""",
    "insert into ops.host_budgets (host) select 'host-' || n from generate_series(1, 5) as n",
    "analyze",
)

BEAT: Final[LiteralString] = """
update ops.crawl_runs
set heartbeat_at = clock_timestamp(), items = items + 7, done = done + 1, total = 1000, items_per_minute = 140,
expected_end = clock_timestamp() + interval '1 hour', current_item = 'bmw page ' || done,
last_items = jsonb_build_array('a', 'b', 'c', 'd', 'ad ' || items)
where finished_at is null
"""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How many rows there are, and for how many seconds the monitor is watched."""

    images: int
    listings: int
    lots: int
    seconds: float


FULL: Final = Size(images=1_000_000, listings=1_000_000, lots=1_000_000, seconds=120.0)
QUICK: Final = Size(images=20_000, listings=20_000, lots=20_000, seconds=10.0)


@dataclass(frozen=True, kw_only=True)
class Watched:
    """The monitor on one terminal: shares of a core (its own, its connection's), and what it asked."""

    columns: int
    rows: int
    cpu: float
    server_cpu: float
    transactions_a_minute: float
    memory: int


@dataclass(frozen=True, kw_only=True)
class Monitor:
    """What watching costs."""

    size: Size
    watched: tuple[Watched, ...]


def measure(server: Server, size: Size) -> Monitor:
    """Fill a database and watch it on terminals of two sizes. Raises BenchFailed."""
    place = server.make("monitor", "migrated")
    try:
        fill(place, size)
        server.keep(place.name)
        with working(place):
            watched = tuple(_watch(place, terminal, size.seconds) for terminal in TERMINALS)
    finally:
        server.drop(place.name)
    return Monitor(size=size, watched=watched)


def fill(place: Place, size: Size) -> None:
    """Put so many rows into the tables."""
    about = {
        "images": size.images,
        "listings": size.listings,
        "lots": size.lots,
        "gone": max(size.lots - ACTIVE, 0),
        "backlog": min(BACKLOG, size.listings),
    }
    with psycopg.connect(place.url, autocommit=True) as connection:
        for statement in FILL:
            say(f"monitor: {' '.join(statement.split())[:60]}")
            connection.execute(statement, about if "%(" in statement or "%%" in statement else None)


@contextmanager
def working(place: Place) -> Iterator[None]:
    """Have five workers that beat: processes that sleep, and runs whose figures grow."""
    processes = Processes(run_folder(place.settings))
    place.settings.log_dir.mkdir(parents=True, exist_ok=True)
    ended = threading.Event()
    with ExitStack() as cleanup, psycopg.connect(place.url, autocommit=True) as connection:
        for each in workers(place.settings):
            program = replace(each, command=(sys.executable, "-c", "import time; time.sleep(3600)"))
            program.log.touch()
            status = processes.start(program)
            cleanup.callback(processes.stop, program, grace=0)
            connection.execute(
                "insert into ops.crawl_runs (spider, worker, machine, pid) values (%s, %s, 'here', %s)",
                [program.spider, program.worker, status.pid],
            )

        def beat() -> None:
            while not ended.wait(3.0):
                connection.execute(BEAT)

        thread = threading.Thread(target=beat)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def _watch(place: Place, terminal: tuple[int, int], seconds: float) -> Watched:
    columns, rows = terminal
    say(f"monitor: {seconds:.0f} s at {columns} × {rows}")
    environment = {**config.without_settings(), **place.environ, "TERM": "xterm-256color"}
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "ops.cli", "monitor"],
        env=environment,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    drawn = threading.Thread(target=_drain, args=(master,))
    drawn.start()
    try:
        time.sleep(WARM_UP)
        with psycopg.connect(place.url, autocommit=True) as connection:
            own = psutil.Process(process.pid)
            servers = psutil.Process(_backend(connection))
            before = used(own), used(servers), _transactions(connection), time.monotonic()
            time.sleep(seconds)
            after = used(own), used(servers), _transactions(connection), time.monotonic()
        took = after[3] - before[3]
        return Watched(
            columns=columns,
            rows=rows,
            cpu=(after[0] - before[0]) / took,
            server_cpu=(after[1] - before[1]) / took,
            transactions_a_minute=60 * (after[2] - before[2]) / took,
            memory=own.memory_info().rss,
        )
    except (psutil.Error, TypeError) as error:
        raise BenchFailed(f"the monitor ended before it was measured: {error}") from None
    finally:
        process.terminate()
        process.wait()
        drawn.join()
        os.close(master)


def _drain(master: int) -> None:
    """Read what the terminal is sent, as a terminal does."""
    try:
        while os.read(master, 65_536):
            pass
    except OSError:
        return  # the other end is closed


def _backend(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    row = connection.execute("select pid from pg_stat_activity where application_name = 'vinops monitor'").fetchone()
    if row is None:
        raise BenchFailed("the monitor has no connection")
    return int(str(row[0]))


def _transactions(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    """Return what was committed in this database: statements of the monitor, and the twenty beats a minute."""
    row = connection.execute("select xact_commit from pg_stat_database where datname = current_database()").fetchone()
    return int(str(row[0])) if row else 0


def table(measured: Monitor | None) -> str:
    """Return a Markdown table, nothing if nothing was measured."""
    if measured is None:
        return ""
    size = measured.size
    lines = [
        f"Beside {size.images:,} photos, {size.listings:,} ads and {size.lots:,} lots, every two seconds:",
        "",
        "| terminal | CPU of the monitor | CPU of its connection | transactions a minute | memory |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {each.columns} × {each.rows} | {100 * each.cpu:.1f} % of a core | {100 * each.server_cpu:.1f} % of a core "
        f"| {each.transactions_a_minute:.0f} | {each.memory / 1e6:.0f} MB |"
        for each in measured.watched
    ]
    return "\n".join(lines)


def missed(measured: Monitor | None) -> list[str]:
    """Return the targets that were not reached."""
    return [
        f"monitor at {each.columns} × {each.rows}: {100 * each.cpu:.1f} % of a core"
        for each in (measured.watched if measured else ())
        if each.cpu > MOST_CPU
    ]
