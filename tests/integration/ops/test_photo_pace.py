"""How many lots photo crawls finish a day, and the days to go: one figure in forecast, health, status and monitor."""

from __future__ import annotations

import json
import re
import subprocess
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from ops.checks import health
from ops.commands import forecast, status
from ops.forecast.measures import measure
from ops.monitor import panels
from ops.observe.observer import Observer
from ops.observe.pace import Pace
from ops.observe.snapshot import Celery
from tests.support import forks
from vinops.db import database as db
from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg import Connection

    from vinops.config import Settings

    Run = Callable[..., subprocess.CompletedProcess[str]]

HOUR = timedelta(hours=1)
NONE = Celery(workers=(), children=0, beats=())
DOCUMENT = 154_500
"""Lots that wait in the operators' own sum: at 1,500 a day 103 days, at 3,600 a day 43."""
FIRST_DAY = """
insert into raw.csv_files (sha256, fetched_at, path, bytes, archive_bytes, archive_sha256)
values (repeat('1', 64), now() - interval '40 minutes', '1', 9, 9, '');
insert into audit.etl_runs (started_at, status, lots_new, lots_changed) values
(now() - interval '40 minutes', 'loaded', 3200, 0), (now() - interval '20 minutes', 'loaded', 40, 200);
insert into lots (lot_external_id, vehicle_id, first_seen_at, status, gone_at, sale_at, image_url, row_hash, file_id)
select n, n, now() - interval '40 minutes', case when n > 3000 then 'gone' else 'active' end,
    case when n > 3000 then now() - interval '20 minutes' end, now() + interval '1 hour', 'https://x/' || n, '', 1
from generate_series(1, 3200) as n
"""
COMMANDS = (("forecast",), ("health",), ("status",), ("monitor", "--once"))


@pytest.fixture
def vinops(environment: dict[str, str]) -> Run:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return forks.vinops(environment, *arguments)

    return run


def lots(database: Connection[Any], count: int = DOCUMENT) -> None:
    database.execute(
        """insert into lots (lot_external_id, vehicle_id, first_seen_at, image_url, row_hash, file_id)
        select n, n, now(), 'https://x/' || n, '', 1 from generate_series(1, %s) as n""",
        [count],
    )


def crawl(
    database: Connection[Any], started: datetime, *, lasted: timedelta, done: int, going: bool = False, **stats: int
) -> None:
    ended = started + lasted
    database.execute(
        """insert into ops.crawl_runs (spider, machine, pid, started_at, heartbeat_at, finished_at, done, stats)
        values ('lot_photos', 'm', 1, %s, %s, %s, %s, %s)""",
        [started, ended, None if going else ended, done, Jsonb({f"lot/{name}": n for name, n in stats.items()})],
    )


def every_eight_hours(database: Connection[Any], first: timedelta, *, count: int = 20) -> None:
    """Runs of 500 lots at 2.5 a minute, the first of them so long ago; one that has not ended yet is under way."""
    now = datetime.now(UTC)
    for number in range(count):
        started = now - first + number * 8 * HOUR
        lasted = min(now - started, timedelta(minutes=200))
        crawl(database, started, lasted=lasted, done=round(lasted.total_seconds() / 24), going=lasted < 3 * HOUR)


def pace(database: Connection[Any]) -> Pace | None:
    with database.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(queries("snapshot")["photo_pace"]).fetchone()
    return Pace.of(row)


def said(text: str) -> str:
    """Without line breaks, and without the frames of the monitor."""
    return " ".join(re.sub(r"[│]", " ", text).split())


def shown(settings: Settings) -> dict[str, str]:
    """What the four commands print, without a process for each."""
    with closing(Observer(settings, application="tests", workers=list, celery=lambda: NONE)) as observer:
        seen = observer.observe()
    with db.connect(settings, application="tests", autocommit=True) as connection:
        measures = measure(connection, settings)
    view = panels.View(snapshot=seen, health=health.judge(seen))
    return {
        "forecast": "\n".join(forecast.lines(measures)),
        "health": "\n".join(health.text(view.health, 80)),
        "status": "\n".join(status.lines(seen)),
        "monitor": "\n".join(line.plain for line in panels.page(view, 80)),
    }


def test_four_commands_say_the_sum_of_the_operators_document(settings: Settings, database: Connection[Any]) -> None:
    lots(database)
    every_eight_hours(database, 153 * HOUR)
    for command, text in shown(settings).items():
        assert "1,500 a day, 103 days to go" in said(text), (command, text)
        assert set(re.findall(r"([\d.,]+) days (?:to go|left)", text)) == {"103"}, text


@pytest.mark.slow
def test_the_commands_themselves_say_so(vinops: Run, database: Connection[Any]) -> None:
    lots(database)
    every_eight_hours(database, 153 * HOUR)
    for arguments in COMMANDS:
        done = vinops(*arguments)
        assert "1,500 a day, 103 days to go" in said(done.stdout), (arguments, done.stdout, done.stderr)


def test_forecast_answers_the_documents_other_sum_of_a_crawl_without_pauses(
    vinops: Run, database: Connection[Any]
) -> None:
    lots(database)
    every_eight_hours(database, 153 * HOUR)
    assert "3,600 a day, 43 days to go" in said(vinops("forecast", "--lots-per-hour", "150").stdout)
    found = json.loads(vinops("forecast", "--json").stdout)
    assert found["lots"] == {
        "active": DOCUMENT,
        "photographed": 0,
        "settled": 0,
        "remaining": DOCUMENT,
        "waiting": DOCUMENT,
    }
    assert found["days_to_go"] == found["cases"]["likely"]["days_to_go"] == pytest.approx(103, rel=0.001)


@pytest.mark.parametrize("hours", [0.01, 1, 3.4, 5, 7.9])
def test_it_does_not_matter_when_one_looks(database: Connection[Any], hours: float) -> None:
    every_eight_hours(database, (152 + hours) * HOUR)
    found = pace(database)
    assert found is not None
    assert found.lots_a_day == pytest.approx(1500, rel=0.001)
    assert (found.days, found.runs) == (6, 20)


def test_a_crawl_that_never_pauses_is_counted_as_such(database: Connection[Any]) -> None:
    now = datetime.now(UTC)
    for number in range(45):
        crawl(database, now - (150 - number * 10 / 3) * HOUR, lasted=timedelta(minutes=200), done=500)
    found = pace(database)
    assert found is not None
    assert found.lots_a_day == pytest.approx(3600, rel=0.001)


def test_two_crawls_at_once_count_both_and_pauses_count_too(database: Connection[Any]) -> None:
    now = datetime.now(UTC)
    for _ in range(2):
        crawl(database, now - 49 * HOUR, lasted=10 * HOUR, done=1000)
    found = pace(database)
    assert found is not None
    assert found.lots_a_day == pytest.approx(900)  # of two days nine hours each; the first hour lies before them
    assert (found.days, found.low, found.high) == (2, pytest.approx(180), pytest.approx(1620))


def test_lots_that_were_there_already_or_did_not_end_well_bring_nobody_nearer(database: Connection[Any]) -> None:
    crawl(
        database,
        datetime.now(UTC) - 24.5 * HOUR,
        lasted=timedelta(hours=24),
        done=2450,
        failed=245,
        partial=245,
        none_yet=245,
        rechecked=490,
    )
    found = pace(database)
    assert found is not None
    assert found.lots_a_day == pytest.approx(1225 * 23.5 / 24, rel=0.001)


def test_a_run_of_seconds_is_no_rate_and_says_from_when_there_will_be_one(
    settings: Settings, vinops: Run, database: Connection[Any]
) -> None:
    lots(database, 3000)
    started = datetime.now(UTC) - 2 * HOUR
    crawl(database, started, lasted=timedelta(seconds=13), done=24)
    expected = f"not enough data yet, from {started + timedelta(days=1):%Y-%m-%d %H:%M} UTC on"
    for command, text in shown(settings).items():
        assert expected in said(text), (command, text)
        assert not re.search(r"[\d.,]+ days? (?:to go|left)", text), text
    assert re.search("OK +photos ", shown(settings)["health"])
    found = json.loads(vinops("forecast", "--json").stdout)
    assert found["days_to_go"] is None
    assert found["not_enough_data_until"].startswith(f"{started + timedelta(days=1):%Y-%m-%dT%H:%M}")


def test_the_first_day_has_no_nonsense(settings: Settings, database: Connection[Any]) -> None:
    """Lots of the first file that leave after minutes are not lots that live for minutes."""
    database.execute(FIRST_DAY)
    text = said(shown(settings)["forecast"])
    assert "new lots a day assumed: 333, the lots that are active by the life of a lot; not enough data yet" in text
    assert "life of a lot assumed: 9 days; not enough data yet, from " in text
    assert "known sales assumed" in text
    assert "no photo crawl ran in the last week" in text
    assert " TB" not in text


def test_what_ran_long_ago_does_not_count(database: Connection[Any]) -> None:
    assert pace(database) is None
    crawl(database, datetime.now(UTC) - timedelta(days=9), lasted=3 * HOUR, done=500)
    assert pace(database) is None
    # Crawls began again two hours ago: the time without any is no pause between two.
    crawl(database, datetime.now(UTC) - 2 * HOUR, lasted=HOUR, done=500)
    found = pace(database)
    assert found is not None
    assert found.lots_a_day is None
    assert found.enough_from - datetime.now(UTC) == pytest.approx(22 * HOUR, abs=HOUR / 10)
