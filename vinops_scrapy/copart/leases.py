"""The lots that a crawl leases in the database, and what it records of them.

A lease is an owner, an expiry and a token in a row of lot_photos. Any number of crawls on any number of machines share
the work: leasing skips rows that another crawl locks (`for update skip locked`), the leases of a killed crawl expire,
and only the newest token may settle a lot.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from vinops.db.database import queries
from vinops.db.errors import tried
from vinops.storage.opening import FOLDER
from vinops_scrapy.items import KeptList, Lot

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from psycopg_pool import AsyncConnectionPool

    from vinops_scrapy.items import Photo, PhotoLink
INTERRUPTED = "interrupted"
"""The reason of a lot in whose middle the crawl ended."""
ENLISTED_AT_ONCE = 25_000
"""Lots that one statement puts into the order: less than a second. Only a first load brings more of them."""
LEASE_SECONDS = 600.0
"""The duration of a lease that is not renewed, unless VINOPS_PHOTO_LEASE sets another."""


class LeaseLost(Exception):  # noqa: N818 # a state, not a fault
    """The lease expired and another crawl took the lot: the result of this crawl does not count. Raised by Lots."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """The stored photos of a lot: their numbers by address, wherever they are stored, and the storage keys by content
    of those photos of its vehicle that are in the store of this crawl."""

    seqs: Mapping[str, int] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """The result of a lot: its state, the reason, and after how many seconds it is due again.

    `listed` is the count of photos in the list, None if there was no list; `links` are these, for their numbers. In the
    state `first` the list is kept for the second pass, unless it was `from_kept`, which is such a list.
    """

    state: str
    due_seconds: float
    reason: str | None = None
    listed: int | None = None
    links: tuple[PhotoLink, ...] = ()
    photos: tuple[Photo, ...] = ()
    sizes_are_guessed: bool = False
    from_kept: bool = False

    @property
    def has_first(self) -> bool:
        """Tell whether the lot has had its first pass. If some of its first photos failed it is enough that one is
        there: all are tried in its second pass. One that was interrupted is not over."""
        return self.state in {"first", "ok"} or (self.state == "partial" and self.reason != INTERRUPTED)

    @property
    def kept(self) -> Jsonb | None:
        """The list as it is kept for the second pass, None where there is none to come, or it asks again."""
        if self.state != "first":
            return None
        return Jsonb(KeptList(photos=self.links, sizes_are_guessed=self.sizes_are_guessed).as_json())

    @property
    def is_failure(self) -> bool:
        """Tell whether the lot is tried again, later each time."""
        return self.state in {"partial", "failed"}


class Lots:
    """The lots of one crawl. Statements are repeated when the connection breaks: a lease whose confirmation was lost
    expires, and a settlement whose confirmation was lost raises LeaseLost the second time."""

    def __init__(
        self,
        pool: AsyncConnectionPool[Any],
        owner: str,
        *,
        lease: float = LEASE_SECONDS,
        store: str = FOLDER,
        list_seconds: float = 0.0,
    ) -> None:
        """`owner` names this crawl, `store` the place where it stores photos. A lease lasts `lease` seconds, and is to
        be renewed every third of it. A list that was kept serves for `list_seconds`."""
        self._pool = pool
        self._owner = owner
        self._store = store
        self._is_store_noted = False
        self._list_seconds = list_seconds
        self.lease = lease
        self._queries = queries("photos")

    async def enlist(self) -> None:
        """Add the lots that the feed brought since, give each its place in the order of its pass, and take those out
        that left the feed. If the process dies in between, the next call does the rest."""
        while await tried(lambda: self._done("enlist_lots", {"count": ENLISTED_AT_ONCE})) >= ENLISTED_AT_ONCE:
            pass
        for name in ("queue_lots", "unqueue_lots"):
            await tried(lambda name=name: self._done(name, {}))  # type: ignore[misc]

    async def count_due(self) -> tuple[int, int]:
        """Return how many lots are due, and how many of them have not had their first pass."""
        ((count, first),) = await tried(lambda: self._rows("count_due_lots", {}))
        return int(count), int(first)

    async def lease_due(self, count: int) -> list[Lot]:
        """Lease up to `count` lots that are due. If the process dies the leases expire."""
        return await self._lease("lease_due_lots", {"count": count, "list_seconds": self._list_seconds})

    async def lease_kept(self, count: int) -> list[Lot]:
        """Lease up to `count` lots that are due whose list was kept, in the order of the second pass."""
        return await self._lease("lease_kept_lots", {"count": count, "list_seconds": self._list_seconds})

    async def lease_named(self, lots: Collection[int], vins: Collection[str]) -> tuple[list[Lot], int, list[str]]:
        """Lease lots by number or VIN; return them, how many lots have these numbers and VINs at all, and the numbers
        and VINs that no lot has."""
        names = {"lots": list(lots), "vins": list(vins)}
        await tried(lambda: self._done("enlist_named_lots", names))
        ((count,),) = await tried(lambda: self._rows("count_named_lots", names))
        missing = [str(name) for (name,) in await tried(lambda: self._rows("missing_named_lots", names))]
        return await self._lease("lease_named_lots", names), int(count), missing

    async def _lease(self, name: str, parameters: Mapping[str, Any]) -> list[Lot]:
        rows = await tried(
            lambda: self._rows(name, {**parameters, "owner": self._owner, "seconds": self.lease}),
        )
        return [_lot(*row) for row in rows]

    async def renew(self, lots: Collection[Lot]) -> None:
        """Extend the leases of lots that are still being processed."""
        held = {"owner": self._owner, "tokens": [lot.token for lot in lots], "seconds": self.lease}
        await tried(lambda: self._done("renew_leases", held))

    async def release(self, lots: Collection[Lot]) -> None:
        """Release the leases of lots whose state stays as it is."""
        held = {"owner": self._owner, "tokens": [lot.token for lot in lots]}
        await tried(lambda: self._done("release_leases", held))

    async def known(self, lot: Lot) -> Known:
        """Return the stored photos of a lot and of other lots of its vehicle."""
        rows = await tried(lambda: self._rows("known_photos", {"lot_id": lot.id, "vin": lot.vin, "store": self._store}))
        return Known(
            seqs={url: seq for url, seq, _, _, is_own, _ in rows if is_own},
            keys={content_hash: key for _, _, content_hash, key, _, is_here in rows if is_here},
        )

    async def settle(self, lot: Lot, settlement: Settlement) -> None:
        """Record the photos and the result of a lot in one transaction. Raises LeaseLost.

        If the process dies before the commit nothing is recorded: the photos are stored already, and are stored again
        under the same keys after the lease has expired.
        """
        await tried(lambda: self._settle(lot, settlement))

    async def _rows(self, name: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        async with self._pool.connection() as connection:
            rows: list[tuple[Any, ...]] = await (await connection.execute(self._queries[name], parameters)).fetchall()
        return rows

    async def _done(self, name: str, parameters: Mapping[str, Any]) -> int:
        """Execute a statement and return how many rows it wrote."""
        async with self._pool.connection() as connection:
            return int((await connection.execute(self._queries[name], parameters)).rowcount)

    async def _settle(self, lot: Lot, settlement: Settlement) -> None:
        async with self._pool.connection() as connection, connection.transaction():
            held = await connection.execute(
                self._queries["hold_lease"], {"lot_id": lot.id, "token": lot.token, "owner": self._owner}
            )
            if await held.fetchone() is None:
                raise LeaseLost(f"lot {lot.lot_external_id}")
            if settlement.photos:
                if not self._is_store_noted:
                    await connection.execute(queries("photo_stores")["add_store"], {"store": self._store})
                rows = [{**_row(lot, photo), "store": self._store} for photo in settlement.photos]
                async with connection.cursor() as cursor:
                    await cursor.executemany(self._queries["add_photo"], rows)
                await connection.execute(self._queries["drop_superseded"], {"lot_id": lot.id})
            if settlement.links:
                await connection.execute(
                    self._queries["renumber_photos"],
                    {
                        "lot_id": lot.id,
                        "urls": [link.url for link in settlement.links],
                        "seqs": [link.seq for link in settlement.links],
                    },
                )
            await connection.execute(
                self._queries["settle_lot"],
                {
                    "lot_id": lot.id,
                    "state": settlement.state,
                    "reason": settlement.reason,
                    "due_seconds": settlement.due_seconds,
                    "listed": settlement.listed,
                    "is_failure": settlement.is_failure,
                    "has_first": settlement.has_first,
                    "kept": settlement.kept,
                    "is_kept": settlement.from_kept,
                },
            )
        self._is_store_noted |= bool(settlement.photos)


def _lot(
    lot_id: int,
    number: int,
    vin: str | None,
    image_url: str | None,
    token: int,
    is_first: bool,
    failures: int,
    kept: dict[str, Any] | None,
) -> Lot:
    return Lot(
        id=lot_id,
        lot_external_id=number,
        vin=vin,
        image_url=image_url,
        token=token,
        is_first=is_first,
        failures=failures,
        kept=KeptList.from_json(kept) if kept else None,
    )


def _row(lot: Lot, photo: Photo) -> dict[str, object]:
    return {
        "lot_id": lot.id,
        "vin": lot.vin,
        "seq": photo.link.seq,
        "variant": photo.link.variant,
        "source_url": photo.link.url,
        "storage_key": photo.storage_key,
        "content_hash": photo.content_hash,
        "content_type": photo.content_type,
        "width": photo.width,
        "height": photo.height,
        "bytes": len(photo.body),
    }
