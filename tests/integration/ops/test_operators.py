"""What operators know by heart is so, or they find where it differs: a walk through operators.txt, beside this file."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support import forks

if TYPE_CHECKING:
    from psycopg import Connection

    from vinops.config import Settings

ROOT = Path(__file__).resolve().parents[3]
STATEMENTS = 192
RUN = re.compile(r"(?P<command>.+?)(?: \[(?P<codes>\d+)\])? => (?P<pattern>.+)")
LINES = {
    "photo-scraper": "INFO photos: Scraped: lot 39049242 state=ok photos=10 new=10",
    "etl": "INFO etl: fetch done: CSV_URL=https://example.com/salesdata.cgi?authKey=*** status=200",
    "worker_1": "INFO market: Scraped: bmw page 1 of 53 INSERT 22 UPDATE 0 unchanged 0 back 0",
    "worker_2": "ERROR photos: Login failed reason=password",
}
"""An event in each of these logs."""


class Statement(NamedTuple):
    """A statement, and what proves it: (kind, text)."""

    number: int
    text: str
    proofs: list[tuple[str, str]]


def read() -> list[Statement]:
    """Return the statements in the order of the file."""
    found: list[Statement] = []
    for line in Path(__file__).with_name("operators.txt").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        if line.startswith(" "):
            kind, _, text = line.strip().partition(" ")
            found[-1].proofs.append((kind, text))
        else:
            number, _, text = line.partition(" ")
            found.append(Statement(int(number), text, []))
    return found


LIST = read()
RUNS = [
    pytest.param(text, id=f"{each.number}-{text.partition(' =>')[0]}")
    for each in LIST
    for kind, text in each.proofs
    if kind == "run"
]


@cache
def content(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def headings(path: Path) -> set[str]:
    """Return the headings of a document as GitHub links to them."""
    found = re.findall(r"^#+ (.+)$", content(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).strip().replace(" ", "-") for each in found}


def test_every_statement_is_there_and_has_what_proves_it() -> None:
    assert [each.number for each in LIST] == list(range(1, STATEMENTS + 1))
    assert [each.number for each in LIST if not each.proofs] == []
    assert {kind for each in LIST for kind, _ in each.proofs} <= {"test", "run", "has", "see"}


@pytest.mark.parametrize("each", LIST, ids=lambda each: str(each.number))
def test_what_proves_it_is_there(each: Statement) -> None:
    for kind, text in each.proofs:
        if kind == "test":
            file, _, name = text.partition("::")
            assert re.search(rf"^def {name}\(", content(ROOT / "tests" / file), re.MULTILINE), text
        elif kind == "has":
            file, _, held = text.partition(" => ")
            assert held in content(ROOT / file), text
        elif kind == "see":
            file, _, heading = text.partition("#")
            assert heading in headings(ROOT / file), text


@pytest.fixture
def world(environment: dict[str, str], settings: Settings, database: Connection[object]) -> dict[str, str]:
    """An installation with logs, where nothing runs."""
    settings.data_dir.mkdir()
    settings.log_dir.mkdir()
    for name, line in LINES.items():
        (settings.log_dir / f"{name}.log").write_text(f"2026-11-23T07:10:00Z {line}\n")
    return {**environment, "VINOPS_WORKERS_BACKEND": "processes"}


@pytest.mark.slow
@pytest.mark.parametrize("text", RUNS)
def test_what_operators_type_does_what_they_expect(text: str, world: dict[str, str]) -> None:
    found = RUN.fullmatch(text)
    assert found, text
    program, *arguments = shlex.split(found["command"])
    done = forks.vinops(world, *arguments, program=program)
    assert str(done.returncode) in (found["codes"] or "0"), done.stdout + done.stderr
    assert re.search(found["pattern"], " ".join(done.stdout.split())), done.stdout
