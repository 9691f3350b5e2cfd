"""One HTTP request to Telegram with our limits, and the connection that a thread may keep between its requests."""

from __future__ import annotations

import asyncio
import functools
import http
import logging
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, Final, TypeAlias, TypeVar

import httpx  # the HTTP client of python-telegram-bot
from telegram.error import TelegramError
from telegram.request import BaseRequest, RequestData

from vinops.telegram.outcomes import NotReached, Outcome, Sent, Unanswered, parsed, read_answer

SECONDS = 10.0  # for a whole call
LONGEST_ANSWER = 65_536  # bytes
IDLE: Final = 5.0
"""Seconds after which a connection that is kept is not used again. It is far less than Telegram keeps one, so a request
does not meet a connection that is being closed: whether it arrived would be unknown."""

_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol, httpx.InvalidURL)
_Result = TypeVar("_Result")
Files: TypeAlias = Mapping[str, tuple[str, bytes | IO[bytes], str]]
"""Files of a form: name, bytes and type of each."""

# Their log lines contain the address of a call, and the token is part of it.
for _name in ("httpx", "httpcore", "telegram"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class _Kept(threading.local):
    """The loop and the client of a thread that keeps its connection: a connection belongs to a loop."""

    line: tuple[asyncio.Runner, httpx.AsyncClient] | None = None


_kept: Final = _Kept()


@contextmanager
def kept_connection() -> Iterator[None]:
    """Keep the connection to Telegram between the calls that this thread makes in the block.

    A call takes it unless it was idle for IDLE seconds, or was closed; else it makes a new one. A call that was cut
    off, or had no answer, leaves none behind: an answer that comes too late is never read as that of the next call.
    """
    outer = _kept.line
    with asyncio.Runner() as runner:
        client = _client()
        _kept.line = runner, client
        try:
            yield
        finally:
            _kept.line = outer
            runner.run(client.aclose())


def run(ask: Callable[[httpx.AsyncClient], Awaitable[_Result]]) -> _Result:
    """Return what `ask` does with a client: that of this thread if it keeps one, else one that is closed after it."""

    async def asked(client: httpx.AsyncClient) -> _Result:
        return await ask(client)

    async def alone() -> _Result:
        async with _client() as client:
            return await ask(client)

    if _kept.line is None:
        return asyncio.run(alone())
    runner, client = _kept.line
    return runner.run(asked(client))


def _client() -> httpx.AsyncClient:
    """Return a client that uses no proxy and nothing else of the environment."""
    limits = httpx.Limits(max_keepalive_connections=1, keepalive_expiry=IDLE)
    return httpx.AsyncClient(trust_env=False, limits=limits, verify=_certificates())


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Return the trusted certificates. Reading them takes 30 ms, six times as long as the rest of a call."""
    return httpx.create_ssl_context(trust_env=False)


class Request(BaseRequest):
    """The HTTP layer of python-telegram-bot for one request, with our limits; `outcome` is its outcome."""

    def __init__(self, client: httpx.AsyncClient, seconds: float | None = None, longest: int = LONGEST_ANSWER) -> None:
        """Make the request with a client, within SECONDS unless told otherwise."""
        self.outcome: Outcome | None = None
        self.result: Any = None
        self.is_success = False
        self._seconds = SECONDS if seconds is None else seconds
        self._longest = longest
        self._client = client

    @property
    def read_timeout(self) -> float | None:
        """Seconds until the next byte."""
        return SECONDS

    async def initialize(self) -> None:
        """Nothing to do."""

    async def shutdown(self) -> None:
        """Nothing to do: the client belongs to `run`."""

    async def do_request(
        self,
        url: str,
        method: str,
        request_data: RequestData | None = None,
        read_timeout: Any = None,
        write_timeout: Any = None,
        connect_timeout: Any = None,
        pool_timeout: Any = None,
    ) -> tuple[int, bytes]:
        """Send the request and set `outcome`. Raises TelegramError unless that is Sent."""
        files = request_data.multipart_data if request_data and request_data.contains_files else None
        await self.ask(url, method, request_data.json_parameters if request_data else {}, files)
        if not isinstance(self.outcome, Sent):
            raise TelegramError(self.outcome.reason if self.outcome else "")
        # The answer was read already: a message with a part that the library cannot parse was sent all the same.
        return http.HTTPStatus.OK, b'{"ok": true, "result": true}'

    async def ask(self, url: str, method: str, fields: Mapping[str, str], files: Files | None = None) -> None:
        """Send the request and set `outcome`, and `result` after a success. Raises no error of the network."""
        try:
            async with asyncio.timeout(self._seconds):
                status, answer = await self._ask(url, method, fields, files)
        except _NOT_SENT as error:
            self.outcome = NotReached(reason=f"it was not reached ({type(error).__name__})")
        except (httpx.HTTPError, TimeoutError) as error:
            self.outcome = Unanswered(reason=f"it did not answer ({type(error).__name__})")
        else:
            self.outcome = read_answer(status, answer)
            fields_read = parsed(answer)
            self.is_success = status == http.HTTPStatus.OK and fields_read.get("ok") is True
            self.result = fields_read.get("result")

    async def _ask(
        self, url: str, method: str, fields: Mapping[str, str], files: Files | None = None
    ) -> tuple[int, bytes]:
        parts: list[bytes] = []
        length = 0
        # A quarter for the connection: a timeout of the whole call then means that there was one.
        limits = httpx.Timeout(self._seconds, connect=SECONDS / 4)
        async with self._client.stream(method, url, data=fields or None, files=files, timeout=limits) as response:
            async for part in response.aiter_bytes():
                parts.append(part)
                length += len(part)
                if length > self._longest:
                    break
        return response.status_code, b"".join(parts)[: self._longest + 1]
