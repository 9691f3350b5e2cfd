"""The outboxes: which ads and lots wait for which stage, and which worker has leased them.

A row in ops.deal_outbox is work of one stage on one ad, one in ops.lot_outbox of one stage on one lot. The statements
are the same over either table, and the words those of ads: `listing_ids` of a stage of lots are the ids of lots. A
worker leases rows with a token of its own; when it dies the lease expires and another worker takes them. A worker that
finishes after its lease was taken over finishes nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from deals.stages.registry import ALL_STAGES
from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from psycopg import Connection

BATCHES: Final = (500, 60, 8, 1, 1, 1)
"""How many ads are leased at once, by their failed tries: at first the stage's batch, and never more. The one of
500 ads that kills its worker is leased alone at the fourth try, and the others are done by then."""
MOST_TRIES: Final = len(BATCHES)


@cache
def statements(of_lots: bool) -> Mapping[str, Any]:
    """Return the statements of an outbox: those of sql/queries/deals.sql, for lots over their table and its key."""
    found = queries("deals")
    if not of_lots:
        return found
    return {
        name: re.sub(r"\blisting_id\b", "lot_id", text.replace("ops.deal_outbox", "ops.lot_outbox"))
        for name, text in found.items()
    }


def of_stage(stage: str) -> Mapping[str, Any]:
    """Return the statements of the outbox in which work of a stage waits."""
    return statements(ALL_STAGES[stage].of_lots)


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
            "count": min(count, ALL_STAGES[stage].batch) if attempts else ALL_STAGES[stage].batch,
            "seconds": seconds,
            **named,
        }
        with connection.transaction():
            rows = connection.execute(of_stage(stage)[name], values).fetchall()
        if rows:
            return Lease(stage=stage, token=rows[0][2], queued={row[0]: row[1] for row in rows})
    return None


def held(connection: Connection[Any], lease: Lease) -> set[int]:
    """Return the ads of a lease that no other worker took over; none can until this transaction ends."""
    return {row[0] for row in connection.execute(of_stage(lease.stage)["hold_work"], lease.key).fetchall()}


def finish(connection: Connection[Any], lease: Lease, next_stage: str | None) -> list[int]:
    """Queue the ads for the next stage and return them. An ad that was queued again meanwhile stays work of this stage.

    Call it in the transaction that writes the results: both are committed, or neither is.
    """
    values = {**lease.key, "queued": list(lease.queued.values()), "next_stage": next_stage}
    return [row[0] for row in connection.execute(of_stage(lease.stage)["finish_work"], values).fetchall()]


def fail(connection: Connection[Any], lease: Lease, error: str, *, pause: float) -> list[int]:
    """Release the ads after a failed try, and return those that are given up with it, for this reason.

    Ads of a lease of several are tried again at once, in smaller batches; one that was alone waits `pause` seconds.
    Commits.
    """
    seconds = pause if len(lease.queued) == 1 else 0
    values = {**lease.key, "error": error, "seconds": seconds, "most_attempts": MOST_TRIES}
    with connection.transaction():
        rows = connection.execute(of_stage(lease.stage)["fail_work"], values).fetchall()
    return [listing_id for listing_id, is_dead in rows if is_dead]


def give_up(connection: Connection[Any]) -> list[tuple[int, str, str]]:
    """Give up the ads that repeatedly crashed workers (dead letters); return id, stage and reason of each. Commits."""
    with connection.transaction():
        return [
            row
            for of_lots in (False, True)
            for row in connection.execute(statements(of_lots)["give_up_work"], {"most_attempts": MOST_TRIES})
        ]


def announce(connection: Connection[Any], stage: str, *, count: int, seconds: float) -> list[int]:
    """Return ads that wait for a stage and were not announced to workers in the last `seconds`; now they are. Commits.

    If the process dies before it sends the wake-up message, the first call after that time returns them again.
    """
    values = {"stage": stage, "seconds": seconds, "count": count}
    with connection.transaction():
        return [row[0] for row in connection.execute(of_stage(stage)["announce_work"], values).fetchall()]


def is_crowded(connection: Connection[Any], stage: str, *, count: int) -> bool:
    """Tell whether more than `count` ads wait for a stage."""
    row = connection.execute(of_stage(stage)["is_crowded"], {"stage": stage, "count": count}).fetchone()
    return bool(row and row[0])
