"""Photos of ads: fetched once from the site of the ad, decoded, made smaller, and kept on disk under a cap.

A photo is asked for by ad and number; its address comes from the database, and its host has to be on a list. What is
kept and shown is always a picture that was decoded and encoded again.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import logging
import socket
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from vinops import politeness
from vinops.logs import pairs
from vinops.network import is_loopback
from web.photos.errors import PhotoError
from web.photos.making import Making

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from psycopg_pool import AsyncConnectionPool

    from vinops.config import Settings
    from web.photos.cache import Cache
    from web.photos.maker import Maker

SIZES: Final = {"small": 480, "large": 1600}
"""The longest side of each size, in pixels."""
MOST_BYTES: Final = 12_000_000
FETCH_SECONDS: Final = 15.0
LONGEST_WAIT: Final = 20.0  # for a place in the host's budget
MOST_WAITING: Final = 60
ABSENT: Final = {"absent": 3600.0, "damaged": 60.0}
"""For how many seconds a host is not asked again for a photo that it does not have, or did not send."""
REFUSALS: Final = {403: "forbidden", 429: "too_many", 503: "unavailable"}

log = logging.getLogger("web.photos")


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


class AdPhotos:
    """The photos of ads."""

    def __init__(self, settings: Settings, cache: Cache, maker: Maker) -> None:
        self._settings = settings
        self._cache = cache
        self._maker = maker
        self._pace = politeness.pace(settings.pace)
        self._making = Making(most=MOST_WAITING, absent=ABSENT)

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
                self._making.cancel()

    async def photo(self, url: str, size: str) -> tuple[str, bytes]:
        """Return ETag and content of a photo, a WebP. Raises PhotoError, and psycopg's errors."""
        name = f"{hashlib.sha256(url.encode('utf-8', 'surrogatepass')).hexdigest()}-{size}"
        if (kept := await asyncio.to_thread(self._cache.read, name)) is not None:
            return name, kept
        self.check(url)
        made = await self._making.make(url, lambda: self._make(url, name.partition("-")[0]))
        return name, made[name]

    def check(self, url: str) -> None:
        """Raise PhotoError unless an address may be asked for."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise PhotoError("absent", "its address is none") from None
        own = urlsplit(self._settings.mobile_bg_url)
        if is_loopback(own.netloc) and parts.scheme == "http" and parts.netloc == own.netloc:
            return  # the stand-in
        allowed = any(host == name or host.endswith(f".{name}") for name in self._settings.mobile_bg_image_hosts)
        if parts.scheme != "https" or port not in (None, 443) or "@" in parts.netloc or not allowed:
            raise PhotoError("absent", "its address is on no host of MOBILE_BG_IMAGE_HOSTS")

    async def _make(self, url: str, name: str) -> dict[str, bytes]:
        """Fetch a photo, and keep and return it in all sizes."""
        body = await self._fetch(url)
        sizes = sorted(SIZES, key=lambda size: -SIZES[size])
        pictures = await self._maker.make(body, [SIZES[size] for size in sizes])
        made = {f"{name}-{size}": picture for size, picture in zip(sizes, pictures, strict=True)}
        for each, content in made.items():
            await asyncio.to_thread(self._cache.write, each, content)
        return made

    async def _fetch(self, url: str) -> bytes:
        """Return the bytes at an address, in the host's turn. Raises PhotoError. No redirect is followed."""
        host = urlsplit(url).netloc
        try:
            place = await self._budgets.place(host, self._pace.image_gap)
        except (politeness.BreakerOpen, politeness.DailyCapReached) as error:
            raise PhotoError("away", str(error)) from None
        if place.seconds > LONGEST_WAIT:
            raise PhotoError("away", f"{host} is asked no earlier than in {place.seconds:.0f} s")
        await self._departures.leave(host, place.seconds, self._pace.image_gap)
        try:
            async with self._http.get(url, allow_redirects=False) as answer:
                if answer.status in REFUSALS:
                    await self._refused(host, answer)
                if answer.status != 200:
                    raise PhotoError("absent", f"{host} answered {answer.status}")
                if (answer.content_length or 0) > MOST_BYTES:
                    raise PhotoError("damaged", f"it has more than {MOST_BYTES} bytes")
                body = bytearray()
                async for chunk in answer.content.iter_chunked(65_536):
                    body += chunk
                    if len(body) > MOST_BYTES:
                        raise PhotoError("damaged", f"it has more than {MOST_BYTES} bytes")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise PhotoError("damaged", f"{host} did not answer ({type(error).__name__})") from None
        await self._budgets.succeeded(host)
        return bytes(body)

    async def _refused(self, host: str, answer: aiohttp.ClientResponse) -> None:
        kind = REFUSALS[answer.status]
        if (seconds := politeness.retry_after(answer.headers.get("Retry-After"), datetime.now(UTC))) is not None:
            await self._budgets.postpone(host, seconds)
        until = await self._budgets.refused(host, kind)
        log.warning("the host of photos refused %s", pairs(host=host, status=answer.status, until=until))
        raise PhotoError("away", f"{host} refused ({kind})")
