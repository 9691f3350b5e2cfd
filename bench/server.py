"""The embedded server of a bench and its databases: each run starts from a copy of a kept state."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString
from urllib.parse import quote

import psycopg
from psycopg import sql

from vinops.config import Secret, Settings
from vinops.db import database, embedded

FOLDERS = ("raw", "state")
"""The folders in which the loader keeps what belongs to a state of the database."""


class BenchFailed(Exception):  # noqa: N818 # says what failed
    """The bench cannot go on, or what it measured is not what it meant to measure."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A database and the data folder that belongs to it."""

    name: str
    url: str
    data_dir: Path

    @property
    def environ(self) -> dict[str, str]:
        """The environment in which a command of vinops works here."""
        return {"DATABASE_URL": self.url, "VINOPS_DATA_DIR": str(self.data_dir), "VINOPS_FEED_MIN_ROWS": "1"}

    @property
    def settings(self) -> Settings:
        """The same as settings."""
        return Settings(database_url=Secret(self.url), data_dir=self.data_dir)


class Server:
    """An embedded server under a folder, with the settings that every embedded server of vinops has."""

    def __init__(self, folder: Path) -> None:
        """Start it, on an empty folder or on one that was kept."""
        self.folder = folder
        self.sockets = embedded.ensure_running(folder, 0)
        self._own = self.url("postgres")
        self._admin("alter system reset all")  # what a bench that was killed had set
        self._admin("select pg_reload_conf()")

    def url(self, name: str) -> str:
        """Return the URL of a database."""
        return f"postgresql://vinops@/{name}?host={quote(self.sockets, safe='')}&port=5432"

    def query(self, name: str, statement: LiteralString) -> tuple[Any, ...]:
        """Return the first row of a statement's answer."""
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            row = connection.execute(statement).fetchone()
        if row is None:
            raise BenchFailed(f"no answer to: {statement}")
        return row

    def place(self, name: str) -> Place:
        """Return the database of that name with its folder, whether they are there or not."""
        return Place(name=name, url=self.url(name), data_dir=self.folder / "places" / name)

    def make(self, name: str, template: str = "template0") -> Place:
        """Make a database, in the place of one of that name, with the files that belong to its template.

        Copied file by file, not through the log: it ends with a checkpoint, so every run starts with an idle disk.
        The loader replaces its files and never writes into one, so hard links do.
        """
        self.drop(name)
        place, source = self.place(name), self.place(template)
        self._admin("create database {} template {} strategy file_copy", name, template)
        place.data_dir.mkdir(parents=True)
        for folder in FOLDERS:
            if (source.data_dir / folder).exists():
                shutil.copytree(source.data_dir / folder, place.data_dir / folder, copy_function=os.link)
        return place

    def drop(self, name: str) -> None:
        """Remove a database and its folder, if there are."""
        self._admin("drop database if exists {} with (force)", name)
        shutil.rmtree(self.place(name).data_dir, ignore_errors=True)

    @contextmanager
    def settings(self, values: Mapping[str, str]) -> Iterator[None]:
        """Change settings that need no restart for as long as the block lasts."""
        for name, value in values.items():
            self._admin("alter system set {} to {}", name, value)
        self._admin("select pg_reload_conf()")
        try:
            yield
        finally:
            for name in values:
                self._admin("alter system reset {}", name)
            self._admin("select pg_reload_conf()")

    def comment(self, name: str) -> str | None:
        """Return the comment on a database; None if it has none or is not there."""
        with psycopg.connect(self._own, autocommit=True) as connection:
            row = connection.execute(
                "select shobj_description(oid, 'pg_database') from pg_database where datname = %s", [name]
            ).fetchone()
        return row[0] if row else None

    def set_comment(self, name: str, text: str) -> None:
        """Comment on a database. Templates do not pass their comments on."""
        with psycopg.connect(self._own, autocommit=True) as connection:
            statement = sql.SQL("comment on database {} is {}").format(sql.Identifier(name), sql.Literal(text))
            connection.execute(statement)

    def keep(self, name: str) -> None:
        """Leave a database as autovacuum leaves it within minutes of a load, before it serves as a template."""
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            connection.execute("vacuum (analyze)")
            connection.execute("checkpoint")

    def _admin(self, statement: LiteralString, *names: str) -> None:
        with psycopg.connect(self._own, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*[sql.Identifier(name) for name in names]))

    def stop(self, *, keep: bool = False) -> None:
        """Stop the server, and remove everything unless it is to be kept."""
        base = embedded.folder(self.folder)
        with contextlib.suppress(embedded.ServerError):
            embedded.stop(base)
        embedded.release(self.folder)
        _wait_for_keeper(base)
        if keep:
            return
        with contextlib.suppress(embedded.ServerError, OSError):  # its data may lie elsewhere
            embedded.remove(self.folder, 0)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def running(folder: Path, *, keep: bool = False) -> Iterator[Server]:
    """Run a server for as long as the block lasts. With `keep` its databases are those of an earlier bench, and stay.
    Without it, what an earlier bench kept, or left when it was killed, is removed first.

    Raises BenchFailed if another bench uses the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with folder.joinpath("bench.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BenchFailed("another bench is running here: the two would measure each other") from None
        data = folder / "data"
        if data.exists() and not keep:
            embedded.remove(data, 10)
            shutil.rmtree(data)
        server = Server(data)
        try:
            server.make("migrated")
            database.migrate(server.place("migrated").settings)
            server.make("empty")
            yield server
        finally:
            server.stop(keep=keep)


def _wait_for_keeper(base: Path) -> None:
    """Wait until the server's keeper has ended: it needs the folder until then."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            with base.joinpath("keeper.lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
        except FileNotFoundError:
            return
        except BlockingIOError:
            time.sleep(0.05)
