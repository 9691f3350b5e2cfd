"""Hits: the cars that watches find. Recorded by the stage `match`; a new watch begins with what is there already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection


def record(connection: Connection[Any], listing_ids: Sequence[int]) -> int:
    """Record the hits of some ads for all watches, or their lower prices, and return how many were written.

    Part of the caller's transaction: if the process dies before it commits, nothing was recorded. A second call with
    the same ads writes nothing.
    """
    if not listing_ids:
        return 0
    values = {"listing_ids": list(listing_ids), "watch_ids": None, "state": "new"}
    return connection.execute(queries("matching")["match"], values).rowcount


def begin(connection: Connection[Any], watch_id: int) -> None:
    """Let a watch that was saved, edited or resumed find what comes from now on.

    Call it in the transaction of the change. Ads on the board of the last hour, whose stage may still come by, are
    recorded as known: they are part of the preview, and are not told. If the process dies before the caller commits,
    the watch is as it was.
    """
    statements = queries("matching")
    connection.execute(statements["begin_watch"], {"watch_id": watch_id})
    lately = [row[0] for row in connection.execute(statements["lately_seen"]).fetchall()]
    values = {"listing_ids": lately, "watch_ids": [watch_id], "state": "known"}
    connection.execute(statements["match"], values)


def still_fits(
    connection: Connection[Any], watch_ids: Sequence[int], listing_ids: Sequence[int]
) -> set[tuple[int, int]]:
    """Return the pairs of some watches and some ads that fit as the ads are now: for messages that are true when they
    are sent."""
    values = {"watch_ids": list(watch_ids), "listing_ids": list(listing_ids)}
    return {(row[0], row[1]) for row in connection.execute(queries("matching")["still_fit"], values).fetchall()}
