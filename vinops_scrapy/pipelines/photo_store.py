"""Validates photos and puts them into the object store, each content of a vehicle once.

One thread call does both: handing a photo to a thread and back cost 14 ms of waiting for the reactor, beside the 9
ms of the work itself (2026-11-25).
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from scrapy.exceptions import DropItem

from vinops import config
from vinops.storage.opening import open_photos
from vinops.storage.store import StoreError
from vinops_scrapy import closing
from vinops_scrapy.items import Photo
from vinops_scrapy.pipelines import validate
from vinops_scrapy.pipelines.decoding import Decoder
from vinops_scrapy.pipelines.photo_record import work_of
from vinops_scrapy.shared import Component

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrapy.crawler import Crawler

log = logging.getLogger("photos")

SUFFIXES = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}
TYPES = frozenset({*SUFFIXES, "image/gif", "text/html", "text/plain", "application/json"})
"""Content types that count as wrong where the photo is of another one; others, as image/*, mean any picture."""
THREADS = 8
MOST_FAILURES = 3
"""After this many failures of the store in a row the crawl ends: it would not accept other photos either."""


class NotStored(DropItem):
    """The object store did not accept a photo."""

    reason = "not_stored"


class PhotoStore(Component):
    """Validates and stores photos, off the reactor's thread."""

    def __init__(self, crawler: Crawler) -> None:
        """Open the store that the environment names."""
        super().__init__(crawler)
        self._store = open_photos(config.load(), threads=THREADS)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="photos")
        self._decoder = Decoder(is_stopping=self._is_stopping)
        self._failures = 0

    async def process_item(self, item: object) -> object:
        """Return the photo with its storage key; it is stored by then. Raises Rejected, Interrupted, NotStored.

        If the process dies after this, an object without a row is left; the next run stores it again under its key.
        """
        if not isinstance(item, Photo):
            return item
        stats = self._crawler.stats
        entry = work_of(self._crawler).open.get(item.lot.id)
        keys = entry.known.keys if entry else {}
        try:
            photo = await asyncio.get_running_loop().run_in_executor(self._threads, self._kept, item, keys)
        except StoreError as error:
            self._failures += 1
            stats.inc_value("photo/not_stored")
            if self._failures == MOST_FAILURES:
                await closing.end(self._crawler, "store_failed", self._store.describe(), str(error))
            raise NotStored(str(error), log_level="WARNING") from None
        if item.content_type in TYPES and item.content_type != photo.content_type:
            stats.inc_value("photo/mislabelled")
        if photo.content_hash in keys:
            stats.inc_value("photo/reused")
            return photo
        self._failures = 0
        stats.inc_value("photo/stored")
        stats.inc_value("photo/bytes", len(photo.body))
        return photo

    def _kept(self, photo: Photo, keys: Mapping[str, str]) -> Photo:
        photo = validate.validated(photo, self._decoder)
        key = keys.get(photo.content_hash)
        if key is None:
            key = key_of(photo)
            self._store.put(key, photo.body, content_type=photo.content_type)
        return replace(photo, storage_key=key)

    def _is_stopping(self) -> bool:
        """Tell whether the crawl is about to end. Called from threads."""
        return not self._crawler.crawling or work_of(self._crawler).is_stopping

    def close_spider(self) -> None:
        """Wait for the threads, and close the connections to the store."""
        self._threads.shutdown()
        self._store.close()


def key_of(photo: Photo) -> str:
    """Return the storage key of a photo: made of the lot's number and the hash of its content, never of its URL."""
    return f"photos/{photo.lot.lot_external_id:d}/{photo.content_hash}.{SUFFIXES[photo.content_type]}"
