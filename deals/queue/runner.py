"""A batch of one stage, from the outbox to its results: what the workers and the command line both call."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import psycopg

from deals.channel import queue as notify
from deals.queue import outbox
from deals.stages import normalize, price as pricing, score as scoring
from deals.stages.registry import Stage
from vinops.db.database import queries
from vinops.db.errors import is_collision, is_passing
from vinops.logs import pairs
from vinops.redaction import redact

if TYPE_CHECKING:
    from psycopg import Connection

    from deals.queue.outbox import Hand
    from vinops.config import Settings

log = logging.getLogger("deals")

STAGES: Final = {
    stage.name: stage
    for stage in (
        Stage(name="normalize", read=normalize.read, work=normalize.work, write=normalize.write),
        Stage(name="price", read=pricing.read, work=pricing.work, write=pricing.write),
        Stage(name="score", read=scoring.read, work=scoring.work, write=scoring.write),
    )
}
NEXT: Final = dict(zip(STAGES, [*list(STAGES)[1:], None], strict=True))
COLLISIONS: Final = 3  # workers that write the same ads at once; the loser tries again
LONGEST_ERROR: Final = 500  # characters
KEPT_DAYS: Final = 45  # an ad that is gone says so long what such a car costs


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a batch: the ads that are done, how many failed, those that were given up."""

    stage: str
    done: Sequence[int] = ()
    failed: int = 0
    dead: Sequence[int] = ()


def run(
    connection: Connection[Any], settings: Settings, stage: str, listing_ids: Sequence[int] | None = None
) -> Outcome | None:
    """Take a batch of these ads, or of all that wait, through one stage; None if none is to be had.

    It is safe to run twice, or twice at once: an ad is in one worker's hands at a time, what is written replaces what
    stood there, and a worker whose lease was taken over writes nothing. If the process dies, results, the end of this
    stage's work and the beginning of the next one's are all there or none is; the ads are free when the lease ends.
    Raises psycopg's errors when the connection breaks.
    """
    hand = outbox.take(connection, stage, lease=settings.deals_lease, listing_ids=listing_ids)
    if hand is None:
        return None
    began = time.monotonic()
    try:
        done = _through(connection, settings, STAGES[stage], hand)
    except Exception as error:
        if is_passing(error):
            raise  # nothing is wrong with the ads
        # Whatever an ad brings about must not hold up the others.
        return _failed(connection, settings, hand, error)
    log.info("%s %s", stage, pairs(ads=len(done), seconds=round(time.monotonic() - began, 3)))
    return Outcome(stage=stage, done=done)


def _through(connection: Connection[Any], settings: Settings, stage: Stage, hand: Hand) -> list[int]:
    for attempt in range(1, COLLISIONS + 1):
        try:
            results = stage.work(stage.read(connection, hand.listing_ids, settings))
            with connection.transaction():
                held = outbox.held(connection, hand)
                stage.write(connection, [result for result in results if result.listing_id in held])
                if NEXT[stage.name] is None:
                    notify.queue(connection, sorted(held))
                return outbox.finish(connection, hand, NEXT[stage.name])
        except psycopg.Error as error:
            if not is_collision(error) or attempt == COLLISIONS:
                raise
    raise AssertionError("unreachable")


def _failed(connection: Connection[Any], settings: Settings, hand: Hand, error: Exception) -> Outcome:
    reason = redact(f"{type(error).__name__}: {' '.join(str(error).split())}", settings)[:LONGEST_ERROR]
    dead = outbox.fail(connection, hand, reason, pause=settings.deals_lease / 4)
    about = pairs(stage=hand.stage, ads=len(hand.queued), first=min(hand.queued))
    log.warning("failed %s: %s", about, reason, exc_info=error if len(hand.queued) == 1 else None)
    for listing_id in dead:
        log.error("given up %s: %s; see `vinops deals dead`", pairs(stage=hand.stage, listing=listing_id), reason)
    return Outcome(stage=hand.stage, failed=len(hand.queued), dead=dead)


def drain(connection: Connection[Any], settings: Settings, stage: str) -> list[Outcome]:
    """Take all ads that wait through one stage, batch by batch, until none is to be had now."""
    outcomes = []
    while (outcome := run(connection, settings, stage)) is not None:
        outcomes.append(outcome)
    return outcomes


def bury(connection: Connection[Any]) -> int:
    """Give up the ads that no worker survived, say so, and return how many."""
    buried = outbox.bury(connection)
    for listing_id, stage, reason in buried:
        log.error("given up %s: %s; see `vinops deals dead`", pairs(stage=stage, listing=listing_id), reason)
    return len(buried)


def queue_again(connection: Connection[Any]) -> int:
    """Have all ads that are there priced and scored again, and return how many. One statement, all of it or nothing."""
    return connection.execute(queries("deals")["queue_again"]).rowcount


def retire(connection: Connection[Any]) -> int:
    """Let ads that are long gone say no more what cars cost, and return how many. One statement."""
    return connection.execute(queries("deals")["retire_comparables"], {"days": KEPT_DAYS}).rowcount
