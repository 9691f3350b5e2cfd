"""Quotes lots anew by other terms: another rate, tariff, profile or year.

Such a change concerns each lot with a value and nothing else of it, so no quote is queued: a quote says by what terms
it was made, and those of others are the work that is left. For 150,000 lots the outbox costs as much as the quotes.
Lots that watches or messages may care about are queued, for the stage `match_lots`.
"""

from __future__ import annotations

import gc
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from deals.channel import lots as messages
from deals.landed.lines import TariffError
from deals.lots import terms
from deals.stages import quote
from deals.watches import lots as watched
from vinops.db.database import queries
from vinops.db.errors import is_passing
from vinops.logs import pairs
from vinops.redaction import one_line, redact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

    from deals.lots.terms import Terms
    from vinops.config import Settings

log = logging.getLogger("deals")

BATCH: Final = 15_000


def run(connection: Connection[Any], settings: Settings) -> int:
    """Quote all active lots anew whose quote was made by other terms, and return how many this process did.

    Any number of processes may do it at once: each takes lots that no other has. A batch is whole or not at all; if the
    process dies, the next run goes on with the lots that still have a quote by other terms. Lots that wait for the
    stage `quote` are left to it, and so is a batch that fails: `passes.queue_changed` queues it, and the stage
    finds the lot that is at fault. Raises psycopg's errors when the database is unavailable.
    """
    try:
        by = terms.current(connection, settings)
    except TariffError as error:
        log.error("lots are not quoted: %s", one_line(str(error)))
        return 0
    done, after = 0, 0
    with _without_collector():
        while lot_ids := _batch(connection, settings, by, after):
            done, after = done + len(lot_ids), lot_ids[-1]
            log.info("requote %s", pairs(lots=done))
    return done


def _batch(connection: Connection[Any], settings: Settings, by: Terms, after: int) -> list[int]:
    """Quote the next lots anew, those with the lowest ids above `after`, and return them; none if that failed. One
    transaction."""
    about = {"basis": by.basis, "after": after, "count": BATCH}
    try:
        with connection.transaction():
            lot_ids = [row[0] for row in connection.execute(queries("imports")["claim_quotes"], about)]
            if lot_ids:
                quote.write(connection, quote.work(quote.read_by(connection, lot_ids, by)))
                messages.queue(connection, lot_ids, settings)
                watched.queue_requoted(connection, lot_ids)
    except Exception as error:
        if is_passing(error):
            raise  # the database is unavailable: the lots are not at fault
        reason = redact(one_line(f"{type(error).__name__}: {error}"), settings)
        log.warning("quoting anew failed, the lots are left to the stage: %s", reason)
        return []
    return lot_ids


@contextmanager
def _without_collector() -> Iterator[None]:
    """Pause the collector of cycles: quotes are in none, and going through a million objects again and again took it
    1.5 of 5.5 s (2026-11-30)."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
