"""The queue of messages about lots, `lot_notifications`: at most one a lot, edited when it is out of date.

It is the queue of the channel over another table: the statements that record, try and settle a message are the same.
Without a chat and a token nothing is queued and nothing is sent.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from deals.channel.queue import ABANDONED
from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg import Connection

    from vinops.config import Settings

SOON: Final = timedelta(hours=2)
"""Before a sale: nobody arranges a purchase in less time."""
SAME: Final = {"notifications": "lot_notifications", "listing_id": "lot_id", "price_eur": "shown"}
"""What the tables of both queues call the same, but for parameters."""


@cache
def statements() -> Mapping[str, Any]:
    """Return the statements of the queue: those of sql/queries/notifications.sql over this table, and its own."""
    found = {
        name: re.sub(r"(?<!%\()\b(" + "|".join(SAME) + r")\b", lambda word: SAME[word[0]], text).replace(
            "'channel'", "'imports'"
        )
        for name, text in queries("notifications").items()
    }
    return {**found, **queries("lot_notifications")}


def is_on(settings: Settings) -> bool:
    """Tell whether there is a chat to send messages about lots to, and a bot."""
    return settings.telegram_imports_chat_id is not None and settings.telegram_bot_token is not None


def worth(settings: Settings) -> dict[str, Any]:
    """Return the parameters by which a lot is worth a message."""
    return {
        "least_profit": settings.imports_least_profit,
        "most_loss": settings.imports_most_loss_percent / 100,
        "sale_after": datetime.now(UTC) + SOON,
    }


def queue(connection: Connection[Any], lot_ids: Sequence[int], settings: Settings) -> None:
    """Queue messages about these lots: those that are worth one and have none, and edits of those that show what is no
    longer so; drop those that are out of date.

    Call it in the transaction that changes the quotes. It depends only on what is stored, so a second call changes
    nothing.
    """
    if not lot_ids or not is_on(settings):
        return
    about = {"listing_ids": list(lot_ids), **worth(settings)}
    for name in ("adopt_messages", "lock_messages", "drop_deals", "queue_deals", "drop_changes", "queue_changes"):
        connection.execute(statements()[name], about)


def is_due(connection: Connection[Any], settings: Settings) -> bool:
    """Tell whether a message may be sent now; none may while posting is held."""
    if not is_on(settings):
        return False
    row = connection.execute(statements()["is_due"], {"seconds": ABANDONED}).fetchone()
    return bool(row and row[0])
