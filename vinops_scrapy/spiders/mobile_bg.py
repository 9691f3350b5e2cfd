"""mobile_bg: the ads of mobile.bg, list by list.

    scrapy crawl mobile_bg [-a worker=1..5 | -a makes=bmw,audi] [-a mode=full|fresh|scheduled] [-a pages=N]
                           [-a details=none|missing|all]

A scheduled crawl, the default of a worker without `pages` and `details`, decides before each request what it is for:
the newest ads of all makes, the price of an ad that matters, or the next page of the walk of a make. It ends after some
hours. A full crawl walks all lists of each make and so knows which ads are gone; a fresh one reads the newest ads, of
all makes unless some are named, down to the first page without anything new. A list shows twenty ads with nearly
everything that is known of them: their own pages are requested only with `details`, and for their price.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from scrapy import Request

from vinops.logs import pairs
from vinops_scrapy import closing
from vinops_scrapy.arguments import WrongArgument
from vinops_scrapy.failures import reason_of
from vinops_scrapy.hosts import netloc
from vinops_scrapy.mobile_bg.cycle import new_cycle
from vinops_scrapy.mobile_bg.makes import read_makes
from vinops_scrapy.mobile_bg.newest import NewestPass
from vinops_scrapy.mobile_bg.own_pages import OwnPages
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
    from vinops_scrapy.mobile_bg.cycle import Cycle, Turn
    from vinops_scrapy.mobile_bg.makes import Make

    Course = Walk | NewestFirst | NewestPass

log = logging.getLogger("market")

FRESH_PAGES: Final = 50


class MobileBg(ListingSpider, OwnPages):
    """Walks the lists of makes, one request at a time."""

    name = "mobile_bg"
    site = "mobile_bg"
    source = mobile_bg.SOURCE
    writes = (
        *ListingSpider.writes,
        *("ops.listing_walks", "ops.walk_pieces"),
        *("ops.market_cycles", "ops.rechecks"),
    )
    defaults = {"worker": "", "makes": "", "pages": "", "mode": "", "details": "none"}  # noqa: RUF012 # never changed
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
        self.details = one_of("details", details, ("none", "missing", "all"))
        self.pages = whole_number("pages", pages) if pages else None
        is_whole = not pages and self.details == "none"
        self.mode = one_of(
            "mode", mode or ("scheduled" if worker and is_whole else "full"), ("full", "fresh", "scheduled")
        )
        if self.mode == "scheduled" and not is_whole:
            raise WrongArgument("-a mode=scheduled takes no -a pages and no -a details: use -a mode=full or fresh")
        self.arguments["mode"] = self.mode
        self.worker = str(whole_number("worker", worker)) if worker else None
        self.book = read_makes(self.config.makes_file)
        slugs = [part.strip().lower() for part in makes.split(",") if part.strip()]
        self.is_named = bool(self.worker or slugs)
        self.makes = (
            self.book.of_worker(int(self.worker)) if self.worker else self.book.named(slugs) if slugs else self.book.all
        )
        # Of the newest ads those of a worker that is off are taken by that worker alone: no other walks their lists.
        self._slugs = {make.name.casefold(): make.slug for make in (*self.book.all, *self.makes)}
        self._pages_of: dict[str, int] = {}
        self._course: Course | None = None
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
        if self.mode == "scheduled":
            self.cycle = new_cycle(
                pool(self.crawler), self.crawler.stats, self.source, self.schedule, self.config, self.makes, self.book,
                owner=owner(), claim_seconds=seconds, speed=self.settings.getfloat("VINOPS_CLOCK_SPEED"),
            )  # fmt: skip
            self._pages_of = {make.slug: self._expected(make) for make in await self.cycle.due_makes()}

    async def closed(self, reason: str) -> None:
        """Release the make and the newest ads."""
        await super().closed(reason)
        await self.schedule.close()
        if self.cycle:
            await self.cycle.close()

    async def renew(self) -> None:
        """Extend the claims of the make and of the newest ads."""
        await self.schedule.extend()
        if self.cycle:
            await self.cycle.extend()

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
        newest: int = self.crawler.stats.get_value("newest/pages", 0)
        return max(sum(self._pages_of.values()) + newest, read)

    async def first_requests(self) -> AsyncIterator[Request]:
        """Yield the first request of each list, when the list before it was read to its end; of a scheduled crawl every
        request, when the one before it is done."""
        if self.cycle:
            async for request in self._scheduled(self.cycle):
                yield request
            return
        async for course in self._courses():
            self._course = course
            self._end.clear()
            if (first := course.first()) is None:
                continue
            yield self.list_request(first, course)
            await self._end.wait()
            if self.stopping.is_set():
                return

    async def _scheduled(self, cycle: Cycle) -> AsyncIterator[Request]:
        """Yield one request after the other, each decided when the one before it is done, for some hours.

        Runs of several workers that begin together do not end together: the newest ads are read meanwhile.
        """
        speed = self.settings.getfloat("VINOPS_CLOCK_SPEED")
        ends_at = time.monotonic() + random.uniform(0.9, 1.0) * self.config.market_run_hours * 3600 / speed
        while time.monotonic() < ends_at:
            turn = await cycle.turn()
            if turn is None:
                self.current_item = "nothing is due"
                if not await self._pause(cycle.idle_seconds()):
                    return
                continue
            self._end.clear()
            if request := self._request(turn):
                yield request
            elif isinstance(turn.course, Walk):
                await self._finish(turn.course)  # all its pages were read before
            await self._end.wait()
            if self.stopping.is_set():
                return
        log.info("the run ends, as it has lasted long enough: the next one continues")

    def _request(self, turn: Turn) -> Request | None:
        """Return the request that was decided on; None for a course without any page left."""
        if turn.recheck is not None:
            return self.recheck_request(turn.recheck)
        if turn.course is None or turn.request is not None:
            return turn.request
        first = turn.course.first()
        return None if first is None else self.list_request(first, turn.course)

    def _go_on(self, course: Course, request: Request | None) -> Request | None:
        """Return the next request of a course; None in a scheduled crawl, which keeps it until its turn comes."""
        if request is None or self.cycle is None or isinstance(course, NewestFirst):
            return request
        self.cycle.follow(course, request)
        self._end.set()
        return None

    async def _courses(self) -> AsyncIterator[Walk | NewestFirst]:
        if self.mode == "fresh":
            for make in self.makes if self.is_named else (None,):
                yield NewestFirst(make, pages=self.pages or FRESH_PAGES)
        else:
            async for walk in self.schedule.walks(self.makes, self.book, pause=self._pause, pages=self.pages):
                yield walk

    def list_request(self, step: Step, course: Course) -> Request:
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

    async def parse_list(self, response: Response, step: Step, course: Course) -> AsyncIterator[Any]:
        """Yield the ads of a page as one item, and the request for the next page once they are recorded.

        The pages of a fresh crawl are recorded at its end, from the oldest on: see NewestFirst.
        """
        with closing.IfDatabaseIsLost(self.crawler):
            self._course = course
            self.current_item = _title(step, course)
            if response.status == 404:
                yield self._go_on(course, await self._unknown_list(step, course))
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
                for request in await self.detail_requests(read.listings):
                    yield request
            if isinstance(course, Walk) and course.needs_parts:
                yield self._go_on(course, await self.parts_request(course))
            elif following is None:
                yield await self.after_lists(course)
            else:
                yield self._go_on(course, self.list_request(following, course))

    async def _take(
        self, course: Course, step: Step, page: ListPage
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
        if isinstance(course, NewestPass):
            self.crawler.stats.inc_value("newest/pages")
            following = course.take(step, page, known, lambda listing: self.make_of(listing) is not None)
            return following, [(replace(self.listed(page, title=_title(step, course)), newest=course.number), page)]
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
            return self._go_on(course, await self._split(course))
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
            return self._go_on(course, await self._split(course))
        return None

    async def _split(self, walk: Walk) -> Request | None:
        following = await self.parts.split(walk)
        if following is not None:
            return self.list_request(following, walk)
        return await self.after_lists(walk)

    async def _unknown_list(self, step: Step, course: Course) -> Request | None:
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
            return await self.after_lists(course)
        await self._give_up(course, "no_such_list")
        return None

    async def after_lists(self, course: Course) -> Request | None:
        """Return the request for the own page of an ad of which a walk does not know whether it is gone. None if there
        is no such ad: the course has ended. A walk that is killed meanwhile ends without."""
        doubt = await self.schedule.next_doubt(course) if isinstance(course, Walk) else None
        if doubt is not None and isinstance(course, Walk) and not self.stopping.is_set():
            return self._go_on(course, self.doubt_request(doubt, course))
        await self._finish(course)
        return None

    async def list_failed(self, failure: Failure) -> None:
        """Give up a list of which a page could not be downloaded; the next make follows."""
        arguments: dict[str, Any] = failure.request.cb_kwargs  # type: ignore[attr-defined]
        with closing.IfDatabaseIsLost(self.crawler):
            await self._give_up(arguments["course"], reason_of(failure), is_passing=True)

    async def _not_recorded(self, course: Course, reason: str) -> None:
        """Leave a list of which a page was not recorded."""
        if reason == "claim_lost":
            await self._give_up(course, reason)
        else:
            self.fell_short(reason)
            self._end.set()

    async def _give_up(self, course: Course, reason: str, *, is_passing: bool = False) -> None:
        """End a list that cannot be read to its end: none of its ads is gone. A walk stays open, to be continued, if
        the crawl is about to end, or if what failed may pass."""
        make = course.make.slug if course.make else "all"
        log.warning("the list is not read to its end %s", pairs(make=make, reason=reason))
        if isinstance(course, NewestFirst):
            self.fell_short(reason)
        elif isinstance(course, Walk) and await self._is_left_open(course, is_passing=is_passing):
            if self.cycle:  # which continues it itself
                self.crawler.stats.inc_value(f"walk/failed/{reason}")
            else:
                self.fell_short(reason)
            self._end.set()
            return
        else:
            course.fail(reason)
        await self._finish(course)

    async def _is_left_open(self, walk: Walk, *, is_passing: bool) -> bool:
        """Tell whether a walk that cannot be read on is left open. In a scheduled crawl another make follows."""
        if not self.stopping.is_set() and not (is_passing and await self.schedule.interrupt(walk)):
            return False
        if self.cycle:
            await self.cycle.end_walk(is_open=True)
        return True

    async def _finish(self, course: Course) -> None:
        """Record the end of a list, and let the next one begin."""
        try:
            if isinstance(course, NewestPass) and self.cycle:
                with closing.IfDatabaseIsLost(self.crawler):
                    await self.cycle.end_pass(course)
            elif isinstance(course, Walk):
                with closing.IfDatabaseIsLost(self.crawler):
                    await self.schedule.end_walk(course)
                    if self.cycle:
                        await self.cycle.end_walk()
                self._pages_of[course.make.slug] = course.steps
                if course.shortfall:
                    self.fell_short(course.shortfall)
        finally:
            self._end.set()

    def _expected(self, make: Make) -> int:
        pages = max(1, -(-make.expected // self.book.page_size))
        return min(pages, self.pages) if self.pages else pages


def _title(step: Step, course: Course) -> str:
    """Return how logs name a page: `bmw/320 page 3`."""
    make = course.make.slug if course.make else "all makes"
    parts = [make, *(part for part in (step.model, step.region) if part)]
    return f"{'/'.join(parts)} page {step.page}{f' sort {step.sort}' if step.sort else ''}"
