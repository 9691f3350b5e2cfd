"""The ads of one source in the database."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from itemadapter import ItemAdapter
from psycopg.types.json import Jsonb

from vinops.db.database import queries
from vinops.db.errors import tried

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from psycopg import AsyncConnection
    from psycopg_pool import AsyncConnectionPool

    from vinops_scrapy.items import Listing, RecheckedAd, WalkPage

T = TypeVar("T")

NOT_COMPARED: Final = frozenset({"is_new", "promotion", "dropped", "source"})
"""Fields of an ad that may differ without the ad counting as changed."""
OF_DETAIL: Final = (
    "year", "month", "mileage_km", "fuel", "gearbox", "body", "power_hp", "engine_cc", "colour", "euro_class", "region",
    "place", "seller_kind", "vat", "price", "currency", "price_eur", "description", "equipment", "photo_urls",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """How many ads of a page were new, changed, back or unchanged."""

    new: int = 0
    changed: int = 0
    back: int = 0
    unchanged: int = 0


class ClaimLost(Exception):  # noqa: N818 # a state, not a fault
    """The claim of the make, or of the newest ads, expired and another crawl took over: pages of this one do not count.
    Raised by Listings."""


class Listings:
    """The ads of one source. Queries are repeated when the connection breaks."""

    def __init__(self, pool: AsyncConnectionPool[Any], source: str) -> None:
        """`source` is the value of listings.source."""
        self._pool = pool
        self._source = source
        self._queries = {**queries("listings"), **queries("cycle")}

    async def record(
        self, listings: Sequence[tuple[str, Listing]], *, walk: WalkPage | None = None, newest: int | None = None
    ) -> Recorded:
        """Record a page, as make slug and ad each, in one transaction: the ads, their prices, the deals' outbox, and
        how far the walk is. Raises ClaimLost if another crawl took over the make of the walk, or the pass over the
        newest ads: the page may be older than what that one saw.

        If the process dies before the commit nothing of the page is recorded, and the walk continues with it.
        """
        rows = {listing.ad_id: _row(make, listing) for make, listing in listings}
        return await in_transaction(self._pool, lambda connection: self._record(connection, rows, walk, newest))

    async def _record(
        self,
        connection: AsyncConnection[Any],
        rows: Mapping[str, dict[str, Any]],
        walk: WalkPage | None,
        newest: int | None,
    ) -> Recorded:
        if newest is not None:
            about = {"source": self._source, "number": newest}
            counted = await connection.execute(self._queries["count_newest_page"], about)
            if await counted.fetchone() is None:
                raise ClaimLost(f"pass {newest}")
        if walk is not None:
            await record_walk(connection, walk)
        if not rows:
            return Recorded()
        walk_id = walk and walk.walk
        for ad_id, row in rows.items():
            row["walk_piece"] = walk and walk.in_parts.get(ad_id, walk.piece)
        cursor = await connection.execute(
            self._queries["see_listings"],
            {
                "source": self._source,
                "makes": sorted({row["make_slug"] for row in rows.values()}),
                "ad_ids": list(rows),
                "hashes": [bytes.fromhex(row["list_hash"][2:]) for row in rows.values()],
                "walk": walk_id,
                "pieces": [row["walk_piece"] for row in rows.values()],
            },
        )
        seen = {ad_id for (ad_id,) in await cursor.fetchall()}
        others = [row for ad_id, row in rows.items() if ad_id not in seen]
        if not others:
            return Recorded(unchanged=len(seen))
        cursor = await connection.execute(
            self._queries["record_listings"], {"source": self._source, "ads": Jsonb(others), "walk": walk_id}
        )
        changes = [change for _, change in await cursor.fetchall()]
        return Recorded(
            new=changes.count("new"),
            changed=changes.count("changed"),
            back=changes.count("back"),
            unchanged=len(rows) - len(changes),
        )

    async def record_detail(self, listing: Listing) -> None:
        """Record what an ad's own page adds to what its list said."""
        row = _plain(listing)
        values = {"source": self._source, "ad_id": listing.ad_id, **{name: row[name] for name in OF_DETAIL}}
        await in_transaction(self._pool, lambda connection: connection.execute(self._queries["record_detail"], values))

    async def record_recheck(self, found: RecheckedAd) -> str | None:
        """Record the price on an ad's own page, or that the ad is gone. Return `same`, `changed` or `deleted`; None if
        the ad was gone already, or a list has shown it since."""
        values: dict[str, Any] = {"source": self._source, "ad_id": found.ad_id, "asked_at": found.asked_at}
        name = "record_deleted"
        if found.listing is not None:
            name = "record_recheck"
            values |= {each: getattr(found.listing, each) for each in ("price", "currency", "price_eur")}

        async def write(connection: AsyncConnection[Any]) -> str | None:
            row = await (await connection.execute(self._queries[name], values)).fetchone()
            return row[0] if row else None

        return await in_transaction(self._pool, write)

    async def known(self, ad_ids: Sequence[str]) -> dict[str, bool]:
        """Return which of these ads are active, and whether their own page was read since they changed."""
        values = {"source": self._source, "ad_ids": list(ad_ids)}

        async def read(connection: AsyncConnection[Any]) -> dict[str, bool]:
            return dict(await (await connection.execute(self._queries["known_listings"], values)).fetchall())

        return await in_transaction(self._pool, read)

    async def seen_by(self, walk: int, ad_ids: Iterable[str]) -> dict[str, int]:
        """Return which of these ads a walk has seen, and the number of the piece that showed each last."""
        values = {"source": self._source, "walk": walk, "ad_ids": list(ad_ids)}

        async def read(connection: AsyncConnection[Any]) -> dict[str, int]:
            return dict(await (await connection.execute(self._queries["seen_by_walk"], values)).fetchall())

        return await in_transaction(self._pool, read)

    async def fill_rates(self) -> tuple[int, dict[str, float]]:
        """Return the count of ads seen in the last week, and the share of them that has a value, by field."""

        async def read(connection: AsyncConnection[Any]) -> dict[str, Any]:
            cursor = await connection.execute(self._queries["fill_rates"], {"source": self._source})
            names = [column.name for column in cursor.description or ()]
            return dict(zip(names, await cursor.fetchone() or (), strict=False))

        values = await in_transaction(self._pool, read)
        return int(values.pop("ads", 0)), {name: float(rate) for name, rate in values.items() if rate is not None}


async def record_walk(connection: AsyncConnection[Any], walk: WalkPage) -> None:
    """Record how far a walk is. Raises ClaimLost if another crawl took over its make."""
    counted = await connection.execute(
        queries("listings")["count_page"],
        {
            "walk": walk.walk,
            "token": walk.token,
            "pages": walk.pages,
            "total": walk.total,
            "ads": walk.ads,
            "reason": walk.reason,
        },
    )
    if await counted.fetchone() is None:
        raise ClaimLost(f"walk {walk.walk}")
    if walk.pieces:
        await connection.execute(
            queries("listings")["record_pieces"], {"walk": walk.walk, "pieces": Jsonb(list(walk.pieces))}
        )


async def in_transaction(pool: AsyncConnectionPool[Any], work: Callable[[AsyncConnection[Any]], Awaitable[T]]) -> T:
    """Return what `work` returns in a transaction of its own, run again if that collided with another crawl's or if the
    connection broke: the work must be right when it is done twice."""

    async def once() -> T:
        async with pool.connection() as connection, connection.transaction():
            return await work(connection)

    return await tried(once)


def list_hash(make: str, listing: Listing) -> bytes:
    """Return the hash of an ad as a list shows it; an equal hash means that the ad is unchanged."""
    row = {name: value for name, value in _plain(listing).items() if name not in NOT_COMPARED}
    text = json.dumps([make, row], sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _row(make: str, listing: Listing) -> dict[str, Any]:
    row = _plain(listing)
    del row["dropped"], row["source"]
    return {
        **{
            name: str(value) if name in ("price", "price_eur") and value is not None else value
            for name, value in row.items()
        },
        "posted_at": listing.posted_at.isoformat(),
        "make_slug": make,
        "list_hash": "\\x" + list_hash(make, listing).hex(),
    }


def _plain(listing: Listing) -> dict[str, Any]:
    """Return the fields of an ad, with lists as PostgreSQL takes them."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in ItemAdapter(listing).items()}
