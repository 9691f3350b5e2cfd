"""The outbox: which ads wait for which stage, and who has them in hand.

A row in ops.deal_outbox is work of one stage on one ad. A worker takes rows under a lease with a token of its own; when
it dies the lease ends, and another takes them. Whoever finishes late, after another took them over, finishes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from psycopg import Connection

TRIES: Final = ((0, 500), (1, 60), (2, 8), (3, 1), (4, 1), (5, 1))
"""Failed tries of an ad, and how many of such ads are taken at once: of 500 ads the one that kills its worker is alone
in hand at the fourth try, and the others are done by then."""
MOST_TRIES: Final = len(TRIES)


@dataclass(frozen=True, kw_only=True)
class Hand:
    """Ads that one worker has in hand for one stage: their ids, and when each was queued."""

    stage: str
    token: int
    queued: dict[int, datetime]

    @property
    def listing_ids(self) -> list[int]:
        """The ids, in no order."""
        return list(self.queued)


def take(
    connection: Connection[Any], stage: str, *, lease: float, listing_ids: Sequence[int] | None = None
) -> Hand | None:
    """Take ads in hand, of these or of all that wait; None if none is to be had. Few at once if they failed before.

    Commits. If the process dies behind this, the ads are free again when the lease, in seconds, is over.
    """
    ids = None if listing_ids is None else list(listing_ids)
    for failed, count in TRIES:
        about = {
            "stage": stage,
            "least_attempts": failed,
            "most_attempts": failed,
            "listing_ids": ids,
            "count": count,
            "lease": lease,
        }
        with connection.transaction():
            rows = connection.execute(queries("deals")["take_work"], about).fetchall()
        if rows:
            return Hand(stage=stage, token=rows[0][2], queued={row[0]: row[1] for row in rows})
    return None


def held(connection: Connection[Any], hand: Hand) -> set[int]:
    """Return the ads of a hand that nobody took over; nobody can, to the end of this transaction."""
    about = {"stage": hand.stage, "token": hand.token, "listing_ids": hand.listing_ids}
    return {row[0] for row in connection.execute(queries("deals")["hold_work"], about).fetchall()}


def finish(connection: Connection[Any], hand: Hand, next_stage: str | None) -> list[int]:
    """Hand the ads on to the next stage and return them. What changed while it was in hand stays work of this stage.

    To be called in the transaction that writes the results: both become true together, or neither does.
    """
    about = {
        "stage": hand.stage,
        "token": hand.token,
        "listing_ids": list(hand.queued),
        "queued": list(hand.queued.values()),
        "next_stage": next_stage,
    }
    return [row[0] for row in connection.execute(queries("deals")["finish_work"], about).fetchall()]


def fail(connection: Connection[Any], hand: Hand, error: str, *, pause: float) -> list[int]:
    """Let the ads go after a failed try and return those that are given up with it: their reason is the last error.

    Ads that were many in a hand are tried again at once, in smaller parts; one that was alone waits `pause` seconds,
    longer each time. Commits.
    """
    about = {
        "stage": hand.stage,
        "token": hand.token,
        "listing_ids": hand.listing_ids,
        "error": error,
        "seconds": pause if len(hand.queued) == 1 else 0,
        "most_attempts": MOST_TRIES,
    }
    with connection.transaction():
        rows = connection.execute(queries("deals")["fail_work"], about).fetchall()
    return [listing_id for listing_id, is_dead in rows if is_dead]


def bury(connection: Connection[Any]) -> list[tuple[int, str, str]]:
    """Give up the ads that killed each worker that had them in hand; return id, stage and reason of each. Commits."""
    with connection.transaction():
        return connection.execute(queries("deals")["bury_work"], {"most_attempts": MOST_TRIES}).fetchall()


def waiting(connection: Connection[Any], stage: str, *, count: int, unheard: float) -> list[int]:
    """Return ads that wait for a stage and of which no worker was told in the last `unheard` seconds; they count as
    told of from now on. Commits. If the process dies before it tells, the next call after that time returns them."""
    about = {"stage": stage, "seconds": unheard, "count": count}
    with connection.transaction():
        return [row[0] for row in connection.execute(queries("deals")["ring_work"], about).fetchall()]


def is_crowded(connection: Connection[Any], stage: str, *, count: int) -> bool:
    """Tell whether more than so many ads wait for a stage."""
    row = connection.execute(queries("deals")["is_crowded"], {"stage": stage, "count": count}).fetchone()
    return bool(row and row[0])
