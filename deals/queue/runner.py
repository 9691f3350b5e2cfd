"""Takes a batch of ads through one stage, from the outbox to its results: for workers and the command line alike."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

import psycopg

from deals.channel import lots, queue as channel
from deals.queue import outbox
from deals.stages.registry import ALL_STAGES, next_stage
from deals.watches.sending import queue as alerts
from vinops.db.database import queries
from vinops.db.errors import is_collision, is_passing
from vinops.logs import pairs
from vinops.redaction import redact

if TYPE_CHECKING:
    from psycopg import Connection

    from deals.queue.outbox import Lease
    from vinops.config import Settings

log = logging.getLogger("deals")

MOST_COLLISIONS: Final = 3  # tries at a batch whose ads another worker writes at the same time
LONGEST_ERROR: Final = 500  # characters
COMPARABLE_DAYS: Final = 45  # days that an ad that is gone stays a comparable


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of a batch: the ads that are done, how many failed, and which of those were given up."""

    stage: str
    done: Sequence[int] = ()
    failed: int = 0
    dead: Sequence[int] = ()


def run(
    connection: Connection[Any], settings: Settings, stage: str, listing_ids: Sequence[int] | None = None
) -> Outcome | None:
    """Take a batch of the ads that wait for a stage, only these if ids are given, through it; None if none waits.

    It is safe to run twice, or twice at once: one worker at a time has an ad leased, results replace what was there,
    and a worker whose lease was taken over writes nothing. If the process dies, the results, the end of this stage's
    work and the queue entries of the next stage are all committed or none is; the ads are free when the lease expires.
    Raises psycopg's errors when the connection breaks.
    """
    lease = outbox.take(connection, stage, seconds=settings.deals_lease, listing_ids=listing_ids)
    if lease is None:
        return None
    began = time.monotonic()
    try:
        done = _work(connection, settings, lease)
    except Exception as error:
        if is_passing(error):
            raise  # the database is unavailable: the ads are not at fault
        # Whatever an ad causes must not hold up the others.
        return _failed(connection, settings, lease, error)
    log.info("%s %s", stage, pairs(**{_things(stage): len(done)}, seconds=round(time.monotonic() - began, 3)))
    return Outcome(stage=stage, done=done)


def _work(connection: Connection[Any], settings: Settings, lease: Lease) -> list[int]:
    about, following = ALL_STAGES[lease.stage], next_stage(lease.stage)
    stage = about.module
    id_of = attrgetter("lot_id" if about.of_lots else "listing_id")
    for attempt in range(1, MOST_COLLISIONS + 1):
        try:
            results = stage.work(stage.read(connection, lease.listing_ids, settings))
            with connection.transaction():
                held = outbox.held(connection, lease)
                stage.write(connection, [result for result in results if id_of(result) in held])
                if following is None and about.of_lots:
                    lots.queue(connection, sorted(held), settings)
                    alerts.queue_lot_changes(connection, sorted(held))
                elif following is None:
                    channel.queue(connection, sorted(held))
                    alerts.queue_changes(connection, sorted(held))
                return outbox.finish(connection, lease, following)
        except psycopg.Error as error:
            if not is_collision(error) or attempt == MOST_COLLISIONS:
                raise
    raise AssertionError("unreachable")


def _failed(connection: Connection[Any], settings: Settings, lease: Lease, error: Exception) -> Outcome:
    reason = redact(f"{type(error).__name__}: {' '.join(str(error).split())}", settings)[:LONGEST_ERROR]
    dead = outbox.fail(connection, lease, reason, pause=settings.deals_lease / 4)
    batch = pairs(stage=lease.stage, **{_things(lease.stage): len(lease.queued)}, first=min(lease.queued))
    log.warning("failed %s: %s", batch, reason, exc_info=error if len(lease.queued) == 1 else None)
    for listing_id in dead:
        _log_given_up(listing_id, lease.stage, reason)
    return Outcome(stage=lease.stage, failed=len(lease.queued), dead=dead)


def _log_given_up(listing_id: int, stage: str, reason: str) -> None:
    if ALL_STAGES[stage].of_lots:
        log.error("given up %s: %s; see `vinops landed dead`", pairs(stage=stage, lot=listing_id), reason)
        return
    log.error("given up %s: %s; see `vinops deals dead`", pairs(stage=stage, listing=listing_id), reason)


def _things(stage: str) -> str:
    return "lots" if ALL_STAGES[stage].of_lots else "ads"


def drain(
    connection: Connection[Any], settings: Settings, stage: str, progress: Callable[[int], object] | None = None
) -> list[Outcome]:
    """Take all ads that wait through one stage, batch by batch, until no ad can be leased. `progress` gets the number
    of ads that are through."""
    outcomes = []
    while (outcome := run(connection, settings, stage)) is not None:
        outcomes.append(outcome)
        if progress:
            progress(sum(len(each.done) for each in outcomes))
    return outcomes


def give_up(connection: Connection[Any]) -> int:
    """Give up the ads that repeatedly crashed workers, log each, and return how many."""
    dead = outbox.give_up(connection)
    for each in dead:
        _log_given_up(*each)
    return len(dead)


def requeue_all(connection: Connection[Any]) -> int:
    """Requeue all active ads for pricing, in one statement, and return how many."""
    return connection.execute(queries("deals")["requeue_all"]).rowcount


def retire_comparables(connection: Connection[Any]) -> int:
    """Stop using ads that left long ago as comparables, in one statement, and return how many."""
    return connection.execute(queries("deals")["retire_comparables"], {"days": COMPARABLE_DAYS}).rowcount
