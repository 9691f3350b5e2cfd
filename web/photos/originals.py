"""The stored photos of lots, read from the place where each is: the folder, or the bucket.

A photo is read whole, and shown only if its bytes are those that were recorded: what is truncated or was exchanged in
the store ends as a message, not as half a picture. It has 0.3 MB, and at most MOST_BYTES.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from vinops.storage import opening
from vinops.storage.store import ObjectMissing, StoreError
from web.photos.errors import PhotoError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from vinops.config import Settings
    from vinops.storage.store import Store
    from web.photos.records import Original

MOST_BYTES: Final = 20_000_000  # as crawls have it: DOWNLOAD_MAXSIZE
READERS: Final = 8
"""Photos that are read at once: R2 takes 50 to 100 ms for one, and a page of lots has 72."""
READ_SECONDS: Final = 10.0
READ_FOR_ZIPS: Final = 3
"""Of these at once for ZIPs: from a slow store they leave the other readers to the pages."""
AWAY_SECONDS: Final = 5.0
"""For how long a place that failed is not asked: each request to one that is away takes seconds."""


class Originals:
    """Reads stored photos, in threads of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._places: dict[str, Store] | None = None
        self._opening = threading.Lock()
        self._away: dict[str, tuple[float, str]] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start the threads, and end them."""
        self._zips = asyncio.Semaphore(READ_FOR_ZIPS)
        self._threads = ThreadPoolExecutor(READERS, "reader of photos")
        try:
            yield
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)
            for place in (self._places or {}).values():
                place.close()

    async def fetch(self, original: Original) -> bytes:
        """Return the bytes of a photo, as `read` does, within READ_SECONDS."""
        begun = threading.Event()

        def read() -> bytes:
            begun.set()
            return self.read(original)

        reading = asyncio.get_running_loop().run_in_executor(self._threads, read)
        try:
            return await asyncio.wait_for(reading, READ_SECONDS)
        except TimeoutError:
            name = self._name(original)
            reason = f"{name} did not send a photo within {READ_SECONDS:.0f} s"
            if begun.is_set():  # one that waited for its turn says nothing of the place
                self._note_away(name, reason)
            raise PhotoError("away", reason) from None

    async def fetch_for_zip(self, original: Original) -> bytes:
        """Return the bytes of a photo, as `fetch` does, when it is the turn of one for a ZIP."""
        async with self._zips:
            return await self.fetch(original)

    def read(self, original: Original) -> bytes:
        """Return the bytes of a photo. Raises PhotoError: `missing`, `damaged` or `away`."""
        name = self._name(original)
        until, reason = self._away.get(name, (0.0, ""))
        if time.monotonic() < until:
            raise PhotoError("away", reason)
        try:
            body = _whole(self._place(name), original)
        except ObjectMissing:
            raise PhotoError("missing", f"{original.storage_key} is not in {name}") from None
        except StoreError as error:
            self._note_away(name, str(error))
            raise PhotoError("away", str(error)) from None
        except ValueError as error:
            raise PhotoError("damaged", str(error)) from None
        if hashlib.sha256(body).hexdigest() != original.content_hash:
            raise PhotoError("damaged", f"{original.storage_key} has other bytes than were recorded: {len(body)}")
        return body

    def _note_away(self, name: str, reason: str) -> None:
        self._away[name] = time.monotonic() + AWAY_SECONDS, reason

    def _name(self, original: Original) -> str:
        return original.store or opening.photos_place(self._settings)

    def _place(self, name: str) -> Store:
        """Return a place by its name. Raises StoreError."""
        with self._opening:
            if self._places is None:
                self._places = opening.photo_places(
                    self._settings, threads=READERS, read_seconds=READ_SECONDS / 2, attempts=1
                )
        if (place := self._places.get(name)) is None:
            raise StoreError(f"{name} is not among the places of these settings: set R2_ENDPOINT and R2_BUCKET_NAME")
        return place


def _whole(place: Store, original: Original) -> bytes:
    """Return an object. Raises StoreError also for a place that sends, but so slowly that nobody waits any more: each
    of its blocks comes in time, and the thread would be held until the last."""
    body = bytearray()
    deadline = time.monotonic() + READ_SECONDS
    for block in place.blocks(original.storage_key):
        body += block
        if time.monotonic() > deadline:
            raise StoreError(f"{place.describe()} did not send a photo within {READ_SECONDS:.0f} s")
        if len(body) > MOST_BYTES:
            raise ValueError(f"{original.storage_key} has more than {MOST_BYTES} bytes")
    return bytes(body)
