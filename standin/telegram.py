"""Telegram's HTTP API on loopback: takes messages and keeps them, and faults on demand.

    with TelegramServer(token="12345:abc") as server:
        post(f"{server.url}/bot12345:abc/sendMessage", {"chat_id": "-100", "text": "hello"})
        server.fault("too_many_429", times=1, retry_after=30)
        server.messages

As at the real one, an answer is JSON with `ok`, and `result` or `error_code` and `description`. The same over HTTP:
POST and DELETE /control/fault, GET and DELETE /control/requests.
"""

from __future__ import annotations

import hmac
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from standin.server import LoopbackServer, close

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The longest text of a message; the real one counts UTF-16 units, as this does.
LONGEST: Final = 4096
FAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "too_many_429": {"retry_after": 30},
    "server_error_502": {},
    "redirect": {"to": "/elsewhere"},
    "drip": {"seconds": 0.05},  # the answer, a byte at a time, without end
    "slow": {"seconds": 0.5},  # as ever, but later
    "reset": {},
}


@dataclass(kw_only=True)
class Request:
    """What a client asked. The path is without the token; `status` is 0 until there is an answer."""

    method: str
    path: str
    token_accepted: bool
    chat_id: str | None = None
    text: str | None = None
    fault: str | None = None
    status: int = 0


class TelegramServer(LoopbackServer):
    """The API in a thread of its own, from `with` to the end of the block."""

    def __init__(
        self, *, token: str, chats: tuple[str, ...] | None = None, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        """Let the bot with that token write, to these chats or to any. Raises ValueError for a host not loopback."""
        super().__init__(name="telegram", host=host, ports={"telegram": port}, faults=FAULTS)
        self.token = token
        self.chats = chats
        self.requests: list[Request] = []

    @property
    def url(self) -> str:
        """What TELEGRAM_API_URL holds."""
        return self.address("telegram")

    @property
    def messages(self) -> list[Request]:
        """Those requests that were taken as messages, in order."""
        return [each for each in self.requests if each.status == 200]

    def fault(self, name: str, times: int | None = None, **options: Any) -> None:
        """Let the next `times` requests (all of them without it) meet that fault; ValueError for one unknown."""
        self.faults.add(name, times, options)

    def applications(self) -> Mapping[str, web.Application]:
        """The application behind the port."""
        application = web.Application()
        self.add_control(application)
        application.router.add_route("*", "/{rest:.*}", self._answer)
        return {"telegram": application}

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        bot, _, method = request.path.removeprefix("/").partition("/")
        accepted = hmac.compare_digest(bot.encode(), f"bot{self.token}".encode())
        path = f"/{method}" if bot.startswith("bot") else request.path
        note = Request(method=request.method, path=path, token_accepted=accepted)
        self.requests.append(note)
        fault = self.faults.take()
        if fault is not None:
            note.fault = fault.name
            if fault.name != "slow":
                return await self._faulty(request, note, fault.name, fault.options)
            await self.pause(fault.options["seconds"])
        if not accepted:
            return _refuse(note, 401, "Unauthorized")
        if method != "sendMessage":
            return _refuse(note, 404, "Not Found")
        return self._take(note, await _fields(request))

    def _take(self, note: Request, fields: Mapping[str, Any]) -> web.Response:
        note.chat_id, note.text = str(fields.get("chat_id", "")), str(fields.get("text", ""))
        if not note.text.strip():
            return _refuse(note, 400, "Bad Request: message text is empty")
        if len(note.text.encode("utf-16-le", "surrogatepass")) // 2 > LONGEST:
            return _refuse(note, 400, "Bad Request: message is too long")
        if not note.chat_id or (self.chats is not None and note.chat_id not in self.chats):
            return _refuse(note, 400, "Bad Request: chat not found")
        note.status = 200
        result = {
            "message_id": len(self.messages),
            "date": int(time.time()),
            "chat": {"id": note.chat_id, "type": "group"},
            "text": note.text,
        }
        return web.json_response({"ok": True, "result": result})

    async def _faulty(
        self, request: web.Request, note: Request, name: str, options: Mapping[str, Any]
    ) -> web.StreamResponse:
        if name == "too_many_429":
            seconds = options["retry_after"]
            more = {"parameters": {"retry_after": seconds}}
            return _refuse(note, 429, f"Too Many Requests: retry after {seconds}", more)
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


def _refuse(note: Request, status: int, description: str, more: Mapping[str, Any] | None = None) -> web.Response:
    note.status = status
    answer = {"ok": False, "error_code": status, "description": description, **(more or {})}
    return web.json_response(answer, status=status)


async def _fields(request: web.Request) -> Mapping[str, Any]:
    """The parameters of a call: in the query, as a form or as JSON, as the real one takes them."""
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
