"""What lots went for, as people note it, beside what was estimated; and lots that were listed again."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any, Final

from psycopg.rows import dict_row

from vinops.db.database import queries
from vinops.text.figures import plural

if TYPE_CHECKING:
    from psycopg import Connection

FEWEST: Final = 20
"""Results below which no error is stated: it would be chance."""
MOST_FLOORS: Final = 20_000  # lots that left the feed, the newest first, from which floors are learned


def note(connection: Connection[Any], lot: int, price: int, *, is_won: bool, user_id: int | None = None) -> bool:
    """Note what a lot of the auction went for, and return whether there is such a lot. One statement: noted or not."""
    about = {"lot": lot, "price": price, "is_won": is_won, "user_id": user_id}
    return connection.execute(queries("imports")["store_result"], about).fetchone() is not None


def newest(connection: Connection[Any], lot: int) -> dict[str, Any] | None:
    """Return what was last noted of a lot of the auction: `price` in its currency, `is_won`, `noted_at`, and the `name`
    of who did it, None on the command line; None if nothing was noted."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(queries("imports")["result_of_lot"], {"lot": lot}).fetchone()


def evaluate(connection: Connection[Any]) -> dict[str, Any]:
    """Return how far estimates are from results.

    `results` noted results in dollars, `won` of them won; `priced` those that had a price to count with, and `mdape`
    its median error, None below FEWEST; `above_most` how many went for more than the most one might have bid.
    `relisted` lots listed again, `relisted_quoted` of them quoted, `relisted_above` of these would have been offered
    more than the last bid, at which they were not sold. `verdict` says it in words.
    """
    statements = queries("imports")
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(statements["results"]).fetchall()
        again = cursor.execute(statements["relisted"]).fetchone() or {}
    priced = [row for row in rows if row["bid_usd"]]
    quoted = [row for row in rows if row["most_bid_usd"] is not None]
    off = [abs(row["bid_usd"] / row["price"] - 1) for row in priced]
    is_enough = len(off) >= FEWEST
    return {
        "results": len(rows),
        "won": sum(row["is_won"] for row in rows),
        "priced": len(priced),
        "mdape": round(median(off), 4) if is_enough else None,
        "above_most": sum(row["price"] > row["most_bid_usd"] for row in quoted),
        "quoted": len(quoted),
        "relisted": again.get("lots", 0),
        "relisted_quoted": again.get("quoted", 0),
        "relisted_above": again.get("above_last_bid", 0),
        "verdict": (
            f"prices counted with are {median(off):.1%} off (median of {len(off)})".replace("%", " %")
            if is_enough
            else f"{plural(len(off), 'result')} with a price to count with: too few, {FEWEST} or more tell an error"
        ),
    }


def learn_floors(connection: Connection[Any]) -> None:
    """Measure by how much bids grow before a sale, from lots that left the feed. One statement, which writes only what
    changed."""
    connection.execute(queries("imports")["measure_floors"], {"most": MOST_FLOORS})
