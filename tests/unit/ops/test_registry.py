"""The registry of what runs: the names that operators and running installations know, and how runs are found."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from ops import log_files
from ops.commands import workers
from ops.workers import registry
from vinops.config import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ops.workers.registry import Program

NOW = datetime(2026, 11, 30, tzinfo=UTC)

SETTINGS = Settings(data_dir=Path("data"), log_dir=Path("logs"))
WORKERS = {program.name: program for program in registry.workers(SETTINGS)}
PROGRAMS = (*WORKERS.values(), *registry.celery(SETTINGS))


def test_names_files_and_units_are_those_that_are_known() -> None:
    assert [(each.name, each.key, each.log.name, each.unit) for each in PROGRAMS] == [
        *((name, f"worker_{name}", f"worker_{name}.log", f"vinops-worker@{name}.service") for name in "12345"),
        ("photos", "worker_photos", "photo-scraper.log", "vinops-photo-scraper.service"),
        ("celery_worker", "celery_worker", "celery_worker.log", "vinops-celery.service"),
        ("celery_beat", "celery_beat", "celery_beat.log", "vinops-celery-beat.service"),
    ]
    assert WORKERS["1"].title == "Worker 1 (Mercedes-Benz, BMW)"
    assert [each.title for each in PROGRAMS[5:]] == ["Photo crawl", "Celery worker", "Celery beat"]


def test_each_log_is_one_that_vinops_logs_shows() -> None:
    shown = {stem for stems in log_files.NAMES.values() for stem in stems}
    assert [each.name for each in PROGRAMS if each.log.stem not in shown] == []


def test_a_crawl_is_typed_as_it_is_run() -> None:
    assert WORKERS["2"].crawl == "scrapy crawl mobile_bg -a worker=2"
    assert WORKERS["photos"].crawl == "scrapy crawl lot_photos"


def test_a_run_is_found_by_spider_and_worker() -> None:
    assert [name for name, each in WORKERS.items() if each.has_run("mobile_bg", "2")] == ["2"]
    assert [name for name, each in WORKERS.items() if each.has_run("lot_photos", None)] == ["photos"]
    assert not any(each.has_run("mobile_bg", None) for each in WORKERS.values())


def test_shared_crawls_run_only_where_they_are_named() -> None:
    assert [each.name for each in registry.chosen(SETTINGS, None)] == ["1", "2", "3", "4"]
    assert [each.name for each in registry.chosen(SETTINGS, ["photos", "1", "photos"])] == ["photos", "1"]
    assert [each.name for each in registry.chosen(SETTINGS, ["5"])] == ["5"], "the import makes, by name"
    with pytest.raises(LookupError, match="9 is not a worker: use 1, 2, 3, 4, 5, photos"):
        registry.chosen(SETTINGS, ["9"])


@pytest.mark.parametrize(
    ("started", "state", "names"),
    [
        (True, "running", ["1", "2", "3", "4", "5"]),
        (True, "failed", ["1", "2", "3", "4", "5"]),  # a supervisor would start it again
        (True, "stopped", ["1", "2", "3", "4"]),
        (False, "stopped", ["1", "2", "3", "4"]),
    ],
)
def test_a_stop_without_names_is_of_an_optional_worker_too_once_it_was_started(
    started: bool, state: str, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def status(programs: Sequence[Program]) -> list[SimpleNamespace]:
        return [SimpleNamespace(program=each, started_at=NOW if started else None, state=state) for each in programs]

    monkeypatch.setattr(workers, "_backend", lambda _settings: SimpleNamespace(status=status))
    assert [each.name for each in workers._started_too(SETTINGS, None)] == names
    assert [each.name for each in workers._started_too(SETTINGS, ["2"])] == ["2"]
