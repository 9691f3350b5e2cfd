"""The command line as its users meet it: processes, exit codes, both outputs."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import typer

from ops.commands import sql
from ops.commands.maintenance import restore
from tests.support import forks
from tests.support.cases import few_quick
from vinops.config import Secret, Settings
from vinops.db.database import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg import Connection

    from vinops.config import Settings

    Run = Callable[..., subprocess.CompletedProcess[str]]

VINOPS = [sys.executable, "-m", "ops.cli"]


@pytest.fixture
def vinops(environment: dict[str, str]) -> Run:
    """Runs `vinops` with arguments and returns what came of it."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return forks.vinops({**environment, **variables}, *arguments)

    return run


def test_json_has_numbers_times_and_nulls_as_they_are(vinops: Run) -> None:
    done = vinops(
        "sql",
        "--json",
        "select 1 as whole, 12345678901234567890.50::numeric as money, true as yes, null as nothing, "
        "timestamptz '2026-11-23 07:10+02' as at, date '2026-11-23' as day, array[1, 2] as list, "
        """'{"a": [1, null]}'::jsonb as doc, 'nan'::float8 as odd, '\\x00ff'::bytea as raw, 'é"' as text""",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout, parse_float=str) == [
        {
            "whole": 1,
            "money": "12345678901234567890.50",  # by parse_float: in the output it is a number
            "yes": True,
            "nothing": None,
            "at": "2026-11-23T05:10:00+00:00",
            "day": "2026-11-23",
            "list": [1, 2],
            "doc": {"a": [1, None]},
            "odd": "nan",
            "raw": "00ff",
            "text": 'é"',
        }
    ]
    assert json.loads(vinops("sql", "--json", "select 1 where false").stdout) == []


BEYOND = (
    "select host, next_at, (next_at at time zone 'UTC')::date as day, array[next_at] as list, age(next_at) as age"
    " from ops.host_budgets order by host"
)


def test_infinite_times_and_those_after_9999_are_printed_in_every_format(
    settings: Settings, database: Connection[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    def printed(statement: str, how: sql.Format) -> str:
        sql.run(settings, statement, how, write=False)
        return capsys.readouterr().out

    database.execute("set session_replication_role = replica")  # photos without their lots
    database.execute("insert into lot_photos (lot_id, due_at) values (1, 'infinity'), (2, '-infinity')")
    database.execute(
        "insert into ops.host_budgets (host, next_at) values"
        " ('a', '-infinity'), ('b', 'infinity'), ('c', '10000-01-01 00:00+00')"
    )
    for table in ("lot_photos", "ops.host_budgets"):
        for how in sql.Format:
            assert "-infinity" in printed(f"select * from {table}", how)

    rows = json.loads(printed(BEYOND, sql.Format.JSON))
    assert rows[0] == {
        "host": "a",
        "next_at": "-infinity",
        "day": "-infinity",
        "list": ["-infinity"],
        "age": "infinity",
    }
    assert rows[1] == {"host": "b", "next_at": "infinity", "day": "infinity", "list": ["infinity"], "age": "-infinity"}
    assert (rows[2]["next_at"], rows[2]["day"]) == ("10000-01-01T00:00:00+00:00", "10000-01-01")
    cells = list(csv.DictReader(io.StringIO(printed(BEYOND, sql.Format.CSV))))
    assert [cell["next_at"] for cell in cells] == ["-infinity", "infinity", "10000-01-01T00:00:00+00:00"]
    assert printed(BEYOND, sql.Format.TABLE).splitlines()[2].split()[:3] == ["a", "-infinity", "-infinity"]
    assert "next_at  10000-01-01T00:00:00+00:00" in printed(BEYOND, sql.Format.EXPANDED)


@pytest.mark.parametrize("cell", few_quick(["=1+1", "+1+1", "-1+1", "@sum(a)", "\t=1", "\r=1", "-", "+359 88"], 0, 6))
def test_csv_that_a_spreadsheet_would_run_is_neutralised(environment: dict[str, str], cell: str) -> None:
    # As bytes: text read from a pipe has its line ends translated.
    done = subprocess.run(
        [*VINOPS, "sql", "--csv", f"select $x${cell}$x$ as a"], env=environment, capture_output=True, check=True
    )
    assert next(csv.DictReader(io.StringIO(done.stdout.decode(), newline=""))) == {"a": "'" + cell}


@pytest.mark.parametrize("cell", ["-5", "-5.25", "+7", "0", "a=b", "", "2026-11-23"])
def test_csv_leaves_numbers_and_plain_text_alone(vinops: Run, cell: str) -> None:
    done = vinops("sql", "--csv", f"select '{cell}' as a, 1 as b")
    assert next(csv.DictReader(io.StringIO(done.stdout))) == {"a": cell, "b": "1"}


def test_without_a_terminal_the_table_is_plain_and_aligned(vinops: Run) -> None:
    done = vinops("sql", "select * from (values (1, 'a'), (200, E'b\\x1b[2J'), (null, null)) as t (n, text)")
    assert done.stdout.splitlines() == ["  n  text", "---  --------", "  1  a", "200  b\\x1b[2J", ""]
    assert done.stderr == ""


def on_terminal(environment: dict[str, str], columns: int, *arguments: str) -> list[str]:
    """The lines that `vinops` prints on a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    mine = {name: value for name, value in environment.items() if name not in ("COLUMNS", "LINES")}
    done = subprocess.run([*VINOPS, *arguments], env={**mine, "TERM": "xterm"}, stdout=theirs, check=False)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # the end of a terminal
        while part := os.read(ours, 65536):
            shown += part
    os.close(ours)
    assert done.returncode == 0
    return shown.decode().splitlines()


def test_on_a_terminal_a_table_that_fits_is_as_it_is_in_a_pipe(environment: dict[str, str]) -> None:
    assert on_terminal(environment, 80, "sql", "select '[red]x' as a, 1 as b") == [
        "a       b",
        "------  -",
        "[red]x  1",
    ]


@pytest.mark.parametrize("columns", [80, 40])
def test_on_a_terminal_every_value_of_a_wide_row_is_there_whole(environment: dict[str, str], columns: int) -> None:
    values = {f"column_{number}": f"value_{number} with words" for number in range(30)}
    statement = "select " + ", ".join(f"'{value}' as {name}" for name, value in values.items())
    lines = on_terminal(environment, columns, "sql", statement)
    assert lines[0] == "-- row 1 of 1"
    assert [line.split(maxsplit=1) for line in lines[1:]] == [[name, value] for name, value in values.items()]
    assert max(map(len, lines)) <= columns


def test_changes_are_refused_unless_asked_for(vinops: Run) -> None:
    refused = vinops("sql", "create table made ()")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "--write" in refused.stderr
    escaped = vinops("sql", "commit; create table made ()")
    assert escaped.returncode == 1, "a second transaction escaped the read-only mode"
    assert vinops("sql", "--write", "create table made ()").returncode == 0
    assert vinops("sql", "select from made").returncode == 0


COMMENTED = "-- Total lots; gone ones too\nSELECT COUNT(*) FROM lots"


@pytest.mark.parametrize("options", [[], ["--json"], ["-x"]])
def test_a_statement_may_begin_with_a_comment(vinops: Run, options: list[str]) -> None:
    for arguments in ([COMMENTED, *options], [*options, COMMENTED], [*options, "--", COMMENTED]):
        done = vinops("sql", *arguments)
        assert (done.returncode, done.stderr) == (0, ""), arguments
        assert done.stdout.split()[-1].strip("}]") in ("0", ""), done.stdout


def test_statements_are_read_from_standard_input_and_from_files(environment: dict[str, str], tmp_path: Path) -> None:
    given = f"{COMMENTED};\n\n/* and\nanother; */ select 'a;b' as text;\n-- the end\n"
    file = tmp_path / "queries.sql"
    file.write_text("\ufeff" + given, encoding="utf-8")
    shown = "count\n-----\n    0\n\ntext\n----\na;b\n"
    for arguments, text in (([], given), (["-"], given), (["--file", str(file)], ""), (["-f", "-"], given)):
        done = forks.vinops(environment, "sql", *arguments, given=text)
        assert (done.returncode, done.stdout, done.stderr) == (0, shown, ""), arguments
    one = forks.vinops(environment, "sql", "--json", given=COMMENTED)
    assert json.loads(one.stdout) == [{"count": 0}]


@pytest.mark.parametrize(
    ("arguments", "given", "code", "told"),
    [
        (["--json"], "select 1; select 2", 2, "takes one statement"),
        ([], " -- nothing\n;", 2, "there is no statement"),
        (["--file", "nowhere.sql"], "", 1, "nowhere.sql cannot be read (No such file or directory)"),
        (["--file", "a.sql", "select 1"], "", 2, "exclude each other"),
        (["--psql", "select 1"], "", 2, "takes no statement"),
    ],
)
def test_what_is_no_statement_is_refused(
    environment: dict[str, str], arguments: list[str], given: str, code: int, told: str
) -> None:
    done = forks.vinops(environment, "sql", *arguments, given=given)
    assert (done.returncode, done.stdout) == (code, "")
    assert told in " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    "escape", ["commit", "set transaction read write", "begin read write", "set default_transaction_read_only = off"]
)
def test_no_statement_before_it_lets_another_one_write(vinops: Run, escape: str) -> None:
    done = vinops("sql", f"{escape}; create table escaped ()")
    assert done.returncode == 1
    assert "read-only transaction; --write allows changes" in done.stderr
    assert vinops("sql", "select from escaped").returncode == 1


def test_the_psql_command_of_the_embedded_server_works(
    embedded_settings: Settings, environment: dict[str, str]
) -> None:
    mine = {**environment, "VINOPS_DATA_DIR": str(embedded_settings.data_dir), "DATABASE_URL": ""}
    done = forks.vinops(mine, "sql", "--psql")
    assert done.returncode == 0, done.stderr
    line = done.stdout.strip()
    assert line.startswith("flock --shared "), "the server would stop under psql"
    asked = subprocess.run(
        ["sh", "-c", f"{line} -Atc 'select current_database()'"], env=mine, capture_output=True, text=True, check=False
    )
    assert (asked.stdout, asked.stderr) == ("vinops\n", "")


def test_the_psql_command_of_a_server_works_and_shows_no_password(environment: dict[str, str]) -> None:
    line = forks.vinops(environment, "sql", "--psql").stdout.strip()
    asked = subprocess.run(
        ["sh", "-c", f"{line} -Atc 'select count(*) from lots'"], capture_output=True, text=True, check=False
    )
    assert (asked.stdout, asked.stderr) == ("0\n", "")
    url = "postgresql://me:canary%205f2c9@db.example:6432/cars?sslmode=require"
    secret = sql.psql_command(Settings(database_url=Secret(url)))
    assert secret == "psql -h db.example -p 6432 -U me -d 'dbname=cars sslmode=require'"


@pytest.fixture
def embedded_settings(server: str) -> Settings:
    """The settings of those who have no DATABASE_URL."""
    sockets = Path(str(psycopg.conninfo.conninfo_to_dict(server)["host"]))
    return Settings(data_dir=sockets.parents[1])


PROGRAM = "copy (select 1) to program 'cat >{marker}'"


@pytest.mark.parametrize(
    "statement",
    [
        PROGRAM,
        f"do $do$ begin execute $x${PROGRAM}$x$; end $do$",
        f"do $do$ begin reset role; execute $x${PROGRAM}$x$; end $do$",
        f"do $do$ begin set local role vinops; execute $x${PROGRAM}$x$; end $do$",
        "copy (select 1) to '{marker}'",
        "select pg_read_file('/etc/passwd')",
        "select pg_reload_conf()",
        "set session authorization vinops",
        "create role vinops_mine superuser",
    ],
)
def test_reading_on_the_embedded_server_is_not_done_as_its_superuser(
    embedded_settings: Settings, open_folder: Path, statement: str
) -> None:
    """What only a superuser may is no change of the database: a transaction that may only read allows it."""
    open_folder.chmod(0o1777)
    marker = open_folder / "made"
    asked = statement.replace("{marker}", str(marker))
    with pytest.raises(DatabaseError, match=r"(permission denied|read-only transaction).*--write"):
        sql.run(embedded_settings, asked, sql.Format.JSON, write=False)
    assert not marker.exists()
    if statement == PROGRAM:
        sql.run(embedded_settings, asked, sql.Format.JSON, write=True)
        assert marker.exists(), "the statement proves nothing"


def test_reading_on_the_embedded_server_everything_can_be_read(
    embedded_settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    relations = (
        "select oid::regclass::text as name from pg_class where relkind in ('r', 'v', 'm') and "
        "relnamespace::regnamespace::text in ('public', 'ops', 'audit', 'raw', 'staging')"
    )
    for _ in range(2):
        sql.run(embedded_settings, relations, sql.Format.JSON, write=False)
        found = [row["name"] for row in json.loads(capsys.readouterr().out)]
        assert len(found) > 30
    each = " union all ".join(f"select count(*) from {name}" for name in found)
    sql.run(embedded_settings, each, sql.Format.JSON, write=False)
    sql.run(
        embedded_settings, "select query from pg_stat_activity where usename = 'vinops'", sql.Format.JSON, write=False
    )
    assert "insufficient privilege" not in capsys.readouterr().out


def test_an_error_is_one_line_and_exit_1(vinops: Run) -> None:
    done = vinops("sql", "selec 1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("vinops: syntax error")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["sql"], ["sql", "--json", "--csv", "select 1"], ["nonsense"], ["sql", "--no", "x"]]
)
def test_wrong_usage_is_exit_2(vinops: Run, arguments: list[str]) -> None:
    done = vinops(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_a_wrong_setting_and_a_dead_server_are_exit_1_and_name_the_variable(vinops: Run) -> None:
    urls = ("nonsense-5f2c9", "postgresql://me:canary-5f2c9@127.0.0.1:1/d", "postgresql://me:a@5f2c9@127.0.0.1:1/d")
    for url in urls:
        done = vinops("sql", "select 1", DATABASE_URL=url)
        assert (done.returncode, done.stdout) == (1, "")
        assert "DATABASE_URL" in done.stderr
        assert "5f2c9" not in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_target_of_a_restore_with_an_unescaped_at_is_refused_and_not_shown() -> None:
    with pytest.raises(typer.BadParameter, match="%40") as caught:
        restore.checked_target("postgresql://me@canary-5f2c9@127.0.0.1/d")
    assert "5f2c9" not in str(caught.value)


@pytest.mark.slow
def test_a_reader_that_has_enough_is_no_error(environment: dict[str, str]) -> None:
    process = subprocess.Popen(
        [*VINOPS, "sql", "select generate_series(1, 300000)"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().strip() == "generate_series"
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait() == 0


def test_migrate_says_what_it_did_and_is_safe_to_repeat(vinops: Run, empty_url: str) -> None:
    first = vinops("migrate", "--json", DATABASE_URL=empty_url)
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["applied"]
    assert json.loads(vinops("migrate", "--json", DATABASE_URL=empty_url).stdout) == {"applied": []}
