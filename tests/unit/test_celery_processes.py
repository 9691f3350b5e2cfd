"""Celery's processes, in this process: which are ours, what is not doubled, what is cleaned, what came to nothing."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from ops.workers.celery_control import KINDS, CeleryControl
from ops.workers.processes import AlreadyRunning, ProcessError, Program
from vinops.config import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SLEEP = ("sleep", "601.25")  # what stands for Celery is told by its command line


@dataclass(frozen=True, kw_only=True)
class Celery:
    """Celery on a data folder, as plain processes that run a command."""

    folder: Path

    def control(self, command: tuple[str, ...] = SLEEP) -> CeleryControl:
        """Return what starts and stops it."""
        about: dict[str, Any] = {"command": command, "log": self.folder / "log", "errors": self.folder / "errors"}
        programs = {kind: Program(name=f"celery_{kind}", title=f"Celery {kind}", **about) for kind in KINDS}
        return CeleryControl(Settings(data_dir=self.folder, workers_backend="processes"), programs)

    @contextmanager
    def by_hand(self, folder: Path) -> Iterator[int]:
        """Start one as an operator would, for a data folder; return its process."""
        with subprocess.Popen(SLEEP, env={**os.environ, "VINOPS_DATA_DIR": str(folder)}, cwd=self.folder) as process:
            try:
                yield process.pid
            finally:
                process.kill()


@pytest.fixture
def celery(tmp_path: Path) -> Celery:
    """Celery of a folder of its own."""
    folder = tmp_path / "data"
    folder.mkdir()
    return Celery(folder=folder)


def test_one_that_was_started_by_hand_is_found_and_not_doubled(celery: Celery) -> None:
    with celery.by_hand(celery.folder) as pid:
        assert [each.duplicates for each in celery.control().status()] == [(pid,), (pid,)]
        with pytest.raises(AlreadyRunning, match=f"one that was started by hand runs: PID {pid}"):
            celery.control().start_one("worker")
    assert [each.duplicates for each in celery.control().status()] == [(), ()]


def test_one_of_another_data_folder_is_none_of_ours(celery: Celery, tmp_path: Path) -> None:
    with celery.by_hand(tmp_path / "other"):
        assert [each.duplicates for each in celery.control().status()] == [(), ()]


def test_messages_are_cleaned_up_when_nothing_runs_and_only_what_cannot_be_read(celery: Celery) -> None:
    messages = celery.folder / "celery" / "messages"
    messages.mkdir(parents=True)
    (messages / "1.msg").write_text('{"body": "[]"}')
    (messages / "2.msg").write_text('{"body": "[')
    with celery.by_hand(celery.folder):
        assert celery.control().clean() == ["left the broker alone: Celery worker and Celery beat runs"]
        assert len(list(messages.iterdir())) == 2
    moved, kept = celery.control().clean()
    assert moved.startswith("moved the message 2.msg, which cannot be read")
    assert kept == "kept 1 messages: the next worker reads them"
    assert [each.name for each in messages.iterdir()] == ["1.msg"]
    assert [each.name for each in (celery.folder / "celery" / "unreadable").iterdir()] == ["2.msg"]


def test_a_start_that_comes_to_nothing_says_why(celery: Celery) -> None:
    outcomes = celery.control(("sh", "-c", "echo the broker is on fire >&2; exit 3")).start()
    for kind, outcome in outcomes.items():
        assert isinstance(outcome, ProcessError)
        assert f"Celery {kind} ended at once (exit code 3):" in str(outcome)
