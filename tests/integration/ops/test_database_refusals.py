"""What PostgreSQL refuses costs every command one line, which says what fixes it, and no traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import errors, sql

from ops import cli
from tests.support import forks, process_cli
from tests.support.cases import few_quick
from vinops.db import errors as database_errors
from vinops.db.errors import FIXES, explanation

if TYPE_CHECKING:
    from collections.abc import Iterator

    Database = psycopg.Connection[tuple[Any, ...]]

GRANTS = "deploy/sql/grants.sql"
PROGRAM = str(Path(process_cli.__file__))
COMMANDS = (
    "status", "health", "doctor", "forecast", "retention", "backup", "sql", "monitor --once", "metrics --once",
    "supervise --once", "workers start", "workers status", "workers restart", "celery status", "deals run", "deals top",
    "deals show 1", "deals unknowns", "deals dead", "deals release", "deals train", "alert kind it",
    "migrate",
)  # fmt: skip
"""Not `workers run`: a service waits until its rights are there, and says so in its log."""
WEIGHTY = ("deals top", "retention", "workers start")
SHOWING = (
    "status",
    "health",
    "doctor",
    "monitor",
    "metrics",
    "celery status",
    "workers status",
)
"""These show what they cannot read."""
WITH_A_STATEMENT = {"sql": ["select count(*) from lots"]}


@pytest.fixture(
    params=[
        "select on _yoyo_migration",
        pytest.param("", marks=pytest.mark.slow),
        pytest.param("select on all tables in schema public", marks=pytest.mark.slow),
    ]
)
def poor(database: Database, environment: dict[str, str], request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The environment of a role with no rights, or with too few of them."""
    role = sql.Identifier(f"poor_{database.info.dbname}")
    database.execute(sql.SQL("create role {} login").format(role))
    if request.param:
        database.execute(sql.SQL("grant {} to {}").format(sql.SQL(request.param), role))
    address = environment["DATABASE_URL"].replace("//vinops@", f"//poor_{database.info.dbname}@")
    yield {**environment, "DATABASE_URL": address}
    database.execute(sql.SQL("drop owned by {}; drop role {}").format(role, role))


@pytest.mark.parametrize("commands", [pytest.param(COMMANDS, marks=pytest.mark.slow), WEIGHTY])
def test_a_role_without_a_right_costs_a_command_one_line(poor: dict[str, str], commands: tuple[str, ...]) -> None:
    refused = 0
    for command in commands:
        done = forks.vinops(poor, *command.split(), *WITH_A_STATEMENT.get(command, []), program=PROGRAM)
        said = f"vinops {command}: {done.returncode}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in said, said
        if done.returncode and not command.startswith(SHOWING):
            assert done.stderr.splitlines()[-1].startswith("vinops: "), said
            assert "permission denied" not in said or GRANTS in said or command == "sql", said
            refused += "permission denied" in said
    assert refused > len(commands) / 3
    logs = Path(poor["VINOPS_LOG_DIR"]).glob("*.log")
    assert not [each for each in logs if "Traceback" in each.read_text() or "uncaught" in each.read_text()]


@pytest.mark.parametrize("command", ["workers stop", "celery stop"])
def test_what_the_database_refuses_to_record_is_stopped_all_the_same(poor: dict[str, str], command: str) -> None:
    done = forks.vinops(poor, *command.split(), program=PROGRAM)
    assert done.returncode == 0, done.stderr
    assert GRANTS in done.stderr
    assert "does not run" in done.stdout


@pytest.mark.parametrize("command", few_quick(["run", "status", "cat latest", "ingest"], 0))
def test_a_role_without_a_right_costs_the_feed_one_line(poor: dict[str, str], tmp_path: Path, command: str) -> None:
    arguments = [str(tmp_path / "feed.csv")] if command == "ingest" else []
    for argument in arguments:
        Path(argument).write_text("Id\n1\n")
    environment = {**poor, "COPART_CSV_URL": "http://127.0.0.1:9/feed.csv"}
    etl = [sys.executable, "-m", "etl", *command.split(), *arguments]
    done = subprocess.run(etl, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("etl: the database refused a statement (permission denied"), done.stderr
    assert GRANTS in done.stderr
    assert done.stderr.count("\n") == 1
    assert "uncaught" not in (Path(poor["VINOPS_LOG_DIR"]) / "etl.log").read_text()


@pytest.mark.parametrize("spider", few_quick(["mobile_bg", "lot_photos"], 1))
def test_a_role_without_a_right_costs_a_crawl_one_line(poor: dict[str, str], spider: str) -> None:
    done = forks.crawl({**poor, "MOBILE_BG_URL": "http://127.0.0.1:9"}, spider)
    assert done.exit_code == 1
    assert "Traceback" not in done.log, done.log
    assert GRANTS in done.log
    assert "permission denied" in done.log or "may not" in done.log


def refusing(error: Exception) -> Any:
    """Return a command that fails with an error."""

    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize("state", sorted(state for state in FIXES if len(state) == 5))
def test_what_is_known_is_one_line_with_its_fix(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    monkeypatch.setattr(cli, "app", refusing(errors.lookup(state)("it\nsays why")))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"vinops: the database refused a statement (it says why): {FIXES[state]}\n"


def test_a_server_that_ends_the_session_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for error in (errors.AdminShutdown("terminating connection"), psycopg.OperationalError("closed")):
        monkeypatch.setattr(cli, "app", refusing(error))
        with pytest.raises(SystemExit):
            cli.main()
        said = capsys.readouterr().err
        assert said.startswith("vinops: the connection to the database broke, and what was not committed was undone")
        assert said.endswith("then run this again\n")


def test_a_fault_of_ours_is_logged_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cli, "app", refusing(errors.SyntaxError("syntax error at end of input")))
    with pytest.raises(SystemExit):
        cli.main()
    assert capsys.readouterr().err.endswith("this is a fault of vinops, please report it with the log\n")
    assert caplog.records[0].exc_info is not None


def test_no_password_is_in_the_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    error = psycopg.OperationalError("connection to postgresql://a:secret-word@host failed")
    assert "secret-word" in explanation(error)
    monkeypatch.setattr(cli, "app", refusing(error))
    with pytest.raises(SystemExit):
        cli.main()
    assert "secret-word" not in capsys.readouterr().err


def test_another_error_is_none_of_the_database() -> None:
    assert not database_errors.is_of_database(ValueError("no"))
    assert database_errors.is_of_database(errors.UniqueViolation("yes"))
