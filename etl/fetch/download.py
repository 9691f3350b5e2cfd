"""One request for the feed: its headers, redirects, content and time limits.

An error of the network may quote the request, which holds the key, and stays attached as context to what is raised here
in its place: the caller makes a new error of the same reason (`incoming._attempt`).
"""

from __future__ import annotations

import socket
import threading
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from etl.errors import FeedRefused, FetchFailed, NotLoaded
from etl.fetch.address import Address, parse_address
from etl.progress import Progress
from vinops.logs import redact
from vinops.network import is_loopback

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPResponse

    from vinops.config import Settings

GZIP = b"\x1f\x8b"  # how a file that is compressed with it begins
CHUNK_BYTES = 1 << 16
INFLATED_BYTES = 1 << 20  # the most that one step of the decompression returns
MOST_REDIRECTS = 3
IDLE_SECONDS = 60.0  # the longest silence within an attempt; a real download takes up to 90 s in all
REDIRECTS = frozenset({301, 302, 303, 307, 308})
# 520 to 524: the CDN in front did not reach the source.
TRANSIENT = frozenset({408, 500, 502, 503, 504, 520, 521, 522, 523, 524})
AGAIN = "the next run tries again; if it stays, see the runbook"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The validators of the file that was loaded last, kept in state/fetch.json."""

    source: str
    sha256: str
    etag: str | None = None
    last_modified: str | None = None


@dataclass(kw_only=True)
class Job:
    """One fetch: its settings, its deadline (monotonic), and what its line in the log reports."""

    settings: Settings
    address: Address
    seen: Seen | None
    deadline: float
    progress: Progress
    status: int = 0
    wire_bytes: int = 0

    @property
    def idle(self) -> float:
        """The longest wait for data, in seconds, that leaves time for all attempts."""
        return min(IDLE_SECONDS, self.settings.fetch_total_seconds / self.settings.fetch_attempts)

    def check_time(self) -> None:
        """Raise FetchFailed after the deadline."""
        if time.monotonic() >= self.deadline:
            raise FetchFailed(
                "timeout",
                f"the feed did not arrive within {self.settings.fetch_total_seconds:g} s ({self.wire_bytes} bytes "
                f"came): {AGAIN}; VINOPS_FETCH_TOTAL_SECONDS sets the limit",
            )


def ask(job: Job, stack: ExitStack) -> HTTPResponse:
    """Send the request, follow redirects on the same host, and return the response. The stack closes the connection."""
    address = job.address
    for _ in range(MOST_REDIRECTS + 1):
        response = _request(job, address, stack)
        if response.status not in REDIRECTS:
            return response
        job.status = response.status
        address = _redirected(job, address, response.headers.get("Location", ""))
    message = f"the source redirected more than {MOST_REDIRECTS} times: see the runbook"
    raise FeedRefused("redirect", message)


def _request(job: Job, address: Address, stack: ExitStack) -> HTTPResponse:
    busting = f"_={time.time_ns()}"  # the CDN in front keeps copies, whatever Cache-Control says
    query = f"{address.query}&{busting}" if address.query else busting
    with _network(job):
        connection = _connected(job, address, stack)
        stack.callback(connection.close)
        connection.request("GET", f"{address.path}?{query}", headers=_headers(job))
        response = connection.getresponse()
        stack.callback(response.close)
    return response


def _headers(job: Job) -> dict[str, str]:
    own = {
        "Accept-Encoding": "gzip, identity",
        "Connection": "close",
        "Cache-Control": "no-cache",
        "Pragma": "no-cache",
    }
    if job.seen is not None and job.seen.etag:
        own["If-None-Match"] = job.seen.etag
    if job.seen is not None and job.seen.last_modified:
        own["If-Modified-Since"] = job.seen.last_modified
    taken = {name.lower() for name in own}
    given = job.settings.copart_headers.items()
    return {name: value.reveal() for name, value in given if name.lower() not in taken} | own


def _redirected(job: Job, address: Address, location: str) -> Address:
    """Return the target of a redirect. Raises FeedRefused for another host, and for a path to a login."""
    from urllib.parse import urljoin

    try:
        found = parse_address(urljoin(address.origin + address.path, location)) if location else "names no place"
    except ValueError:
        found = "cannot be read"
    if not isinstance(found, Address):
        reason, message = "redirect", "the source redirected to an address that is not to be used"
    elif not _is_same_host(address, found):
        where = redact(found.origin[:100], job.settings)
        reason, message = "redirect", f"the source redirected to another place ({where}): the key is not sent there"
    elif any(word in found.path.lower() for word in ("login", "signin", "sign-in")):
        reason, message = "login", "the source redirected to a login page: the key is no longer accepted"
    else:
        return found
    raise FeedRefused(reason, f"{message}; check COPART_CSV_URL and the account, see the runbook")


def _is_same_host(one: Address, other: Address) -> bool:
    if one.host != other.host:
        return False
    return (one.scheme, one.port) == (other.scheme, other.port) or (one.scheme, other.scheme) == ("http", "https")


def status_error(response: HTTPResponse) -> NotLoaded:
    """Return the error that a status other than 200 means."""
    status, wait = response.status, _retry_after(response)
    asked = f" and asks to wait {wait:.0f} s" if wait else ""
    if status in (401, 403):
        message = f"the source refused the request (status {status}): check the account, then COPART_CSV_URL"
        return FeedRefused("denied", message)
    if status == 429:
        message = f"the source refused the request: too many requests (status 429){asked}: run less often"
        return FeedRefused("rate_limited", message, is_transient=True, retry_after=wait)
    if status in (404, 410):
        message = f"the source has no such file (status {status}): check the path in COPART_CSV_URL"
        return FetchFailed("not_found", message)
    if status in TRANSIENT:
        message = f"the source reports an error (status {status}){asked}: {AGAIN}"
        return FetchFailed("server_error", message, is_transient=True, retry_after=wait)
    return FetchFailed("status", f"the source answered with status {status}: see the runbook")


def _retry_after(response: HTTPResponse) -> float | None:
    """Return the seconds that the source asks to wait; None without a Retry-After, or one in the past."""
    from email.utils import parsedate_to_datetime

    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError):
        return None
    seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return seconds if seconds > 0 else None


def validator(job: Job, response: HTTPResponse, name: str) -> str | None:
    """Return a header of the response that can be sent back and holds no secret; else None."""
    text: str = response.headers.get(name, "").strip()
    return text if can_be_sent(text) and redact(text, job.settings) == text else None


def can_be_sent(text: object) -> bool:
    """Tell whether this is a valid value of a request header."""
    return isinstance(text, str) and 0 < len(text) <= 200 and text.isascii() and text.isprintable()


def content(job: Job, response: HTTPResponse) -> Iterator[bytes]:
    """Yield the file in pieces of limited size, decompressed if need be. Raises NotLoaded unless it is complete."""
    return _decoded(_wire(job, response), response.headers.get("Content-Encoding", ""))


def _wire(job: Job, response: HTTPResponse) -> Iterator[bytes]:
    """Yield the body as it comes. Raises NotLoaded unless it is complete."""
    whole = response.length or 0  # of the bytes sent, compressed or not; None in an answer in chunks
    while True:
        with _network(job):
            data = response.read(CHUNK_BYTES)
        job.check_time()
        if not data:
            break
        job.wire_bytes += len(data)
        job.progress(job.wire_bytes, whole)
        yield data
    if job.wire_bytes < whole:
        raise _truncated(f"{job.wire_bytes} of {whole} bytes came")


def _decoded(wire: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Yield the content in pieces of limited size. Raises NotLoaded for what cannot be decompressed."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        yield from wire
    elif encoding in ("gzip", "x-gzip"):
        try:
            yield from gunzipped(wire)
        except Damaged as damage:
            raise _truncated(str(damage)) from None
    else:
        raise FetchFailed("encoding", "the source sent a compression that was not asked for: see the runbook")


class Damaged(Exception):  # noqa: N818
    """Compressed data is not what gzip writes. Raised by `gunzipped`; the message says in what way."""


def gunzipped(wire: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the content of gzip's data in pieces of limited size, which may be empty. Raises Damaged."""
    inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
    for data in wire:
        out = b""
        while data or (len(out) == INFLATED_BYTES and not inflater.eof):  # more may wait inside
            if inflater.eof:  # a gzip file may have several members
                inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
            try:
                out = inflater.decompress(data, INFLATED_BYTES)
            except zlib.error:
                raise Damaged("the compressed data is damaged") from None
            yield out
            data = inflater.unconsumed_tail or inflater.unused_data
    if not inflater.eof:
        raise Damaged("the compressed data has no end")


def _truncated(detail: str) -> FeedRefused:
    return FeedRefused("truncated", f"the file was cut short on its way ({detail}): {AGAIN}", is_transient=True)


@contextmanager
def _network(job: Job) -> Iterator[None]:
    """Turn errors of the network into NotLoaded, without quoting what they quote."""
    from http.client import HTTPException

    try:
        yield
    except (OSError, HTTPException) as error:
        job.check_time()  # a connection that was cut at the deadline looks like any other that broke
        raise _network_error(job.address.host, error) from None


def _network_error(host: str, error: Exception) -> NotLoaded:
    from http.client import HTTPException, IncompleteRead
    from ssl import SSLCertVerificationError

    if isinstance(error, SSLCertVerificationError):
        message = f"the certificate of {host} is not to be trusted ({error.verify_message}): check host and clock"
        return FetchFailed("tls", message)
    if isinstance(error, IncompleteRead):
        return _truncated("the connection ended before the file did")
    if isinstance(error, TimeoutError):
        return FetchFailed("timeout", f"{host} was silent for too long: {AGAIN}", is_transient=True)
    if isinstance(error, HTTPException) and not isinstance(error, OSError):
        message = f"the answer of {host} is not HTTP ({type(error).__name__}): {AGAIN}"
    else:
        what = getattr(error, "strerror", None) or type(error).__name__
        message = f"the connection to {host} failed ({what}): {AGAIN}"
    return FetchFailed("network", message, is_transient=True)


def _connected(job: Job, address: Address, stack: ExitStack) -> HTTPConnection:
    """Connect within the limit and return a connection that is shut down at the deadline."""
    from http.client import HTTPConnection, HTTPSConnection

    limit = min(time.monotonic() + job.settings.fetch_connect_seconds, job.deadline)
    plain = stack.enter_context(_socket(address, limit))
    connection: HTTPConnection
    if address.scheme == "https":
        import ssl

        context = ssl.create_default_context()
        secured = context.wrap_socket(plain, server_hostname=address.host, do_handshake_on_connect=False)
        stack.enter_context(secured)
        with _cut_at(secured, limit):
            secured.do_handshake()
        plain = secured
        connection = HTTPSConnection(address.host, address.port, context=context)
    else:
        connection = HTTPConnection(address.host, address.port)
    plain.settimeout(job.idle)
    stack.enter_context(_cut_at(plain, job.deadline))
    connection.sock = plain
    return connection


def _socket(address: Address, limit: float) -> socket.socket:
    """Return a socket connected to one of the host's addresses. Raises OSError."""
    found = _resolved(address, limit)
    failure: OSError = TimeoutError("timed out")
    for number, (family, where) in enumerate(found):
        left = limit - time.monotonic()
        if left <= 0:
            break
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(left / (len(found) - number))  # one silent address leaves time for the next
            sock.connect(where)
            sock.settimeout(max(0.1, limit - time.monotonic()))
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure


def _resolved(address: Address, limit: float) -> list[tuple[int, Any]]:
    """Return the addresses of the host. In a thread, as the resolver has no time limit. Raises OSError."""
    found: list[tuple[int, Any]] = []
    failures: list[OSError] = []

    def work() -> None:
        try:
            infos = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        except UnicodeError:
            failures.append(OSError(0, "no name of a host"))
        except OSError as error:
            failures.append(error)
        else:
            found.extend((info[0], info[4]) for info in infos)

    thread = threading.Thread(target=work, name="resolve", daemon=True)
    thread.start()
    thread.join(max(0.0, limit - time.monotonic()))
    if failures:
        raise failures[0]
    if not found:
        raise TimeoutError("timed out")
    if address.scheme == "http" and not all(is_loopback(where[0]) for _, where in found):
        raise OSError(0, "the name means another machine, and http is for this one only")
    return found


@contextmanager
def _cut_at(sock: socket.socket, moment: float) -> Iterator[None]:
    """Shuts a socket down at a given time: no slow body, handshake or header keeps a read waiting beyond it."""

    def cut() -> None:
        with suppress(OSError):
            # The method of the plain socket: that of a TLS socket takes the encryption off a reader at work.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, moment - time.monotonic()), cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
