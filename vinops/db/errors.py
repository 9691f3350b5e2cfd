"""Classes of psycopg's errors: a lost connection, a collision of transactions, a failing server.

They are told apart by SQLSTATE (https://www.postgresql.org/docs/18/errcodes-appendix.html). psycopg's OperationalError
stands for none of them: it is also an index row that is too large (54000), a full disk (53100) and a deadlock (40P01).
Only after a lost connection and a collision is it worth trying the same again.
"""

from __future__ import annotations

from typing import Final

from vinops.db.database import DatabaseError

CONNECTION: Final = "08"  # the class of connection exceptions
SESSION_ENDED: Final = frozenset({"57P01", "57P02", "57P03", "57P04", "57P05", "25P03", "25P04"})
"""The server ended the session: shutdown, crash, start, dropped database, and limits on idle sessions and
transactions."""

COLLISIONS: Final = frozenset({"40001", "40P01", "55P03"})
"""Serialization failure, deadlock, lock not available."""

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
