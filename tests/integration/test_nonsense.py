"""Nonsense on every command line is answered in words: no traceback, and an exit code for failed or wrong usage."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import forks
from tests.support.cases import few_quick

if TYPE_CHECKING:
    import subprocess

FAILED, USAGE = 1, 2

# Names of files in braces are made by the fixture below.
CASES: list[tuple[str, int | None]] = [
    ("etl ingest {folder}", FAILED),
    ("etl ingest {nothing}", FAILED),
    ("etl ingest {empty}", FAILED),
    ("etl ingest {binary}", FAILED),
    ("etl ingest {latin}", FAILED),
    ("etl ingest {utf16}", FAILED),
    ("etl ingest {file}/below", FAILED),
    ("etl ingest {loop}", FAILED),
    ("etl ingest {pipe}", FAILED),
    ("etl ingest /dev/null", FAILED),
    ("etl ingest /proc/self/mem", FAILED),
    ("etl ingest {surrogate}", FAILED),
    ("etl ingest {long}", FAILED),
    ("etl ingest", USAGE),
    ("etl cat {folder}", FAILED),
    ("etl cat -1", FAILED),
    ("etl cat 2026-13-45T99:99", FAILED),
    ("etl cat {surrogate}", USAGE),
    ("etl cat %s", FAILED),
    ("etl nonsense", USAGE),
    ("etl status extra", USAGE),
    ("vinops nonsense", USAGE),
    ("vinops sql", USAGE),
    ("vinops sql ''", None),
    ("vinops sql {folder}", FAILED),
    ("vinops sql {surrogate}", USAGE),
    ("vinops sql selekt", FAILED),
    ("vinops sql %(x)s", FAILED),
    ("vinops monitor --once --width -5", USAGE),
    ("vinops monitor --once --width 9999999999999999999999", USAGE),
    ("vinops logs 99", USAGE),
    ("vinops logs -1", USAGE),
    ("vinops logs ../../etc/passwd", USAGE),
    ("vinops logs {surrogate}", USAGE),
    ("vinops logs --lines -1", USAGE),
    ("vinops logs --lines 99999999999999999999", None),
    ("vinops logs --prune nonsense", USAGE),
    ("vinops logs --prune -5d", USAGE),
    ("vinops logs --prune 99999999999999d", None),
    ("vinops metrics --port 0", USAGE),
    ("vinops metrics --port 99999", USAGE),
    ("vinops metrics --host nowhere.invalid --expose", FAILED),
    ("vinops metrics --host {surrogate} --expose", USAGE),
    ("vinops workers start 99", USAGE),
    ("vinops workers start -1", USAGE),
    ("vinops workers start nonsense", USAGE),
    ("vinops workers stop 99", USAGE),
    ("vinops workers stop --grace -1", USAGE),
    ("vinops workers stop 1 --grace nan", USAGE),
    ("vinops workers status nonsense", USAGE),
    ("vinops workers run 99", USAGE),
    ("vinops workers run", USAGE),
    ("vinops supervise --once --every -1", USAGE),
    ("vinops supervise --once --every nan", USAGE),
    ("vinops celery nonsense", USAGE),
    ("vinops celery stop --grace -1", USAGE),
    ("vinops deals show nonsense", USAGE),
    ("vinops deals show -1", USAGE),
    ("vinops deals show 99999999999999999999999999", FAILED),
    ("vinops deals show {surrogate}", USAGE),
    ("vinops deals top --limit 0", USAGE),
    ("vinops deals top --limit 99999999999999999999", USAGE),
    ("vinops deals dead --limit -1", USAGE),
    ("vinops deals evaluate", USAGE),
    ("vinops deals evaluate {folder}", FAILED),
    ("vinops deals evaluate {nothing}", FAILED),
    ("vinops deals evaluate {empty}", FAILED),
    ("vinops deals evaluate {binary}", FAILED),
    ("vinops deals evaluate {latin}", FAILED),
    ("vinops deals evaluate {utf16}", FAILED),
    ("vinops deals evaluate {file}/below", FAILED),
    ("vinops deals evaluate {surrogate}", FAILED),
    ("vinops forecast --lots-per-hour -1", USAGE),
    ("vinops forecast --lots-per-hour nan", USAGE),
    ("vinops landed top --make nonsense", USAGE),
    ("vinops landed top --model {surrogate}", USAGE),
    ("vinops landed top --from-year 99999999999", USAGE),
    ("vinops landed show 99999999999999999999", FAILED),
    ("vinops landed show {surrogate}", USAGE),
    ("vinops landed quote --bid nan", USAGE),
    ("vinops landed quote --bid 500 --rate nan", USAGE),
    ("vinops landed quote --bid 500 --value 1e999", USAGE),
    ("vinops landed quote --bid 500 --rate 1.1 --on 2026-02-30", USAGE),
    ("vinops landed result 1 --price 0", USAGE),
    ("vinops landed funnel {file}", USAGE),
    ("vinops landed funnel {folder} {folder}", FAILED),
    ("vinops landed funnel {binary} {binary}", FAILED),
    ("vinops landed funnel {nothing} {nothing}", FAILED),
    ("vinops landed funnel --rate nan", USAGE),
    ("vinops deals top --max-price nan", USAGE),
    ("vinops monitor --refresh nan", USAGE),
    ("vinops forecast --lots-per-hour inf", USAGE),
    ("vinops forecast --photos-per-lot inf", USAGE),
    ("vinops forecast --retention-days 0", USAGE),
    ("vinops forecast --retention-days inf", USAGE),
    ("vinops forecast --reads-per-photo 1e308", USAGE),
    ("vinops backup --keep 0", USAGE),
    ("vinops backup --days -1", USAGE),
    ("vinops backup --days nan --list", USAGE),
    ("vinops backup --to {file}", FAILED),
    ("vinops backup --list --to {file}", USAGE),
    ("vinops backup --list --to {nothing}", None),
    ("vinops restore {folder} --drill", FAILED),
    ("vinops restore {nothing} --drill", FAILED),
    ("vinops restore {empty} --drill", FAILED),
    ("vinops restore {binary} --drill", FAILED),
    ("vinops restore {sqlite} --drill", FAILED),
    ("vinops restore latest --from {file} --drill", FAILED),
    ("vinops restore latest --from {nothing} --drill", FAILED),
    ("vinops restore latest --from {folder} --drill", FAILED),
    ("vinops restore {surrogate} --drill", FAILED),
    ("vinops restore {empty} --into {surrogate}", FAILED),
    ("vinops credentials set nonsense", None),
    ("vinops credentials check nonsense", None),
    ("vinops alert", USAGE),
    ("vinops alert kind {surrogate} text", USAGE),
    ("vinops nodes deploy --egg {folder}", FAILED),
    ("vinops nodes deploy --egg {nothing}", FAILED),
    ("vinops nodes deploy --egg {empty}", FAILED),
    ("vinops nodes deploy --egg {binary}", FAILED),
    ("vinops nodes cancel nonsense", FAILED),
    ("vinops nodes schedule --batch -1", USAGE),
    ("vinops nodes schedule 99", USAGE),
    ("vinops nodes list --node nonsense", FAILED),
    ("vinops demo --lots 1", USAGE),
    ("vinops demo --lots nonsense", USAGE),
    ("scrapy crawl", USAGE),
    ("scrapy crawl nonsense", USAGE),
    ("scrapy crawl {folder}", USAGE),
    ("scrapy crawl lot_photos mobile_bg", USAGE),
    ("scrapy crawl lot_photos -a nonsense", USAGE),
    ("scrapy crawl lot_photos -a batch=-1", USAGE),
    ("scrapy crawl lot_photos -a batch=1e9", USAGE),
    ("scrapy crawl lot_photos -a batch=99999999999999999999", USAGE),
    ("scrapy crawl mobile_bg -a worker=0", USAGE),
    ("scrapy crawl mobile_bg -a worker=99999999999999999999", USAGE),
    ("scrapy crawl lot_photos -s VINOPS_PACE=nonsense", FAILED),
    ("scrapy crawl lot_photos -s VINOPS_LOTS_AT_ONCE=nonsense", None),
    ("scrapy crawl lot_photos -s VINOPS_CLOCK_SPEED=0", None),
    ("scrapy crawl lot_photos -o {folder}", None),
    ("scrapy crawl lot_photos -o {file}/below.json", None),
    ("scrapy crawl lot_photos -o {nothing}.nonsense", None),
]

SETTINGS: list[tuple[str, str, str]] = [
    ("etl status", "VINOPS_LOG_DIR", "{file}"),
    ("etl status", "VINOPS_LOG_DIR", "{file}/below"),
    ("scrapy crawl lot_photos", "VINOPS_LOG_DIR", "{file}"),
    ("scrapy crawl mobile_bg", "VINOPS_MAKES_FILE", "{folder}"),
    ("scrapy crawl mobile_bg", "VINOPS_MAKES_FILE", "{binary}"),
    ("scrapy crawl mobile_bg", "VINOPS_MAKES_FILE", "{nothing}"),
    ("scrapy crawl lot_photos", "PROXY_LIST_FILE", "{folder}"),
    ("scrapy crawl lot_photos", "PROXY_LIST_FILE", "{binary}"),
    ("scrapy crawl lot_photos", "DATABASE_URL", "postgresql://nowhere.invalid/x"),
    ("vinops status", "CREDENTIALS_DIRECTORY", "{file}"),
    ("vinops status", "CREDENTIALS_DIRECTORY", "{nothing}"),
    ("vinops workers status", "VINOPS_DATA_DIR", "{file}"),
    ("vinops workers start 1", "VINOPS_DATA_DIR", "{file}"),
    ("vinops celery status", "VINOPS_DATA_DIR", "{file}"),
    ("vinops celery clean", "VINOPS_DATA_DIR", "{file}"),
    ("vinops backup", "VINOPS_DATA_DIR", "{file}"),
    ("vinops supervise --once", "VINOPS_DATA_DIR", "{file}"),
    ("vinops monitor --once", "VINOPS_DATA_DIR", "{file}"),
    ("vinops health", "VINOPS_DATA_DIR", "{file}"),
    ("vinops status", "VINOPS_DATA_DIR", "{file}"),
    ("vinops doctor", "VINOPS_DATA_DIR", "{file}"),
    ("etl ingest {latin}", "VINOPS_DATA_DIR", "{file}"),
    ("vinops migrate", "DATABASE_URL", "postgresql://%zz/x"),
    ("vinops migrate", "DATABASE_URL", "postgresql://h.invalid:99999/x"),
    ("vinops celery status", "CELERY_BROKER_URL", "redis://h:nonsense/0"),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Files of every wrong kind."""
    folder = tmp_path_factory.mktemp("nonsense")
    names = ("empty", "binary", "latin", "utf16", "file", "sqlite", "pipe", "loop", "nothing")
    found = {name: str(folder / name) for name in names}
    Path(found["empty"]).touch()
    Path(found["binary"]).write_bytes(bytes(range(256)) * 300)
    Path(found["latin"]).write_bytes("make,model,prix,année\nCitroën,é,1,2\n".encode("latin-1"))
    Path(found["utf16"]).write_bytes("make,model,price,year\nbmw,x5,1,2\n".encode("utf-16"))
    Path(found["file"]).write_text("text\n")
    sqlite3.connect(found["sqlite"]).close()
    os.mkfifo(found["pipe"])
    Path(found["loop"]).symlink_to(found["loop"])
    (folder / "folder").mkdir()
    return {**found, "folder": str(folder / "folder"), "surrogate": "a\udcffb", "long": "x" * 5000}


def run(
    environment: dict[str, str], folder: Path, command: str, files: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command line as it is typed, without a shell."""
    program, *words = command.split()
    arguments = [word.replace("''", "").format(**files) if "{" in word else word.replace("''", "") for word in words]
    if program == "scrapy":
        return forks.scrapy(environment, "scrapy", *arguments)
    kind = forks.ETL if program == "etl" else "vinops"
    return forks.vinops(environment, *arguments, program=kind, cwd=folder)


def check(done: subprocess.CompletedProcess[str], logs: Path) -> None:
    """Check that nothing crashed, and that a failure is told."""
    logged = "".join(path.read_text(errors="replace") for path in logs.glob("*.log")) if logs.is_dir() else ""
    said = done.stdout + done.stderr + logged
    for word in ("Traceback", "uncaught", "[Errno"):
        assert word not in said, said[-3000:]
    assert done.returncode >= 0
    assert done.returncode == 0 or done.stderr.strip() or done.stdout.strip()


@pytest.mark.parametrize(
    ("command", "code"), few_quick(CASES, *range(0, len(CASES), 6)), ids=[command for command, _ in CASES]
)
def test_nonsense_is_answered_in_words(
    environment: dict[str, str], tmp_path: Path, files: dict[str, str], command: str, code: int | None
) -> None:
    environment |= {"VINOPS_WORKERS_BACKEND": "processes", "VINOPS_PACE": "none"}
    done = run(environment, tmp_path, command, files)
    check(done, Path(environment["VINOPS_LOG_DIR"]))
    assert code is None or done.returncode == code, done.stdout + done.stderr


@pytest.mark.parametrize(("command", "name", "value"), SETTINGS)
def test_a_setting_that_is_nonsense_is_answered_in_words(
    environment: dict[str, str], tmp_path: Path, files: dict[str, str], command: str, name: str, value: str
) -> None:
    environment |= {"VINOPS_WORKERS_BACKEND": "processes", "VINOPS_PACE": "none", name: value.format(**files)}
    done = run(environment, tmp_path, command, files)
    check(done, Path(environment["VINOPS_LOG_DIR"]))
    assert done.returncode != 0
