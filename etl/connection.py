"""The feed's connection to the database, and the lock that one run holds on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from etl.errors import FeedBusy
from vinops.db import database
from vinops.db.errors import explain

if TYPE_CHECKING:
    from psycopg import Connection

    from vinops.config import Settings

LOCK = 5_410_059_001  # the advisory lock of the feed: one run over all processes and machines


@contextmanager
def connected(settings: Settings, application: str = "vinops etl") -> Iterator[Connection[Any]]:
    """Yield a connection that is closed afterwards. Raises DatabaseError, also when the connection is lost later."""
    connection = database.connect(settings, application=application)
    import psycopg  # imported by connect already

    try:
        with connection:
            yield connection
    except psycopg.Error as error:
        reason = explain(error, settings)
        raise database.DatabaseError(
            f"the database ended the work ({reason}): nothing is half done; look at the server's log and run again"
        ) from None


@contextmanager
def locked(connection: Connection[Any]) -> Iterator[None]:
    """Hold the lock of the feed. Raises FeedBusy.

    The lock is released explicitly: after a disconnect the server needs some milliseconds to notice, in which the next
    run would be busy. If the process dies the server releases it.
    """
    import psycopg  # imported by connect already

    row = connection.execute("select pg_try_advisory_lock(%s)", (LOCK,)).fetchone()
    if not row or not row[0]:
        raise FeedBusy("another run is loading the feed: this one leaves it the work")
    connection.commit()
    try:
        yield
    finally:
        with suppress(psycopg.Error):  # the connection is lost, and the lock with it
            connection.rollback()
            connection.execute("select pg_advisory_unlock(%s)", (LOCK,))
            connection.commit()
