"""The own pages of ads of mobile.bg: for what a list leaves out, and for the price of an ad that matters."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from scrapy import Request

from vinops.logs import pairs
from vinops_scrapy import closing
from vinops_scrapy.failures import reason_of
from vinops_scrapy.items import ListingDetail
from vinops_scrapy.mobile_bg.rechecks import rechecked
from vinops_scrapy.pages import mobile_bg
from vinops_scrapy.pages.errors import PageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from twisted.python.failure import Failure

    from vinops_scrapy.items import Listing, RecheckedAd
    from vinops_scrapy.listings.records import Listings
    from vinops_scrapy.mobile_bg.cycle import Cycle
    from vinops_scrapy.mobile_bg.rechecks import Recheck
    from vinops_scrapy.mobile_bg.walks import Walk

log = logging.getLogger("market")

NEEDED: Final = ("year", "mileage_km", "fuel", "gearbox", "power_hp")
"""Fields that a list may lack and the ad's own page may have."""


class OwnPages:
    """Requests and reads the own pages of ads, for a spider that is a ListingSpider first."""

    crawler: Crawler
    listings: Listings
    current_item: str | None
    details: str
    """The argument of -a: none, missing or all."""
    cycle: Cycle | None = None
    """What a scheduled crawl has in hand; None in the other modes."""
    _end: asyncio.Event
    """Set when what was requested is done."""

    def recording(self, item: object) -> asyncio.Future[str | None]:
        """As ListingSpider has it."""
        raise NotImplementedError

    async def detail_requests(self, listings: tuple[Listing, ...]) -> list[Request]:
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

    def recheck_request(self, recheck: Recheck) -> Request:
        """Return the request for the own page of an ad, for its price."""
        return Request(
            recheck.url,
            callback=self.parse_recheck,
            errback=self.recheck_failed,
            cb_kwargs={"recheck": recheck},
            dont_filter=True,
            meta={"handle_httpstatus_list": [404, 410]},
        )

    async def parse_recheck(self, response: Response, recheck: Recheck) -> AsyncIterator[RecheckedAd]:
        """Yield an ad whose own page was read, or says that the ad is gone."""
        self.current_item = f"ad {recheck.ad_id}"
        try:
            found = rechecked(response, recheck)
        except PageError as error:
            self._rechecked(recheck, error.reason)
            return
        yield found
        self._rechecked(recheck, "read" if found.listing else "deleted")

    def recheck_failed(self, failure: Failure) -> None:
        """Count a page of an ad that could not be downloaded."""
        self._rechecked(failure.request.cb_kwargs["recheck"], reason_of(failure))  # type: ignore[attr-defined]

    def doubt_request(self, doubt: Recheck, walk: Walk) -> Request:
        """Return the request for the own page of an ad of which a walk does not know whether it is gone."""
        return Request(
            doubt.url,
            callback=self.parse_doubt,
            errback=self.doubt_failed,
            cb_kwargs={"doubt": doubt, "walk": walk},
            dont_filter=True,
            meta={"handle_httpstatus_list": [404, 410]},
        )

    async def parse_doubt(self, response: Response, doubt: Recheck, walk: Walk) -> AsyncIterator[Any]:
        """Yield the ad, and the next request of its walk once that is recorded."""
        with closing.IfDatabaseIsLost(self.crawler):
            self.current_item = f"ad {doubt.ad_id}"
            try:
                found = rechecked(response, doubt)
            except PageError as error:
                self._is_doubted(doubt, error.reason)
            else:
                recorded = self.recording(found)
                yield found
                await recorded
            yield await self.after_lists(walk)

    async def doubt_failed(self, failure: Failure) -> Request | None:
        """Return the next request of the walk: the ad stays in doubt."""
        arguments: dict[str, Any] = failure.request.cb_kwargs  # type: ignore[attr-defined]
        self._is_doubted(arguments["doubt"], reason_of(failure))
        with closing.IfDatabaseIsLost(self.crawler):
            return await self.after_lists(arguments["walk"])
        return None

    async def after_lists(self, walk: Walk) -> Request | None:
        """Return the next request of a walk whose lists were read."""
        raise NotImplementedError

    def _is_doubted(self, doubt: Recheck, reason: str) -> None:
        self.crawler.stats.inc_value(f"recheck/{reason}")
        log.warning("the page of an ad cannot be read %s", pairs(ad=doubt.ad_id, reason=reason))

    def _rechecked(self, recheck: Recheck, outcome: str) -> None:
        """Note the outcome of a recheck, and let the next request be decided."""
        if outcome not in ("read", "deleted"):
            log.warning("the page of an ad cannot be read %s", pairs(ad=recheck.ad_id, reason=outcome))
        if self.cycle:
            self.cycle.end_recheck(outcome)
        self._end.set()


def _lacks(listing: Listing) -> bool:
    """Tell whether a list left out what the ad's own page may have."""
    return any(getattr(listing, name) is None and name not in listing.dropped for name in NEEDED)
