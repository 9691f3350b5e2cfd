"""Why the embedded server fails: a full or a read-only disk is named, whatever its clients were told."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from psycopg import errors as psycopg_errors

from ops.checks import health
from ops.observe.observer import Observer
from vinops import disk
from vinops.config import Settings
from vinops.db import embedded
from vinops.db.database import DatabaseError, connect
from vinops.db.embedded import cluster, diagnosis
from vinops.db.errors import explain, explanation

NOW = datetime(2026, 11, 29, 21, 10, tzinfo=UTC)
FULL = 'FATAL:  could not write to file "pg_wal/xlogtemp.17161": No space left on device'
LOST = psycopg.OperationalError("the connection is lost")


def a_file_system(**more: Any) -> Any:
    """What statvfs says of one with 4 GB left."""
    about = {"f_flag": 0, "f_frsize": 4096, "f_bavail": 10**6, "f_files": 10**6, "f_favail": 10**5}
    return lambda _: SimpleNamespace(**{**about, **more})


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """The folder of an embedded server whose cluster is there and that logged a full disk just now."""
    folder = tmp_path / "postgres"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "PG_VERSION").write_text(f"{embedded.MAJOR}\n")
    log(folder, datetime.now(UTC))
    return folder


def log(base: Path, at: datetime) -> None:
    """Write the server's log, as PostgreSQL 18 did on a full tmpfs (2026-11-29)."""
    stamp = f"{at:%Y-%m-%d %H:%M:%S}.134 UTC"
    lines = ["LOG:  redo starts at 0/1AEFE80", FULL, "LOG:  database system is shut down"]
    (base / "server.log").write_text("".join(f"{stamp} [17161]  {line}\n" for line in lines))


@pytest.fixture
def settings(base: Path) -> Settings:
    """Settings with the embedded server of that folder."""
    return Settings(data_dir=base.parent, database_url=None)


@pytest.mark.parametrize("state", [{"f_bavail": 100}, {"f_favail": 0}], ids=["no blocks", "no inodes"])
def test_a_full_disk_is_named_with_the_servers_own_words(
    base: Path, monkeypatch: pytest.MonkeyPatch, state: dict[str, int]
) -> None:
    monkeypatch.setattr(os, "statvfs", a_file_system(**state))
    log(base, NOW - timedelta(days=1))
    said = embedded.explain(base.parent) or ""
    assert f'the disk of {base} is full (could not write to file "pg_wal/xlogtemp.17161": No space' in said
    assert "`vinops logs --prune 1d`" in said
    (base / "server.log").unlink()
    assert f"the disk of {base} is full (No space left on device)" in (embedded.explain(base.parent) or "")


def test_an_error_of_last_week_explains_nothing(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", a_file_system(f_files=0, f_favail=0))  # as btrfs says it
    assert "is full" in (embedded.explain(base.parent) or "")
    assert diagnosis.last_complaint(base / "server.log", now=NOW) == FULL.removeprefix("FATAL:  ")
    log(base, datetime.now(UTC) - timedelta(minutes=2))
    assert embedded.explain(base.parent) is None
    assert embedded.explain(base.parent / "none") is None


def test_a_lost_connection_is_explained_by_the_disk(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "is full" in explain(LOST, settings)
    assert "is full" in explain(psycopg_errors.DiskFull("could not extend file: No space left on device"), settings)
    other = explain(psycopg_errors.UndefinedTable('no\n"lots"'), settings)
    assert other.startswith('the database refused a statement (no "lots")'), "no other error is"
    log(settings.data_dir / "postgres", NOW - timedelta(days=1))
    assert explain(LOST, settings) == explanation(LOST)
    monkeypatch.setattr(os, "statvfs", a_file_system(f_flag=os.ST_RDONLY))
    assert "is read-only" in explain(LOST, settings)


def test_the_disk_of_another_server_is_not_looked_for_here(settings: Settings) -> None:
    from dataclasses import replace

    from vinops.config import Secret

    other = replace(settings, database_url=Secret("postgresql://db.example/vinops"))
    assert explain(LOST, other) == explanation(LOST)
    full = psycopg_errors.DiskFull('could not extend file "base/1/2": No space left on device')
    assert explain(full, other).endswith("free space on the disk of the database's server, then run this again")


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC])
def test_a_server_that_cannot_be_started_for_the_disk_is_one_line_of_health(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """It was a double traceback: an OSError of the start, and one of its handling."""
    (settings.data_dir / "postgres" / "server.log").unlink()

    def fails(base: Path, _: object) -> str:
        raise OSError(number, os.strerror(number), str(base / "run"))

    monkeypatch.setattr(embedded, "_is_kept", lambda _: True)
    monkeypatch.setattr(cluster, "start", fails)
    words = {errno.EROFS: "is read-only", errno.ENOSPC: "is full"}[number]
    with pytest.raises(DatabaseError, match=words):
        connect(settings, application="tests")
    observer = Observer(settings, application="tests")
    found = health.judge(observer.observe({"machine"}))
    (line,) = [each for each in found.lines if each.name == "database"]
    assert (line.level.value, words in line.text) == ("CRITICAL", True)
    assert disk.GO in line.text or "mount it writable" in line.text
    embedded.release(settings.data_dir)
