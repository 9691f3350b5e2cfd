"""What every spider declares, how it takes arguments, and how it learns whether a page was recorded."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from scrapy import signals
from scrapy.settings import Settings as ScrapySettings
from scrapy.signalmanager import SignalManager
from scrapy.spiderloader import SpiderLoader

from vinops import config
from vinops.config import ConfigError
from vinops_scrapy.items import ListedAds, Listing, ListPage
from vinops_scrapy.pipelines.listing_record import NotRecorded
from vinops_scrapy.spiders.base import BaseSpider, ListingSpider

if TYPE_CHECKING:
    from scrapy.http import Response

LOADER = SpiderLoader.from_settings(ScrapySettings({"SPIDER_MODULES": ["vinops_scrapy.spiders"]}))


class Cars(ListingSpider):
    """A list of cars."""

    name = "cars"
    site = "cars"
    source = "cars"
    url = "https://cars.example/ads"
    defaults = {"pages": "", "mode": "full"}  # noqa: RUF012 # never changed

    @staticmethod
    def list_page(response: Response) -> ListPage:
        return ListPage(listings=())


def ad(number: int, make: str | None = "Kia") -> Listing:
    return Listing(
        source="cars",
        ad_id=str(number),
        url="",
        title=f"ad {number}",
        posted_at=datetime(2026, 1, 1, tzinfo=UTC),
        make_text=make,
    )


@pytest.mark.parametrize("name", LOADER.list())
def test_every_spider_declares_what_it_is(name: str) -> None:
    spider: Any = LOADER.load(name)
    assert issubclass(spider, BaseSpider)
    assert spider.hosts(config.load())
    assert spider.image_hosts(config.load()) <= spider.hosts(config.load())
    assert (spider.unit, spider.item) != (BaseSpider.unit, BaseSpider.item)
    module = __import__(spider.__module__, fromlist=["__doc__"])
    assert all(f"-a {argument}=" in module.__doc__ for argument in spider.defaults)


def test_arguments_have_defaults_and_those_of_scrapyd_are_no_fault() -> None:
    assert Cars(pages="2", _job="1").arguments == {"pages": "2", "mode": "full"}
    with pytest.raises(ConfigError, match="cars knows no -a page, size: use pages or mode"):
        Cars(size="1", page="2")


@pytest.mark.parametrize(
    ("signal", "exception", "reason"),
    [
        (signals.item_scraped, None, None),
        (signals.item_dropped, NotRecorded("claim_lost"), "claim_lost"),
        (signals.item_dropped, None, "not_recorded"),
        (signals.item_error, None, "not_recorded"),
    ],
)
def test_a_spider_learns_whether_a_page_was_recorded(
    signal: object, exception: Exception | None, reason: str | None
) -> None:
    async def live() -> tuple[str | None, list[str]]:
        spider, manager = Cars(), SignalManager()
        spider.connect(manager)
        page, other = (ListedAds(ads=(("kia", ad(number)),), title=f"page {number}") for number in (1, 2))
        recorded = spider.recording(page)
        await manager.send_catch_log_async(signals.item_scraped, item=other, response=None, spider=spider)
        assert not recorded.done()
        await manager.send_catch_log_async(signal, item=page, response=None, spider=spider, exception=exception)
        return await recorded, list(spider.last_items)

    assert asyncio.run(live()) == (reason, ["2 ad 2"] if reason else ["2 ad 2", "1 ad 1"])


def test_ads_are_recorded_under_the_slug_of_their_make() -> None:
    page = ListPage(listings=(ad(1, "Alfa Romeo"), ad(2, None)))
    assert [make for make, _ in Cars().listed(page, title="").ads] == ["alfa-romeo", "unknown"]
