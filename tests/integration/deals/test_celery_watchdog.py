"""What Celery tells systemd: a real worker and a real beat, on the folder broker, with a listener for systemd."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from celery import Celery

from deals.app import configuration
from deals.watchdog import Progress, WorkerWatchdog
from tests.support.brokers import WITHOUT_REDIS, available, broker
from tests.support.fleets import until
from tests.support.notify_listener import Systemd
from vinops import systemd as notify_socket
from vinops.config import Secret, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[3]
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


@dataclass(kw_only=True)
class Looks:
    """A worker with two slots, looked at by a clock of our own. `asked` counts how often the broker was."""

    now: float = 0.0
    asked: int = 0
    progress: Progress = field(init=False)

    def __post_init__(self) -> None:
        """It begins."""
        self.progress = Progress(660, patience=60, clock=lambda: self.now)

    def moves(self, at: float, *active: str, taken: int, waits: bool = False) -> bool:
        """Look at it, so many seconds after it began."""
        self.now = at

        def ask() -> bool:
            self.asked += 1
            return waits

        return self.progress.moves(active, taken=taken, slots=2, waits=ask)


def test_a_task_that_outlives_its_limit_starves_the_watchdog() -> None:
    worker = Looks()
    assert worker.moves(0, taken=0)
    assert worker.moves(0, "a", "b", taken=2)
    assert worker.moves(600, "a", "c", taken=3)
    assert not worker.moves(661, "a", "c", taken=3)
    assert worker.moves(662, "c", taken=3), "it has ended after all"
    assert worker.moves(1000, "a", taken=4), "a new one of the same name begins anew"


def test_work_that_waits_and_is_not_taken_starves_the_watchdog() -> None:
    worker = Looks()
    assert worker.moves(0, taken=7, waits=True), "the first poll"
    assert worker.moves(100, taken=7, waits=True), "it may have come this moment"
    assert not worker.moves(200, taken=7, waits=True)
    assert not worker.moves(300, "a", taken=7, waits=True), "one of two slots is none to wait for"
    assert worker.moves(400, taken=8, waits=True), "it goes on after all"
    assert worker.moves(500, taken=8, waits=True)
    assert worker.moves(600, taken=8, waits=False), "another worker has taken it"
    assert worker.moves(700, taken=8, waits=True), "and it waits anew"


def test_a_worker_that_has_both_hands_full_or_nothing_to_do_is_well_and_the_broker_is_asked_of_an_idle_one_alone() -> (
    None
):
    worker = Looks()
    for at in range(0, 600, 100):
        assert worker.moves(at, "a", "b", taken=2, waits=True)
    for taken in range(3, 9):
        assert worker.moves(600 + 100 * taken, taken=taken, waits=True)
    assert worker.asked == 0
    for at in range(2000, 9000, 100):
        assert worker.moves(at, taken=8, waits=False)
    assert worker.asked == 70


@pytest.mark.skipif(not available("redis"), reason=WITHOUT_REDIS)
def test_a_worker_that_has_lost_its_broker_without_a_word_starves_the_watchdog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed: list[str] = []
    monkeypatch.setattr(notify_socket, "alive", fed.append)
    with broker("redis", tmp_path) as server:
        app = Celery("watched")
        settings = Settings(data_dir=tmp_path, log_dir=tmp_path, celery_broker_url=Secret(server.url))
        app.conf.update({**configuration(settings), "include": []})
        worker = WorkerWatchdog(SimpleNamespace(app=app, concurrency=2, timer=None))
        worker._progress = Progress(660, patience=0)
        (queue, *_) = app.amqp.queues.values()
        with app.connection_for_write() as connection:
            for _ in range(2):
                worker.feed()
            assert len(fed) == 2, "nothing waits"
            connection.Producer().publish([1], exchange=queue.name, routing_key=queue.name, declare=[queue])
            for _ in range(3):
                worker.feed()
        assert len(fed) == 3, "fed once more: it may just have come"
        server.stop()
        for _ in range(3):
            worker.feed()
        assert len(fed) == 6, "a broker that is away is waited for"
