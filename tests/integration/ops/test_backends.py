"""What both backends promise, plain processes and systemd units: at most one of a program, each end known for what it
was, nothing left by a stop. The units are those of a systemctl of the tests."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from ops.workers import registry
from ops.workers.processes import AlreadyRunning, ProcessError, Processes, descendants, identify
from ops.workers.systemd import Units
from tests.support.fleets import install_units, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ops.workers.backends import Backend
    from ops.workers.processes import Identity, ProcessStatus, Stopped
    from ops.workers.registry import Program
    from vinops.config import Settings

SLEEP = ("sleep", "602.5")
HANGS = 30.0  # seconds


@dataclass(kw_only=True)
class Managed:
    """Worker 1 with a command of its own, through one of the backends."""

    backend: Backend
    program: Program
    folder: Path
    seen: list[Identity] = field(default_factory=list)

    def start(self, *command: str) -> int:
        """Start it with this command, and return its process."""
        self.program = replace(self.program, command=command)
        unit = self.folder / "units" / f"{self.program.unit}.command"
        if unit.exists():
            unit.write_text(json.dumps(command))
        status = self.backend.start(self.program)
        if status.identity is not None:
            self.seen += [status.identity]
        return status.pid or 0

    def stop(self, grace: float = HANGS) -> Stopped:
        """Stop it."""
        return self.backend.stop(self.program, grace=grace)

    @property
    def status(self) -> ProcessStatus:
        """Its status."""
        (found,) = self.backend.status([self.program])
        return found

    @property
    def state(self) -> str:
        """Its state."""
        return self.status.state


@pytest.fixture
def processes(settings: Settings, tmp_path: Path) -> Iterator[Managed]:
    """Worker 1 as a plain process."""
    yield from managed(Processes(tmp_path / "run"), settings, tmp_path)


@pytest.fixture
def units(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Managed]:
    """Worker 1 as a unit, by a systemctl that is the first on PATH."""
    install_units(tmp_path, {registry.workers(settings)[0].unit: list(SLEEP)})
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    yield from managed(Units(tmp_path / "run"), settings, tmp_path)


def managed(backend: Backend, settings: Settings, folder: Path) -> Iterator[Managed]:
    """Worker 1 through a backend; what was started is gone at the end."""
    settings.log_dir.mkdir(parents=True, exist_ok=True)
    found = Managed(backend=backend, program=registry.workers(settings)[0], folder=folder)
    yield found
    for each in found.seen:
        for process in (*descendants(each.pid), each):
            with suppress(ProcessLookupError):
                if process.is_alive:
                    os.kill(process.pid, signal.SIGKILL)


@pytest.fixture(params=["processes", "units"])
def worker(request: pytest.FixtureRequest) -> Managed:
    """Worker 1 on either backend."""
    found: Managed = request.getfixturevalue(request.param)
    return found


def test_one_runs_and_a_second_start_names_it(worker: Managed) -> None:
    assert worker.state == "stopped"
    pid = worker.start(*SLEEP)
    assert (worker.state, worker.status.pid) == ("running", pid)
    with pytest.raises(AlreadyRunning, match=rf"Worker 1 \(.*\) runs already: PID {pid}") as raised:
        worker.start(*SLEEP)
    assert raised.value.pid == pid


def test_a_stop_ends_it_and_a_second_stop_finds_nothing(worker: Managed) -> None:
    pid = worker.start(*SLEEP)
    stopped = worker.stop()
    assert (stopped.pid, stopped.was_killed) == (pid, False)
    assert (identify(pid), worker.state, worker.stop().pid) == (None, "stopped", None)
    assert worker.start(*SLEEP) != pid


@pytest.mark.parametrize(("code", "state"), [(0, "finished"), (3, "failed")])
def test_an_end_of_its_own_is_known_by_its_exit_code(worker: Managed, code: int, state: str) -> None:
    worker.start("sh", "-c", f"exit {code}")
    until(lambda: worker.state != "running", "it ends")
    status = worker.status
    assert (status.state, status.exit_code, status.pid) == (state, code, None)
    assert status.ended_at is not None
    assert worker.start(*SLEEP), "it can be started again"


def test_one_that_was_killed_is_dead(worker: Managed) -> None:
    os.kill(worker.start(*SLEEP), signal.SIGKILL)
    until(lambda: worker.state != "running", "it is gone")
    status = worker.status
    assert (status.state, status.exit_code) == ("dead", -9)


def test_what_does_not_end_is_killed_with_its_children(worker: Managed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.workers.processes.LEFTOVER_SECONDS", 0.1)
    pid = worker.start("sh", "-c", "trap '' TERM; sleep 600 & wait; sleep 600")
    until(lambda: descendants(pid), "it has a child")
    below = descendants(pid)
    stopped = worker.stop(grace=0.2)
    assert (stopped.pid, stopped.was_killed, worker.state) == (pid, True, "stopped")
    until(lambda: not any(each.is_alive for each in below), "its child is gone")


def test_one_that_was_suspended_ends_by_itself(worker: Managed) -> None:
    pid = worker.start(*SLEEP)
    os.kill(pid, signal.SIGSTOP)
    stopped = worker.stop()
    assert (stopped.pid, stopped.was_killed) == (pid, False)


def test_the_last_lines_say_why_it_ended(worker: Managed) -> None:
    worker.program.log.write_text("CRITICAL the last line of the log\n")
    worker.start("sh", "-c", "exit 1")
    until(lambda: worker.state == "failed", "it fails")
    assert worker.backend.why(worker.status).splitlines()[1:] == ["CRITICAL the last line of the log"]


# Units alone.


def test_a_unit_that_waits_for_its_next_start_is_stopped(units: Managed) -> None:
    os.kill(units.start(*SLEEP), signal.SIGKILL)
    until(lambda: units.state == "dead", "it is dead")
    state = units.folder / "units" / f"{units.program.unit}.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "active": "activating"}))
    assert units.state == "dead"
    assert units.stop().pid is None
    assert json.loads(state.read_text())["active"] == "inactive"
    assert units.state == "stopped"


def test_an_error_of_systemctl_is_passed_on(units: Managed) -> None:
    (units.folder / "units" / f"{units.program.unit}.command").unlink()
    with pytest.raises(ProcessError, match=r"systemctl start failed: Failed to start .*: Unit .* not found\."):
        units.backend.start(units.program)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for another account")
def test_state_that_root_writes_can_be_read_by_the_services(units: Managed, tmp_path: Path) -> None:
    os.chown(tmp_path, 4321, 4321)
    units.start(*SLEEP)
    units.stop()
    run = tmp_path / "run"
    made = {path.name: path.stat().st_uid for path in (run, *run.iterdir())}
    assert {"run", "unit_worker_1.stop", "unit_worker_1.lock"} <= set(made)
    assert set(made.values()) == {4321}
