"""The feed file, from COPART_CSV_URL to the incoming folder: brought here whole and worth reading, or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import random
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from etl.errors import FeedRefused, FetchFailed
from etl.fetch.address import Address, parse_address
from etl.fetch.download import (
    Job,
    Progress,
    Seen,
    Stop,
    Trouble,
    ask,
    can_be_sent,
    content,
    silent,
    status_trouble,
    validator,
)
from etl.read.file import FeedFile
from vinops import disk
from vinops.logs import pairs, redact

if TYPE_CHECKING:
    from vinops.config import Settings

log = logging.getLogger("etl")

INCOMING = "incoming"
STATE = Path("state") / "fetch.json"
MOST_BYTES = 2 << 30  # the feed has 90 MB; a source that never ends must not fill the disk
LONGEST_BACKOFF = 30.0
COPIED_BYTES = 1 << 20
KEPT_SECONDS = 86_400.0  # how long the files of `python -m etl fetch` stay


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A file that was brought here: complete, with a header that fits and enough rows. `fetched_at` is in UTC."""

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
    """Bring the feed here, or return None if the source says that it is the file whose sha256 is `have`.

    The file lies at `incoming/NAME-….csv` in the data folder and is the caller's to remove. `progress` is told the
    bytes that came and all of them (0: unknown). Raises FeedRefused for what is no feed, FetchFailed for what did not
    come; neither shows the key nor leaves a file. If the process dies a locked `*.part` is left at most, which the
    next call removes.
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
        progress(1, 1)  # the end of the bar, also of one that stopped half-way
    _tell(job, result, time.monotonic() - began)
    if isinstance(result, Trouble):
        raise result.error()
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
    """Keep what the source said about a file that the tables now hold. Call it under the lock of the feed.

    Replaced as a whole: if the process dies in here the old notes stay. Raises OSError.
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
    """Return what is known of the file `have`; None if that is another file, another feed, or cannot be read."""
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
                f"the request header {name} holds a sign that cannot be sent: mend COPART_CSV_HEADERS, "
                "COPART_CSV_USER_AGENT or COPART_CSV_REFERER",
            )


def _attempts(job: Job, name: str, sleep: Callable[[float], None]) -> Fetched | Trouble | None:
    attempts = job.settings.fetch_attempts
    for attempt in range(1, attempts + 1):
        result = _attempt(job, name)
        if not isinstance(result, Trouble) or not result.is_passing or attempt == attempts:
            break
        wait = max(result.wait or 0.0, _backoff(attempt, job.settings.fetch_total_seconds))
        if time.monotonic() + wait >= job.deadline:
            break  # the next attempt would not fit into the limit, or the source asked for more patience than that
        log.warning("fetch: attempt %d of %d: %s", attempt, attempts, pairs(reason=result.reason, wait=f"{wait:.1f}"))
        sleep(wait)
    return result


def _backoff(attempt: int, total: float) -> float:
    """Return the seconds before the next attempt: doubled each time, and spread so that clients do not march."""
    base = min(1.0, total / 100)
    return float(min(LONGEST_BACKOFF, base * 2 ** min(attempt, 10)) * random.uniform(0.5, 1.0))


def _attempt(job: Job, name: str) -> Fetched | Trouble | None:
    job.status = job.wire_bytes = 0
    folder = job.settings.data_dir / INCOMING
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        with Part(folder, name) as part:
            return _copy(job, part) if job.address.scheme == "file" else _download(job, part)
    except Stop as stop:
        return stop.trouble
    except FeedRefused as refusal:
        return Trouble(reason=refusal.reason, message=redact(str(refusal), job.settings), is_refusal=True)
    except OSError as error:  # those of the network are a Stop: this is the disk
        return Trouble(reason="disk", message=disk.explain(error, folder))


def _copy(job: Job, part: Part) -> Fetched:
    path = Path(job.address.path)
    at = datetime.now(UTC)
    try:
        if not path.is_file():
            raise Stop(Trouble(reason="not_found", message="the file that COPART_CSV_URL names is not there"))
        whole = path.stat().st_size
        original = path.open("rb")
    except OSError as error:
        message = f"the file that COPART_CSV_URL names cannot be read ({error.strerror})"
        raise Stop(Trouble(reason="not_readable", message=message)) from None
    with original:
        while data := original.read(COPIED_BYTES):
            part.write(data)
            job.wire_bytes += len(data)
            job.progress(job.wire_bytes, whole)
            job.check_time()
    return _accepted(job, part, Fetched(path=part.path, bytes=part.bytes, sha256=part.sha256, fetched_at=at))


def _download(job: Job, part: Part) -> Fetched | None:
    with ExitStack() as stack:
        response = ask(job, stack)
        at = datetime.now(UTC)
        job.status = response.status
        if response.status == 304 and job.seen is not None:
            return None
        if response.status != 200:
            raise Stop(status_trouble(response))
        for data in content(job, response):
            part.write(data)
        etag, modified = (validator(job, response, name) for name in ("ETag", "Last-Modified"))
    fetched = Fetched(
        path=part.path, bytes=part.bytes, sha256=part.sha256, fetched_at=at, etag=etag, last_modified=modified
    )
    return _accepted(job, part, fetched)


def _accepted(job: Job, part: Part, fetched: Fetched) -> Fetched:
    """Give the file its name if it is a feed with enough rows. Raises FeedRefused."""
    part.flush()
    FeedFile(part.path)
    rows = part.lines - 1
    if rows < 1:
        raise FeedRefused("empty", "the file holds a header and no row: the source sent nothing; fetch it again")
    least = job.settings.feed_min_rows
    if rows < least:
        raise FeedRefused(
            "short",
            f"the file has {rows} rows, fewer than VINOPS_FEED_MIN_ROWS={least}: it is incomplete",
        )
    return Fetched(**{**asdict(fetched), "path": part.keep()})


def _tell(job: Job, result: Fetched | Trouble | None, seconds: float) -> None:
    """Write the one line of this fetch, whatever its end."""
    values: dict[str, Any] = {"status": job.status, "bytes": job.wire_bytes, "seconds": f"{seconds:.2f}"}
    if isinstance(result, Trouble):
        word, values["reason"] = "refused" if result.is_refusal else "failed", result.reason
    else:
        word = "unchanged" if result is None else "done"
    level = logging.WARNING if isinstance(result, Trouble) else logging.INFO
    log.log(level, "fetch %s: CSV_URL=%s %s", word, redact(job.address.masked, job.settings), pairs(**values))


class Part:
    """The file in work, removed at the end of the block unless it was kept.

    Its lock tells every process whether its writer lives: one without is a leftover.
    """

    def __init__(self, folder: Path, name: str) -> None:
        """Make a file of its own in the folder. Raises OSError."""
        while True:
            descriptor, path = tempfile.mkstemp(prefix=f"{name}-", suffix=".part", dir=folder)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                break
            os.close(descriptor)  # taken for a leftover in the moment before it was locked
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
        """Add to the file. Raises OSError, and Stop for more than any feed has."""
        self.bytes += len(data)
        if self.bytes > MOST_BYTES:
            message = f"more than {MOST_BYTES >> 30} GB came, and no end: this is no feed"
            raise Stop(Trouble(reason="too_large", message=message, is_refusal=True))
        self._file.write(data)
        self._sum.update(data)
        self.lines += data.count(b"\n")

    def flush(self) -> None:
        """Let readers see everything. Raises OSError."""
        self._file.flush()

    def keep(self) -> Path:
        """Give the file its final name and return that; `flush` came before. Raises OSError."""
        path = self.path.with_suffix(".csv")
        self.path.replace(path)  # under the lock, so that nobody takes it for a leftover
        self._is_kept = True
        return path


def _sweep(folder: Path) -> None:
    """Remove what killed fetches left, and old files that nobody came for."""
    for path in folder.glob("*.part"):
        with suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while its writer lives
            path.unlink()
    for path in folder.glob("*.csv"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > KEPT_SECONDS:
                path.unlink()
