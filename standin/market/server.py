"""The classifieds site on loopback: lists, ads, sitemap, cycles that add and remove ads, and faults on demand.

    with MarketServer(seed=1, ads=7600) as server:
        fetch(server.list_url("bmw", sort=6))
        server.advance(new=40, changed=60, gone=50, back=10)
        server.fault("challenge_403", times=3, makes=["bmw"])
        server.ads()
        server.requests

Where the behaviour of the real site is unknown, the stand-in does what is harder for a crawler: a page number beyond
the last page returns the last page with status 200; promoted ads come first on every page, also in lists sorted by
date; a total beyond the last page is a number with a plus sign.

The same over HTTP: POST and DELETE /control/fault (with makes, pages and kinds among the options), GET and DELETE
/control/requests, POST /control/advance, GET /control/ads.
"""

from __future__ import annotations

import functools
import json
import time
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from standin.cars import photo_of
from standin.core import LoopbackServer
from standin.market.addresses import REGIONS, Asked, asked, path
from standin.market.ads import Ad
from standin.market.cycles import BY_MODEL, IN_BULGARIA, NOW, AdMarket, Changes
from standin.market.detail import detail_page
from standin.market.faults import FAULTS, KINDS
from standin.market.pages import (
    ENCODING,
    LAYOUTS,
    LOGIN,
    PER_PAGE,
    ROOT,
    SITEMAP,
    Menu,
    Position,
    card,
    deleted_page,
    list_page,
    login_page,
    missing_page,
    robots,
    sitemap,
)
from standin.market.requests import MOST, Request, Tally
from standin.market.values import ALL_MAKES, GROUPS, MAKES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from standin.core import Fault
    from standin.market.faults import Kind
    from standin.market.live import LiveMarket
    from standin.market.pages import Layout

_NARROWINGS: Final = ("makes", "pages", "kinds")
#: Where the slugs of regions can be learned: the sitemap has their lists, and a list links to itself by region.
REGION_SOURCES: Final = ("sitemap", "links")
#: The most cards that are kept of a market of real size.
_CARDS: Final = 4096
_AD_ID: Final = "[12][0-9]{16}"


class MarketServer(LoopbackServer):
    """A classifieds site, run in its own thread for the duration of a `with` block."""

    def __init__(
        self,
        *,
        seed: int = 1,
        ads: int = 7600,
        make_ads: Mapping[str, int] | None = None,
        others: int = 0,
        without_region: float = 0.0,
        regions_in: Collection[str] = REGION_SOURCES,
        layout: Layout = "plain",
        page_limit: int = 150,
        repeats: int = 2,
        now: datetime = NOW,
        market: LiveMarket | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        """Serve `ads` ads of twenty makes; `make_ads` replaces the number for single makes.

        `others` and `without_region` are those of AdMarket. The slugs of regions are in the places `regions_in`; each
        region has its lists in any case. A list has at most `page_limit` pages, whatever it is narrowed to. Before its
        own ads, a page repeats up to `repeats` promoted ones. `now` is the start of the market, and each cycle advances
        it. A `market` that follows its own clock takes the place of all that. Raises ValueError for a host that is not
        loopback, an unknown layout, make or place, and a number that is too small.
        """
        super().__init__(
            name="market",
            host=host,
            ports={"site": port},
            faults={name: {**fault.options, **dict.fromkeys(_NARROWINGS)} for name, fault in FAULTS.items()},
        )
        if layout not in LAYOUTS:
            message = f"unknown layout {layout!r}: choose one of {', '.join(LAYOUTS)}"
            raise ValueError(message)
        if page_limit < 1 or repeats < 0:
            message = "page_limit must be at least 1, and repeats at least 0"
            raise ValueError(message)
        if wrong := sorted({*regions_in} - {*REGION_SOURCES}):
            message = f"regions are not shown in {', '.join(wrong)}: choose among {', '.join(REGION_SOURCES)}"
            raise ValueError(message)
        self.layout: Layout = layout
        self.regions_in = frozenset(regions_in)
        self.hidden: frozenset[str] = frozenset()
        self.page_limit = page_limit
        self.repeats = repeats
        self.live = market
        self.market: AdMarket | LiveMarket = market or AdMarket(
            seed=seed, ads=ads, make_ads=make_ads, others=others, without_region=without_region, now=now
        )
        self.tally = Tally()
        self.requests: list[Request] = []
        self._cards: dict[str, tuple[Ad, bytes]] = {}

    @property
    def url(self) -> str:
        """Return the root URL of the site, without a trailing slash."""
        return self.address("site")

    @property
    def link_host(self) -> str:
        """Return the start of the links on the pages: the root URL without its scheme."""
        return self.url.removeprefix("http:")

    @property
    def sitemap_url(self) -> str:
        """Return the URL of the sitemap."""
        return self.url + SITEMAP

    @property
    def groups(self) -> Mapping[int, tuple[str, ...]]:
        """Return the makes of each of the four groups."""
        return dict(GROUPS)

    def addresses(self) -> dict[str, str]:
        """Return the URLs of the site by name. Valid once the server has started."""
        return {
            "url": self.url,
            "list_url": self.url + ROOT,
            "sitemap_url": self.sitemap_url,
            "robots_url": f"{self.url}/robots.txt",
        }

    def list_url(
        self,
        make: str | None = None,
        *,
        model: str | None = None,
        region: str | None = None,
        page: int = 1,
        sort: int | None = None,
    ) -> str:
        """Return the URL of a page of a list."""
        asked = Asked(make=make, model=model, region=region, page=page, sort=sort)
        return self.url + asked.base + ("" if page == 1 else f"/p-{page}") + asked.query

    def ad_url(self, ad_id: str) -> str:
        """Return the URL of the detail page of an active or gone ad. Raises KeyError for an unknown id."""
        ad = self.market.find(ad_id) or self.market.gone(ad_id)
        if ad is None:
            raise KeyError(ad_id)
        return self.url + ad.path

    def ads(self) -> Mapping[str, Ad]:
        """Return the active ads by id."""
        return self.market.ads()

    def count(self, make: str | None = None) -> int:
        """Return the number of active ads of a make (None: of all makes)."""
        return self.market.count(make)

    def advance(
        self, *, new: int = 40, changed: int = 60, gone: int = 50, back: int = 10, hours: float = 6.5
    ) -> Changes:
        """Advance the market by one cycle: see `AdMarket.advance`. Raises ValueError for one with a clock."""
        if not isinstance(self.market, AdMarket):
            message = "the market follows its clock: use pass_time, or POST /control/clock"
            raise ValueError(message)
        return self.market.advance(new=new, changed=changed, gone=gone, back=back, hours=hours)

    def set_price(self, ad_id: str, eur: Decimal | float | str | None) -> None:
        """Set the price of an ad; None shows «Запитване». Raises KeyError for an ad that is not active."""
        self.market.set_price(ad_id, eur)

    def remove(self, ad_id: str) -> None:
        """Remove an ad from the market. Raises KeyError for an ad that is not active."""
        self.market.remove(ad_id)

    def restore(self, ad_id: str) -> None:
        """Make a gone ad active again. Raises KeyError for an ad that is not gone."""
        self.market.restore(ad_id)

    def hide(self, *parts: str) -> None:
        """Have the site without the lists of a make (`bmw`), a model (`bmw/x5`) or a region (`oblast-vidin`): 404.

        They are in no menu and not in the sitemap; their ads stay in the lists of the rest. Replaces what was hidden
        before, so that without arguments all lists are there again.
        """
        self.hidden = frozenset(parts)

    def menu(self, base: str = ROOT, *, by_region: bool = False) -> Menu:
        """Return the links at the end of a page; with `by_region` those to the list `base` by region."""
        regions = {slug: name for slug, name in REGIONS.items() if by_region and slug not in self.hidden}
        return Menu(
            makes=[(path(slug), make.name) for slug, make in self.market.makes.items() if slug not in self.hidden],
            regions=[(f"{base}/{slug}", name) for slug, name in regions.items()],
        )

    def fault(
        self,
        name: str,
        times: int | None = None,
        *,
        makes: Collection[str] | None = None,
        pages: Collection[int] | None = None,
        kinds: Collection[Kind] | None = None,
        **options: Any,
    ) -> None:
        """Queue a fault for the next `times` requests it applies to (None: for all of them).

        `makes`, `pages` (page numbers of lists) and `kinds` restrict the requests it applies to. The first queued fault
        that applies to a request is used. Raises ValueError for an unknown name, make, kind or option.
        """
        if wrong := sorted({*(makes or ())} - ALL_MAKES.keys()):
            message = f"unknown make {', '.join(wrong)}: choose among {', '.join(MAKES)}"
            raise ValueError(message)
        if wrong := sorted({*(kinds or ())} - {*KINDS}):
            message = f"unknown kind {', '.join(wrong)}: choose among {', '.join(KINDS)}"
            raise ValueError(message)
        known = FAULTS.get(name)
        if known is not None and kinds is not None and not known.kinds & {*kinds}:
            message = f"fault {name} does not apply to {', '.join(kinds)}"
            raise ValueError(message)
        for option, choices in (known.choices if known else {}).items():
            if options.get(option, choices[0]) not in choices:
                message = f"fault {name}: unknown {option} {options[option]!r}: choose one of {', '.join(choices)}"
                raise ValueError(message)
        narrowed = {"makes": makes, "pages": pages, "kinds": kinds}
        chosen = {key: frozenset(values) for key, values in narrowed.items() if values is not None}
        self.faults.add(name, times, {**options, **chosen})

    def applications(self) -> Mapping[str, web.Application]:
        """Return the application of the site."""
        site = web.Application()
        site.router.add_get(ROOT + "{rest:(?:/.*)?}", self._list, allow_head=False)
        site.router.add_get(f"/obiava-{{ad:{_AD_ID}}}{{slug:(?:-[^/]*)?}}", self._detail, allow_head=False)
        site.router.add_get(SITEMAP, self._sitemap, allow_head=False)
        site.router.add_get("/robots.txt", self._robots, allow_head=False)
        site.router.add_get(LOGIN, self._login, allow_head=False)
        photo = f"/mobile/photosorg/{{folder:[0-9]{{3}}/[12](?:/big1)?}}/{{ad:{_AD_ID}}}_{{letters:[0-9A-Za-z]+}}.webp"
        site.router.add_get(photo, self._photo, allow_head=False)
        self.add_control(site)
        site.router.add_post("/control/advance", self._control_advance)
        site.router.add_get("/control/clock", self._control_clock, allow_head=False)
        site.router.add_post("/control/clock", self._control_run)
        site.router.add_get("/control/tally", self._control_tally, allow_head=False)
        site.router.add_delete("/control/tally", self._control_tally)
        site.router.add_get("/control/history", self._control_history, allow_head=False)
        site.router.add_get("/control/ads", self._control_ads, allow_head=False)
        site.router.add_route("*", "/{path:.*}", self._nothing_there)
        site.on_response_prepare.append(_note_status)
        return {"site": site}

    def list_response(self, request: web.Request, *, number: int | None = None, next_link: bool = True) -> web.Response:
        """Return the requested page of a list, or page `number` of it; 404 for a URL of no list."""
        wanted = asked(request.path, request.query_string)
        if wanted is None or wanted.parts & self.hidden:
            return _page(missing_page(), status=404)
        listing = self.market.listing(
            wanted.make, model=wanted.model, region=wanted.region, sort=BY_MODEL if wanted.sort is None else wanted.sort
        )
        count, reach = len(listing.ads), self.page_limit * PER_PAGE
        pages = max(min(-(-count // PER_PAGE), self.page_limit), 1)
        shown = min(number or wanted.page, pages)
        begin = (shown - 1) * PER_PAGE
        own = listing.ads[begin : min(begin + PER_PAGE, reach)]
        above = self._repeated(listing.promoted, own, shown)
        position = Position(
            base=self.url + wanted.base,
            query=wanted.query,
            number=shown,
            pages=pages,
            first=begin + 1 if own else 0,
            last=begin + len(own),
            total=str(count) if count <= reach else f"{reach}+",
            all_ads=count,
            title=wanted.title,
        )
        cards = [self._card(ad) for ad in (*above, *own)]
        by_region = "links" in self.regions_in and wanted.region in (None, IN_BULGARIA)
        menu = self.menu(path(wanted.make, wanted.model), by_region=by_region)
        return _page(
            list_page(position, cards, menu=menu, host=self.link_host, layout=self.layout, next_link=next_link)
        )

    def _repeated(self, promoted: Sequence[Ad], own: Sequence[Ad], number: int) -> list[Ad]:
        """Return the promoted ads to repeat on a page: different ones on each page, none that the page has itself."""
        if not promoted:
            return []
        first = (number - 1) * self.repeats
        chosen = {promoted[place % len(promoted)].id: promoted[place % len(promoted)]
                  for place in range(first, first + self.repeats)}  # fmt: skip
        present = {ad.id for ad in own}
        return [ad for ad in chosen.values() if ad.id not in present]

    def _card(self, ad: Ad) -> bytes:
        built = self._cards.get(ad.id)
        if built is None or built[0] is not ad:
            built = (ad, card(ad, host=self.link_host, layout=self.layout))
            self._cards[ad.id] = built
            if self.live and len(self._cards) > _CARDS:
                del self._cards[next(iter(self._cards))]
        return built[1]

    async def _answer(
        self,
        request: web.Request,
        kind: Kind,
        usual: Callable[[], web.Response],
        *,
        wanted: Asked | None = None,
        ad: str | None = None,
    ) -> web.StreamResponse:
        """Record the request and return the usual response, or that of the first queued fault that applies to it."""
        peer = request.transport.get_extra_info("peername") if request.transport else None
        known = self.market.find(ad) or self.market.gone(ad) if ad is not None else None
        make = wanted.make if wanted else known.make if known else None
        page = wanted.page if wanted else None
        note = Request(
            method=request.method,
            path=request.path,
            query=request.query_string,
            at=time.monotonic(),
            kind=kind,
            make=make,
            model=wanted.model if wanted else None,
            region=wanted.region if wanted else None,
            page=page,
            sort=wanted.sort if wanted else None,
            ad=ad,
            headers={name.lower(): value for name, value in request.headers.items()},
            peer_port=peer[1] if peer else 0,
        )
        request[_NOTE] = note
        self.requests.append(note)
        if self.live and len(self.requests) > MOST:
            del self.requests[: MOST // 2]
        speed = self.live.clock.speed if self.live else 1.0
        self.tally.count(kind, wanted, at=note.at, speed=speed, whole=IN_BULGARIA)

        def meant(fault: Fault) -> bool:
            makes, pages, kinds = (fault.options[name] for name in _NARROWINGS)
            return (
                kind in FAULTS[fault.name].kinds
                and (kinds is None or kind in kinds)
                and (makes is None or make in makes)
                and (pages is None or page in pages)
            )

        fault = self.faults.take(meant)
        if fault is None:
            return usual()
        note.fault = fault.name
        options = {name: value for name, value in fault.options.items() if name not in _NARROWINGS}
        return await FAULTS[fault.name].answer(self, request, usual, **options)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        wanted = asked(request.path, request.query_string)
        return await self._answer(request, "list", lambda: self.list_response(request), wanted=wanted)

    async def _detail(self, request: web.Request) -> web.StreamResponse:
        ad_id = request.match_info["ad"]

        def usual() -> web.Response:
            ad = self.market.find(ad_id)
            if ad is not None:
                return _page(detail_page(ad, host=self.link_host, now=self.market.now))
            if self.market.gone(ad_id) is not None and int(ad_id[-1]) % 2 == 0:
                return _page(deleted_page())
            return _page(missing_page(), status=404)

        return await self._answer(request, "detail", usual, ad=ad_id)

    async def _photo(self, request: web.Request) -> web.StreamResponse:
        ad_id, letters = request.match_info["ad"], request.match_info["letters"]

        def usual() -> web.Response:
            ad = self.market.find(ad_id)
            if ad is None or letters not in ad.photos:
                return _page(missing_page(), status=404)
            return web.Response(body=photo_of(ad_id, letters), content_type="image/webp")

        return await self._answer(request, "photo", usual, ad=ad_id)

    async def _sitemap(self, request: web.Request) -> web.StreamResponse:
        body = sitemap(self.url, self._paths())
        return await self._answer(
            request, "sitemap", lambda: web.Response(body=body, content_type="application/x-gzip")
        )

    def _paths(self) -> Iterator[str]:
        """Yield the paths of the lists in the sitemap."""
        yield ROOT
        for slug, make in self.market.makes.items():
            models = [path(slug, model.slug) for model in make.models if f"{slug}/{model.slug}" not in self.hidden]
            yield from [path(slug), *models] if slug not in self.hidden else ()
        if "sitemap" in self.regions_in:
            yield from (path(slug) for slug in (IN_BULGARIA, *REGIONS) if slug not in self.hidden)

    async def _robots(self, request: web.Request) -> web.StreamResponse:
        body = robots(self.url)
        return await self._answer(request, "robots", lambda: web.Response(body=body, content_type="text/plain"))

    async def _login(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, "login", lambda: _page(login_page()))

    async def _nothing_there(self, request: web.Request) -> web.StreamResponse:
        """Respond with 404. The request is recorded, so that tests can find unexpected ones."""
        return await self._answer(request, "other", lambda: _page(missing_page(), status=404))

    async def _control_advance(self, request: web.Request) -> web.Response:
        """Advance by one cycle, given as JSON: `{"new": 40, "changed": 60, "gone": 50, "back": 10}`, all optional."""
        try:
            changes = self.advance(**json.loads(await request.text() or "{}"))
        except (TypeError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(asdict(changes))

    async def _control_clock(self, _: web.Request) -> web.Response:
        """Respond with the time of the market, real time in seconds since 1970 at that moment, and its speed."""
        speed = self.live.clock.speed if self.live else 0.0
        return web.json_response({"now": self.market.now.isoformat(), "real": time.time(), "speed": speed})

    async def _control_run(self, request: web.Request) -> web.Response:
        """Let the clock go on at another speed, or skip hours, given as JSON: `{"speed": 75, "hours": 1}`."""
        try:
            order = json.loads(await request.text())
            if self.live is None:
                raise ValueError("this market has no clock")
            self.live.pass_time(float(order.get("hours", 0)))
            self.live.clock.run(float(order.get("speed", self.live.clock.speed)))
        except (AttributeError, TypeError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return await self._control_clock(request)

    async def _control_tally(self, request: web.Request) -> web.Response:
        """Respond with the counts of requests and the gaps between them; DELETE forgets them afterwards."""
        summary = self.tally.summary()
        if request.method == "DELETE":
            self.tally = Tally()
        return web.json_response(summary)

    async def _control_history(self, _: web.Request) -> web.Response:
        """Respond with `LiveMarket.history`, as a list of lists."""
        return web.json_response([] if self.live is None else list(self.live.history()))

    async def _control_ads(self, _: web.Request) -> web.Response:
        """Respond with the active ads by id, as JSON; amounts and times are strings."""
        ads = {ad_id: {**asdict(ad), "path": ad.path, "is_abroad": ad.is_abroad} for ad_id, ad in self.ads().items()}
        return web.json_response(ads, dumps=functools.partial(json.dumps, default=_as_text, ensure_ascii=False))


_NOTE: Final = web.RequestKey("note", Request)


async def _note_status(request: web.Request, response: web.StreamResponse) -> None:
    if _NOTE in request:
        request[_NOTE].status = response.status


def _page(body: bytes, *, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="text/html", charset=ENCODING)


def _as_text(value: object) -> str:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    message = f"{type(value).__name__} cannot be serialized as JSON"
    raise TypeError(message)
