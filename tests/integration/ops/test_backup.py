"""Backups: a dump that cannot be restored completely is no backup, and a damaged one is not restored."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from ops.backup import backup, dumps, files as backup_files, restore
from ops.backup.dumps import BackupError, Programs
from ops.backup.progress import Progress
from ops.checks.health import judge
from ops.observe import machine
from tests.support import forks, snapshots
from tests.support.s3_server import BUCKET, KEY_ID, SECRET, S3Server, s3_server
from vinops import clock
from vinops.clock import ClockDoubted
from vinops.config import Secret, Settings
from vinops.db import embedded
from vinops.storage.opening import open_bucket
from vinops.storage.store import BACKUPS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg.rows import TupleRow

    from ops.backup.files import Backup

    Database = psycopg.Connection[TupleRow]
    Run = Callable[..., subprocess.CompletedProcess[str]]

VINOPS = [sys.executable, "-m", "ops.cli"]
CANARY = "c4nary-of-the-backups"

CONTENT = """
create schema "Odd schema";
create table "Odd schema"."each" ("each" text, "row" jsonb, b bytea, f float8, t timestamptz, a int[]);
insert into "Odd schema"."each"
select 'x' || n, jsonb_build_object('n', n, 'é', null), sha256(n::text::bytea), n / 3.0,
    timestamptz '2026-01-01' + n * interval '1.000001 s', array[n, null]
from generate_series(1, 2000) as n;
insert into "Odd schema"."each" values (null, null, null, 'nan', 'infinity', '{}');
insert into "Odd schema"."each" values (null);
create table partitioned (id bigint generated always as identity, value text) partition by hash (id);
create table partition_0 partition of partitioned for values with (modulus 2, remainder 0);
create table partition_1 partition of partitioned for values with (modulus 2, remainder 1);
insert into partitioned (value) select repeat('long ', n % 700) from generate_series(1, 500) as n;
create unlogged table forgetful (id serial, value int);
insert into forgetful (value) values (1), (1), (2);
"""


@pytest.fixture
def filled(database: Database) -> Database:
    database.execute(CONTENT)
    return database


@pytest.fixture
def odd(empty_url: str, tmp_path: Path) -> Settings:
    """Settings with a database that has what is `filled` and none of our tables: to restore these takes half a second,
    and what becomes of a damaged dump does not depend on them."""
    with psycopg.connect(empty_url) as connection:
        connection.execute(CONTENT)
    return Settings(database_url=Secret(empty_url), data_dir=tmp_path / "data", log_dir=tmp_path / "logs")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def vinops(environment: dict[str, str]) -> Run:
    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return forks.vinops({**environment, **variables}, *arguments)

    return run


@pytest.fixture
def new_name(admin: Database) -> Iterator[str]:
    """A name for a database. Databases whose names begin with it are dropped afterwards."""
    name = f"restored_{uuid4().hex[:8]}"
    yield name
    drop_like(admin, name)


def drop_like(admin: Database, name: str) -> None:
    found = admin.execute("select datname from pg_database where starts_with(datname, %s)", [name]).fetchall()
    for (each,) in found:
        admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(each)))


def scratches(admin: Database) -> list[str]:
    return [row[0] for row in admin.execute("select datname from pg_database where datname like 'vinops\\_scratch%'")]


def take(settings: Settings, folder: Path, *, keep: int = 7, days: float = 30) -> Backup:
    return backup.take(settings, folder, keep=keep, days=days, progress=Progress())[0]


def address(settings: Settings) -> str:
    assert settings.database_url is not None
    return settings.database_url.reveal()


def held(settings: Settings, name: str | None = None) -> dumps.Contents:
    where = address(settings)
    with closing(dumps.connect(dumps.named(where, name) if name else where, "tests")) as connection:
        return dumps.contents(connection)


def drill(settings: Settings, dumped: Path, kept: Backup) -> None:
    """Restore without checking the file first."""
    with closing(dumps.maintenance(address(settings), "tests")) as admin, ExitStack() as stack:
        restore.into_scratch(admin, address(settings), dumped, kept, Progress(), stack)


def test_a_drill_brings_everything_back_with_equal_checksums(
    filled: Database, settings: Settings, vinops: Run, admin: Database
) -> None:
    before = held(settings)
    taken = vinops("backup", "--json")
    assert taken.returncode == 0, taken.stderr
    said = json.loads(taken.stdout)
    assert said["rows"] == before.rows
    assert said["tables"] == len(before.tables)
    assert before.tables['"Odd schema".each'][0] == 2002
    done = vinops("restore", "latest", "--drill", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["equal"] is True
    assert scratches(admin) == []
    assert held(settings) == before
    note = backup_files.last_backup(settings)
    assert note is not None
    assert note.name == said["name"]


def test_a_restored_database_is_the_same_to_the_last_row(
    filled: Database, settings: Settings, vinops: Run, new_name: str
) -> None:
    assert vinops("backup").returncode == 0
    filled.execute("delete from partitioned")  # what is restored is what was backed up
    done = vinops("restore", "latest", "--into", new_name)
    assert done.returncode == 0, done.stderr
    found = held(settings, new_name)
    kept = backup_files.verified(backup_files.in_folder(backup_files.folder_of(settings)))[0][0]
    assert kept.contents.tables == found.tables
    assert found.tables["public.partition_0"][0] + found.tables["public.partition_1"][0] == 500
    with psycopg.connect(dumps.named(address(settings), new_name)) as connection:
        row = connection.execute("insert into partitioned (value) values ('next') returning id").fetchone()
    assert row == (501,)


def test_writers_at_work_do_not_matter(filled: Database, settings: Settings, folder: Path) -> None:
    """Without one snapshot for the dump and the figures, they differ within three attempts."""
    over = threading.Event()

    def write() -> None:
        with psycopg.connect(address(settings), autocommit=True) as connection:
            while not over.is_set():
                connection.execute("insert into partitioned (value) select 'new' from generate_series(1, 50)")
                connection.execute("update forgetful set value = value + 1")
                connection.execute("delete from partitioned where id in (select id from partitioned limit 20)")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            kept = take(settings, folder)
            assert kept.contents.tables["public.forgetful"][0] == 3
    finally:
        over.set()
        writer.join()


def test_a_dump_that_is_cut_short_is_refused_wherever_it_is_cut(
    filled: Database, settings: Settings, folder: Path, vinops: Run
) -> None:
    kept = take(settings, folder)
    dumped = folder / kept.name
    whole = dumped.read_bytes()
    offsets = sorted({0, 1, 5, 11, len(whole) - 1, *range(0, len(whole), max(1, len(whole) // 200))})
    for offset in offsets:
        dumped.write_bytes(whole[:offset])
        with pytest.raises(BackupError, match="bytes instead of"):
            backup_files.checked(dumped)
    done = vinops("restore", str(dumped), "--drill")
    assert done.returncode == 1
    assert "bytes instead of" in done.stderr
    assert done.stdout == ""
    dumped.write_bytes(whole)
    assert backup_files.checked(dumped) == kept


def test_a_flipped_bit_is_refused_wherever_it_is(odd: Settings, folder: Path) -> None:
    kept = take(odd, folder)
    dumped = folder / kept.name
    whole = dumped.read_bytes()
    for offset in sorted({0, 1, 5, len(whole) - 1, *range(0, len(whole), max(1, len(whole) // 300))}):
        damaged = bytearray(whole)
        damaged[offset] ^= 1 << (offset % 8)
        dumped.write_bytes(damaged)
        with pytest.raises(BackupError, match="sha256"):
            backup_files.checked(dumped)


def test_a_dump_that_was_bad_before_it_was_hashed_is_refused_too(odd: Settings, folder: Path, admin: Database) -> None:
    """With a sidecar that matches a damaged dump, pg_restore or the comparison has to fail."""
    kept = take(odd, folder)
    dumped = folder / kept.name
    whole = dumped.read_bytes()
    refused = 0
    for number in range(1, 8):
        cut = whole[: len(whole) * number // 8]
        flipped = bytearray(whole)
        flipped[len(whole) * number // 8] ^= 0x10
        for bad, must_fail in ((cut, True), (bytes(flipped), False)):
            dumped.write_bytes(bad)
            try:
                drill(odd, dumped, replace(kept, bytes=len(bad), sha256=hashlib.sha256(bad).hexdigest()))
            except BackupError:
                refused += 1
            else:
                assert not must_fail  # a bit that says nothing, as in the time of the dump: compared, and equal
    assert refused >= 10
    assert scratches(admin) == []


def test_another_file_under_its_name_is_refused(odd: Settings, folder: Path) -> None:
    kept = take(odd, folder)
    dumped = folder / kept.name
    dumped.write_bytes(os.urandom(kept.bytes))
    with pytest.raises(BackupError, match="sha256"):
        backup_files.checked(dumped)
    dumped.write_bytes(b"")
    with pytest.raises(BackupError, match="0 bytes"):
        backup_files.checked(dumped)
    dumped.unlink()
    with pytest.raises(BackupError, match="there is no file"):
        backup_files.checked(dumped)


def test_a_sidecar_that_is_missing_cut_changed_or_of_another_is_refused(odd: Settings, folder: Path) -> None:
    first, second = take(odd, folder), take(odd, folder)
    dumped = folder / second.name
    about = backup_files.sidecar(dumped)
    text = about.read_bytes()
    for offset in range(0, len(text), 5):
        about.write_bytes(text[:offset])
        with pytest.raises(BackupError, match="cannot be trusted"):
            backup_files.checked(dumped)
        flipped = bytearray(text)
        flipped[offset] ^= 1
        about.write_bytes(flipped)
        with pytest.raises(BackupError, match="cannot be trusted"):
            backup_files.checked(dumped)
    about.write_bytes(backup_files.sidecar(folder / first.name).read_bytes())
    with pytest.raises(BackupError, match="belongs to"):
        backup_files.checked(dumped)
    about.unlink()
    with pytest.raises(BackupError, match="never verified"):
        backup_files.checked(dumped)


SCRIPTS = {
    "fails": "echo 'pg_dump: error: the disk burns' >&2; exit 1",
    "is cut": '"$REAL" "$@" | head -c 20000',
    "leaves out a table": 'exec "$REAL" --exclude-table=forgetful "$@"',
    "leaves out rows": 'exec "$REAL" --exclude-table-data=forgetful "$@"',
    "says nothing": "exit 0",
}


@pytest.mark.parametrize("what", SCRIPTS)
def test_a_bad_dump_is_no_backup_and_pushes_no_good_one_out(
    what: str, odd: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch, admin: Database
) -> None:
    good = take(odd, folder)
    script = folder.parent / "pg_dump"
    real = embedded.binary("pg_dump")
    script.write_text(f"#!/bin/bash\nREAL={real}\n{SCRIPTS[what]}\n")
    script.chmod(0o755)
    bad = Programs(dump=script, restore=embedded.binary("pg_restore"), major=embedded.MAJOR)
    monkeypatch.setattr(dumps, "programs", lambda _connection: bad)
    with pytest.raises(BackupError):
        take(odd, folder, keep=1, days=0)
    assert [each.name for each in backup_files.verified(backup_files.in_folder(folder))[0]] == [good.name]
    assert sorted(path.name for path in folder.iterdir()) == sorted([good.name, good.name + ".json"])
    assert scratches(admin) == []
    assert backup_files.checked(folder / good.name) == good


NOW = datetime(2026, 11, 25, tzinfo=UTC)


def aged(*ages: float) -> list[Any]:
    """Backups of so many days ago."""
    return [type("B", (), {"name": f"{age:g} days", "time": NOW - timedelta(days=age)})() for age in ages]


def gone(keep: int, days: float, *ages: float, taken: float | None = None) -> list[str]:
    backups = aged(*ages)  # the newest first
    last = None if taken is None else next(each for each in backups if each.name == f"{taken:g} days")
    return [each.name for each in backup_files.outdated(backups, keep=keep, days=days, now=NOW, taken=last)]


def test_they_are_kept_by_count_and_by_age_and_the_newest_always_stays() -> None:
    assert gone(7, 30, 0, 1, 2) == []
    assert gone(2, 30, 0, 1, 2, 3) == ["2 days", "3 days"]
    assert gone(7, 1.5, 0, 1, 2, 3) == ["2 days", "3 days"]
    assert gone(1, 0, 20) == []
    assert gone(1, 0, 20, 21) == ["21 days"]


def test_the_one_just_taken_never_goes_and_ages_are_measured_by_the_others() -> None:
    assert gone(1, 30, 0, 1, 2, taken=0) == ["1 days", "2 days"]
    assert gone(7, 5, 0, 10, 14, 16, taken=0) == ["16 days"]
    # By a clock that is behind: it was taken last, and is dated first.
    assert gone(1, 0, 0, 1, 2, taken=2) == ["0 days", "1 days"]


def test_what_is_dated_in_the_future_is_neither_counted_nor_removed() -> None:
    assert gone(1, 30, -60, 0, taken=0) == []
    assert gone(2, 30, -60, -1, 0, 1, 2, taken=0) == ["2 days"]
    assert gone(2, 1, -60, 0, 1, 2) == ["2 days"]


def test_none_goes_when_the_clock_is_implausibly_far_beyond_the_newest() -> None:
    with pytest.raises(ClockDoubted):
        gone(1, 0, 0, 60, 61, taken=0)
    with pytest.raises(ClockDoubted):  # the second run by that clock
        gone(1, 30, 0, 1, 60, 61, taken=0)
    assert gone(3, 30, 0, 30, 61, 91, 122, taken=0) == ["61 days", "91 days", "122 days"]  # a backup every month


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Set the clocks of this machine and of the database ahead by days."""
    real = clock.now

    def put(days: int) -> None:
        monkeypatch.setattr(clock, "now", lambda: real() + timedelta(days=days))
        monkeypatch.setattr(dumps, "clock_of", lambda _connection: clock.now())

    return put


def test_a_clock_that_is_wrong_for_a_run_costs_no_backup(
    filled: Database,
    settings: Settings,
    ahead: Callable[[int], None],
    vinops: Run,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = backup_files.folder_of(settings)
    first, second = (take(settings, folder) for _ in range(2))
    ahead(60)
    wrong, removed = backup.take(settings, folder, keep=1, days=30, progress=Progress())
    assert removed == []
    assert "old backups stay: it is" in capsys.readouterr().err
    again, removed = backup.take(settings, folder, keep=1, days=30, progress=Progress())
    assert removed == []
    ahead(0)
    health = machine.backup(settings)
    assert (health.newest, health.ahead) == (folder / second.name, (again.name, wrong.name))
    line = next(
        each for each in judge(snapshots.snapshot(at=clock.now(), backup=health)).lines if each.name == "backup"
    )
    assert (line.level.name, line.fix) == ("WARNING", "date; docs/runbook.md, A wrong clock")
    assert f"{again.name}, {wrong.name} dated in the future" in line.text
    restored = vinops("restore", "latest", "--drill")
    assert restored.returncode == 0, restored.stderr
    assert restored.stdout.startswith(f"{second.name}: ")
    assert f"not the latest: {wrong.name} is dated in the future" in restored.stderr
    listed = vinops("backup", "--list", "--json")
    assert [each["name"] for each in json.loads(listed.stdout)] == [second.name, first.name]
    third, removed = backup.take(settings, folder, keep=1, days=30, progress=Progress())
    assert removed == [second.name, first.name]
    assert f"a backup does not count: {wrong.name}" in capsys.readouterr().err
    assert {path.name for path in folder.glob("*.dump")} == {third.name, wrong.name, again.name}
    for name in (third.name, wrong.name):
        backup_files.checked(folder / name)


def test_the_databases_clock_is_a_second_witness(
    odd: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, real = backup_files.folder_of(odd), clock.now
    take(odd, folder)
    for days in (5, -60):  # 5 days are plausible; only the second clock tells
        monkeypatch.setattr(clock, "now", lambda days=days: real() + timedelta(days=days))
        taken, removed = backup.take(odd, folder, keep=1, days=30, progress=Progress())
        assert removed == []
        assert "and that of the database" in capsys.readouterr().err
        assert abs((taken.time - real()).total_seconds()) < 3600 or days < 0


def test_old_ones_go_after_a_new_one_is_verified_and_damaged_ones_do_not_count(odd: Settings, folder: Path) -> None:
    names = [take(odd, folder, keep=9).name for _ in range(3)]
    assert len(set(names)) == 3
    (folder / names[2]).write_bytes(b"")
    newest, removed = backup.take(odd, folder, keep=2, days=30, progress=Progress())
    assert removed == [names[0]]
    assert [each.name for each in backup_files.verified(backup_files.in_folder(folder))[0]] == [newest.name, names[1]]
    assert (folder / names[2]).exists()  # for a person to look at


def test_what_is_known_of_backups_is_for_their_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with backup_files.only_one(tmp_path / "new"):
            backup_files.write_whole(tmp_path / "new" / backup_files.LAST, "{}")
        (tmp_path / "old").mkdir()
        sidecar = tmp_path / "old" / "vinops-20260101T000000Z.dump.json"
        for path in (sidecar, tmp_path / "old" / backup_files.LAST, tmp_path / "old" / "mine.txt"):
            path.touch(mode=0o644)  # as an earlier version left them
        with backup_files.only_one(tmp_path / "old"):
            pass
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o7777 for path in tmp_path.glob("*/*")}
    assert modes == {backup_files.LAST: 0o600, sidecar.name: 0o600, "mine.txt": 0o644}


def test_two_backups_at_once_are_refused(filled: Database, settings: Settings, folder: Path) -> None:
    with backup_files.only_one(folder), pytest.raises(BackupError, match="under way"):
        take(settings, folder)


def test_scratch_databases_of_the_killed_are_dropped_and_those_in_use_stay(settings: Settings, admin: Database) -> None:
    with closing(dumps.maintenance(address(settings), "tests")) as one:
        with dumps.scratch(one, address(settings), encoding="UTF8") as used:
            left = f"{used.name}_left"
            admin.execute(sql.SQL("create database {}").format(sql.Identifier(left)))
            assert dumps.sweep(one) == [left]
            assert scratches(admin) == [used.name]
        assert scratches(admin) == []


@pytest.mark.slow
def test_swapping_keeps_what_was_there_and_asks_that_nobody_is_connected(
    admin: Database, server: str, tmp_path: Path, environment: dict[str, str], new_name: str
) -> None:
    admin.execute(sql.SQL("create database {} template vinops").format(sql.Identifier(new_name)))
    url = dumps.named(server, new_name)
    parts = conninfo_to_dict(url)
    variables = {
        **environment,
        "DATABASE_URL": f"postgresql://vinops@/{new_name}?host={quote(str(parts['host']), safe='')}",
    }

    def vinops(*arguments: str) -> subprocess.CompletedProcess[str]:
        return forks.vinops(variables, *arguments)

    with psycopg.connect(url) as connection:
        connection.execute(CONTENT)
    assert vinops("backup").returncode == 0
    with psycopg.connect(url, application_name="worker 3") as connection:
        connection.execute("drop table forgetful")
        connection.commit()
        refused = vinops("restore", "latest", "--yes")
    assert refused.returncode == 1
    assert f"{new_name} is in use (worker 3)" in refused.stderr
    done = vinops("restore", "latest", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["database"] == new_name
    with psycopg.connect(url) as connection:
        assert connection.execute("select count(*) from forgetful").fetchone() == (3,)
    with psycopg.connect(dumps.named(server, said["replaced"])) as connection:
        assert connection.execute("select to_regclass('forgetful')").fetchone() == (None,)
    beside = vinops("restore", "latest", "--json")
    assert json.loads(beside.stdout)["database"].startswith(f"{new_name}_restored_")
    # A server that has lost the database altogether.
    admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(new_name)))
    again = vinops("restore", "latest", "--yes")
    assert again.returncode == 0, again.stderr
    assert scratches(admin) == []


def test_a_swap_that_breaks_between_its_renamings_is_none(
    admin: Database,
    server: str,
    settings: Settings,
    folder: Path,
    new_name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    admin.execute(sql.SQL("create database {} template vinops").format(sql.Identifier(new_name)))
    url = dumps.named(server, new_name)
    own = replace(settings, database_url=Secret(url))
    kept = take(own, folder)
    run_statement, renamed = dumps.run_statement, []

    def breaking(connection: Any, name: str, **values: str) -> None:
        if name == "rename_statement" and renamed:
            raise psycopg.OperationalError("the server went away")
        run_statement(connection, name, **values)
        if name == "rename_statement":
            renamed.append(values["database"])

    monkeypatch.setattr(dumps, "run_statement", breaking)
    with closing(dumps.maintenance(url, "tests")) as connection, pytest.raises(BackupError, match="not put in place"):
        restore.into_new(connection, url, folder / kept.name, kept, name=new_name, replace=own, progress=Progress())
    assert renamed == [new_name]
    found = admin.execute("select datname from pg_database where starts_with(datname, %s)", [new_name]).fetchall()
    assert found == [(new_name,)]
    assert scratches(admin) == []


def test_only_an_empty_database_is_restored_into(
    filled: Database, settings: Settings, vinops: Run, empty_url: str
) -> None:
    assert vinops("backup").returncode == 0
    name = conninfo_to_dict(address(settings))["dbname"]
    refused = vinops("restore", "latest", "--into", str(name))
    assert refused.returncode == 1
    assert "is not empty" in refused.stderr
    assert vinops("restore", "latest", "--into", empty_url).returncode == 0
    assert held(settings, str(conninfo_to_dict(empty_url)["dbname"])).tables == held(settings).tables
    assert vinops("restore", "latest", "--into", "postgresql://u:secret@h/d").returncode == 2
    assert vinops("restore", "latest", "--drill", "--yes").returncode == 2


def test_a_role_that_may_not_create_databases_is_told_what_to_do(
    admin: Database, settings: Settings, filled: Database, folder: Path
) -> None:
    role = f"reader_{uuid4().hex[:8]}"
    admin.execute(sql.SQL("create role {} login").format(sql.Identifier(role)))
    try:
        poor = replace(settings, database_url=Secret(address(settings).replace("vinops@", f"{role}@")))
        with pytest.raises(BackupError, match=f"{role} may not create databases.*alter role {role} createdb"):
            take(poor, folder)
        admin.execute(sql.SQL("alter role {} createdb").format(sql.Identifier(role)))
        with pytest.raises(BackupError, match="permission denied"):
            take(poor, folder)
        assert list(folder.iterdir()) == []
    finally:
        admin.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))


def test_no_password_reaches_a_command_line_an_output_or_a_log(
    filled: Database, settings: Settings, environment: dict[str, str]
) -> None:
    filled.execute("insert into forgetful (value) select n from generate_series(1, 300000) as n")
    url = address(settings).replace("vinops@", f"vinops:{CANARY}@")
    process = subprocess.Popen(
        [*VINOPS, "backup"],
        env={**environment, "DATABASE_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    seen: set[str] = set()
    while process.poll() is None:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen.add(path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
            except OSError:
                continue
    said = process.communicate()[0]
    assert process.returncode == 0, said
    assert any("pg_dump" in line and "--snapshot" in line for line in seen)
    assert any("pg_restore" in line and "--dbname" in line for line in seen)
    assert not [line for line in seen if CANARY in line]
    log = (settings.log_dir / "backup.log").read_text(encoding="utf-8")
    files = [path.read_text(encoding="utf-8") for path in backup_files.folder_of(settings).glob("*.json")]
    assert not [text for text in (said, log, *files) if CANARY in text]


def test_a_full_disk_leaves_no_backup_and_no_part(
    filled: Database, settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_which: Programs, _address: str, *, write: Callable[[bytes], object], **_: object) -> None:
        write(b"PGDMP")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(dumps, "dump", full)
    with pytest.raises(OSError, match="No space left"):
        take(settings, folder)
    assert list(folder.iterdir()) == []


def test_a_wrong_clock_costs_no_backup_in_r2(
    filled: Database, settings: Settings, ahead: Callable[[int], None], s3: S3Server
) -> None:
    folder = backup_files.folder_of(settings)
    with closing(open_bucket(s3.settings(), BACKUPS)) as bucket:
        kept = backup.take(settings, folder, keep=1, days=30, progress=Progress(), store=bucket)[0]
        ahead(60)
        wrong, removed = backup.take(settings, folder, keep=1, days=30, progress=Progress(), store=bucket)
        assert removed == []
        ahead(0)
        assert backup_files.counted(backup_files.verified(bucket)[0], clock.now())[0] == [kept]
        last, removed = backup.take(settings, folder, keep=1, days=30, progress=Progress(), store=bucket)
        assert removed == [kept.name]
        assert {key for key, _ in bucket.sizes() if key.endswith(".dump")} == {
            f"backups/{each.name}" for each in (last, wrong)
        }
        with ExitStack() as stack:
            fetched = restore.dump_in_bucket(bucket, "latest", settings, Progress(), stack)
            assert fetched.name == last.name


@pytest.fixture
def s3() -> Iterator[S3Server]:
    with s3_server(strict=True) as running:
        running.make_bucket()
        yield running


@pytest.mark.slow
def test_backups_go_to_r2_and_come_back(filled: Database, settings: Settings, vinops: Run, s3: S3Server) -> None:
    r2 = {
        "R2_ENDPOINT": s3.endpoint,
        "R2_ACCESS_KEY_ID": KEY_ID,
        "R2_SECRET_ACCESS_KEY": SECRET,
        "R2_BUCKET_NAME": BUCKET,
    }
    for _ in range(3):
        taken = vinops("backup", "--to-r2", "--keep", "2", "--json", **r2)
        assert taken.returncode == 0, taken.stderr
    assert json.loads(taken.stdout)["removed"]
    listed = json.loads(vinops("backup", "--to-r2", "--list", "--json", **r2).stdout)
    assert len(listed) == 2
    folder = backup_files.folder_of(settings)
    assert [path.name for path in folder.iterdir()] == ["last.json"]
    done = vinops("restore", "latest", "--from-r2", "--drill", **r2)
    assert done.returncode == 0, done.stderr
    assert listed[0]["name"] in done.stdout
    assert [path.name for path in folder.iterdir()] == ["last.json"]
    short = folder.parent / "short"
    short.write_bytes(b"PGDMP")
    with closing(open_bucket(s3.settings(), BACKUPS)) as bucket:
        bucket.put_file(f"backups/{listed[0]['name']}", short)
    for name in (listed[0]["name"], "latest"):
        wrong = vinops("restore", name, "--from-r2", "--drill", **r2)
        assert wrong.returncode == 1
        assert f"{listed[0]['name']} has 5 bytes instead of" in wrong.stderr
    refused = vinops("backup", "--to-r2")
    assert refused.returncode == 1
    assert "R2_ENDPOINT" in refused.stderr


HISTORY = """
insert into audit.lot_events (lot_id, file_id, event, happened_at) select n, 1, 'appeared', now()
from generate_series(1, 500) as n;
insert into staging.copart_raw (file_id, line_number, row_hash) select 1, n, '' from generate_series(1, 300) as n;
insert into vehicles (vin) values ('1FTFW1E50NKE00000');
analyze;
"""
SKIPPED = "audit.lot_events, staging.copart_raw"


@pytest.mark.slow
def test_rows_that_a_setting_skips_are_left_out_and_said_so(
    database: Database, settings: Settings, vinops: Run, new_name: str, admin: Database
) -> None:
    database.execute(HISTORY)
    taken = vinops("backup", "--json", VINOPS_BACKUP_SKIP=SKIPPED)
    assert taken.returncode == 0, taken.stderr
    said = json.loads(taken.stdout)
    assert said["skipped"] == ["staging.copart_raw", "audit.lot_events"]
    assert "without the rows of staging.copart_raw, audit.lot_events: expected to take" in taken.stderr
    done = vinops("restore", "latest", "--into", new_name)
    assert done.returncode == 0, done.stderr
    assert "audit.lot_events will be empty" in done.stderr
    restored = held(settings, new_name)
    kept = dumps.NO_ROWS
    assert (restored.tables["audit.lot_events"], restored.tables["staging.copart_raw"]) == (kept, kept)
    assert restored.tables["public.vehicles"] == held(settings).tables["public.vehicles"]
    # The next event gets a number that no lost one had.
    assert restored.sequences["audit.lot_events_id_seq"] == 500


def test_only_tables_that_can_be_done_without_are_skipped(vinops: Run) -> None:
    refused = vinops("backup", VINOPS_BACKUP_SKIP="lots")
    assert refused.returncode != 0
    assert "VINOPS_BACKUP_SKIP has 1 unknown name: name some of staging.copart_raw" in refused.stderr


def test_the_expected_duration_is_that_of_the_last_backup_for_as_many_rows(
    database: Database, settings: Settings, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database.execute(HISTORY)
    taken = take(settings, folder)
    assert "expected to take 1 s, at 60,000 rows a second as measured elsewhere" in capsys.readouterr().err
    tables = {"audit.lot_events": (1_000_000, "0")}
    last = replace(taken, seconds=10_000.0, tables=tables)  # 100 rows a second
    backup_files.write_whole(backup_files.folder_of(settings) / backup_files.LAST, last.text())
    database.execute("insert into vehicles (vin) select 'V' || n from generate_series(1, 30000) as n; analyze vehicles")
    backup.take(settings, folder, keep=7, days=30, progress=Progress())
    err = capsys.readouterr().err
    assert "expected to take 5 min, at 100 rows a second as the last one did" in err


def test_a_sidecar_from_before_tables_could_be_skipped_is_still_read(
    database: Database, settings: Settings, folder: Path
) -> None:
    taken = take(settings, folder)
    assert "skipped" not in taken.text()
    assert backup_files.parse_sidecar(taken.text()) == taken
    some = replace(taken, skipped=("audit.lot_events",))
    assert backup_files.parse_sidecar(some.text()) == some
