"""Classes of psycopg's errors: a lost connection, a collision of transactions, a failing server.

They are told apart by SQLSTATE (https://www.postgresql.org/docs/18/errcodes-appendix.html). psycopg's OperationalError
stands for none of them: it is also an index row that is too large (54000), a full disk (53100) and a deadlock (40P01).
Only after a lost connection and a collision is it worth trying the same again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vinops import disk
from vinops.db import embedded
from vinops.db.database import DatabaseError
from vinops.redaction import redact

if TYPE_CHECKING:
    from vinops.config import Settings

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


def explain(error: BaseException, settings: Settings) -> str:
    """Return an error of the database on one line, redacted, with what is wrong with the disk if that is the reason.

    A server whose disk is full ends, and its clients learn only that the connection is lost. Of the embedded one the
    log and the file system tell.
    """
    text = " ".join(redact(str(error), settings).split())
    if disk.GO in text or not (is_full(error) or is_lost(error)):
        return text
    if settings.database_url is None:
        return embedded.explain(settings.data_dir) or text
    return f"{text}: free space on the disk of the database's server" if is_full(error) else text
