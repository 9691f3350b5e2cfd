"""What is queued anew: lots that a file changed, values on another basis, quotes by other tariffs; the nightly pass.

All of it is a sweep: it compares what is stored with what would be stored now, and queues the difference. Whatever was
left behind by a process that died is part of the difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deals.lots import discount, results, terms
from deals.stages import value
from vinops.db.database import queries

if TYPE_CHECKING:
    from psycopg import Connection

    from vinops.config import Settings


def queue_changed(connection: Connection[Any], settings: Settings) -> dict[str, int]:
    """Queue what changed since it was valued or quoted, and return how many lots, by stage. Each statement is whole or
    not at all; what waits already is left alone."""
    statements = queries("lots")
    values = connection.execute(statements["queue_changed_lots"], {"basis": value.basis(connection)}).rowcount
    by = terms.current(connection, settings)
    quotes = connection.execute(statements["queue_stale_quotes"], {"basis": by.basis}).rowcount
    return {"value": values, "quote": quotes}


def renew(connection: Connection[Any]) -> int:
    """Measure the discount of imported cars and the growth of bids before a sale, then queue all active lots for the
    first stage, and return how many: the market has moved. If the process dies between the statements, the next night
    does the rest."""
    discount.measure(connection)
    results.learn_floors(connection)
    return connection.execute(queries("lots")["requeue_all_lots"]).rowcount
