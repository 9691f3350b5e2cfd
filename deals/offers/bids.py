"""The bids that people typed: one a lot, for everybody. A lot is ranked by it until others have bid more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.rows import class_row, dict_row

from vinops.db.database import queries

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from psycopg import Connection


@dataclass(frozen=True, kw_only=True)
class TypedBid:
    """A bid in whole dollars, the bid at the auction, when it was typed, and by whom: None on the command line."""

    lot_id: int
    bid_usd: int
    high_bid: Decimal | None
    noted_at: datetime
    name: str | None

    @property
    def is_passed(self) -> bool:
        """Whether others have bid more: then it is no price to count with."""
        return self.high_bid is not None and self.high_bid > self.bid_usd


def keep(connection: Connection[Any], lot: int, bid: int, *, user_id: int | None = None) -> bool:
    """Keep a bid for a lot of the auction, instead of the one that was there, and return whether there is such a lot.
    One statement: kept or not."""
    about = {"lot": lot, "bid": bid, "user_id": user_id}
    return connection.execute(queries("lot_bids")["keep_bid"], about).fetchone() is not None


def forget(connection: Connection[Any], lot: int) -> bool:
    """Remove the bid of a lot, and return whether there was one. One statement: removed or not."""
    return connection.execute(queries("lot_bids")["forget_bid"], {"lot": lot}).fetchone() is not None


def of_lot(connection: Connection[Any], lot: int) -> TypedBid | None:
    """Return the bid of a lot of the auction, None if there is none."""
    with connection.cursor(row_factory=class_row(TypedBid)) as cursor:
        return cursor.execute(queries("lot_bids")["bid_of_lot"], {"lot": lot}).fetchone()


def in_force(connection: Connection[Any], sale_after: datetime) -> list[TypedBid]:
    """Return the bids of active lots that are sold after this time."""
    with connection.cursor(row_factory=class_row(TypedBid)) as cursor:
        return cursor.execute(queries("lot_bids")["bids_in_force"], {"sale_after": sale_after}).fetchall()


def passed(connection: Connection[Any], sale_after: datetime, limit: int) -> list[dict[str, Any]]:
    """Return the lots whose bid others have passed, as rows of passed_bids, the next sale first."""
    about = {"sale_after": sale_after, "limit": limit}
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(queries("lot_bids")["passed_bids"], about).fetchall()
