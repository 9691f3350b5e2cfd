"""The member feed on loopback: the current file over HTTP, as the real one answers, and faults on demand.

    with FeedServer(Market(lots=2000)) as server:
        fetch(server.url)
        server.advance()
        server.fault("html_200", times=2)
        fetch(server.url)
        server.requests

The same over HTTP: POST /control/advance, POST and DELETE /control/fault, GET /control/requests.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import json
import threading
from dataclasses import dataclass
from datetime import timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from standin.core import LoopbackServer, close, html, serve_until_told, unchanged
from standin.feed.pages import site_export
from standin.feed.quirks import QUIRKS, cut_in_row, inject
from standin.refusals import refusal_page

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from standin.feed.market import Advance, Market

FEED_PATH: Final = "/FTPLSTDM/salesdata.cgi"
ELSEWHERE_PATH: Final = "/elsewhere/salesdata.csv"
CHUNK: Final = 256 * 1024


@dataclass(kw_only=True)
class Request:
    """What a client asked. `path` and `query` are without the key; header names are in lower case; `status` is 0
    until an answer has begun."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    key_accepted: bool
    fault: str | None = None
    status: int = 0


@dataclass(frozen=True, kw_only=True)
class FeedFile:
    """A file as it is served."""

    body: bytes
    etag: str
    last_modified: str

    @classmethod
    def of(cls, body: bytes, last_modified: str) -> FeedFile:
        """The file with that content."""
        return cls(body=body, etag=f'"{hashlib.sha256(body).hexdigest()[:32]}"', last_modified=last_modified)

    @property
    def headers(self) -> dict[str, str]:
        """What goes out with it."""
        return {
            "Content-Type": "text/csv;charset=UTF-8",
            "Content-Disposition": 'attachment; filename="salesdata.csv"',
            "ETag": self.etag,
            "Last-Modified": self.last_modified,
            "cf-cache-status": "DYNAMIC",
        }


class FeedServer(LoopbackServer):
    """The feed in a thread of its own, from `with` to the end of the block."""

    def __init__(
        self,
        market: Market,
        *,
        key: str = "stand-in-key",
        host: str = "127.0.0.1",
        port: int = 0,
        required_headers: Mapping[str, str] | None = None,
    ) -> None:
        """Serve that market; `advance` moves it on.

        `required_headers` maps a header to the text its value must contain (empty: it must be there); a request
        without it gets 403. Raises ValueError for a host that is not loopback.
        """
        known = {name: fault.options for name, fault in FAULTS.items()}
        known |= {name: QUIRK_OPTIONS for name in QUIRKS if name not in FAULTS}
        super().__init__(name="feed", host=host, ports={"feed": port}, faults=known)
        self.market = market
        self.key = key
        self.requests: list[Request] = []
        self._required = dict(required_headers or {})
        self._lock = threading.Lock()
        self._current = self._previous = self._render()

    @property
    def base_url(self) -> str:
        """The server's root, without a slash at the end."""
        return self.address("feed")

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.ports["feed"]

    @property
    def url(self) -> str:
        """The feed's address with its key: what COPART_CSV_URL holds."""
        return f"{self.base_url}{FEED_PATH}?authKey={self.key}"

    @property
    def content(self) -> bytes:
        """The current file."""
        return self._current.body

    def advance(self, **shares: float) -> Advance:
        """Move the market on, with the arguments of `Market.advance`, and serve its next file."""
        with self._lock:
            advance = self.market.advance(**shares)  # type: ignore[arg-type]
            self._previous, self._current = self._current, self._render()
        return advance

    def fault(self, name: str, times: int | None = None, **options: Any) -> None:
        """Let the next `times` requests (all of them without it) meet that fault.

        Faults queue up: one that is spent makes room for the next. Raises ValueError for a name that is neither
        in FAULTS nor in QUIRKS, or an option it does not know.
        """
        self.faults.add(name, times, options)

    def _render(self) -> FeedFile:
        buffer = io.BytesIO()
        self.market.write(buffer)
        return FeedFile.of(buffer.getvalue(), format_datetime(self.market.now, usegmt=True))

    def applications(self) -> Mapping[str, web.Application]:
        """The feed, its neighbours and the control."""
        app = web.Application()
        app.router.add_get(FEED_PATH, self._feed, allow_head=False)
        app.router.add_get(ELSEWHERE_PATH, self._elsewhere, allow_head=False)
        app.router.add_get("/login", self._login, allow_head=False)
        app.router.add_post("/control/advance", self._control_advance)
        self.add_control(app)
        app.on_response_prepare.append(_note_status)
        return {"feed": app}

    def _note(self, request: web.Request, *, key_accepted: bool) -> Request:
        query = {name: value for name, value in request.query.items() if name != "authKey"}
        note = Request(
            method=request.method,
            path=request.path,
            query=query,
            headers={name.lower(): value for name, value in request.headers.items()},
            key_accepted=key_accepted,
        )
        request[_NOTE] = note
        self.requests.append(note)
        return note

    async def _feed(self, request: web.Request) -> web.StreamResponse:
        key_accepted = request.query.get("authKey") == self.key
        note = self._note(request, key_accepted=key_accepted)
        for name, text in self._required.items():
            if text not in request.headers.get(name, "") or name not in request.headers:
                return html(refusal_page("denied"), status=403)
        if not key_accepted:
            return html(refusal_page("denied"))
        fault = self.faults.take()
        if fault is None:
            return _file(request, self._current)
        note.fault = fault.name
        if fault.name in FAULTS:
            return await FAULTS[fault.name].answer(self, request, **fault.options)
        count, seed = fault.options["count"], fault.options["seed"]
        body, _ = await asyncio.to_thread(inject, self._current.body, fault.name, seed=seed, count=count)
        return _file(request, FeedFile.of(body, self._current.last_modified))

    async def _elsewhere(self, request: web.Request) -> web.StreamResponse:
        self._note(request, key_accepted=request.query.get("authKey") == self.key)
        return _file(request, self._current)

    async def _login(self, request: web.Request) -> web.StreamResponse:
        self._note(request, key_accepted=request.query.get("authKey") == self.key)
        return html(refusal_page("login"))

    async def _control_advance(self, request: web.Request) -> web.Response:
        try:
            arguments = json.loads(await request.text() or "{}")
            advance = await asyncio.to_thread(lambda: self.advance(**arguments))
        except (TypeError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(advance.counts() | {"now": advance.now.isoformat()})

    async def html_200(self, _: web.Request, *, kind: str) -> web.StreamResponse:
        """A refusal page with status 200."""
        return html(refusal_page(kind))

    async def denied_403(self, _: web.Request, *, kind: str) -> web.StreamResponse:
        """A refusal page with status 403."""
        return html(refusal_page(kind), status=403)

    async def rate_limited_429(self, _: web.Request, *, retry_after: int, as_date: bool) -> web.StreamResponse:
        """Too many requests, with Retry-After in seconds or as a date (counted from the market's now)."""
        moment = self.market.now + timedelta(seconds=retry_after)
        value = format_datetime(moment, usegmt=True) if as_date else str(retry_after)
        return web.Response(status=429, text="Too Many Requests\n", headers={"Retry-After": value})

    async def server_error_500(self, _: web.Request) -> web.StreamResponse:
        """An internal error."""
        return web.Response(status=500, text="Internal Server Error\n")

    async def server_error_503(self, _: web.Request) -> web.StreamResponse:
        """Out of service."""
        return web.Response(status=503, text="Service Unavailable\n")

    async def truncated(self, request: web.Request, *, how: str, at: float) -> web.StreamResponse:
        """A file cut in the middle of a row.

        how: `length` announces the full Content-Length and closes early; `chunked` announces none and ends as if
        all were well, the last newline missing; `file` announces the length of the piece.
        """
        file = self._current
        body = cut_in_row(file.body, at)
        if how == "file":
            return web.Response(body=body, headers=file.headers)
        response = web.StreamResponse(headers=file.headers)
        if how == "chunked":
            response.enable_chunked_encoding()
            await response.prepare(request)
            await _send(response, body)
            await response.write_eof()
            return response
        response.content_length = len(file.body)
        await response.prepare(request)
        await _send(response, body)
        close(request)
        return response

    async def empty(self, _: web.Request, *, header: bool) -> web.StreamResponse:
        """A file of no bytes, or of the header alone."""
        file = self._current
        body = file.body[: file.body.find(b"\n") + 1] if header else b""
        return web.Response(body=body, headers=FeedFile.of(body, file.last_modified).headers)

    async def short(self, _: web.Request, *, rows: int) -> web.StreamResponse:
        """A complete file of only so many rows."""
        body = b"".join(self._current.body.splitlines(keepends=True)[: rows + 1])
        return web.Response(body=body, headers=FeedFile.of(body, self._current.last_modified).headers)

    async def slow(self, request: web.Request, *, rate: int) -> web.StreamResponse:
        """The file in drips of that many bytes a second."""
        file = self._current
        response = web.StreamResponse(headers=file.headers)
        response.content_length = len(file.body)
        await response.prepare(request)
        step = max(rate // 20, 1)
        for start in range(0, len(file.body), step):
            await response.write(file.body[start : start + step])
            if await self.pause(step / rate):
                close(request)
                return response
        return response

    async def stall(self, request: web.Request, *, at: float, seconds: float) -> web.StreamResponse:
        """The beginning of the file, then nothing for that long, then the end of the connection."""
        return await self._broken_off(request, at=at, seconds=seconds, reset=False)

    async def reset(self, request: web.Request, *, at: float) -> web.StreamResponse:
        """The beginning of the file, then a connection reset."""
        return await self._broken_off(request, at=at, seconds=0.05, reset=True)

    async def _broken_off(self, request: web.Request, *, at: float, seconds: float, reset: bool) -> web.StreamResponse:
        file = self._current
        response = web.StreamResponse(headers=file.headers)
        response.content_length = len(file.body)
        await response.prepare(request)
        await _send(response, cut_in_row(file.body, at))
        await self.pause(seconds)
        close(request, reset=reset)
        return response

    async def stale(self, request: web.Request, *, when: str) -> web.StreamResponse:
        """The file before this one (before the first `advance`, the current one), from the CDN's cache.

        when: `always`, or `without_cache_busting`, which spares requests with a parameter besides the key. As at
        the real CDN, a Cache-Control header of the request changes nothing.
        """
        busting = any(name != "authKey" for name in request.query)
        if when == "without_cache_busting" and busting:
            return _file(request, self._current)
        return _file(request, self._previous, {"cf-cache-status": "HIT", "Age": "900"})

    async def wrong_export(self, _: web.Request) -> web.StreamResponse:
        """The export of a site search instead of the feed."""
        return web.Response(body=site_export(self.market), content_type="text/csv")

    async def shrunk(self, request: web.Request, *, keep: float) -> web.StreamResponse:
        """A complete file with only that share of the rows."""
        lines = self._current.body.splitlines(keepends=True)
        body = b"".join(lines[: 1 + int((len(lines) - 1) * keep)])
        return _file(request, FeedFile.of(body, self._current.last_modified))

    async def redirect(self, request: web.Request, *, to: str, with_key: bool) -> web.StreamResponse:
        """A redirect; `to` is `login` (a page here), `other_host` (this feed under another host name) or a URL."""
        port, other = self.port, "127.0.0.1" if self.host == "localhost" else "localhost"
        named = {"login": f"{self.base_url}/login", "other_host": f"http://{other}:{port}{ELSEWHERE_PATH}"}
        location = named.get(to, to)
        if with_key:
            location += f"?{request.query_string}"
        return web.Response(status=302, headers={"Location": location})

    async def gzip(self, _: web.Request, *, level: int) -> web.StreamResponse:
        """The file compressed, whether or not the client said that it can read that."""
        file = self._current
        body = await asyncio.to_thread(gzip.compress, file.body, level, mtime=0)
        return web.Response(body=body, headers={**file.headers, "Content-Encoding": "gzip"})


_NOTE: Final = web.RequestKey("note", Request)


async def _note_status(request: web.Request, response: web.StreamResponse) -> None:
    if _NOTE in request:
        request[_NOTE].status = response.status


def _file(request: web.Request, file: FeedFile, extra: Mapping[str, str] | None = None) -> web.Response:
    """The whole file, or 304 if the client has it. Ranges are not supported, as at the real feed."""
    headers = {**file.headers, **(extra or {})}
    if unchanged(request, etag=file.etag, last_modified=file.last_modified):
        return web.Response(status=304, headers={"ETag": file.etag, "Last-Modified": file.last_modified})
    return web.Response(body=file.body, headers={**headers, "Accept-Ranges": "none"})


async def _send(response: web.StreamResponse, body: bytes) -> None:
    for start in range(0, len(body), CHUNK):
        await response.write(body[start : start + CHUNK])


@dataclass(frozen=True, kw_only=True)
class _Answer:
    answer: Callable[..., Awaitable[web.StreamResponse]]
    options: dict[str, Any]


#: name: what answers and the options it knows, with their defaults
FAULTS: Final[dict[str, _Answer]] = {
    "html_200": _Answer(answer=FeedServer.html_200, options={"kind": "denied"}),
    "denied_403": _Answer(answer=FeedServer.denied_403, options={"kind": "denied"}),
    "rate_limited_429": _Answer(answer=FeedServer.rate_limited_429, options={"retry_after": 30, "as_date": False}),
    "server_error_500": _Answer(answer=FeedServer.server_error_500, options={}),
    "server_error_503": _Answer(answer=FeedServer.server_error_503, options={}),
    "truncated": _Answer(answer=FeedServer.truncated, options={"how": "length", "at": 0.6}),
    "empty": _Answer(answer=FeedServer.empty, options={"header": False}),
    "short": _Answer(answer=FeedServer.short, options={"rows": 999}),
    "slow": _Answer(answer=FeedServer.slow, options={"rate": 50_000}),
    "stall": _Answer(answer=FeedServer.stall, options={"at": 0.5, "seconds": 3600.0}),
    "reset": _Answer(answer=FeedServer.reset, options={"at": 0.5}),
    "stale": _Answer(answer=FeedServer.stale, options={"when": "always"}),
    "wrong_export": _Answer(answer=FeedServer.wrong_export, options={}),
    "shrunk": _Answer(answer=FeedServer.shrunk, options={"keep": 0.7}),
    "redirect": _Answer(answer=FeedServer.redirect, options={"to": "login", "with_key": False}),
    "gzip": _Answer(answer=FeedServer.gzip, options={"level": 1}),
}
#: What every quirk knows when it is served as a fault.
QUIRK_OPTIONS: Final[dict[str, Any]] = {"count": 3, "seed": 1}
FAULT_NAMES: Final = (*FAULTS, *(name for name in QUIRKS if name not in FAULTS))


def serve_forever(market: Market, *, host: str, port: int, key: str) -> None:
    """Serve until SIGINT or SIGTERM. One line of JSON on standard output says when and where it answers."""
    server = FeedServer(market, host=host, port=port, key=key)
    serve_until_told(server, lambda: {"url": server.url})
