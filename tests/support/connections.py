"""Whether the server has noticed that the processes which were killed are gone."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

# A backend that ends is gone from pg_stat_activity a moment before it gives its advisory locks back.
OTHERS = """
    select pid from pg_stat_activity
    where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()
    union all
    select locks.pid from pg_locks as locks join pg_database as databases on databases.oid = locks.database
    where databases.datname = current_database() and locks.locktype = 'advisory' and locks.pid <> pg_backend_pid()
"""


def alone(connection: Connection[Any]) -> bool:
    """Tell whether nobody else is connected to this database or holds an advisory lock in it."""
    return connection.execute(OTHERS).fetchone() is None
