"""`vinops logs`: the last events by the operators' names, followed across rotation, pruned."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from ops import log_files
from tests.support import forks
from vinops.logs import LogFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]

VINOPS = [sys.executable, "-m", "ops.cli"]
SECONDS = 60


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "logs"
    made.mkdir()
    return made


@pytest.fixture
def environment_of_logs(folder: Path) -> dict[str, str]:
    return {**os.environ, "VINOPS_LOG_DIR": str(folder), "VINOPS_DATA_DIR": str(folder.parent / "data")}


@pytest.fixture
def vinops(environment_of_logs: dict[str, str]) -> Run:
    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return forks.vinops({**environment_of_logs, **variables}, *arguments)

    return run


def lines(minute: int, *texts: str) -> str:
    return "".join(f"2026-11-25T10:{minute + place:02d}:00Z {text}\n" for place, text in enumerate(texts))


TRACE = """\
2026-11-25T10:07:00Z ERROR mobile_bg: it broke
    Traceback (most recent call last):
      File "x.py", line 1, in f
    ValueError: no number
"""


def test_each_name_of_the_operators_is_a_log(folder: Path, vinops: Run) -> None:
    for log in ("worker_1", "worker_2", "worker_3", "worker_4", "photo-scraper", "etl", "celery_worker", "deals"):
        (folder / f"{log}.log").write_text(lines(1, f"INFO x: of {log}"))
    (folder / "celery_beat.log").write_text(lines(0, "INFO x: of celery_beat"))
    assert vinops("logs", "3").stdout == lines(1, "INFO x: of worker_3")
    assert "of photo-scraper" in vinops("logs", "photos").stdout
    both = vinops("logs", "celery").stdout.splitlines()
    assert [line.split()[-1] for line in both] == ["celery_beat", "celery_worker"]
    unknown = vinops("logs", "nonsense")
    assert unknown.returncode == 2
    missing = vinops("logs", "supervisor")
    assert missing.returncode == 1
    assert "supervisor.log" in missing.stderr
    assert "Traceback" not in missing.stderr + unknown.stderr


def test_all_logs_are_merged_by_time_and_a_traceback_stays_with_its_event(folder: Path, vinops: Run) -> None:
    (folder / "worker_1.log").write_text(lines(1, "INFO a: one", "INFO a: two") + TRACE)
    (folder / "etl.log").write_text(lines(3, "WARNING b: three", "INFO b: four"))
    shown = vinops("logs", "-n", "4").stdout
    assert [line.split(": ", 1)[1] for line in shown.splitlines() if "Z " in line] == [
        "two",
        "three",
        "four",
        "it broke",
    ]
    assert shown.splitlines()[-1].endswith("    ValueError: no number")
    assert shown.startswith("worker_1 ")
    errors = vinops("logs", "--errors").stdout
    assert [line.split(": ", 1)[1] for line in errors.splitlines() if "Z " in line] == ["three", "it broke"]
    assert "    ValueError: no number" in errors
    data = [json.loads(line) for line in vinops("logs", "--json", "--errors").stdout.splitlines()]
    assert data[1] == {
        "log": "worker_1",
        "time": "2026-11-25T10:07:00Z",
        "level": "ERROR",
        "logger": "mobile_bg",
        "message": "it broke",
        "below": TRACE.splitlines()[1:],
    }


def test_it_reads_on_in_rotated_files_as_far_as_it_takes(folder: Path, vinops: Run) -> None:
    (folder / "etl.log.2").write_text(lines(0, "ERROR e: oldest", "INFO e: old"))
    (folder / "etl.log.1").write_text(lines(10, *["INFO e: middle"] * 9))
    (folder / "etl.log").write_text("")
    assert vinops("logs", "etl", "-n", "10").stdout.splitlines()[0].endswith("INFO e: old")
    assert vinops("logs", "etl", "--errors").stdout == lines(0, "ERROR e: oldest")
    quiet = vinops("logs", "etl", "-n", "0")
    assert (quiet.returncode, quiet.stdout) == (0, "")


def test_a_file_is_read_from_its_end_in_blocks_of_any_size(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\n\nbanner é\n" + lines(0, *(f"INFO e: {'é' * n}" for n in range(40))) + "without an end"
    (folder / "etl.log").write_text(text, encoding="utf-8")
    for size in (1, 2, 3, 7, 64, 100_000):
        monkeypatch.setattr(log_files, "BLOCK", size)
        assert list(log_files.backwards(folder / "etl.log"))[::-1] == text.split("\n")
    events = log_files.last_events(folder, "etl", 100, only_errors=False)
    assert len(events) == 41
    assert events[-1].lines[-1] == "without an end"


@pytest.fixture
def following(environment_of_logs: dict[str, str]) -> Iterator[Callable[..., list[str]]]:
    """Starts `vinops logs -f …`; its output is appended to the returned list."""
    processes = []

    def start(*arguments: str) -> list[str]:
        process = subprocess.Popen(
            [*VINOPS, "logs", "-f", *arguments], env=environment_of_logs, stdout=subprocess.PIPE, text=True
        )
        processes.append(process)
        seen: list[str] = []

        threading.Thread(target=lambda: _each(process, seen), daemon=True).start()
        return seen

    yield start
    for process in processes:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _each(process: subprocess.Popen[str], seen: list[str]) -> None:
    assert process.stdout is not None
    try:
        for line in process.stdout:
            seen.append(line)  # noqa: PERF402 # as they come
    except ValueError:
        return  # closed at the end of the test


def until(seen: list[str], text: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not any(text in line for line in seen):
        assert time.monotonic() < deadline, seen
        time.sleep(0.02)


def test_following_loses_no_line_over_many_rotations(folder: Path, following: Callable[..., list[str]]) -> None:
    (folder / "etl.log").write_text(lines(0, "INFO e: before"))
    seen = following("etl")
    until(seen, "before")
    log = logging.getLogger("e")
    file = LogFile(folder / "etl.log", most=2_000)
    for number in range(200):
        file.emit(log.makeRecord("e", logging.INFO, "f", 1, f"line {number} {'x' * 60}", (), None))
        time.sleep(0.005)  # some 15 rotations, and fewer than five between two looks
    file.close()
    until(seen, "line 199 ")
    assert [line.split("line ")[1].split()[0] for line in seen if "line " in line] == [str(n) for n in range(200)]


def test_following_all_finds_new_logs_and_can_be_of_errors_only(
    folder: Path, following: Callable[..., list[str]]
) -> None:
    (folder / "etl.log").write_text(lines(0, "INFO e: before", "ERROR e: begun"))
    seen = following("--errors")
    until(seen, "begun")
    (folder / "worker_2.log").write_text(lines(1, "INFO w: quiet") + TRACE)
    until(seen, "ValueError: no number")
    assert not [line for line in seen if "INFO" in line]


def test_a_reader_that_has_enough_gets_no_traceback(folder: Path, environment_of_logs: dict[str, str]) -> None:
    (folder / "etl.log").write_text(lines(0, *(f"INFO e: {'x' * 1000}" for _ in range(50))) * 20)
    done = subprocess.run(
        f"{sys.executable} -m ops.cli logs -n 1000 | head -n 1",
        shell=True,
        env=environment_of_logs,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_old_rotated_files_are_pruned_and_named(folder: Path, vinops: Run) -> None:
    for name, days in (("etl.log", 20), ("etl.log.1", 3), ("etl.log.2", 8), ("worker_1.log.5", 9), ("notes.1", 30)):
        (folder / name).write_text("text\n")
        os.utime(folder / name, (time.time() - days * 86_400,) * 2)
    done = vinops("logs", "--prune", "7d")
    assert done.returncode == 0
    assert done.stdout.splitlines() == ["removed etl.log.2  5 bytes", "removed worker_1.log.5  5 bytes"]
    assert "2 files, 10 bytes removed" in done.stderr
    assert sorted(path.name for path in folder.glob("[!.]*")) == ["etl.log", "etl.log.1", "notes.1"]
    assert json.loads(vinops("logs", "--prune", "48h", "--json").stdout) == [{"file": "etl.log.1", "bytes": 5}]
    assert vinops("logs", "--prune", "soon").returncode == 2


def test_a_secret_in_a_log_that_others_wrote_is_not_shown(folder: Path, vinops: Run) -> None:
    (folder / "etl.log").write_text(lines(0, "INFO e: with c4nary-value in it"))
    shown = vinops("logs", "etl", COPART_PASSWORD="c4nary-value").stdout
    assert shown == lines(0, "INFO e: with *** in it")
