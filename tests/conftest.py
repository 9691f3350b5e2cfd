"""What all tests share: one embedded PostgreSQL for the run, and a fresh migrated database for each test that asks."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from vinops import database as db
from vinops import embedded
from vinops.config import Secret, Settings, variables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.rows import TupleRow

ROOM = 8 << 30  # bytes: a whole run has less than half of it at any one time
IN_MEMORY = pytest.StashKey[Path]()
"""The folder that this process has to remove; none in the processes of pytest-xdist, which find TMPDIR named."""


def pytest_configure(config: pytest.Config) -> None:
    """Let temporary files of the tests, and of what they start, lie in memory where there is room and nobody named a
    place: a copy of a database takes a tenth of the time. What tests kill are processes: no disk has to outlive them.
    """
    memory = Path("/dev/shm")
    if "TMPDIR" in os.environ or not memory.is_mount() or os.statvfs(memory).f_flag & os.ST_NOEXEC:
        return
    if shutil.disk_usage(memory).free > ROOM:
        folder = config.stash[IN_MEMORY] = Path(tempfile.mkdtemp(prefix="vinops-tests-", dir=memory))
        folder.chmod(0o1777)  # as /tmp: servers are run by other accounts
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Give the memory back; what failed tests left may be looked at."""
    folder = session.config.stash.get(IN_MEMORY, None)
    if folder and exitstatus == pytest.ExitCode.OK:
        atexit.register(shutil.rmtree, folder, ignore_errors=True)  # pytest itself has not done with it yet


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests neither see nor touch the database and the feed of the person who runs them."""
    for name in (*variables(), "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)


def remove_folder(folder: Path) -> None:
    """Remove a folder with the servers in it, and let their keepers go."""
    for found in folder.rglob("postmaster.pid"):
        embedded.stop(found.parent.parent)
    data_dirs = [found.parent.parent for found in folder.rglob("users.lock")]
    while folder.exists():  # a keeper that is about to end may make its lock file once more
        shutil.rmtree(folder, ignore_errors=True)
    for data_dir in data_dirs:
        embedded.release(data_dir)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that the server's account reaches, unlike pytest's tmp_path, which is for its owner only."""
    folder = Path(tempfile.mkdtemp(prefix="vinops-test-"))
    folder.chmod(0o711)
    yield folder
    remove_folder(folder)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The embedded server of this run, its database `vinops` migrated: the template of the others. Yields a libpq
    connection string to `postgres`, from which databases are made."""
    folder = Path(tempfile.mkdtemp(prefix="vinops-test-"))
    folder.chmod(0o711)
    settings = Settings(data_dir=folder, embedded_linger=1)
    db.migrate(settings)
    yield psycopg.conninfo.make_conninfo(db.url(settings), dbname="postgres")
    remove_folder(folder)


@pytest.fixture(scope="session")
def admin(server: str) -> Iterator[psycopg.Connection[TupleRow]]:
    """A connection that makes and drops databases."""
    with psycopg.connect(server, autocommit=True) as connection:
        yield connection


@pytest.fixture
def empty_url(server: str, admin: psycopg.Connection[TupleRow]) -> Iterator[str]:
    """The address of a fresh database without any schema."""
    yield from fresh(server, admin, "template0")


@pytest.fixture
def database_url(server: str, admin: psycopg.Connection[TupleRow]) -> Iterator[str]:
    """The address of a fresh migrated database."""
    yield from fresh(server, admin, "vinops")


def fresh(server: str, admin: psycopg.Connection[TupleRow], template: str) -> Iterator[str]:
    """Yield the address of a copy of a database, which goes afterwards."""
    name = f"test_{uuid4().hex[:12]}"
    # The copy of files leaves nothing in the buffers, which `drop` would look through: a third of both less.
    statement = sql.SQL("create database {} template {} strategy file_copy")
    admin.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
    host = str(psycopg.conninfo.conninfo_to_dict(server)["host"])
    yield f"postgresql://vinops@/{name}?host={quote(host, safe='')}"
    admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings with a fresh migrated database and folders of its own."""
    return Settings(database_url=Secret(database_url), data_dir=tmp_path / "data", log_dir=tmp_path / "logs")


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    """The environment that gives a command run as a process the same settings."""
    assert settings.database_url is not None
    return {
        **os.environ,
        "DATABASE_URL": settings.database_url.reveal(),
        "VINOPS_DATA_DIR": str(settings.data_dir),
        "VINOPS_LOG_DIR": str(settings.log_dir),
    }


@pytest.fixture
def database(settings: Settings) -> Iterator[psycopg.Connection[TupleRow]]:
    """A connection in autocommit to the database of `settings`."""
    with db.connect(settings, application="tests", autocommit=True) as connection:
        yield connection
