"""Poolers between vinops and PostgreSQL: used in session mode, refused by name in transaction mode."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from etl import connection as feed, run
from etl.errors import FeedBusy
from tests.support import forks
from tests.support.pooler import Pooler
from vinops.config import Secret, Settings
from vinops.db import database as db, session

if TYPE_CHECKING:
    from etl.outcome import Outcome

SHOWN = {"datestyle": "ISO, YMD", "timezone": "UTC", "search_path": "public", "extra_float_digits": "1"}


@pytest.fixture(autouse=True)
def _nothing_is_known(monkeypatch: pytest.MonkeyPatch, database: psycopg.Connection[Any]) -> None:
    """Each test finds its pooler out, and a database whose own settings are others."""
    monkeypatch.setattr(db, "_without_options", set())
    monkeypatch.setattr(db, "_pooled", set())
    name = database.info.dbname
    for setting in ("timezone to 'Asia/Tokyo'", "datestyle to 'German'", "search_path to 'ops'"):
        database.execute(f'alter database "{name}" set {setting}'.encode())


def through(settings: Settings, pooler: Pooler) -> Settings:
    return replace(settings, database_url=Secret(pooler.url))


def shown(connection: psycopg.Connection[Any]) -> dict[str, str]:
    return {name: str(connection.execute(f"show {name}".encode()).fetchone()[0]) for name in SHOWN}  # type: ignore[index]


@pytest.mark.parametrize("takes_options", [True, False])
def test_through_a_pooler_in_session_mode_a_session_is_as_without(
    settings: Settings, open_folder: Path, takes_options: bool
) -> None:
    assert settings.database_url is not None
    with Pooler(open_folder, settings.database_url.reveal(), mode="session", takes_options=takes_options) as pooler:
        mine = through(settings, pooler)
        with db.connect(mine, application="tests", autocommit=True) as one, db.connect(mine, application="t") as two:
            assert shown(one) == shown(two) == SHOWN
            with feed.locked(one), pytest.raises(FeedBusy), feed.locked(two):
                pass

        async def pooled() -> str:
            async with db.async_pool(mine, application="tests") as pool, pool.connection() as connection:
                (found,) = await (await connection.execute("show timezone")).fetchone() or ("",)
                return str(found)

        assert asyncio.run(pooled()) == "UTC"


@pytest.mark.parametrize("takes_options", [True, False])
def test_a_pooler_in_transaction_mode_is_refused_by_name(
    settings: Settings, open_folder: Path, takes_options: bool
) -> None:
    assert settings.database_url is not None
    with Pooler(open_folder, settings.database_url.reveal(), mode="transaction", takes_options=takes_options) as pooler:
        mine = through(settings, pooler)
        with pytest.raises(db.DatabaseError, match=r"pooler in transaction mode .* `pool_mode = session`"):
            db.connect(mine, application="tests")
        with pytest.raises(db.DatabaseError, match="pooler in transaction mode"):
            db.async_pool(mine, application="tests")
        with pytest.raises(db.DatabaseError, match="pooler in transaction mode"):
            db.migrate(mine)


def test_the_doctor_names_a_pooler_in_transaction_mode(
    settings: Settings, environment: dict[str, str], open_folder: Path
) -> None:
    assert settings.database_url is not None
    with Pooler(open_folder, settings.database_url.reveal(), mode="transaction") as pooler:
        done = forks.vinops({**environment, "DATABASE_URL": pooler.url}, "doctor", cwd=open_folder)
    assert done.returncode == 1
    assert "pool_mode = session" in done.stdout


def test_a_lock_that_a_pooled_session_kept_is_known_for_what_it_is(database: psycopg.Connection[Any]) -> None:
    """The run before took it through a pooler in transaction mode; who gets its session now would hold it too."""
    refused = pytest.raises(db.DatabaseError, match="pooler in transaction mode")
    with feed.locked(database), refused, feed.locked(database):
        pass


def test_a_lock_that_nobody_gives_back_is_a_failure_and_says_whose_it_is(
    settings: Settings, database: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its session is as old as a run takes, and none has ended since."""
    monkeypatch.setattr(feed, "LONGEST", 0.0)
    settings.data_dir.mkdir(parents=True)
    path = settings.data_dir / "feed.csv"
    path.write_text("Id\n1\n")

    def ingest() -> Outcome:
        return run.ingest(settings, path, fetched_at=datetime.now(UTC))

    with db.connect(settings, application="left behind", autocommit=True) as left, feed.locked(left):
        for _ in range(2):
            found = ingest()
            assert (found.status, found.reason, found.exit_code) == ("failed", "lock_stuck", 1)
            assert f"pg_terminate_backend({left.info.backend_pid})" in found.message
            assert "left behind" in found.message
        monkeypatch.setattr(feed, "LONGEST", 3600.0)
        assert (ingest().status, ingest().exit_code) == ("busy", 0)
    recorded = database.execute("select status, reason from audit.etl_runs").fetchall()
    assert recorded == [("failed", "lock_stuck")] * 2


@pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="pgbouncer is not installed")
@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_pgbouncer_as_it_comes(settings: Settings, open_folder: Path, mode: str) -> None:
    assert settings.database_url is not None
    told = conninfo_to_dict(settings.database_url.reveal())
    open_folder.chmod(0o777)
    (open_folder / "users.txt").write_text('"vinops" ""\n')
    configuration = open_folder / "pgbouncer.ini"
    configuration.write_text(
        f"[databases]\n{told['dbname']} = host={told['host']} user=vinops\n[pgbouncer]\nlisten_port = 6432\n"
        f"listen_addr =\nunix_socket_dir = {open_folder}\nauth_type = trust\nauth_file = {open_folder}/users.txt\n"
        f"pool_mode = {mode}\nlogfile = {open_folder}/log\n"
    )
    for path in open_folder.iterdir():
        path.chmod(0o644)
    process = subprocess.Popen(["pgbouncer", "-q", str(configuration)], user="vinops", stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while not (open_folder / ".s.PGSQL.6432").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        url = f"postgresql://vinops@/{told['dbname']}?host={open_folder}&port=6432"
        mine = replace(settings, database_url=Secret(url))
        if mode == "transaction":
            with pytest.raises(db.DatabaseError, match="pooler in transaction mode"):
                db.connect(mine, application="tests")
        else:
            with db.connect(mine, application="tests", autocommit=True) as connection:
                assert shown(connection) == SHOWN
    finally:
        process.terminate()
        process.wait()


def test_settings_by_statement_are_those_of_the_start(settings: Settings) -> None:
    with db.connect(settings, application="tests", autocommit=True) as connection:
        before = connection.execute("select name, setting from pg_settings order by name").fetchall()
        connection.execute(db.queries("sessions")["settle"], session.BY_STATEMENT)
        assert connection.execute("select name, setting from pg_settings order by name").fetchall() == before
