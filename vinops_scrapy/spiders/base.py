"""The base classes of spiders: arguments, lifecycle and progress of all; reading and recording of lists of ads.

A spider declares what it is (`name`, `site`, `unit`, `item`, `defaults`), yields its first requests in
`first_requests`, and reads responses with the functions of its page module.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import psycopg
import scrapy
from scrapy import Request, signals
from scrapy.downloadermiddlewares.retry import get_retry_request

from vinops import config
from vinops.db.database import DatabaseError
from vinops.logs import pairs
from vinops_scrapy import closing
from vinops_scrapy.arguments import WrongArgument
from vinops_scrapy.failures import reason_of
from vinops_scrapy.hosts import netloc
from vinops_scrapy.items import ListedAds
from vinops_scrapy.listings.fill_rates import FillRates
from vinops_scrapy.listings.records import Listings
from vinops_scrapy.listings.saved_pages import save_page
from vinops_scrapy.pages.errors import PageError
from vinops_scrapy.shared import motion, pool, require_rights

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from scrapy.signalmanager import SignalManager
    from twisted.python.failure import Failure

    from vinops.config import Settings
    from vinops_scrapy.items import Listing, ListPage, WalkPage

log = logging.getLogger("market")

LAST_ITEMS: Final = 5
SCRAPYD: Final = frozenset({"_job"})
"""Arguments that scrapyd adds to those of the spider."""
MOST_DIGITS: Final = 18
"""Of a count: it fits into PostgreSQL's bigint."""
TRANSIENT: Final = frozenset({"truncated"})
"""Reasons of unreadable pages that lie in the connection, not in the site."""
RESULTS: Final = ("listing/new", "listing/changed", "listing/back", "listing/unchanged")


@dataclass(frozen=True, kw_only=True)
class CrawlProgress:
    """How far a crawl is: `done` of `total` units (lots, pages), the `items` they brought, the `bytes` stored, the item
    in progress, and the last items that were done."""

    done: int = 0
    total: int | None = None
    items: int = 0
    bytes: int = 0
    current_item: str | None = None
    last_items: tuple[str, ...] = ()


class BaseSpider(scrapy.Spider):
    """A spider with checked arguments, a database, a progress report and an orderly end."""

    site: ClassVar[str]
    """The name of the page module."""
    unit: ClassVar[str] = "request"
    item: ClassVar[str] = "item"
    """What `done` and `items` of CrawlProgress count, in the singular."""
    defaults: ClassVar[Mapping[str, str]] = {}
    """The arguments of -a, with the values that they have when they are not given."""
    renew_seconds: float = 0.0
    """How often `renew` is called while the crawl progresses; never if 0."""
    writes: ClassVar[tuple[str, ...]] = ("ops.alerts", "ops.crawl_runs", "ops.host_budgets")
    """The tables that the crawl reads, inserts into and updates: without the rights it does not begin."""
    worker: str | None = None
    _renewing: asyncio.Task[None] | None = None
    is_incomplete = False
    """Whether a required page could not be read: the crawl then ends with the reason `incomplete`."""

    def __init__(self, **given: str) -> None:
        """Read the arguments of -a. Raises WrongArgument for one that is unknown or makes no sense."""
        if unknown := sorted(set(given) - set(self.defaults) - SCRAPYD):
            known = [*self.defaults]
            use = f"use {', '.join(known[:-1])} or {known[-1]}" if known[1:] else f"use {''.join(known) or 'none'}"
            raise WrongArgument(f"{self.name} knows no -a {', '.join(unknown)}: {use}")
        for name, value in given.items():
            if not str(value):
                raise WrongArgument(f"-a {name}= has no value: give one, or leave the argument out")
            if not str(value).isprintable():
                raise WrongArgument(f"-a {name} has a character that cannot be printed: give plain text")
        super().__init__(**{name: value for name, value in given.items() if name in SCRAPYD})
        self.config = config.load()
        self.arguments = {name: str(given.get(name, default)) for name, default in self.defaults.items()}
        self.stopping = asyncio.Event()
        self.read_arguments(**self.arguments)

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> Self:
        """Make the spider of a crawl. Raises WrongArgument, and DatabaseError if there is no database."""
        spider = super().from_crawler(crawler, *args, **kwargs)
        pool(crawler)  # raises before anything has begun, as does the next line
        require_rights(spider.config, cls.writes)
        spider.connect(crawler.signals)
        return spider

    @classmethod
    def hosts(cls, settings: Settings) -> frozenset[str]:
        """Return the hosts that may be requested."""
        raise NotImplementedError

    @classmethod
    def image_hosts(cls, settings: Settings) -> frozenset[str]:
        """Return those of the hosts for which the pace of images applies."""
        return frozenset()

    @classmethod
    def log_name(cls, arguments: Mapping[str, str]) -> str:
        """Return the name of the log that a crawl with these arguments writes."""
        return str(cls.name)

    def read_arguments(self, *_: Any, **arguments: Any) -> None:
        """Take the arguments that `defaults` declares, by keyword. Raises WrongArgument for one that makes no sense."""

    def connect(self, manager: SignalManager) -> None:
        """Connect the handlers of Scrapy's signals, beside `closed`, which Scrapy connects."""
        manager.connect(self._open, signals.spider_opened)

    async def _open(self) -> None:
        await pool(self.crawler).open()
        await self.opened()
        if self.renew_seconds:
            self._renewing = asyncio.ensure_future(self._keep_leases())

    async def opened(self) -> None:
        """Prepare the crawl: statistics, settings and the database are available."""

    async def closed(self, reason: str) -> None:
        """Release what `opened` took. All items have left the pipelines."""
        self.stop()
        if self._renewing:
            self._renewing.cancel()

    async def renew(self) -> None:
        """Extend the leases that the crawl holds in the database."""

    async def _keep_leases(self) -> None:
        """Renew leases for as long as the crawl progresses: those of one that hangs expire."""
        while True:
            await asyncio.sleep(self.renew_seconds)
            if not self.is_moving():
                continue
            try:
                await self.renew()
            except psycopg.Error as error:  # the connection broke: the next time there is another
                log.warning("leases are not renewed %s", pairs(error=closing.one_line(error)))
            except DatabaseError as error:
                closing.lost(self.crawler, error)
                return

    def stop(self) -> None:
        """Start no more work: the crawl is about to end."""
        self.stopping.set()

    async def start(self) -> AsyncIterator[Any]:
        """Yield the first requests; end the crawl if the database becomes unavailable."""
        with closing.IfDatabaseIsLost(self.crawler):
            async for request in self.first_requests():
                yield request

    def first_requests(self) -> AsyncIterator[Any]:
        """Yield the first requests of the crawl."""
        raise NotImplementedError

    def progress(self) -> CrawlProgress:
        """Return how far the crawl is."""
        raise NotImplementedError

    def is_moving(self) -> bool:
        """Tell whether the crawl progresses, or waits on purpose."""
        return not motion(self.crawler).still(self.progress(), self.crawler.stats.get_stats())


class ListingSpider(BaseSpider):
    """Reads a list of ads to its end, from page to page, and records each page as one item.

    A site whose list links each page to the next needs no more than declarations; another one overrides
    `first_requests` and `parse`. No ad is marked gone: that takes a complete walk, see mobile_bg.
    """

    unit = "page"
    item = "ad"
    writes = (*BaseSpider.writes, "listings", "ops.deal_outbox")
    custom_settings = {"ITEM_PIPELINES": {"vinops_scrapy.pipelines.listing_record.RecordListings": 100}}  # noqa: RUF012 # as Scrapy has it

    url: ClassVar[str]
    """The address of the list's first page."""
    source: ClassVar[str]
    """The value of listings.source for this site."""
    list_page: Callable[[Response], ListPage]
    """The function of the page module that reads a page of the list."""
    ordinary: ClassVar[Mapping[str, float]] = {}
    """The share of ads in which a field has a value at least, by field, as long as the database holds too few ads."""

    listings: Listings

    def __init__(self, **given: str) -> None:
        """Read the arguments of -a. Raises WrongArgument for one that is unknown or makes no sense."""
        super().__init__(**given)
        self.current_item: str | None = None
        self.last_items: deque[str] = deque(maxlen=LAST_ITEMS)
        self._recording: dict[int, asyncio.Future[str | None]] = {}

    def connect(self, manager: SignalManager) -> None:
        """Connect the handlers of signals."""
        super().connect(manager)
        manager.connect(self._scraped, signals.item_scraped)
        manager.connect(self._not_scraped, signals.item_dropped)
        manager.connect(self._not_scraped, signals.item_error)

    @classmethod
    def hosts(cls, settings: Settings) -> frozenset[str]:
        """Return the host of the list."""
        return frozenset({netloc(cls.url)})

    async def opened(self) -> None:
        """Read how often the fields of ads had a value lately."""
        self.listings = Listings(pool(self.crawler), self.source)
        self._fill = FillRates(*await self.listings.fill_rates(), ordinary=self.ordinary)

    async def first_requests(self) -> AsyncIterator[Any]:
        """Yield the request for the first page of the list."""
        first = self.url
        if standin := self.crawler.settings["VINOPS_STANDIN"]:
            first = standin.rstrip("/") + first.partition(netloc(first))[2]
        yield Request(first, errback=self.list_failed)

    async def parse(self, response: Response) -> AsyncIterator[Any]:
        """Yield the ads of a page as one item, and the request for the next page."""
        try:
            page = await self.read(response)
        except PageError as error:
            self.fell_short(error.reason)
            return
        if isinstance(page, Request):
            yield page
            return
        self.current_item = f"page {page.page}"
        yield self.listed(page, title=self.current_item)
        if page.next_url:
            yield Request(page.next_url, errback=self.list_failed)

    def list_failed(self, failure: Failure) -> Any:
        """Count a page of the list that could not be downloaded."""
        self.fell_short(reason_of(failure))

    async def read(self, response: Response) -> ListPage | Request:
        """Return the page; the first time that it cannot be read, the request for it once more.

        The second time the page is kept for inspection, the run ends if the site has changed, and PageError is raised.
        """
        try:
            page = self.list_page(response)
            if empty := self._fill.stopped(page.listings, ordered_by=page.ordered_by):
                raise PageError("fields_stopped", f"{', '.join(empty)} no longer have a value")
        except PageError as error:
            if again := self._again(response, error):
                return again
            await self.unreadable(response, error)
            raise
        self.crawler.stats.inc_value("page/read")
        for kind, count in page.left_out.items():
            self.crawler.stats.inc_value(f"listing/left_out/{kind}", count)
        return page

    def _again(self, response: Response, error: PageError) -> Request | None:
        if response.request is None:
            raise ValueError("a response without a request")
        times = 2 if error.reason in TRANSIENT else 1
        return get_retry_request(response.request, spider=self, reason=error.reason, max_retry_times=times)

    async def unreadable(self, response: Response, error: PageError) -> None:
        """Keep a page that cannot be read; end the run if it is the site that changed."""
        self.crawler.stats.inc_value(f"page/{error.reason}")
        path = await asyncio.to_thread(save_page, response, self.config.log_dir, site=self.site, reason=error.reason)
        log.error("the page cannot be read %s", pairs(reason=error.reason, url=response.url, kept=path))
        if error.reason not in TRANSIENT:
            await closing.end(
                self.crawler,
                "layout_changed",
                netloc(response.url),
                f"{error}: a page of {netloc(response.url)} is not as it was. It is kept in {path}; what was read "
                f"before it is recorded, nothing is marked as gone. Compare it with vinops_scrapy/pages/{self.site}.py",
            )

    def fell_short(self, reason: str) -> None:
        """Count a list that was not read to its end, and let the run end as `incomplete`."""
        self.crawler.stats.inc_value(f"walk/failed/{reason}")
        self.is_incomplete |= reason != "pages"  # which was asked for

    def listed(self, page: ListPage, *, title: str, walk: WalkPage | None = None) -> ListedAds:
        """Return the item that records the ads of a page: those whose make is followed."""
        ads = tuple((make, listing) for listing in page.listings if (make := self.make_of(listing)) is not None)
        if others := len(page.listings) - len(ads):
            self.crawler.stats.inc_value("listing/other_make", others)
        return ListedAds(ads=ads, title=title, walk=walk)

    def make_of(self, listing: Listing) -> str | None:
        """Return the slug of an ad's make; None if the make is not followed."""
        return re.sub(r"[^a-z0-9]+", "-", (listing.make_text or "").lower()).strip("-") or "unknown"

    def recording(self, item: object) -> asyncio.Future[str | None]:
        """Return a future of why an item was not recorded; None if it was. To be called before the item is yielded."""
        self._recording[id(item)] = found = asyncio.get_running_loop().create_future()
        return found

    def _scraped(self, item: Any) -> None:
        if isinstance(item, ListedAds):
            self.last_items.extend(f"{listing.ad_id} {listing.title[:60]}" for _, listing in item.ads[-LAST_ITEMS:])
        self._recorded(item, None)

    def _not_scraped(self, item: Any, exception: Exception | None = None) -> None:
        self._recorded(item, str(getattr(exception, "reason", "not_recorded")))

    def _recorded(self, item: Any, reason: str | None) -> None:
        found = self._recording.pop(id(item), None)
        if found is not None and not found.done():
            found.set_result(reason)

    def progress(self) -> CrawlProgress:
        """Return how far the crawl is, by its statistics."""
        stats = self.crawler.stats
        return CrawlProgress(
            done=stats.get_value("page/read", 0),
            total=self.expected_pages(),
            items=sum(stats.get_value(name, 0) for name in RESULTS),
            current_item=self.current_item,
            last_items=tuple(self.last_items),
        )

    def expected_pages(self) -> int | None:
        """Return about how many pages the crawl will read; None if that is not known."""
        return None


def whole_number(name: str, text: str) -> int:
    """Return the value of an argument that is a count. Raises WrongArgument."""
    if not text.isdecimal() or len(text) > MOST_DIGITS or int(text) < 1:
        raise WrongArgument(f"-a {name}={text} is not a count above 0")
    return int(text)


def one_of(name: str, text: str, choices: tuple[str, ...]) -> str:
    """Return the value of an argument that is one of some words. Raises WrongArgument."""
    if text not in choices:
        raise WrongArgument(f"-a {name}={text} is none of {', '.join(choices)}")
    return text
