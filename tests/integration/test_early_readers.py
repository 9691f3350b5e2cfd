"""`… | head -1` on every command that prints: no traceback, nothing in a log, and the exit code of the whole output."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.children import child
from tests.support.feed_files import Database, Loader, row
from vinops.config import Settings

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = {"etl": "etl", "vinops": "ops.cli", "scrapy": "scrapy"}

# With the exit code that the command has when all is read: 1 is a warning, or a part that does not run.
COMMANDS: list[tuple[str, set[int]]] = [
    ("etl status", {0}),
    ("etl status --json", {0}),
    ("etl cat latest", {0}),
    ("etl cat latest --json", {0}),
    ("vinops --help", {0}),
    ("vinops sql select+*+from+lots", {0}),
    ("vinops sql select+*+from+lots --csv", {0}),
    ("vinops sql select+*+from+lots --json", {0}),
    ("vinops sql select+*+from+lots --expanded", {0}),
    ("vinops status", {0}),
    ("vinops status --json", {0}),
    ("vinops health", {1, 2}),
    ("vinops health --json", {1, 2}),
    ("vinops doctor", {0, 1}),
    ("vinops doctor --json", {0, 1}),
    ("vinops monitor --once", {0}),
    ("vinops monitor --json", {0}),
    ("vinops metrics --once", {0}),
    ("vinops logs", {0}),
    ("vinops logs --json", {0}),
    ("vinops forecast", {0}),
    ("vinops forecast --json", {0}),
    ("vinops workers status", {1}),
    ("vinops workers status --json", {1}),
    ("vinops celery status", {1}),
    ("vinops deals top", {0}),
    ("vinops deals dead", {0}),
    ("vinops retention", {0}),
    ("vinops migrate", {0}),
    ("vinops supervise --once", {0}),
    ("vinops deals run --no-post", {0}),
    ("scrapy list", {0}),
]
QUICK = {"etl status", "vinops sql select+*+from+lots", "vinops health"}

pytestmark = pytest.mark.slow


@pytest.fixture
def loaded(settings: Settings, database: Database, environment: dict[str, str]) -> dict[str, str]:
    """The environment of a database with some lots, and a log of many events."""
    lots = Settings(
        database_url=settings.database_url, data_dir=settings.data_dir, log_dir=settings.log_dir, feed_min_rows=0
    )
    Loader(settings=lots, database=database, folder=settings.data_dir).loaded([row(number) for number in range(1, 400)])
    settings.log_dir.mkdir(parents=True, exist_ok=True)
    line = "2026-11-29T12:00:00Z INFO etl: an event that is there to be read\n"
    (settings.log_dir / "etl.log").write_text(line * 500)
    return {**environment, "VINOPS_WORKERS_BACKEND": "processes", "PYTHONPATH": f"{ROOT}:{os.environ['PYTHONPATH']}"}


@pytest.mark.parametrize(
    ("command", "codes"),
    [pytest.param(*each, marks=[pytest.mark.quick] * (each[0] in QUICK), id=each[0]) for each in COMMANDS],
)
def test_a_command_whose_reader_left_ends_quietly(
    loaded: dict[str, str], tmp_path: Path, command: str, codes: set[int]
) -> None:
    """Unbuffered, so that each line meets the closed pipe."""
    program, *words = command.split()
    with child(
        [sys.executable, "-u", "-m", PROGRAMS[program], *(word.replace("+", " ") for word in words)],
        cwd=ROOT if program == "scrapy" else tmp_path,
        env=loaded,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        said = process.stderr.read().decode()
    assert process.returncode in codes, said
    logged = "".join(path.read_text() for path in Path(loaded["VINOPS_LOG_DIR"]).glob("*.log"))
    for word in ("Traceback", "uncaught", "Broken pipe", "BrokenPipe", "ValueError"):
        assert word not in said + logged, said + logged


@pytest.mark.quick
@pytest.mark.parametrize("command", ["etl status", "vinops sql select+1", "vinops health"])
def test_a_command_without_any_standard_output_ends_as_it_would(
    loaded: dict[str, str], tmp_path: Path, command: str
) -> None:
    program, *words = command.split()
    line = ["sh", "-c", '"$@" >&-', "sh", sys.executable, "-m", PROGRAMS[program]]
    done = subprocess.run(
        [*line, *(word.replace("+", " ") for word in words)],
        cwd=tmp_path,
        env=loaded,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert (done.returncode == 0) == (command != "vinops health"), done.stderr
