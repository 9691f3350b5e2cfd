"""Telegram's HTTP API on loopback: sends, edits and deletes messages, and lists them; updates; faults on demand.

    with TelegramServer(token="12345:abc") as server:
        post(f"{server.url}/bot12345:abc/sendMessage", {"chat_id": "-100", "text": "hello"})
        server.fault("too_many_429", times=1, retry_after=30)
        server.messages
        server.updates.say(7, "/help")  # what the bot's next getUpdates returns
        server.updates.press(7, message_id=1, data="save:1")

As in the real API, a response is JSON with `ok`, and with `result` or with `error_code` and `description`; an invalid
message is refused with Telegram's own description. Photos are not fetched. With `limits=True` the limits of limits.py
hold. The same over HTTP: POST and DELETE /control/fault, GET and DELETE /control/requests, GET /control/messages, POST
/control/updates with an update as JSON.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from aiohttp.web_request import FileField

from standin.core import LoopbackServer, close
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

LOOK: Final = 0.02  # seconds between two looks for updates
_FAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "too_many_429": {"retry_after": 30},
    "bad_request_400": {"description": "Bad Request: wrong file identifier/HTTP URL specified", "parameters": None},
    "forbidden_403": {"description": "Forbidden: bot was kicked from the channel chat"},
    "server_error_502": {},
    "redirect": {"to": "/elsewhere"},
    "drip": {"seconds": 0.05},  # an endless response, one byte at a time
    "slow": {"seconds": 0.5},  # the usual response, after a delay
    "reset": {},  # reset the connection without executing the call
    "no_answer": {},  # execute the call, but never respond
    "answer_lost": {},  # execute the call, then reset the connection without a response
}
#: Options that restrict any fault: `fault("bad_request_400", methods=["sendPhoto"], chat_id="-100", text="a part")`.
_NARROWED: Final[Mapping[str, Any]] = {"methods": None, "chat_id": None, "text": ""}
FAULTS: Final[Mapping[str, Mapping[str, Any]]] = {name: {**_NARROWED, **_FAULTS[name]} for name in _FAULTS}


@dataclass(kw_only=True)
class Request:
    """A recorded request. `path` does not include the token; `status` is 0 until there is a response."""

    method: str
    path: str
    token_accepted: bool
    chat_id: str | None = None
    text: str | None = None
    fault: str | None = None
    status: int = 0
    port: int = field(default=0, compare=False)
    """The client's port: requests with the same one came over one connection."""


class TelegramServer(LoopbackServer):
    """A Telegram API server, run in its own thread for the duration of a `with` block."""

    def __init__(
        self,
        *,
        token: str,
        chats: tuple[str, ...] | None = None,
        flood: int | None = None,
        limits: bool = False,
        keep: Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        """Accept the bot with that token.

        `chats` are the chats it may write to (None: all), `flood` is the number of messages per minute and chat (None:
        no limit). With `limits` those of Telegram hold. With `keep`, messages are saved in that file, and those of an
        earlier server are loaded from it.

        Raises ValueError for a host that is not loopback or an invalid file, and OSError for an unreadable one.
        """
        super().__init__(name="telegram", host=host, ports={"telegram": port}, faults=FAULTS)
        self.token = token
        self.chats = chats
        self.flood = flood
        #: Chats from which the bot has been removed: calls for them are refused with 403.
        self.kicked: set[str] = set()
        #: Groups that became supergroups: their old and their new ids.
        self.moved: dict[str, int] = {}
        self.updates = Updates()
        self.limits = Limits() if limits else None
        self.requests: list[Request] = []
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

    @property
    def url(self) -> str:
        """Return the URL to set TELEGRAM_API_URL to."""
        return self.address("telegram")

    def addresses(self) -> dict[str, str]:
        """Return the URLs that `serve` prints: those of the API and of the list of messages."""
        return {"url": self.url, "messages": f"{self.url}/control/messages"}

    def chat(self, chat_id: str) -> list[Message]:
        """Return the messages of a chat that have not been deleted, oldest first."""
        return [each for each in self.messages if each.chat_id == chat_id and not each.is_deleted]

    def fault(self, name: str, times: int | None = None, **options: Any) -> None:
        """Queue a fault for the next `times` requests it applies to (None: for all of them).

        Raises ValueError for an unknown fault or option.
        """
        self.faults.add(name, times, options)

    def applications(self) -> Mapping[str, web.Application]:
        """Return the application served on the port."""
        application = web.Application()
        self.add_control(application)
        application.router.add_get("/control/messages", self._control_messages)
        application.router.add_post("/control/updates", self._control_updates)
        application.router.add_route("*", "/{rest:.*}", self._answer)
        return {"telegram": application}

    async def _control_messages(self, _: web.Request) -> web.Response:
        return web.json_response([asdict(each) for each in self.messages])

    async def _control_updates(self, request: web.Request) -> web.Response:
        return web.json_response({"update_id": self.updates.add(**await request.json())})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        bot, _, method = request.path.removeprefix("/").partition("/")
        accepted = hmac.compare_digest(bot.encode(), f"bot{self.token}".encode())
        path = f"/{method}" if bot.startswith("bot") else request.path
        peer = request.transport.get_extra_info("peername") if request.transport else None
        port = peer[1] if peer else 0
        note = Request(method=request.method, path=path, token_accepted=accepted, port=port)
        self.requests.append(note)
        fields = await _fields(request)
        note.chat_id, note.text = str(fields.get("chat_id", "")), str(fields.get("text", fields.get("caption", "")))
        fault = self.faults.take(lambda each: _is_met(each.options, method, note))
        if fault is not None:
            note.fault = fault.name
            if fault.name == "slow":
                await self.pause(fault.options["seconds"])
            elif fault.name in ("no_answer", "answer_lost"):
                self._do(note, method, fields)
                return await self._keep_quiet(request, note)
            else:
                return await self._faulty(request, note, fault.name, fault.options)
        if method == "getUpdates" and accepted:
            return await self._get_updates(note, fields)
        return self._do(note, method, fields)

    async def _get_updates(self, note: Request, fields: Mapping[str, Any]) -> web.Response:
        offset = int(fields["offset"]) if fields.get("offset") else None
        until = time.monotonic() + float(fields.get("timeout", 0))
        caller = self.updates.enter()
        while True:
            found = self.updates.take(offset, int(fields.get("limit", 100)))
            if found or time.monotonic() >= until:
                break
            if await self.pause(LOOK) or not self.updates.is_latest(caller):
                text = (
                    "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
                )
                return _refuse(note, 409, text)
        note.status = 200
        return web.json_response({"ok": True, "result": found})

    def _do(self, note: Request, method: str, fields: Mapping[str, Any]) -> web.Response:
        try:
            if not note.token_accepted:
                raise RefusedError(401, "Unauthorized")
            if method not in self._methods:
                raise RefusedError(404, "Not Found")
            result = self._methods[method](fields)
        except RefusedError as refused:
            return _refuse(note, refused.status, refused.description, refused.parameters)
        if self._keep:
            part = self._keep.with_name(f"{self._keep.name}.part")
            part.write_text(json.dumps([asdict(each) for each in self.messages]), encoding="utf-8")
            part.replace(self._keep)
        note.status = 200
        return web.json_response({"ok": True, "result": result})

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

    async def _keep_quiet(self, request: web.Request, note: Request) -> web.StreamResponse:
        note.status = 0
        while note.fault == "no_answer" and not await self.pause(1):
            pass  # until the client disconnects or the server stops
        close(request, reset=True)
        return web.StreamResponse()

    async def _faulty(
        self, request: web.Request, note: Request, name: str, options: Mapping[str, Any]
    ) -> web.StreamResponse:
        if name == "too_many_429":
            seconds = options["retry_after"]
            return _refuse(note, 429, f"Too Many Requests: retry after {seconds}", {"retry_after": seconds})
        if name in ("bad_request_400", "forbidden_403"):
            return _refuse(note, int(name[-3:]), options["description"], options.get("parameters"))
        if name == "server_error_502":
            note.status = 502
            return web.Response(status=502, text="<html>Bad Gateway</html>", content_type="text/html")
        if name == "redirect":
            note.status = 307
            return web.Response(status=307, headers={"Location": options["to"]})
        response = web.StreamResponse()
        if name == "drip":
            await response.prepare(request)
            while not await self.pause(options["seconds"]):
                await response.write(b" ")
        close(request, reset=name == "reset")
        return response


def _is_met(options: Mapping[str, Any], method: str, note: Request) -> bool:
    """Return whether a fault applies to this call."""
    return (
        (options["methods"] is None or method in options["methods"])
        and options["chat_id"] in (None, note.chat_id)
        and options["text"] in (note.text or "")
    )


def _refuse(note: Request, status: int, description: str, parameters: Mapping[str, Any] | None = None) -> web.Response:
    note.status = status
    answer = {"ok": False, "error_code": status, "description": description}
    return web.json_response(answer | ({"parameters": dict(parameters)} if parameters else {}), status=status)


async def _fields(request: web.Request) -> Mapping[str, Any]:
    """Return the parameters of a call, which may be in the query, in a form or in JSON, as in the real API."""
    fields: dict[str, Any] = dict(request.query)
    if request.content_type == "application/json":
        try:
            posted = json.loads(await request.text())
        except ValueError:
            posted = None
        fields |= posted if isinstance(posted, dict) else {}
    else:
        fields |= dict(await request.post())
    return fields
