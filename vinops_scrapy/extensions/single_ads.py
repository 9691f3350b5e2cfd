"""Scrapy's own extensions, for items that hold several ads: what they count and export is the single ad."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrapy.extensions.corestats import CoreStats
from scrapy.extensions.feedexport import FeedExporter

from vinops_scrapy.items import ListedAds

if TYPE_CHECKING:
    from scrapy import Spider


class AdStats(CoreStats):
    """Counts each ad of a list page in `item_scraped_count`."""

    def item_scraped(self, item: Any, spider: Spider) -> None:
        """Count the ads of an item."""
        for each in _single(item):
            super().item_scraped(each, spider)


class AdExporter(FeedExporter):
    """Writes each ad of a list page to the files of `scrapy crawl -O`."""

    def item_scraped(self, item: Any, spider: Spider) -> None:
        """Export the ads of an item."""
        for each in _single(item):
            super().item_scraped(each, spider)


def _single(item: Any) -> list[Any]:
    return [listing for _, listing in item.ads] if isinstance(item, ListedAds) else [item]
