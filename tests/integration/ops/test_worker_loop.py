"""`vinops workers run`: what a unit runs, and what it tells systemd, with a stand-in for the crawl."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.support.cases import few_quick
from tests.support.fleets import Database, Fleet, until
from tests.support.notify_listener import Systemd
from vinops_scrapy.hosts import netloc

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vinops.config import Settings

WATCHDOG = 1.5


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    listener = Systemd(tmp_path / "notify")
    yield listener
    listener.close()


@pytest.fixture
def fleet(settings: Settings, database: Database, tmp_path: Path, systemd: Systemd) -> Iterator[Fleet]:
    fleet = Fleet(settings=settings, database=database, folder=tmp_path)
    fleet.more = {
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
        "WATCHDOG_USEC": str(int(WATCHDOG * 1e6)),
        "VINOPS_CYCLE_PAUSE": "0.1",
    }
    fleet.prepare()
    yield fleet
    fleet.close()


@pytest.fixture
def loop(fleet: Fleet) -> Iterator[subprocess.Popen[str]]:
    """The loop of worker 1."""
    process = fleet.begin("workers", "run", "1")
    yield process
    if process.poll() is None:
        process.kill()
    fleet.close()  # its crawl, which has the pipes of the loop
    process.communicate()


def begun(fleet: Fleet) -> int:
    return int(fleet.rows("select count(*) from ops.crawl_runs")[0][0])


def test_it_is_ready_with_the_first_heartbeat_and_feeds_the_watchdog_while_that_moves(
    fleet: Fleet, systemd: Systemd, loop: subprocess.Popen[str]
) -> None:
    until(lambda: systemd.count("READY=1"), "ready")
    assert begun(fleet) == 1
    until(lambda: systemd.count("WATCHDOG=1") >= 3, "the watchdog is fed")
    assert systemd.count("READY=1") == 1
    assert any("cycle 1: 0 of ? pages" in message for message in systemd.hear())


def test_a_crawl_that_hangs_starves_the_watchdog(fleet: Fleet, systemd: Systemd, loop: subprocess.Popen[str]) -> None:
    until(lambda: systemd.count("WATCHDOG=1"), "the watchdog is fed")
    (crawl,) = fleet.processes("1")
    os.kill(crawl, signal.SIGSTOP)
    # One sign may be on its way; from the second poll on there is none, however long the loop itself lives.
    since = fleet.rows("select clock_timestamp()")[0][0]
    systemd.forget()
    until(
        lambda: fleet.rows("select clock_timestamp() - %s::timestamptz > interval '4 seconds'", since)[0][0],
        "eight polls",
    )
    assert systemd.count("WATCHDOG=1") <= 1
    assert loop.poll() is None
    os.kill(crawl, signal.SIGCONT)
    until(lambda: systemd.count("WATCHDOG=1") >= 2, "the watchdog is fed again")


def test_a_finished_crawl_is_followed_by_the_next(fleet: Fleet, systemd: Systemd, loop: subprocess.Popen[str]) -> None:
    fleet.says("1", "0 finished")
    until(lambda: begun(fleet) >= 3, "three cycles")
    assert loop.poll() is None


@pytest.mark.parametrize(("said", "code"), few_quick([("1 blocked", 1), ("7 error", 7), ("crash", 1)], 1))
def test_a_failed_crawl_ends_it_with_its_exit_code(
    fleet: Fleet, loop: subprocess.Popen[str], said: str, code: int
) -> None:
    fleet.says("1", said)
    assert loop.wait(60) == code


@pytest.mark.slow
def test_a_crawl_most_of_which_failed_is_followed_by_the_next(
    fleet: Fleet, systemd: Systemd, loop: subprocess.Popen[str]
) -> None:
    """The owner was told by the crawl; what failed is due again later, and others are meanwhile."""
    fleet.says("1", "1 mostly_failed")
    until(lambda: begun(fleet) >= 3, "one cycle after the other")
    assert loop.poll() is None


def test_a_killed_crawl_ends_it_as_a_shell_would(fleet: Fleet, systemd: Systemd, loop: subprocess.Popen[str]) -> None:
    until(lambda: systemd.count("READY=1"), "ready")
    os.kill(fleet.processes("1")[0], signal.SIGKILL)
    assert loop.wait(60) == 128 + signal.SIGKILL


def test_told_to_end_it_has_the_crawl_end_first(fleet: Fleet, systemd: Systemd, loop: subprocess.Popen[str]) -> None:
    until(lambda: systemd.count("READY=1"), "ready")
    loop.send_signal(signal.SIGTERM)
    assert loop.wait(60) == 0
    assert fleet.rows("select reason from ops.crawl_runs") == [("shutdown",)]
    assert fleet.processes("1") == []


@pytest.mark.slow
def test_told_to_end_it_waits_for_a_crawl_that_takes_long(
    fleet: Fleet, systemd: Systemd, loop: subprocess.Popen[str]
) -> None:
    until(lambda: systemd.count("READY=1"), "ready")
    (crawl,) = fleet.processes("1")
    os.kill(crawl, signal.SIGSTOP)
    loop.send_signal(signal.SIGTERM)
    until(lambda: systemd.count("STOPPING=1"), "it says that it ends")
    assert loop.poll() is None
    os.kill(crawl, signal.SIGCONT)
    assert loop.wait(60) == 0


def test_an_open_breaker_is_waited_for_and_is_no_failure(fleet: Fleet, systemd: Systemd) -> None:
    host = netloc(fleet.environment["MOBILE_BG_URL"])
    fleet.database.execute(
        "insert into ops.host_budgets (host, open_until) values (%s, now() + interval '1 hour')", [host]
    )
    loop = fleet.begin("workers", "run", "1")
    until(lambda: any("the breaker is open until" in message for message in systemd.hear()), "it says why it waits")
    until(lambda: systemd.count("WATCHDOG=1") >= 2, "waiting is no hanging")
    assert (systemd.count("READY=1"), begun(fleet)) == (1, 0)
    loop.send_signal(signal.SIGTERM)
    assert loop.wait(60) == 0
    loop.communicate()


@pytest.mark.slow
def test_the_same_worker_elsewhere_is_waited_for(fleet: Fleet, systemd: Systemd) -> None:
    fleet.start("1")
    loop = fleet.begin("workers", "run", "1")
    until(lambda: any("it runs elsewhere, as PID" in message for message in systemd.hear()), "it says why it waits")
    assert len(fleet.processes("1")) == 1
    loop.send_signal(signal.SIGTERM)
    assert loop.wait(60) == 0
    loop.communicate()


@pytest.mark.slow
def test_a_database_that_is_away_is_waited_for(
    fleet: Fleet, systemd: Systemd, server: str, admin: psycopg.Connection, loop: subprocess.Popen[str]
) -> None:
    """Its sessions are ended and no new one is let in: the crawl fails, and the loop does not."""
    assert fleet.settings.database_url is not None
    name = conninfo_to_dict(fleet.settings.database_url.reveal())["dbname"]
    until(lambda: systemd.count("READY=1"), "ready")
    admin.execute(f'alter database "{name}" allow_connections false'.encode())
    try:
        admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name])
        until(lambda: any("the database is unavailable" in message for message in systemd.hear()), "it says so")
        systemd.forget()
        until(lambda: systemd.count("WATCHDOG=1") >= 2, "waiting is no hanging")
        assert loop.poll() is None
    finally:
        admin.execute(f'alter database "{name}" allow_connections true'.encode())


def test_a_name_that_is_no_workers_is_wrong_usage(fleet: Fleet) -> None:
    assert fleet.run("workers", "run", "9").returncode == 2
