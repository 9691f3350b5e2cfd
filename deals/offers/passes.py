"""What is queued anew: lots that a file changed, values on another basis, quotes by other tariffs, lots whose sale has
come near for a watch; the nightly pass.

All of it is a sweep: it compares what is stored with what would be stored now, and queues the difference. Whatever was
left behind by a process that died is part of the difference.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from deals.landed.lines import TariffError
from deals.lots import discount, results, terms
from deals.stages import value
from deals.watches import lots
from vinops.db.database import queries
from vinops.redaction import one_line

if TYPE_CHECKING:
    from psycopg import Connection

    from vinops.config import Settings

log = logging.getLogger("deals")


def queue_changed(connection: Connection[Any], settings: Settings) -> dict[str, int]:
    """Queue what changed since it was valued, quoted or matched, and return how many lots, by stage. Each statement is
    whole or not at all; what waits already is left alone."""
    statements = queries("imports")
    matches = lots.queue_due(connection)
    values = connection.execute(statements["queue_changed_lots"], {"basis": value.basis(connection)}).rowcount
    try:
        by = terms.current(connection, settings)
    except TariffError as error:
        log.error("lots are not quoted: %s", one_line(str(error)))
        return {"value": values, "quote": 0, "match_lots": matches}
    quotes = connection.execute(statements["queue_stale_quotes"], {"basis": by.basis}).rowcount
    return {"value": values, "quote": quotes, "match_lots": matches}


def renew(connection: Connection[Any]) -> int:
    """Measure the discount of imported cars and the growth of bids before a sale, then queue all active lots for the
    first stage, and return how many: the market has moved. If the process dies between the statements, the next night
    does the rest."""
    discount.measure(connection)
    results.learn_floors(connection)
    return connection.execute(queries("imports")["requeue_all_lots"]).rowcount
