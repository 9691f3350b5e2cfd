"""lot_photos: the photos of the lots that are due, before the lots disappear.

    scrapy crawl lot_photos [-a batch=500] [-a lot=N,N] [-a vin=…] [-a source=auto|api|page]

The feed names for each lot an address that lists all its photos. A lot whose list is empty though photos are announced
is looked at in the browser, if an account is set up; with `source=page` every lot is.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Self

import psycopg
import scrapy
from scrapy import Request, signals
from scrapy.exceptions import NotSupported

from vinops import config, politeness
from vinops.db.database import DatabaseError
from vinops.db.errors import is_passing
from vinops.logs import pairs
from vinops_scrapy import closing as alerting
from vinops_scrapy.copart.leases import Lots
from vinops_scrapy.copart.sessions import LoginFailed, Sessions
from vinops_scrapy.copart.work import Work
from vinops_scrapy.failures import reason_of
from vinops_scrapy.hosts import hosts_of, netloc
from vinops_scrapy.items import LotEnd, Photo, PhotoFailure, PhotoList
from vinops_scrapy.middlewares.rules import Ignored, Stopped, wait
from vinops_scrapy.pages import copart
from vinops_scrapy.pages.errors import PageError
from vinops_scrapy.runs import Standing, owner
from vinops_scrapy.shared import pool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from twisted.python.failure import Failure

    from vinops.config import Settings
    from vinops.politeness import Pace
    from vinops_scrapy.copart.leases import Settlement
    from vinops_scrapy.copart.work import OpenLot
    from vinops_scrapy.items import Lot, PhotoLink

log = logging.getLogger("photos")

SOURCES = ("auto", "api", "page")
LIST_SECONDS = 30
LAST_LOTS = 5
LIST_BYTES = 2_000_000
LOTS_BUDGET = "lots"
"""The name under which lots are counted: a lot may be asked of two hosts, and the pace is of lots."""


class LotPhotos(scrapy.Spider):
    """Takes lots under lease, asks for their lists, and requests the photos that are not stored yet."""

    name = "lot_photos"
    site = "copart"
    custom_settings = {  # noqa: RUF012 # as Scrapy has it
        "ITEM_PIPELINES": {
            "vinops_scrapy.pipelines.photo_store.PhotoStore": 100,  # validates first
            "vinops_scrapy.pipelines.photo_record.Record": 200,  # after it is stored
        }
    }
    unit = "lot"
    item = "photo"

    config: Settings
    has_pages: bool
    pace: Pace
    work: Work
    sessions: Sessions

    def __init__(
        self, *, batch: str = "500", lot: str = "", vin: str = "", source: str = "auto", **arguments: Any
    ) -> None:
        """Read the arguments of -a. Raises ConfigError for one that makes no sense."""
        unknown = sorted(set(arguments) - {"_job"})  # scrapyd passes _job
        if unknown:
            raise config.ConfigError(f"lot_photos knows no -a {', '.join(unknown)}: use batch, lot, vin or source")
        super().__init__(**arguments)
        self.arguments = {"batch": batch, "lot": lot, "vin": vin, "source": source}
        if source not in SOURCES:
            raise config.ConfigError(f"-a source={source} is none of {', '.join(SOURCES)}")
        self.batch = _numbers("batch", batch)[0]
        self.lots = _numbers("lot", lot)
        self.vins = [part.strip().upper() for part in vin.split(",") if part.strip()]
        self.source = source
        self.last_lots: deque[str] = deque(maxlen=LAST_LOTS)

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> Self:
        """Make the spider with its work."""
        spider = super().from_crawler(crawler, *args, **kwargs)
        spider.config = config.load()
        has_account = bool(spider.config.copart_username and spider.config.copart_password)
        if spider.source == "page" and not has_account:
            raise config.ConfigError("-a source=page needs COPART_USERNAME and COPART_PASSWORD: set both")
        spider.has_pages = has_account and spider.source != "api"
        pool(crawler)  # raises DatabaseError before anything has begun
        crawler.signals.connect(spider.opened, signals.spider_opened)
        return spider

    async def opened(self) -> None:
        """Make the work, now that the crawl has its statistics."""
        await pool(self.crawler).open()
        settings = self.crawler.settings
        self.pace = politeness.pace(settings["VINOPS_PACE"], speed=settings.getfloat("VINOPS_CLOCK_SPEED"))
        self.work = Work(
            Lots(pool(self.crawler), owner(), lease=self.config.photo_lease),
            self.crawler.stats,
            at_once=settings.getint("VINOPS_LOTS_AT_ONCE"),
            recheck_seconds=self.config.photo_recheck_days * 86_400,
        )
        self.work.on_settled = self.settled
        self.sessions = Sessions(self.crawler, self.config)

    @staticmethod
    def log_name(arguments: Mapping[str, str]) -> str:
        """Return the name of the log."""
        return "photo-scraper"

    @staticmethod
    def hosts(settings: Settings) -> frozenset[str]:
        """Return the hosts that the settings allow to be asked."""
        return hosts_of(settings)

    def stop(self) -> None:
        """Take no more lots: the crawl is about to end."""
        self.work.stop()
        self.sessions.stop()

    async def start(self) -> AsyncIterator[Any]:
        """Yield the first request of each lot, when there is room for the lot."""
        try:
            async for each in self.first_requests():
                yield each
        except (psycopg.Error, DatabaseError) as error:
            if not is_passing(error):
                raise
            alerting.lost(self.crawler, error)

    async def first_requests(self) -> AsyncIterator[Any]:
        """Yield them. Raises the database's errors."""
        taken = self.work.named(self.lots, self.vins) if self.lots or self.vins else self.work.due(self.batch)
        async for lot in taken:
            await self.sessions.before_lot()
            try:
                await wait(self.crawler, LOTS_BUDGET, self.pace.lot_gap)
            except Stopped:
                return
            if self.source == "page":
                async for each in self.open_page(lot):
                    yield each
            else:
                yield self.list_request(lot)

    def list_request(self, lot: Lot) -> Any:
        """Return the request for a lot's list, or the lot's end if the feed names no address of it."""
        try:
            address = copart.list_address(lot.image_url or "")
        except ValueError:
            self.work.ended(lot, "failed", "no_address")
            return LotEnd(lot=lot)
        return Request(
            address,
            callback=self.parse_list,
            errback=self.list_failed,
            cb_kwargs={"lot": lot},
            dont_filter=True,
            headers={"Accept": "application/json"},
            meta={
                **self.sessions.http_meta(),
                "expects": "json",
                "dont_obey_robotstxt": True,
                "handle_httpstatus_list": [404],
                "download_timeout": min(LIST_SECONDS, self.settings.getfloat("DOWNLOAD_TIMEOUT")),
                "download_maxsize": LIST_BYTES,
            },
        )

    async def parse_list(self, response: Response, lot: Lot) -> AsyncIterator[Any]:
        """Yield what a lot's list asks for."""
        try:
            await self.work.renew()
        except (psycopg.Error, DatabaseError) as error:
            if not is_passing(error):
                raise
            alerting.lost(self.crawler, error)
            return
        if response.status == 404:
            self.work.ended(lot, "gone")
            yield LotEnd(lot=lot)
            return
        try:
            listing = copart.photo_list(response, thumbnails=self.config.thumbnails)
        except PageError as error:
            log.warning("the list cannot be read %s", pairs(lot=lot.lot_external_id, reason=error.reason))
            self.work.ended(lot, "failed", error.reason)
            yield LotEnd(lot=lot)
            return
        if not listing.photos and listing.announced and self.has_pages:
            async for each in self.open_page(lot):
                yield each
            return
        async for each in self.photos_of(lot, listing):
            yield each

    async def photos_of(self, lot: Lot, listing: PhotoList, *, sizes_are_guessed: bool = False) -> AsyncIterator[Any]:
        """Yield a request for each photo of a list that is not stored yet; the lot's end if there is none.

        A page names no size for certain: there a photo is known by the smaller one, too.
        """
        try:
            known = await self.work.known(lot)
        except (psycopg.Error, DatabaseError) as error:
            if not is_passing(error):
                raise
            alerting.lost(self.crawler, error)
            return
        wanted = [link for link in listing.photos if link.url not in known.seqs]
        if sizes_are_guessed:
            wanted = [
                link for link in wanted if (smaller := copart.smaller(link)) is None or smaller.url not in known.seqs
            ]
        stats = self.crawler.stats
        stats.inc_value("photo/listed", len(listing.photos))
        stats.inc_value("photo/known", len(listing.photos) - len(wanted))
        for kind, count in listing.left_out.items():
            stats.inc_value(f"photo/left_out/{kind}", count)
        self.work.listed(lot, listing, len(wanted))
        for link in wanted:
            yield self.photo_request(lot, link)
        if not wanted:
            yield LotEnd(lot=lot)

    def photo_request(self, lot: Lot, link: PhotoLink) -> Request:
        """Return the request for a photo."""
        return Request(
            link.url,
            callback=self.parse_photo,
            errback=self.photo_failed,
            cb_kwargs={"lot": lot, "link": link},
            dont_filter=True,
            priority=1,  # a lot is finished before the next begins
            headers={"Accept": "image/avif,image/webp,image/*,*/*;q=0.8"},
            meta={
                **self.sessions.http_meta(),
                "expects": "image",
                "dont_obey_robotstxt": True,
                "handle_httpstatus_list": [404],
            },
        )

    def parse_photo(self, response: Response, lot: Lot, link: PhotoLink) -> Any:
        """Return the photo; where it is missing, the request for the next smaller size."""
        if response.status == 404:
            smaller = copart.smaller(link)
            return self.photo_request(lot, smaller) if smaller else self._failure(lot, link, "missing")
        kind = (response.headers.get("Content-Type") or b"").decode("latin-1").partition(";")[0].strip().lower()
        return Photo(lot=lot, link=link, body=response.body, content_type=kind)

    def photo_failed(self, failure: Failure) -> PhotoFailure | None:
        """Return the failure of a photo that did not come; nothing if its lot is to be given back."""
        if isinstance(failure.value, Stopped):
            return None
        request: Any = failure.request  # type: ignore[attr-defined]
        return self._failure(request.cb_kwargs["lot"], request.cb_kwargs["link"], reason_of(failure))

    def _failure(self, lot: Lot, link: PhotoLink, reason: str) -> PhotoFailure:
        log.warning("no photo %s", pairs(lot=lot.lot_external_id, seq=link.seq, reason=reason))
        return PhotoFailure(lot=lot, link=link, reason=reason)

    def list_failed(self, failure: Failure) -> LotEnd | None:
        """Return the end of a lot whose list did not come; nothing if it is to be given back."""
        lot: Lot = failure.request.cb_kwargs["lot"]  # type: ignore[attr-defined]
        if isinstance(failure.value, Stopped):
            return None
        reason = reason_of(failure)
        log.warning("no list %s", pairs(lot=lot.lot_external_id, reason=reason))
        self.work.ended(lot, "failed", reason)
        return LotEnd(lot=lot)

    async def open_page(self, lot: Lot) -> AsyncIterator[Any]:
        """Yield what the lot's page asks for, seen by the browser as a member."""
        try:
            html = await self.sessions.lot_page(copart.lot_address(self.config.copart_site_url, lot.lot_external_id))
            if html.status >= 400:
                self.work.ended(lot, *(("gone",) if html.status == 404 else ("failed", f"status_{html.status}")))
                yield LotEnd(lot=lot)
                return
            listing = copart.lot_page(html)
        except LoginFailed as error:
            log.error("Login failed %s", pairs(reason=error.reason))  # a traceback would say no more
            self.sessions.stop()  # lots that wait for this login would try it again
            await alerting.end(self.crawler, "login_failed", netloc(self.config.copart_site_url), str(error))
            return
        except Stopped:
            return
        except (PageError, Ignored, NotSupported) as error:
            reason = getattr(error, "reason", "page")
            log.warning("the lot page cannot be read %s", pairs(lot=lot.lot_external_id, reason=reason))
            if reason == "no_browser":
                self.crawler.stats.inc_value("page/no_browser")
                if self.source == "page":  # no lot would fare better: they go back as they are
                    self.sessions.stop()
                    alerting.close(self.crawler, reason)
                    return
            self.work.ended(lot, "failed", reason)
            yield LotEnd(lot=lot)
            return
        async for each in self.photos_of(lot, listing, sizes_are_guessed=True):
            yield each

    def standing(self) -> Standing:
        """Return how far the run is."""
        stats = self.crawler.stats
        open_lots = list(self.work.open.values())
        return Standing(
            done=self.work.done,
            total=self.work.total,
            items=stats.get_value("photo/stored", 0) + stats.get_value("photo/reused", 0),
            bytes=stats.get_value("photo/bytes", 0),
            current_item=str(open_lots[0].lot.lot_external_id) if open_lots else None,
            last_items=tuple(self.last_lots),
        )

    def settled(self, entry: OpenLot, settlement: Settlement) -> None:
        """Say what came of a lot: the line that operators look for."""
        photos = f"{len(settlement.photos)} of {settlement.listed or 0} photos"
        self.last_lots.append(f"{entry.lot.lot_external_id} {settlement.state} {photos}")
        log.info(
            "Scraped: lot %s %s",
            entry.lot.lot_external_id,
            pairs(
                state=settlement.state,
                photos=settlement.listed or 0,
                new=len(settlement.photos),
                **({"reason": settlement.reason} if settlement.reason else {}),
            ),
        )


def _numbers(name: str, text: str) -> list[int]:
    try:
        numbers = [int(part) for part in str(text).split(",") if part.strip()]
    except ValueError:
        numbers = [0]
    if any(number < 1 for number in numbers) or (name == "batch" and len(numbers) != 1):
        raise config.ConfigError(f"-a {name}={text} is no count or list of numbers above 0")
    return numbers
