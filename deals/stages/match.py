"""The stage `match`: which watches of people an ad is found for (docs/decisions/0037-watches-parser.md).

It runs behind `score`, so the board has the ad with its value and its score. All of it is one statement: the database
joins the ads of the batch with all watches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deals.watches import matching

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from vinops.config import Settings


@dataclass(frozen=True, kw_only=True)
class Scored:
    """An ad that was scored: it may be new to a watch."""

    listing_id: int


def read(connection: Connection[Any], listing_ids: Sequence[int], settings: Settings) -> list[Scored]:
    """Return the ads; what they are is read where they are matched."""
    del connection, settings
    return [Scored(listing_id=listing_id) for listing_id in listing_ids]


def work(batch: Sequence[Scored]) -> list[Scored]:
    """Return the ads."""
    return list(batch)


def write(connection: Connection[Any], results: Sequence[Scored]) -> None:
    """Record the hits of the ads in the caller's transaction. A hit is recorded once for a watch and a car, so a second
    call adds none. If the process dies before the caller commits, there are none of this batch, and the ads still wait
    for the stage."""
    matching.record(connection, [result.listing_id for result in results])
