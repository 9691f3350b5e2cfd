"""Records a lot in one transaction once its last photo is stored or has failed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import psycopg
from scrapy import signals

from vinops.db.database import DatabaseError
from vinops.logs import pairs
from vinops_scrapy.closing import one_line
from vinops_scrapy.items import Photo
from vinops_scrapy.pipelines.validate import Interrupted
from vinops_scrapy.shared import Component

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

    from vinops_scrapy.copart.work import Work

log = logging.getLogger("photos")


class RecordPhotos(Component):
    """Reports each photo to the spider's work, which settles the lot after the last one."""

    def __init__(self, crawler: Crawler) -> None:
        """Listen for photos that an earlier pipeline dropped."""
        super().__init__(crawler)
        crawler.signals.connect(self._dropped, signals.item_dropped)
        crawler.signals.connect(self._broken, signals.item_error)

    async def process_item(self, item: object) -> object:
        """Return the item. If it was the last photo of its lot, the lot is settled by then."""
        if isinstance(item, Photo):
            await work_of(self._crawler).stored(item)
        return item

    async def close_spider(self) -> None:
        """Release the leases of unfinished lots. Without a database they expire."""
        try:
            await work_of(self._crawler).give_back()
        except (psycopg.Error, DatabaseError) as error:
            log.warning("leases cannot be released: they expire %s", pairs(error=one_line(error)))

    async def _dropped(self, item: object, exception: Exception) -> None:
        if isinstance(item, Photo) and not isinstance(exception, Interrupted):  # whose lot is released
            await work_of(self._crawler).failed(item.lot, str(getattr(exception, "reason", "dropped")))

    async def _broken(self, item: object) -> None:
        if isinstance(item, Photo):
            await work_of(self._crawler).failed(item.lot, "fault")


def work_of(crawler: Crawler) -> Work:
    """Return the work of the crawl's spider."""
    spider: Any = crawler.spider
    work: Work = spider.work
    return work
