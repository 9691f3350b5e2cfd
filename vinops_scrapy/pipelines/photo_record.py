"""Record: when the last photo of a lot has its end, its photos and its state become true in one transaction."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Self

import psycopg
from scrapy import signals

from vinops.db.database import DatabaseError
from vinops.logs import pairs
from vinops_scrapy.items import LotEnd, Photo, PhotoFailure
from vinops_scrapy.pipelines.validate import Interrupted

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

    from vinops_scrapy.copart.work import Work

log = logging.getLogger("photos")


class Record:
    """Hands the end of each photo to the work, whatever end it was; the work settles the lot after the last."""

    def __init__(self, crawler: Crawler) -> None:
        """Listen for photos that a pipeline before this one dropped."""
        self._crawler = crawler
        crawler.signals.connect(self._dropped, signals.item_dropped)
        crawler.signals.connect(self._broken, signals.item_error)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make the pipeline for a crawl."""
        return cls(crawler)

    async def process_item(self, item: object) -> object:
        """Return the item; if it was the last of its lot the lot is settled by then."""
        work = work_of(self._crawler)
        if isinstance(item, Photo):
            await work.stored(item)
        elif isinstance(item, PhotoFailure):
            await work.failed(item.lot, item.reason)
        elif isinstance(item, LotEnd) and (entry := work.open.get(item.lot.id)):
            await work.settle(entry)
        return item

    async def close_spider(self) -> None:
        """Give the leases of unfinished lots back. Without a database they run out by themselves."""
        try:
            await work_of(self._crawler).give_back()
        except (psycopg.Error, DatabaseError) as error:
            log.warning("leases cannot be given back: they run out %s", pairs(error=" ".join(str(error).split())))

    async def _dropped(self, item: object, exception: Exception) -> None:
        if isinstance(exception, Interrupted):
            return  # its lot is given back
        if isinstance(item, Photo):
            await work_of(self._crawler).failed(item.lot, str(getattr(exception, "reason", "dropped")))

    async def _broken(self, item: object) -> None:
        if isinstance(item, Photo):
            await work_of(self._crawler).failed(item.lot, "fault")


def work_of(crawler: Crawler) -> Work:
    """Return the work of the crawl's spider, which is made when the spider is."""
    spider: Any = crawler.spider
    work: Work = spider.work
    return work
