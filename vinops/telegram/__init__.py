"""Posts deals, alerts and answers with Telegram's Bot API, through python-telegram-bot, and reads a bot's updates.

Each function makes one call and returns its outcome; errors of Telegram and the network are outcomes, not exceptions.
Nothing is retried, and no redirect followed. All block, for at most SECONDS (`get_updates` for as long as it may wait
longer), and may be called from any thread without a running event loop. Each call has a connection of its own, but in
a block of `kept_connection`.

Importing this takes about 0.4 s: import it where it is used.
"""

from __future__ import annotations

from vinops.telegram.calls import Buttons, Link, answer_callback_query, call, edit, get_updates, send_photo, send_text
from vinops.telegram.outcomes import (
    LARGEST_ID,
    LONGEST_PAUSE,
    PAUSE,
    Answered,
    Forbidden,
    NotReached,
    Outcome,
    Postponed,
    Refused,
    Sent,
    Unanswered,
    read_answer,
)
from vinops.telegram.request import SECONDS, kept_connection

__all__ = [
    "LARGEST_ID",
    "LONGEST_PAUSE",
    "PAUSE",
    "SECONDS",
    "Answered",
    "Buttons",
    "Forbidden",
    "Link",
    "NotReached",
    "Outcome",
    "Postponed",
    "Refused",
    "Sent",
    "Unanswered",
    "answer_callback_query",
    "call",
    "edit",
    "get_updates",
    "kept_connection",
    "read_answer",
    "send_photo",
    "send_text",
]
