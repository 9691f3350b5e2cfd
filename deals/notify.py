"""Deals to the channel: what is to be told waits in `notifications`, and is posted best first, so many an hour.

`queue` is called where ads are scored; it writes what is to be told. `post` tells it. A message is recorded before it
is tried and settled after, each in a transaction of its own, so that one that nobody settled is known to have been
tried: it is tried again, and may then be in the channel twice. See docs/decisions/0014-telegram.md.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import psycopg

from vinops.alerts import clear_alert
from vinops.database import queries

if TYPE_CHECKING:
    from datetime import datetime

    from psycopg import Connection

    from vinops.config import Settings

log = logging.getLogger("deals")

POSTING: Final = "posting"  # what ops.holds holds
MOST_TRIES: Final = 5  # of a deal, that may all have arrived
ABANDONED: Final = 60.0  # seconds after which a try is nobody's: far more than a call takes


@dataclass(frozen=True, kw_only=True)
class Posted:
    """What `post` did, how many messages wait, and in how many seconds the next may go; None if none waits. `held` says
    why nothing is posted until an operator releases it."""

    sent: int = 0
    edited: int = 0
    dropped: int = 0
    failed: int = 0
    waiting: int = 0
    next_in_seconds: float | None = None
    held: str | None = None


def queue(connection: Connection[Any], listing_ids: Sequence[int]) -> None:
    """Write down what is to be told of these ads: new deals, other prices, ads that are gone or back.

    What waits and is not true any more is dropped. To be called in the transaction that makes the ads what they are;
    it depends on what stands there alone, so that twice is once. Two at once wait for each other where they touch the
    same message, and so does `post`, which calls this again for each message that it settled.
    """
    if not listing_ids:
        return
    about = {"listing_ids": list(listing_ids)}
    for name in ("lock_messages", "drop_deals", "queue_deals", "drop_changes", "queue_changes"):
        connection.execute(queries("notifications")[name], about)


def is_due(connection: Connection[Any]) -> bool:
    """Tell whether a message waits that may be tried now; none may be while posting is held."""
    row = connection.execute(queries("notifications")["is_due"], {"seconds": ABANDONED}).fetchone()
    return bool(row and row[0])


def held(connection: Connection[Any]) -> str | None:
    """Return why nothing is posted until an operator releases it; None if it is not held."""
    row = connection.execute(queries("holds")["held"], {"what": POSTING}).fetchone()
    return None if row is None else str(row[0])


def release(connection: Connection[Any]) -> str | None:
    """Let posting go on, and return why it was held; None if it was not. The connection is in autocommit; if the
    process dies in it, all is done or nothing."""
    with connection.transaction():
        row = connection.execute(queries("holds")["release"], {"what": POSTING}).fetchone()
        clear_alert(connection, "posting_held", "channel")
    return None if row is None else str(row[0])


def post(
    connection: Connection[Any], settings: Settings, *, limit: int | None = None, now: datetime | None = None
) -> Posted:
    """Post what waits, best deals first, then changes of earlier messages, and return what was done.

    The connection is in autocommit. `limit` is the most messages to try; `now` stands for the clock of the database.
    Of all that call this at once one posts and the others return at once: no more than `settings.deals_posts_an_hour`
    deals in any hour, over all processes. Ends early when Telegram wants to be left alone, cannot be reached, does not
    answer, lets the bot write no more or refuses one message after the other; what waits goes on waiting. A message
    that is refused fails only when others get through. Without a token or a channel deals are written to
    the log instead, and are sent for good.

    If the process dies before a try is recorded nothing has happened; behind that, the next call that comes ABANDONED
    seconds later tries the message again, and it is in the channel twice if it had arrived. After MOST_TRIES tries
    that may have arrived a deal is given up, and an alert says so. Raises psycopg's errors when the connection breaks.
    """
    from deals.poster import Poster  # with Telegram's client, which takes 0.4 s; most processes only queue

    statements = queries("notifications")
    row = connection.execute(statements["take_turn"]).fetchone()
    poster = Poster(connection, settings, now)
    if row is None or not row[0]:
        return Posted(**poster.outlook())
    try:
        if (reason := held(connection)) is not None:
            log.warning("posting is held, `vinops deals release` lets it go on: %s", reason)
            return Posted(**poster.outlook(), held=reason)
        poster.recover()
        while (limit is None or poster.tried < limit) and poster.step():
            pass
        poster.deliver_alerts()
        done: dict[str, Any] = {**poster.counts, **poster.outlook()}
        return Posted(**done)
    finally:
        with contextlib.suppress(psycopg.Error):  # a connection that broke has let the turn go
            connection.execute(statements["end_turn"])
