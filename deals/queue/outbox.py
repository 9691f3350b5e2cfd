"""The outbox: which ads wait for which stage, and which worker has leased them.

A row in ops.deal_outbox is work of one stage on one ad. A worker leases rows with a token of its own; when it dies the
lease expires and another worker takes them. A worker that finishes after its lease was taken over finishes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from deals.stages.registry import STAGES
from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from psycopg import Connection

BATCHES: Final = (500, 60, 8, 1, 1, 1)
"""How many ads are leased at once, by their failed tries, and no more than the stage's batch: the one of 500 ads that
kills its worker is leased alone at the fourth try, and the others are done by then."""
MOST_TRIES: Final = len(BATCHES)


@dataclass(frozen=True, kw_only=True)
class Lease:
    """Ads that one worker has leased for one stage, and when each was queued."""

    stage: str
    token: int
    queued: dict[int, datetime]

    @property
    def listing_ids(self) -> list[int]:
        """The ids of the ads, in no particular order."""
        return list(self.queued)

    @property
    def key(self) -> dict[str, Any]:
        """The parameters by which a statement finds the rows."""
        return {"stage": self.stage, "token": self.token, "listing_ids": self.listing_ids}


def take(
    connection: Connection[Any], stage: str, *, seconds: float, listing_ids: Sequence[int] | None = None
) -> Lease | None:
    """Lease waiting ads, only the named ones if given; None if none can be leased. Ads that failed: few at once.

    Commits. If the process dies afterwards, the lease expires after `seconds`.
    """
    name = "take_work" if listing_ids is None else "take_named_work"
    named = {} if listing_ids is None else {"listing_ids": list(listing_ids)}
    for attempts, count in enumerate(BATCHES):
        values = {
            "stage": stage,
            "attempts": attempts,
            "count": min(count, STAGES[stage].batch),
            "seconds": seconds,
            **named,
        }
        with connection.transaction():
            rows = connection.execute(queries("deals")[name], values).fetchall()
        if rows:
            return Lease(stage=stage, token=rows[0][2], queued={row[0]: row[1] for row in rows})
    return None


def held(connection: Connection[Any], lease: Lease) -> set[int]:
    """Return the ads of a lease that no other worker took over; none can until this transaction ends."""
    return {row[0] for row in connection.execute(queries("deals")["hold_work"], lease.key).fetchall()}


def finish(connection: Connection[Any], lease: Lease, next_stage: str | None) -> list[int]:
    """Queue the ads for the next stage and return them. An ad that was queued again meanwhile stays work of this stage.

    Call it in the transaction that writes the results: both are committed, or neither is.
    """
    values = {**lease.key, "queued": list(lease.queued.values()), "next_stage": next_stage}
    return [row[0] for row in connection.execute(queries("deals")["finish_work"], values).fetchall()]


def fail(connection: Connection[Any], lease: Lease, error: str, *, pause: float) -> list[int]:
    """Release the ads after a failed try, and return those that are given up with it, for this reason.

    Ads of a lease of several are tried again at once, in smaller batches; one that was alone waits `pause` seconds.
    Commits.
    """
    seconds = pause if len(lease.queued) == 1 else 0
    values = {**lease.key, "error": error, "seconds": seconds, "most_attempts": MOST_TRIES}
    with connection.transaction():
        rows = connection.execute(queries("deals")["fail_work"], values).fetchall()
    return [listing_id for listing_id, is_dead in rows if is_dead]


def give_up(connection: Connection[Any]) -> list[tuple[int, str, str]]:
    """Give up the ads that repeatedly crashed workers (dead letters); return id, stage and reason of each. Commits."""
    with connection.transaction():
        return connection.execute(queries("deals")["give_up_work"], {"most_attempts": MOST_TRIES}).fetchall()


def announce(connection: Connection[Any], stage: str, *, count: int, seconds: float) -> list[int]:
    """Return ads that wait for a stage and were not announced to workers in the last `seconds`; now they are. Commits.

    If the process dies before it sends the wake-up message, the first call after that time returns them again.
    """
    values = {"stage": stage, "seconds": seconds, "count": count}
    with connection.transaction():
        return [row[0] for row in connection.execute(queries("deals")["announce_work"], values).fetchall()]


def is_crowded(connection: Connection[Any], stage: str, *, count: int) -> bool:
    """Tell whether more than `count` ads wait for a stage."""
    row = connection.execute(queries("deals")["is_crowded"], {"stage": stage, "count": count}).fetchone()
    return bool(row and row[0])
