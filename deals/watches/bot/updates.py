"""Reads updates of Telegram: whatever an update contains, the result is one of a few events.

https://core.telegram.org/bots/api#update. An update may come from anybody, and may be of any kind that Telegram adds:
what is not understood is Other, and is confirmed like the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from vinops.telegram import LARGEST_ID

LONGEST_TEXT: Final = 2000  # characters that are read of a message
LONGEST_DATA: Final = 64  # of a button


@dataclass(frozen=True, kw_only=True)
class Said:
    """A text message. `reply_to` is the number of the message that it answers."""

    chat_id: int
    text: str
    is_group: bool = False
    is_edited: bool = False
    reply_to: int | None = None
    language: str = ""


@dataclass(frozen=True, kw_only=True)
class Pressed:
    """A button of a message was pressed. It has to be answered, by `query_id`."""

    chat_id: int
    message_id: int
    query_id: str
    data: str


@dataclass(frozen=True, kw_only=True)
class Moved:
    """A group became a supergroup with another id."""

    chat_id: int
    new_chat_id: int


@dataclass(frozen=True, kw_only=True)
class Blocked:
    """The bot was blocked by a person or removed from a group."""

    chat_id: int


@dataclass(frozen=True, kw_only=True)
class Other:
    """Anything else. `query_id` is to be answered if there is one."""

    query_id: str | None = None


Event: TypeAlias = Said | Pressed | Moved | Blocked | Other


def number_of(update: Any) -> int | None:
    """Return the id of an update; None for something that has none."""
    number = update.get("update_id") if isinstance(update, dict) else None
    return number if type(number) is int and 0 <= number < LARGEST_ID else None


def read(update: Any) -> Event:
    """Return what an update says. Never raises."""
    if not isinstance(update, dict):
        return Other()
    if "callback_query" in update:
        return _pressed(_fields(update, "callback_query"))
    if "my_chat_member" in update:
        member = _fields(update, "my_chat_member")
        chat_id = _id(_fields(member, "chat"))
        status = _fields(member, "new_chat_member").get("status")
        return Blocked(chat_id=chat_id) if chat_id is not None and status in ("kicked", "left") else Other()
    is_edited = "edited_message" in update
    message = _fields(update, "edited_message" if is_edited else "message")
    chat = _fields(message, "chat")
    chat_id = _id(chat)
    if chat_id is None:
        return Other()
    if _is_id(message.get("migrate_to_chat_id")):
        return Moved(chat_id=chat_id, new_chat_id=message["migrate_to_chat_id"])
    if _is_id(message.get("migrate_from_chat_id")):
        return Moved(chat_id=message["migrate_from_chat_id"], new_chat_id=chat_id)
    text = message.get("text")
    if not isinstance(text, str) or not (text := plain(text)) or _fields(message, "from").get("is_bot") is True:
        return Other()
    code = _fields(message, "from").get("language_code")
    return Said(
        chat_id=chat_id,
        text=text[:LONGEST_TEXT],
        is_group=chat.get("type") != "private",
        is_edited=is_edited,
        reply_to=_number(_fields(message, "reply_to_message").get("message_id")),
        language=code if isinstance(code, str) else "",
    )


def plain(text: str) -> str:
    """Return a text that PostgreSQL takes: without NUL and without halves of pairs of surrogates."""
    return text.encode("utf-8", "ignore").decode("utf-8").replace("\0", "").strip()


def _pressed(query: dict[str, Any]) -> Pressed | Other:
    query_id, data = query.get("id"), query.get("data")
    query_id = query_id if isinstance(query_id, str) and 0 < len(query_id) <= 64 and query_id.isprintable() else None
    message = _fields(query, "message")
    chat_id, message_id = _id(_fields(message, "chat")), _number(message.get("message_id"))
    if query_id is None or chat_id is None or message_id is None or not isinstance(data, str):
        return Other(query_id=query_id)
    if len(data) > LONGEST_DATA or not data.isascii() or not data.isprintable():
        return Other(query_id=query_id)
    return Pressed(chat_id=chat_id, message_id=message_id, query_id=query_id, data=data)


def _fields(of: dict[str, Any], name: str) -> dict[str, Any]:
    found = of.get(name)
    return found if isinstance(found, dict) else {}


def _id(chat: dict[str, Any]) -> int | None:
    found = chat.get("id")
    return found if _is_id(found) else None


def _is_id(found: Any) -> bool:
    return type(found) is int and found != 0 and -LARGEST_ID <= found <= LARGEST_ID


def _number(found: Any) -> int | None:
    return found if type(found) is int and 0 < found <= LARGEST_ID else None
