"""`kill -9` of backups and restores: existing backups and databases stay whole, and the next run cleans up."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from ops.backup import files as backup_files
from tests.support import forks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import psycopg
    from psycopg.rows import TupleRow

    from tests.crash.killing import Kills
    from vinops.config import Settings

    Database = psycopg.Connection[TupleRow]

pytestmark = pytest.mark.slow

VINOPS = [sys.executable, "-m", "ops.cli"]
SIGKILLED = -9
MOMENTS = 8


@pytest.fixture
def filled(database: Database) -> Database:
    database.execute(
        "create table many as select n, repeat(md5(n::text), 4) as text from generate_series(1, 60000) as n"
    )
    return database


def scratches(admin: Database) -> list[str]:
    return [row[0] for row in admin.execute("select datname from pg_database where datname like 'vinops\\_scratch%'")]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def killed_after(seconds: float, environment: dict[str, str], *arguments: str) -> bool:
    """Kill a command so many seconds after its start. Return whether it was still running."""
    process = subprocess.Popen(
        [*VINOPS, *arguments], env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    time.sleep(seconds)
    process.kill()
    return process.wait() == SIGKILLED


def kill_when_left(list_files: Callable[[], set[str]], environment: dict[str, str], *arguments: str) -> None:
    """Kill a command as soon as there is something that it would leave behind."""
    before = list_files()
    process = subprocess.Popen(
        [*VINOPS, *arguments], env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    while process.poll() is None and not list_files() - before:
        time.sleep(0.002)
    process.kill()
    assert process.wait() == SIGKILLED
    assert list_files() - before  # else the cleaning up is not tested


def seconds_of(environment: dict[str, str], *arguments: str) -> float:
    """Run a command to its end, in the same way as those that are killed, and return its seconds."""
    began = time.monotonic()
    subprocess.run([*VINOPS, *arguments], env=environment, capture_output=True, check=True)
    return time.monotonic() - began


def whole_one(environment: dict[str, str], *arguments: str) -> None:
    """Run a command to its end."""
    done = forks.vinops(environment, *arguments)
    assert done.returncode == 0, done.stderr


def swept(environment: dict[str, str], admin: Database) -> None:
    """Run drills until no scratch database is left: the sessions of a killed process end a moment after it."""
    for _ in range(30):
        whole_one(environment, "restore", "latest", "--drill")
        if not scratches(admin):
            return
        time.sleep(0.2)
    raise AssertionError(f"left: {scratches(admin)}")


def test_a_killed_backup_is_none_and_the_next_one_cleans_up(
    filled: Database, settings: Settings, environment: dict[str, str], admin: Database, kills: Kills
) -> None:
    seconds = seconds_of(environment, "backup")
    folder = backup_files.folder_of(settings)
    kill_when_left(lambda: {name for name in names(folder) if name.endswith(".part")}, environment, "backup")
    kill_when_left(lambda: set(scratches(admin)), environment, "backup")
    kills.landed["backup"] += 2
    landed = 0
    for number in range(MOMENTS):
        if killed_after(seconds * (number + 1) / (MOMENTS + 1), environment, "backup"):
            landed += 1
            kills.landed["backup"] += 1
        found, wrong = backup_files.verified(backup_files.in_folder(folder))
        assert wrong == []
        assert found
        for each in found:
            assert backup_files.checked(folder / each.name) == each
    assert landed >= MOMENTS // 2
    whole_one(environment, "backup", "--keep", "3")
    found, _ = backup_files.verified(backup_files.in_folder(folder))
    assert names(folder) == {"last.json", *(each.name for each in found), *(f"{each.name}.json" for each in found)}
    swept(environment, admin)


def test_a_killed_swap_is_all_done_or_not_begun(
    filled: Database, settings: Settings, environment: dict[str, str], admin: Database, kills: Kills
) -> None:
    own = filled.info.dbname
    filled.close()  # nobody may be connected
    try:
        whole_one(environment, "backup")
        seconds = seconds_of(environment, "restore", "latest", "--yes")
        for number in range(MOMENTS):
            before = databases_of(admin, own)
            if killed_after(seconds * (number + 1) / (MOMENTS + 1), environment, "restore", "latest", "--yes"):
                kills.landed["restore"] += 1
            after = databases_of(admin, own)
            assert own in after
            assert len(after - before) <= 1
            whole_one(environment, "backup", "--keep", "1")  # and so it can be read, all of it
            found, _ = backup_files.verified(backup_files.in_folder(backup_files.folder_of(settings)))
            assert found[0].tables["public.many"][0] == 60_000
        swept(environment, admin)
    finally:
        for name in databases_of(admin, own) - {own}:
            admin.execute(f'drop database "{name}" with (force)'.encode())


def databases_of(admin: Database, own: str) -> set[str]:
    rows = admin.execute("select datname from pg_database where starts_with(datname, %s)", [own]).fetchall()
    return {row[0] for row in rows}
