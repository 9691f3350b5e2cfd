"""A run of the tests ends by itself, names what was wrong, and leaves no process, whatever a test does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support import contain

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120  # seconds until a test that waits for something gives up

PLANTED = """
import os, signal, subprocess, sys, tempfile, time
from pathlib import Path

import pytest

import tests.conftest

tests.conftest.LEAVING_SECONDS = 2
SLEEP = ["sleep", os.environ["PLANTED"]]


def test_that_passes():
    pass


def test_that_hangs():
    os.posix_spawnp(SLEEP[0], SLEEP, os.environ)
    time.sleep(10_000)


def test_that_hangs_where_no_signal_is_seen():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    os.posix_spawnp(SLEEP[0], SLEEP, os.environ, setsid=True)
    time.sleep(10_000)


def test_that_crashes_its_worker_beside_a_copy_of_it():
    if not os.fork():
        os.execvp(SLEEP[0], SLEEP)
    os.kill(os.getpid(), signal.SIGKILL)


def test_that_leaves_a_postgresql():
    code = "import sys; from pathlib import Path; from vinops.db import embedded;"
    code += "embedded.ensure_running(Path(sys.argv[1]), 600)"
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o711)
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)


def test_that_leaves_a_daemon():
    subprocess.run(["/bin/sh", "-c", 'setsid "$@" & exit 0', "sh", *SLEEP], check=True)
"""


@pytest.fixture
def sleep() -> Iterator[str]:
    """A number of seconds to sleep for that no other process was given: those of this test are found by it."""
    seconds = f"1{time.time_ns() % 10**9:09}"
    yield seconds
    contain.kill([each.pid for each in _sleeping(seconds)])


def _sleeping(seconds: str) -> list[psutil.Process]:
    return [
        each
        for each in psutil.process_iter(["cmdline", "status"])
        if each.info["cmdline"] == ["sleep", seconds] and each.info["status"] != psutil.STATUS_ZOMBIE
    ]


def _until_asleep(seconds: str, count: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while len(_sleeping(seconds)) != count:
        assert time.monotonic() < deadline, f"{len(_sleeping(seconds))} of {count} processes"
        time.sleep(0.02)


def _contained(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, contain.__file__, *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


LEAVES_TWO = 'setsid sleep "$0" & sleep "$0" & '


@pytest.mark.parametrize(("end", "code"), [("exit 3", 3), ("kill -9 $$", 137)])
def test_what_a_command_started_ends_with_it_however_it_ends(sleep: str, end: str, code: int) -> None:
    with _contained("/bin/sh", "-c", LEAVES_TWO + end, sleep) as process:
        assert process.wait(PATIENCE) == code
    assert not _sleeping(sleep)


def test_without_the_container_it_does_not(sleep: str) -> None:
    subprocess.run(["/bin/sh", "-c", LEAVES_TWO + "exit 3", sleep], check=False)
    _until_asleep(sleep, 2)


def test_a_container_that_is_killed_takes_the_command_with_it(sleep: str) -> None:
    with _contained("sleep", sleep) as process:
        _until_asleep(sleep, 1)
        process.kill()
    _until_asleep(sleep, 0)


def test_the_limit_ends_a_command_that_ignores_being_asked(sleep: str) -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.support import contain;"
    code += "contain.LAST_WORDS_SECONDS = 0.2; contain.main(sys.argv[1:])"
    script = 'trap "" INT; sleep "$0" & wait; wait'
    command = [sys.executable, "-c", code, "--minutes", "0.005", "/bin/sh", "-c", script, sleep]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == contain.LIMIT_CODE
    assert f"left running, and killed: sleep {sleep}" in done.stderr
    assert not _sleeping(sleep)


@pytest.mark.slow
def test_a_run_of_the_worst_tests_ends_red_names_them_and_leaves_nothing(open_folder: Path, sleep: str) -> None:
    planted = open_folder / "test_planted.py"
    planted.write_text(PLANTED)
    environment = {**os.environ, "PLANTED": sleep, "TMPDIR": str(open_folder)}
    command = [
        *(sys.executable, contain.__file__, "--minutes", "10"),
        *(sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "-p", "tests.conftest"),
        *("-p", "no:cacheprovider", "-n", "2", "--dist", "worksteal", "--durations", "0", "--color", "no"),
        *("-o", "timeout=20", str(planted)),
    ]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert "Timeout (0:00:30)!" in done.stdout + done.stderr
    ends = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    named = {line.split()[1].partition("::")[2] for line in ends}
    assert named == {
        "test_that_hangs",
        "test_that_hangs_where_no_signal_is_seen",
        "test_that_crashes_its_worker_beside_a_copy_of_it",
        "test_that_leaves_a_postgresql",
        "test_that_leaves_a_daemon",
    }, done.stdout
    assert "left running, and killed:" in done.stdout
    assert "bin/postgres -D" in done.stdout
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert not _sleeping(sleep)
    assert not [
        each for each in psutil.process_iter(["cmdline"]) if str(open_folder) in " ".join(each.info["cmdline"] or ())
    ]


@pytest.mark.slow
def test_a_run_past_its_limit_names_the_test_that_still_runs(tmp_path: Path, sleep: str) -> None:
    planted = tmp_path / "test_planted.py"
    planted.write_text("import time\n\n\ndef test_that_never_ends():\n    time.sleep(10_000)\n")
    command = [
        *("/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh"),  # as in the background
        *(sys.executable, contain.__file__, "--minutes", "0.5"),
        *(sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "-p", "tests.conftest"),
        *("-p", "no:cacheprovider", "-n", "1", "--color", "no", str(planted)),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == contain.LIMIT_CODE
    assert "STILL RUNNING" in done.stdout
    assert "test_that_never_ends" in done.stdout


def test_signals_reach_the_command(sleep: str) -> None:
    with _contained("/bin/sh", "-c", 'trap "exit 5" TERM; echo ready; sleep "$0" & wait', sleep) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 5
    assert not _sleeping(sleep)
