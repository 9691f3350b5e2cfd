"""`vinops health` as a process: the level of each line, and the exit code."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from psycopg.types.json import Jsonb

from ops.checks.health import CHECKS
from ops.workers.processes import Processes
from ops.workers.registry import run_folder, workers
from tests.support import forks
from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg import Connection

    from vinops.config import Settings

    Health = Callable[..., tuple[int, dict[str, dict[str, str]]]]


NAMING = (
    *(["health"], ["status"], ["doctor"], ["monitor", "--once"], ["forecast"], ["migrate"], ["restore", "latest"]),
    *(["workers", each] for each in ("status", "stop")),
    *(["celery", each] for each in ("status", "stop", "clean")),
    *(["supervise", "--stop"], ["stop"]),
)
"""What starts or judges something, as far as it starts nothing here: the starts are in test_workers.py."""


@pytest.fixture
def health(environment: dict[str, str], tmp_path: Path) -> Health:
    """Runs `vinops health --json`: its exit code, and its lines by name."""

    def run(**variables: str) -> tuple[int, dict[str, dict[str, str]]]:
        done = forks.vinops({**environment, **variables}, "health", "--json", cwd=tmp_path)
        found = json.loads(done.stdout)
        assert found["exit_code"] == done.returncode, done.stderr
        return done.returncode, {line["name"]: line for line in found["lines"]}

    return run


def loaded(database: Connection[Any], *, minutes: float) -> None:
    """A run of the feed that ended well so long ago."""
    database.execute(
        "insert into audit.etl_runs (started_at, finished_at, status, rows_read, lots_new)"
        " select at, at, 'loaded', 10, 10 from (select now() - make_interval(mins => %s) as at) as t",
        [minutes],
    )


def test_a_fresh_database_is_well_but_for_what_is_still_to_be_set_up(health: Health, settings: Settings) -> None:
    code, lines = health()
    wrong = {name for name, line in lines.items() if line["level"] != "OK"} - {"cpu"}  # a machine that is shared
    assert wrong == {"backup", "data"}
    assert lines["data"]["figure"].startswith(str(settings.data_dir))
    assert code in {1, 2}
    assert lines["backup"]["fix"] == "vinops backup"
    assert "not set up" in lines["feed"]["figure"]


def test_a_broken_database_is_red_and_what_it_knows_is_unknown(health: Health) -> None:
    code, lines = health(DATABASE_URL="postgresql://vinops:canary-88@127.0.0.1:1/none")
    assert code == 2
    assert lines["database"]["level"] == "CRITICAL"
    assert lines["database"]["fix"] == "vinops doctor"
    assert lines["feed"]["level"] == "UNKNOWN"
    assert "canary" not in json.dumps(lines)


def test_a_schema_that_is_behind_is_red(health: Health, empty_url: str) -> None:
    code, lines = health(DATABASE_URL=empty_url)
    assert code == 2
    assert lines["database"]["level"] == "CRITICAL"
    assert "0001_feed_tables" in lines["database"]["figure"]
    assert lines["database"]["fix"] == "vinops migrate"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(("share", "level"), [(0.5, "OK"), (0.85, "WARNING"), (1.0, "CRITICAL")])
def test_a_full_disk_is_red(health: Health, small_disk: Path, share: float, level: str) -> None:
    (small_disk / "fill").write_bytes(b"\0" * int(share * (1 << 20)))
    _, lines = health(VINOPS_DATA_DIR=str(small_disk))
    assert lines["disk"]["level"] == level, lines["disk"]


@pytest.mark.parametrize(("minutes", "level"), [(5, "OK"), (50, "WARNING"), (200, "CRITICAL")])
def test_an_old_feed_is_red(health: Health, database: Connection[Any], minutes: float, level: str) -> None:
    loaded(database, minutes=minutes)
    _, lines = health(COPART_CSV_URL="https://feed.example/salesdata.cgi?authKey=canary-99")
    assert lines["feed"]["level"] == level
    assert lines["feed"]["fix"] == ("" if level == "OK" else "python -m etl run")
    assert "canary" not in json.dumps(lines)


@pytest.fixture
def worker_process(settings: Settings) -> Iterator[int]:
    """A process that is known as worker 1, and does nothing."""
    processes = Processes(run_folder(settings))
    program = replace(workers(settings)[0], command=(sys.executable, "-c", "import time; time.sleep(600)"))
    program.log.parent.mkdir(parents=True, exist_ok=True)
    status = processes.start(program)
    assert status.pid is not None
    note = run_folder(settings) / "worker_1.json"  # it began an hour ago: one that has just begun is given its time
    began = datetime.now(UTC) - timedelta(hours=1)
    note.write_text(json.dumps({**json.loads(note.read_text()), "started_at": began.isoformat()}))
    yield status.pid
    processes.stop(program, grace=0)


@pytest.mark.parametrize(("seconds", "level"), [(0, "OK"), (60, "WARNING"), (600, "CRITICAL")])
def test_a_stuck_worker_is_red(
    health: Health, database: Connection[Any], worker_process: int, seconds: float, level: str
) -> None:
    (run,) = database.execute(
        queries("crawls")["begin_run"],
        {
            "spider": "mobile_bg",
            "worker": "1",
            "machine": socket.gethostname(),
            "pid": worker_process,
            "arguments": Jsonb({}),
            "unit": "page",
        },
    ).fetchone() or (0,)
    database.execute(
        "update ops.crawl_runs set heartbeat_at = now() - make_interval(secs => %s) where id = %s", [seconds, run]
    )
    database.execute("insert into ops.host_budgets (host) values ('www.mobile.bg')")  # it was asked just now
    code, lines = health()
    assert lines["workers"]["figure"] == "1 running"
    assert lines["progress"]["level"] == level, lines["progress"]
    assert lines["progress"]["fix"] == ("" if level == "OK" else "vinops workers restart 1")
    assert code == 2 or level != "CRITICAL"


def test_a_worker_that_was_killed_is_red(health: Health, worker_process: int) -> None:
    os.kill(worker_process, signal.SIGKILL)
    code, lines = health()
    assert code == 2
    assert lines["workers"]["level"] == "CRITICAL"
    assert lines["workers"]["fix"] == "vinops workers start 1"


def test_settings_that_cannot_be_read_are_critical_and_show_no_value(health: Health) -> None:
    code, lines = health(VINOPS_ARCHIVE_DAYS="canary-100")
    assert code == 2
    assert lines["secrets"]["level"] == "CRITICAL"
    assert "VINOPS_ARCHIVE_DAYS" in lines["secrets"]["figure"]
    assert "canary" not in json.dumps(lines)
    assert lines["database"]["level"] == "UNKNOWN"


def test_the_text_has_one_summary_line_first_and_a_line_for_each_thing(environment: dict[str, str]) -> None:
    done = forks.vinops(environment, "health")
    lines = done.stdout.splitlines()
    assert lines[0].startswith(("WARNING: ", "CRITICAL: "))
    assert "\x1b" not in done.stdout
    named = [line.split()[1] for line in lines[1:] if not line.startswith(" ")]
    assert named == list(CHECKS)
    assert any(line.strip() == "fix: vinops backup" for line in lines)
    assert done.stderr == f"vinops: data folder {environment['VINOPS_DATA_DIR']} (not there yet)\n"


@pytest.mark.slow
def test_what_starts_or_judges_something_names_its_data_folder_first(
    environment: dict[str, str], settings: Settings
) -> None:
    """Also where nothing is there, or the command fails; never in JSON."""
    first = f"data folder {settings.data_dir}"
    for command in NAMING:
        done = forks.vinops({**environment, "VINOPS_WORKERS_BACKEND": "processes"}, *command)
        assert done.stderr.splitlines()[0].removesuffix(" (not there yet)") == f"vinops: {first}", command
    for command in (["health"], ["status"], ["workers", "status"], ["celery", "status"]):
        done = forks.vinops({**environment, "VINOPS_WORKERS_BACKEND": "processes"}, *command, "--json")
        assert "data folder" not in done.stderr, command
    assert forks.vinops(environment, "supervise", "--once").stdout.splitlines()[0] == first
    for program, command in ((forks.ETL, ["run"]), (forks.ETL, ["status"]), ("vinops", ["deals", "run"])):
        done = forks.vinops(environment, *command, program=program)
        assert done.stdout.splitlines()[0] == f"data folder {settings.data_dir}", command


def test_health_makes_no_database_where_there_is_none(tmp_path: Path, environment: dict[str, str]) -> None:
    fresh = {name: value for name, value in environment.items() if name != "DATABASE_URL"}
    fresh |= {"VINOPS_DATA_DIR": str(tmp_path / "var"), "VINOPS_LOG_DIR": str(tmp_path / "logs")}
    done = forks.vinops(fresh, "health")
    assert "fix: vinops migrate" in done.stdout
    assert not (tmp_path / "var").exists()


def test_what_looks_or_stops_makes_nothing_where_there_is_nothing(tmp_path: Path, environment: dict[str, str]) -> None:
    """In a wrong folder, that is."""
    fresh = {name: value for name, value in environment.items() if name not in ("DATABASE_URL", "VINOPS_LOG_DIR")}
    fresh |= {"VINOPS_DATA_DIR": str(tmp_path / "var"), "VINOPS_WORKERS_BACKEND": "processes"}
    for command in ("status", "stop", "workers status", "workers stop", "celery status", "celery stop", "celery clean"):
        done = forks.vinops(fresh, *command.split())
        assert done.stderr.splitlines()[0] == f"vinops: data folder {tmp_path}/var (not there yet)", command
        assert not (tmp_path / "var").exists(), command
    assert forks.vinops(fresh, "supervise", "--stop").stdout == "Supervisor does not run\n"
    assert not (tmp_path / "var").exists()


def test_status_is_a_few_lines(environment: dict[str, str], database: Connection[Any]) -> None:
    loaded(database, minutes=5)
    done = forks.vinops(environment, "status")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    named = [line.split()[0] for line in lines if not line.startswith(" ")]
    assert named == ["workers", "market", "feed", "photos", "deals", "health"]
    assert all(len(line) <= 80 for line in lines[:-1])
    assert "5 min old: 10 new" in done.stdout
    done = forks.vinops(environment, "status", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["feed"]["new"] == 10
