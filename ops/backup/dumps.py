"""pg_dump and pg_restore: which of them fit the server, how they are run, and the scratch databases to verify dumps in.

A password is passed in their environment, which only its owner can read, never on their command line. Their input and
output are pipes: if this process dies, they end with it.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from vinops import config
from vinops.db import embedded
from vinops.db.database import queries
from vinops.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from datetime import datetime

    from psycopg import Connection, Cursor

    Progress = Callable[[int], None]

BLOCK = 1 << 20
SCRATCH_LOCK = 7_861_234_502  # an advisory lock; the number has no meaning beyond being ours
COMPRESSION = "3"  # zlib's: of 300,000 images half the time of pg_dump's own choice (0.8 s) for 9 % more bytes
NO_ROWS = (0, "0")  # the count and the sum of the hashes of an empty table
DEBIAN_PROGRAMS = Path("/usr/lib/postgresql")


class BackupError(Exception):
    """A backup was not taken, or not restored. The message says what failed, why, and what fixes it."""


@dataclass(frozen=True, kw_only=True)
class Programs:
    """pg_dump and pg_restore of one version."""

    dump: Path
    restore: Path
    major: int


@dataclass(frozen=True, kw_only=True)
class Contents:
    """The contents of a database: for each table the count of its rows and the sum of their hashes, and the last value
    of each sequence."""

    tables: Mapping[str, tuple[int, str]]
    sequences: Mapping[str, int]

    @property
    def rows(self) -> int:
        """The rows of all tables."""
        return sum(rows for rows, _ in self.tables.values())

    def differences(self, restored: Contents) -> list[str]:
        """Return in words how `restored` differs from this; nothing if it is a complete copy."""
        found = []
        for name in sorted({*self.tables, *restored.tables}):
            mine, theirs = self.tables.get(name), restored.tables.get(name)
            if mine is None or theirs is None:
                found.append(f"{name} is {'missing' if theirs is None else 'there, and should not be'}")
            elif mine[0] != theirs[0]:
                found.append(f"{name} has {theirs[0]:,} rows instead of {mine[0]:,}")
            elif mine != theirs:
                found.append(f"{name} has other rows")
        # A sequence may advance between this snapshot and the dump, but never goes back.
        found += [
            f"the sequence {name} is behind {value}"
            for name, value in self.sequences.items()
            if restored.sequences.get(name, 0) < value
        ]
        return found


def connect(address: str, application: str, *, autocommit: bool = True) -> Connection[Any]:
    """Return a connection to a database of any schema, with the settings of the session that a dump needs. Raises
    BackupError."""
    import psycopg
    from psycopg.conninfo import make_conninfo

    try:
        connection = psycopg.connect(
            make_conninfo(address, application_name=application, connect_timeout=10, client_encoding="UTF8"),
            autocommit=True,
        )
        connection.execute(queries("backup")["settle_session"])
        connection.autocommit = autocommit
    except psycopg.Error as error:
        raise BackupError(
            f"no connection to the database: {redact(str(error)).strip()}: check DATABASE_URL and that the server runs"
        ) from None
    return connection


def named(address: str, database: str) -> str:
    """Return the address of another database on the same server."""
    from psycopg.conninfo import make_conninfo

    return make_conninfo(address, dbname=database)


def maintenance(address: str, application: str) -> Connection[Any]:
    """Return a connection for creating and renaming databases: to `postgres`, else to `template1`, else, as these may
    be closed to this role, to the database itself, which then cannot be renamed. Raises BackupError."""
    for database in ("postgres", "template1"):
        with suppress(BackupError):
            return connect(named(address, database), application)
    return connect(address, application)


def clock_of(connection: Connection[Any]) -> datetime:
    """Return the time by the database's clock. Raises psycopg.Error."""
    row = connection.execute(queries("backup")["clock"]).fetchone()
    assert row is not None  # noqa: S101 # a select without a table has one row
    when: datetime = row[0]
    return when


def programs(connection: Connection[Any]) -> Programs:
    """Return the programs that fit the server: of its major version, else of the next newer one that is installed.

    Looks where Debian installs them, on PATH, and at those of the embedded server. Raises BackupError, which names the
    package to install.
    """
    wanted = connection.info.server_version // 10_000
    fitting = sorted((each for each in _installed() if each.major >= wanted), key=lambda each: each.major)
    if not fitting:
        raise BackupError(
            f"the server is PostgreSQL {wanted}, and no pg_dump here is as new: apt-get install "
            f"postgresql-client-{wanted}"
        )
    return fitting[0]


def _installed() -> Iterator[Programs]:
    pairs = [(folder / "bin/pg_dump", folder / "bin/pg_restore") for folder in DEBIAN_PROGRAMS.glob("*")]
    on_path = shutil.which("pg_dump"), shutil.which("pg_restore")
    if on_path[0] and on_path[1]:
        pairs.append((Path(on_path[0]), Path(on_path[1])))
    with suppress(embedded.ServerError):
        pairs.append((embedded.binary("pg_dump"), embedded.binary("pg_restore")))
    for dump, restore in pairs:
        with suppress(OSError, subprocess.SubprocessError):
            said = subprocess.run([dump, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
            found = re.search(r"\b(\d+)", said)
            if found and restore.exists():
                yield Programs(dump=dump, restore=restore, major=int(found[1]))


def expected_rows(connection: Connection[Any], *, skip: Collection[str] = ()) -> float:
    """Return how many rows a dump will have, as the planner estimates them. Raises psycopg.Error."""
    row = connection.execute(queries("backup")["expected_rows"], {"skip": list(skip)}).fetchone()
    return float(row[0]) if row else 0.0


def sequences(connection: Connection[Any]) -> dict[str, int]:
    """Return the last value of each sequence. Raises psycopg.Error."""
    return {name: int(value) for value, name in connection.execute(queries("backup")["sequences"]).fetchall()}


def named_row(cursor: Cursor[Any]) -> dict[str, Any]:
    """Return the one row of a result by the names of its columns."""
    return dict(zip([column.name for column in cursor.description or ()], cursor.fetchone() or (), strict=True))


def contents(
    connection: Connection[Any],
    progress: Callable[[str], None] = lambda _table: None,
    *,
    skip: Collection[str] = (),
) -> Contents:
    """Count and hash all rows of all tables, as the connection's transaction sees them; the tables in `skip` count as
    empty. `progress` is called with the name of each table.

    Raises psycopg.Error, for example for a table that this role may not read.
    """
    found = sequences(connection)
    tables: dict[str, tuple[int, str]] = {}
    for name, statement in connection.execute(queries("backup")["content_statements"]).fetchall():
        if name in skip:
            tables[name] = NO_ROWS
            continue
        progress(name)
        row = connection.execute(statement.encode()).fetchone()
        assert row is not None  # noqa: S101 # an aggregate without groups has one row
        tables[name] = (int(row[0]), str(row[1]))
    return Contents(tables=tables, sequences=found)


def dump(
    which: Programs,
    address: str,
    *,
    snapshot: str,
    write: Callable[[bytes], object],
    progress: Progress,
    skip: Collection[str] = (),
) -> tuple[int, str]:
    """Dump the database as the snapshot shows it, without the rows of the tables in `skip`, and return its bytes and
    their sha256. Raises BackupError, and OSError where `write` does."""
    digest, size = hashlib.sha256(), 0
    arguments = ["--format=custom", f"--compress={COMPRESSION}", f"--snapshot={snapshot}"]
    arguments += [f"--exclude-table-data={name}" for name in skip]
    with _running(which.dump, *arguments, address=address, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None  # noqa: S101 # it is a pipe
        while block := process.stdout.read(BLOCK):
            write(block)
            digest.update(block)
            size += len(block)
            progress(size)
    return size, digest.hexdigest()


def restore(which: Programs, address: str, dumped: Path, *, progress: Progress) -> str:
    """Restore a dump into an empty database, in one transaction, and return the sha256 of what was read.

    The restoring role owns everything. Raises BackupError; the database is as empty as before then. If the process
    dies, pg_restore reads the end of its input, and nothing is restored.
    """
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    database = make_conninfo(dbname=conninfo_to_dict(address).get("dbname"))
    digest, size = hashlib.sha256(), 0
    arguments = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", f"--dbname={database}"]
    with (
        dumped.open("rb") as file,
        _running(which.restore, *arguments, address=address, stdin=subprocess.PIPE) as process,
    ):
        assert process.stdin is not None  # noqa: S101 # it is a pipe
        while block := file.read(BLOCK):
            digest.update(block)
            size += len(block)
            with suppress(BrokenPipeError):  # it failed, and its exit code says so, or it has read all that it needs
                process.stdin.write(block)
            progress(size)
    return digest.hexdigest()


@contextmanager
def _running(
    program: Path, *arguments: str, address: str, stdin: int = subprocess.DEVNULL, stdout: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[bytes]]:
    """Run pg_dump or pg_restore during a block, and kill it if the block fails. Raises BackupError if it fails."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [program, *arguments, "--no-password"],
            stdin=stdin,
            stdout=stdout,
            stderr=errors,
            env=_environment(address),
            cwd="/",
        )
        try:
            yield process
        except BaseException:
            process.kill()
            raise
        finally:
            for pipe in (process.stdin, process.stdout):
                with suppress(BrokenPipeError):
                    if pipe is not None:
                        pipe.close()
            code = process.wait()
        if code:
            raise BackupError(f"{program.name} failed: {_said(errors)}")


def _environment(address: str) -> dict[str, str]:
    """Return the environment of pg_dump and pg_restore. It holds the password: never print or log it."""
    from psycopg import pq
    from psycopg.conninfo import conninfo_to_dict

    given = conninfo_to_dict(address)
    variables = {each.keyword.decode(): each.envvar.decode() for each in pq.Conninfo.get_defaults() if each.envvar}
    ours = {variables[name]: str(value) for name, value in given.items() if name in variables and value is not None}
    # With another client encoding, set for the role or the database, pg_dump would convert texts, or fail to.
    return {**config.without_settings(), **ours, "PGAPPNAME": "vinops backup", "PGCLIENTENCODING": "UTF8"}


def _said(errors: Any) -> str:
    errors.seek(0)
    lines = redact(errors.read().decode("utf-8", "replace")).splitlines()
    shown = [line.strip() for line in lines if "error" in line.lower() or "detail" in line.lower()] or lines[-2:]
    return " ".join(shown[:3]).strip() or "it printed no reason"


def require_create(connection: Connection[Any]) -> None:
    """Raise BackupError unless this role may create databases."""
    row = connection.execute(queries("backup")["may_create_databases"]).fetchone()
    if row is None or not row[1]:
        role = row[0] if row else "this role"
        raise BackupError(
            f"{role} may not create databases, and a backup is verified in a database of its own: as the "
            f"server's administrator run `alter role {role} createdb`"
        )


def run_statement(connection: Connection[Any], name: str, **values: str) -> None:
    """Run a statement on databases. It takes no parameters, so the server formats it. Raises psycopg.Error."""
    row = connection.execute(queries("backup")[name], values).fetchone()
    assert row is not None  # noqa: S101 # a select without a table has one row
    connection.execute(str(row[0]).encode())


@dataclass(frozen=True, kw_only=True)
class Scratch:
    """A database to restore into for a while. As long as `holder` is connected to it, no other process drops it as a
    leftover."""

    name: str
    address: str
    holder: Connection[Any]


@contextmanager
def scratch(connection: Connection[Any], address: str, *, encoding: str) -> Iterator[Scratch]:
    """Create an empty database with a name of its own, and drop it at the end unless it was renamed meanwhile; close
    its holder before that. `connection` is one of `maintenance`.

    If the process dies, the database is left, and the next `sweep` drops it. Raises BackupError.
    """
    import psycopg

    require_create(connection)
    name = f"vinops_scratch_{time.strftime('%Y%m%d%H%M%S', time.gmtime())}_{uuid4().hex[:8]}"
    try:
        with _scratch_lock(connection):
            run_statement(connection, "create_statement", database=name, encoding=encoding)
            holder = connect(named(address, name), "vinops scratch")
    except psycopg.Error as error:
        raise BackupError(f"no scratch database was made: {redact(str(error)).strip()}") from None
    try:
        yield Scratch(name=name, address=named(address, name), holder=holder)
    finally:
        holder.close()
        with suppress(psycopg.Error):  # the connection may have broken; then the next run sweeps
            run_statement(connection, "force_drop_statement", database=name)


def sweep(connection: Connection[Any]) -> list[str]:
    """Drop the scratch databases that killed processes left, and return their names. Those in use stay."""
    import psycopg

    dropped = []
    with _scratch_lock(connection):
        for (name,) in connection.execute(queries("backup")["scratch_databases"]).fetchall():
            with suppress(psycopg.errors.ObjectInUse, psycopg.errors.InsufficientPrivilege):
                run_statement(connection, "drop_statement", database=name)
                dropped.append(name)
    return dropped


@contextmanager
def _scratch_lock(connection: Connection[Any]) -> Iterator[None]:
    connection.execute(queries("backup")["lock_scratch"], {"lock": SCRATCH_LOCK})
    try:
        yield
    finally:
        connection.execute(queries("backup")["unlock_scratch"], {"lock": SCRATCH_LOCK})
