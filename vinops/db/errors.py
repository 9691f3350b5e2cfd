"""Classes of psycopg's errors: a lost connection, a collision of transactions, a failing server; and what fixes each.

They are told apart by SQLSTATE (https://www.postgresql.org/docs/18/errcodes-appendix.html). psycopg's OperationalError
stands for none of them: it is also an index row that is too large (54000), a full disk (53100) and a deadlock (40P01).
Only after a lost connection and a collision is it worth trying the same again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from vinops import disk
from vinops.db import embedded
from vinops.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vinops.config import Settings

T = TypeVar("T")

TRIES: Final = 5  # a server that restarts breaks each of a crawl's four connections once


class DatabaseError(Exception):
    """The database cannot be reached or used. The message names what fixes it and shows no password."""


class NotMigrated(DatabaseError):  # noqa: N818 # a state, not a fault
    """The schema of the database is behind or ahead of this version of vinops."""


CONNECTION: Final = "08"  # the class of connection exceptions
SESSION_ENDED: Final = frozenset({"57P01", "57P02", "57P03", "57P04", "57P05", "25P03", "25P04"})
"""The server ended the session: shutdown, crash, start, dropped database, and limits on idle sessions and
transactions."""

COLLISIONS: Final = frozenset({"40001", "40P01", "55P03"})
"""Serialization failure, deadlock, lock not available."""

DISK_FULL: Final = "53100"

TROUBLES: Final = frozenset({"53", "57", "58"})
"""Classes: insufficient resources, operator intervention, system error. Any statement would fail."""


def is_lost(error: BaseException) -> bool:
    """Tell whether the connection broke: the same on another connection may succeed."""
    import psycopg  # slow to import, as vinops.db.database explains

    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate:
        return error.sqlstate.startswith(CONNECTION) or error.sqlstate in SESSION_ENDED
    return isinstance(error, psycopg.OperationalError)  # raised by libpq or by the pool


def is_collision(error: BaseException) -> bool:
    """Tell whether another transaction was in the way: the same may succeed when repeated."""
    return getattr(error, "sqlstate", None) in COLLISIONS


def is_passing(error: BaseException) -> bool:
    """Tell whether an error is not caused by the statement and may pass: the connection broke, none can be made
    (DatabaseError), another transaction was in the way, or the server stops, fails or lacks space or memory."""
    if isinstance(error, DatabaseError) or is_lost(error) or is_collision(error):
        return True
    return (getattr(error, "sqlstate", None) or "")[:2] in TROUBLES


def is_full(error: BaseException) -> bool:
    """Tell whether the server says that its disk is full; libpq reports that without an SQLSTATE when it connects."""
    return getattr(error, "sqlstate", None) == DISK_FULL or disk.PHRASE in str(error)


GRANTS: Final = (
    "as the server's administrator run deploy/sql/grants.sql in this database; `vinops doctor`, as the owner, names "
    "the missing rights"
)
POOLER: Final = (
    "a pooler in transaction mode is between vinops and PostgreSQL, and vinops needs sessions: set "
    "`pool_mode = session` for this database (docs/scaling.md), or let DATABASE_URL name the server itself"
)
FIXES: Final = {
    "26000": POOLER,
    "42P05": POOLER,
    "25006": "the database takes no changes: DATABASE_URL must name the primary server, not a standby, and the role "
    "must not have default_transaction_read_only",
    "42501": GRANTS,
    "53100": "free space on the disk of the database's server, then run this again",
    "53200": "the database's server needs memory: see its log, then run this again",
    "53300": "raise max_connections of the database's server, or end what else is connected",
    "57014": "run this again; if it lasts, raise the statement_timeout of this role",
    "58": "see the log of the database's server",
    "3D000": "create the database, or correct its name in DATABASE_URL",
    "42P01": "the schema does not fit this version of vinops: `vinops migrate`, then `vinops doctor`",
    "42703": "the schema does not fit this version of vinops: `vinops migrate`, then `vinops doctor`",
    "42883": "the schema does not fit this version of vinops: `vinops migrate`, then `vinops doctor`",
    "3F000": "the schema does not fit this version of vinops: `vinops migrate`, then `vinops doctor`",
}
"""What fixes an error, by its SQLSTATE or the class of it."""


def fix_of(error: BaseException) -> str | None:
    """Return what fixes an error of the database; None for one that only a change of vinops or of its data fixes."""
    state = getattr(error, "sqlstate", None) or ""
    if known := FIXES.get(state) or FIXES.get(state[:2]):
        return known
    if is_lost(error):
        return "check that the server runs (its log says why the connection ended), then run this again"
    if is_collision(error):
        return "another program changed the same rows: run this again"
    return None


def explanation(error: BaseException) -> str:
    """Return in one line what an error of the database is, and what fixes it. Not redacted."""
    if isinstance(error, DatabaseError):
        return " ".join(str(error).split())
    diagnosis = getattr(error, "diag", None)
    said = " ".join((getattr(diagnosis, "message_primary", None) or str(error)).split()) or type(error).__name__
    if is_lost(error):
        said = f"the connection to the database broke, and what was not committed was undone ({said})"
    else:
        said = f"the database refused a statement ({said})"
    return f"{said}: {fix_of(error) or 'this is a fault of vinops, please report it with the log'}"


def explain(error: BaseException, settings: Settings) -> str:
    """Return the explanation of an error, redacted, or what is wrong with the disk if that is the reason.

    A server whose disk is full ends, and its clients learn only that the connection is lost. Of the embedded one the
    log and the file system tell.
    """
    text = " ".join(redact(explanation(error), settings).split())
    if disk.GO in text or not (is_full(error) or is_lost(error)):
        return text
    if settings.database_url is None:
        return embedded.explain(settings.data_dir) or text
    return f"{text}: {FIXES[DISK_FULL]}" if is_full(error) and FIXES[DISK_FULL] not in text else text


def is_of_database(error: BaseException) -> bool:
    """Tell whether an error is a DatabaseError, or one of psycopg's."""
    import sys

    if isinstance(error, DatabaseError):
        return True
    psycopg = sys.modules.get("psycopg")  # who never imported it has no error of it
    return psycopg is not None and isinstance(error, psycopg.Error)


async def tried(call: Callable[[], Awaitable[T]]) -> T:
    """Return the result of a call, repeated if the connection broke or another transaction was in the way.

    Raises the error of the last try, and at once any error that would only occur again. The call must take its
    connection from a pool, and be right when it is repeated though it was committed: only the confirmation was lost.
    """
    for _ in range(TRIES - 1):
        try:
            return await call()
        except Exception as error:
            if not (is_lost(error) or is_collision(error)):
                raise
    return await call()
