"""A full disk is said in words: which one it is, and what may go from it. Real ones: /dev/full, and a small tmpfs."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer

from ops.backup import backup, files as backup_files
from ops.backup.dumps import BackupError
from ops.backup.progress import Progress
from ops.commands.maintenance.backup import failed
from tests.support.feed_files import Loader, row
from vinops import disk, logs
from vinops.config import ConfigError
from vinops.db import embedded
from vinops.storage.folder import Folder
from vinops.storage.store import PHOTOS, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from vinops.config import Settings

    Database = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def full(place: Path) -> OSError:
    """The error of a write to a full disk, as the system makes it."""
    with place.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            return error


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line on standard error that begins with the program's name."""
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("vinops: ")]
    return line


def test_a_backup_names_the_disk_and_what_may_go(
    database: Database, settings: Settings, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(OSError, match="No space left") as raised:
        backup.take(settings, small / "backups", keep=7, days=30, progress=Progress())
    with pytest.raises(typer.Exit):
        failed(raised.value, small / "backups")
    text = said(capsys)
    assert f"the disk of {small / 'backups'} is full (No space left on device)" in text
    assert "VINOPS_BACKUP_KEEP" in text
    assert "`--to FOLDER`" in text
    assert "[Errno" not in text
    assert backup_files.leftovers(small / "backups") == []


def test_old_backups_that_could_not_be_removed_name_the_disk_too(
    database: Database,
    settings: Settings,
    small: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = full(small / "x")
    folder = settings.data_dir / "backups"
    backup.take(settings, folder, keep=7, days=30, progress=Progress())
    unlink = Path.unlink

    def fails(path: Path, missing_ok: bool = False) -> None:
        if path.name.endswith(".dump.json"):
            raise error
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", fails)
    with pytest.raises(
        StoreError, match=rf"was taken and verified, but old backups.* {folder} \(No space left"
    ) as raised:
        backup.take(settings, folder, keep=1, days=30, progress=Progress())
    assert backup.explain(raised.value, folder) == str(raised.value)  # and not the disk of the database's server


def test_a_full_disk_of_the_databases_server_is_told_apart() -> None:
    """pg_restore's words, PostgreSQL 18, on a full tablespace (2026-11-29)."""
    words = "pg_restore failed: error: could not extend file: No space left on device HINT: Check free disk space."
    text = backup.explain(BackupError(words), Path("/backups"))
    assert text == words + backup.DATABASE_FULL
    assert backup.explain(BackupError("pg_dump failed"), Path("/backups")) == "pg_dump failed"


def test_an_event_that_is_lost_says_that_the_disk_is_full(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    handler = logs.LogFile(small / "t.log")
    full(small / "rest")
    try:
        for _ in range(100):
            handler.emit(logging.makeLogRecord({"msg": "c4nary " * 100, "name": "t", "filename": "f.py", "lineno": 1}))
    finally:
        handler.close()
    text = capsys.readouterr().err
    assert f"an event of t (f.py:1) was lost: the disk of {small} is full (No space left on device)" in text
    assert "`vinops logs --prune 1d`" in text
    assert "c4nary" not in text


def test_a_log_folder_on_a_full_disk_is_not_taken_for_a_wrong_setting(
    settings: Settings, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = full(small / "rest")
    monkeypatch.setattr(logs, "LogFile", lambda *_, **__: (_ for _ in ()).throw(error))
    with pytest.raises(ConfigError, match=r"No space left on device\): free some space \(`vinops logs --prune"):
        logs.configure("etl", settings, console=False)


def test_photos_in_a_folder_name_it_and_what_may_go(small: Path) -> None:
    store = Folder(small / "photos", PHOTOS)
    with pytest.raises(StoreError, match=rf"{small}/photos \(No space left on device\): free space on its disk \(`vin"):
        store.put("photos/1/" + "a" * 64 + ".jpg", bytes(200_000), content_type="image/jpeg")
    assert [path for path in small.rglob("*") if path.is_file()] == []


def vinops(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [sys.executable, "-m", "ops.cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def database_line(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Return the line of health on the database."""
    (line,) = [each for each in json.loads(done.stdout)["lines"] if each["name"] == "database"]
    return line


@pytest.mark.slow
def test_a_full_disk_below_the_embedded_server_is_named(environment: dict[str, str]) -> None:
    """The server ends when it cannot begin a file of its write-ahead log; clients see only a lost connection."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # where the server's account reaches it
    mount = ["mount", "-t", "tmpfs", "-o", "size=90m", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        folder.rmdir()
        pytest.skip("no disk can be mounted here")
    here = {**environment, "VINOPS_DATA_DIR": str(folder / "var"), "VINOPS_EMBEDDED_LINGER": "20"}
    here.pop("DATABASE_URL", None)
    try:
        folder.chmod(0o755)
        assert vinops(here, "migrate").returncode == 0
        # Until the server does not start: files of the write-ahead log may lie ahead, and recovery may remove some.
        for number in range(12):
            full(folder / f"ballast_{number}")
            done = vinops(here, "sql", "--write", f"create table more_{number} (); select pg_switch_wal()")
            figure = database_line(vinops(here, "health", "--json"))["figure"]
            if done.returncode and "No space left" in figure:
                break
        assert done.stderr.count("\n") == 1, done.stderr
        for said in (done.stderr, figure):
            assert f"the disk of {folder}/var/postgres is full" in said
            assert "No space left on device" in said
        assert database_line(vinops(here, "health", "--json"))["level"] == "CRITICAL"
        for ballast in folder.glob("ballast_*"):
            ballast.unlink()
        assert vinops(here, "sql", "--write", "create table one_more ()").returncode == 0
    finally:
        embedded.stop(embedded.folder(folder / "var"))
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


@pytest.mark.slow
def test_a_read_only_data_folder_is_said_in_a_line(environment: dict[str, str], tmp_path: Path) -> None:
    here = {**environment, "VINOPS_DATA_DIR": str(tmp_path / "var"), "VINOPS_EMBEDDED_LINGER": "0"}
    here.pop("DATABASE_URL", None)
    assert vinops(here, "migrate").returncode == 0
    embedded.stop(embedded.folder(tmp_path / "var"))
    folder = str(embedded.folder(tmp_path / "var").parent)  # also where root's data are elsewhere
    bound = subprocess.run(["mount", "--bind", folder, folder], check=False, capture_output=True)
    if bound.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        for command in ("health", "monitor --once", "forecast", "sql table(lots)", "status"):
            done = vinops(here, *command.split())
            assert "Traceback" not in done.stderr, command
            said = "CRITICAL: database, disk" if command == "status" else "is read-only"
            assert said in " ".join((done.stdout + done.stderr).split()), command
            assert done.returncode == {"health": 2, "status": 0, "monitor --once": 0}.get(command, 1), command
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.parametrize("program", ["etl cat", "vinops sql"])
def test_an_output_that_cannot_be_written_is_one_line(
    program: str, database: Database, settings: Settings, environment: dict[str, str]
) -> None:
    feed = replace(settings, feed_min_rows=1)
    loader = Loader(settings=feed, database=database, folder=settings.data_dir / "files")
    loader.loaded([row(1), row(2)])
    command = {
        "etl cat": ["-m", "etl", "cat", "latest"],
        "vinops sql": ["-m", "ops.cli", "sql", "select repeat('x', 100000)"],
    }[program]
    with Path("/dev/full").open("wb") as nowhere:
        done = subprocess.run(
            [sys.executable, *command], env=environment, stdout=nowhere, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert "a disk is full (No space left on device)" in done.stderr
    assert str(settings.data_dir) in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_no_full_disk_names_the_file_and_the_reason(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as raised:
        tmp_path.open("wb")
    assert disk.explain(raised.value, tmp_path.parent).startswith(f"{tmp_path}: Is a directory: ")
    assert disk.PHRASE == os.strerror(28) == "No space left on device"
