"""Records the ads of a list page in one transaction, and what their own pages add."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import psycopg
from scrapy.exceptions import DropItem

from vinops.db.database import DatabaseError
from vinops.logs import pairs
from vinops_scrapy import closing
from vinops_scrapy.items import ListedAds, ListingDetail, RecheckedAd
from vinops_scrapy.listings.records import ClaimLost
from vinops_scrapy.shared import Component

if TYPE_CHECKING:
    from vinops_scrapy.listings.records import Listings

log = logging.getLogger("market")


class NotRecorded(DropItem):
    """A page was not recorded: the database refused it, and the run ends, or another crawl took over the make."""

    def __init__(self, reason: str) -> None:
        """`reason` is the name of the cause in docs/runbook.md."""
        super().__init__(reason, log_level="DEBUG")
        self.reason = reason


class RecordListings(Component):
    """Records items with the `listings` of the spider."""

    async def process_item(self, item: object) -> object:
        """Return the item, which is recorded by then. Raises NotRecorded."""
        spider: Any = self._crawler.spider
        listings: Listings = spider.listings
        try:
            if isinstance(item, ListedAds) and (item.ads or item.walk):
                await self._record(listings, item)
            elif isinstance(item, ListingDetail):
                await listings.record_detail(item.listing)
            elif isinstance(item, RecheckedAd):
                await self._recheck(listings, item)
        except ClaimLost:
            raise NotRecorded("claim_lost") from None
        except (psycopg.Error, DatabaseError) as error:
            self._crawler.stats.inc_value("listing/not_recorded")
            log.error("a page cannot be recorded: the run ends %s", pairs(error=closing.one_line(error)))
            closing.close(self._crawler, "not_recorded")
            raise NotRecorded("not_recorded") from None
        return item

    async def _record(self, listings: Listings, item: ListedAds) -> None:
        stats = self._crawler.stats
        for name, count in Counter(name for _, listing in item.ads for name in listing.dropped).items():
            stats.inc_value(f"listing/dropped/{name}", count)
        recorded = await listings.record(item.ads, walk=item.walk, newest=item.newest)
        for name, count in asdict(recorded).items():
            if count:
                stats.inc_value(f"listing/{name}", count)
        log.info(
            "Scraped: %s INSERT %s UPDATE %s unchanged %s back %s",
            item.title,
            recorded.new,
            recorded.changed,
            recorded.unchanged,
            recorded.back,
        )

    async def _recheck(self, listings: Listings, item: RecheckedAd) -> None:
        outcome = await listings.record_recheck(item)
        self._crawler.stats.inc_value(f"recheck/{outcome or 'outdated'}")
        if outcome == "deleted":
            self._crawler.stats.inc_value("listing/gone")
        if outcome in ("changed", "deleted"):
            log.info("rechecked: %s ad %s", outcome, item.ad_id)
