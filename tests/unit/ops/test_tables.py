"""The tables of the commands on a terminal: at 80 columns and at 40 each value is there whole."""

from __future__ import annotations

import ast
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deals.evaluation import figures, folds, report
from etl.status import status_text
from ops.commands import doctor, status
from ops.show import tables
from tests.support import snapshots as given
from vinops.checks import critical

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).resolve().parents[3]
AT = datetime(2026, 11, 25, 2, 40, tzinfo=UTC)
LOG = Path("/var/log/vinops/celery_worker.log")
TABLES = {
    "workers status": [
        {
            "worker": "4",
            "state": "running",
            "pid": 16252,
            "since": AT,
            "seconds": 86_400,
            "exit_code": None,
            "makes": "Skoda, Seat, Honda, Mazda, Nissan, Hyundai, Kia, Volvo, Fiat, Alfa Romeo",
            "log": "/var/log/vinops/worker_4.log",
        }
    ],
    "celery status": [
        {
            "process": "worker",
            "state": "stopped",
            "pid": None,
            "since": AT,
            "seconds": 5,
            "exit_code": -9,
            "duplicates": "4711, 4712",
            "log": str(LOG),
        }
    ],
    "nodes list": [
        {
            "node": "one",
            "address": "http://127.0.0.1:6800",
            "state": "up",
            "pending": 1,
            "running": 2,
            "finished": 123_456,
            "version": "1764383015",
        }
    ],
    "deals dead": [
        {
            "listing_id": 1_234_567,
            "stage": "normalize",
            "attempts": 6,
            "dead_at": AT,
            "error": "ValueError: the year 20166 of the ad is beyond any calendar that this could be read with",
            "title": "Mercedes-Benz C 220 2.1 ТОП СЪСТОЯНИЕ",
        }
    ],
    "backup --list": [
        {
            "name": "vinops-20261125T112228Z.dump",
            "bytes": 1_234_567_890,
            "tables": 29,
            "rows": 23_546_123,
            "database": "vinops",
            "server_version": "18.1",
        }
    ],
    "credentials list": [
        {
            "name": "DATABASE_URL.etl",
            "kept": "encrypted",
            "changed": "2026-11-25T11:22:28Z",
            "units": "vinops-etl.service, vinops-photo-scraper.service, vinops-worker@.service",
            "problem": "",
        }
    ],
}


def texts(values: Iterable[object]) -> list[str]:
    return [word for value in values for word in tables.text(value).split()]


@pytest.mark.parametrize("columns", [80, 40])
@pytest.mark.parametrize("name", TABLES)
def test_a_table_on_a_terminal_is_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, columns: int
) -> None:
    monkeypatch.setattr(tables, "terminal_width", lambda: columns)
    tables.write_objects(TABLES[name], as_json=False)
    lines = capsys.readouterr().out.splitlines()
    (row,) = TABLES[name]
    told = [value for value in row.values() if not isinstance(value, datetime)]
    assert [word for word in texts(told) if not any(word in line for line in lines)] == []
    assert [line for line in lines if len(line) > columns] == []


def test_times_of_a_table_are_in_utc_and_local_and_those_of_json_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    tables.write_objects([{"since": AT}], as_json=False, zone="Europe/Sofia")
    assert capsys.readouterr().out.splitlines()[2] == "2026-11-25 02:40 UTC (04:40 EET)"
    tables.write_objects([{"since": AT}], as_json=True, zone="Europe/Sofia")
    assert json.loads(capsys.readouterr().out) == [{"since": "2026-11-25T02:40:00+00:00"}]


@pytest.mark.parametrize("columns", [80, 40])
def test_the_status_of_the_feed_is_whole(columns: int) -> None:
    path = "raw/copart/2026/11/25/0240-2.csv.zst"
    found = {
        "runs": [{"started_at": AT, "status": "refused", "reason": "missing_column", "rows_read": 149_997}],
        "files": [{"fetched_at": AT, "path": path, "bytes": 90_123_456, "archive_bytes": 18_041_776, "kind": "delta"}],
        "lots": [],
        "archive": [],
        "unknown": [],
        "errors": [{"kind": "value", "name": "title_type", "errors": 31_655, "example": "x" * 500}],
    }
    lines = status_text(found, "2026-11-25 02:40 UTC (04:40 EET)", columns).splitlines()
    assert " ".join(lines[:2]).startswith("Times are in UTC; now it is 2026-11-25 02:40 UTC (04:40 EET)")
    for word in ("missing_column", "149997", path, "90123456", "18041776", "31655", "2026-11-25", "02:40:00"):
        assert any(word in line for line in lines), word
    assert [line for line in lines if len(line) > columns and "xxx" not in line] == []


@pytest.mark.parametrize("columns", [80, 40])
def test_the_figures_of_an_evaluation_are_whole(columns: int) -> None:
    group = {"n": 23_456, "mdape": 0.125, "within20": 0.7, "coverage_p10_p90": 0.801}
    methods = {method: dict.fromkeys(figures.GROUPS, group) for method in folds.METHODS}
    lines = report.report({"n": 1_200, "covered": 1_000, "folds": 3, **methods}, columns)
    assert sum("80.1%" in line for line in lines) == len(folds.METHODS) * len(figures.GROUPS)
    assert all(any(f"{method.replace('_', ' ')}, covered" in line for line in lines) for method in folds.METHODS)
    assert max(map(len, lines)) <= columns


@pytest.mark.parametrize("columns", [80, 40])
def test_a_finding_of_the_doctor_is_folded(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setattr(doctor, "terminal_width", lambda: columns)
    text = "a sentence that says of a setting what is wrong with it and goes on for longer than a line"
    lines = list(doctor._lines("ERROR", critical(text, fix="fix it", name="COPART_CSV_URL")))
    assert " ".join(" ".join(lines).split()) == f"ERROR COPART_CSV_URL {text} -> fix it"
    assert max(map(len, lines)) <= columns


@pytest.mark.parametrize("columns", [80, 40])
def test_the_lines_of_the_status_fit(columns: int) -> None:
    lines = list(status.lines(given.snapshot(), columns))
    assert max(map(len, lines)) <= columns


def test_no_command_prints_a_table_in_a_way_of_its_own() -> None:
    """A table that is printed past ops/show/tables.py knows nothing of the width of the terminal."""
    for package in ("ops", "etl", "deals", "demo"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                name = getattr(node, "attr", None)
                assert name not in {"write_plain", "write_expanded"}, path
                assert getattr(node, "module", None) != "rich.table", path
