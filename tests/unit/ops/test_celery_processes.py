"""Celery's processes, in this process: which are ours, what is not doubled, what is cleaned, what came to nothing."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from ops.workers import backends, celery as celery_processes, control, registry
from ops.workers.registry import Program
from vinops.config import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

real = registry.celery
SLEEP = ("sleep", "601.25")  # what stands for Celery is told by its command line


@dataclass(frozen=True, kw_only=True)
class Celery:
    """Celery on a data folder, as plain processes that run a command."""

    folder: Path

    @property
    def settings(self) -> Settings:
        """Its settings."""
        return Settings(data_dir=self.folder, log_dir=self.folder, workers_backend="processes")

    def start(self) -> list[control.Started]:
        """Start both, as `vinops celery start` without a database does."""
        programs = registry.celery(self.settings)
        return control.start(self.settings, backends.backend(self.settings, programs), programs, None)

    def duplicates(self) -> list[tuple[int, ...]]:
        """Return what is found of each beside those that were started here."""
        programs = registry.celery(self.settings)
        found = backends.backend(self.settings, programs).status(programs)
        return [celery_processes.duplicates(self.settings, each) for each in found]

    @contextmanager
    def by_hand(self, folder: Path) -> Iterator[int]:
        """Start one as an operator would, for a data folder; return its process."""
        with subprocess.Popen(SLEEP, env={**os.environ, "VINOPS_DATA_DIR": str(folder)}, cwd=self.folder) as process:
            try:
                yield process.pid
            finally:
                process.kill()


@pytest.fixture
def celery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Celery:
    """Celery of a folder of its own."""
    folder = tmp_path / "data"
    folder.mkdir()
    stand_in(monkeypatch, SLEEP)
    return Celery(folder=folder)


def stand_in(monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]) -> None:
    """Have a command run instead of Celery."""

    def programs(settings: Settings) -> tuple[Program, ...]:
        return tuple(replace(each, command=command) for each in real(settings))

    monkeypatch.setattr(registry, "celery", programs)


def test_one_that_was_started_by_hand_is_found_and_not_doubled(celery: Celery) -> None:
    with celery.by_hand(celery.folder) as pid:
        assert celery.duplicates() == [(pid,), (pid,)]
        for started in celery.start():
            assert started.pid == pid
            assert f"one that was started by hand runs: PID {pid}" in (started.problem or "")
    assert celery.duplicates() == [(), ()]


def test_one_of_another_data_folder_is_none_of_ours(celery: Celery, tmp_path: Path) -> None:
    with celery.by_hand(tmp_path / "other"):
        assert celery.duplicates() == [(), ()]


def test_messages_are_cleaned_up_when_nothing_runs_and_only_what_cannot_be_read(celery: Celery) -> None:
    messages = celery.folder / "celery" / "messages"
    messages.mkdir(parents=True)
    (messages / "1.msg").write_text('{"body": "[]"}')
    (messages / "2.msg").write_text('{"body": "[')
    with celery.by_hand(celery.folder):
        assert celery_processes.clean(celery.settings) == ["left the broker alone: Celery worker and Celery beat runs"]
        assert len(list(messages.iterdir())) == 2
    moved, kept = celery_processes.clean(celery.settings)
    assert moved.startswith("moved the message 2.msg, which cannot be read")
    assert kept == "kept 1 messages: the next worker reads them"
    assert [each.name for each in messages.iterdir()] == ["1.msg"]
    assert [each.name for each in (celery.folder / "celery" / "unreadable").iterdir()] == ["2.msg"]


def test_a_failed_start_says_why(celery: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, ("sh", "-c", "echo the broker is on fire >&2; exit 3"))
    problems = [each.problem or "" for each in celery.start()]
    for program, problem in zip(real(celery.settings), problems, strict=True):
        assert problem.startswith(f"{program.title} ended at once (exit code 3): ")
        assert problem.endswith("\nthe broker is on fire")
