"""`vinops forecast`: with nothing measured it assumes and says so; with figures in the database it uses those."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support import forks

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg
    from psycopg.rows import TupleRow

    Database = psycopg.Connection[TupleRow]
    Run = Callable[..., subprocess.CompletedProcess[str]]


MEASURED = """
insert into lots (lot_external_id, vehicle_id, first_seen_at, image_url, sale_at, row_hash, file_id, status, gone_at)
select n, n, now() - interval '1 hour', 'https://x/' || n,
    case when n % 4 > 0 then now() + interval '48 hours' end, '', 1, 'active', null
from generate_series(1, 4000) as n;
insert into lots (lot_external_id, vehicle_id, first_seen_at, row_hash, file_id, status, gone_at)
select n, n, now() - interval '12 days', '', 1, 'gone', now() - interval '2 days'
from generate_series(5001, 5200) as n;
insert into lot_photos (lot_id, state, stored)
select id, 'ok', 8 + id % 5 from lots where status = 'active' order by id limit 1000;
insert into images (
    lot_id, seq, variant, source_url, storage_key, content_hash, content_type, width, height, bytes
)
select id, 1, 'hrs', 'u', 'photos/' || (id / 2), repeat('0', 64), 'image/jpeg', 1, 1, 100000 + (id % 3) * 100000
from lots where status = 'active' order by id limit 1500;
insert into ops.crawl_runs (spider, machine, pid, started_at, heartbeat_at, finished_at, done)
values
    ('lot_photos', 'm', 1, now() - interval '47 hours', now() - interval '46 hours', now() - interval '46 hours', 2000),
    ('lot_photos', 'm', 2, now() - interval '49 hours', now() - interval '48 hours', now() - interval '48 hours', 9000),
    ('lot_photos', 'm', 2, now() - interval '2 hours', now() - interval '1 hours', null, 6000),
    ('mobile_bg', 'm', 3, now() - interval '2 hours', now() - interval '1 hours', null, 9000),
    ('lot_photos', 'm', 4, now() - interval '1 hours', now() - interval '1 hours', null, 0);
insert into audit.etl_runs (started_at, status, lots_new, lots_changed)
values
    (now() - interval '30 days', 'loaded', 150000, 0),
    (now() - interval '2 days', 'loaded', 1000, 2000),
    (now() - interval '1 days', 'loaded', 3000, 4000);
insert into raw.csv_files (sha256, fetched_at, path, bytes, archive_bytes, archive_sha256)
select repeat(n::text, 64), date_trunc('day', now()) - n * interval '1 day' + interval '1 hour', n::text, 90000000,
    n * 10000000, ''
from generate_series(0, 4) as n;
insert into raw.csv_files (sha256, fetched_at, path, bytes, archive_bytes, archive_sha256)
values (repeat('f', 64), now() - interval '30 days', '9', 90000000, 0, '');
analyze;
"""


@pytest.fixture
def vinops(environment: dict[str, str]) -> Run:
    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return forks.vinops({**environment, **variables}, "forecast", *arguments)

    return run


def test_with_nothing_measured_it_assumes_and_says_so(vinops: Run, database: Database) -> None:
    done = vinops("--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["basis"]["lots an hour"] == "assumed: 150, one crawl at pace careful all day"
    assert all(text.startswith("assumed") for name, text in said["basis"].items() if name != "database growth")
    assert said["cases"]["likely"]["lots_a_day"] == 3600
    assert said["inputs"]["arrivals_a_day"]["likely"] == pytest.approx(150_000 / 9)
    assert "assumed: 150" in vinops().stdout
    steady = json.loads(vinops("--json", VINOPS_PACE="steady").stdout)
    assert steady["cases"]["likely"]["lots_a_day"] == 13_200
    assert steady["cases"]["likely"]["first_a_day"] == pytest.approx(28_800)


def test_it_says_what_each_pace_reaches_with_several_numbers_of_first_photos(vinops: Run, database: Database) -> None:
    reach = json.loads(vinops("--json", VINOPS_PHOTOS_FIRST="4").stdout)["reach"]
    assert reach["says"].endswith("careful reaches 3,600, 78 % leave without a photo; VINOPS_PACE=steady loses none")
    assert [(each["pace"], each["first"]) for each in reach["paces"]] == [
        (pace, first) for pace in ("careful", "steady") for first in (1, 3, 4, 6, 12)
    ]
    rows = [line.split() for line in vinops().stdout.splitlines() if line.startswith(("careful ", "steady "))]
    assert rows == [
        ["careful", "1,", "3,", "6,", "12", "3,600", "78", "%", "22", "%"],
        ["steady", "1", "28,800", "none", "85", "%"],
        ["steady", "3", "28,800", "none", "82", "%"],
        ["steady", "6", "28,800", "none", "73", "%"],
        ["steady", "12", "14,400", "14", "%", "86", "%"],
    ]


def test_what_is_in_the_database_is_what_counts(vinops: Run, database: Database) -> None:
    database.execute(MEASURED)
    done = vinops("--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["lots"] == {"active": 4000, "photographed": 1000, "waiting": 3000, "settled": 1000, "remaining": 3000}
    given = said["inputs"]
    # 2,000 lots the day before yesterday, 6,000 since; the 9,000 before that are just too old for two whole days.
    assert given["lots_per_hour"] == {
        "low": pytest.approx(2400 / 24),
        "likely": pytest.approx(4000 / 24),
        "high": pytest.approx(5600 / 24),
    }
    assert given["rechecks_a_day"] == pytest.approx(1000 / 3)
    assert given["are_new"] is True
    # 4,000 new lots in two days; the first load is none.
    assert given["arrivals_a_day"]["likely"] == pytest.approx(2000, rel=0.01)
    assert given["life_hours"] == pytest.approx(240)
    assert given["dated_share"] == pytest.approx(0.75)
    assert given["lead_hours"] == pytest.approx(49)
    assert given["photos_per_lot"] == {"low": 9, "likely": pytest.approx(10), "high": 11}
    assert given["bytes_per_photo"]["likely"] == pytest.approx(200_000)
    assert given["new_share"] == pytest.approx(0.5, abs=0.01)
    # Whole days: of today and the first day of the two weeks nobody knows whether they are whole.
    assert given["archive_a_day"]["likely"] == pytest.approx(20e6)
    assert given["archive_bytes"] == 100e6
    likely = said["cases"]["likely"]
    assert likely["lots_a_day"] == pytest.approx(4000)
    assert likely["days_to_go"] == pytest.approx(3000 / 4000)
    # 3,000 wait and 83 an hour come, 167 are done: 3,000 / 84 hours.
    assert likely["backfill"]["days"] == pytest.approx(3000 / (4000 / 24 - 2000 / 24) / 24, rel=0.05)
    assert likely["backfill"]["lost_waiting"] == 0
    assert said["cases"]["high"]["months"][2]["stored_bytes"] > likely["months"][2]["stored_bytes"]
    assert all(text.startswith("measured") for name, text in said["basis"].items() if name != "database growth")


def test_what_if(vinops: Run, database: Database) -> None:
    database.execute(MEASURED)
    asked = json.loads(vinops("--json", "--lots-per-hour", "50", "--photos-per-lot", "20").stdout)
    assert {asked["cases"][which]["lots_a_day"] for which in ("low", "likely")} == {50 * 24 - 1000 / 3}
    # 1,200 a day less the rechecks are fewer than the 2,000 that come: it never ends, and lots are lost.
    assert asked["cases"]["likely"]["backfill"]["days"] is None
    assert asked["cases"]["likely"]["backfill"]["lost_a_day"] == pytest.approx(2000 - 866.7, rel=0.02)
    forever = json.loads(vinops("--json").stdout)["cases"]["likely"]["months"][2]
    kept = json.loads(vinops("--json", "--retention-days", "30").stdout)["cases"]["likely"]["months"][2]
    assert kept["stored_bytes"] < forever["stored_bytes"] / 5
    assert vinops("--lots-per-hour", "-1").returncode == 2


def test_plain_text_fits_a_screen(vinops: Run, database: Database) -> None:
    for statement in ("select 1", MEASURED):
        database.execute(statement)
        done = vinops()
        assert done.returncode == 0, done.stderr
        assert max(map(len, done.stdout.splitlines())) <= 80
        assert "\x1b" not in done.stdout


def test_it_says_what_history_takes_and_how_long_it_is_kept(vinops: Run, database: Database) -> None:
    database.execute(MEASURED)
    database.execute(
        "insert into audit.lot_events (lot_id, file_id, event, happened_at)"
        " select n, 1, 'appeared', now() from generate_series(1, 5000) as n; analyze audit.lot_events"
    )
    history = json.loads(vinops("--json").stdout)["history"]
    assert (history["events"]["rows"], history["gone lots"]["rows"]) == (5000, 200)
    assert all(each["days"] is None for each in history.values())
    assert history["events"]["bytes"] > 100_000
    text = vinops(VINOPS_EVENT_DAYS="365", VINOPS_GONE_LOT_DAYS="400", VINOPS_GONE_PHOTO_DAYS="90").stdout
    assert "kept for 365 days (VINOPS_EVENT_DAYS)" in text
    assert "kept for 400 days after they left\n" in text
    assert "kept for 90 days after they left\n" in text
    kept = json.loads(vinops("--json", VINOPS_GONE_PHOTO_DAYS="90").stdout)
    assert kept["inputs"]["retention_days"] == pytest.approx(100)  # a lot stays for ten days
