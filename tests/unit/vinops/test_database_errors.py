"""What errors of psycopg mean, and that nobody judges them in another way."""

from __future__ import annotations

import ast
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import errors
from psycopg_pool import PoolTimeout

from vinops.config import Settings
from vinops.db import database
from vinops.db.database import DatabaseError
from vinops.db.errors import is_collision, is_lost, is_passing

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("vinops", "etl", "vinops_scrapy", "deals", "ops", "web")
BROAD = {"OperationalError", "InterfaceError"}
SQLSTATES = {
    each.sqlstate: each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, psycopg.Error) and each.sqlstate
}

WHERE_THEY_CONNECT = {"ops/checks/configuration.py", "vinops/db/database.py"}
"""libpq tells of a connection that cannot be made without an SQLSTATE."""


@pytest.mark.parametrize(
    "error",
    [
        errors.AdminShutdown, errors.CrashShutdown, errors.CannotConnectNow, errors.IdleSessionTimeout,
        errors.IdleInTransactionSessionTimeout, errors.ConnectionFailure, errors.ConnectionDoesNotExist,
        psycopg.OperationalError, PoolTimeout,
    ],
)  # fmt: skip
def test_a_lost_connection_is_one(error: type[psycopg.Error]) -> None:
    assert is_lost(error("gone"))
    assert is_passing(error("gone"))


def test_a_session_that_a_limit_ended_is_lost_whatever_its_class() -> None:
    assert SQLSTATES["25P04"].__mro__[1] is psycopg.InternalError
    assert is_lost(SQLSTATES["25P04"]("the transaction took too long"))


def test_an_answer_of_the_server_is_no_lost_connection_unless_it_ends_the_session() -> None:
    for sqlstate, kind in SQLSTATES.items():
        error = kind("no")
        assert is_lost(error) == (
            sqlstate[:2] == "08" or sqlstate in {"57P01", "57P02", "57P03", "57P04", "57P05", "25P03", "25P04"}
        ), sqlstate
        assert is_collision(error) == (sqlstate in {"40001", "40P01", "55P03"}), sqlstate
        passes = is_lost(error) or is_collision(error) or sqlstate[:2] in {"53", "57", "58"}
        assert is_passing(error) == passes, sqlstate


@pytest.mark.parametrize(
    "error",
    [
        errors.ProgramLimitExceeded("index row size 3016 exceeds btree version 4 maximum 2704"),
        errors.UntranslatableCharacter("\\u0000 cannot be converted to text"),
        errors.NumericValueOutOfRange("integer out of range"),
        psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"),
        psycopg.InterfaceError("the cursor is closed"),
        ValueError("no error of psycopg"),
    ],
)
def test_a_fault_of_the_statement_does_not_pass(error: Exception) -> None:
    assert not is_lost(error)
    assert not is_collision(error)
    assert not is_passing(error)


def test_a_database_that_is_not_to_be_had_may_come_back() -> None:
    assert is_passing(DatabaseError("no connection to the database"))


def broad_handlers(path: Path) -> Iterator[int]:
    """Yield the lines at which a module handles psycopg's broad classes by name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            name = node.attr if isinstance(node, ast.Attribute) else node.id
            of = node.value.id if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) else "psycopg"
            if name in BROAD and of == "psycopg" and not imported_from_kombu(tree, name):
                yield node.lineno


def imported_from_kombu(tree: ast.Module, name: str) -> bool:
    """Tell whether a name is the broker's."""
    return any(
        isinstance(node, ast.ImportFrom)
        and node.module == "kombu.exceptions"
        and name in {each.name for each in node.names}
        for node in ast.walk(tree)
    )


def test_nobody_takes_a_broad_class_for_a_lost_connection() -> None:
    found = {
        f"{path.relative_to(ROOT)}:{line}"
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path.relative_to(ROOT).as_posix() not in {*WHERE_THEY_CONNECT, "vinops/db/errors.py"}
        for line in broad_handlers(path)
    }
    assert found == set(), "judge by is_lost, is_collision or is_passing of vinops/db/errors.py"


@pytest.mark.parametrize(
    ("text", "waits"),
    [
        ("FATAL: the database system is starting up", True),
        ("FATAL: the database system is in recovery mode", True),
        ("FATAL: the database system is not yet accepting connections", True),
        ("FATAL: the database system is shutting down", True),
        ("Connection refused", True),
        ("server closed the connection unexpectedly", True),
        ("FATAL: database does not exist", False),
    ],
)
def test_an_embedded_server_that_starts_recovers_or_died_is_waited_for(
    text: str, waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Exception | None] = [psycopg.OperationalError(text), None]

    def connect(*_: object, **__: object) -> None:
        answer = answers.pop(0)
        if answer:
            raise answer

    monkeypatch.setattr(psycopg, "connect", connect)
    monkeypatch.setattr(database, "address", lambda *_: "")
    monkeypatch.setattr(database, "time", SimpleNamespace(sleep=lambda _: None, monotonic=lambda: 0.0))
    with nullcontext() if waits else pytest.raises(DatabaseError, match="does not exist"):
        database.open_any(Settings(), "tests")
    assert bool(answers) is not waits
