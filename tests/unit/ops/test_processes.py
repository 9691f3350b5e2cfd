"""Processes that outlive who started them, in this process: what a stop leaves, and which process is meant."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from ops.workers import processes as found
from ops.workers.processes import Identity, Processes, Stopped, descendants, held, identify, last_lines
from ops.workers.registry import Program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HANGS = 30.0  # seconds


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """The processes of a folder; what is left of them is killed."""
    processes = Processes(tmp_path / "run")
    yield processes
    for pid in {processes.status_of(one(tmp_path)).pid, *processes.holders("one")} - {None}:
        with suppress(ProcessLookupError):
            os.kill(pid or 0, signal.SIGKILL)


def one(folder: Path, *command: str) -> Program:
    """A program that runs a command."""
    return Program(name="one", key="one", title="One", command=command, log=folder / "one.log", unit="one.service")


def start(processes: Processes, *command: str) -> int:
    """Start a program and return its process."""
    pid = processes.start(one(processes.folder.parent, *command)).pid
    assert pid is not None
    return pid


def until(is_so: Callable[[], object]) -> None:
    """Return when it is so."""
    end = time.monotonic() + HANGS
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize(
    "stale", [{"pid": 4_000_000}, {"ticks": 1}, {"boot": "another"}], ids=["gone", "reused", "boot"]
)
def test_a_process_that_has_the_id_of_an_earlier_one_is_left_alone(
    processes: Processes, tmp_path: Path, stale: dict[str, object]
) -> None:
    with subprocess.Popen(["sleep", "600"]) as other:
        try:
            identity = identify(other.pid)
            assert identity is not None
            about = {"pid": other.pid, "ticks": identity.ticks, "boot": identity.boot, "ended_at": None, **stale}
            processes.folder.mkdir()
            (processes.folder / "one.json").write_text(json.dumps(about))
            assert processes.status_of(one(tmp_path)).state == "dead"
            assert processes.stop(one(tmp_path), grace=0) == Stopped(pid=None)
            assert start(processes, "sleep", "600") != other.pid
            assert other.poll() is None
        finally:
            other.kill()


@pytest.mark.parametrize("text", ["{", "", "[]"])
def test_a_state_file_that_cannot_be_read_is_none(processes: Processes, tmp_path: Path, text: str) -> None:
    processes.folder.mkdir()
    (processes.folder / "one.json").write_text(text)
    assert processes.status_of(one(tmp_path)).state == "stopped"
    assert processes.stop(one(tmp_path), grace=0) == Stopped(pid=None)
    assert start(processes, "sleep", "600")


def test_of_two_who_stop_at_once_one_waits_for_the_other(processes: Processes, tmp_path: Path) -> None:
    pid = start(processes, "sleep", "600")
    second = threading.Thread(target=processes.stop, args=(one(tmp_path),), kwargs={"grace": HANGS}, daemon=True)
    with held(processes.folder / "one.stop.lock"):
        second.start()
        second.join(0.3)
        assert second.is_alive()
        assert identify(pid), "a second SIGTERM is an order to Scrapy to drop everything"
    second.join(HANGS)
    assert identify(pid) is None


def test_one_without_its_state_file_is_not_doubled(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found, "LOCK_SECONDS", 0.1)
    pid = start(processes, "sleep", "600")
    (processes.folder / "one.json").unlink()
    with pytest.raises(found.AlreadyRunning, match=rf"remains of an earlier one are still there \(PID .*\b{pid}\b"):
        start(processes, "true")
    assert identify(pid)


def test_leftovers_of_a_stop_are_counted(processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found, "LEFTOVER_SECONDS", 0.1)
    pid = start(processes, "sh", "-c", "trap '' TERM; sleep 600 & wait; sleep 600")
    until(lambda: descendants(pid))
    assert processes.stop(one(tmp_path), grace=0.2) == Stopped(pid=pid, was_killed=True, leftovers=1)


def test_one_that_ends_while_its_status_is_read_runs_still_or_has_its_exit_code(
    processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(processes, "sleep", "600")
    answers = iter([True, False, False])
    monkeypatch.setattr(Identity, "is_alive", property(lambda _: next(answers)))
    assert processes.status_of(one(tmp_path)).state == "running"
    monkeypatch.undo()


def test_the_last_output_is_in_its_file_when_the_end_is_known(processes: Processes, tmp_path: Path) -> None:
    processes.start(one(tmp_path, "sh", "-c", "seq 20000 >&2; echo the last line >&2; exit 3"))
    until(lambda: processes.status_of(one(tmp_path)).state == "failed")
    assert last_lines(one(tmp_path).errors, 1) == ["the last line"]


def test_a_full_disk_is_told_with_the_file_that_was_not_written(processes: Processes) -> None:
    processes.folder.mkdir()
    state = processes.folder / "one.json.new"
    state.symlink_to("/dev/full")
    with pytest.raises(found.ProcessError) as raised:
        start(processes, "/usr/bin/sleep", "1000")
    assert str(raised.value).startswith(
        f"One was not started: {state}: No space left on device: free some space: `vinops logs --prune 1d`"
    )
