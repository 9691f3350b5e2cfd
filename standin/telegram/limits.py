"""Telegram's limits of messages: 30 a second for a bot, one a second in a chat, 20 a minute in a group.

https://core.telegram.org/bots/faq. The real API tolerates short bursts in a chat; how long is not documented, and the
stand-in tolerates none beyond what clocks and networks differ by. After a refusal every call is refused until
`retry_after` is over, as for a real bot.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict, deque
from typing import Final

A_SECOND: Final = 30
A_CHAT: Final = 0.9  # seconds between two messages of a chat
A_GROUP: Final = 20  # messages a minute
PAUSE: Final = 3.0


class Limits:
    """What a bot has sent lately, and until when it may send nothing."""

    def __init__(self) -> None:
        self._all: deque[float] = deque()
        self._chats: defaultdict[str, deque[float]] = defaultdict(deque)
        self._until = 0.0
        #: How many calls were refused.
        self.refused = 0

    def exceeded(self, chat_id: str) -> int | None:
        """Count a message to a chat; return the seconds to wait if it exceeds a limit, None if it does not."""
        now = time.monotonic()
        chat = self._chats[chat_id]
        for calls, seconds in ((self._all, 1.0), (chat, 60.0)):
            while calls and calls[0] <= now - seconds:
                calls.popleft()
        is_group = not chat_id.isdecimal()
        if now >= self._until and (
            len(self._all) >= A_SECOND or (chat and chat[-1] > now - A_CHAT) or (is_group and len(chat) >= A_GROUP)
        ):
            self._until = now + PAUSE
        if now < self._until:
            self.refused += 1
            return math.ceil(self._until - now)
        self._all.append(now)
        chat.append(now)
        return None
