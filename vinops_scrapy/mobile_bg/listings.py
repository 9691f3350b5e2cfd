"""The ads in the database: a page at a time, and what a whole walk says of those that nobody saw."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from psycopg import Error
from psycopg.types.json import Jsonb

from vinops.db.database import queries
from vinops.db.errors import is_collision

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from psycopg import AsyncConnection
    from psycopg_pool import AsyncConnectionPool

    from vinops_scrapy.items import Listing
    from vinops_scrapy.mobile_bg.walks import Walk

T = TypeVar("T")

ATTEMPTS: Final = 3
PASSING: Final = frozenset({"is_new", "promotion", "dropped", "source"})
"""Fields of an ad that come and go without anything new in it."""
OF_DETAIL: Final = (
    "year", "month", "mileage_km", "fuel", "gearbox", "body", "power_hp", "engine_cc", "colour", "euro_class", "region",
    "place", "seller_kind", "vat", "price", "currency", "price_eur", "description", "equipment", "photo_urls",
)  # fmt: skip
FEW: Final = 20
"""So many ads may be gone whatever their share."""


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What a page brought: ads by what happened to them."""

    new: int = 0
    changed: int = 0
    back: int = 0
    unchanged: int = 0


@dataclass(frozen=True, kw_only=True)
class WalkOutcome:
    """How many ads are gone after a walk; `held_back` are those that it did not see and that are not taken for gone."""

    gone: int = 0
    held_back: int = 0


class Listings:
    """The ads of one source. Methods raise psycopg's errors if the connection breaks under them."""

    def __init__(self, pool: AsyncConnectionPool[Any], source: str, *, shrink_limit: float) -> None:
        """`shrink_limit` is the share of a make that may be gone after one walk."""
        self._pool = pool
        self._source = source
        self._shrink_limit = shrink_limit
        self._queries = queries("listings")
        self._claims: AsyncConnection[Any] | None = None

    async def record(self, listings: Sequence[tuple[str, Listing]], *, walk: int | None = None) -> Recorded:
        """Record a page, of make slug and ad each, in one transaction: the ads, their prices, and what is handed on.

        If the process dies before the commit nothing of the page is recorded, and the next walk reads it again.
        """
        rows = {listing.ad_id: _row(make, listing) for make, listing in listings}
        return await self._in_transaction(lambda connection: self._record(connection, rows, walk))

    async def _in_transaction(self, work: Callable[[AsyncConnection[Any]], Awaitable[T]]) -> T:
        """Do something in a transaction of its own, and again if another crawl had the same ads in hand."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._pool.connection() as connection, connection.transaction():
                    return await work(connection)
            except Error as error:
                if not is_collision(error) or attempt == ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

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
        """Return which of these ads are there, and whether their own page was read since they changed."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                self._queries["known_listings"], {"source": self._source, "ad_ids": list(ad_ids)}
            )
            return dict(await cursor.fetchall())

    async def begin_walk(self, make: str) -> tuple[int, datetime]:
        """Note that a walk begins; return its number, and its start by the database's clock."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(self._queries["begin_walk"], {"source": self._source, "make": make})
            ((number, started_at),) = await cursor.fetchall()
        return number, started_at

    async def end_walk(self, walk: Walk) -> WalkOutcome:
        """Note the end of a walk; if it is complete, those that it did not see are gone, in the same transaction.

        With more than the shrink limit of them at once, or if the site counted more ads than it showed, only those are
        gone that the complete walk before did not see either. If the process dies before the commit nothing is gone.
        """
        about = {
            "source": self._source,
            "make": walk.make.slug,
            "walk": walk.number,
            "started_at": walk.started_at,
            "is_complete": walk.is_complete,
            "reason": walk.shortfall,
            "total": walk.total,
            "ads_seen": len(walk.seen),
        }

        async def end(connection: AsyncConnection[Any]) -> WalkOutcome:
            outcome = await self._gone(connection, walk, about) if walk.is_complete else WalkOutcome()
            await connection.execute(self._queries["end_walk"], {**about, "gone": outcome.gone})
            return outcome

        return await self._in_transaction(end)

    async def _gone(self, connection: AsyncConnection[Any], walk: Walk, about: dict[str, Any]) -> WalkOutcome:
        ((active, unseen),) = await (await connection.execute(self._queries["count_unseen"], about)).fetchall()
        seen_before = walk.started_at
        if not walk.is_exact or unseen > max(FEW, active * self._shrink_limit):
            row = await (await connection.execute(self._queries["last_complete_walk"], about)).fetchone()
            if row is None or row[0] is None:
                return WalkOutcome(held_back=unseen)
            seen_before = row[0]
        cursor = await connection.execute(self._queries["mark_gone"], {**about, "seen_before": seen_before})
        return WalkOutcome(gone=cursor.rowcount, held_back=unseen - cursor.rowcount)

    async def last_walks(self) -> dict[str, datetime]:
        """Return when the last complete walk of each make ended."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(self._queries["walks_by_age"], {"source": self._source})
            return dict(await cursor.fetchall())

    async def fill_rates(self) -> tuple[int, dict[str, float]]:
        """Return of how many ads it is known, and how often each field had a value lately."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(self._queries["fill_rates"], {"source": self._source})
            row = await cursor.fetchone()
            names = [column.name for column in cursor.description or ()]
        values = dict(zip(names, row or (), strict=False))
        return int(values.pop("ads", 0)), {name: float(rate) for name, rate in values.items() if rate is not None}

    async def claim(self, make: str) -> bool:
        """Hold a make against other crawls until `release`, or until this process dies. False if another has it."""
        if self._claims is None:
            self._claims = await self._pool.getconn()
        cursor = await self._claims.execute(self._queries["claim_make"], {"source": self._source, "make": make})
        row = await cursor.fetchone()
        return bool(row and row[0])

    async def release(self, make: str) -> None:
        """Let a make go."""
        if self._claims is not None:
            await self._claims.execute(self._queries["release_make"], {"source": self._source, "make": make})

    async def close(self) -> None:
        """Let all makes go."""
        if self._claims is not None:
            claims, self._claims = self._claims, None
            try:
                await claims.execute(self._queries["release_makes"])
            finally:
                await self._pool.putconn(claims)


def list_hash(make: str, listing: Listing) -> bytes:
    """Return the hash of an ad as a list shows it: the same for the same ad."""
    row = {name: value for name, value in _plain(listing).items() if name not in PASSING}
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
    """Return the fields of an ad; lists as PostgreSQL takes them."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(listing).items()}
