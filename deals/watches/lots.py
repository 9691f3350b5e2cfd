"""Lots in watches: the filter that is stored with a watch, and the lots that watches find. Recorded by the stage
`match_lots`, behind the quotes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg.rows import dict_row

from deals.watches import columns
from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from psycopg import Connection

    from vinops.lots.filter import LotFilter


def record(connection: Connection[Any], lot_ids: Sequence[int]) -> int:
    """Record the hits of some lots for all watches, and return how many were written.

    Part of the caller's transaction: if the process dies before it commits, nothing was recorded. A second call with
    the same lots writes nothing.
    """
    if not lot_ids:
        return 0
    values = {"lot_ids": list(lot_ids), "watch_ids": None, "state": "new"}
    return connection.execute(queries("watch_lots")["match_lots"], values).rowcount


def begin(connection: Connection[Any], watch_id: int) -> None:
    """Let a watch that was saved, edited or resumed find the lots that come from now on; see deals.watches.matching.

    Lots whose stage may still come by are recorded as known, and of a watch that asks for what changes (cost, profit,
    bid, sale) all that fit now: a lot that comes to fit later is new. If the process dies before the caller commits,
    the watch is as it was.
    """
    statements = queries("watch_lots")
    row = connection.execute(statements["is_moving"], {"watch_id": watch_id}).fetchone()
    if row is None:
        return
    lately = None if row[0] else [each[0] for each in connection.execute(statements["lately_seen_lots"])]
    values = {"lot_ids": lately, "watch_ids": [watch_id], "state": "known"}
    connection.execute(statements["match_lots"], values)


def still_fits(connection: Connection[Any], watch_ids: Sequence[int], lot_ids: Sequence[int]) -> set[tuple[int, int]]:
    """Return the pairs of some watches and some lots that fit as the lots are now."""
    values = {"watch_ids": list(watch_ids), "lot_ids": list(lot_ids)}
    return {(row[0], row[1]) for row in connection.execute(queries("watch_lots")["still_fit_lots"], values)}


def queue_requoted(connection: Connection[Any], lot_ids: Sequence[int]) -> None:
    """Queue the lots of a batch that was quoted by other terms, if their quotes matter to a watch or a message. Part of
    the caller's transaction."""
    connection.execute(queries("watch_lots")["queue_requoted"], {"lot_ids": list(lot_ids)})


def queue_due(connection: Connection[Any]) -> int:
    """Queue the lots that no file changed: whose sale has come near enough for a watch, or that are gone and told.
    Return how many. Each statement is whole or not at all; what waits already is left alone."""
    statements = queries("watch_lots")
    return sum(connection.execute(statements[name]).rowcount for name in ("queue_near_sales", "queue_told_gone"))


def save(connection: Connection[Any], watch_id: int, wanted: LotFilter | None) -> None:
    """Store what a watch asks of lots; None: nothing. Part of the caller's transaction."""
    statements = queries("watch_lots")
    connection.execute(statements["drop_watch_lots"], {"watch_id": watch_id})
    if wanted is not None:
        connection.execute(statements["save_watch_lots"], {**columns.to_lot_columns(wanted), "watch_id": watch_id})


def filters(connection: Connection[Any], watch_ids: Sequence[int]) -> dict[int, LotFilter]:
    """Return what some watches ask of lots, by watch; those of ads alone are not among them."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(queries("watch_lots")["watch_lots_of"], {"watch_ids": list(watch_ids)}).fetchall()
    return {row["watch_id"]: columns.to_lot_filter(row) for row in rows}
