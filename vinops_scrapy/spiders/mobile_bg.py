"""mobile_bg: the ads of mobile.bg, list by list.

    scrapy crawl mobile_bg [-a worker=1..4 | -a makes=bmw,audi] [-a mode=full|fresh] [-a pages=N]
                           [-a details=none|missing|all]

A full crawl walks all lists of each make and so knows which ads are gone; a fresh one reads the newest ads, of all
makes unless some are named, down to the first page without anything new. A list shows twenty ads with nearly everything
that is known of them: their own pages are requested only with `details`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from scrapy import Request

from vinops.logs import pairs
from vinops_scrapy import closing
from vinops_scrapy.failures import WrongArgument, reason_of
from vinops_scrapy.hosts import netloc
from vinops_scrapy.items import ListingDetail
from vinops_scrapy.mobile_bg.makes import read_makes
from vinops_scrapy.mobile_bg.parts import Parts
from vinops_scrapy.mobile_bg.schedule import Schedule
from vinops_scrapy.mobile_bg.walks import NewestFirst, Step, Walk
from vinops_scrapy.pages import mobile_bg
from vinops_scrapy.pages.errors import PageError
from vinops_scrapy.shared import motion, owner, pool
from vinops_scrapy.spiders.base import TRANSIENT, ListingSpider, one_of, whole_number

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from scrapy.http import Response
    from twisted.python.failure import Failure

    from vinops.config import Settings
    from vinops_scrapy.items import ListedAds, Listing, ListPage
    from vinops_scrapy.mobile_bg.makes import Make

log = logging.getLogger("market")

FRESH_PAGES: Final = 50
NEEDED: Final = ("year", "mileage_km", "fuel", "gearbox", "power_hp")
"""Fields that a list may lack and the ad's own page may have."""


class MobileBg(ListingSpider):
    """Walks the lists of makes, one request at a time."""

    name = "mobile_bg"
    site = "mobile_bg"
    source = mobile_bg.SOURCE
    writes = (*ListingSpider.writes, "ops.listing_walks", "ops.walk_pieces")
    defaults = {"worker": "", "makes": "", "pages": "", "mode": "full", "details": "none"}  # noqa: RUF012 # never changed
    list_page = staticmethod(mobile_bg.list_page)
    ordinary = {  # noqa: RUF012 # less than the real pages of 2025 have
        "price_eur": 0.9,
        "year": 0.9,
        "mileage_km": 0.8,
        "fuel": 0.8,
        "region": 0.8,
        "photo_urls": 0.8,
    }

    schedule: Schedule
    parts: Parts

    def read_arguments(self, *, worker: str, makes: str, pages: str, mode: str, details: str) -> None:
        """Take the arguments of -a. Raises WrongArgument, and ConfigError for a makes file that cannot be read."""
        if worker and makes:
            raise WrongArgument("-a worker and -a makes say different things: give one of them")
        self.mode = one_of("mode", mode, ("full", "fresh"))
        self.details = one_of("details", details, ("none", "missing", "all"))
        self.pages = whole_number("pages", pages) if pages else None
        self.worker = str(whole_number("worker", worker)) if worker else None
        self.book = read_makes(self.config.makes_file)
        slugs = [part.strip().lower() for part in makes.split(",") if part.strip()]
        self.is_named = bool(self.worker or slugs)
        self.makes = (
            self.book.of_worker(int(self.worker)) if self.worker else self.book.named(slugs) if slugs else self.book.all
        )
        self._slugs = {make.name.casefold(): make.slug for make in self.book.all}
        self._pages_of: dict[str, int] = {}
        self._course: Walk | NewestFirst | None = None
        self._end = asyncio.Event()

    @classmethod
    def log_name(cls, arguments: Mapping[str, str]) -> str:
        """Return the name of the log: one for each worker."""
        worker = arguments.get("worker", "")
        return f"worker_{worker}" if worker.isdecimal() else cls.name

    @classmethod
    def hosts(cls, settings: Settings) -> frozenset[str]:
        """Return the host of the site."""
        return frozenset({netloc(settings.mobile_bg_url)})

    async def opened(self) -> None:
        """Read what is known of ads and walks."""
        await super().opened()
        seconds = self.settings.getfloat("VINOPS_CLAIM_SECONDS")
        self.renew_seconds = seconds / 4
        self.schedule = Schedule(
            pool(self.crawler),
            self.crawler.stats,
            self.source,
            owner=owner(),
            shrink_limit=self.config.market_shrink_limit,
            claim_seconds=seconds,
            walk_hours=self.config.market_walk_hours,
        )
        self.parts = Parts(self.schedule, self.book)
        last = await self.schedule.last_walks()
        self.makes = tuple(
            replace(make, expected=last[make.slug].total or make.expected) if make.slug in last else make
            for make in self.makes
        )
        self._pages_of = {make.slug: self._expected(make) for make in self.makes}

    async def closed(self, reason: str) -> None:
        """Release the make."""
        await super().closed(reason)
        await self.schedule.close()

    async def renew(self) -> None:
        """Extend the claim of the make."""
        await self.schedule.extend()

    async def _pause(self, seconds: float) -> bool:
        """Wait on purpose; return False, at once, when the crawl is about to end."""
        motion(self.crawler).rest(seconds)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), seconds)
        return not self.stopping.is_set()

    def stop(self) -> None:
        """Begin no more lists."""
        super().stop()
        self._end.set()

    def expected_pages(self) -> int | None:
        """Return about how many pages there are; a fresh crawl does not know."""
        if self.mode == "fresh":
            return None
        read: int = self.crawler.stats.get_value("page/read", 0)
        return max(sum(self._pages_of.values()), read)

    async def first_requests(self) -> AsyncIterator[Request]:
        """Yield the first request of each list, when the list before it was read to its end."""
        async for course in self._courses():
            self._course = course
            self._end.clear()
            if (first := course.first()) is None:
                continue
            yield self.list_request(first, course)
            await self._end.wait()
            if self.stopping.is_set():
                return

    async def _courses(self) -> AsyncIterator[Walk | NewestFirst]:
        if self.mode == "fresh":
            for make in self.makes if self.is_named else (None,):
                yield NewestFirst(make, pages=self.pages or FRESH_PAGES)
        else:
            async for walk in self.schedule.walks(self.makes, self.book, pause=self._pause, pages=self.pages):
                yield walk

    def list_request(self, step: Step, course: Walk | NewestFirst) -> Request:
        """Return the request for a page of a list."""
        address = mobile_bg.list_address(
            self.config.mobile_bg_url,
            course.make.slug if course.make else None,
            model=step.model,
            page=step.page,
            region=step.region or self.book.region,
            sort=step.sort or self.book.sort,
        )
        return Request(
            address,
            callback=self.parse_list,
            errback=self.list_failed,
            cb_kwargs={"step": step, "course": course},
            dont_filter=True,  # a page may be read again: see walks.py
            meta={"handle_httpstatus_list": [404]},
        )

    async def parse_list(self, response: Response, step: Step, course: Walk | NewestFirst) -> AsyncIterator[Any]:
        """Yield the ads of a page as one item, and the request for the next page once they are recorded.

        The pages of a fresh crawl are recorded at its end, from the oldest on: see NewestFirst.
        """
        with closing.IfDatabaseIsLost(self.crawler):
            self.current_item = _title(step, course)
            if response.status == 404:
                yield await self._unknown_list(step, course)
                return
            try:
                page = await self.read(response)
            except PageError as error:
                await self._give_up(course, error.reason, is_passing=error.reason in TRANSIENT)
                return
            if isinstance(page, Request):
                yield page
                return
            following, pages = await self._take(course, step, page)
            for item, read in pages:
                if not item.ads and item.walk is None:
                    continue
                recorded = self.recording(item)
                yield item
                if reason := await recorded:
                    await self._not_recorded(course, reason)
                    return
                for request in await self._details(read.listings):
                    yield request
            if isinstance(course, Walk) and course.needs_parts:
                yield await self.parts_request(course)
            elif following is None:
                await self._finish(course)
            else:
                yield self.list_request(following, course)

    async def _take(
        self, course: Walk | NewestFirst, step: Step, page: ListPage
    ) -> tuple[Step | None, list[tuple[ListedAds, ListPage]]]:
        """Return the next page of the list, None at the end, and the pages to record now, in this order."""
        if isinstance(course, Walk):
            seen = await self.listings.seen_by(course.number, [listing.ad_id for listing in page.listings])
            following = course.take(step, page, seen)
            self.parts.linked(page.regions)
            self._pages_of[course.make.slug] = max(course.expected_pages, course.steps)
            title = f"{_title(step, course)} of {self._pages_of[course.make.slug]}"
            return following, [(self.listed(page, title=title, walk=course.page()), page)]
        known = await self.listings.known([listing.ad_id for listing in page.listings])
        following = course.take(step, page, set(known))
        pages = [] if following else course.pages[::-1]
        return following, [(self.listed(read, title=_title(each, course)), read) for each, read in pages]

    def make_of(self, listing: Listing) -> str | None:
        """Return the slug of the list's make; in a list of all makes that of the ad's make, None if not followed."""
        if self._course is not None and self._course.make is not None:
            return self._course.make.slug
        return self._slugs.get((listing.make_text or "").casefold())

    async def parts_request(self, walk: Walk) -> Request | None:
        """Return the request for the first part of a list that is cut off, or for the sitemap, if that was not read
        lately. None if the walk has ended."""
        return self.models_request(walk) if self.parts.needs_sitemap else await self._split(walk)

    def models_request(self, walk: Walk) -> Request:
        """Return the request for the site's list of models and regions, for a make of which a list is cut off."""
        return Request(
            mobile_bg.sitemap_address(self.config.mobile_bg_url),
            callback=self.parse_models,
            errback=self.models_failed,
            cb_kwargs={"course": walk},
            dont_filter=True,
        )

    async def parse_models(self, response: Response, course: Walk) -> Request | None:
        """Return the request for the first part of the list that is cut off."""
        with closing.IfDatabaseIsLost(self.crawler):
            try:
                self.parts.sitemap(mobile_bg.models(response), mobile_bg.regions(response))
            except PageError as error:
                self.crawler.stats.inc_value(f"sitemap/{error.reason}")
                log.warning("the sitemap cannot be read %s", pairs(reason=error.reason, url=response.url))
            return await self._split(course)
        return None

    async def models_failed(self, failure: Failure) -> Request | None:
        """Return the request for the first part of the list that is cut off, by what is known without the sitemap."""
        course: Walk = failure.request.cb_kwargs["course"]  # type: ignore[attr-defined]
        reason = reason_of(failure)
        if self.stopping.is_set():
            await self._give_up(course, reason)
            return None
        self.crawler.stats.inc_value(f"sitemap/{reason}")
        log.warning("the sitemap cannot be downloaded %s", pairs(reason=reason))
        with closing.IfDatabaseIsLost(self.crawler):
            return await self._split(course)
        return None

    async def _split(self, walk: Walk) -> Request | None:
        following = await self.parts.split(walk)
        if following is not None:
            return self.list_request(following, walk)
        await self._finish(walk)
        return None

    async def _unknown_list(self, step: Step, course: Walk | NewestFirst) -> Request | None:
        """Return the request for the list after one that the site does not have. None if the walk has ended."""
        following = None
        if isinstance(course, Walk):
            following = course.skip(step)
            if course.reason is None:
                self.crawler.stats.inc_value("walk/unknown_list")
                log.info("the site has no such list %s", pairs(list=_title(step, course)))
        if following is not None:
            return self.list_request(following, course)
        if isinstance(course, Walk) and course.reason is None:
            await self._finish(course)
        else:
            await self._give_up(course, "no_such_list")
        return None

    async def _details(self, listings: tuple[Listing, ...]) -> list[Request]:
        """Return requests for the pages of those ads that need one, see `details`."""
        if self.details == "none":
            return []
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
        """Return the ad as its own page shows it; None for a page that cannot be read."""
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
        """Count a page of an ad that could not be downloaded."""
        self.crawler.stats.inc_value(f"detail/{reason_of(failure)}")

    async def list_failed(self, failure: Failure) -> None:
        """Give up a list of which a page could not be downloaded; the next make follows."""
        arguments: dict[str, Any] = failure.request.cb_kwargs  # type: ignore[attr-defined]
        with closing.IfDatabaseIsLost(self.crawler):
            await self._give_up(arguments["course"], reason_of(failure), is_passing=True)

    async def _not_recorded(self, course: Walk | NewestFirst, reason: str) -> None:
        """Leave a list of which a page was not recorded."""
        if reason == "claim_lost":
            await self._give_up(course, reason)
        else:
            self.fell_short(reason)
            self._end.set()

    async def _give_up(self, course: Walk | NewestFirst, reason: str, *, is_passing: bool = False) -> None:
        """End a list that cannot be read to its end: none of its ads is gone. A walk stays open, to be continued, if
        the crawl is about to end, or if what failed may pass."""
        make = course.make.slug if course.make else "all"
        log.warning("the list is not read to its end %s", pairs(make=make, reason=reason))
        if not isinstance(course, Walk):
            self.fell_short(reason)
        elif self.stopping.is_set() or (is_passing and await self.schedule.interrupt(course)):
            self.fell_short(reason)
            self._end.set()
            return
        else:
            course.fail(reason)
        await self._finish(course)

    async def _finish(self, course: Walk | NewestFirst) -> None:
        """Record the end of a list, and let the next one begin."""
        try:
            if isinstance(course, Walk):
                with closing.IfDatabaseIsLost(self.crawler):
                    await self.schedule.end_walk(course)
                self._pages_of[course.make.slug] = course.steps
                if course.shortfall:
                    self.fell_short(course.shortfall)
        finally:
            self._end.set()

    def _expected(self, make: Make) -> int:
        pages = max(1, -(-make.expected // self.book.page_size))
        return min(pages, self.pages) if self.pages else pages


def _lacks(listing: Listing) -> bool:
    """Tell whether a list left out what the ad's own page may have."""
    return any(getattr(listing, name) is None and name not in listing.dropped for name in NEEDED)


def _title(step: Step, course: Walk | NewestFirst) -> str:
    """Return how logs name a page: `bmw/320 page 3`."""
    make = course.make.slug if course.make else "all makes"
    parts = [make, *(part for part in (step.model, step.region) if part)]
    return f"{'/'.join(parts)} page {step.page}{f' sort {step.sort}' if step.sort else ''}"
