"""What the calls of Telegram's API do to chats and messages, and what is refused: the stand-in without HTTP."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections import defaultdict
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from aiohttp.web_request import FileField

from standin.telegram.limits import Limits
from standin.telegram.messages import (
    LONGEST,
    LONGEST_CAPTION,
    Message,
    RefusedError,
    is_url,
    kept,
    read_buttons,
    read_text,
    replied_to,
    shown,
)
from standin.telegram.updates import Updates

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


class Calls:
    """The chats of a bot, its messages and its updates, and the methods by which it changes them."""

    def __init__(
        self,
        *,
        chats: tuple[str, ...] | None = None,
        flood: int | None = None,
        limits: bool = False,
        keep: Path | None = None,
    ) -> None:
        """`chats` are the chats the bot may write to (None: all), `flood` is the number of messages per minute and chat
        (None: no limit). With `limits` those of Telegram hold. With `keep`, messages are saved in that file, and those
        of an earlier server are loaded from it. Raises ValueError for an invalid file, OSError for an unreadable one.
        """
        self.chats = chats
        self.flood = flood
        #: Chats from which the bot has been removed: calls for them are refused with 403.
        self.kicked: set[str] = set()
        #: Groups that became supergroups: their old and their new ids.
        self.moved: dict[str, int] = {}
        self.updates = Updates()
        self.limits = Limits() if limits else None
        #: All accepted messages in order, whether or not the client received the response.
        self.messages: list[Message] = kept(keep) if keep else []
        self._keep = keep
        self._taken_at: dict[str, list[float]] = defaultdict(list)
        self._methods: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
            "getMe": lambda _: {"id": 12345, "is_bot": True, "first_name": "stand-in", "username": "standin_bot"},
            "sendMessage": self._send_message,
            "sendPhoto": self._send_photo,
            "editMessageText": self._edit_text,
            "editMessageCaption": self._edit_caption,
            "deleteMessage": self._delete,
            "answerCallbackQuery": self._answer_query,
            "setMyCommands": lambda _: True,
            "deleteWebhook": lambda _: True,
        }

    def chat(self, chat_id: str) -> list[Message]:
        """Return the messages of a chat that have not been deleted, oldest first."""
        return [each for each in self.messages if each.chat_id == chat_id and not each.is_deleted]

    def call(self, method: str, fields: Mapping[str, Any]) -> Any:
        """Execute a call and return its result. Raises RefusedError."""
        if method not in self._methods:
            raise RefusedError(404, "Not Found")
        result = self._methods[method](fields)
        if self._keep:
            part = self._keep.with_name(f"{self._keep.name}.part")
            part.write_text(json.dumps([asdict(each) for each in self.messages]), encoding="utf-8")
            part.replace(self._keep)
        return result

    def _send_message(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        html, text = read_text(fields, "text", LONGEST, "message is too long")
        return self._take(fields, html=html, text=text, photo=None)

    def _send_photo(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        sent = fields.get("photo", "")
        photo = f"sha256:{hashlib.sha256(sent.file.read()).hexdigest()}" if isinstance(sent, FileField) else str(sent)
        if not isinstance(sent, FileField) and not is_url(photo):
            raise RefusedError(400, "Bad Request: wrong file identifier/HTTP URL specified")
        html, text = read_text(fields, "caption", LONGEST_CAPTION, "message caption is too long")
        return self._take(fields, html=html, text=text, photo=photo)

    def _take(self, fields: Mapping[str, Any], *, html: str, text: str, photo: str | None) -> dict[str, Any]:
        chat_id = self._chat_of(fields)
        buttons = read_buttons(fields)
        now = time.monotonic()
        lately = self._taken_at[chat_id] = [at for at in self._taken_at[chat_id] if at > now - 60]
        if self.flood is not None and len(lately) >= self.flood:
            seconds = math.ceil(lately[0] + 60 - now)
            raise RefusedError(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds)
        if self.limits and (seconds_left := self.limits.exceeded(chat_id)) is not None:
            raise RefusedError(429, f"Too Many Requests: retry after {seconds_left}", retry_after=seconds_left)
        lately.append(now)
        number = len(self.messages) + 1
        message = Message(
            chat_id=chat_id,
            message_id=number,
            text=text,
            html=html,
            photo=photo,
            buttons=buttons,
            is_silent=str(fields.get("disable_notification", "")).lower() == "true",
            reply_to=replied_to(fields),
        )
        self.messages.append(message)
        return shown(message)

    def _edit_text(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        return self._edit(fields, read_text(fields, "text", LONGEST, "message is too long"), is_photo=False)

    def _edit_caption(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        too_long = "message caption is too long"
        return self._edit(fields, read_text(fields, "caption", LONGEST_CAPTION, too_long), is_photo=True)

    def _edit(self, fields: Mapping[str, Any], content: tuple[str, str], *, is_photo: bool) -> dict[str, Any]:
        message = self._message_of(fields, "message to edit not found")
        if is_photo != (message.photo is not None):
            kind = "caption" if is_photo else "text"
            raise RefusedError(400, f"Bad Request: there is no {kind} in the message to edit")
        html, text = content
        buttons = read_buttons(fields)
        if (html, buttons) == (message.html, message.buttons):
            raise RefusedError(
                400,
                "Bad Request: message is not modified: specified new message content and reply markup are exactly the"
                " same as a current content and reply markup of the message",
            )
        message.html, message.text, message.buttons = html, text, buttons
        message.edits += 1
        return shown(message)

    def _delete(self, fields: Mapping[str, Any]) -> bool:
        self._message_of(fields, "message to delete not found").is_deleted = True
        return True

    def _answer_query(self, fields: Mapping[str, Any]) -> bool:
        query = str(fields.get("callback_query_id", ""))
        if not query:
            raise RefusedError(400, "Bad Request: query is too old and response timeout expired or query ID is invalid")
        self.updates.answered.append(query)
        return True

    def _chat_of(self, fields: Mapping[str, Any]) -> str:
        chat_id = str(fields.get("chat_id", ""))
        if chat_id in self.moved:
            text = "Bad Request: group chat was upgraded to a supergroup chat"
            raise RefusedError(400, text, migrate_to_chat_id=self.moved[chat_id])
        if chat_id in self.kicked and chat_id.isdecimal():
            raise RefusedError(403, "Forbidden: bot was blocked by the user")
        if chat_id in self.kicked:
            raise RefusedError(403, "Forbidden: bot was kicked from the channel chat")
        if not chat_id or (self.chats is not None and chat_id not in self.chats):
            raise RefusedError(400, "Bad Request: chat not found")
        return chat_id

    def _message_of(self, fields: Mapping[str, Any], otherwise: str) -> Message:
        chat_id = self._chat_of(fields)
        for message in self.chat(chat_id):
            if str(message.message_id) == str(fields.get("message_id")):
                return message
        raise RefusedError(400, f"Bad Request: {otherwise}")
