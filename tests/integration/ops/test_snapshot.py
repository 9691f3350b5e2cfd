"""The snapshot: what is there is seen as it is, what is not is said to be unknown, and it costs little to look."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from deals.stages.registry import STAGES
from ops.checks import health, metrics
from ops.checks.health import CHECKS
from ops.observe import machine, observer as observing
from ops.observe.log_tails import LogTails
from ops.observe.observer import Observer, RateWindow
from ops.observe.snapshot import Celery, as_json
from ops.workers.processes import Identity, ProcessStatus
from ops.workers.registry import workers as workers_of
from standin.market.server import MarketServer
from tests.support.market_crawls import MarketCrawls
from vinops.checks import Level
from vinops.config import Secret, Settings
from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from psycopg import Connection

    Watch = Callable[..., Observer]

NONE = Celery(workers=(), children=0, beats=())


@pytest.fixture
def watch(settings: Settings) -> Iterator[Watch]:
    """Makes observers, and closes them."""
    made: list[Observer] = []

    def make(*, found: Settings = settings, workers: list[ProcessStatus] | None = None) -> Observer:
        made.append(Observer(found, application="tests", workers=lambda: workers or [], celery=lambda: NONE))
        return made[-1]

    yield make
    for each in made:
        each.close()


def status(settings: Settings, name: str = "1", **more: Any) -> ProcessStatus:
    """A worker that runs."""
    values: dict[str, Any] = {
        "program": next(program for program in workers_of(settings) if program.name == name),
        "state": "running",
        "identity": Identity(pid=4242, ticks=1, boot=""),
        "started_at": datetime.now(UTC) - timedelta(minutes=1),
    }
    return ProcessStatus(**{**values, **more})


def begin_run(database: Connection[Any], *, pid: int, worker: str | None = "1", spider: str = "mobile_bg") -> int:
    """A run of a spider on this machine."""
    import socket

    from psycopg.types.json import Jsonb

    row = database.execute(
        queries("crawls")["begin_run"],
        {
            "spider": spider,
            "worker": worker,
            "machine": socket.gethostname(),
            "pid": pid,
            "arguments": Jsonb({}),
            "unit": "page",
        },
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_an_empty_database_has_no_faults_and_no_invented_figures(watch: Watch) -> None:
    seen = watch().observe()
    assert seen.faults == {}
    assert seen.database.error is None
    assert seen.database.size
    assert abs(seen.database.clock_offset or 0) < 1
    assert seen.feed is not None
    assert seen.feed.last_at is None
    assert seen.photos is not None
    assert seen.photos.share is None
    assert seen.deals is not None
    assert [stage.stage for stage in seen.deals.stages] == list(STAGES)
    assert seen.hosts == ()
    assert seen.alerts == ()
    assert seen.last_items == ()


def test_a_real_crawl_is_seen_as_it_was(settings: Settings, database: Connection[Any], watch: Watch) -> None:
    with MarketServer(seed=1, ads=200) as server:
        crawl = MarketCrawls(settings=settings, database=database, server=server)
        process = crawl.start("-a", "worker=1", "-a", "mode=full")
        done = crawl.finish(process)
    assert done.exit_code == 0, done.log
    found = status(settings, identity=Identity(pid=process.pid, ticks=1, boot=""), state="finished", exit_code=0)
    seen = watch(workers=[found]).observe()
    assert seen.workers is not None
    run = seen.workers[0].run
    assert run is not None
    (ads,) = database.execute("select count(*) from listings").fetchone() or (0,)
    assert run.items >= ads > 0, "an ad may be seen twice"
    assert run.done == run.total
    assert run.reason == "finished"
    assert run.finished_at is not None
    assert len(seen.last_items) == 5
    assert all(name == "1" for name, _ in seen.last_items)
    assert seen.deals is not None
    assert seen.deals.stages[0].waiting == ads
    assert [host.requests >= run.done for host in seen.hosts or ()] == [True]
    assert seen.market is not None
    assert [make.complete_at is not None for make in seen.market.of_worker("1")] == [True, True]
    assert (seen.market.newest_at, seen.market.of_worker("4")[0].since) == (None, None)


def test_passes_over_the_newest_ads_count_from_the_first_one_on(database: Connection[Any], watch: Watch) -> None:
    began = (
        "insert into ops.market_cycles (source, began_at, reason) values ('mobile.bg', now(), 'timeout')"
        " on conflict (source) do update set number = market_cycles.number + 1, began_at = now() returning first_at"
    )
    ((first_at,),) = database.execute(began).fetchall()
    database.execute(began)
    market = watch().observe().market
    assert market is not None
    assert (market.newest_since, market.newest_at, market.newest_reason) == (first_at, None, "timeout")


def test_a_full_walk_takes_as_long_after_the_first_pass_over_the_newest_ads_as_after_others(
    database: Connection[Any], watch: Watch
) -> None:
    database.execute(
        "insert into ops.market_cycles (source, began_at, finished_at, pages, reason)"
        " values ('mobile.bg', now() - interval '5 minutes', now(), 50, 'page_bound')"
    )
    first = watch().observe().market
    database.execute(
        "update ops.market_cycles"
        " set began_at = now() - interval '4 seconds', finished_at = now(), pages = 2, reason = null"
    )
    later = watch().observe().market
    assert first is not None
    assert later is not None
    assert first.walk_seconds == later.walk_seconds is not None


def test_a_run_of_an_earlier_process_is_not_taken_for_this_one(
    settings: Settings, database: Connection[Any], watch: Watch
) -> None:
    begin_run(database, pid=4241)
    later = datetime.now(UTC) + timedelta(seconds=1)
    seen = watch(workers=[status(settings, started_at=later)]).observe()
    assert seen.workers is not None
    assert seen.workers[0].run is None
    own = begin_run(database, pid=4242)
    seen = watch(workers=[status(settings, started_at=later)]).observe()
    assert seen.workers is not None
    assert seen.workers[0].run is not None
    assert seen.workers[0].run.id == own


def test_the_last_run_of_each_worker_is_found_among_many(
    settings: Settings, database: Connection[Any], watch: Watch
) -> None:
    for number in range(30):
        begin_run(database, pid=number, worker=str(1 + number % 4))
    photos = begin_run(database, pid=99, worker=None, spider="lot_photos")
    statuses = [status(settings, name, state="finished") for name in ("1", "2", "3", "4", "photos")]
    seen = watch(workers=statuses).observe()
    assert seen.workers is not None
    assert [each.run.pid for each in seen.workers if each.run] == [28, 29, 26, 27, 99]
    assert seen.workers[-1].run is not None
    assert seen.workers[-1].run.id == photos


def test_rows_that_are_written_are_counted_by_the_minute(database: Connection[Any], watch: Watch) -> None:
    observer = watch()
    observer.observe()
    database.execute(
        "insert into ops.alerts (kind, subject, message) select 'x', g, 'y' from generate_series(1, 500) g"
    )
    seen = observer.observe().database
    for _ in range(200):  # the server's own statistics come a second late
        if (seen.writes_per_minute or 0) > 0:
            break
        database.execute("select pg_stat_force_next_flush(), pg_sleep(0.1)")
        seen = observer.observe().database
    assert (seen.writes_per_minute or 0) > 0
    assert (seen.rows_written or 0) >= 500


def test_one_part_that_fails_costs_only_itself(database: Connection[Any], watch: Watch) -> None:
    database.execute("alter table ops.deal_outbox rename to elsewhere")
    seen = watch().observe()
    assert seen.deals is None
    assert "deal_outbox" in seen.faults["deals"]
    assert seen.feed is not None
    assert seen.database.error is None


def test_only_the_parts_that_are_asked_for_are_read(watch: Watch) -> None:
    observer = watch()
    assert (observer.observe(()).database.error, observer.asked) == (None, 1)
    seen = observer.observe({"hosts", "secrets"})
    assert (observer.asked, seen.hosts) == (3, ())
    assert seen.secrets is not None
    assert (seen.workers, seen.machine, seen.logs, seen.deals, seen.runs, seen.faults) == (*[None] * 5, {})


def test_runs_that_cannot_be_read_are_unknown(database: Connection[Any], watch: Watch) -> None:
    database.execute("alter table ops.crawl_runs rename column stats to statistics")
    seen = watch().observe()
    assert seen.runs is None
    assert "stats" in seen.faults["runs"]
    assert CHECKS["crawls"](seen).level is Level.UNKNOWN


def test_health_and_metrics_leave_the_best_deals_out(database: Connection[Any], watch: Watch) -> None:
    database.execute("alter table public.scores rename to elsewhere")
    for parts in (health.PARTS, metrics.PARTS):
        seen = watch().observe(parts)
        assert seen.faults == {}
        assert seen.deals is not None
    assert "top" in watch().observe().faults


def test_a_backend_that_fails_costs_only_the_workers(settings: Settings) -> None:
    def broken() -> list[ProcessStatus]:
        raise RuntimeError("no bus")

    observer = Observer(settings, application="tests", workers=broken, celery=lambda: NONE)
    seen = observer.observe()
    observer.close()
    assert seen.workers is None
    assert seen.faults == {"workers": "no bus"}


def test_a_database_that_is_away_is_said_without_its_password(settings: Settings, watch: Watch) -> None:
    secret = "canary-7f31"
    nowhere = replace(settings, database_url=Secret(f"postgresql://vinops:{secret}@127.0.0.1:1/none"))
    seen = watch(found=nowhere).observe()
    assert seen.database.error
    assert seen.database.fix == "vinops doctor"
    assert seen.feed is None
    assert secret not in as_json(seen)


def test_a_connection_that_broke_is_opened_again(
    settings: Settings, database: Connection[Any], watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observing, "RETRY", 0.0)
    observer = watch()
    observer.observe()
    database.execute(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
        " where datname = current_database() and application_name = 'tests' and pid <> pg_backend_pid()"
    )
    assert observer.observe().database.error is None


def test_who_only_looks_makes_no_database(tmp_path: Path, watch: Watch) -> None:
    fresh = Settings(data_dir=tmp_path / "var", log_dir=tmp_path / "logs")
    seen = watch(found=fresh).observe()
    assert seen.database.is_new
    assert seen.database.fix == "vinops migrate"
    assert not (tmp_path / "var").exists()


def test_a_database_behind_this_version_says_how_to_migrate(empty_url: str, settings: Settings, watch: Watch) -> None:
    behind = replace(settings, database_url=Secret(empty_url))
    seen = watch(found=behind).observe()
    assert "0001_feed_tables" in (seen.database.error or "")
    assert seen.database.fix == "vinops migrate"


def test_what_is_dear_is_asked_seldom(watch: Watch) -> None:
    observer = watch()
    observer.observe()
    first = observer.asked
    for _ in range(10):
        observer.observe()
    assert observer.asked - first == 20, "the activity and the runs, each time; the rest is remembered"


def test_what_takes_long_is_asked_so_seldom_that_it_takes_a_fiftieth_of_the_time(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(observing.time, "monotonic", lambda: now[0])
    observer = Observer(settings, application="tests", workers=list, celery=lambda: NONE)
    asked = []

    def slow() -> int:
        asked.append(now[0])
        now[0] += 3.0
        return len(asked)

    while now[0] < 2000:
        observer._part("sizes", 10, slow)
        now[0] += 1.0
    assert [round(at) for at in asked] == [1000, 1150, 1300, 1450, 1600, 1750, 1900]


def test_a_rate_window_has_a_rate_and_a_history() -> None:
    window = RateWindow()
    assert window.rate(1) is None
    for second in range(0, 121, 2):
        window.add(second, second * 2)
    assert window.rate(30) == pytest.approx(120)
    assert list(window.history) == [pytest.approx(120)] * 12
    window.add(122, 0)  # a new run counts from the beginning
    assert window.rate(1) is None


def test_errors_in_logs_are_found_followed_and_counted(tmp_path: Path) -> None:
    now = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)
    log = tmp_path / "worker_1.log"
    old = "2026-11-25T01:00:00Z ERROR market: long ago\n"
    log.write_text(old + "2026-11-25T02:50:00Z ERROR market: no_cards authKey=hunter22\n    Traceback\n")
    tails = LogTails(tmp_path)
    seen = tails.read(now)
    assert seen.errors == 1
    assert seen.last_error is not None
    assert seen.last_error.text == "market: no_cards authKey=***"
    with log.open("a") as file:
        file.write("2026-11-25T02:55:00Z INFO market: ERROR is only a word here\n2026-11-25T02:56:00Z CRIT")
    assert tails.read(now).errors == 1
    with log.open("a") as file:
        file.write("ICAL market: the rest of the line\n")
    assert tails.read(now).errors == 2
    log.rename(tmp_path / "worker_1.log.1")
    log.write_text("2026-11-25T02:59:00Z ERROR market: behind the rotation\n")
    seen = tails.read(now)
    assert seen.errors == 3
    assert tails.last_error(log).text == "market: behind the rotation"  # type: ignore[union-attr]
    assert seen.largest == tmp_path / "worker_1.log.1"
    assert seen.bytes == sum(path.stat().st_size for path in tmp_path.iterdir())


def test_a_folder_without_logs_is_no_fault(tmp_path: Path) -> None:
    seen = LogTails(tmp_path / "none").read(datetime.now(UTC))
    assert (seen.bytes, seen.errors, seen.largest, seen.is_writable) == (0, 0, None, True)


def test_celery_is_known_by_its_processes_and_their_folder(settings: Settings, tmp_path: Path) -> None:
    program = tmp_path / "celery"
    program.write_text("import time; print(1, flush=True); time.sleep(60)")

    def start(word: str, folder: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, str(program), "-A", "deals", word],
            env={**os.environ, "VINOPS_DATA_DIR": str(folder)},
            stdout=subprocess.PIPE,
        )

    ours = [start("worker", settings.data_dir), start("beat", settings.data_dir)]
    others = [start("worker", tmp_path / "elsewhere")]
    try:
        for each in (*ours, *others):
            assert each.stdout is not None
            each.stdout.readline()
        found = machine.celery(settings)
    finally:
        for each in (*ours, *others):
            each.kill()
            each.communicate()
    assert found == Celery(workers=(ours[0].pid,), children=0, beats=(ours[1].pid,))


def test_the_backup_is_the_last_verified_one_wherever_it_went(settings: Settings, environment: dict[str, str]) -> None:
    assert machine.backup(settings).newest is None
    settings.data_dir.joinpath("backups").mkdir(parents=True)
    settings.data_dir.joinpath("backups", "copied-by-hand.dump").write_bytes(b"x")
    assert machine.backup(settings).newest is None
    elsewhere = settings.data_dir / "elsewhere"
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli", "backup", "--to", str(elsewhere)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (dump,) = elsewhere.glob("*.dump")
    found = machine.backup(settings)
    assert found.newest is not None
    assert (found.newest.name, found.bytes) == (dump.name, dump.stat().st_size)
    assert found.at is not None
    assert datetime.now(UTC) - found.at < timedelta(minutes=10)


def test_secrets_are_counted_and_half_set_ones_told(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert machine.secrets(settings).problems == ()
    (tmp_path / ".env").write_text("COPART_USERNAME=x\n")
    (tmp_path / ".env").chmod(0o644)
    found = machine.secrets(replace(settings, copart_username=Secret("canary"), telegram_bot_token=Secret("canary")))
    assert len(found.problems) == 3
    assert "canary" not in json.dumps(found.problems)
    (tmp_path / ".env").chmod(0o600)
    assert machine.secrets(settings).problems == ()


def test_secrets_that_were_not_changed_for_a_year_are_told(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / ".env"
    path.touch(mode=0o600)
    year_ago = time.time() - 400 * 86_400
    os.utime(path, (year_ago, year_ago))
    (found,) = machine.secrets(settings).problems
    assert found.startswith(".env was last changed 400 days ago: ")
    assert machine.secrets(replace(settings, secret_days=0)).problems == ()
    assert machine.secrets(replace(settings, secret_days=500)).problems == ()
    assert machine.secrets(replace(settings, database_url=None)).problems == (), "it holds no secret"


def test_when_a_worker_of_this_machine_last_did_a_task_is_known(watch: Watch, database: Connection[Any]) -> None:
    deals = watch().observe().deals
    assert deals is not None
    assert deals.last_task_at is None
    database.execute(
        "insert into ops.task_progress values (%s, now(), 'sweep'), ('elsewhere', now() + interval '1 hour', 'sweep')",
        [socket.gethostname()],
    )
    deals = watch().observe().deals
    assert deals is not None
    assert deals.last_task_at is not None
    assert abs((datetime.now(UTC) - deals.last_task_at).total_seconds()) < 600
