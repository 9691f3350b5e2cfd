"""The ads of one source in the database."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from itemadapter import ItemAdapter
from psycopg import Error
from psycopg.types.json import Jsonb

from vinops.db.database import queries
from vinops.db.errors import is_collision

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from psycopg import AsyncConnection
    from psycopg_pool import AsyncConnectionPool

    from vinops_scrapy.items import Listing

T = TypeVar("T")

ATTEMPTS: Final = 3
NOT_COMPARED: Final = frozenset({"is_new", "promotion", "dropped", "source"})
"""Fields of an ad whose change is no change of the ad."""
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


class Listings:
    """The ads of one source. Methods raise psycopg's errors if the connection breaks."""

    def __init__(self, pool: AsyncConnectionPool[Any], source: str) -> None:
        """`source` is the value of listings.source."""
        self._pool = pool
        self._source = source
        self._queries = queries("listings")

    async def record(self, listings: Sequence[tuple[str, Listing]], *, walk: int | None = None) -> Recorded:
        """Record a page, as make slug and ad each, in one transaction: the ads, their prices, and the deals' outbox.

        If the process dies before the commit nothing of the page is recorded, and the next walk reads it again.
        """
        rows = {listing.ad_id: _row(make, listing) for make, listing in listings}
        return await in_transaction(self._pool, lambda connection: self._record(connection, rows, walk))

    async def _record(
        self, connection: AsyncConnection[Any], rows: Mapping[str, dict[str, Any]], walk: int | None
    ) -> Recorded:
        cursor = await connection.execute(
            self._queries["see_listings"],
            {
                "source": self._source,
                "makes": sorted({row["make_slug"] for row in rows.values()}),
                "ad_ids": list(rows),
                "hashes": [bytes.fromhex(row["list_hash"][2:]) for row in rows.values()],
                "walk": walk,
            },
        )
        seen = {ad_id for (ad_id,) in await cursor.fetchall()}
        others = [row for ad_id, row in rows.items() if ad_id not in seen]
        if not others:
            return Recorded(unchanged=len(seen))
        cursor = await connection.execute(
            self._queries["record_listings"], {"source": self._source, "ads": Jsonb(others)}
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
        async with self._pool.connection() as connection:
            await connection.execute(
                self._queries["record_detail"],
                {"source": self._source, "ad_id": listing.ad_id, **{name: row[name] for name in OF_DETAIL}},
            )

    async def known(self, ad_ids: Sequence[str]) -> dict[str, bool]:
        """Return which of these ads are active, and whether their own page was read since they changed."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                self._queries["known_listings"], {"source": self._source, "ad_ids": list(ad_ids)}
            )
            return dict(await cursor.fetchall())

    async def fill_rates(self) -> tuple[int, dict[str, float]]:
        """Return the count of ads seen in the last week, and the share of them that has a value, by field."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(self._queries["fill_rates"], {"source": self._source})
            row = await cursor.fetchone()
            names = [column.name for column in cursor.description or ()]
        values = dict(zip(names, row or (), strict=False))
        return int(values.pop("ads", 0)), {name: float(rate) for name, rate in values.items() if rate is not None}


async def in_transaction(pool: AsyncConnectionPool[Any], work: Callable[[AsyncConnection[Any]], Awaitable[T]]) -> T:
    """Return what `work` returns in a transaction of its own, run again if it collided with another crawl."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            async with pool.connection() as connection, connection.transaction():
                return await work(connection)
        except Error as error:
            if not is_collision(error) or attempt == ATTEMPTS:
                raise
    raise AssertionError("unreachable")


def list_hash(make: str, listing: Listing) -> bytes:
    """Return the hash of an ad as a list shows it: the same hash, nothing new."""
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
