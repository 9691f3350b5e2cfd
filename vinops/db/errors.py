"""What an error of psycopg means: the connection is lost, the server is in trouble, or the statement is at fault.

Told by class and SQLSTATE (https://www.postgresql.org/docs/18/errcodes-appendix.html). psycopg's OperationalError is
none of the three: it is also an index row that is too large (54000), a full disk (53100) and a deadlock (40P01). Only a
lost connection and a collision are cured by doing the same again.
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
"""Classes: insufficient resources, operator intervention, system error. Whatever the statement was, it would fail."""


def is_lost(error: BaseException) -> bool:
    """Tell whether the connection broke: the same on another connection may succeed."""
    import psycopg  # as vinops.db.database has it

    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate:
        return error.sqlstate.startswith(CONNECTION) or error.sqlstate in SESSION_ENDED
    return isinstance(error, psycopg.OperationalError)  # libpq's own word, or the pool's


def is_collision(error: BaseException) -> bool:
    """Tell whether another transaction was in the way: the same once more may succeed."""
    return getattr(error, "sqlstate", None) in COLLISIONS


def is_passing(error: BaseException) -> bool:
    """Tell whether it is no fault of the statement and its values, and may pass by itself: the connection broke, none
    is to be had (DatabaseError), another transaction was in the way, or the server stops, fails or lacks space or
    memory."""
    if isinstance(error, DatabaseError) or is_lost(error) or is_collision(error):
        return True
    return (getattr(error, "sqlstate", None) or "")[:2] in TROUBLES
