"""Photos of ads: fetched once from the site of the ad, decoded, made smaller, and kept on disk under a cap.

A photo is asked for by ad and number; its address comes from the database, and its host has to be on a list. What is
kept and shown is always a picture that was decoded and encoded again here.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import ipaddress
import logging
import os
import socket
import tempfile
import threading
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from PIL import Image, ImageOps

from vinops import politeness
from vinops.logs import pairs
from vinops.network import is_loopback
from vinops_scrapy.pipelines.decoding import Decoder, Undecodable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from psycopg_pool import AsyncConnectionPool

    from vinops.config import Settings

SIZES: Final = {"small": 480, "large": 1600}
"""The longest side of each size, in pixels."""
MOST_BYTES: Final = 12_000_000
FETCH_SECONDS: Final = 15.0
LONGEST_WAIT: Final = 20.0  # for a place in the host's budget
MOST_WAITING: Final = 60
DECODERS: Final = 1
QUALITY: Final = 78
ABSENT: Final = {404: 3600.0, 502: 60.0}
"""For how many seconds a host is not asked again for a photo that it does not have, or did not send."""
MOST_ABSENT: Final = 10_000
REFUSALS: Final = {403: "forbidden", 429: "too_many", 503: "unavailable"}
FOLDER: Final = "web-photos"
KEPT: Final = 0.9  # of the cap, after files were removed

log = logging.getLogger("web.photos")


class PhotoError(Exception):
    """There is no photo to show. `status` is that of the answer: 404 not there, 502 not a photo, 503 not now."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class PublicResolver(AbstractResolver):
    """Resolves names to addresses of the public internet only: a name that someone points at a machine of ours is not
    asked."""

    def __init__(self) -> None:
        self._inner = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the public addresses of a name. Raises OSError if it has none."""
        found = await self._inner.resolve(host, port, family)
        public = [each for each in found if ipaddress.ip_address(each["host"].partition("%")[0]).is_global]
        if not public:
            raise OSError(f"{host} has no public address")
        return public

    async def close(self) -> None:
        """Close the inner one."""
        await self._inner.close()


class Photos:
    """The photos of a site. One process owns the folder of the cache."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._cache = Cache(settings.data_dir / FOLDER, settings.web_cache_mb * 1_000_000)
        self._pace = politeness.pace(settings.pace)
        self._decoder = Decoder()
        self._making: dict[str, asyncio.Task[None]] = {}
        self._absent: dict[str, tuple[float, int, str]] = {}
        self._decoding = asyncio.Semaphore(DECODERS)

    @asynccontextmanager
    async def running(self, pool: AsyncConnectionPool[Any]) -> AsyncIterator[None]:
        """Open what photos are fetched with, and close it at the end."""
        site = urlsplit(self._settings.mobile_bg_url).netloc
        resolver = None if is_loopback(site) else PublicResolver()
        self._departures = politeness.Departures()
        self._budgets = politeness.Budgets(
            pool,
            daily=self._pace.daily_cap(self._settings.daily_requests),
            refusals=self._settings.breaker_refusals,
            open_seconds=self._settings.breaker_seconds,
        )
        timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS, connect=5)
        connector = aiohttp.TCPConnector(limit=4, resolver=resolver)
        agent = {"User-Agent": self._settings.user_agent, "Accept": "image/webp,image/jpeg,image/png"}
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, headers=agent, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        ) as self._http:
            try:
                yield
            finally:
                for task in self._making.values():
                    task.cancel()

    async def photo(self, url: str, size: str) -> tuple[str, bytes]:
        """Return ETag and content of a photo, a WebP. Raises PhotoError, and psycopg's errors."""
        name = f"{hashlib.sha256(url.encode('utf-8', 'surrogatepass')).hexdigest()}-{size}"
        if (kept := await asyncio.to_thread(self._cache.read, name)) is not None:
            return name, kept
        self.check(url)
        noted_at, status, reason = self._absent.get(url, (0.0, 0, ""))
        if status and time.monotonic() - noted_at < ABSENT[status]:
            raise PhotoError(status, reason)
        if (task := self._making.get(url)) is None:
            if len(self._making) >= MOST_WAITING:
                raise PhotoError(503, "too many photos are waited for")
            task = self._making[url] = asyncio.create_task(self._make(url, name.partition("-")[0]))
            task.add_done_callback(lambda done: self._done(url, done))
        await asyncio.shield(task)
        kept = await asyncio.to_thread(self._cache.read, name)
        if kept is None:
            raise PhotoError(503, "it was made and is gone: the cache is full")
        return name, kept

    def _done(self, url: str, task: asyncio.Task[None]) -> None:
        self._making.pop(url, None)
        if not task.cancelled():
            error = task.exception()  # whoever waits raises it; nobody may wait any more
            self._absent.pop(url, None)
            if isinstance(error, PhotoError) and error.status in ABSENT:
                self._absent[url] = time.monotonic(), error.status, error.reason
                if len(self._absent) > MOST_ABSENT:
                    self._absent.pop(next(iter(self._absent)))

    def check(self, url: str) -> None:
        """Raise PhotoError unless an address may be asked for."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise PhotoError(404, "its address is none") from None
        own = urlsplit(self._settings.mobile_bg_url)
        if is_loopback(own.netloc) and parts.scheme == "http" and parts.netloc == own.netloc:
            return  # the stand-in
        allowed = any(host == name or host.endswith(f".{name}") for name in self._settings.mobile_bg_image_hosts)
        if parts.scheme != "https" or port not in (None, 443) or "@" in parts.netloc or not allowed:
            raise PhotoError(404, "its address is on no host of MOBILE_BG_IMAGE_HOSTS")

    async def _make(self, url: str, name: str) -> None:
        """Fetch a photo and keep it in all sizes."""
        body = await self._fetch(url)
        async with self._decoding:
            made = await asyncio.to_thread(_resized, self._decoder, body)
        for size, content in made.items():
            await asyncio.to_thread(self._cache.write, f"{name}-{size}", content)

    async def _fetch(self, url: str) -> bytes:
        """Return the bytes at an address, in the host's turn. Raises PhotoError. No redirect is followed."""
        host = urlsplit(url).netloc
        try:
            place = await self._budgets.place(host, self._pace.image_gap)
        except (politeness.BreakerOpen, politeness.DailyCapReached) as error:
            raise PhotoError(503, str(error)) from None
        if place.seconds > LONGEST_WAIT:
            raise PhotoError(503, f"{host} is asked no earlier than in {place.seconds:.0f} s")
        await self._departures.leave(host, place.seconds, self._pace.image_gap)
        try:
            async with self._http.get(url, allow_redirects=False) as answer:
                if answer.status in REFUSALS:
                    await self._refused(host, answer)
                if answer.status != 200:
                    raise PhotoError(404, f"{host} answered {answer.status}")
                if (answer.content_length or 0) > MOST_BYTES:
                    raise PhotoError(502, f"it has more than {MOST_BYTES} bytes")
                body = bytearray()
                async for chunk in answer.content.iter_chunked(65_536):
                    body += chunk
                    if len(body) > MOST_BYTES:
                        raise PhotoError(502, f"it has more than {MOST_BYTES} bytes")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise PhotoError(502, f"{host} did not answer ({type(error).__name__})") from None
        await self._budgets.succeeded(host)
        return bytes(body)

    async def _refused(self, host: str, answer: aiohttp.ClientResponse) -> None:
        kind = REFUSALS[answer.status]
        if (seconds := politeness.retry_after(answer.headers.get("Retry-After"), datetime.now(UTC))) is not None:
            await self._budgets.postpone(host, seconds)
        until = await self._budgets.refused(host, kind)
        log.warning("the host of photos refused %s", pairs(host=host, status=answer.status, until=until))
        raise PhotoError(503, f"{host} refused ({kind})")


def _resized(decoder: Decoder, body: bytes) -> dict[str, bytes]:
    """Return a photo in all sizes as WebP, without its metadata. Raises PhotoError for what is no photo, or costs more
    than one."""
    try:
        decoder.decode(body)
        with Image.open(io.BytesIO(body), formats=("JPEG", "PNG", "WEBP", "MPO")) as opened:
            opened.draft("RGB", (SIZES["large"], SIZES["large"]))
            picture = ImageOps.exif_transpose(opened).convert("RGB")
    except (Undecodable, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PhotoError(502, f"it is no photo: {error}") from None
    made = {}
    for size, side in sorted(SIZES.items(), key=lambda each: -each[1]):
        picture.thumbnail((side, side), reducing_gap=2.0)
        out = io.BytesIO()
        picture.save(out, "WEBP", quality=QUALITY, method=2)
        made[size] = out.getvalue()
    return made


class Cache:
    """Files on disk that never hold more than a cap: the ones unused for longest go first.

    A file is written beside its place and renamed: if the process dies, what it left is removed at the next start.
    """

    def __init__(self, folder: Path, most: int) -> None:
        """Use a folder for at most `most` bytes."""
        self._folder = folder
        self._most = most
        self._is_scanned = False
        self._total = 0
        self._lock = threading.Lock()

    def read(self, name: str) -> bytes | None:
        """Return a file, and note its use; None if there is none."""
        path = self._path(name)
        try:
            content = path.read_bytes()
            if time.time() - path.stat().st_mtime > 3600:
                os.utime(path)
        except OSError:
            return None
        return content

    def write(self, name: str, content: bytes) -> None:
        """Keep a file, after removing others for it; not if the disk is full."""
        with self._lock:
            try:
                if not self._is_scanned:
                    self._scan()
                if self._total + len(content) > self._most:
                    self._remove_oldest(int(self._most * KEPT) - len(content))
                if self._total + len(content) > self._most:
                    return
                path = self._path(name)
                path.parent.mkdir(parents=True, exist_ok=True)
                before = path.stat().st_size if path.exists() else 0
                with tempfile.NamedTemporaryFile(dir=self._folder, suffix=".part", delete=False) as part:
                    part.write(content)
                Path(part.name).replace(path)
                self._total += len(content) - before
            except OSError as error:
                log.warning("a photo was not kept %s", pairs(reason=error.strerror))

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name

    def _scan(self) -> None:
        """Remove unfinished files and add up the others."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for part in self._folder.glob("*.part"):
            part.unlink(missing_ok=True)
        self._total = sum(path.stat().st_size for path in self._folder.glob("??/*"))
        self._is_scanned = True

    def _remove_oldest(self, most: int) -> None:
        """Remove the files that were unused for longest, until at most so many bytes are left."""
        files = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in self._folder.glob("??/*"))
        self._total = sum(size for _, size, _ in files)
        for _, size, path in files:
            if self._total <= most:
                break
            path.unlink(missing_ok=True)
            self._total -= size
