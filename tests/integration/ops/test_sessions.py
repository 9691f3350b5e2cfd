"""Sessions: the same answers whatever the environment, the database and its roles say, and times beyond Python's."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ops import schema
from ops.backup import backup, dumps, restore
from ops.backup.progress import Progress
from ops.checks.configuration import the_database
from tests.support import forks
from vinops import config
from vinops.checks import Level
from vinops.config import Secret, Settings
from vinops.db import database as db, session

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Database = psycopg.Connection[Any]

LIMITS = frozenset(
    {"statement_timeout", "lock_timeout", "transaction_timeout", "idle_in_transaction_session_timeout"}
    | {"idle_session_timeout", "default_transaction_read_only", "transaction_read_only", "temp_buffers"}
)
"""Settings of an operator that vinops leaves alone: they end or refuse work, they do not change an answer."""

ANSWERS = r"""
select
    date '2026-03-04',
    date '2026-03-04'::text,
    timestamptz '2026-03-04 05:06:07.89+00'::text,
    timestamptz '2026-03-04 05:06:07+00',
    '26/03/04'::date,
    '2026-03-04 12:00 EST'::timestamptz,
    interval '1 day 02:03:04',
    interval '-1 day 02:03:04'::text,
    '\x00ff'::bytea::text,
    (0.1::float8 + 0.2::float8)::text,
    '\d' ~ 'd',
    'Цена'::text,
    '{null,a}'::text[],
    null::int = null,
    format('%I', 'lots'),
    current_setting('transaction_isolation'),
    to_regclass('lots')::text,
    current_setting('application_name')
"""

WRONG: Mapping[str, tuple[str, ...]] = {
    "PGDATESTYLE": ("SQL, DMY", "German", "nonsense"),
    "PGTZ": ("Asia/Kolkata", "nonsense"),
    "PGCLIENTENCODING": ("LATIN1", "SQL_ASCII", "nonsense"),
    "PGOPTIONS": ("-c datestyle=German -c search_path=ops", "nonsense"),
    "PGPORT": ("1",),
    "PGHOSTADDR": ("127.0.0.1",),
    "PGDATABASE": ("template1",),
}
"""Values that would matter; for any other variable it is a word that no variable may have."""


def variables() -> set[str]:
    """Every environment variable that this libpq knows."""
    known = {each.envvar.decode() for each in psycopg.pq.Conninfo.get_defaults() if each.envvar}
    return known | {"PGDATESTYLE", "PGTZ", "PGGEQO", "PGREQUIRESSL", "PGSERVICEFILE", "PGSYSCONFDIR", "PGLOCALEDIR"}


def answers(settings: Settings) -> tuple[object, ...]:
    with db.connect(settings, application="tests") as connection:
        found = connection.execute(ANSWERS).fetchone()
    assert found is not None
    return found


@pytest.fixture
def own_settings(server: str) -> Settings:
    """Settings of the embedded server that the tests share, as its own commands have them."""
    return Settings(data_dir=Path(str(conninfo_to_dict(server)["host"])).parent.parent, embedded_linger=1)


def test_every_variable_of_libpq_is_ignored_or_kept_on_purpose() -> None:
    assert variables() - config.LIBPQ_IGNORED - config.LIBPQ_KEPT == set()
    assert not config.LIBPQ_IGNORED & config.LIBPQ_KEPT


def test_no_variable_changes_an_answer_of_database_url(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = answers(settings)
    for name in sorted(config.LIBPQ_IGNORED):
        for value in WRONG.get(name, ("nonsense",)):
            monkeypatch.setenv(name, value)
            assert answers(settings) == expected, f"{name}={value}"


def test_no_variable_at_all_changes_an_answer_of_the_embedded_server(
    own_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = answers(own_settings)
    for name in sorted(variables()):
        for value in (*WRONG.get(name, ("nonsense",)), "require"):
            monkeypatch.setenv(name, value)
            assert answers(own_settings) == expected, f"{name}={value}"
        monkeypatch.delenv(name, raising=False)


def test_what_secures_a_connection_to_database_url_is_still_read(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passwords = tmp_path / "pgpass"
    passwords.write_text("*:*:*:*:from-the-file\n", encoding="utf-8")
    passwords.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    with db.connect(settings, application="tests") as connection:
        assert connection.info.password == "from-the-file"
    monkeypatch.setenv("PGREQUIREAUTH", "scram-sha-256")
    with pytest.raises(db.DatabaseError, match=r"require_auth|scram-sha-256"):
        db.connect(settings, application="tests")


def test_the_connections_of_crawls_and_of_doctor_are_like_all_others(
    settings: Settings, admin: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def asked() -> tuple[object, ...] | None:
        pool = db.async_pool(settings, application="tests", size=1)
        await pool.open()
        try:
            async with pool.connection() as connection:
                cursor = await connection.execute(ANSWERS)
                found: tuple[object, ...] | None = await cursor.fetchone()
                times = await (await connection.execute("select 'infinity'::timestamptz")).fetchone()
                assert times == (dt.datetime.max.replace(tzinfo=dt.UTC),)
                return found
        finally:
            await pool.close()

    expected = answers(settings)
    with altered(settings.database_url, admin, SPOILING):
        for name, values in WRONG.items():
            monkeypatch.setenv(name, values[0])
        monkeypatch.setenv("PGSERVICE", "nonsense")
        assert asyncio.run(asked()) == expected
        monkeypatch.setenv("PGSERVICE", "nonsense")
        monkeypatch.setenv("PGDATESTYLE", "German")
        found = list(the_database(config.Survey(settings=settings, problems={}, sources={}, unknown={})))
        assert {each.level for each in found if each.name in {"database", "clock"}} == {Level.OK}, found


SPOILING = {
    "datestyle": "German",
    "intervalstyle": "sql_standard",
    "search_path": "ops",
    "timezone": "Asia/Kolkata",
    "client_encoding": "LATIN1",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "default_transaction_isolation": "serializable",
}
"""What would spoil most answers, were it said by `alter database … set`."""


@contextmanager
def altered(url: str | Secret | None, admin: Database, values: Mapping[str, str]) -> Iterator[None]:
    """Set settings of a database, and reset them."""
    address = url.reveal() if isinstance(url, Secret) else str(url)
    name = sql.Identifier(str(conninfo_to_dict(address)["dbname"]))
    for setting, value in values.items():
        statement = sql.SQL("alter database {} set {} = {}")
        admin.execute(statement.format(name, sql.Identifier(setting), sql.Literal(value)))
    try:
        yield
    finally:
        admin.execute(sql.SQL("alter database {} reset all").format(name))


def others(connection: Database) -> Iterator[tuple[str, str]]:
    """Yield each setting that anybody may change, with values that it does not have."""
    known = connection.execute(
        "select name, vartype, setting, enumvals, min_val, max_val, boot_val from pg_settings"
        " where context = 'user' and name <> 'role' and category !~ 'Developer|Preset' order by name"
    ).fetchall()
    strings = {"DateStyle": "German", "TimeZone": "Asia/Kolkata", "search_path": "ops", "client_encoding": "LATIN1"}
    strings |= {"timezone_abbreviations": "Australia"}
    for name, kind, value, words, least, most, _ in known:
        if name in LIMITS:
            continue
        if kind == "bool":
            yield name, "off" if value == "on" else "on"
        elif kind == "enum":
            yield from ((name, word) for word in words if word != value)
        elif kind in {"integer", "real"}:
            yield from ((name, bound) for bound in (least, most) if bound != value)
        elif name in strings:
            yield name, strings[name]


def test_no_setting_of_the_database_changes_an_answer(settings: Settings, admin: Database) -> None:
    expected = answers(settings)
    tried, refused = 0, []
    for name, value in list(others(admin)):
        try:
            with altered(settings.database_url, admin, {name: value}):
                assert answers(settings) == expected, f"{name} = {value}"
                tried += 1
        except psycopg.Error as error:
            refused.append((name, value, str(error)))
    assert tried > 150
    assert len(refused) < 10, refused


def test_settings_of_the_role_and_options_of_the_address_do_not_either(settings: Settings, admin: Database) -> None:
    assert settings.database_url is not None
    expected = answers(settings)
    role = "tests_of_sessions"
    admin.execute(f"create role {role} superuser login")
    try:
        admin.execute(f"alter role {role} set datestyle = 'SQL, DMY'")
        admin.execute(f"alter role {role} set search_path = 'ops'")
        spoiling = "-c datestyle=German -c intervalstyle=iso_8601"
        address = make_conninfo(settings.database_url.reveal(), user=role, options=spoiling)
        assert answers(Settings(database_url=Secret(address), data_dir=settings.data_dir)) == expected
    finally:
        admin.execute(f"drop role {role}")


def test_pg_dump_and_pg_restore_are_not_led_astray_either(
    settings: Settings, database: Database, admin: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.execute("create table words as select 'Цена €' as word, timestamptz 'infinity' as at")
    with altered(settings.database_url, admin, SPOILING):
        for name, values in WRONG.items():
            monkeypatch.setenv(name, values[0])
        monkeypatch.setenv("PGSERVICE", "nonsense")
        folder = tmp_path / "backups"
        kept, *_ = backup.take(settings, folder, keep=7, days=30, progress=Progress())
        address = db.url(settings)
        assert not config.LIBPQ_IGNORED & os.environ.keys(), "children would see them"
        with closing(dumps.maintenance(address, "tests")) as maintenance, ExitStack() as stack:
            restore.into_scratch(maintenance, address, folder / kept.name, kept, Progress(), stack)


def test_migrations_are_the_same_on_a_database_with_settings_of_its_own(
    empty_url: str, database_url: str, admin: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(database_url=Secret(empty_url), data_dir=tmp_path)
    with psycopg.connect(empty_url, autocommit=True) as connection:
        connection.execute("create schema ops_of_others")
    own = {"search_path": "ops_of_others", "datestyle": "German", "standard_conforming_strings": "off"}
    with altered(empty_url, admin, own):
        monkeypatch.setenv("PGDATESTYLE", "German")
        monkeypatch.setenv("PGSERVICE", "nonsense")
        assert db.migrate(settings)
        monkeypatch.delenv("PGDATESTYLE", raising=False)
        monkeypatch.delenv("PGSERVICE", raising=False)
        with psycopg.connect(empty_url, autocommit=True) as connection:
            connection.execute("drop schema ops_of_others")
    assert schema.dump(empty_url) == schema.dump(database_url)


@pytest.mark.parametrize(
    "command", [["status"], ["health", "--json"], ["metrics", "--once"], ["forecast"], ["retention"]]
)
def test_commands_read_what_is_infinite_under_any_settings(
    environment: dict[str, str], settings: Settings, database: Database, admin: Database, command: list[str]
) -> None:
    database.execute(
        "insert into ops.host_budgets (host, next_at, open_until) values"
        " ('a.example', 'infinity', 'infinity'), ('b.example', '-infinity', '20000-01-01')"
    )
    hostile = {name: values[0] for name, values in WRONG.items()} | {"PGSERVICE": "nonsense"}
    with altered(settings.database_url, admin, SPOILING):
        done = forks.vinops({**environment, **hostile}, *command)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode in ({0, 1, 2} if command[0] == "health" else {0}), done.stderr
    if command[0] == "health":
        lines = {line["name"]: line for line in json.loads(done.stdout)["lines"]}
        assert lines["database"]["level"] == "OK", lines["database"]


LAST, FIRST = dt.datetime.max.replace(tzinfo=dt.UTC), dt.datetime.min.replace(tzinfo=dt.UTC)
BEYOND: Mapping[str, tuple[object, object]] = {
    "date 'infinity'": (dt.date.max, "infinity"),
    "date '-infinity'": (dt.date.min, "-infinity"),
    "date '10000-01-01'": (dt.date.max, "10000-01-01"),
    "date '0044-03-15 BC'": (dt.date.min, "0044-03-15 BC"),
    "timestamp 'infinity'": (LAST.replace(tzinfo=None), "infinity"),
    "timestamp '12026-01-02 03:04:05.6'": (LAST.replace(tzinfo=None), "12026-01-02T03:04:05.6"),
    "timestamptz 'infinity'": (LAST, "infinity"),
    "timestamptz '-infinity'": (FIRST, "-infinity"),
    "timestamptz '12026-01-02 03:04:05+00'": (LAST, "12026-01-02T03:04:05+00:00"),
    "timestamptz '0044-03-15 00:00+00 BC'": (FIRST, "0044-03-15T00:00:00+00:00 BC"),
    "array[timestamptz 'infinity']": ([LAST], ["infinity"]),
}


@pytest.mark.parametrize("is_binary", [False, True], ids=["text", "binary"])
def test_times_beyond_pythons_are_its_first_or_last(database: Database, is_binary: bool) -> None:
    read = database.execute(f"select {', '.join(BEYOND)}".encode(), binary=is_binary).fetchone()
    assert read == tuple(nearest for nearest, _ in BEYOND.values())


def test_and_are_text_where_they_are_printed(database: Database) -> None:
    session.read_for_printing(database)
    read = database.execute(f"select {', '.join(BEYOND)}".encode()).fetchone()
    assert read == tuple(printed for _, printed in BEYOND.values())
    more = "select interval 'infinity', interval '3000000 years', time '24:00', timetz '24:00+02', date '2026-11-23'"
    assert database.execute(more.encode()).fetchone() == (
        "infinity",
        "3000000 years",
        "24:00:00",
        "24:00:00+02",
        dt.date(2026, 11, 23),
    )


def test_a_connection_that_breaks_before_it_is_handed_out_is_replaced(
    settings: Settings, admin: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare, ended = db._compare, []

    def after_its_end(connection: psycopg.Connection[Any]) -> tuple[list[str], list[str]]:
        if not ended:
            ended.append(connection.info.backend_pid)
            admin.execute("select pg_terminate_backend(%s, 60000)", ended)
        return compare(connection)

    monkeypatch.setattr(db, "_compare", after_its_end)
    with db.connect(settings, application="tests") as connection:
        assert connection.info.backend_pid not in ended
        assert connection.execute("select 1").fetchone() == (1,)
