"""The updates of a bot on the stand-in: what people write and press, kept until the bot confirms them."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any, Final

MOST: Final = 100


class Updates:
    """The queue of updates. Those below a call's `offset` are confirmed by it, and removed. One call waits at a time: a
    second one ends it, as in the real API."""

    def __init__(self, first: int = 1000) -> None:
        self.waiting: list[dict[str, Any]] = []
        #: The ids of updates that were returned, each time that they were.
        self.returned: list[int] = []
        #: The ids of buttons' queries that the bot answered, each time that it did.
        self.answered: list[str] = []
        self._numbers = itertools.count(first)
        self._lock = threading.Lock()
        self._caller = 0

    def add(self, **content: Any) -> int:
        """Queue an update with this content, as `message={…}`, and return its id."""
        with self._lock:
            number = next(self._numbers)
            self.waiting.append({"update_id": number, **content})
            return number

    def say(self, chat_id: int, text: str, **more: Any) -> int:
        """Queue a text message of a person, or in a group if the chat's id is negative."""
        return self.add(message=_message(chat_id, text, **more))

    def press(self, chat_id: int, message_id: int, data: str, **more: Any) -> int:
        """Queue the press of a button of a message of the bot."""
        query = {
            "id": f"query-{time.monotonic_ns()}",
            "from": _person(chat_id),
            "message": {"message_id": message_id, "date": 1, "chat": _chat(chat_id)},
            "chat_instance": "1",
            "data": data,
        }
        return self.add(callback_query=query | more)

    def enter(self) -> int:
        """Note a new call that waits for updates, and return its number."""
        with self._lock:
            self._caller += 1
            return self._caller

    def is_latest(self, caller: int) -> bool:
        """Tell whether no other call has come since."""
        return caller == self._caller

    def take(self, offset: int | None, limit: int) -> list[dict[str, Any]]:
        """Confirm the updates below `offset`, and return those from it on."""
        with self._lock:
            if offset is not None:
                self.waiting = [each for each in self.waiting if each["update_id"] >= offset]
            found = self.waiting[: max(min(limit, MOST), 1)]
            self.returned += [each["update_id"] for each in found]
            return found


def _chat(chat_id: int) -> dict[str, Any]:
    if chat_id < 0:
        return {"id": chat_id, "type": "supergroup", "title": "a group"}
    return {"id": chat_id, "type": "private", "first_name": "Somebody"}


def _person(chat_id: int) -> dict[str, Any]:
    return {"id": abs(chat_id), "is_bot": False, "first_name": "Somebody", "username": "somebody"}


def _message(chat_id: int, text: str, **more: Any) -> dict[str, Any]:
    return {
        "message_id": time.monotonic_ns() % 1_000_000_000,
        "date": int(time.time()),
        "chat": _chat(chat_id),
        "from": _person(chat_id),
        "text": text,
    } | more
