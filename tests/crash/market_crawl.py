"""Runs market crawls, each in a process of its own that may be killed: `python tests/crash/market_crawl.py`.

The fault-injection points are those of crawl_fault_injection.py. `robots`, `list`, `sitemap` and `detail` are parts of
such an answer; a `commit` is also a `commit_page`, a `commit_end`, or that of a part of the schedule, by what it makes
true.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import wraps
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import crawl_fault_injection  # beside this file
import psycopg
from scrapy.core.downloader.handlers import http11

from vinops_scrapy.listings import records as listings
from vinops_scrapy.mobile_bg import newest, schedule, walks
from vinops_scrapy.pages import mobile_bg as pages
from vinops_scrapy.pipelines import listing_record
from vinops_scrapy.spiders import mobile_bg  # noqa: F401 # before the fork, for it takes time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

COMMITS = {
    "see_listings": "commit_page",
    "record_listings": "commit_page",
    "end_walk": "commit_end",
    "forget_pieces": "commit_end",
    "mark_gone": "commit_gone",
    "begin_newest": "commit_pass",
    "end_newest": "commit_end_of_pass",
    "claim_recheck": "commit_claim",
    "record_recheck": "commit_recheck",
    "record_deleted": "commit_recheck",
}


class FaultInjector(crawl_fault_injection.FaultInjector):
    """Strikes market crawls."""

    calls = (
        ("take", walks.Walk, "take"),
        ("take_newest", walks.NewestFirst, "take"),
        ("take_pass", newest.NewestPass, "take"),
        ("split", walks.Walk, "split"),
        ("read_list", pages, "list_page"),
        ("read_models", pages, "models"),
        ("read_detail", pages, "listing"),
    )
    awaited = (
        ("begin", schedule.Schedule, "begin"),
        ("record", listings.Listings, "record"),
        ("detail_page", listings.Listings, "record_detail"),
        ("end", schedule.Schedule, "end_walk"),
        ("release", schedule.Schedule, "release"),
        ("close", schedule.Schedule, "close"),
        ("process", listing_record.RecordListings, "process_item"),
        ("commit_of", psycopg.AsyncTransaction, "__aexit__"),
        ("commit", psycopg.AsyncTransaction, "__aexit__"),
    )
    query_files = ("listings", "cycle", "politeness", "crawls")

    def __init__(self, *arguments: Any) -> None:
        """As the others."""
        super().__init__(*arguments)
        self._last: dict[int, str] = {}

    def install(self) -> None:
        """Patch the calls and the statements of this process, and what reads answers."""
        super().install()
        received = http11._ResponseReader.dataReceived

        def in_parts(reader: Any, data: bytes) -> None:
            name = _kind(reader._request.url)
            number = self._next(name)
            self._event(name, number, "before")
            received(reader, data)
            self._event(name, number, "after")

        http11._ResponseReader.dataReceived = in_parts  # type: ignore[method-assign]

    def _name(self, owner: Any, name: str) -> str:
        if name == "commit_of":
            return COMMITS.get(self._last.pop(id(owner.connection), ""), name)
        if isinstance(owner, psycopg.AsyncConnection):
            self._last[id(owner)] = name
        return name


def _kind(url: str) -> str:
    path = urlsplit(url).path
    if path == "/robots.txt":
        return "robots"
    if path.startswith("/obiava-"):
        return "detail"
    return "list" if path.startswith("/obiavi/") else "sitemap"


def gone_without_an_end() -> None:
    """A broken crawl: after each page it takes for gone what its walk has not seen so far."""
    record = listings.Listings.record

    async def hasty(self: Any, rows: Any, *, walk: Any = None, newest: int | None = None) -> Any:
        recorded = await record(self, rows, walk=walk, newest=newest)
        if walk is not None:

            async def mark(connection: Any) -> None:
                row = await (
                    await connection.execute(
                        "select make_slug, started_at from ops.listing_walks where id = %s", [walk.walk]
                    )
                ).fetchone()
                about = {"source": self._source, "make": row[0], "seen_before": row[1], "read_again": None}
                await connection.execute(self._queries["mark_gone"], {**about, "started_at": about["seen_before"]})

            await listings.in_transaction(self._pool, mark)  # the next page may have the same ads in hand
        return recorded

    listings.Listings.record = hasty  # type: ignore[method-assign]


def gone_after_any_walk() -> None:
    """A broken crawl: what a walk did not see is gone, however it ended."""
    end_walk = schedule.Schedule.end_walk

    async def careless(self: Any, walk: Any) -> Any:
        about = {
            "source": self._source,
            "make": walk.make.slug,
            "seen_before": walk.started_at,
            "read_again": None,
        }
        async with self._pool.connection() as connection:
            await connection.execute(self._queries["mark_gone"], {**about, "started_at": about["seen_before"]})
        return await end_walk(self, walk)

    schedule.Schedule.end_walk = careless  # type: ignore[method-assign]


def mark_before_the_end() -> None:
    """A broken crawl: a pass over the newest ads is taken for read as soon as its first page is recorded."""
    record = listings.Listings.record

    async def hasty(self: Any, rows: Any, *, walk: Any = None, newest: int | None = None) -> Any:
        recorded = await record(self, rows, walk=walk, newest=newest)
        if newest is not None:
            about = [max((listing.posted_at for _, listing in rows), default=None), newest]
            mark = "update ops.market_cycles set newest_posted_at = greatest(newest_posted_at, %s) where number = %s"
            async with self._pool.connection() as connection:
                await connection.execute(mark, about)
        return recorded

    listings.Listings.record = hasty  # type: ignore[method-assign]


def handed_on_later() -> None:
    """A broken crawl: what is handed on is written when the page has been committed."""
    recording, rest = listings.queries("listings")["record_listings"].split("queued as (")
    statement = recording.rstrip().rstrip(",") + rest[rest.index("\n)\n") + 2 :]
    assert "deal_outbox" not in statement
    _with_statement("record_listings", statement)
    record = listings.Listings.record

    async def late(self: Any, rows: Any, **what: Any) -> Any:
        recorded = await record(self, rows, **what)
        async with self._pool.connection() as connection:
            await connection.execute(
                """
                insert into ops.deal_outbox (listing_id, change)
                select id, case when first_seen = changed_at then 'new' else 'changed' end
                from listings
                where ad_id = any(%s) and changed_at = last_seen
                on conflict (listing_id, stage) do update
                    set change = case when deal_outbox.change = 'new' then 'new' else excluded.change end
                """,
                [[listing.ad_id for _, listing in rows]],
            )
        return recorded

    listings.Listings.record = late  # type: ignore[method-assign]


def priced_later() -> None:
    """A broken crawl: what an ad costs is noted when the page has been committed."""
    record, inner = listings.Listings.record, listings.Listings._record

    async def without_triggers(self: Any, connection: Any, *arguments: Any) -> Any:
        await connection.execute("set local session_replication_role = replica")
        return await inner(self, connection, *arguments)

    async def late(self: Any, rows: Any, **what: Any) -> Any:
        recorded = await record(self, rows, **what)
        async with self._pool.connection() as connection:
            await connection.execute(
                """
                insert into listing_prices (listing_id, price_eur)
                select id, price_eur
                from listings
                where
                    ad_id = any(%s)
                    and price_eur is distinct from (
                        select old.price_eur from listing_prices as old
                        where old.listing_id = listings.id order by seen_at desc limit 1)
                """,
                [[listing.ad_id for _, listing in rows]],
            )
        return recorded

    listings.Listings._record = without_triggers  # type: ignore[method-assign]
    listings.Listings.record = late  # type: ignore[method-assign]


def record_ad_by_ad() -> None:
    """A broken crawl: each ad of a page has a transaction of its own."""
    record = listings.Listings.record

    async def one_by_one(self: Any, rows: Any, *, walk: Any = None, newest: int | None = None) -> Any:
        found = [
            await record(self, [row], walk=None if number else walk, newest=newest) for number, row in enumerate(rows)
        ]
        return listings.Recorded(
            **{name: sum(getattr(each, name) for each in found) for name in ("new", "changed", "back", "unchanged")}
        )

    listings.Listings.record = one_by_one  # type: ignore[method-assign]


def without_transaction() -> None:
    """A broken crawl: each statement is true at once."""

    @asynccontextmanager
    async def none(_: object) -> AsyncIterator[None]:
        yield

    psycopg.AsyncConnection.transaction = none  # type: ignore[method-assign,assignment]


def _with_statement(name: str, text: str) -> None:
    """Let crawls use another statement under that name; its fault-injection points have that name too."""
    asked = listings.queries

    @wraps(asked)
    def changed(file: str) -> Any:
        found = asked(file)
        return MappingProxyType({**found, name: text}) if file == "listings" else found

    listings.queries = crawl_fault_injection.queries = changed


BROKEN: dict[str, Callable[[], None]] = {
    broken.__name__: broken
    for broken in (
        gone_without_an_end,
        gone_after_any_walk,
        mark_before_the_end,
        handed_on_later,
        priced_later,
        record_ad_by_ad,
        without_transaction,
    )
}


if __name__ == "__main__":
    crawl_fault_injection.take_jobs("mobile_bg", FaultInjector, BROKEN)
