"""The pace of all calls of a bot to Telegram: one place after the other, in the database, for all processes.

https://core.telegram.org/bots/faq: thirty messages a second, over all chats. The channel, alerts of people and answers
share a bot, and so its limit.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from vinops.db.database import queries

if TYPE_CHECKING:
    from psycopg import Connection

    from vinops.config import Settings

A_SECOND: Final = 25
LONGEST: Final = 5.0
"""Seconds to wait at most: places are a fraction of a second apart, and a clock that was set back must not stop all."""


def take_place(connection: Connection[Any], settings: Settings) -> None:
    """Wait for the next place. If the process dies in it, a twenty-fifth of a second stays unused."""
    about = {"bot_id": bot_id(settings), "gap": 1 / A_SECOND}
    row = connection.execute(queries("politeness")["take_place"], about).fetchone()
    time.sleep(min(max(row[0] if row else 0.0, 0.0), LONGEST))


def bot_id(settings: Settings) -> int:
    """Return the id of the bot, which its token begins with; 0 for a token that has none."""
    token = "" if settings.telegram_bot_token is None else settings.telegram_bot_token.reveal()
    number = token.partition(":")[0]
    return int(number) if number.isascii() and number.isdecimal() and len(number) < 18 else 0
