"""The feed file from COPART_CSV_URL in the incoming folder: complete, with a header that fits, or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from etl.errors import FeedRefused, FetchFailed, NotLoaded
from etl.fetch.address import Address, parse_address
from etl.fetch.download import (
    GZIP,
    Damaged,
    Job,
    Seen,
    ask,
    can_be_sent,
    content,
    gunzipped,
    status_error,
    validator,
)
from etl.progress import Progress, silent
from etl.read.file import FeedFile
from etl.store.places import INCOMING
from vinops import disk
from vinops.logs import pairs, redact

if TYPE_CHECKING:
    from io import BufferedReader

    from vinops.config import Settings

log = logging.getLogger("etl")

STATE = Path("state") / "fetch.json"
MOST_BYTES = 2 << 30  # the feed has 90 MB; a source that never ends must not fill the disk
LONGEST_BACKOFF = 30.0
COPIED_BYTES = 1 << 20
KEPT_SECONDS = 86_400.0  # how long the files of `python -m etl fetch` stay


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A fetched file: complete, with a header that fits and enough rows. `fetched_at` is in UTC."""

    path: Path
    bytes: int
    sha256: str
    fetched_at: datetime
    etag: str | None = None
    last_modified: str | None = None


def fetch(
    settings: Settings,
    *,
    have: str | None = None,
    name: str = "fetch",
    progress: Progress = silent,
    sleep: Callable[[float], None] = time.sleep,
) -> Fetched | None:
    """Fetch the feed; return None if the source says that it is still the file whose sha256 is `have`.

    The file is `incoming/NAME-….csv` in the data folder; the caller removes it. `progress` gets the bytes received and
    the size (0: unknown). Raises FeedRefused if that is not a feed or the source refuses, FetchFailed if it cannot be
    fetched; neither shows the key or leaves a file. A process that dies leaves at most a `*.part` without a lock, which
    the next call removes.
    """
    address = source(settings)
    began = time.monotonic()
    job = Job(
        settings=settings,
        address=address,
        seen=_seen(settings, address, have),
        deadline=began + settings.fetch_total_seconds,
        progress=progress,
    )
    try:
        result = _attempts(job, name, sleep)
    finally:
        progress(1, 1)  # the bar ends, also of a fetch that failed half-way
    _log(job, result, time.monotonic() - began)
    if isinstance(result, NotLoaded):
        raise result
    return result


def source(settings: Settings) -> Address:
    """Return the address of the feed. Raises FetchFailed if it is not set or cannot be used, before any connection."""
    problem = "is not set: put the address of the member feed there (see .env.example)"
    if settings.copart_csv_url is not None:
        found = parse_address(settings.copart_csv_url.reveal())
        if isinstance(found, Address):
            _check_headers(settings)
            return found
        problem = found
    raise FetchFailed("setting", f"COPART_CSV_URL {problem}")


def remember(settings: Settings, fetched: Fetched) -> None:
    """Keep the validators of a file that was loaded, for the next request. Call it under the lock of the feed.

    The file is replaced as a whole: if the process dies here the old one stays. Raises OSError.
    """
    seen = Seen(
        source=source(settings).source,
        sha256=fetched.sha256,
        etag=fetched.etag,
        last_modified=fetched.last_modified,
    )
    path = settings.data_dir / STATE
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".json.part")
    part.write_text(json.dumps(asdict(seen)), encoding="utf-8")
    part.replace(path)


def _seen(settings: Settings, address: Address, have: str | None) -> Seen | None:
    """Return the validators of the file `have`; None if those kept are of another file or feed, or unreadable."""
    try:
        seen = Seen(**json.loads((settings.data_dir / STATE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    is_sound = all(value is None or can_be_sent(value) for value in (seen.etag, seen.last_modified))
    return seen if have is not None and is_sound and (seen.sha256, seen.source) == (have, address.source) else None


def _check_headers(settings: Settings) -> None:
    for name, value in settings.copart_headers.items():
        text = value.reveal()
        if not text.isascii() or not text.isprintable():
            raise FetchFailed(
                "setting",
                f"the request header {name} holds a character that cannot be sent: correct COPART_CSV_HEADERS, "
                "COPART_CSV_USER_AGENT or COPART_CSV_REFERER",
            )


def _attempts(job: Job, name: str, sleep: Callable[[float], None]) -> Fetched | NotLoaded | None:
    attempts = job.settings.fetch_attempts
    for attempt in range(1, attempts + 1):
        result = _attempt(job, name)
        if not isinstance(result, NotLoaded) or not result.is_transient or attempt == attempts:
            break
        wait = max(result.retry_after or 0.0, _backoff(attempt, job.settings.fetch_total_seconds))
        if time.monotonic() + wait >= job.deadline:
            break  # no time is left for another attempt, or the source asked for a longer wait than that
        log.warning("fetch: attempt %d of %d: %s", attempt, attempts, pairs(reason=result.reason, wait=f"{wait:.1f}"))
        sleep(wait)
    return result


def _backoff(attempt: int, total: float) -> float:
    """Return the seconds before the next attempt: exponential, with jitter."""
    base = min(1.0, total / 100)
    return float(min(LONGEST_BACKOFF, base * 2 ** min(attempt, 10)) * random.uniform(0.5, 1.0))


def _attempt(job: Job, name: str) -> Fetched | NotLoaded | None:
    """Fetch once. An error is returned as a new one, which has no context that may quote the key, and is redacted."""
    job.status = job.wire_bytes = 0
    folder = job.settings.data_dir / INCOMING
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder)
        with Part(folder, name) as part:
            return _copy(job, part) if job.address.scheme == "file" else _download(job, part)
    except NotLoaded as error:
        message = redact(str(error), job.settings)
        return type(error)(error.reason, message, is_transient=error.is_transient, retry_after=error.retry_after)
    except OSError as error:  # those of the network are FetchFailed: this is the disk
        return FetchFailed("disk", disk.explain(error, folder))


def _copy(job: Job, part: Part) -> Fetched:
    path = Path(job.address.path)
    at = datetime.now(UTC)
    try:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "is not a file" if path.exists() else "is not there"
            raise FetchFailed("not_found", f"what COPART_CSV_URL names {what}: check the path, or write the file there")
        whole = path.stat().st_size
        original = path.open("rb")
    except OSError as error:
        message = f"the file that COPART_CSV_URL names cannot be read ({error.strerror}): give this user the right to"
        raise FetchFailed("not_readable", message) from None
    with original:
        pieces = _pieces(job, original, whole)
        is_gzip = original.peek(len(GZIP)).startswith(GZIP)
        try:
            for data in gunzipped(pieces) if is_gzip else pieces:
                part.write(data)
        except Damaged as damage:
            raise FeedRefused("truncated", f"the file is cut short or damaged ({damage}): write it again") from None
    return _accepted(job, part, at)


def _pieces(job: Job, file: BufferedReader, whole: int) -> Iterator[bytes]:
    while data := file.read(COPIED_BYTES):
        job.wire_bytes += len(data)
        job.progress(job.wire_bytes, whole)
        job.check_time()
        yield data


def _download(job: Job, part: Part) -> Fetched | None:
    with ExitStack() as stack:
        response = ask(job, stack)
        at = datetime.now(UTC)
        job.status = response.status
        if response.status == 304 and job.seen is not None:
            return None
        if response.status != 200:
            raise status_error(response)
        for data in content(job, response):
            part.write(data)
        etag, modified = (validator(job, response, name) for name in ("ETag", "Last-Modified"))
    return _accepted(job, part, at, etag=etag, last_modified=modified)


def _accepted(
    job: Job, part: Part, at: datetime, *, etag: str | None = None, last_modified: str | None = None
) -> Fetched:
    """Give the file its name if it is a feed with enough rows. Raises FeedRefused."""
    part.flush()
    FeedFile(part.path)
    rows = part.lines - 1
    if rows < 1:
        raise FeedRefused("empty", "the file holds a header and no row: get it again")
    least = job.settings.feed_min_rows
    if rows < least:
        raise FeedRefused(
            "short",
            f"the file has {rows} rows, fewer than VINOPS_FEED_MIN_ROWS={least}: it is incomplete",
        )
    return Fetched(
        path=part.keep(),
        bytes=part.bytes,
        sha256=part.sha256,
        fetched_at=at,
        etag=etag,
        last_modified=last_modified,
    )


def _log(job: Job, result: Fetched | NotLoaded | None, seconds: float) -> None:
    """Write the one line of a fetch, however it ended."""
    values: dict[str, Any] = {"status": job.status, "bytes": job.wire_bytes, "seconds": f"{seconds:.2f}"}
    word, level = "unchanged" if result is None else "done", logging.INFO
    if isinstance(result, NotLoaded):
        word, level = result.status, logging.WARNING
        values["reason"] = result.reason
    log.log(level, "fetch %s: CSV_URL=%s %s", word, redact(job.address.masked, job.settings), pairs(**values))


class Part:
    """The file being written, removed at the end of the block unless it was kept.

    Its writer holds a lock on it: a file without one is a leftover of a process that died.
    """

    def __init__(self, folder: Path, name: str) -> None:
        """Create a new file in the folder. Raises OSError."""
        while True:
            descriptor, path = tempfile.mkstemp(prefix=f"{name}-", suffix=".part", dir=folder)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                break
            os.close(descriptor)  # removed as a leftover before it was locked
        self.path = Path(path)
        self.bytes = self.lines = 0
        self._file = os.fdopen(descriptor, "wb")
        self._sum = hashlib.sha256()
        self._is_kept = False

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close and remove the file, unless it was kept."""
        if not self._is_kept:
            self.path.unlink(missing_ok=True)
        with suppress(OSError):  # what could not be written on a full disk fails once more here
            self._file.close()

    @property
    def sha256(self) -> str:
        """The sha256 of what was written, in hexadecimal."""
        return self._sum.hexdigest()

    def write(self, data: bytes) -> None:
        """Add to the file. Raises OSError, and FeedRefused for more than any feed has."""
        self.bytes += len(data)
        if self.bytes > MOST_BYTES:
            message = f"it has more than {MOST_BYTES >> 30} GB: this is not a feed; check COPART_CSV_URL, or the file"
            raise FeedRefused("too_large", message)
        self._file.write(data)
        self._sum.update(data)
        self.lines += data.count(b"\n")

    def flush(self) -> None:
        """Write out what is buffered. Raises OSError."""
        self._file.flush()

    def keep(self) -> Path:
        """Give the flushed file its final name and return that. Raises OSError."""
        path = self.path.with_suffix(".csv")
        self.path.replace(path)  # under the lock, so that no process removes it as a leftover
        self._is_kept = True
        return path


def _remove_leftovers(folder: Path) -> None:
    """Remove what killed fetches left, and files of `python -m etl fetch` after KEPT_SECONDS."""
    for path in folder.glob("*.part"):
        with suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while its writer lives
            path.unlink()
    for path in folder.glob("*.csv"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > KEPT_SECONDS:
                path.unlink()
