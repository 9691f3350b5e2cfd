"""Every fault of the stand-in through `python -m etl run`: refused by name, the last good state kept, no key shown."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from psycopg import sql

from etl.run import run
from etl.store.archive import extract
from etl.store.files import chain_of
from standin.feed.command import QUIRKS, REFUSALS, Market, inject
from standin.feed.server import FAULTS, FeedServer
from tests.support import forks
from vinops.config import Secret, Settings
from vinops.db.database import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    Database = psycopg.Connection[tuple[Any, ...]]

pytestmark = pytest.mark.slow

LOTS = 1500
KEY = "canary-6e1d-77f0a2-feed"
PATIENCE = 60
TABLES = (
    "raw.csv_files",
    "staging.copart_raw",
    "audit.rejected_rows",
    "audit.lot_events",
    "public.vehicles",
    "public.lots",
)


@pytest.fixture
def source() -> Iterator[FeedServer]:
    with FeedServer(Market(seed=8, lots=LOTS), key=KEY) as source:
        yield source


@pytest.fixture
def settings(settings: Settings, source: FeedServer) -> Settings:
    return replace(
        settings, copart_csv_url=Secret(source.url), fetch_total_seconds=20, fetch_attempts=2, feed_min_rows=1000
    )


@pytest.fixture
def environment(environment: dict[str, str], settings: Settings, source: FeedServer) -> dict[str, str]:
    return {
        **environment,
        "COPART_CSV_URL": source.url,
        "VINOPS_FETCH_TOTAL_SECONDS": "20",
        "VINOPS_FETCH_ATTEMPTS": "2",
        "VINOPS_FEED_MIN_ROWS": "1000",
    }


def state(database: Database) -> dict[str, list[str]]:
    """Everything in the tables that a file decides."""
    return {
        table: sorted(
            row[0]
            for row in database.execute(
                sql.SQL("select each::text from {} as each").format(sql.Identifier(*table.split(".")))
            )
        )
        for table in TABLES
    }


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def last_run(database: Database) -> tuple[str, str | None, str]:
    row = database.execute("select status, reason, message from audit.etl_runs order by id desc limit 1").fetchone()
    assert row is not None
    return row[0], row[1], row[2]


def active(database: Database) -> set[int]:
    return {row[0] for row in database.execute("select lot_external_id from lots where status = 'active'")}


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


def command(environment: dict[str, str], *arguments: str, **more: str) -> Ended:
    done = forks.vinops({**environment, **more}, *arguments, program=forks.ETL)
    return Ended(code=done.returncode, out=done.stdout, err=done.stderr)


def assert_no_key(settings: Settings, database: Database, *texts: str) -> None:
    """The canary is in no output, no log, no table, no file and no name of one, nor inside the archive."""
    for text in texts:
        assert KEY not in text
    for folder in (settings.data_dir, settings.log_dir):
        for name, content in files(folder).items():
            assert KEY not in name
            assert KEY.encode() not in content, name
    tables = database.execute(
        "select schemaname, tablename from pg_tables where schemaname not in ('pg_catalog', 'information_schema')"
    ).fetchall()
    assert len(tables) > len(TABLES)
    for table in tables:
        found = database.execute(
            sql.SQL("select count(*) from {} as each where each::text like {}").format(
                sql.Identifier(*table), sql.Literal(f"%{KEY}%")
            )
        ).fetchone()
        assert found == (0,), table


@pytest.mark.parametrize("where", ["output", "log", "name", "table"])
def test_a_key_that_shows_is_found(where: str, settings: Settings, database: Database) -> None:
    """The control of the check above."""
    settings.data_dir.mkdir()
    settings.log_dir.mkdir()
    assert_no_key(settings, database, "authKey=***")
    if where == "log":
        (settings.log_dir / "etl.log").write_text(f"GET /?authKey={KEY}", encoding="utf-8")
    if where == "name":
        (settings.data_dir / f"sales-{KEY}.csv").touch()
    if where == "table":
        database.execute(
            "insert into audit.etl_runs (started_at, status, message) values (now(), 'failed', %s)", (f"x {KEY}",)
        )
    with pytest.raises(AssertionError):
        assert_no_key(settings, database, KEY if where == "output" else "")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A fault, and what must come of it."""

    fault: str
    reason: str
    status: str = "refused"
    options: tuple[tuple[str, Any], ...] = ()
    seconds: str = "20"
    is_quick: bool = False

    def __str__(self) -> str:
        return "-".join([self.fault, *(str(value) for _, value in self.options)])


def case(fault: str, reason: str, *, status: str = "refused", seconds: str = "20", **options: Any) -> Case:
    return Case(fault=fault, reason=reason, status=status, seconds=seconds, options=tuple(options.items()))


def quick(each: Case) -> Case:
    return replace(each, is_quick=True)


CASES = [
    quick(case("html_200", "html")),
    *(case("html_200", "html", kind=kind) for kind in REFUSALS),
    *(case("denied_403", "denied", kind=kind) for kind in REFUSALS),
    case("rate_limited_429", "rate_limited", retry_after=30),
    case("rate_limited_429", "rate_limited", retry_after=0, as_date=True),
    quick(case("server_error_500", "server_error", status="failed")),
    case("server_error_503", "server_error", status="failed"),
    case("truncated", "truncated", how="length"),
    case("truncated", "truncated", how="chunked"),
    case("truncated", "truncated", how="file"),
    case("truncated", "truncated", how="length", at=0.99),
    case("empty", "empty", header=False),
    case("empty", "empty", header=True),
    case("short", "short", rows=999),
    case("short", "short", rows=1),
    case("slow", "timeout", status="failed", seconds="1", rate=50_000),
    case("stall", "timeout", status="failed", seconds="1"),
    case("stall", "timeout", status="failed", seconds="1", at=0.0),
    case("reset", "network", status="failed"),
    case("stale", "stale", when="always"),
    case("wrong_export", "wrong_export"),
    quick(case("shrunk", "shrunk", keep=0.7)),
    case("redirect", "login", to="login"),
    case("redirect", "login", to="login", with_key=True),
    case("redirect", "redirect", to="other_host"),
    case("redirect", "redirect", to="other_host", with_key=True),
    case("redirect", "redirect", to="http://feed.example/sales.csv"),
    case("redirect", "redirect", to="https://127.0.0.2/sales.csv", with_key=True),
    case("redirect", "redirect", to="file:///etc/passwd"),
    case("redirect", "redirect", to="http://[broken/"),
    case("missing_mandatory_column", "missing_column"),
]

SERVED = ["gzip", "stale"]
"""Faults that do no harm: the test below shows it for each."""


@pytest.mark.quick
def test_every_fault_of_the_stand_in_has_its_test() -> None:
    assert {each.fault for each in CASES} | set(SERVED) | set(HARMLESS) == set(FAULTS) | set(QUIRKS)


@pytest.mark.parametrize(
    "each", [pytest.param(each, id=str(each), marks=[pytest.mark.quick] * each.is_quick) for each in CASES]
)
def test_a_fault_is_refused_by_name_and_the_last_good_state_is_kept(
    each: Case, source: FeedServer, settings: Settings, environment: dict[str, str], database: Database
) -> None:
    assert run(settings).status == "loaded"
    source.advance()
    if each.fault == "stale":  # a copy of the file before last
        assert run(settings).status == "loaded"
    before, archived = state(database), files(settings.data_dir / "raw")
    asked = len(source.requests)

    source.fault(each.fault, **dict(each.options))
    ended = command(environment, "run", "--json", VINOPS_FETCH_TOTAL_SECONDS=each.seconds)

    assert ended.code == 1
    outcome = json.loads(ended.out)
    assert (outcome["status"], outcome["reason"]) == (each.status, each.reason)
    assert ended.err.startswith(f"etl: {each.status} ({each.reason}): {outcome['message']}")
    assert last_run(database) == (each.status, each.reason, outcome["message"])
    assert state(database) == before
    assert files(settings.data_dir / "raw") == archived
    assert files(settings.data_dir / "incoming") == {}
    log = (settings.log_dir / "etl.log").read_text(encoding="utf-8")
    assert "CSV_URL=http://127.0.0.1:" in log
    assert "authKey=***" in log
    assert f"{each.status} ({each.reason})" in log
    assert len(source.requests) - asked <= 2
    assert all(request.path.startswith("/FTPLSTDM/") for request in source.requests)
    assert_no_key(settings, database, ended.out, ended.err)

    source.clear_faults()
    source.advance()
    assert run(settings).status == "loaded"
    assert active(database) == set(source.market.lot_numbers)


HARMLESS = [name for name in QUIRKS if name not in FAULTS and name not in {each.fault for each in CASES}]


@pytest.mark.parametrize(
    "quirk", [pytest.param(name, marks=[pytest.mark.quick] * (at % 3 == 0)) for at, name in enumerate(HARMLESS)]
)
def test_a_quirk_costs_exactly_its_rows(quirk: str, source: FeedServer, settings: Settings, database: Database) -> None:
    assert run(settings).status == "loaded"
    source.advance()
    _, report = inject(source.content, quirk, seed=1, count=5)

    source.fault(quirk, times=1, count=5, seed=1)
    outcome = run(settings)

    assert (outcome.status, outcome.reason) == ("loaded", None), outcome.message
    assert outcome.rows_read is not None
    assert outcome.rows_rejected is not None
    rejected = outcome.rows_rejected - report.superseded - report.either
    blank = sum(touch.verdict.value == "ignore" for touch in report.touches)
    rejected -= blank  # a blank line is no record for the stand-in, and a rejected row for us
    assert outcome.rows_read == report.records + blank
    assert rejected == report.rejected
    assert outcome.rows_accepted == report.accepted
    assert outcome.rows_read == (outcome.rows_accepted or 0) + outcome.rows_rejected
    if quirk == "inner_quotes":
        assert outcome.rows_repaired == report.recovered == 5
    assert outcome.drift.get("unknown_columns", []) == list(report.unknown_columns)
    lots = {touch.lot for touch in report.touches if touch.verdict.value in ("accept", "recover", "flag")}
    assert {int(lot) for lot in lots} <= active(database)

    source.advance()
    assert run(settings).status == "loaded"
    assert active(database) == set(source.market.lot_numbers)
    assert_no_key(settings, database)


def test_a_compressed_answer_is_the_same_file(source: FeedServer, settings: Settings, database: Database) -> None:
    source.fault("gzip", times=1)
    outcome = run(settings)
    assert outcome.status == "loaded"
    assert outcome.bytes == len(source.content)
    assert active(database) == set(source.market.lot_numbers)


def test_a_copy_of_the_cdn_is_got_around(source: FeedServer, settings: Settings, database: Database) -> None:
    assert run(settings).status == "loaded"
    source.advance()
    source.fault("stale", when="without_cache_busting")
    assert run(settings).status == "loaded"
    assert active(database) == set(source.market.lot_numbers)


def test_a_shrunk_file_is_loaded_when_told_so(
    source: FeedServer, settings: Settings, environment: dict[str, str], database: Database
) -> None:
    assert run(settings).status == "loaded"
    source.advance()
    source.fault("shrunk", times=2)
    assert run(settings).reason == "shrunk"
    assert command(environment, "run", "--allow-shrink").code == 0
    assert len(active(database)) == int(len(source.market) * 0.7)


def test_a_database_that_goes_away_during_the_download_is_named(
    source: FeedServer, settings: Settings, database: Database
) -> None:
    assert run(settings).status == "loaded"
    source.advance()
    before = state(database)
    name = database.info.dbname

    def cut(_done: int, _whole: int) -> None:
        database.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = %s and application_name = 'vinops etl'",
            (name,),
        )

    with pytest.raises(DatabaseError, match="the connection to the database broke"):
        run(settings, fetching=cut)
    assert state(database) == before
    assert files(settings.data_dir / "incoming") == {}
    assert run(settings).status == "loaded"


class TestUnchanged:
    def test_a_second_run_costs_one_request_without_a_body(
        self, source: FeedServer, settings: Settings, environment: dict[str, str], database: Database
    ) -> None:
        assert run(settings).status == "loaded"
        before = state(database)
        ended = command(environment, "run", "--json")
        assert ended.code == 0
        assert json.loads(ended.out)["status"] == "unchanged"
        assert [request.status for request in source.requests] == [200, 304]
        assert last_run(database)[0] == "unchanged"
        assert state(database) == before
        assert_no_key(settings, database, ended.out, ended.err)

    def test_the_same_file_without_validators_is_found_by_its_sha256(
        self, source: FeedServer, settings: Settings, database: Database
    ) -> None:
        assert run(settings).status == "loaded"
        (settings.data_dir / "state" / "fetch.json").unlink()
        before = state(database)
        assert run(settings).status == "unchanged"
        assert [request.status for request in source.requests] == [200, 200]
        assert state(database) == before
        assert run(settings).status == "unchanged"
        assert source.requests[-1].status == 304

    @pytest.mark.quick
    def test_what_a_refused_file_said_is_not_used(self, source: FeedServer, settings: Settings) -> None:
        assert run(settings).status == "loaded"
        source.advance()
        source.fault("shrunk", times=2)
        assert run(settings).reason == "shrunk"
        assert run(settings).reason == "shrunk"  # else it would count as unchanged
        assert [request.status for request in source.requests] == [200, 200, 200]

    def test_a_database_that_lost_the_file_is_given_it_again(
        self, source: FeedServer, settings: Settings, database: Database
    ) -> None:
        assert run(settings).status == "loaded"
        database.execute("delete from audit.etl_runs")
        run(settings)
        assert "if-none-match" not in source.requests[-1].headers


class TestTwoRuns:
    @pytest.mark.quick
    def test_the_second_says_so_and_does_not_download(
        self, source: FeedServer, settings: Settings, environment: dict[str, str], database: Database
    ) -> None:
        seconds: list[Ended] = []

        def while_fetching(_done: int, _whole: int) -> None:
            if not seconds:
                seconds.append(command(environment, "run", "--json"))

        assert run(settings, fetching=while_fetching).status == "loaded"
        ended = seconds[0]
        assert ended.code == 0
        assert json.loads(ended.out)["status"] == "busy"
        assert "another run" in json.loads(ended.out)["message"]
        assert len(source.requests) == 1
        assert database.execute("select status from audit.etl_runs").fetchall() == [("loaded",)]
        assert len(active(database)) == LOTS

    @pytest.mark.quick
    def test_what_one_that_was_killed_had_fetched_is_removed(self, settings: Settings, database: Database) -> None:
        incoming = settings.data_dir / "incoming"
        incoming.mkdir(parents=True)
        (incoming / "run-left.csv").write_bytes(b"downloaded, then killed")
        assert run(settings).status == "loaded"
        assert files(incoming) == {}

    def test_after_one_that_was_killed_the_next_cleans_up_and_loads(
        self, source: FeedServer, settings: Settings, environment: dict[str, str], database: Database
    ) -> None:
        source.fault("stall", times=1)
        first = subprocess.Popen(
            [sys.executable, "-m", "etl", "run"],
            env={**environment, "VINOPS_FETCH_TOTAL_SECONDS": "600", "VINOPS_FETCH_ATTEMPTS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            incoming = settings.data_dir / "incoming"
            until(lambda: any(path.stat().st_size for path in incoming.glob("run-*.part")))
            assert KEY not in processes(first.pid)
            assert json.loads(command(environment, "run", "--json").out)["status"] == "busy"
        finally:
            first.kill()
            first.wait(PATIENCE)
        assert len(files(incoming)) == 1
        (incoming / "run-left.csv").write_bytes(b"downloaded, then killed")
        assert_no_key(settings, database)
        until(lambda: run(settings).status == "loaded")  # the server may take a moment to miss the dead client
        assert files(incoming) == {}
        assert active(database) == set(source.market.lot_numbers)


def until(is_so: Any) -> None:
    """Wait for something that comes by itself."""
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def processes(pid: int) -> str:
    """What `ps` shows of a process and its threads."""
    process = Path(f"/proc/{pid}")
    shown = [process / "cmdline", process / "status", *process.glob("task/*/comm")]
    return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in shown)


class TestTheCommand:
    def test_a_missing_address_is_named(self, environment: dict[str, str], database: Database) -> None:
        ended = command(environment, "run", COPART_CSV_URL="")
        assert ended.code == 1
        assert "COPART_CSV_URL is not set" in ended.err
        assert database.execute("select count(*) from audit.etl_runs").fetchone() == (0,)

    def test_the_key_is_not_in_the_archive(
        self, source: FeedServer, settings: Settings, environment: dict[str, str], database: Database, tmp_path: Path
    ) -> None:
        ended = command(environment, "run", "--verbose")
        assert ended.code == 0
        assert_no_key(settings, database, ended.out, ended.err)
        row = database.execute("select max(id) from raw.csv_files").fetchone()
        assert row is not None
        with (tmp_path / "whole.csv").open("wb") as file:
            extract(settings.data_dir, chain_of(database, row[0]), file)
        assert (tmp_path / "whole.csv").read_bytes() == source.content

    def test_fetch_prints_where_the_file_is(
        self, source: FeedServer, settings: Settings, environment: dict[str, str], database: Database
    ) -> None:
        ended = command(environment, "fetch", "--json")
        assert ended.code == 0
        path = settings.data_dir / "incoming" / Path(json.loads(ended.out)["path"]).name
        assert path.read_bytes() == source.content
        assert_no_key(settings, database, ended.out, ended.err)

    def test_fetch_tells_what_was_refused(self, source: FeedServer, environment: dict[str, str]) -> None:
        source.fault("html_200")
        ended = command(environment, "fetch")
        assert (ended.code, ended.out) == (1, "")
        assert "HTML page" in ended.err

    def test_a_bar_is_shown_on_a_terminal_only(self, source: FeedServer, environment: dict[str, str]) -> None:
        assert "\r" not in command(environment, "fetch").err
        source.fault("slow", 1, rate=len(source.content) // 3)  # shown is what takes longer than a second
        main, terminal = pty.openpty()
        try:
            done = subprocess.run(
                [sys.executable, "-m", "etl", "fetch"],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=terminal,
                timeout=PATIENCE,
                check=False,
            )
            os.close(terminal)
            shown = os.read(main, 1 << 20).decode()
        finally:
            os.close(main)
        assert done.returncode == 0
        assert "fetching" in shown
        assert KEY not in shown
