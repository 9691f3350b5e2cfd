"""Processes that outlive who started them, in this process: what a stop leaves, and which process is meant."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from ops.workers import processes as found
from ops.workers.processes import Held, Processes, Program, Stopped, descendants, identify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HANGS = 30.0  # seconds


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """The processes of a folder; what is left of them is killed."""
    processes = Processes(tmp_path / "run")
    yield processes
    for pid in {processes.standing("one").pid, *processes.holders("one")} - {None}:
        os.kill(pid or 0, signal.SIGKILL)


def start(processes: Processes, *command: str) -> int:
    """Start a program and return its process."""
    folder = processes.folder.parent
    about: dict[str, Any] = {"log": folder / "one.log", "errors": folder / "one.err"}
    pid = processes.start(Program(name="one", title="One", command=command, **about)).pid
    assert pid is not None
    return pid


def until(is_so: Callable[[], object]) -> None:
    """Return when it is so."""
    end = time.monotonic() + HANGS
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_does_not_end_is_killed_with_all_it_left(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found, "LEFTOVER_SECONDS", 0.1)
    pid = start(processes, "sh", "-c", "trap '' TERM; sleep 600 & wait; sleep 600")
    until(lambda: descendants(pid))
    below = descendants(pid)
    assert processes.stop("one", grace=0.2) == Stopped(name="one", pid=pid, was_killed=True, leftovers=1)
    assert identify(pid) is None
    assert not any(each.is_alive for each in below)
    assert processes.standing("one").state == "stopped"


def test_one_that_was_suspended_ends_by_itself(processes: Processes) -> None:
    pid = start(processes, "sleep", "600")
    os.kill(pid, signal.SIGSTOP)
    assert processes.stop("one", grace=HANGS) == Stopped(name="one", pid=pid)


@pytest.mark.parametrize("stale", [{"ticks": 1}, {"boot": "another"}], ids=["reused", "rebooted"])
def test_a_process_that_has_the_id_of_an_earlier_one_is_left_alone(
    processes: Processes, stale: dict[str, object]
) -> None:
    with subprocess.Popen(["sleep", "600"]) as other:
        try:
            identity = identify(other.pid)
            assert identity is not None
            about = {"pid": other.pid, "ticks": identity.ticks, "boot": identity.boot, "ended_at": None, **stale}
            processes.folder.mkdir()
            (processes.folder / "one.json").write_text(json.dumps(about))
            assert processes.standing("one").state == "dead"
            assert processes.stop("one", grace=0) == Stopped(name="one", pid=None)
            assert start(processes, "sleep", "600") != other.pid
            assert other.poll() is None
        finally:
            other.kill()


def test_of_two_who_stop_at_once_one_waits_for_the_other(processes: Processes) -> None:
    pid = start(processes, "sleep", "600")
    second = threading.Thread(target=processes.stop, args=("one",), kwargs={"grace": HANGS}, daemon=True)
    with Held(processes.folder / "one.stop.lock"):
        second.start()
        second.join(0.3)
        assert second.is_alive()
        assert identify(pid), "a second SIGTERM is an order to Scrapy to drop everything"
    second.join(HANGS)
    assert identify(pid) is None


def test_one_without_its_notes_is_not_doubled(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found, "LOCK_SECONDS", 0.1)
    pid = start(processes, "sleep", "600")
    (processes.folder / "one.json").unlink()
    with pytest.raises(found.AlreadyRunning, match=rf"remains of an earlier one are still there \(PID .*\b{pid}\b"):
        start(processes, "true")
    assert identify(pid)
