"""The photo sources on loopback: the API that lists photos, the CDN and the site with its login, and faults on demand.

    with PhotoServer(seed=1) as server:
        fetch(server.list_url(45000001))
        server.fault("forbidden_403", times=5, host="api")
        server.photos(45000001)
        server.requests

Each of the three has its own port, because crawlers keep request budgets and lists of allowed hosts by host and port.
The same over HTTP on the API's port: POST and DELETE /control/fault, GET and DELETE /control/requests, POST
/control/lot.
"""

from __future__ import annotations

import functools
import hashlib
import json
import time
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from aiohttp import web

from standin.core import LoopbackServer, unchanged
from standin.photos.faults import FAULTS, HOSTS
from standin.photos.lots import FOLDER, PhotoLots
from standin.photos.pictures import SHAPES, jpeg, pool
from standin.photos.site import Site

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Container, Mapping

    from standin.core import Fault
    from standin.photos.faults import Host, Kind
    from standin.photos.lots import State
    from standin.photos.pages import Consent, Layout
    from standin.photos.pictures import Variant

#: A cookie that the API sets for every client that does not send it, as the bot protection of the real API does.
VISITOR: Final = "visitor"
#: 2026-07-01T00:00:00Z as a Unix timestamp; the Last-Modified of all photos is at most 13 days earlier.
_PHOTOGRAPHED: Final = 1_782_864_000
_MEDIA: Final = {".mp3": "audio/mpeg", ".mp4": "video/mp4"}


@dataclass(kw_only=True)
class Request:
    """A recorded request to one of the three hosts.

    `at` is its arrival in seconds of the monotonic clock; `kind` is the kind of resource requested, `lot` the lot it
    belongs to, if known; header names are in lower case; `peer_port` identifies the connection; `status` is 0 until the
    response has begun. The body of a POST is not recorded.
    """

    host: Host
    method: str
    path: str
    query: dict[str, str]
    at: float
    kind: Kind
    lot: int | None
    headers: dict[str, str]
    cookies: dict[str, str]
    peer_port: int
    fault: str | None = None
    status: int = 0


class PhotoServer(LoopbackServer):
    """The API, the CDN and the site, run in one thread for the duration of a `with` block."""

    def __init__(
        self,
        *,
        seed: int = 1,
        known: Container[int] | Callable[[int], bool] | None = None,
        empty_every: int = 50,
        none_every: int = 97,
        alias: Mapping[int, int] | None = None,
        tiny: bool = False,
        username: str = "stand-in-member",
        password: str = "stand-in-password",
        consent: Consent = "before",
        layout: Layout | None = None,
        script_delay: float = 0.2,
        host: str = "127.0.0.1",
        api_port: int = 0,
        cdn_port: int = 0,
        site_port: int = 0,
    ) -> None:
        """Serve the lots of `PhotoLots(seed=…, known=…, empty_every=…, none_every=…, alias=…)`.

        `username` and `password` are the credentials of the only member of the site. `consent` selects the pages with a
        consent popup, `layout` the HTML variant of all galleries (None: it depends on the lot number), `script_delay`
        is the delay of the site's scripts in seconds; with `tiny`, photos of all sizes are as small as thumbnails.
        Raises ValueError for a host that is not loopback and for an unknown consent or layout.
        """
        super().__init__(
            name="photo",
            host=host,
            ports={"api": api_port, "cdn": cdn_port, "site": site_port},
            faults={name: fault.options for name, fault in FAULTS.items()},
        )
        self.lots = PhotoLots(seed=seed, known=known, empty_every=empty_every, none_every=none_every, alias=alias)
        self.site = Site(
            self, username=username, password=password, consent=consent, layout=layout, script_delay=script_delay
        )
        self.requests: list[Request] = []
        self._tiny = tiny
        for variant in SHAPES:
            pool(variant)

    @property
    def api_url(self) -> str:
        """Return the root URL of the API, without a trailing slash."""
        return self.address("api")

    @property
    def cdn_url(self) -> str:
        """Return the root URL of the CDN, without a trailing slash."""
        return self.address("cdn")

    @property
    def site_url(self) -> str:
        """Return the root URL of the site, without a trailing slash."""
        return self.address("site")

    @property
    def login_url(self) -> str:
        """Return the URL of the login page, to set COPART_LOGIN_URL to."""
        return f"{self.site_url}/login"

    @property
    def image_hosts(self) -> str:
        """Return the API and the CDN as `host:port,host:port`, to set COPART_IMAGE_HOSTS to."""
        return ",".join(url.removeprefix("http://") for url in (self.api_url, self.cdn_url))

    def addresses(self) -> dict[str, str]:
        """Return the URLs of the hosts by name. Valid once the server has started."""
        return {
            "api_url": self.api_url,
            "cdn_url": self.cdn_url,
            "site_url": self.site_url,
            "login_url": self.login_url,
            "image_hosts": self.image_hosts,
        }

    def list_url(self, lot: int, *, country: str = "us", yard: int = 1) -> str:
        """Return the URL of a lot's photo list, in the form of the feed's Image URL."""
        return f"{self.api_url}/v1/lotImages/{lot}?country={country}&brand=cprt&yardNumber={yard}"

    def lot_url(self, lot: int) -> str:
        """Return the URL of the lot's page."""
        return f"{self.site_url}/lot/{lot}"

    def photos(self, lot: int) -> list[tuple[int, Variant, str]]:
        """Return the photos that a crawler should store: number, best size and URL of each photo, in order."""
        return self.lots.photos(lot, cdn=self.cdn_url)

    def photo(self, url: str) -> bytes:
        """Return the bytes of the photo at a URL, without any fault. Raises KeyError for a URL of no photo."""
        name, _, ending = urlsplit(url.strip()).path.removeprefix(f"{FOLDER}/").partition("_")
        variant = ending.removesuffix(".jpg")
        body = self._photo(name, variant) if variant in SHAPES else None
        if body is None:
            raise KeyError(url)
        return body

    def set_lot(self, lot: int, state: State) -> None:
        """Set the state of a lot's photo list: `listed`, `empty_list`, `none_yet` or `gone`."""
        self.lots.set_state(lot, state)

    def shift(self, lot: int) -> None:
        """Insert a new photo before the others, whose numbers increase by one and whose URLs do not change."""
        self.lots.shift(lot)

    def add_photo(self, lot: int) -> None:
        """Append a new photo to the lot."""
        self.lots.add_photo(lot)

    def fault(
        self,
        name: str,
        times: int | None = None,
        *,
        host: Host | None = None,
        lots: Collection[int] | None = None,
        **options: Any,
    ) -> None:
        """Queue a fault for the next `times` requests it applies to (None: for all of them).

        `host` and `lots` restrict the requests it applies to. The first queued fault that applies to a request is used.
        Raises ValueError for an unknown name, host or option.
        """
        if host is not None and host not in HOSTS:
            message = f"unknown host {host!r}: choose one of {', '.join(HOSTS)}"
            raise ValueError(message)
        if host is not None and name in FAULTS and not FAULTS[name].kinds & HOSTS[host]:
            message = f"fault {name} does not apply to the {host}"
            raise ValueError(message)
        self.faults.add(name, times, options, host=host, lots=lots)

    def applications(self) -> Mapping[str, web.Application]:
        """Return the applications of the API, the CDN and the site."""
        api, cdn, site = web.Application(), web.Application(), web.Application()
        api.router.add_get("/v1/lotImages/{lot:[0-9]{1,9}}", self._list, allow_head=False)
        self.add_control(api)
        api.router.add_post("/control/lot", self._control_lot)
        photo = "/v1/AUTH_svc.pdoc00001/lpp/{month:[0-9]{4}}/{name:[0-9a-f]{32}}"
        cdn.router.add_get(photo + "_{variant:hrs|ful|thb}.jpg", self._image, allow_head=False)
        cdn.router.add_get(photo + "{ending:(?:_v(?:ful|hrs))?[.]mp[34]}", self._recording, allow_head=False)
        self.site.add_routes(site)
        applications: dict[Host, web.Application] = {"api": api, "cdn": cdn, "site": site}
        for host, application in applications.items():
            application.router.add_route("*", "/{path:.*}", functools.partial(self._nothing_there, host))
            application.on_response_prepare.append(_note_status)
        return {str(host): application for host, application in applications.items()}

    async def answer(
        self,
        request: web.Request,
        host: Host,
        kind: Kind,
        usual: Callable[[], web.Response | Awaitable[web.Response]],
        *,
        lot: int | None = None,
        may_fail: bool = True,
    ) -> web.StreamResponse:
        """Record the request and return the usual response, or that of the first queued fault that applies to it."""
        peer = request.transport.get_extra_info("peername") if request.transport else None
        note = Request(
            host=host,
            method=request.method,
            path=request.path,
            query=dict(request.query),
            at=time.monotonic(),
            kind=kind,
            lot=lot,
            headers={name.lower(): value for name, value in request.headers.items()},
            cookies=dict(request.cookies),
            peer_port=peer[1] if peer else 0,
        )
        request[_NOTE] = note
        self.requests.append(note)

        def meant(fault: Fault) -> bool:
            return (
                kind in FAULTS[fault.name].kinds
                and fault.host in (None, host)
                and (fault.lots is None or lot in fault.lots)
            )

        fault = self.faults.take(meant) if may_fail else None
        if fault is None:
            response = usual()
            return response if isinstance(response, web.Response) else await response
        note.fault = fault.name
        return await FAULTS[fault.name].answer(self, request, usual, **fault.options)

    def list_response(self, lot: int, *, state: State | None = None, shifted: bool = False) -> web.Response:
        """Return the photo list of a lot, or 404 for a gone lot; `state` and `shifted` override the lot's own."""
        if (state or self.lots.state(lot)) == "gone":
            return web.json_response({"message": "Not Found"}, status=404)
        return web.json_response(self.lots.listing(lot, cdn=self.cdn_url, state=state, shifted=shifted))

    async def _list(self, request: web.Request) -> web.StreamResponse:
        lot = int(request.match_info["lot"])

        def usual() -> web.Response:
            response = self.list_response(lot)
            if VISITOR not in request.cookies:
                response.set_cookie(VISITOR, hashlib.sha256(f"{time.monotonic_ns()}".encode()).hexdigest()[:24])
            return response

        return await self.answer(request, "api", "list", usual, lot=lot)

    def _photo(self, name: str, variant: str) -> bytes | None:
        picture = self.lots.find(name)
        if picture is None or (variant == "hrs" and not picture.has_hd):
            return None
        return jpeg(picture.content, "thb" if self._tiny else variant)  # type: ignore[arg-type]

    async def _image(self, request: web.Request) -> web.StreamResponse:
        name, variant = request.match_info["name"], request.match_info["variant"]
        picture = self.lots.find(name)

        def usual() -> web.Response:
            body = self._photo(name, variant)
            if body is None:
                return web.Response(status=404, text="Not Found\n")
            headers = _validators(f"{name}_{variant}")
            if unchanged(request, etag=headers["ETag"], last_modified=headers["Last-Modified"]):
                return web.Response(status=304, headers=headers)
            return web.Response(body=body, headers={**headers, "Content-Type": "image/jpeg"})

        return await self.answer(request, "cdn", "photo", usual, lot=picture.lot if picture else None)

    async def _recording(self, request: web.Request) -> web.StreamResponse:
        name, ending = request.match_info["name"], request.match_info["ending"]
        picture = self.lots.find(name)

        def usual() -> web.Response:
            if picture is None:
                return web.Response(status=404, text="Not Found\n")
            return web.Response(body=name.encode() * 1000, headers={"Content-Type": _MEDIA[ending[-4:]]})

        return await self.answer(request, "cdn", "recording", usual, lot=picture.lot if picture else None)

    async def _nothing_there(self, host: Host, request: web.Request) -> web.StreamResponse:
        """Respond with 404. The request is recorded, so that tests can find unexpected ones."""
        missing = web.Response(status=404, text="Not Found\n")
        return await self.answer(request, host, "other", lambda: missing, may_fail=False)

    async def _control_lot(self, request: web.Request) -> web.Response:
        """Change a lot, given as JSON: `{"lot": 45000001, "state": "gone"}`, or `"change"` instead of `"state"`.

        A change is `"shift"` or `"add_photo"`.
        """
        try:
            order = json.loads(await request.text())
            lot = int(order["lot"])
            if "state" in order:
                self.set_lot(lot, order["state"])
            else:
                {"shift": self.shift, "add_photo": self.add_photo}[order["change"]](lot)
        except (KeyError, TypeError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"lot": lot, "photos": len(self.photos(lot))})


_NOTE: Final = web.RequestKey("note", Request)


async def _note_status(request: web.Request, response: web.StreamResponse) -> None:
    if _NOTE in request:
        request[_NOTE].status = response.status


def _validators(name: str) -> dict[str, str]:
    """Return the response headers of a photo that concern caching: ETag, Last-Modified and the like."""
    digest = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
    return {
        "ETag": f'"{digest}"',
        "Last-Modified": formatdate(_PHOTOGRAPHED - int(digest[:5], 16), usegmt=True),
        "Cache-Control": "public, max-age=604800",
        "X-Cache": "HIT",
        "Accept-Ranges": "none",
    }
