"""Photos of lots made smaller when they are asked for, and kept by the hash of their content."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final

from web.photos import records
from web.photos.errors import PhotoError
from web.photos.making import Making

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from typing import Any

    from psycopg import Connection

    from web.photos.cache import Cache
    from web.photos.maker import Maker
    from web.photos.originals import Originals

SIDES: Final = (320, 640)
"""The longest sides that there are, in pixels."""
HASH: Final = re.compile(r"[0-9a-f]{64}")
MOST_WAITING: Final = 100
"""A page of 24 lots has 72, and over HTTP/2 a browser asks for all of them at once."""
MOST_AT_ONCE: Final = 8
"""Photos in memory, each as large as it is stored."""
ABSENT: Final = {"damaged": 600.0, "missing": 60.0}
"""For how many seconds a photo is not read again that is no photo, or is gone from the store: a crawl may bring it."""


class Thumbnails:
    """The thumbnails of a site."""

    def __init__(
        self,
        read: Callable[[], AbstractContextManager[Connection[Any]]],
        originals: Originals,
        cache: Cache,
        maker: Maker,
    ) -> None:
        """`read` provides a connection."""
        self._read = read
        self._originals = originals
        self._cache = cache
        self._maker = maker
        self._making = Making(most=MOST_WAITING, absent=ABSENT)
        self._at_once = asyncio.Semaphore(MOST_AT_ONCE)

    async def thumbnail(self, lot: int, content_hash: str, side: int) -> bytes:
        """Return a photo of a lot as a WebP. One that is kept is not looked up: it was recorded when it was made, and
        its address cannot be guessed. Raises PhotoError, and psycopg's errors."""
        if not HASH.fullmatch(content_hash) or side not in SIDES:
            raise PhotoError("absent", "no photo has such an address")
        name = f"{content_hash}-{side}"
        if (kept := await asyncio.to_thread(self._cache.read, name)) is not None:
            return kept
        return (await self._making.make(name, lambda: self._make(lot, content_hash, side)))[name]

    def cancel(self) -> None:
        """End what is under way."""
        self._making.cancel()

    async def _make(self, lot: int, content_hash: str, side: int) -> dict[str, bytes]:
        """Make a thumbnail, keep it and return it. If the process dies in it, it is kept whole or not at all."""
        async with self._at_once:
            found = await asyncio.to_thread(self._recorded, lot, content_hash)
            if found is None:
                raise PhotoError("absent", "no such photo of this lot is recorded")
            body = await self._originals.fetch(found)
            (made,) = await self._maker.make(body, [side])
        name = f"{content_hash}-{side}"
        await asyncio.to_thread(self._cache.write, name, made)
        return {name: made}

    def _recorded(self, lot: int, content_hash: str) -> records.Original | None:
        with self._read() as connection:
            return records.original(connection, lot, content_hash)
