"""No check runs inside what it checks: the supervisor tells of Celery and the disk, health of the supervisor, and a
database that is away is told past it."""

from __future__ import annotations

import json
import os
import signal
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from ops.checks import health, outside
from ops.observe import machine, observer
from ops.workers import registry, runs
from ops.workers.processes import ProcessStatus
from ops.workers.supervisor import Supervisor
from tests.support import snapshots as given
from tests.support.fleets import Fleet, until
from vinops import alerts
from vinops.checks import Level
from vinops.config import Secret
from vinops.db import database as databases
from vinops.db.database import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from psycopg import Connection

    from ops.workers.registry import Program
    from vinops.config import Settings

    Database = Connection[tuple[Any, ...]]


class Nothing:
    """A backend on which nothing was ever started."""

    name = "nothing"
    owns_restarts = False

    def status(self, programs: Sequence[Program]) -> list[ProcessStatus]:
        """Return that nothing runs."""
        return [ProcessStatus(program=each, state="stopped") for each in programs]

    start = stop = why = None


def supervisor(settings: Settings, **more: Any) -> Supervisor:
    backend: Any = Nothing()
    return Supervisor(settings, backend, **more)


def open_alerts(database: Database) -> dict[str, str]:
    rows = database.execute("select kind, message from ops.alerts where cleared_at is null").fetchall()
    return dict(rows)


def line(settings: Settings, name: str) -> tuple[Level, str]:
    """Return the level and the text of a line of health."""
    with closing(observer.Observer(settings, application="tests")) as one:
        found = health.judge(one.observe(health.PARTS))
    return next((each.level, each.text) for each in found.lines if each.name == name)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The disk that the machine has: `disk["data"] = given.disk(0.9)`."""
    disks = {"data": given.disk(0.5)}
    monkeypatch.setattr(machine, "machine", lambda _: given.machine(data_disk=disks["data"]))
    return disks


def test_the_supervisor_tells_of_ads_that_wait_for_a_celery_that_is_dead(
    database: Database, settings: Settings, disk: dict[str, Any]
) -> None:
    """The alert `deals_backlog` was raised by a task of the very worker that was dead."""
    insert = "insert into listings (source, ad_id, make_slug, url, title, posted_at, list_hash) values"
    database.execute(f"{insert} ('mobile.bg', '1', 'opel', 'https://x/1', 'Opel Astra', now(), ''::bytea)".encode())
    database.execute(
        "insert into ops.deal_outbox (listing_id, stage, change, queued_at)"
        " select id, 'price', 'new', clock_timestamp() - interval '31 minutes' from listings"
    )
    with closing(supervisor(settings, watch=outside.Watch(settings))) as one:
        assert one.check() is not None
        assert open_alerts(database).keys() == {"deals_backlog"}
        database.execute("delete from ops.deal_outbox")
        one.check()
        assert open_alerts(database).keys() == {"deals_backlog"}, "it is looked at once a minute"
        one._watched = -float("inf")
        one.check()
    assert open_alerts(database) == {}


def test_the_supervisor_tells_of_a_disk_once_until_it_has_room(
    database: Database, settings: Settings, disk: dict[str, Any]
) -> None:
    watch = outside.Watch(settings)
    for share, is_open in ((0.85, False), (0.9, True), (0.91, True), (0.85, True), (0.9, True), (0.7, False)):
        disk["data"] = given.disk(share)
        watch(database)
        assert (outside.DISK in open_alerts(database)) is is_open, share
    ((count, times),) = database.execute("select count(*), max(times) from ops.alerts").fetchall()
    assert (count, times) == (1, 3), "around 90 % it is one alert"
    disk["data"] = replace(given.disk(0.2), is_read_only=True)
    watch(database)
    assert "read-only" in open_alerts(database)[outside.DISK]


def test_the_supervisor_tells_of_first_photos_that_fall_behind(
    database: Database, settings: Settings, disk: dict[str, Any]
) -> None:
    """Of 100 lots of two days ago all had their first pass a day ago; of the 20 that came since none has."""
    database.execute(
        "insert into lots (lot_external_id, vehicle_id, first_seen_at, image_url, row_hash, file_id)"
        " select n, n, now() - case when n <= 100 then interval '2 days' else interval '1 hour' end, 'https://x', '', 1"
        " from generate_series(1, 120) as n"
    )
    database.execute(
        "insert into lot_photos (lot_id, state, stored, first_at) select id, 'first', 3, now() - interval '30 hours'"
        " from lots where lot_external_id <= 100"
    )
    watch = outside.Watch(settings)
    watch(database)
    message = open_alerts(database)[outside.COVERAGE]
    assert "83 % of 120 lots past their first pass, 100 % a day ago" in message
    assert "vinops logs photos" in message
    database.execute(
        "insert into lot_photos (lot_id, state, stored, first_at) select id, 'first', 3, now()"
        " from lots where lot_external_id > 100"
    )
    watch(database)
    assert outside.COVERAGE in open_alerts(database), "it is counted every ten minutes"
    watch._counted = -float("inf")
    watch(database)
    assert open_alerts(database) == {}


def test_a_disk_too_full_to_record_it_is_told_past_the_database(
    database: Database, settings: Settings, disk: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, ...]] = []

    def fails(*_: object) -> bool:
        raise psycopg.errors.DiskFull("No space left on device")

    monkeypatch.setattr(alerts, "raise_alert", fails)
    monkeypatch.setattr(alerts, "tell", lambda _, *about: told.append(about))
    disk["data"] = given.disk(1.0)
    watch = outside.Watch(replace(settings, telegram_bot_token=Secret("1:x"), telegram_alert_chat_id="7"))
    for _ in range(3):
        with pytest.raises(psycopg.errors.DiskFull):
            watch(database)
    ((chat, kind, _, text),) = told
    assert (chat, kind) == ("7", "disk_full")
    assert "100 %" in text


def test_a_database_that_stays_away_is_told_once_past_it(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, ...]] = []
    monkeypatch.setattr(alerts, "tell", lambda _, *about: told.append(about))
    settings = replace(settings, restart_cooldown=60.0, telegram_bot_token=Secret("1:x"), telegram_alert_chat_id="7")

    def away(*_: object, **__: object) -> None:
        raise DatabaseError("no connection to the database: refused")

    with closing(supervisor(settings)) as one:
        for _ in range(2):
            with monkeypatch.context() as patched:
                patched.setattr(databases, "connect", away)
                one.close()
                assert one.check() is None
                assert one.check() is None
                assert told == [], "a restart takes less"
                assert one._blind_since is not None
                one._blind_since -= 61
                assert one.check() is None
                assert one.check() is None
            ((_, kind, _, text),) = told
            assert kind == "database_away"
            assert "refused" in text
            told.clear()
            assert one.check() is not None
            assert one.check() is not None


def test_health_tells_of_a_supervisor_that_is_wanted_and_gone(database: Database, settings: Settings) -> None:
    assert line(settings, "supervisor")[0] is Level.OK
    with closing(supervisor(settings)) as one:
        one.once()
        assert line(settings, "supervisor") == (Level.OK, "the last pass 0 s ago, its process is not visible")
        age = "update ops.workers set desired_at = now() - interval '4 minutes' where worker = 'supervisor'"
        database.execute(age)
        assert line(settings, "supervisor")[0] is Level.CRITICAL
        one.once()
        assert line(settings, "supervisor")[0] is Level.OK, "as with `supervise --once` from cron"
        one.stop()
        one.run(60)
    assert line(settings, "supervisor")[0] is Level.OK, "it was told to end, and nothing is wanted here"
    runs.want(database, registry.workers(settings)[:1], "running")
    level, text = line(settings, "supervisor")
    assert level is Level.WARNING
    assert text.endswith("and 1 is wanted")


def test_health_misses_what_is_wanted_until_it_is_retired(database: Database, settings: Settings) -> None:
    """0 of 4 were OK after a stop, after a cycle, and where only some were ever started."""
    *four, fifth = [each for each in registry.workers(settings) if not each.is_shared]
    assert line(settings, "workers")[0] is Level.OK, "never set up"
    runs.want(database, four[:2], "running")
    assert line(settings, "workers") == (
        Level.WARNING,
        "0 of 4 run: workers 1, 2 wanted, and not running; workers 3, 4 never started on any machine",
    )
    runs.want(database, [fifth], "running")
    assert line(settings, "workers")[1].startswith("0 of 5 run: workers 1, 2, 5 wanted"), "once it was started by name"
    runs.retire(database, [fifth])
    runs.want(database, four, "stopped")
    assert line(settings, "workers") == (Level.WARNING, "0 of 4 run: workers 1, 2, 3, 4 stopped by an operator")
    database.execute("update ops.workers set machine = 'another', desired = 'running'")
    assert line(settings, "workers")[0] is Level.OK, "another machine has them"
    database.execute("update ops.workers set machine = %s", [observer.socket.gethostname()])
    runs.retire(database, [*four, fifth])
    assert line(settings, "workers")[0] is Level.OK
    runs.want(database, registry.celery(settings), "stopped")
    assert line(settings, "celery")[1].startswith("stopped by an operator")
    runs.retire(database, registry.celery(settings))
    assert line(settings, "celery")[0] is Level.OK


@pytest.fixture
def fleet(settings: Settings, database: Database, tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(settings=settings, database=database, folder=tmp_path, more={"VINOPS_SUPERVISE_EVERY": "0.2"})
    fleet.prepare()
    yield fleet
    fleet.close()


@pytest.mark.slow
def test_a_killed_supervisor_and_a_stopped_fleet_are_seen_by_the_command(fleet: Fleet, database: Database) -> None:
    def lines() -> dict[str, dict[str, str]]:
        return {each["name"]: each for each in json.loads(fleet.run("health", "--json").stdout)["lines"]}

    process = fleet.supervise()
    until(lambda: "supervising" in fleet.log(), "it supervises")
    assert "PID" in lines()["supervisor"]["figure"]
    assert "supervision pass failed" not in fleet.log()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    database.execute("update ops.workers set desired_at = now() - interval '4 minutes' where worker = 'supervisor'")
    found = lines()["supervisor"]
    assert (found["level"], found["fix"].split(" &")[0]) == ("CRITICAL", "nohup vinops supervise")
    fleet.start("1")
    fleet.run("workers", "stop", "1")
    assert (lines()["workers"]["level"], lines()["workers"]["fix"]) == ("WARNING", "vinops workers start 1 2 3 4")
    fleet.run("workers", "stop", "1", "--retire")
    assert lines()["workers"]["level"] == "OK"
