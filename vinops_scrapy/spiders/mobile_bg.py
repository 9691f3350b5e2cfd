"""mobile_bg: the ads of mobile.bg, list by list.

    scrapy crawl mobile_bg [-a worker=1..4 | -a makes=bmw,audi] [-a mode=full|fresh] [-a pages=N]
                           [-a details=none|missing|all]

A full crawl walks all lists of each make and so knows what is gone; a fresh one reads what is newest, over all makes
unless some are named, down to the first page without anything new. A list shows twenty ads with nearly everything that
is to be known of them: their own pages are asked for only with `details`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import scrapy
from scrapy import Request, signals
from scrapy.downloadermiddlewares.retry import get_retry_request

from vinops import config
from vinops.logs import pairs
from vinops_scrapy import closing as alerting
from vinops_scrapy.failures import reason_of
from vinops_scrapy.hosts import netloc
from vinops_scrapy.items import ListingDetail
from vinops_scrapy.mobile_bg.batches import Batch, Batches
from vinops_scrapy.mobile_bg.fill_rates import FillRates
from vinops_scrapy.mobile_bg.listings import Listings, Recorded
from vinops_scrapy.mobile_bg.makes import read_makes
from vinops_scrapy.mobile_bg.saved_pages import save_page
from vinops_scrapy.mobile_bg.walks import NewestFirst, Step, Walk
from vinops_scrapy.pages import mobile_bg
from vinops_scrapy.pages.errors import PageError
from vinops_scrapy.runs import Standing
from vinops_scrapy.shared import pool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from twisted.python.failure import Failure

    from vinops.config import Settings
    from vinops_scrapy.items import Listing, ListPage
    from vinops_scrapy.mobile_bg.makes import Make

log = logging.getLogger("market")

MODES: Final = ("full", "fresh")
DETAILS: Final = ("none", "missing", "all")
LAST_ADS: Final = 5
FRESH_PAGES: Final = 50
NEEDED: Final = ("year", "mileage_km", "fuel", "gearbox", "power_hp")
"""What a list may lack and the ad's own page may have."""
PASSING: Final = frozenset({"truncated"})
"""Kinds of unreadable pages that come from the line, not from the site."""


class MobileBg(scrapy.Spider):
    """Walks the lists of makes, one request at a time."""

    name = "mobile_bg"
    site = "mobile_bg"
    unit = "page"
    item = "ad"
    custom_settings = {"ITEM_PIPELINES": {"vinops_scrapy.pipelines.listing_record.RecordListings": 100}}  # noqa: RUF012 # as Scrapy has it

    config: Settings
    listings: Listings
    fill: FillRates

    def __init__(
        self,
        *,
        worker: str = "",
        makes: str = "",
        pages: str = "",
        mode: str = "full",
        details: str = "none",
        **more: Any,
    ) -> None:
        """Read the arguments of -a. Raises ConfigError for one that makes no sense."""
        if unknown := sorted(set(more) - {"_job"}):  # scrapyd passes _job
            raise config.ConfigError(
                f"mobile_bg knows no -a {', '.join(unknown)}: use worker, makes, pages, mode or details"
            )
        super().__init__(**more)
        self.arguments = {"worker": worker, "makes": makes, "pages": pages, "mode": mode, "details": details}
        if worker and makes:
            raise config.ConfigError("-a worker and -a makes say different things: give one of them")
        if mode not in MODES:
            raise config.ConfigError(f"-a mode={mode} is none of {', '.join(MODES)}")
        if details not in DETAILS:
            raise config.ConfigError(f"-a details={details} is none of {', '.join(DETAILS)}")
        self.config = config.load()
        self.book = read_makes(self.config.makes_file)
        self.worker = str(_count("worker", worker)) if worker else None
        self.mode, self.details = mode, details
        self.pages = _count("pages", pages) if pages else None
        slugs = [part.strip().lower() for part in makes.split(",") if part.strip()]
        self.is_named = bool(self.worker or slugs)
        self.makes = (
            self.book.of_worker(int(self.worker)) if self.worker else self.book.named(slugs) if slugs else self.book.all
        )
        self.batches = Batches()
        self.last_ads: deque[str] = deque(maxlen=LAST_ADS)
        self.current: str | None = None
        self.ads = self.done = 0
        self._pages_of = {make.slug: self._expected(make) for make in self.makes}
        self._slugs = {make.name.casefold(): make.slug for make in self.book.all}
        self._models: dict[str, tuple[str, ...]] | None = None
        self._is_short = False
        self._end = asyncio.Event()
        self._stopping = asyncio.Event()

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> MobileBg:
        """Make the spider with its database."""
        spider: MobileBg = super().from_crawler(crawler, *args, **kwargs)
        pool(crawler)  # raises DatabaseError before anything has begun
        crawler.signals.connect(spider.opened, signals.spider_opened)
        crawler.signals.connect(spider.closed_down, signals.spider_closed)
        return spider

    @staticmethod
    def log_name(arguments: Mapping[str, str]) -> str:
        """Return the name of the log: one for each worker."""
        worker = arguments.get("worker", "")
        return f"worker_{worker}" if worker.isdecimal() else "mobile_bg"

    @staticmethod
    def hosts(settings: Settings) -> frozenset[str]:
        """Return the hosts that the settings allow to be asked."""
        return frozenset({netloc(settings.mobile_bg_url)})

    async def opened(self) -> None:
        """Open the database, and look at what pages were like lately."""
        await pool(self.crawler).open()
        self.listings = Listings(pool(self.crawler), mobile_bg.SOURCE, shrink_limit=self.config.market_shrink_limit)
        self.fill = FillRates(*await self.listings.fill_rates())

    async def closed_down(self) -> None:
        """Wait for pages that are being recorded, and let the makes go."""
        self.stop()
        self.batches.abandon()
        await self.batches.wait()
        await self.listings.close()

    def stop(self) -> None:
        """Begin no further list: the crawl is about to end."""
        self._stopping.set()
        self._end.set()

    def standing(self) -> Standing:
        """Return how far the run is."""
        return Standing(
            done=self.done,
            total=max(sum(self._pages_of.values()), self.done) if self.mode == "full" else None,
            items=self.ads,
            current_item=self.current,
            last_items=tuple(self.last_ads),
        )

    async def start(self) -> AsyncIterator[Any]:
        """Yield the first request of each make, when the one before has its end."""
        lists = self._newest() if self.mode == "fresh" else self._walks()
        async for request in lists:
            yield request
        if self._is_short and not self._stopping.is_set():
            alerting.close(self.crawler, "incomplete")

    async def _newest(self) -> AsyncIterator[Request]:
        """Yield the first request of each list that is looked at for what is new, when the one before has its end."""
        for make in self.makes if self.is_named else (None,):
            self._end.clear()
            yield self.list_request(Step(page=1), make, NewestFirst(pages=self.pages or FRESH_PAGES))
            await self._end.wait()
            if self._stopping.is_set():
                return

    async def _walks(self) -> AsyncIterator[Request]:
        """Yield the first request of each make that no other crawl walks, when the one before has its end."""
        for make in await self._in_turn():
            if not await self.listings.claim(make.slug):
                self.crawler.stats.inc_value("walk/claimed_elsewhere")
                log.warning("another crawl walks this make %s", pairs(make=make.slug))
                continue
            number, started_at = await self.listings.begin_walk(make.slug)
            walk = Walk(
                make,
                number=number,
                started_at=started_at,
                page_limit=self.book.page_limit,
                page_size=self.book.page_size,
                pages=self.pages,
            )
            self._end.clear()
            yield self.list_request(walk.first(), make, walk)
            await self._end.wait()
            if self._stopping.is_set():
                return
            await self.listings.release(make.slug)

    async def _in_turn(self) -> list[Make]:
        """Return the makes, the one whose last complete walk is longest ago first: who was killed goes on there."""
        last = await self.listings.last_walks()
        never = datetime.min.replace(tzinfo=UTC)
        return sorted(self.makes, key=lambda make: last.get(make.slug, never))

    def list_request(self, step: Step, make: Make | None, course: Walk | NewestFirst) -> Request:
        """Return the request for a page of a list."""
        address = mobile_bg.list_address(
            self.config.mobile_bg_url,
            make.slug if make else None,
            model=step.model,
            page=step.page,
            region=self.book.region,
            sort=self.book.sort,
        )
        return Request(
            address,
            callback=self.parse_list,
            errback=self.list_failed,
            cb_kwargs={"step": step, "make": make, "course": course},
            dont_filter=True,  # a page may be read again: see walks.py
            meta={"handle_httpstatus_list": [404]},
        )

    async def parse_list(
        self, response: Response, step: Step, make: Make | None, course: Walk | NewestFirst
    ) -> AsyncIterator[Any]:
        """Yield the ads of a page, and the request for the next one."""
        self.current = _named(step, make)
        if response.status == 404:
            await self._give_up(course, "no_such_list", make)
            return
        try:
            page = self._read(response)
        except PageError as error:
            yield await self._again(response, error, make, course)
            return
        following = await self._following(step, page, course)
        if isinstance(course, NewestFirst) and following is not None:
            yield self.list_request(following, make, course)
            return
        pages = course.pages if isinstance(course, NewestFirst) else [(step, page)]
        for earlier, each in reversed(pages):
            async for found in self._ads_of(earlier, make, course, each):
                yield found
        if isinstance(course, Walk) and course.needs_models:
            yield self.models_request(course)
        elif following is None:
            await self._finish(course)
        else:
            yield self.list_request(following, make, course)

    async def _ads_of(
        self, step: Step, make: Make | None, course: Walk | NewestFirst, page: ListPage
    ) -> AsyncIterator[Any]:
        """Yield the ads of a page, and the requests for their own pages where those are wanted."""
        batch = self._batch(step, make, course, page)
        for listing in page.listings:
            if listing.ad_id in batch.makes:
                yield listing
        if batch.makes and (self.details != "none" or isinstance(course, NewestFirst)):
            await batch.end.wait()  # the ad before what its page adds; the older page before the newer one
        if batch.makes and self.details != "none":
            for request in await self._details(page.listings):
                yield request

    def _read(self, response: Response) -> ListPage:
        """Return the page. Raises PageError, also for one whose fields are empty."""
        page = mobile_bg.list_page(response)
        if stopped := self.fill.stopped(page.listings):
            raise PageError("fields_stopped", f"{', '.join(stopped)} have no value any more")
        self.done += 1
        self.crawler.stats.inc_value("page/read")
        for kind, count in page.left_out.items():
            self.crawler.stats.inc_value(f"listing/left_out/{kind}", count)
        return page

    async def _following(self, step: Step, page: ListPage, course: Walk | NewestFirst) -> Step | None:
        """Return the page to ask for next, None at the end."""
        if isinstance(course, NewestFirst):
            return course.take(step, page, set(await self.listings.known([each.ad_id for each in page.listings])))
        following = course.take(step, page)
        self._pages_of[course.make.slug] = max(course.expected_pages, course.steps)
        return following

    async def _again(
        self, response: Response, error: PageError, make: Make | None, course: Walk | NewestFirst
    ) -> Request | None:
        """Return the request for a page that could not be read, None if that was its last chance."""
        times = 2 if error.reason in PASSING else 1
        again = get_retry_request(_request(response), spider=self, reason=error.reason, max_retry_times=times)
        if again is None:
            await self._unreadable(response, error, make, course)
        return again or None

    def _batch(self, step: Step, make: Make | None, course: Walk | NewestFirst, page: ListPage) -> Batch:
        """Expect the ads of a page that are of makes that are followed."""
        makes: dict[str, str] = {}
        for listing in page.listings:
            slug = make.slug if make else self._slugs.get((listing.make_text or "").casefold())
            if slug:
                makes[listing.ad_id] = slug
            else:
                self.crawler.stats.inc_value("listing/other_make")
        batch = Batch(step=step, walk=course if isinstance(course, Walk) else None, makes=makes)
        if makes:
            self.batches.add(batch)
        else:
            batch.end.set()
        return batch

    def recorded(self, batch: Batch, recorded: Recorded) -> None:
        """Say what a page brought: the line that operators look for."""
        self.ads += len(batch.makes)
        self.last_ads.extend(f"{each.ad_id} {each.title[:60]}" for each in batch.arrived[-LAST_ADS:])
        for name in ("new", "changed", "back", "unchanged"):
            if count := getattr(recorded, name):
                self.crawler.stats.inc_value(f"listing/{name}", count)
        make = batch.walk.make if batch.walk else None
        of = f" of {batch.walk.expected_pages}" if batch.walk else ""
        log.info(
            "Scraped: %s%s INSERT %s UPDATE %s unchanged %s back %s",
            _named(batch.step, make),
            of,
            recorded.new,
            recorded.changed,
            recorded.unchanged,
            recorded.back,
        )

    def models_request(self, walk: Walk) -> Request:
        """Return the request for the site's list of models, for a make whose own list is cut off."""
        return Request(
            mobile_bg.sitemap_address(self.config.mobile_bg_url),
            callback=self.parse_models,
            errback=self.list_failed,
            cb_kwargs={"make": walk.make, "course": walk},
            dont_filter=True,
        )

    async def parse_models(self, response: Response, make: Make, course: Walk) -> AsyncIterator[Any]:
        """Yield the request for the first model's list."""
        try:
            models = mobile_bg.models(response).get(make.slug, ())
        except PageError as error:
            await self._unreadable(response, error, make, course)
            return
        following = course.split(models)
        if following is None:
            await self._give_up(course, "no_models", make)
        else:
            log.info("walked model by model %s", pairs(make=make.slug, ads=course.total, models=len(models)))
            yield self.list_request(following, make, course)

    async def _details(self, listings: tuple[Listing, ...]) -> list[Request]:
        """Return requests for the pages of ads that are worth one."""
        known = await self.listings.known([listing.ad_id for listing in listings])
        return [
            Request(
                listing.url,
                callback=self.parse_detail,
                errback=self.detail_failed,
                cb_kwargs={"ad_id": listing.ad_id},
                dont_filter=True,
                meta={"handle_httpstatus_list": [404]},
            )
            for listing in listings
            if known.get(listing.ad_id) is False and (self.details == "all" or _lacks(listing))
        ]

    def parse_detail(self, response: Response, ad_id: str) -> ListingDetail | None:
        """Return the ad as its own page shows it. One that cannot be read costs itself alone."""
        try:
            listing = mobile_bg.listing(response)
        except PageError as error:
            self.crawler.stats.inc_value(f"detail/{error.reason}")
            log.warning("the page of an ad cannot be read %s", pairs(ad=ad_id, reason=error.reason))
            return None
        if listing.ad_id != ad_id:
            self.crawler.stats.inc_value("detail/another_ad")
            return None
        self.crawler.stats.inc_value("detail/read")
        return ListingDetail(listing=listing)

    def detail_failed(self, failure: Failure) -> None:
        """Count a page of an ad that did not come."""
        self.crawler.stats.inc_value(f"detail/{reason_of(failure)}")

    async def list_failed(self, failure: Failure) -> None:
        """Give a list up whose page did not come; the next make goes on."""
        arguments: dict[str, Any] = failure.request.cb_kwargs  # type: ignore[attr-defined]
        await self._give_up(arguments["course"], reason_of(failure), arguments["make"])

    async def _unreadable(
        self, response: Response, error: PageError, make: Make | None, course: Walk | NewestFirst
    ) -> None:
        """Keep a page that cannot be read; end the run if it is the site that changed."""
        self.crawler.stats.inc_value(f"page/{error.reason}")
        path = await asyncio.to_thread(save_page, response, self.config.log_dir, site=self.site, reason=error.reason)
        log.error("the page cannot be read %s", pairs(reason=error.reason, url=response.url, kept=path))
        if error.reason not in PASSING:
            await alerting.end(
                self.crawler,
                "layout_changed",
                netloc(response.url),
                f"{error}: a page of {netloc(response.url)} is not as it was. It is kept in {path}; what was read "
                "before it is recorded, nothing is taken for gone. Compare it with vinops_scrapy/pages/mobile_bg.py",
            )
        await self._give_up(course, error.reason, make)

    async def _give_up(self, course: Walk | NewestFirst, reason: str, make: Make | None) -> None:
        """End a list that cannot be read to its end: nothing of it is gone."""
        log.warning("the list is not read to its end %s", pairs(make=make.slug if make else "all", reason=reason))
        if isinstance(course, Walk):
            course.fail(reason)
        else:
            self._fell_short(reason)
        await self._finish(course)

    def _fell_short(self, reason: str) -> None:
        self.crawler.stats.inc_value(f"walk/failed/{reason}")
        self._is_short |= reason != "pages"  # which was asked for

    async def _finish(self, course: Walk | NewestFirst) -> None:
        """Note the end of a list, when all of its pages are recorded, and go on with the next."""
        try:
            if isinstance(course, Walk):
                await self.batches.wait(course)
                await self._end_walk(course)
        finally:
            self._end.set()

    async def _end_walk(self, walk: Walk) -> None:
        outcome = await self.listings.end_walk(walk)
        stats = self.crawler.stats
        stats.inc_value("walk/complete" if walk.is_complete else "walk/incomplete")
        stats.inc_value("listing/gone", outcome.gone)
        self._pages_of[walk.make.slug] = walk.steps
        reason = walk.shortfall
        log.info(
            "walked %s",
            pairs(
                make=walk.make.slug,
                complete="no" if reason else "yes",
                ads=len(walk.seen),
                total=walk.total,
                gone=outcome.gone,
                **({"reason": reason} if reason else {}),
            ),
        )
        if reason:
            self._fell_short(reason)
        if outcome.held_back:
            stats.inc_value("listing/held_back", outcome.held_back)
            log.warning(
                "ads that were not seen are not taken for gone yet %s",
                pairs(make=walk.make.slug, ads=outcome.held_back),
            )
        if walk.total is not None and walk.total * 3 < walk.make.expected:
            stats.inc_value("walk/fewer_than_expected")
            log.warning(
                "a make has far fewer ads than expected %s",
                pairs(make=walk.make.slug, total=walk.total, expected=walk.make.expected),
            )

    def _expected(self, make: Make) -> int:
        pages = max(1, -(-make.expected // self.book.page_size))
        return min(pages, self.pages) if self.pages else pages


def _lacks(listing: Listing) -> bool:
    """Tell whether a list left out what the ad's own page may have."""
    return any(getattr(listing, name) is None and name not in listing.dropped for name in NEEDED)


def _named(step: Step, make: Make | None) -> str:
    """Return how logs name a page: `bmw/320 page 3`."""
    return f"{make.slug if make else 'all makes'}{f'/{step.model}' if step.model else ''} page {step.page}"


def _request(response: Response) -> Request:
    """Return the request of an answer. Raises ValueError if there was none."""
    if response.request is None:
        raise ValueError("an answer without a request")
    return response.request


def _count(name: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise config.ConfigError(f"-a {name}={text} is no count above 0")
    return int(text)
