"""Record: the ads of a page in one transaction, when the last of them has come."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Self

import psycopg

from vinops.db.database import DatabaseError
from vinops.logs import pairs
from vinops_scrapy import closing as alerting
from vinops_scrapy.items import Listing, ListingDetail

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

    from vinops_scrapy.mobile_bg.batches import Batch

log = logging.getLogger("market")


class RecordListings:
    """Records pages of ads, and what their own pages add. A page that cannot be recorded ends the run: the next one
    reads it again."""

    def __init__(self, crawler: Crawler) -> None:
        """Ask the spider for its pages."""
        self._crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make the pipeline for a crawl."""
        return cls(crawler)

    async def process_item(self, item: object) -> object:
        """Return the item; if it was the last of its page, the page is recorded by then."""
        spider: Any = self._crawler.spider
        if isinstance(item, Listing):
            for name in item.dropped:
                self._crawler.stats.inc_value(f"listing/dropped/{name}")
            if batch := spider.batches.arrive(item):
                await self._record(spider, batch)
        elif isinstance(item, ListingDetail):
            try:
                await spider.listings.record_detail(item.listing)
            except (psycopg.Error, DatabaseError) as error:
                self._failed(error)
        return item

    async def _record(self, spider: Any, batch: Batch) -> None:
        try:
            recorded = await spider.listings.record(batch.rows, walk=batch.walk.number if batch.walk else None)
        except (psycopg.Error, DatabaseError) as error:
            if batch.walk:
                batch.walk.fail("not_recorded")
            self._failed(error)
        else:
            spider.recorded(batch, recorded)
        finally:
            spider.batches.done(batch)

    def _failed(self, error: Exception) -> None:
        self._crawler.stats.inc_value("listing/not_recorded")
        log.error("a page cannot be recorded: the run ends %s", pairs(error=f"{type(error).__name__}: {error}"))
        alerting.close(self._crawler, "not_recorded")
