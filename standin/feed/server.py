"""The member feed on loopback: the current file over HTTP, with the headers of the real feed, and faults on demand.

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
import math
import threading
import time
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
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from standin.feed.market import Advance, Market

FEED_PATH: Final = "/FTPLSTDM/salesdata.cgi"
ELSEWHERE_PATH: Final = "/elsewhere/salesdata.csv"
CHUNK: Final = 256 * 1024
#: Minutes between two files.
QUARTER: Final = 15


@dataclass(kw_only=True)
class Request:
    """A recorded request.

    `query` does not include the key; header names are in lower case; `status` is 0 until the response has begun.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    key_accepted: bool
    fault: str | None = None
    status: int = 0


@dataclass(frozen=True, kw_only=True)
class FeedFile:
    """A feed file with its ETag and Last-Modified."""

    body: bytes
    etag: str
    last_modified: str

    @classmethod
    def of(cls, body: bytes, last_modified: str) -> FeedFile:
        """Return the file with that content; the ETag is derived from it."""
        return cls(body=body, etag=f'"{hashlib.sha256(body).hexdigest()[:32]}"', last_modified=last_modified)

    @property
    def headers(self) -> dict[str, str]:
        """Return the response headers of the file."""
        return {
            "Content-Type": "text/csv;charset=UTF-8",
            "Content-Disposition": 'attachment; filename="salesdata.csv"',
            "ETag": self.etag,
            "Last-Modified": self.last_modified,
            "cf-cache-status": "DYNAMIC",
        }


class FeedServer(LoopbackServer):
    """A feed server, run in its own thread for the duration of a `with` block."""

    def __init__(
        self,
        market: Market,
        *,
        key: str = "stand-in-key",
        host: str = "127.0.0.1",
        port: int = 0,
        required_headers: Mapping[str, str] | None = None,
        speed: float = 0.0,
    ) -> None:
        """Serve the files of that market; `advance` advances it to the next one.

        With a `speed` the next file comes by itself after every quarter of an hour, which passes so many times as fast
        as real time.

        `required_headers` maps a header to a text that its value must contain (empty: the header must be present);
        other requests get 403. Raises ValueError for a host that is not loopback, and for a speed below 0.
        """
        known = {name: fault.options for name, fault in FAULTS.items()}
        known |= {name: QUIRK_OPTIONS for name in QUIRKS if name not in FAULTS}
        super().__init__(name="feed", host=host, ports={"feed": port}, faults=known)
        if not 0 <= speed < math.inf:
            message = f"the speed must be at least 0, not {speed:g}"
            raise ValueError(message)
        self.market = market
        self.key = key
        self.speed = speed
        self.requests: list[Request] = []
        self._required = dict(required_headers or {})
        self._lock = threading.Lock()
        self._current = self._previous = self._render()

    @property
    def base_url(self) -> str:
        """Return the root URL of the server, without a trailing slash."""
        return self.address("feed")

    @property
    def port(self) -> int:
        """Return the port on which the server listens."""
        return self.ports["feed"]

    @property
    def url(self) -> str:
        """Return the URL of the feed including its key, to set COPART_CSV_URL to."""
        return f"{self.base_url}{FEED_PATH}?authKey={self.key}"

    @property
    def content(self) -> bytes:
        """Return the content of the current file."""
        return self._current.body

    def advance(self, **shares: float) -> Advance:
        """Advance the market, with the arguments of `Market.advance`, and serve its next file."""
        with self._lock:
            advance = self.market.advance(**shares)  # type: ignore[arg-type]
            self._previous, self._current = self._current, self._render()
        return advance

    def fault(self, name: str, times: int | None = None, **options: Any) -> None:
        """Queue a fault for the next `times` requests (None: for all).

        When a fault has been used `times` times, the next one in the queue takes effect. Raises ValueError for a name
        that is neither in FAULTS nor in QUIRKS, and for an unknown option.
        """
        self.faults.add(name, times, options)

    def _render(self) -> FeedFile:
        buffer = io.BytesIO()
        self.market.write(buffer)
        return FeedFile.of(buffer.getvalue(), format_datetime(self.market.now, usegmt=True))

    def applications(self) -> Mapping[str, web.Application]:
        """Return the application with the feed, the targets of redirects and the control routes."""
        app = web.Application()
        app.router.add_get(FEED_PATH, self._feed, allow_head=False)
        app.router.add_get(ELSEWHERE_PATH, self._elsewhere, allow_head=False)
        app.router.add_get("/login", self._login, allow_head=False)
        app.router.add_post("/control/advance", self._control_advance)
        self.add_control(app)
        app.on_response_prepare.append(_note_status)
        if self.speed:
            app.cleanup_ctx.append(self._following_clock)
        return {"feed": app}

    async def _following_clock(self, _: web.Application) -> AsyncIterator[None]:
        """Advance the market every quarter of an hour of its time, as long as the application runs."""
        task = asyncio.create_task(self._follow_clock())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _follow_clock(self) -> None:
        seconds = QUARTER * 60 / self.speed
        due = time.monotonic() + seconds
        while not await self.pause(max(due - time.monotonic(), 0.0)):
            due += seconds
            await asyncio.to_thread(self.advance, minutes=QUARTER)

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
        """Respond with a refusal page and status 200."""
        return html(refusal_page(kind))

    async def denied_403(self, _: web.Request, *, kind: str) -> web.StreamResponse:
        """Respond with a refusal page and status 403."""
        return html(refusal_page(kind), status=403)

    async def rate_limited_429(self, _: web.Request, *, retry_after: int, as_date: bool) -> web.StreamResponse:
        """Respond with 429 and Retry-After, in seconds or as a date (counted from the market's `now`)."""
        moment = self.market.now + timedelta(seconds=retry_after)
        value = format_datetime(moment, usegmt=True) if as_date else str(retry_after)
        return web.Response(status=429, text="Too Many Requests\n", headers={"Retry-After": value})

    async def server_error_500(self, _: web.Request) -> web.StreamResponse:
        """Respond with 500 Internal Server Error."""
        return web.Response(status=500, text="Internal Server Error\n")

    async def server_error_503(self, _: web.Request) -> web.StreamResponse:
        """Respond with 503 Service Unavailable."""
        return web.Response(status=503, text="Service Unavailable\n")

    async def truncated(self, request: web.Request, *, how: str, at: float) -> web.StreamResponse:
        """Respond with a file truncated in the middle of a row, at the share `at` of its bytes.

        how: `length` sends the Content-Length of the whole file and closes the connection early; `chunked` sends a
        correctly terminated chunked response; `file` sends the Content-Length of the truncated file.
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
        """Respond with an empty file, or with the header line only."""
        file = self._current
        body = file.body[: file.body.find(b"\n") + 1] if header else b""
        return web.Response(body=body, headers=FeedFile.of(body, file.last_modified).headers)

    async def short(self, _: web.Request, *, rows: int) -> web.StreamResponse:
        """Respond with a complete file of the first `rows` rows."""
        body = b"".join(self._current.body.splitlines(keepends=True)[: rows + 1])
        return web.Response(body=body, headers=FeedFile.of(body, self._current.last_modified).headers)

    async def slow(self, request: web.Request, *, rate: int) -> web.StreamResponse:
        """Send the file slowly, at `rate` bytes per second."""
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
        """Send the share `at` of the file, then nothing for so many seconds, then close the connection."""
        return await self._broken_off(request, at=at, seconds=seconds, reset=False)

    async def reset(self, request: web.Request, *, at: float) -> web.StreamResponse:
        """Send the share `at` of the file, then reset the connection."""
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
        """Respond with the previous file (before the first `advance`: the current one), as if from the CDN's cache.

        when: `always`, or `without_cache_busting`, which excludes requests with a query parameter besides the key. As
        with the real CDN, the Cache-Control header of a request has no effect.
        """
        busting = any(name != "authKey" for name in request.query)
        if when == "without_cache_busting" and busting:
            return _file(request, self._current)
        return _file(request, self._previous, {"cf-cache-status": "HIT", "Age": "900"})

    async def wrong_export(self, _: web.Request) -> web.StreamResponse:
        """Respond with the export of a site search instead of the feed."""
        return web.Response(body=site_export(self.market), content_type="text/csv")

    async def shrunk(self, request: web.Request, *, keep: float) -> web.StreamResponse:
        """Respond with a complete file of the first rows: the share `keep` of all rows."""
        lines = self._current.body.splitlines(keepends=True)
        body = b"".join(lines[: 1 + int((len(lines) - 1) * keep)])
        return _file(request, FeedFile.of(body, self._current.last_modified))

    async def redirect(self, request: web.Request, *, to: str, with_key: bool) -> web.StreamResponse:
        """Redirect to `to`: `login` (the login page), `other_host` (this feed under another host name) or a URL."""
        port, other = self.port, "127.0.0.1" if self.host == "localhost" else "localhost"
        named = {"login": f"{self.base_url}/login", "other_host": f"http://{other}:{port}{ELSEWHERE_PATH}"}
        location = named.get(to, to)
        if with_key:
            location += f"?{request.query_string}"
        return web.Response(status=302, headers={"Location": location})

    async def gzip(self, _: web.Request, *, level: int) -> web.StreamResponse:
        """Respond with the file compressed by gzip, regardless of the request's Accept-Encoding."""
        file = self._current
        body = await asyncio.to_thread(gzip.compress, file.body, level, mtime=0)
        return web.Response(body=body, headers={**file.headers, "Content-Encoding": "gzip"})


_NOTE: Final = web.RequestKey("note", Request)


async def _note_status(request: web.Request, response: web.StreamResponse) -> None:
    if _NOTE in request:
        request[_NOTE].status = response.status


def _file(request: web.Request, file: FeedFile, extra: Mapping[str, str] | None = None) -> web.Response:
    """Return a response with the whole file, or 304 Not Modified. As in the real feed, ranges are not supported."""
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


#: Fault name to its handler and its options, with their defaults.
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
#: The options of every quirk when it is served as a fault, with their defaults.
QUIRK_OPTIONS: Final[dict[str, Any]] = {"count": 3, "seed": 1}
FAULT_NAMES: Final = (*FAULTS, *(name for name in QUIRKS if name not in FAULTS))


def serve_forever(market: Market, *, host: str, port: int, key: str, speed: float = 0.0) -> None:
    """Serve until SIGINT or SIGTERM. Print the URL as one line of JSON once the server is ready."""
    server = FeedServer(market, host=host, port=port, key=key, speed=speed)
    serve_until_told(server, lambda: {"url": server.url})
