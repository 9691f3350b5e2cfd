"""The steps of a photo one by one: `python -m bench.photo_steps PHOTOS`, in the environment of a crawl to a bucket.

It prints the milliseconds of processor time of each step for one photo, as JSON. Each is called in one thread, many
times, and does what the crawl lets it do.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from standin.photos.pictures import jpeg
from vinops import config
from vinops.db import database
from vinops.politeness import Budgets
from vinops.storage.folder import Folder
from vinops.storage.opening import open_photos
from vinops.storage.store import PHOTOS, Store
from vinops_scrapy.copart.leases import Lots, Settlement
from vinops_scrapy.items import Photo, PhotoLink
from vinops_scrapy.pipelines.photo_store import key_of
from vinops_scrapy.pipelines.validate import validated

PER_LOT = 12


def cpu_ms(step: Callable[[Photo], object], photos: Sequence[Photo]) -> float:
    """Return the milliseconds that a step takes for one photo."""
    began = time.process_time()
    for photo in photos:
        step(photo)
    return 1000 * (time.process_time() - began) / len(photos)


async def awaited_ms(work: Coroutine[Any, Any, object], photos: int) -> float:
    """The same for work that is awaited."""
    began = time.process_time()
    await work
    return 1000 * (time.process_time() - began) / photos


def main(count: int) -> dict[str, float]:
    """Measure the steps, each with that many photos."""
    settings = config.load()
    found = asyncio.run(recorded(settings, count))
    photos = [photo for group in found[1] for photo in group]
    whole = cpu_ms(validated, photos)
    hashing = cpu_ms(lambda photo: hashlib.sha256(photo.body).hexdigest(), photos)
    checked = [validated(photo) for photo in photos]
    folder, bucket = Folder(settings.data_dir / "photos", PHOTOS), open_photos(settings)
    stores = {"store, folder": folder, "store, bucket": bucket}
    return {
        "decode": whole - hashing,
        "hash": hashing,
        **{
            name: cpu_ms(lambda photo, store=store: put(store, photo), checked)  # type: ignore[misc]
            for name, store in stores.items()
        },
        **found[0],
    }


def put(store: Store, photo: Photo) -> None:
    """Store a photo as the pipeline does."""
    store.put(key_of(photo), photo.body, content_type=photo.content_type)


async def recorded(settings: config.Settings, count: int) -> tuple[dict[str, float], list[list[Photo]]]:
    """Measure the record of photos, lot by lot, and the budget; return the photos too, which belong to leased lots."""
    pool = database.async_pool(settings, application="bench")
    await pool.open()
    lots = Lots(pool, "bench")
    await lots.enlist()
    leased = await lots.lease_due(-(-count // PER_LOT))
    groups = [
        [photo_of(lot, f"{lot.lot_external_id:016x}{seq:016x}", seq) for seq in range(1, PER_LOT + 1)] for lot in leased
    ]
    budgets = Budgets(pool, daily=1_000_000, refusals=5, open_seconds=60)

    async def settle() -> None:
        for lot, group in zip(leased, groups, strict=True):
            await lots.known(lot)
            links, photos = tuple(photo.link for photo in group), tuple(as_stored(photo) for photo in group)
            done = Settlement(state="ok", due_seconds=3600, listed=len(links), links=links, photos=photos)
            await lots.settle(lot, done)

    async def reserve() -> None:
        for _ in range(count):
            await budgets.reserve("127.0.0.1:1", 0)

    total = sum(len(group) for group in groups)
    found = {"record": await awaited_ms(settle(), total), "budget": await awaited_ms(reserve(), count)}
    await pool.close()
    return found, groups


def photo_of(lot: Any, name: str, seq: int) -> Photo:
    """Return a photo as it came from the source."""
    link = PhotoLink(seq=seq, variant="hrs", url=f"http://127.0.0.1:1/{name}_hrs.jpg")
    return Photo(lot=lot, link=link, body=jpeg(name, "hrs"), content_type="image/jpeg")


def as_stored(photo: Photo) -> Photo:
    """Return a photo as the store leaves it, without looking at its bytes."""
    content_hash = hashlib.sha256(photo.link.url.encode()).hexdigest()
    key = f"photos/1/{content_hash}.jpg"
    return replace(photo, content_hash=content_hash, width=1600, height=1200, storage_key=key)


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]))))
