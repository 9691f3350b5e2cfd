"""Faults of the photo sources: by name, the kinds of requests they apply to and the handlers that respond."""

from __future__ import annotations

from dataclasses import dataclass, field
from email.utils import formatdate
from inspect import isawaitable
from time import time
from typing import TYPE_CHECKING, Any, Final, Literal

from aiohttp import web

from standin.core import close, html
from standin.photos.pages import LOGIN_BROKEN, no_such_lot_page, page
from standin.photos.pictures import disguised, mpo, other_type, png_bomb, scan_bomb, single_colour, webp_bomb
from standin.refusals import refusal_page

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from standin.photos.server import PhotoServer

    Usual = Callable[[], web.Response | Awaitable[web.Response]]

Host = Literal["api", "cdn", "site"]
#: The kind of resource that a request is for.
Kind = Literal["list", "photo", "recording", "lot", "login", "login_post", "dashboard", "static", "other"]

LIST: Final[frozenset[Kind]] = frozenset({"list"})
PHOTO: Final[frozenset[Kind]] = frozenset({"photo"})
LOT: Final[frozenset[Kind]] = frozenset({"lot"})
LOGIN_POST: Final[frozenset[Kind]] = frozenset({"login_post"})
LOGIN: Final[frozenset[Kind]] = frozenset({"login", "login_post"})
MEMBERS: Final[frozenset[Kind]] = frozenset({"lot", "dashboard"})
ANY: Final = LIST | PHOTO | LOGIN | MEMBERS
HOSTS: Final[Mapping[Host, frozenset[Kind]]] = {"api": LIST, "cdn": PHOTO, "site": LOGIN | MEMBERS}
#: Bytes per write of the fault `huge_body`.
_PIECE: Final = 64 * 1024


async def forbidden_403(_: PhotoServer, __: web.Request, ___: Usual, *, kind: str) -> web.StreamResponse:
    """Respond with a refusal page and status 403."""
    return html(refusal_page(kind), status=403)


async def rate_limited_429(
    _: PhotoServer, __: web.Request, ___: Usual, *, retry_after: int, as_date: bool
) -> web.StreamResponse:
    """Respond with 429 and Retry-After, in seconds or as a date."""
    value = formatdate(time() + retry_after, usegmt=True) if as_date else str(retry_after)
    return web.Response(status=429, text="Too Many Requests\n", headers={"Retry-After": value})


async def challenge_200(_: PhotoServer, __: web.Request, ___: Usual, *, kind: str) -> web.StreamResponse:
    """Respond with a refusal page of that kind and status 200."""
    return html(refusal_page(kind))


async def html_for_json(_: PhotoServer, __: web.Request, ___: Usual) -> web.StreamResponse:
    """Respond with an ordinary HTML page, not a refusal page, instead of JSON."""
    return html(page("Salvage cars", "<h1>Find your next vehicle</h1>"))


async def server_error_500(_: PhotoServer, __: web.Request, ___: Usual) -> web.StreamResponse:
    """Respond with 500 Internal Server Error."""
    return web.Response(status=500, text="Internal Server Error\n")


async def server_error_503(_: PhotoServer, __: web.Request, ___: Usual) -> web.StreamResponse:
    """Respond with 503 Service Unavailable."""
    return web.Response(status=503, text="Service Unavailable\n")


async def tarpit(
    server: PhotoServer, request: web.Request, usual: Usual, *, every: float, seconds: float
) -> web.StreamResponse:
    """Send the headers at once, then a byte every `every` seconds for `seconds` seconds, then close the connection."""
    whole, response = await _begun(request, usual)
    for turn in range(min(int(seconds / every), len(whole))):
        await response.write(whole[turn : turn + 1])
        if await server.pause(every):
            break
    close(request)
    return response


async def reset(server: PhotoServer, request: web.Request, usual: Usual, *, at: float) -> web.StreamResponse:
    """Send the share `at` of the body, then reset the connection; with `at` 0, reset it before the headers."""
    if at == 0:
        close(request, reset=True)
        return web.Response()
    whole, response = await _begun(request, usual)
    await response.write(whole[: int(len(whole) * at)])
    await server.pause(0.05)
    close(request, reset=True)
    return response


async def truncated_length(_: PhotoServer, request: web.Request, usual: Usual, *, at: float) -> web.StreamResponse:
    """Send the Content-Length of the whole body, but only the share `at` of the body, then close the connection."""
    whole, response = await _begun(request, usual)
    await response.write(whole[: int(len(whole) * at)])
    close(request)
    return response


async def truncated_jpeg(_: PhotoServer, __: web.Request, usual: Usual, *, at: float) -> web.StreamResponse:
    """Respond with the first part of the photo, the share `at`, with a Content-Length that matches the part."""
    body, headers = await _contents(usual)
    return web.Response(body=body[: int(len(body) * at)], headers=headers)


async def bomb(_: PhotoServer, __: web.Request, ___: Usual, *, width: int, height: int) -> web.StreamResponse:
    """Respond with a tiny PNG, sent as image/jpeg, whose header declares a picture of `width` by `height` pixels."""
    return _jpeg_it_says(png_bomb(width, height))


async def slow_jpeg(
    _: PhotoServer, __: web.Request, ___: Usual, *, width: int, height: int, scans: int
) -> web.StreamResponse:
    """Respond with a progressive JPEG of 300 kB that is slow to decode: the decoder makes a pass for each scan."""
    return _jpeg_it_says(scan_bomb(width, height, scans))


async def small_webp(_: PhotoServer, __: web.Request, ___: Usual, *, width: int, height: int) -> web.StreamResponse:
    """Respond with a lossless WebP of a few bytes that a decoder needs 16 bytes of memory per pixel for."""
    return web.Response(body=webp_bomb(width, height), headers={"Content-Type": "image/webp"})


async def multi_picture(
    _: PhotoServer, request: web.Request, ___: Usual, *, kind: str, at: float
) -> web.StreamResponse:
    """Respond with the share `at` of an MPO, a photo followed by a second picture; `kind` is the Content-Type."""
    body = mpo(request.path[-40:-8])
    return web.Response(body=body[: int(len(body) * at)], headers={"Content-Type": kind})


async def other_name(_: PhotoServer, __: web.Request, usual: Usual, *, kind: str) -> web.StreamResponse:
    """Respond with the photo and the Content-Type `kind`."""
    body, headers = await _contents(usual)
    return web.Response(body=body, headers={**headers, "Content-Type": kind})


async def wrong_type(_: PhotoServer, __: web.Request, ___: Usual, *, kind: str) -> web.StreamResponse:
    """Respond with content that is not a photo, `gif`, `html` or `text`, sent as image/jpeg."""
    return _jpeg_it_says(other_type(kind))


async def mislabelled(_: PhotoServer, request: web.Request, ___: Usual, *, kind: str) -> web.StreamResponse:
    """Respond with a complete photo in another format, `png` or `webp`, sent as image/jpeg."""
    return _jpeg_it_says(disguised(kind, request.path))


async def tiny_image(_: PhotoServer, __: web.Request, ___: Usual, *, width: int, height: int) -> web.StreamResponse:
    """Respond with a placeholder JPEG of `width` by `height` pixels."""
    return _jpeg_it_says(single_colour(width, height))


async def huge_body(server: PhotoServer, request: web.Request, usual: Usual, *, announced: bool) -> web.StreamResponse:
    """Send an endless body as fast as the client reads; with `announced`, send a Content-Length of 10 GB."""
    body, headers = await _contents(usual)
    response = web.StreamResponse(headers=headers)
    if announced:
        response.content_length = 10_000_000_000
    await response.prepare(request)
    await response.write(body)
    filling = bytes(_PIECE)
    while not await server.pause(0.001):
        await response.write(filling)
    close(request)
    return response


async def redirect_to(_: PhotoServer, __: web.Request, ___: Usual, *, target: str) -> web.StreamResponse:
    """Redirect to the URL `target`."""
    return _moved(target)


async def redirect_host(server: PhotoServer, request: web.Request, _: Usual, *, target: str) -> web.StreamResponse:
    """Redirect to a host that is not in the client's list of allowed hosts.

    Without a target it is this server under another host name, which would respond.
    """
    if not target:
        other = "127.0.0.1" if server.host == "localhost" else "localhost"
        target = f"http://{other}:{request.url.port}{request.path_qs}"
    return _moved(target)


async def redirect_login(server: PhotoServer, _: web.Request, __: Usual) -> web.StreamResponse:
    """Redirect to the login page of the site."""
    return _moved(server.login_url)


async def empty_list(server: PhotoServer, request: web.Request, _: Usual) -> web.StreamResponse:
    """Respond with a photo list that has a count but no photos."""
    return server.list_response(_lot(request), state="empty_list")


async def none_yet(server: PhotoServer, request: web.Request, _: Usual) -> web.StreamResponse:
    """Respond with the photo list of a lot that has no photos yet: a count of 0."""
    return server.list_response(_lot(request), state="none_yet")


async def shifted_sequence(server: PhotoServer, request: web.Request, _: Usual) -> web.StreamResponse:
    """Respond, this time only, with a new photo first and the numbers of all others increased by one."""
    return server.list_response(_lot(request), shifted=True)


async def gone_404(server: PhotoServer, request: web.Request, _: Usual) -> web.StreamResponse:
    """Respond with 404, as for the list and the page of a lot that is gone."""
    if request.path.startswith("/lot/"):
        return html(no_such_lot_page(_lot(request)), status=404)
    return server.list_response(_lot(request), state="gone")


async def bad_json(server: PhotoServer, request: web.Request, _: Usual) -> web.StreamResponse:
    """Respond with truncated JSON: the first two thirds of the list."""
    text = server.list_response(_lot(request)).text or ""
    return web.Response(text=text[: len(text) * 2 // 3], content_type="application/json")


async def not_photos(_: PhotoServer, __: web.Request, ___: Usual, *, shape: str) -> web.StreamResponse:
    """Respond with JSON of another shape: an `envelope` of another API, a `list`, or `text` in place of the values."""
    shapes: dict[str, Any] = {
        "envelope": {"returnCode": 1, "returnCodeDesc": "Success", "data": {"imagesList": {"IMAGE": []}}},
        "list": [],
        "text": {"imgCount": "some", "lotImages": "none"},
    }
    return web.json_response(shapes[shape])


async def photo_404(_: PhotoServer, __: web.Request, ___: Usual) -> web.StreamResponse:
    """Respond with 404 for a photo."""
    return web.Response(status=404, text="Not Found\n")


async def expired_login(server: PhotoServer, request: web.Request, usual: Usual) -> web.StreamResponse:
    """End the session of the client, then handle the request."""
    server.site.expire_session(request)
    return await _usual(usual)


async def login_broken(server: PhotoServer, _: web.Request, __: Usual) -> web.StreamResponse:
    """Respond to any credentials with the login page and an error message."""
    return server.site.login_form(LOGIN_BROKEN)


async def captcha_login(_: PhotoServer, __: web.Request, ___: Usual) -> web.StreamResponse:
    """Respond with a captcha page instead of the login page."""
    return html(refusal_page("captcha"))


async def _usual(usual: Usual) -> web.Response:
    response = usual()
    return await response if isawaitable(response) else response


async def _contents(usual: Usual) -> tuple[bytes, dict[str, str]]:
    """Return the body of the usual response and its headers without Content-Length."""
    response = await _usual(usual)
    body = response.body
    headers = {name: value for name, value in response.headers.items() if name != "Content-Length"}
    return (body if isinstance(body, bytes) else b""), headers


async def _begun(request: web.Request, usual: Usual) -> tuple[bytes, web.StreamResponse]:
    """Return the usual body and a response that has sent its headers, with the Content-Length of the whole body."""
    body, headers = await _contents(usual)
    response = web.StreamResponse(headers=headers)
    response.content_length = len(body)
    await response.prepare(request)
    return body, response


def _jpeg_it_says(body: bytes) -> web.Response:
    return web.Response(body=body, headers={"Content-Type": "image/jpeg"})


def _moved(target: str) -> web.Response:
    return web.Response(status=302, headers={"Location": target})


def _lot(request: web.Request) -> int:
    return int(request.match_info["lot"])


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """A fault: the kinds of requests it applies to, its handler, and its options with their defaults."""

    kinds: frozenset[Kind]
    answer: Callable[..., Awaitable[web.StreamResponse]]
    options: dict[str, Any] = field(default_factory=dict)


FAULTS: Final[dict[str, _Answer]] = {
    "forbidden_403": _Answer(kinds=ANY, answer=forbidden_403, options={"kind": "denied"}),
    "rate_limited_429": _Answer(kinds=ANY, answer=rate_limited_429, options={"retry_after": 30, "as_date": False}),
    "challenge_200": _Answer(kinds=ANY, answer=challenge_200, options={"kind": "incapsula"}),
    "server_error_500": _Answer(kinds=ANY, answer=server_error_500),
    "server_error_503": _Answer(kinds=ANY, answer=server_error_503),
    "tarpit": _Answer(kinds=ANY, answer=tarpit, options={"every": 1.0, "seconds": 3600.0}),
    "reset": _Answer(kinds=ANY, answer=reset, options={"at": 0.5}),
    "truncated_length": _Answer(kinds=LIST | PHOTO, answer=truncated_length, options={"at": 0.6}),
    "huge_body": _Answer(kinds=LIST | PHOTO, answer=huge_body, options={"announced": False}),
    "redirect_private": _Answer(
        kinds=LIST | PHOTO | LOT,
        answer=redirect_to,
        options={"target": "http://169.254.169.254/latest/meta-data/"},
    ),
    "redirect_host": _Answer(kinds=LIST | PHOTO | LOT, answer=redirect_host, options={"target": ""}),
    "redirect_login": _Answer(kinds=LIST | PHOTO | MEMBERS, answer=redirect_login),
    "html_for_json": _Answer(kinds=LIST, answer=html_for_json),
    "empty_list": _Answer(kinds=LIST, answer=empty_list),
    "none_yet": _Answer(kinds=LIST, answer=none_yet),
    "shifted_sequence": _Answer(kinds=LIST, answer=shifted_sequence),
    "bad_json": _Answer(kinds=LIST, answer=bad_json),
    "not_photos": _Answer(kinds=LIST, answer=not_photos, options={"shape": "envelope"}),
    "gone_404": _Answer(kinds=LIST | LOT, answer=gone_404),
    "photo_404": _Answer(kinds=PHOTO, answer=photo_404),
    "truncated_jpeg": _Answer(kinds=PHOTO, answer=truncated_jpeg, options={"at": 0.6}),
    "png_bomb": _Answer(kinds=PHOTO, answer=bomb, options={"width": 30_000, "height": 30_000}),
    "slow_jpeg": _Answer(kinds=PHOTO, answer=slow_jpeg, options={"width": 7000, "height": 7000, "scans": 300}),
    "small_webp": _Answer(kinds=PHOTO, answer=small_webp, options={"width": 7000, "height": 7000}),
    "multi_picture": _Answer(kinds=PHOTO, answer=multi_picture, options={"kind": "image/jpeg", "at": 1.0}),
    "other_name": _Answer(kinds=PHOTO, answer=other_name, options={"kind": "image/jpg"}),
    "wrong_type": _Answer(kinds=PHOTO, answer=wrong_type, options={"kind": "gif"}),
    "mislabelled": _Answer(kinds=PHOTO, answer=mislabelled, options={"kind": "png"}),
    "tiny_image": _Answer(kinds=PHOTO, answer=tiny_image, options={"width": 1, "height": 1}),
    "expired_login": _Answer(kinds=MEMBERS, answer=expired_login),
    "login_broken": _Answer(kinds=LOGIN_POST, answer=login_broken),
    "captcha_login": _Answer(kinds=LOGIN, answer=captcha_login),
}
FAULT_NAMES: Final = tuple(FAULTS)
