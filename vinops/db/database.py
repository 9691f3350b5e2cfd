"""The database: connections, migrations, named queries. The server is DATABASE_URL's, or embedded in the data folder.

psycopg takes 0.14 s to import, so functions import it: commands that end after a hash do not need it.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from vinops import config
from vinops.db import embedded, session
from vinops.db.errors import POOLER, DatabaseError as DatabaseError, NotMigrated as NotMigrated, explanation
from vinops.output import at_work
from vinops.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.resources.abc import Traversable

    import psycopg
    from psycopg import AsyncConnection, Connection
    from psycopg.rows import TupleRow
    from psycopg_pool import AsyncConnectionPool

    from vinops.config import Settings

# sql/ lies beside the packages in a checkout, in an installation and in an egg; `sql_folder` reads it.
# importlib.resources would merge any folder named sql on the path, such as one in the current directory, into a package
# without __init__.py.
SQL = Path(__file__).resolve().parents[2] / "sql"

CONNECT_SECONDS = 10
READY_SECONDS = 30  # the longest wait for a server that is starting or recovering
# Without these a broken network link is detected after fifteen minutes of resending, or two hours of waiting, and until
# then the server keeps the locks of a crawl that is gone. With them it takes a minute, at both ends.
DEAD_PEER = {"keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3", "tcp_user_timeout": "60000"}
DEAD_CLIENT = " ".join(
    f"-c {name}={value}"
    for name, value in {
        "tcp_keepalives_idle": 30,
        "tcp_keepalives_interval": 10,
        "tcp_keepalives_count": 3,
        "tcp_user_timeout": 60_000,
    }.items()
)
READER = "vinops_reader"
NO_OPTIONS = "unsupported startup parameter"  # the answer of pgbouncer
_without_options: set[str] = set()  # the addresses of poolers that take no parameter `options`
_pooled: set[str] = set()  # those of poolers in session mode
MIGRATION_LOCK = 7_861_234_501  # an advisory lock; the number has no meaning beyond being ours


def url(settings: Settings) -> str:
    """Return a libpq connection string; starts the embedded server if DATABASE_URL is empty. Raises DatabaseError.

    It may hold a password: pass it to a library, never to a log or a command line. Environment variables that would
    change the server or its answers are removed from this process, and so from its children.
    """
    config.forget_libpq_variables()
    if settings.database_url is not None:
        return settings.database_url.reveal()
    try:
        with at_work("starting the embedded database"):
            sockets = embedded.ensure_running(settings.data_dir, settings.embedded_linger)
    except embedded.ServerError as error:
        raise DatabaseError(str(error)) from None
    from psycopg.conninfo import make_conninfo

    # Variables for another server, such as those for encryption, must not apply to this one.
    defaults = session.libpq_defaults(config.LIBPQ_KEPT)
    return make_conninfo(**defaults, host=sockets, port=5432, user="vinops", dbname="vinops")


def connect(settings: Settings, *, application: str, autocommit: bool = False) -> Connection[TupleRow]:
    """Return a connection to a database whose schema fits this version. The caller closes it.

    `application` is the name in pg_stat_activity. Sessions are in UTC and UTF-8. The embedded database is migrated if
    necessary; for DATABASE_URL NotMigrated is raised instead, because an operator decides when to migrate it. Raises
    DatabaseError if no connection can be made.
    """
    connection, waiting, unknown = _open_compared(settings, application)
    try:
        if waiting and not unknown and settings.database_url is None:
            connection.close()
            migrate(settings)
            connection, waiting, unknown = _open_compared(settings, application)
        if unknown:
            raise NotMigrated(
                f"the database is ahead of this version of vinops (it has {', '.join(unknown)}): "
                "update this checkout, or restore a backup that fits it"
            )
        if waiting:
            raise NotMigrated(f"the database lacks {', '.join(waiting)}: run `vinops migrate`")
        connection.autocommit = autocommit
    except BaseException:
        connection.close()
        raise
    return connection


def connect_to_read(settings: Settings, *, application: str) -> Connection[TupleRow]:
    """Return a connection as `connect` does, whose transactions may only read. Raises DatabaseError.

    On the embedded server its role is READER, which is not a superuser: a read-only transaction still allows a
    superuser to read files of the server and to start programs, as neither changes the database.
    """
    import psycopg
    from psycopg.conninfo import make_conninfo

    connection = connect(settings, application=application)
    if settings.database_url is None:
        with connection:
            connection.execute(queries("roles")["make_reader"].encode())
        try:
            who = make_conninfo(address(settings, application), user=READER)
            connection = psycopg.connect(who, context=session.adapters())
        except psycopg.Error as error:
            raise DatabaseError(f"no connection to the database as {READER}: {str(error).strip()}") from None
    connection.read_only = True
    return connection


def async_pool(
    settings: Settings, *, application: str, size: int = 4
) -> AsyncConnectionPool[AsyncConnection[TupleRow]]:
    """Return a pool of up to `size` connections for an event loop: `await pool.open()` before the first use, `await
    pool.close()` after the last; opening it twice does nothing.

    Connections are in autocommit, in UTC and UTF-8. As in `connect`, and with its errors, the schema is checked; that
    blocks, for seconds if the embedded server has to start. A connection that broke, as by a restart of the server, is
    replaced when it is next requested, and the embedded server started again if need be. A request that takes longer
    than READY_SECONDS, or its `timeout`, raises DatabaseError.
    """
    import asyncio
    import logging

    from psycopg import AsyncConnection
    from psycopg.rows import TupleRow
    from psycopg_pool import AsyncConnectionPool, PoolTimeout

    class Pool(AsyncConnectionPool[AsyncConnection[TupleRow]]):
        async def getconn(self, timeout: float | None = None) -> AsyncConnection[TupleRow]:  # noqa: ASYNC109 # theirs
            try:
                return await super().getconn(timeout)
            except PoolTimeout as error:
                raise DatabaseError(
                    f"no connection to the database: {error}; the log says why, or all {size} were in use\n"
                    f"{_remedy(settings)}"
                ) from None

    async def current_address() -> str:
        return await asyncio.to_thread(address, settings, application)

    async def configure(connection: AsyncConnection[TupleRow]) -> None:
        if _is_pooled(settings):
            await connection.execute(queries("sessions")["settle"], session.BY_STATEMENT)

    logging.getLogger("psycopg.pool").setLevel(logging.WARNING)  # at INFO it logs every statement
    connect(settings, application=application).close()
    return Pool(
        current_address,
        kwargs={"autocommit": True, "context": session.adapters()},
        min_size=1,
        max_size=size,
        open=False,
        timeout=READY_SECONDS,
        check=Pool.check_connection,
        configure=configure,
        name=application,
    )


def migrate(settings: Settings) -> list[str]:
    """Apply the migrations that the database lacks and return their names in order. Raises DatabaseError.

    An advisory lock serialises it over all processes. Each migration and its mark are one transaction: if the process
    dies, finished migrations are kept, and the unfinished one leaves no trace.
    """
    from vinops.db.migrations import MigrationError, apply  # yoyo is slow to import

    connection = open_any(settings, "vinops migrate")
    try:
        connection.execute("select pg_advisory_lock(%s)", (MIGRATION_LOCK,))
        waiting, unknown = _compare(connection)
        if unknown:
            raise NotMigrated(
                f"the database is ahead of this version of vinops (it has {', '.join(unknown)}): update this checkout"
            )
        if waiting:
            with _on_disk("migrations") as folder:
                apply(connection, folder)
        return waiting
    except MigrationError as error:
        raise DatabaseError(redact(str(error), settings)) from None
    finally:
        connection.close()


def pending(connection: psycopg.Connection[TupleRow]) -> list[str]:
    """Return the names of the migrations that the database lacks, in order. One query."""
    return _compare(connection)[0]


def _compare(connection: psycopg.Connection[TupleRow]) -> tuple[list[str], list[str]]:
    """Return the migrations that the database lacks, and those in it that are unknown to this version."""
    from psycopg import errors

    try:
        with connection.transaction():
            rows = connection.execute("select migration_id from public._yoyo_migration").fetchall()
    except errors.UndefinedTable:
        rows = []
    applied = {str(row[0]) for row in rows}
    known = _migrations(sql_folder("migrations"))
    return [name for name in known if name not in applied], sorted(applied.difference(known))


def _migrations(folder: Traversable) -> list[str]:
    return sorted(path.name.removesuffix(".sql") for path in folder.iterdir() if path.name.endswith(".sql"))


def sql_folder(name: str) -> Traversable:
    """Return the folder `queries` or `migrations` of sql/. In an egg, from which scrapyd runs a crawl, this is not a
    folder on disk: read it with the methods of Traversable."""
    folder = SQL / name
    if folder.is_dir():
        return folder
    from zipfile import Path as PathInZip

    return PathInZip(SQL.parent, f"sql/{name}/")


@contextmanager
def _on_disk(name: str) -> Iterator[Path]:
    """Provide a folder of sql/ on disk during a block; for one in an egg that is a temporary copy."""
    folder = sql_folder(name)
    if isinstance(folder, Path):
        yield folder
        return
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="vinops-sql-") as copy:
        for path in folder.iterdir():
            Path(copy, path.name).write_bytes(path.read_bytes())
        yield Path(copy)


def open_any(settings: Settings, application: str) -> Connection[TupleRow]:
    """Connect in autocommit to a database of any schema. Wait for a server that is starting or recovering from a crash,
    and for an embedded one that died a moment ago; raise DatabaseError at once for anything else."""
    import psycopg

    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            connection = psycopg.connect(address(settings, application), autocommit=True, context=session.adapters())
            if settings.database_url is not None:
                _settle(connection, settings, application)
            return connection
        except psycopg.Error as error:
            import re

            text = re.sub(r"\[Errno -?\d+\] ", "", redact(str(error), settings)).strip()
            if NO_OPTIONS in text and settings.database_url and _key(settings) not in _without_options:
                _without_options.add(_key(settings))
                continue
            if not _is_passing(text, settings) or time.monotonic() > deadline:
                raise DatabaseError(f"no connection to the database: {text}\n{_remedy(settings)}") from None
        time.sleep(0.1)


def is_alive(connection: Connection[Any]) -> bool:
    """Tell whether a connection in autocommit works, by using it: for one that is kept between two uses, as the server
    may have ended it meanwhile (a restart, idle_session_timeout), which shows only then."""
    import psycopg

    try:
        connection.execute("")
    except psycopg.Error:
        return False
    return True


def _key(settings: Settings) -> str:
    return settings.database_url.reveal() if settings.database_url is not None else ""


def _is_pooled(settings: Settings) -> bool:
    """Tell whether a pooler was found between this process and the server."""
    return _key(settings) in _pooled


def _settle(connection: Connection[TupleRow], settings: Settings, application: str) -> None:
    """If the connection is one to a pooler, apply the settings of the session by statement: it may not have passed them
    on. Raises DatabaseError for a pooler in transaction mode, in which a lock belongs to whoever comes next.

    A pooler names another process for the cancelling of statements than the one that serves the session. In transaction
    mode two sessions meet in one process: a second one gets that of the first, or the first gets another.
    """
    import psycopg

    def process(of: Connection[TupleRow]) -> int:
        row = of.execute("select pg_backend_pid()").fetchone()
        return int(row[0]) if row else 0

    first = process(connection)
    if first == connection.info.backend_pid:
        return
    try:
        if not _is_pooled(settings):
            with psycopg.connect(address(settings, application), autocommit=True) as other, other.transaction():
                if process(other) == first or process(connection) != first:
                    raise DatabaseError(POOLER)
            _pooled.add(_key(settings))
        connection.execute(queries("sessions")["settle"], session.BY_STATEMENT)
    except BaseException:
        connection.close()
        raise


def _open_compared(settings: Settings, application: str) -> tuple[Connection[TupleRow], list[str], list[str]]:
    """Return a connection, and the result of `_compare`. A connection that breaks meanwhile is replaced: for some
    milliseconds after a backend was killed, a server accepts connections that it then drops."""
    import psycopg

    deadline = time.monotonic() + READY_SECONDS
    while True:
        connection = open_any(settings, application)
        try:
            return connection, *_compare(connection)
        except psycopg.Error as error:
            is_broken = isinstance(error, psycopg.OperationalError) and connection.broken
            connection.close()
            if not is_broken or time.monotonic() > deadline:
                raise DatabaseError(redact(explanation(error), settings)) from None
        except BaseException:
            connection.close()
            raise
        time.sleep(0.1)


def address(settings: Settings, application: str) -> str:
    """Return a connection string with the parameters that all our connections share, for a caller that cannot use
    `connect`, as it accepts any schema. See `url`. DATABASE_URL wins for the detection of dead peers."""
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    own = conninfo_to_dict(url(settings))
    ours = {
        "connect_timeout": CONNECT_SECONDS,
        "application_name": application,
        "client_encoding": "UTF8",
        "options": f"{DEAD_CLIENT} {own.get('options', '')} {session.OPTIONS}",
    }
    if _key(settings) in _without_options:  # what the operator wrote stays, and is the operator's to allow
        del ours["options"]
    return make_conninfo(**{**DEAD_PEER, **own, **ours})  # type: ignore[arg-type] # its first one is no keyword


def _is_passing(text: str, settings: Settings) -> bool:
    """Tell whether waiting helps. libpq reports a failed connection as text only, without its SQLSTATE."""
    signs = ["the database system is starting up", "recovery mode", "not yet accepting connections"]
    if settings.database_url is None:  # the next attempt starts the embedded server again
        signs += [
            "No such file or directory",
            "Connection refused",
            "server closed the connection unexpectedly",
            "shutting down",
        ]
    return any(sign in text for sign in signs)


def _remedy(settings: Settings) -> str:
    if settings.database_url is None:
        if why := embedded.explain(settings.data_dir):
            return f"The reason: {why}."
        return f"See {embedded.folder(settings.data_dir) / 'server.log'}, or set DATABASE_URL to use another server."
    return "Check DATABASE_URL and that the server runs, or leave it empty to use the embedded database."


@cache
def queries(name: str) -> Mapping[str, str]:
    """Return the statements of sql/queries/NAME.sql by their names.

    A block is `-- name: merge_lots`, comment lines with its purpose, then the statement. Raises ValueError for a name
    used twice, a block without a statement, and text that belongs to no block.
    """
    return MappingProxyType(parse_queries((sql_folder("queries") / f"{name}.sql").read_text(encoding="utf-8"), name))


def parse_queries(text: str, name: str) -> dict[str, str]:
    """Split the text of a query file into its blocks; `name` is for the messages. Raises ValueError."""
    blocks: dict[str, list[str]] = {}
    current: list[str] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("-- name:"):
            title = line.removeprefix("-- name:").strip()
            if not title.isidentifier() or title in blocks:
                raise ValueError(f"{name}.sql line {number}: {title!r} is not a new name of a query")
            current = blocks[title] = []
        elif current is not None:
            current.append(line)
        elif line.strip() and not line.startswith("--"):
            raise ValueError(f"{name}.sql line {number}: a statement without `-- name:` above it")
    for title, lines in blocks.items():
        if all(not line.strip() or line.lstrip().startswith("--") for line in lines):
            raise ValueError(f"{name}.sql: the query {title!r} has no statement")
    return {title: "\n".join(lines).strip() for title, lines in blocks.items()}
