"""The feed's connection to the database, and the lock that one run holds on it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from etl.errors import FeedBusy, LockStuck
from vinops.db import database
from vinops.db.errors import POOLER, explain, fix_of

if TYPE_CHECKING:
    from psycopg import Connection

    from vinops.config import Settings

log = logging.getLogger("etl")

LOCK = 5_410_059_001  # the advisory lock of the feed: one run over all processes and machines

LONGEST = 3600.0  # seconds; a run takes minutes, the first one too


@contextmanager
def connected(settings: Settings, application: str = "vinops etl") -> Iterator[Connection[Any]]:
    """Yield a connection that is closed afterwards. Raises DatabaseError, also when the connection is lost later."""
    connection = database.connect(settings, application=application)
    import psycopg  # imported by connect already

    try:
        with connection:
            yield connection
    except psycopg.Error as error:
        if fix_of(error) is None:
            log.debug("a fault of vinops", exc_info=error)
        raise database.DatabaseError(f"{explain(error, settings)}; nothing is half done") from None


@contextmanager
def locked(connection: Connection[Any]) -> Iterator[None]:
    """Hold the lock of the feed. Raises FeedBusy; LockStuck if it has been held for longer than a run takes;
    DatabaseError if a pooler handed out a session that has the lock from an earlier run.

    The lock is released explicitly: after a disconnect the server needs some milliseconds to notice, in which the next
    run would be busy. If the process dies the server releases it.
    """
    import psycopg  # imported by connect already

    statements = database.queries("feed")
    if connection.execute(statements["holds_lock"], {"lock": LOCK}).fetchone() is not None:
        raise database.DatabaseError(f"this session has the lock of the feed already, from an earlier run: {POOLER}")
    row = connection.execute("select pg_try_advisory_lock(%s)", (LOCK,)).fetchone()
    if not row or not row[0]:
        stuck = connection.execute(statements["stuck_lock"], {"lock": LOCK, "seconds": LONGEST}).fetchone()
        connection.rollback()
        if stuck is not None:
            raise LockStuck(*stuck)
        raise FeedBusy("another run is loading the feed: this run loads nothing")
    connection.commit()
    try:
        yield
    finally:
        with suppress(psycopg.Error):  # the connection is lost, and the lock with it
            connection.rollback()
            connection.execute("select pg_advisory_unlock(%s)", (LOCK,))
            connection.commit()
