"""`vinops retention`: old rows and files are removed in batches, those still needed stay at any age."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from ops import log_files, masked_texts, retention
from ops.retention import Kept, Removed
from tests.support import forks
from tests.support.deal_ads import insert_ads
from tests.support.feed_files import Loader, row
from vinops import clock
from vinops.clock import ClockDoubted
from vinops.db import database as db

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

    from vinops.config import Settings

    Database = Connection[tuple[Any, ...]]

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings that allow a small feed file."""
    return replace(settings, feed_min_rows=1)


@pytest.fixture
def connection(settings: Settings) -> Iterator[Database]:
    """A connection with transactions, as that of the command."""
    with db.connect(settings, application="tests") as connection:
        yield connection


def run(connection: Database, settings: Settings, now: datetime, *, batch: int = 1000) -> dict[str, int]:
    found = list(retention.retain(connection, settings, now, batch=batch))
    assert all(isinstance(each, Removed) for each in found), found
    return {each.what: each.count for each in found if isinstance(each, Removed)}


def crawl_run(database: Database, *, beat: datetime, started: datetime) -> None:
    database.execute(
        "insert into ops.crawl_runs (spider, machine, pid, started_at, heartbeat_at) values ('x', 'm', 1, %s, %s)",
        [started, beat],
    )


def worked(database: Database, now: datetime, *days: float) -> None:
    """Runs on these days, so that the clock is trusted."""
    for each in days:
        crawl_run(database, started=now - each * DAY, beat=now - each * DAY)


def test_runs_whose_heart_stopped_long_ago_go_and_one_that_works_for_months_stays(
    connection: Database, database: Database, settings: Settings
) -> None:
    crawl_run(database, started=NOW - 200 * DAY, beat=NOW - 92 * DAY)
    crawl_run(database, started=NOW - 200 * DAY, beat=NOW - DAY)
    crawl_run(database, started=NOW - 89 * DAY, beat=NOW - 89 * DAY)
    worked(database, NOW, 20, 10)
    assert run(connection, settings, NOW)["runs of crawls"] == 1
    assert database.execute("select count(*) from ops.crawl_runs").fetchone() == (4,)


def test_batches_remove_all_of_it(connection: Database, database: Database, settings: Settings) -> None:
    for _ in range(25):
        crawl_run(database, started=NOW - 200 * DAY, beat=NOW - 200 * DAY)
    worked(database, NOW, 8, 1)
    assert run(connection, settings, NOW, batch=10)["runs of crawls"] == 25
    assert database.execute("select count(*) from ops.crawl_runs").fetchone() == (2,)


def test_what_died_in_between_has_done_what_it_had_done(
    connection: Database, database: Database, settings: Settings
) -> None:
    """Each batch is committed: another connection sees it before the next one begins."""
    for _ in range(25):
        crawl_run(database, started=NOW - 200 * DAY, beat=NOW - 200 * DAY)
    worked(database, NOW, 8, 1)
    left: list[Any] = []
    commit = connection.commit

    def commit_and_look() -> None:
        commit()
        left.append(database.execute("select count(*) - 2 from ops.crawl_runs").fetchone())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "commit", commit_and_look)
        run(connection, settings, NOW, batch=10)
    assert left[:5] == [(25,), (25,), (15,), (5,), (0,)]


def test_alerts_that_have_passed_go_and_open_ones_stay(
    connection: Database, database: Database, settings: Settings
) -> None:
    for subject, cleared in (("old", NOW - 92 * DAY), ("new", NOW - DAY), ("open", None)):
        database.execute(
            "insert into ops.alerts (kind, subject, message, raised_at, cleared_at) values ('k', %s, 'm', %s, %s)",
            [subject, NOW - 300 * DAY, cleared],
        )
    assert run(connection, settings, NOW)["alerts that have passed"] == 1
    assert database.execute("select subject from ops.alerts order by 1").fetchall() == [("new",), ("open",)]


def test_raw_rows_and_runs_of_the_feed_go_and_the_last_load_stays(
    connection: Database, database: Database, settings: Settings
) -> None:
    loader = Loader(settings=settings, database=database, folder=settings.data_dir / "files", now=datetime.now(UTC))
    loader.loaded([row(1), row(2)])
    loader.loaded([row(1), row(2), row(3)])
    database.execute("update raw.csv_files set fetched_at = fetched_at - interval '400 days'")
    database.execute("update staging.copart_raw set ingested_at = ingested_at - interval '400 days'")
    database.execute("update audit.etl_runs set finished_at = finished_at - interval '400 days'")
    lots = database.execute("select count(*) from lots").fetchone()
    worked(database, datetime.now(UTC), 8, 1)
    # Nothing came since: measured against the newest of its kind nothing is old.
    found = list(retention.retain(connection, settings, datetime.now(UTC)))
    assert {each.what for each in found if isinstance(each, Kept)} >= {"raw rows of the feed", "runs of the feed"}
    loader.loaded([row(1), row(2), row(3), row(5)])
    removed = run(connection, settings, datetime.now(UTC), batch=1)
    assert removed["raw rows of the feed"] >= 3
    assert removed["runs of the feed"] == 2
    assert database.execute("select count(*) from audit.etl_runs where status = 'loaded'").fetchone() == (1,)
    assert database.execute("select count(*) from lots").fetchone() == (4,)
    assert lots == (3,)
    # The feed goes on as if nothing had been removed: nothing is new, nothing gone.
    outcome = loader.loaded([row(1), row(2), row(3), row(4), row(5)])
    assert outcome.status == "loaded"
    assert database.execute("select count(*) from lots where status = 'gone'").fetchone() == (0,)


def test_archived_files_and_rotated_logs_go_by_their_own_settings(
    connection: Database, database: Database, settings: Settings
) -> None:
    loader = Loader(settings=settings, database=database, folder=settings.data_dir / "files", now=datetime.now(UTC))
    loader.loaded([row(1)])
    settings.log_dir.mkdir(exist_ok=True)
    for name, age in (("etl.log.1", 15), ("etl.log.2", 13), ("etl.log", 400)):
        path = settings.log_dir / name
        path.write_text("x")
        os.utime(path, (time.time() - age * 86_400,) * 2)
    removed = run(connection, settings, datetime.now(UTC))
    assert removed["rotated logs"] == 1
    assert sorted(path.name for path in settings.log_dir.glob("[!.]*")) == ["etl.log", "etl.log.2"]
    # The chain of the last load stays whatever its age: the next file is compared with it.
    database.execute("update raw.csv_files set fetched_at = fetched_at - interval '20 days'")
    settings = replace(settings, archive_days=1)
    assert run(connection, settings, datetime.now(UTC))["archived feed files"] == 0


def test_a_dry_run_counts_what_would_go_of_each_kind_and_removes_nothing(
    connection: Database, database: Database, settings: Settings
) -> None:
    loader = Loader(settings=settings, database=database, folder=settings.data_dir / "files", now=datetime.now(UTC))
    loader.loaded([row(1), row(2)])
    database.execute("update raw.csv_files set fetched_at = fetched_at - interval '400 days', base_id = null")
    database.execute("update staging.copart_raw set ingested_at = ingested_at - interval '400 days'")
    database.execute("update audit.etl_runs set finished_at = finished_at - interval '400 days'")
    shutil.rmtree(settings.data_dir / "state")  # the next file begins a chain of its own
    loader.loaded([row(1), row(2), row(3)])
    now = datetime.now(UTC)
    for days in (400, 300):
        crawl_run(database, started=now - days * DAY, beat=now - days * DAY)
        database.execute(
            "insert into ops.alerts (kind, subject, message, raised_at, cleared_at) values ('k', %s, 'm', %s, %s)",
            [str(days), now - days * DAY, now - days * DAY],
        )
    database.execute("insert into ops.alerts (kind, subject, message) values ('k', 'open', 'm')")
    worked(database, now, 8, 1)
    settings.log_dir.mkdir(exist_ok=True)
    for name, age in (("etl.log.1", 15), ("etl.log.2", 16), ("etl.log", 0)):
        path = settings.log_dir / name
        path.write_text("x")
        os.utime(path, (time.time() - age * 86_400,) * 2)
    dry = list(retention.retain(connection, settings, now, dry_run=True))
    assert dry == list(retention.retain(connection, settings, now, dry_run=True)), "something was removed"
    assert all(isinstance(each, Removed) and each.count > 0 for each in dry), dry
    assert dry == list(retention.retain(connection, settings, now))
    assert all(isinstance(each, Removed) and not each.count for each in retention.retain(connection, settings, now))


def test_every_kind_of_rows_can_be_counted() -> None:
    names = set(db.queries("retention"))
    kinds = {name.removeprefix("remove_") for name in names if name.startswith("remove_")}
    assert {f"count_{kind}" for kind in kinds} <= names


def test_the_command_removes_nothing_in_a_dry_run(database: Database, environment: dict[str, str]) -> None:
    crawl_run(database, started=datetime.now(UTC) - 200 * DAY, beat=datetime.now(UTC) - 200 * DAY)
    worked(database, datetime.now(UTC), 8, 1)
    for _ in range(2):
        done = forks.vinops(environment, "retention", "--dry-run")
        assert done.returncode == 0, done.stderr
        assert "runs of crawls: 1 rows older than 90 days would be removed" in done.stdout.splitlines()
    assert database.execute("select count(*) from ops.crawl_runs").fetchone() == (3,)


def test_the_command_says_what_went(database: Database, environment: dict[str, str]) -> None:
    crawl_run(database, started=datetime.now(UTC) - 200 * DAY, beat=datetime.now(UTC) - 200 * DAY)
    worked(database, datetime.now(UTC), 8, 1)
    done = forks.vinops(environment, "retention", "--json")
    assert done.returncode == 0, done.stderr
    counts = {each["what"]: (each["count"], each["older_than_days"]) for each in json.loads(done.stdout)}
    assert counts["runs of crawls"] == (1, 90)
    again = forks.vinops(environment, "retention")
    assert again.returncode == 0, again.stderr
    assert "runs of crawls: 0 rows older than 90 days removed" in again.stdout.splitlines()
    assert "raw rows of the feed: 0 rows older than 30 days removed" in again.stdout.splitlines()


def everything(database: Database, settings: Settings) -> dict[str, Any]:
    """Return the count of each kind of data that retention removes."""
    tables = ("staging.copart_raw", "audit.etl_runs", "ops.crawl_runs", "ops.alerts")
    counts: dict[str, Any] = {table: database.execute(f"select count(*) from {table}").fetchone() for table in tables}
    files = sorted(path.name for path in (settings.data_dir / "raw").rglob("*.zst"))
    return {**counts, "archive": files, "logs": sorted(path.name for path in settings.log_dir.glob("*.log*"))}


@pytest.fixture
def history(database: Database, settings: Settings) -> dict[str, Any]:
    """Two loads in two chains, a week of crawls, a closed alert, and rotated logs, all of this week."""
    chained = replace(settings, archive_chain=1)
    loader = Loader(settings=chained, database=database, folder=settings.data_dir / "files", now=datetime.now(UTC))
    loader.now -= 2 * DAY
    loader.loaded([row(1), row(2)])
    loader.loaded([row(1), row(2), row(3)])
    worked(database, datetime.now(UTC), *range(8))
    database.execute(
        "insert into ops.alerts (kind, subject, message, raised_at, cleared_at)"
        " values ('k', 's', 'm', now() - interval '3 days', now() - interval '2 days')"
    )
    settings.log_dir.mkdir(exist_ok=True)
    for name, age in (("etl.log", 0), ("etl.log.1", 3), ("etl.log.2", 6)):
        path = settings.log_dir / name
        path.write_text("x")
        os.utime(path, (time.time() - age * 86_400,) * 2)
    return everything(database, settings)


def test_a_clock_ahead_of_the_databases_removes_nothing_and_is_a_failure(
    connection: Database,
    database: Database,
    settings: Settings,
    history: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = datetime.now(UTC) + 100 * DAY
    monkeypatch.setattr(clock, "now", lambda: now)
    (failure,) = retention.retain(connection, settings, now)
    assert isinstance(failure, str)
    assert "that of the database" in failure
    assert everything(database, settings) == history


@pytest.mark.parametrize("runs", [1, 2])
def test_a_machine_whose_clock_jumped_removes_nothing(
    runs: int,
    connection: Database,
    database: Database,
    settings: Settings,
    history: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Everything then looks 100 days old. The second time the feed and a crawl have already run by the wrong clock."""
    now = datetime.now(UTC) + 100 * DAY
    monkeypatch.setattr(clock, "now", lambda: now)
    monkeypatch.setattr(clock, "compare", lambda *_: None)  # the database's clock is ahead too
    if runs == 2:
        crawl_run(database, started=now, beat=now)
        database.execute("update audit.etl_runs set finished_at = %s where id = 2", [now])
        database.execute("update raw.csv_files set fetched_at = %s where id = 2", [now])
        os.utime(settings.log_dir / "etl.log", (now.timestamp(),) * 2)
        history = everything(database, settings)
    kept = list(retention.retain(connection, settings, now))
    assert all(isinstance(each, Kept) for each in kept), kept
    assert everything(database, settings) == history


def test_a_clock_that_is_ahead_within_reason_makes_nothing_older(
    connection: Database,
    database: Database,
    settings: Settings,
    history: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After eighteen days off, ages are measured against the newest thing of a kind."""
    now = datetime.now(UTC) + 18 * DAY
    monkeypatch.setattr(clock, "now", lambda: now)
    monkeypatch.setattr(clock, "compare", lambda *_: None)
    days = replace(settings, staging_days=10, runs_days=10, archive_days=10, log_days=30)
    assert set(run(connection, days, now).values()) == {0}
    assert everything(database, settings) == history


def test_rotated_logs_are_measured_by_a_clock_that_is_believed(
    settings: Settings, history: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC) + 60 * DAY
    monkeypatch.setattr(clock, "now", lambda: now)
    with pytest.raises(ClockDoubted):
        log_files.prune(settings.log_dir, 14 * 86_400)
    os.utime(settings.log_dir / "etl.log", (now.timestamp(),) * 2)  # somebody logs by the wrong clock
    with pytest.raises(ClockDoubted):
        log_files.prune(settings.log_dir, 14 * 86_400)
    assert history["logs"] == sorted(path.name for path in settings.log_dir.glob("*.log*"))


def texts(database: Database) -> list[tuple[str, str | None]]:
    return database.execute("select title, description from listings order by id").fetchall()


def test_texts_of_ads_are_masked_again_once_the_rules_changed_batch_by_batch(
    connection: Database, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert_ads(database, 5, title="Голф 0888 123 456", description="Пишете на 0899 123 456")
    database.execute(
        "update listings set removed_at = now(), description = null where id = (select min(id) from listings)"
    )
    before = database.execute("select array_agg(xmin::text order by id) from listings").fetchone()
    assert masked_texts.mask_again(connection, most=3, batch=2) == 3
    assert [title for title, _ in texts(database)] == ["Голф [phone]"] * 3 + ["Голф 0888 123 456"] * 2
    assert masked_texts.mask_again(connection) == 2, "it goes on behind those of the last night"
    assert texts(database) == [("Голф [phone]", None), *[("Голф [phone]", "Пишете на [phone]")] * 4]
    after = database.execute("select array_agg(xmin::text order by id) from listings").fetchone()
    assert before != after
    database.execute("update listings set title = 'Голф 0888 123 456' where removed_at is not null")
    assert masked_texts.mask_again(connection) == 0, "the rules are those of before"
    monkeypatch.setattr(masked_texts, "digest", lambda: "others")
    assert masked_texts.mask_again(connection) == 1
    assert masked_texts.mask_again(connection) == 0


def test_a_text_that_a_crawl_writes_meanwhile_stays(
    connection: Database, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert_ads(database, 1, title="Голф 0888 123 456", description="")
    real = masked_texts.masked

    def slow(text: str) -> str:
        database.execute("update listings set title = 'Голф 2'")
        return real(text)

    monkeypatch.setattr(masked_texts, "masked", slow)
    assert masked_texts.mask_again(connection) == 0
    assert [title for title, _ in texts(database)] == ["Голф 2"]


def test_the_nightly_task_masks_texts_again(database: Database, environment: dict[str, str]) -> None:
    insert_ads(database, 1, title="Голф 0888 123 456", description="")
    assert "1 masked again" not in forks.vinops(environment, "retention", "--dry-run").stdout
    assert "texts of ads: 1 masked again by the rules of today" in forks.vinops(environment, "retention").stdout
    assert [title for title, _ in texts(database)] == ["Голф [phone]"]
