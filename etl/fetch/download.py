"""One request for the feed: what is sent, what is taken, and how long is waited for it.

An error of the network may quote what was sent, and that holds the key. Errors below are therefore turned into
`Trouble`, a value, that the caller raises where no other exception is in work: none hangs on as context.
"""

from __future__ import annotations

import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from etl.errors import FeedRefused, FetchFailed
from etl.fetch.address import Address, parse_address
from vinops.logs import redact
from vinops.network import is_loopback

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPResponse

    from vinops.config import Settings

Progress = Callable[[int, int], None]

CHUNK_BYTES = 1 << 16
INFLATED_BYTES = 1 << 20  # what one step of the decompression may give, whatever went in
MOST_REDIRECTS = 3
IDLE_SECONDS = 60.0  # the longest silence within an attempt; a real download takes up to 90 s in all
REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Besides the usual ones those with which the CDN in front says that it did not reach the source.
PASSING = frozenset({408, 500, 502, 503, 504, 520, 521, 522, 523, 524})
AGAIN = "it is tried again at the next run; if it stays, see the runbook"


def silent(_done: int, _whole: int) -> None:
    """Show no progress."""


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Why an attempt came to nothing. A refusal is about what the source gave, the rest about getting there."""

    reason: str
    message: str
    is_refusal: bool = False
    is_passing: bool = False
    """Whether another attempt may help."""
    wait: float | None = None
    """The seconds that the source asked to wait before it."""

    def error(self) -> FeedRefused | FetchFailed:
        """Return the exception to raise."""
        return (FeedRefused if self.is_refusal else FetchFailed)(self.reason, self.message)


class Stop(Exception):  # noqa: N818 # ends an attempt; fetch.py answers it
    """Carries a Trouble up to where the attempt began."""

    def __init__(self, trouble: Trouble) -> None:
        """Stop with that."""
        super().__init__(trouble.reason)
        self.trouble = trouble


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the source said about the file that was loaded last, kept in state/fetch.json."""

    source: str
    sha256: str
    etag: str | None = None
    last_modified: str | None = None


@dataclass(kw_only=True)
class Job:
    """One fetch: what it needs all along, and what its line in the log says at the end. Times are monotonic."""

    settings: Settings
    address: Address
    seen: Seen | None
    deadline: float
    progress: Progress
    status: int = 0
    wire_bytes: int = 0

    @property
    def idle(self) -> float:
        """The longest silence in seconds, so that another attempt still fits into the whole."""
        return min(IDLE_SECONDS, self.settings.fetch_total_seconds / self.settings.fetch_attempts)

    def check_time(self) -> None:
        """Raise Stop if the time is over."""
        if time.monotonic() >= self.deadline:
            raise Stop(self.out_of_time())

    def out_of_time(self) -> Trouble:
        """Return the trouble of having no time left."""
        limit = self.settings.fetch_total_seconds
        return Trouble(
            reason="timeout",
            message=f"the feed did not arrive within {limit:g} s ({self.wire_bytes} bytes came): {AGAIN}; "
            "VINOPS_FETCH_TOTAL_SECONDS sets the limit",
        )


def ask(job: Job, stack: ExitStack) -> HTTPResponse:
    """Ask the source, and whom it redirects to on the same host. The connection lives as long as the stack."""
    address = job.address
    for _ in range(MOST_REDIRECTS + 1):
        response = _request(job, address, stack)
        if response.status not in REDIRECTS:
            return response
        job.status = response.status
        address = _redirected(job, address, response.headers.get("Location", ""))
    message = f"the source redirected more than {MOST_REDIRECTS} times: see the runbook"
    raise Stop(Trouble(reason="redirect", message=message, is_refusal=True))


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
    """Return where to go on. Raises Stop unless that is the same host, by a path that is no login."""
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
        reason, message = "login", "the source redirected to a login page: the key is not accepted any more"
    else:
        return found
    message += "; check COPART_CSV_URL and the account, see the runbook"
    raise Stop(Trouble(reason=reason, message=message, is_refusal=True))


def _is_same_host(one: Address, other: Address) -> bool:
    if one.host != other.host:
        return False
    return (one.scheme, one.port) == (other.scheme, other.port) or (one.scheme, other.scheme) == ("http", "https")


def status_trouble(response: HTTPResponse) -> Trouble:
    """Return what an answer that is no file means."""
    status, wait = response.status, _retry_after(response)
    asked = f" and asks to wait {wait:.0f} s" if wait else ""
    if status in (401, 403):
        message = f"the source refused the request (status {status}): check the account, then COPART_CSV_URL"
        return Trouble(reason="denied", message=message, is_refusal=True)
    if status == 429:
        message = f"the source says that it is asked too often (status 429){asked}: run less often"
        return Trouble(reason="rate_limited", message=message, is_refusal=True, is_passing=True, wait=wait)
    if status in (404, 410):
        message = f"the source has no such file (status {status}): check the path in COPART_CSV_URL"
        return Trouble(reason="not_found", message=message)
    if status in PASSING:
        message = f"the source is out of order (status {status}){asked}: {AGAIN}"
        return Trouble(reason="server_error", message=message, is_passing=True, wait=wait)
    return Trouble(reason="status", message=f"the source answered with status {status}: see the runbook")


def _retry_after(response: HTTPResponse) -> float | None:
    """Return the seconds that the source asks to wait; None if it does not say, or a moment that is over."""
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
    """Return a header that can be sent back as it is and shows no secret."""
    text: str = response.headers.get(name, "").strip()
    return text if can_be_sent(text) and redact(text, job.settings) == text else None


def can_be_sent(text: object) -> bool:
    """Tell whether this is the value of a request header."""
    return isinstance(text, str) and 0 < len(text) <= 200 and text.isascii() and text.isprintable()


def content(job: Job, response: HTTPResponse) -> Iterator[bytes]:
    """Yield the file in pieces of limited size, decompressed if need be. Raises Stop unless all of it comes."""
    return _decoded(_wire(job, response), response.headers.get("Content-Encoding", ""))


def _wire(job: Job, response: HTTPResponse) -> Iterator[bytes]:
    """Yield the body as it comes. Raises Stop if the end of it does not."""
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
        raise Stop(_truncated(f"{job.wire_bytes} of {whole} bytes came"))


def _decoded(wire: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Yield the content in pieces of limited size. Raises Stop for what cannot be decoded."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        yield from wire
    elif encoding in ("gzip", "x-gzip"):
        yield from _gunzipped(wire)
    else:
        raise Stop(Trouble(reason="encoding", message="the source sent a compression that was not asked for"))


def _gunzipped(wire: Iterable[bytes]) -> Iterator[bytes]:
    inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
    for data in wire:
        out = b""
        while data or (len(out) == INFLATED_BYTES and not inflater.eof):  # more may wait inside
            if inflater.eof:  # a gzip file may have several members
                inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
            try:
                out = inflater.decompress(data, INFLATED_BYTES)
            except zlib.error:
                raise Stop(_truncated("the compressed data is damaged")) from None
            yield out
            data = inflater.unconsumed_tail or inflater.unused_data
    if not inflater.eof:
        raise Stop(_truncated("the compressed data has no end"))


def _truncated(detail: str) -> Trouble:
    message = f"the file was cut short on its way ({detail}): {AGAIN}"
    return Trouble(reason="truncated", message=message, is_refusal=True, is_passing=True)


@contextmanager
def _network(job: Job) -> Iterator[None]:
    """Turn the errors of the network into a Stop, without quoting what they quote."""
    from http.client import HTTPException

    try:
        yield
    except (OSError, HTTPException) as error:
        job.check_time()  # a connection that was cut at the deadline looks like any other that broke
        raise Stop(_network_trouble(job, error)) from None


def _network_trouble(job: Job, error: Exception) -> Trouble:
    from http.client import HTTPException, IncompleteRead
    from ssl import SSLCertVerificationError

    host = job.address.host
    if isinstance(error, SSLCertVerificationError):
        message = f"the certificate of {host} is not to be trusted ({error.verify_message}): check host and clock"
        return Trouble(reason="tls", message=message)
    if isinstance(error, IncompleteRead):
        return _truncated("the connection ended before the file did")
    if isinstance(error, TimeoutError):
        message = f"{host} was silent for too long: {AGAIN}"
        return Trouble(reason="timeout", message=message, is_passing=True)
    if isinstance(error, HTTPException) and not isinstance(error, OSError):
        message = f"the answer of {host} is no HTTP ({type(error).__name__}): {AGAIN}"
        return Trouble(reason="network", message=message, is_passing=True)
    what = getattr(error, "strerror", None) or type(error).__name__
    return Trouble(reason="network", message=f"the connection to {host} failed ({what}): {AGAIN}", is_passing=True)


def _connected(job: Job, address: Address, stack: ExitStack) -> HTTPConnection:
    """Connect within the limit and return a connection that is cut at the deadline, whatever is being waited for."""
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
    """Return the addresses of the host. In a thread: the resolver knows no time limit. Raises OSError."""
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
    """Shut a socket down at a moment, so that no wait outlasts it: not for a drip, a handshake or a header."""

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
