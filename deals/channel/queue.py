"""The queue of messages to the channel, `notifications`: posted best first, within an hourly limit.

`queue` adds messages when ads are scored, `post` sends them. A message is recorded before it is tried and settled
after, each in a transaction of its own: one that was never settled has been tried, is tried again, and may then be in
the channel twice. See docs/decisions/0014-telegram.md.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vinops.alerts import clear_alert
from vinops.db.database import queries

if TYPE_CHECKING:
    from psycopg import Connection


log = logging.getLogger("deals")

POSTING: Final = "posting"  # the name in ops.holds
MOST_TRIES: Final = 5  # of a deal, each of which may have arrived
ABANDONED: Final = 60.0  # seconds after which an attempt has lost its process: far more than a call takes


@dataclass(frozen=True, kw_only=True)
class Posted:
    """What `post` did, how many messages wait, and in how many seconds the next may be sent; None if none waits. `held`
    is why nothing is posted until an operator releases it."""

    sent: int = 0
    edited: int = 0
    dropped: int = 0
    failed: int = 0
    waiting: int = 0
    next_in_seconds: float | None = None
    held: str | None = None


def queue(connection: Connection[Any], listing_ids: Sequence[int]) -> None:
    """Queue messages about these ads: new deals, other prices, ads that are gone or back; drop those out of date.

    Call it in the transaction that changes the ads. It depends only on what is stored, so a second call changes
    nothing. Two calls at once wait for each other where they change the same message, and so does `post`, which calls
    this again for each message that it settled.
    """
    if not listing_ids:
        return
    about = {"listing_ids": list(listing_ids)}
    for name in ("lock_messages", "drop_deals", "queue_deals", "drop_changes", "queue_changes"):
        connection.execute(queries("notifications")[name], about)


def is_due(connection: Connection[Any]) -> bool:
    """Tell whether a message may be sent now; none may while posting is held."""
    row = connection.execute(queries("notifications")["is_due"], {"seconds": ABANDONED}).fetchone()
    return bool(row and row[0])


def held(connection: Connection[Any]) -> str | None:
    """Return why posting is held; None if it is not."""
    row = connection.execute(queries("holds")["held"], {"what": POSTING}).fetchone()
    return None if row is None else str(row[0])


def release(connection: Connection[Any]) -> str | None:
    """Release posting, and return why it was held; None if it was not. The connection is in autocommit; if the process
    dies in it, all is done or nothing."""
    with connection.transaction():
        row = connection.execute(queries("holds")["release"], {"what": POSTING}).fetchone()
        clear_alert(connection, "posting_held", "channel")
    return None if row is None else str(row[0])
