"""The feed's connection to the database: what goes wrong on it is one error, said in a way that helps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vinops.db import database
from vinops.logs import redact

if TYPE_CHECKING:
    from psycopg import Connection

    from vinops.config import Settings


@contextmanager
def connected(settings: Settings, application: str = "vinops etl") -> Iterator[Connection[Any]]:
    """Yield a connection that is closed afterwards. Raises DatabaseError, also for one that is lost in the work."""
    connection = database.connect(settings, application=application)
    import psycopg  # imported by connect already

    try:
        with connection:
            yield connection
    except psycopg.Error as error:
        reason = redact(str(error), settings).strip().partition("\n")[0]
        raise database.DatabaseError(
            f"the database gave up the work ({reason}): nothing is half done; see to the server and run again"
        ) from None
