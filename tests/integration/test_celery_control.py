"""`vinops celery`: one worker and one beat, others found and named, what died cleaned up after. The scripts of bin/."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ops.processes import arguments, descendants, identify, pids
from tests.fleets import ROOT, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vinops.config import Settings

SCRIPTS = {
    "start_all_workers.sh": "vinops workers start",
    "stop_all_workers.sh": "vinops workers stop",
    "status_workers.sh": "vinops workers status",
    "monitor.sh": "vinops monitor",
    "supervisor.sh": "vinops supervise",
    "celery.sh": "vinops celery",
    "health_check.sh": "vinops health",
}


@dataclass(frozen=True, kw_only=True)
class Celery:
    """`vinops celery` on a data folder."""

    folder: Path
    environment: dict[str, str]
    program: tuple[str, ...] = (sys.executable, str(ROOT / "tests" / "celery_cli.py"))

    @property
    def data_dir(self) -> Path:
        """The data folder."""
        return Path(self.environment["VINOPS_DATA_DIR"])

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [*self.program, "celery", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    @contextmanager
    def by_hand(self, kind: str) -> Iterator[subprocess.Popen[bytes]]:
        """Start a process of Celery as an operator would; it is away behind the block, with its children."""
        script = str(ROOT / "tests" / "celery_process.py")
        process = subprocess.Popen(
            [sys.executable, script, kind], cwd=self.folder, env=self.environment, stderr=subprocess.DEVNULL
        )
        try:
            yield process
        finally:
            for each in (*descendants(process.pid), identify(process.pid)):
                if each is not None:
                    os.kill(each.pid, signal.SIGKILL)
            process.wait()

    def status(self) -> dict[str, dict[str, Any]]:
        """Return how both are."""
        found: list[dict[str, Any]] = json.loads(self.run("status", "--json").stdout)
        return {each["process"]: each for each in found}

    def processes(self) -> list[int]:
        """Return every process of Celery on this data folder."""
        return [pid for pid in pids() if "celery_process.py" in " ".join(arguments(pid)[1:2]) and self._is_ours(pid)]

    def _is_ours(self, pid: int) -> bool:
        try:
            return os.fsencode(self.data_dir) in Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return False


@pytest.fixture
def celery(settings: Settings, environment: dict[str, str], tmp_path: Path) -> Iterator[Celery]:
    """A stand-in of Celery, which is away at the end."""
    settings.data_dir.mkdir()
    celery = Celery(folder=tmp_path, environment={**environment, "PYTHONPATH": str(ROOT)})
    yield celery
    for pid in celery.processes():
        os.kill(pid, signal.SIGKILL)


def test_start_stop_and_what_is_said(celery: Celery) -> None:
    first = celery.run("start")
    assert first.returncode == 0, first.stderr
    worker, beat = (int(line.rsplit(" ", 1)[1]) for line in first.stdout.splitlines())
    assert first.stdout == f"Celery worker: PID {worker}\nCelery beat: PID {beat}\n"
    again = celery.run("start")
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == f"Celery worker runs already: PID {worker}\nCelery beat runs already: PID {beat}\n"
    found = celery.status()
    assert {kind: (each["state"], each["pid"], each["duplicates"]) for kind, each in found.items()} == {
        "worker": ("running", worker, []),
        "beat": ("running", beat, []),
    }, "the four processes of the worker are no duplicates"
    assert celery.run("status").returncode == 0
    stopped = celery.run("stop")
    assert (stopped.returncode, stopped.stdout.splitlines()) == (
        0,
        [f"Celery beat: PID {beat} stopped", f"Celery worker: PID {worker} stopped"],
    )
    until(lambda: celery.processes() == [], "all are gone")
    assert celery.run("status").returncode == 1
    assert celery.run("stop").stdout == "Celery beat does not run\nCelery worker does not run\n"


def test_restart_is_another_pair(celery: Celery) -> None:
    celery.run("start")
    before = celery.status()
    assert celery.run("restart").returncode == 0
    after = celery.status()
    assert {each["state"] for each in after.values()} == {"running"}
    assert {each["pid"] for each in after.values()}.isdisjoint(each["pid"] for each in before.values())


def test_what_a_worker_leaves_is_killed_by_the_stop(celery: Celery) -> None:
    (celery.data_dir / "careless").touch()
    celery.run("start")
    worker = celery.status()["worker"]["pid"]
    children = descendants(worker)
    assert len(children) == 4
    assert celery.run("stop").returncode == 0
    assert not any(child.is_alive for child in children)


def test_a_start_that_comes_to_nothing_says_why(celery: Celery) -> None:
    (celery.data_dir / "broken").touch()
    done = celery.run("start")
    assert done.returncode == 1
    assert "Celery worker ended at once (exit code 1):" in done.stderr
    assert "RuntimeError: the broker is on fire" in done.stderr


def test_one_that_was_started_by_hand_is_found_named_and_not_doubled(celery: Celery) -> None:
    with celery.by_hand("worker") as other:
        until(lambda: len(descendants(other.pid)) == 4, "it is up")
        assert celery.status()["worker"]["duplicates"] == [other.pid]
        shown = celery.run("status")
        assert shown.returncode == 1
        assert f"another Celery worker was started by hand: `kill {other.pid}`" in shown.stderr
        done = celery.run("start")
        assert done.returncode == 1
        assert f"one that was started by hand runs: PID {other.pid}" in done.stderr
        assert "Celery beat: PID" in done.stdout
    assert celery.run("start").returncode == 1, "beat runs already"
    assert celery.run("status").returncode == 0


def test_one_of_another_data_folder_is_none_of_ours(celery: Celery, tmp_path: Path) -> None:
    elsewhere = Celery(folder=tmp_path, environment={**celery.environment, "VINOPS_DATA_DIR": str(tmp_path / "other")})
    with elsewhere.by_hand("worker") as other:
        until(lambda: len(descendants(other.pid)) == 4, "it is up")
        assert celery.status()["worker"]["duplicates"] == []


def test_clean_removes_what_dead_processes_left_and_says_so(celery: Celery) -> None:
    celery.run("start")
    found = celery.status()
    noted = json.loads((celery.data_dir / "run" / "celery_worker.json").read_text())
    os.kill(noted["keeper"]["pid"], signal.SIGKILL)
    until(lambda: identify(noted["keeper"]["pid"]) is None, "the keeper is gone")
    for each in [*descendants(found["worker"]["pid"]), identify(found["worker"]["pid"])]:
        assert each is not None
        os.kill(each.pid, signal.SIGKILL)
    until(lambda: identify(found["worker"]["pid"]) is None, "the worker is gone")
    assert celery.status()["worker"]["state"] == "dead"
    messages = celery.data_dir / "celery" / "messages"
    messages.mkdir(parents=True)
    (messages / "1_a.price.msg").write_text('{"body": "[]", "headers": {}}')
    (messages / "2_b.price.msg").write_text('{"body": "[')

    done = celery.run("clean")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "removed the stale celery_worker.json of Celery worker",
        "left the broker alone: Celery beat runs",
    ]
    assert len(list(messages.iterdir())) == 2
    celery.run("stop")
    lines = celery.run("clean").stdout.splitlines()
    aside = celery.data_dir / "celery" / "unreadable"
    assert lines == [
        f"moved the message 2_b.price.msg, which cannot be read, to {aside}: the sweep rings again",
        "kept 1 messages: the next worker reads them",
    ]
    assert [path.name for path in messages.iterdir()] == ["1_a.price.msg"]
    assert [path.name for path in aside.iterdir()] == ["2_b.price.msg"]
    assert celery.run("clean").stdout == "kept 1 messages: the next worker reads them\n"


def test_clean_leaves_what_runs_alone(celery: Celery) -> None:
    celery.run("start")
    before = celery.status()
    assert celery.run("clean").stdout == "left the broker alone: Celery worker and Celery beat runs\n"
    after = celery.status()
    assert {kind: each["pid"] for kind, each in after.items()} == {kind: each["pid"] for kind, each in before.items()}


def test_there_is_nothing_to_clean_at_first(celery: Celery) -> None:
    assert celery.run("clean").stdout == "nothing to clean\n"


def test_the_real_celery_comes_up_and_ends(settings: Settings, environment: dict[str, str], tmp_path: Path) -> None:
    try:
        importlib.import_module("deals.tasks")
    except ImportError as error:
        pytest.skip(f"deals.tasks cannot be imported: {error}")
    settings.data_dir.mkdir()
    celery = Celery(folder=tmp_path, environment=environment, program=(sys.executable, "-m", "ops.cli"))
    try:
        first = celery.run("start")
        assert first.returncode == 0, first.stderr
        worker = celery.status()["worker"]["pid"]
        assert len(descendants(worker)) >= 4, "one worker with four processes"
        assert celery.run("start").returncode == 1
        assert not (tmp_path / "celerybeat.pid").exists()
    finally:
        stopped = celery.run("stop", "--grace", "60")
    assert "killed" not in stopped.stdout
    assert identify(worker) is None


@pytest.mark.parametrize(("script", "command"), SCRIPTS.items())
def test_each_script_is_the_command_with_the_same_arguments_and_exit_code(
    script: str, command: str, tmp_path: Path
) -> None:
    home = tmp_path / "a folder"
    (home / "bin").mkdir(parents=True)
    (home / ".venv" / "bin").mkdir(parents=True)
    (home / "bin" / script).write_bytes((ROOT / "bin" / script).read_bytes())
    (home / "bin" / script).chmod(0o755)
    (tmp_path / "link.sh").symlink_to(home / "bin" / script)
    for place, code in ((home / ".venv" / "bin", 3), (tmp_path, 4)):
        (place / "vinops").write_text(f'#!/bin/sh\nfor each in vinops "$@"; do echo "$each"; done\nexit {code}\n')
        (place / "vinops").chmod(0o755)
    assert os.access(ROOT / "bin" / script, os.X_OK)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    for called in (home / "bin" / script, tmp_path / "link.sh"):
        done = subprocess.run(
            [called, "2", "two words"], cwd="/", env=environment, capture_output=True, text=True, check=False
        )
        assert done.stdout.splitlines() == [*command.split(), "2", "two words"]
        assert done.returncode == 3, "the one of the checkout comes first"
    (home / ".venv" / "bin" / "vinops").unlink()
    done = subprocess.run([home / "bin" / script], env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout.splitlines(), done.returncode) == (command.split(), 4)
