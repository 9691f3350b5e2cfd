"""The stage `match_lots`: which watches of people a lot is found for, as the stage `match` does it for ads.

It runs behind `quote`, so the lot has its costs. All of it is one statement over the lots of the batch and all watches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deals.watches import lots

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from vinops.config import Settings


@dataclass(frozen=True, kw_only=True)
class Quoted:
    """A lot that was quoted: it may be new to a watch."""

    lot_id: int


def read(connection: Connection[Any], lot_ids: Sequence[int], settings: Settings) -> list[Quoted]:
    """Return the lots; what they are is read where they are matched."""
    del connection, settings
    return [Quoted(lot_id=lot_id) for lot_id in lot_ids]


def work(batch: Sequence[Quoted]) -> list[Quoted]:
    """Return the lots."""
    return list(batch)


def write(connection: Connection[Any], results: Sequence[Quoted]) -> None:
    """Record the hits of the lots in the caller's transaction. A hit is recorded once for a watch and a car, so a
    second call adds none. If the process dies before the caller commits, there are none of this batch, and the lots
    still wait for the stage."""
    lots.record(connection, [result.lot_id for result in results])
