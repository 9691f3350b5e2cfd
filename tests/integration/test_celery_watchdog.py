"""What Celery tells systemd: a real worker and a real beat, on the folder broker, with a listener for systemd."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deals.watchdog import Progress
from tests.fleets import until
from tests.notify_listener import Systemd

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys, time
from celery import Celery
from deals.watchdog import install

app = Celery("watched")
app.conf.update(
    broker_url="filesystem://",
    broker_transport_options={"data_folder_in": "m", "data_folder_out": "m", "control_folder": "c"},
    worker_enable_remote_control=False, task_ignore_result=True, task_time_limit=3600, worker_concurrency=1,
    beat_schedule={"tick": {"task": "watched.nap", "schedule": 3600.0, "args": [0]}},
)
install(app)

@app.task(name="watched.nap")
def nap(seconds):
    time.sleep(seconds)

if __name__ == "__main__":
    app.start(sys.argv[1:])
"""


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    """Who listens."""
    listener = Systemd(tmp_path / "notify")
    yield listener
    listener.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the application and its broker."""
    (tmp_path / "m").mkdir()
    (tmp_path / "c").mkdir()
    (tmp_path / "watched.py").write_text(PROGRAM)
    return tmp_path


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "watched.py", *arguments],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "NOTIFY_SOCKET": str(folder / "notify"),
            "WATCHDOG_USEC": "900000",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("arguments", [("worker", "-l", "ERROR"), ("beat", "-s", "schedule")])
def test_it_is_ready_it_moves_it_ends(folder: Path, systemd: Systemd, arguments: tuple[str, ...]) -> None:
    process = start(folder, *arguments)
    try:
        until(lambda: systemd.count("READY=1"), "ready")
        until(lambda: systemd.count("WATCHDOG=1") >= 3, "the watchdog is fed, though the schedule has nothing to do")
        os.kill(process.pid, signal.SIGSTOP)
        systemd.forget()
        with pytest.raises(AssertionError):
            until(lambda: systemd.count("WATCHDOG=1") > 1, "one that is stopped feeds nothing", seconds=2)
        os.kill(process.pid, signal.SIGCONT)
        until(lambda: systemd.count("WATCHDOG=1") >= 2, "it is fed again")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def test_a_task_that_outlives_its_limit_starves_the_watchdog() -> None:
    now = 0.0
    progress = Progress(660, clock=lambda: now)
    assert progress.moves([])
    assert progress.moves(["a", "b"])
    now = 600.0
    assert progress.moves(["a", "c"])
    now = 661.0
    assert not progress.moves(["a", "c"])
    assert progress.moves(["c"]), "it has ended after all"
    now = 1000.0
    assert progress.moves(["a"]), "a new one of the same name begins anew"
