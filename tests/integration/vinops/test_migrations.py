"""Migrations: applied once, all or nothing, and sql/schema.sql is what they make."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from ops import schema
from vinops.config import Secret, Settings
from vinops.db import database as db

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.rows import TupleRow

ROOT = Path(__file__).resolve().parents[3]
OLDEST = Path("/usr/lib/postgresql/15/bin")
"""The oldest PostgreSQL that a server of the operator may have, where Debian puts it."""
NAMES = sorted(path.stem for path in (ROOT / "sql" / "migrations").glob("*.sql"))

TRICKY = """-- A first comment; with a semicolon.
create table first (a int, note text default 'a;b $$ % %s');
create function plus(a int, b int) returns int language sql immutable return a + b;
create function atomic(a int) returns int language sql begin atomic; select a + 1; select a + 2; end;
create function body() returns int language plpgsql as $$
begin
    return 1; -- end; $x$
end;
$$;
do $do$ begin perform body(); end $do$;
insert into first (a) values (plus(1, 2) % 4);
"""


@pytest.fixture
def bare(empty_url: str, tmp_path: Path) -> Settings:
    """Settings with a fresh database without a schema."""
    return Settings(database_url=Secret(empty_url), data_dir=tmp_path)


@pytest.fixture
def own_sql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of migrations that stands in for the repository's."""
    folder = tmp_path / "sql" / "migrations"
    folder.mkdir(parents=True)
    (folder / "0001_tricky.sql").write_text(TRICKY, encoding="utf-8")
    monkeypatch.setattr(db, "SQL", folder.parent)
    return folder


def plainly(settings: Settings) -> psycopg.Connection[TupleRow]:
    assert settings.database_url is not None
    return psycopg.connect(settings.database_url.reveal(), autocommit=True)


def test_schema_sql_is_what_the_migrations_make(database_url: str) -> None:
    written = (ROOT / "sql" / "schema.sql").read_text(encoding="utf-8")
    assert written == schema.dump(database_url), "run `make schema`"


def test_migrations_are_numbered_without_a_gap_or_a_double() -> None:
    assert [name[:5] for name in NAMES] == [f"{number:04}_" for number in range(1, len(NAMES) + 1)]


def test_they_are_applied_in_order_and_once(bare: Settings) -> None:
    assert db.migrate(bare) == NAMES
    assert db.migrate(bare) == []


@pytest.fixture
def oldest() -> Iterator[Settings]:
    """Settings with an empty database on the oldest PostgreSQL, whose server does not run as root."""
    if not OLDEST.exists():
        pytest.skip(f"there is no {OLDEST}: install postgresql-15")
    folder = Path(tempfile.mkdtemp(prefix="vinops-oldest-"))
    other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []

    def run(name: str, *arguments: str) -> None:
        command = [*other, str(OLDEST / name), "--pgdata", str(folder / "data"), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={"PATH": os.defpath, "LC_ALL": "C"})

    if other:
        os.chown(folder, 65534, 65534)
    try:
        run("initdb", "--username=vinops", "--auth=trust", "--no-sync", "--encoding=UTF8")
        run("pg_ctl", "start", "--wait", "--log", str(folder / "log"), "-o", f"-k {folder} -c listen_addresses=''")
        try:
            url = f"postgresql://vinops@/postgres?host={folder}"
            yield Settings(database_url=Secret(url), data_dir=folder / "vinops")
        finally:
            run("pg_ctl", "stop", "--mode=immediate")
    finally:
        shutil.rmtree(folder)


def test_they_are_applied_on_the_oldest_postgresql(oldest: Settings) -> None:
    assert db.migrate(oldest) == NAMES


def test_a_database_that_lacks_migrations_is_refused_with_the_command_that_fixes_it(bare: Settings) -> None:
    with pytest.raises(db.NotMigrated, match=rf"lacks {NAMES[0]}.*`vinops migrate`"):
        db.connect(bare, application="t")
    with plainly(bare) as connection:
        assert db.pending(connection) == NAMES
    db.migrate(bare)
    with db.connect(bare, application="t") as connection:
        assert db.pending(connection) == []


def test_a_database_of_a_newer_version_is_refused(settings: Settings) -> None:
    with plainly(settings) as connection:
        connection.execute("insert into _yoyo_migration values ('x', '9999_future', now())")
    for use in (lambda: db.connect(settings, application="t"), lambda: db.migrate(settings)):
        with pytest.raises(db.NotMigrated, match=r"ahead .*9999_future"):
            use()


def test_lots_with_photos_have_had_their_first_pass(
    bare: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lots of an older version keep what they have: those with a photo are not due for their first pass again."""
    folder = tmp_path / "sql" / "migrations"
    folder.mkdir(parents=True)
    for name in NAMES:
        if name < "0022_photo_passes":
            shutil.copy(ROOT / "sql" / "migrations" / f"{name}.sql", folder)
    monkeypatch.setattr(db, "SQL", folder.parent)
    db.migrate(bare)
    states = {"ok": 12, "partial": 2, "failed": 0, "none_yet": 0, "missing": 0}
    with plainly(bare) as connection:
        for state, stored in states.items():
            connection.execute(
                "with lot as (insert into lots (lot_external_id, vehicle_id, first_seen_at, image_url, row_hash,"
                " file_id) select count(*) + 1, 1, now(), 'https://x', '', 1 from lots returning id)"
                " insert into lot_photos (lot_id, state, stored, settled_at) select id, %s, %s, now() from lot",
                [state, stored],
            )
        shutil.copy(ROOT / "sql" / "migrations" / "0022_photo_passes.sql", folder)
        db.migrate(bare)
        found = connection.execute("select state, first_at is not null from lot_photos").fetchall()
        assert dict(found) == {state: stored > 0 for state, stored in states.items()}
        lots = connection.execute("select state, with_photo, with_first_pass from audit.v_photo_coverage").fetchall()
        assert {row[0]: row[1:] for row in lots} == {
            state: (int(stored > 0), int(stored > 0)) for state, stored in states.items()
        }


def test_all_ads_are_read_anew_by_better_rules(bare: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "sql" / "migrations"
    folder.mkdir(parents=True)
    for name in NAMES:
        if name < "0024_measured_by_time":
            shutil.copy(ROOT / "sql" / "migrations" / f"{name}.sql", folder)
    monkeypatch.setattr(db, "SQL", folder.parent)
    db.migrate(bare)
    with plainly(bare) as connection:
        connection.execute(
            "insert into listings (source, ad_id, make_slug, url, title, posted_at, list_hash, removed_at) values"
            " ('mobile.bg', '1', 'vw', 'https://x/1', 'VW Golf', now(), '', null),"
            " ('mobile.bg', '2', 'vw', 'https://x/2', 'VW Golf', now(), '', now())"
        )
        shutil.copy(ROOT / "sql" / "migrations" / "0024_measured_by_time.sql", folder)
        db.migrate(bare)
        queued = connection.execute(
            "select ads.ad_id, work.stage from ops.deal_outbox as work join listings as ads on ads.id = listing_id"
        )
        assert queued.fetchall() == [("1", "normalize")], "an ad that is gone is not"


def test_the_embedded_database_is_migrated_on_the_way(
    open_folder: Path, own_sql: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data_dir=open_folder, embedded_linger=0)
    with db.connect(settings, application="t") as connection:
        assert connection.execute("select a from first").fetchone() == (3,)
    (own_sql / "0002_more.sql").write_text("create table second ();", encoding="utf-8")
    with db.connect(settings, application="t") as connection:
        connection.execute("select from second")


def test_processes_that_migrate_at_once_apply_each_migration_once(bare: Settings) -> None:
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: db.migrate(bare), range(4)))
    assert sorted(done) == [[], [], [], NAMES]


@pytest.mark.usefixtures("own_sql")
def test_function_bodies_reach_postgresql_as_they_are_written(bare: Settings) -> None:
    db.migrate(bare)
    with plainly(bare) as connection:
        assert connection.execute("select a, note, atomic(1), body() from first").fetchone() == (
            3,
            "a;b $$ % %s",
            3,
            1,
        )


def test_a_migration_that_fails_leaves_no_trace_and_the_ones_before_it_stay(bare: Settings, own_sql: Path) -> None:
    broken = own_sql / "0002_broken.sql"
    broken.write_text("create table half (); select 1/0;", encoding="utf-8")
    with pytest.raises(db.DatabaseError, match=r"0002_broken.*division by zero"):
        db.migrate(bare)
    with plainly(bare) as connection:
        assert connection.execute("select to_regclass('half'), to_regclass('first')").fetchone() == (None, "first")
        assert db.pending(connection) == ["0002_broken"]
    broken.write_text("create table half ();", encoding="utf-8")
    assert db.migrate(bare) == ["0002_broken"]


def test_a_process_killed_in_a_migration_leaves_no_trace(bare: Settings, own_sql: Path, empty_url: str) -> None:
    (own_sql / "0002_slow.sql").write_text("create table half (); select pg_sleep(600);", encoding="utf-8")
    code = f"""
from pathlib import Path
from vinops.db import database
from vinops.config import Secret, Settings
database.SQL = Path({str(own_sql.parent)!r})
database.migrate(Settings(database_url=Secret({empty_url!r})))
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    asleep = "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()"
    with plainly(bare) as connection:
        while connection.execute(asleep).fetchone() == (0,):
            assert process.poll() is None
        process.kill()
        process.wait()
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep' "
            "and datname = current_database()"
        )
        assert connection.execute("select to_regclass('half')").fetchone() == (None,)
    (own_sql / "0002_slow.sql").write_text("create table half ();", encoding="utf-8")
    assert db.migrate(bare) == ["0002_slow"]


def test_a_migration_and_its_mark_are_one_transaction(
    bare: Settings, own_sql: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Died

    (own_sql / "0002_more.sql").write_text("create table half ();", encoding="utf-8")
    with monkeypatch.context() as patched:
        patched.setattr("vinops.db.migrations.Backend.mark_one", die)
        with pytest.raises(Died):
            db.migrate(bare)
    with plainly(bare) as connection:
        assert connection.execute("select to_regclass('first'), to_regclass('half')").fetchone() == (None, None)
    assert db.migrate(bare) == ["0001_tricky", "0002_more"]


def test_the_password_is_in_no_error(tmp_path: Path) -> None:
    for url in (
        "postgresql://me:h%2Fnter22xyz@127.0.0.1:1/d",
        "postgresql://me@127.0.0.1:1/d?password=h%2Fnter22xyz",
        "postgresql://me:h@nter22xyz@127.0.0.1:1/d",  # settings as they are read refuse it
        "postgresql://me:nter22xyz@h@127.0.0.1:1/d",
        "postgresql://me:h%2Fnter22xyz@127.0.0.1:1/d?nonsense=h%2Fnter22xyz",
    ):
        with pytest.raises(db.DatabaseError, match="DATABASE_URL") as caught:
            db.connect(Settings(database_url=Secret(url), data_dir=tmp_path), application="t")
        assert "nter22xyz" not in str(caught.value)


def test_a_session_is_in_utc_and_names_its_application(settings: Settings) -> None:
    with db.connect(settings, application="the test") as connection:
        assert connection.execute(
            "select current_setting('timezone'), current_setting('application_name')"
        ).fetchone() == (
            "UTC",
            "the test",
        )
        assert connection.autocommit is False


def test_options_of_database_url_are_kept(settings: Settings) -> None:
    assert settings.database_url is not None
    address = settings.database_url.reveal() + "&options=-c%20work_mem%3D7MB"
    with db.connect(Settings(database_url=Secret(address)), application="t") as connection:
        assert connection.execute("select current_setting('work_mem'), current_setting('timezone')").fetchone() == (
            "7MB",
            "UTC",
        )


def test_an_installation_carries_its_sql(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("vinops", "ops", "etl", "standin", "sql"):
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", source)
    (source / "README.md").touch()
    target = tmp_path / "installed"
    subprocess.run(
        [
            *(str(ROOT / ".venv/bin/uv"), "pip", "install", "--quiet", "--python", sys.executable),
            *("--no-deps", "--no-build-isolation", "--no-index", "--target", str(target), str(source)),
        ],
        check=True,
        cwd=tmp_path,
    )
    installed = {str(path.relative_to(target)) for path in (target / "sql").rglob("*.sql")}
    assert installed == {str(path.relative_to(ROOT)) for path in (ROOT / "sql").rglob("*.sql")}
