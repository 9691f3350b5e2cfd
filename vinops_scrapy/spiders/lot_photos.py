"""lot_photos: the photos of the lots that are due, before the lots disappear: the first ones of every lot, then the
rest. Lots that are named get all at once.

    scrapy crawl lot_photos [-a batch=500] [-a lot=N,N] [-a vin=…] [-a source=auto|api|page]

The feed names for each lot an address that lists all its photos. The page of a lot is opened in the browser, if an
account is set up, where the list is empty though photos are announced; with `source=page` for every lot.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from scrapy import Request
from scrapy.exceptions import NotSupported

from vinops import politeness
from vinops.config import ConfigError
from vinops.logs import pairs
from vinops.storage.opening import photos_place
from vinops_scrapy import closing
from vinops_scrapy.arguments import WrongArgument
from vinops_scrapy.copart.leases import Lots
from vinops_scrapy.copart.sessions import LoginFailed, Sessions
from vinops_scrapy.copart.work import ENLIST_SECONDS, Work
from vinops_scrapy.failures import Ignored, Stopped, reason_of
from vinops_scrapy.hosts import hosts_of, netloc
from vinops_scrapy.items import Photo, PhotoList
from vinops_scrapy.middlewares.budget import wait
from vinops_scrapy.pages import copart
from vinops_scrapy.pages.errors import PageError
from vinops_scrapy.shared import owner, pool
from vinops_scrapy.spiders.base import BaseSpider, CrawlProgress, one_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from scrapy.http import Response
    from twisted.python.failure import Failure

    from vinops.config import Settings
    from vinops.politeness import Pace
    from vinops_scrapy.items import KeptList, Lot, PhotoLink

log = logging.getLogger("photos")

LIST_SECONDS = 30
LIST_BYTES = 2_000_000
LOTS_END = 1 << 63  # of the numbers of lots, as PostgreSQL stores them
LOTS_BUDGET = "lots"
"""The budget of lots: a lot may need two hosts, and the pace limits lots, too."""


class LotPhotos(BaseSpider):
    """Leases lots, requests their lists, and requests the photos that are not stored yet."""

    name = "lot_photos"
    site = "copart"
    unit = "lot"
    item = "photo"
    renew_seconds = 3.0
    writes = (*BaseSpider.writes, "lot_photos", "images")
    defaults = {"batch": "500", "lot": "", "vin": "", "source": "auto"}  # noqa: RUF012 # never changed
    custom_settings = {  # noqa: RUF012 # as Scrapy has it
        "ITEM_PIPELINES": {
            "vinops_scrapy.pipelines.photo_store.PhotoStore": 100,  # validates first
            "vinops_scrapy.pipelines.photo_record.RecordPhotos": 200,  # after it is stored
        }
    }

    pace: Pace
    work: Work
    sessions: Sessions

    def read_arguments(self, *, batch: str, lot: str, vin: str, source: str) -> None:
        """Take the arguments of -a. Raises WrongArgument, and ConfigError if a setting is missing."""
        self.source = one_of("source", source, ("auto", "api", "page"))
        self.batch = _numbers("batch", batch)[0]
        self.lots = _numbers("lot", lot)
        self.vins = [part.strip().upper() for part in vin.split(",") if part.strip()]
        if vin and not self.vins:
            raise WrongArgument(f"-a vin={vin} names no VIN")
        has_account = bool(self.config.copart_username and self.config.copart_password)
        if self.source == "page" and not has_account:
            raise ConfigError("-a source=page needs COPART_USERNAME and COPART_PASSWORD: set both")
        self.has_pages = has_account and self.source != "api"

    @classmethod
    def log_name(cls, arguments: Mapping[str, str]) -> str:
        """Return the name of the log."""
        return "photo-scraper"

    @classmethod
    def hosts(cls, settings: Settings) -> frozenset[str]:
        """Return the hosts of the site and of its photos."""
        return hosts_of(settings)

    @classmethod
    def image_hosts(cls, settings: Settings) -> frozenset[str]:
        """Return the hosts of photos."""
        return frozenset(settings.copart_image_hosts)

    async def opened(self) -> None:
        """Prepare work and sessions."""
        settings = self.crawler.settings
        speed = settings.getfloat("VINOPS_CLOCK_SPEED")
        recheck_seconds = self.config.photo_recheck_days * 86_400
        self.pace = politeness.pace(settings["VINOPS_PACE"], speed=speed)
        self.work = Work(
            Lots(
                pool(self.crawler),
                owner(),
                lease=self.config.photo_lease,
                store=photos_place(self.config),
                list_seconds=recheck_seconds,
            ),
            self.crawler.stats,
            at_once=settings.getint("VINOPS_LOTS_AT_ONCE"),
            beside=settings.getint("VINOPS_LOTS_BESIDE"),
            recheck_seconds=recheck_seconds,
            first_photos=self.pace.first_photos(self.config.photos_first),
            enlist_seconds=ENLIST_SECONDS / speed,
        )
        self.sessions = Sessions(self.crawler, self.config)

    async def renew(self) -> None:
        """Renew the leases of the lots being processed."""
        await self.work.renew()

    def stop(self) -> None:
        """Take no more lots: the crawl is about to end."""
        super().stop()
        self.work.stop()
        self.sessions.stop()

    async def first_requests(self) -> AsyncIterator[Any]:
        """Yield the first request of each lot, when there is room for the lot."""
        taken = self.work.named(self.lots, self.vins) if self.lots or self.vins else self.work.due(self.batch)
        async for lot in taken:
            await self.sessions.before_lot()
            try:
                await wait(self.crawler, LOTS_BUDGET, self.pace.lot_gap)
            except Stopped:
                return
            if lot.kept is not None:
                for each in await self.photos_kept(lot, lot.kept):
                    yield each
            elif self.source == "page":
                async for each in self.open_page(lot):
                    yield each
            elif request := await self.list_request(lot):
                yield request

    async def list_request(self, lot: Lot) -> Request | None:
        """Return the request for a lot's list; None, with the lot settled, if the feed names no address of it."""
        try:
            address = copart.https_address(lot.image_url or "")
        except ValueError:
            await self.work.end(lot, "failed", "no_address")
            return None
        return Request(
            address,
            callback=self.parse_list,
            errback=self.list_failed,
            cb_kwargs={"lot": lot},
            dont_filter=True,
            priority=2,
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
        """Yield the requests for the photos of a lot's list, or those of its page."""
        if response.status == 404:
            await self.work.end(lot, "gone")
            return
        try:
            listing = copart.photo_list(response, thumbnails=self.config.thumbnails)
        except PageError as error:
            log.warning("the list cannot be read %s", pairs(lot=lot.lot_external_id, reason=error.reason))
            await self.work.end(lot, "failed", error.reason)
            return
        if not listing.photos and listing.announced and self.has_pages:
            async for each in self.open_page(lot):
                yield each
            return
        for each in await self.photos_of(lot, listing):
            yield each

    async def photos_kept(self, lot: Lot, kept: KeptList) -> list[Request]:
        """Return the requests for the photos of a lot's second pass, from the list that its first pass read."""
        self.crawler.stats.inc_value("list/kept")
        listing = PhotoList(announced=len(kept.photos), photos=kept.photos)
        return await self.photos_of(lot, listing, sizes_are_guessed=kept.sizes_are_guessed)

    async def photos_of(self, lot: Lot, listing: PhotoList, *, sizes_are_guessed: bool = False) -> list[Request]:
        """Return a request for each photo of a list that this pass takes and that is not stored yet; without any the
        lot is settled.

        The sizes in the addresses of a page are guessed: there a photo is known by its smaller size, too.
        """
        with closing.IfDatabaseIsLost(self.crawler):
            known = await self.work.known(lot)

            def is_new(link: PhotoLink) -> bool:
                smaller = copart.smaller(link) if sizes_are_guessed else None
                return link.url not in known.seqs and (smaller is None or smaller.url not in known.seqs)

            new = [link for link in listing.photos if is_new(link)]
            wanted = [link for link in self.work.taken(lot, listing.photos) if is_new(link)]
            stats = self.crawler.stats
            if lot.kept is None:  # else they were counted in the first pass
                stats.inc_value("photo/listed", len(listing.photos))
                stats.inc_value("photo/known", len(listing.photos) - len(new))
            for kind, count in listing.left_out.items():
                stats.inc_value(f"photo/left_out/{kind}", count)
            left = len(new) - len(wanted)
            await self.work.listed(lot, listing, len(wanted), left=left, sizes_are_guessed=sizes_are_guessed)
            return [self.photo_request(lot, link) for link in wanted]
        return []

    def photo_request(self, lot: Lot, link: PhotoLink) -> Request:
        """Return the request for a photo."""
        return Request(
            link.url,
            callback=self.parse_photo,
            errback=self.photo_failed,
            cb_kwargs={"lot": lot, "link": link},
            dont_filter=True,
            priority=3 if lot.is_first else 1,  # a lot is finished before the next begins; first passes before all
            headers={"Accept": "image/avif,image/webp,image/*,*/*;q=0.8"},
            meta={
                **self.sessions.http_meta(),
                "expects": "image",
                "dont_obey_robotstxt": True,
                "handle_httpstatus_list": [404],
            },
        )

    async def parse_photo(self, response: Response, lot: Lot, link: PhotoLink) -> Photo | Request | None:
        """Return the photo; where it is missing, the request for the next smaller size."""
        if response.status == 404:
            if smaller := copart.smaller(link):
                return self.photo_request(lot, smaller)
            await self._fail(lot, link, "missing")
            return None
        kind = (response.headers.get("Content-Type") or b"").decode("latin-1").partition(";")[0].strip().lower()
        return Photo(lot=lot, link=link, body=response.body, content_type=kind)

    async def photo_failed(self, failure: Failure) -> None:
        """Report a photo that could not be downloaded, unless the crawl ends: then its lot is released."""
        if not isinstance(failure.value, Stopped):
            await self._fail(**failure.request.cb_kwargs, reason=reason_of(failure))  # type: ignore[attr-defined]

    async def _fail(self, lot: Lot, link: PhotoLink, reason: str) -> None:
        log.warning("no photo %s", pairs(lot=lot.lot_external_id, seq=link.seq, reason=reason))
        await self.work.failed(lot, reason)

    async def list_failed(self, failure: Failure) -> None:
        """Settle a lot whose list could not be downloaded, unless the crawl ends: then it is released."""
        if not isinstance(failure.value, Stopped):
            lot: Lot = failure.request.cb_kwargs["lot"]  # type: ignore[attr-defined]
            reason = reason_of(failure)
            log.warning("no list %s", pairs(lot=lot.lot_external_id, reason=reason))
            await self.work.end(lot, "failed", reason)

    async def open_page(self, lot: Lot) -> AsyncIterator[Any]:
        """Yield the requests for the photos on the lot's page, which the browser opens as a member."""
        try:
            html = await self.sessions.lot_page(copart.lot_address(self.config.copart_site_url, lot.lot_external_id))
            if html.status >= 400:
                await self.work.end(lot, *(("gone",) if html.status == 404 else ("failed", f"status_{html.status}")))
                return
            listing = copart.lot_page(html)
        except LoginFailed as error:
            log.error("Login failed %s", pairs(reason=error.reason))  # a traceback would say no more
            self.sessions.stop()  # lots that wait for this login would try it again
            await closing.end(self.crawler, "login_failed", netloc(self.config.copart_site_url), str(error))
            return
        except Stopped:
            return
        except (PageError, Ignored, NotSupported) as error:
            reason = getattr(error, "reason", "page")
            log.warning("the lot page cannot be read %s", pairs(lot=lot.lot_external_id, reason=reason))
            if reason == "no_browser":
                self.crawler.stats.inc_value("page/no_browser")
                if self.source == "page":  # every lot would fail: they are released as they are
                    self.sessions.stop()
                    closing.close(self.crawler, reason)
                    return
            await self.work.end(lot, "failed", reason)
            return
        for each in await self.photos_of(lot, listing, sizes_are_guessed=True):
            yield each

    def progress(self) -> CrawlProgress:
        """Return how far the crawl is."""
        stats = self.crawler.stats
        open_lots = list(self.work.open.values())
        return CrawlProgress(
            done=self.work.done,
            total=self.work.total,
            items=stats.get_value("photo/stored", 0) + stats.get_value("photo/reused", 0),
            bytes=stats.get_value("photo/bytes", 0),
            current_item=str(open_lots[0].lot.lot_external_id) if open_lots else None,
            last_items=tuple(self.work.last),
        )


def _numbers(name: str, text: str) -> list[int]:
    try:
        numbers = [int(part) for part in str(text).split(",") if part.strip()]
    except ValueError:
        numbers = [0]
    is_wrong = (text and not numbers) or any(not 1 <= number < LOTS_END for number in numbers)
    if is_wrong or (name == "batch" and len(numbers) != 1):
        raise WrongArgument(f"-a {name}={text} is not a count or a list of numbers above 0")
    return numbers
