"""Messages of the stand-in, and what of a call's parameters makes one; what Telegram refuses is refused."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from standin.telegram.html import EntitiesError, plain, units

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: Maximum length of a message and of the caption of a photo, in UTF-16 code units of the text that a reader sees.
LONGEST: Final = 4096
LONGEST_CAPTION: Final = 1024
LONGEST_DATA: Final = 64  # bytes that a button sends to the bot


@dataclass(kw_only=True)
class Message:
    """A message in its current version: `text` is what a reader sees, `html` the text as it was sent."""

    chat_id: str
    message_id: int
    text: str
    html: str
    photo: str | None = None
    buttons: list[tuple[str, str]] = field(default_factory=list)
    edits: int = 0
    is_deleted: bool = False
    is_silent: bool = False
    reply_to: int | None = None
    taken_at: float = field(default_factory=time.time, compare=False)
    """When the call came, in seconds since 1970."""


class RefusedError(Exception):
    """The call is refused with an HTTP status, a description and optional response parameters."""

    def __init__(self, status: int, description: str, **parameters: Any) -> None:
        super().__init__(description)
        self.status = status
        self.description = description
        self.parameters = parameters


def kept(path: Path) -> list[Message]:
    """Return the messages saved by an earlier server; empty if the file does not exist."""
    if not path.exists():
        return []
    found = json.loads(path.read_text(encoding="utf-8"))
    return [Message(**{**each, "buttons": [tuple(button) for button in each["buttons"]]}) for each in found]


def read_text(fields: Mapping[str, Any], name: str, longest: int, too_long: str) -> tuple[str, str]:
    """Return the text as it was sent and as a reader sees it. Raises RefusedError for an invalid text."""
    sent = str(fields.get(name, ""))
    try:
        text = plain(sent) if str(fields.get("parse_mode", "")).lower() == "html" else sent.strip()
    except EntitiesError as error:
        raise RefusedError(400, f"Bad Request: can't parse entities: {error}") from None
    if not text and name == "text":
        raise RefusedError(400, "Bad Request: message text is empty")
    if units(text) > longest:
        raise RefusedError(400, f"Bad Request: {too_long}")
    return sent, text


def read_buttons(fields: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the buttons of a call, each its text and its target. Raises RefusedError for invalid ones."""
    try:
        markup = json.loads(fields.get("reply_markup") or "{}")
        buttons = [
            (str(button["text"]), str(button["url"] if "url" in button else button["callback_data"]), "url" in button)
            for row in markup.get("inline_keyboard", [])
            for button in row
        ]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise RefusedError(400, "Bad Request: can't parse reply keyboard markup JSON object") from None
    for text, target, is_link in buttons:
        if not text.strip():
            raise RefusedError(400, "Bad Request: text buttons are not allowed to be empty")
        if is_link and not is_url(target):
            message = f"Bad Request: inline keyboard button URL '{target}' is invalid: Wrong HTTP URL"
            raise RefusedError(400, message)
        if not is_link and not 1 <= len(target.encode()) <= LONGEST_DATA:
            raise RefusedError(400, "Bad Request: BUTTON_DATA_INVALID")
    return [(text, target) for text, target, _ in buttons]


def replied_to(fields: Mapping[str, Any]) -> int | None:
    """Return the message that a call replies to. Raises RefusedError if that cannot be read."""
    try:
        found = json.loads(fields.get("reply_parameters") or "{}").get("message_id")
    except (AttributeError, TypeError, ValueError):
        raise RefusedError(400, "Bad Request: can't parse reply parameters JSON object") from None
    return found if isinstance(found, int) else None


def is_url(text: str) -> bool:
    """Return whether Telegram would take a text as an address."""
    try:
        parts = urlsplit(text)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and (parts.port is None or parts.port > 0)
            and text.isprintable()
            and " " not in text
        )
    except ValueError:
        return False


def shown(message: Message) -> dict[str, Any]:
    """Return a message as the API's JSON object."""
    told: dict[str, Any] = {
        "message_id": message.message_id,
        "date": int(time.time()),
        "chat": {"id": message.chat_id, "type": "channel"},
    }
    if message.photo is None:
        return told | {"text": message.text}
    size = {"file_id": "photo", "file_unique_id": "photo", "width": 640, "height": 480}
    return told | {"caption": message.text, "photo": [size]}
