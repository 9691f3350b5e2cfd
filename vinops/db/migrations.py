"""Migrations by yoyo, made safe against a kill. Imported by `vinops.db.database.migrate` only."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psycopg
from yoyo import read_migrations
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from psycopg import Connection
    from psycopg.rows import TupleRow


class MigrationError(Exception):
    """A migration failed and left no trace. The message names it and quotes PostgreSQL's error."""


class Backend(PostgresqlPsycopgBackend):  # type: ignore[misc] # yoyo ships no types
    """yoyo's backend on a connection that holds our advisory lock.

    yoyo 9.0.0 applies a migration on one connection and marks it on another: a process killed in between leaves a
    database that can no longer be migrated, and the row of its lock. Here a migration and its mark are one
    transaction, and the lock ends with the connection.
    """

    def __init__(self, connection: Connection[TupleRow]) -> None:
        """Use this connection, which is in autocommit."""
        self._given = connection
        super().__init__(SimpleNamespace(database=connection.info.dbname), "_yoyo_migration")

    def connect(self, _uri: object) -> Connection[TupleRow]:
        """Return the given connection, on the schema in which yoyo keeps its tables."""
        self._given.execute("set search_path to public")
        return self._given

    @contextmanager
    def lock(self, timeout: float = 10) -> Iterator[None]:
        """Do nothing: the caller holds the advisory lock."""
        yield

    def apply_one(self, migration: Any, force: bool = False, mark: bool = True) -> None:
        """Apply a migration and mark it in one transaction.

        The whole file is sent at once: PostgreSQL, not yoyo's parser, splits it into statements.
        """
        migration.load()
        if not migration.use_transactions:
            raise MigrationError(f"{migration.id}: migrations without a transaction cannot be undone after a kill")
        self.ensure_internal_schema_updated()
        try:
            with self.transaction():
                self.connection.execute(migration.source)
                if mark:
                    self.mark_one(migration)
        except psycopg.Error as error:
            raise MigrationError(f"{migration.id} failed, nothing of it was kept: {error}") from error


def apply(connection: Connection[TupleRow], folder: Path) -> None:
    """Apply the migrations in `folder` that the database lacks. The connection must hold the advisory lock."""
    backend = Backend(connection)
    backend.apply_migrations(backend.to_apply(read_migrations(str(folder))))
