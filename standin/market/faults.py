"""What goes wrong on the classifieds site: faults by name, what they befall, and how they answer."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from aiohttp import web

from standin.core import html
from standin.market.pages import ENCODING, LOGIN, challenge_page, page_without_ads
from standin.photos.faults import (
    forbidden_403,
    rate_limited_429,
    redirect_host,
    redirect_to,
    reset,
    tarpit,
    truncated_length,
)
from standin.refusals import refusal_page

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from standin.market.server import MarketServer

    Usual = Callable[[], web.Response | Awaitable[web.Response]]

#: What a request is for.
Kind = Literal["list", "detail", "sitemap", "robots", "photo", "login", "other"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

LIST: Final[frozenset[Kind]] = frozenset({"list"})
PAGES: Final[frozenset[Kind]] = frozenset({"list", "detail"})
ANY: Final[frozenset[Kind]] = frozenset({"list", "detail", "sitemap", "robots", "photo"})

#: Class names that a new layout has in the place of the ones everybody knows.
_RENAMED: Final[Mapping[bytes, bytes]] = {
    b'class="params"': b'class="adDetails"',
    b'class="price ': b'class="adPrice ',
    b'class="Price"': b'class="adPrice"',
    b'class="mpLabel"': b'class="mainLabel"',
    b'class="mpInfo"': b'class="mainInfo"',
    b'class="techData"': b'class="technical"',
    b"showpricechange(": b"priceChanges(",
}
_PRICES: Final = re.compile(
    rb'(<div class="price [A-Z]*">\s*<div>)(?:(?!</div>).)*|(<div class="Price">).*?(?=</div><br>)', re.DOTALL
)
#: Where a page says how many ads its list has: above the list, and in its description.
_TOTAL: Final = re.compile("\\d+ - \\d+ от общо \\d+\\+?".encode(ENCODING))
_OFFERS: Final = re.compile("Избор от » [\\d ]+ « предложения\\.".encode(ENCODING))
_BODIES: Final = ("windows-1251", "utf-8", "mojibake")


async def server_error(_: MarketServer, __: web.Request, ___: Usual, *, status: int) -> web.StreamResponse:
    """An internal error, or that the site is out of service."""
    return web.Response(status=status, text="Server Error\n")


async def challenge_403(_: MarketServer, __: web.Request, ___: Usual) -> web.StreamResponse:
    """The guard in front of the site wants to see a browser, and says so in its status and headers."""
    return html(challenge_page(), status=403, headers={"Server": "cloudflare", "cf-mitigated": "challenge"})


async def challenge_200(_: MarketServer, __: web.Request, ___: Usual, *, kind: str) -> web.StreamResponse:
    """A challenge with status 200: `cloudflare`, or a refusal of another kind."""
    return html(challenge_page() if kind == "cloudflare" else refusal_page(kind))


async def captcha(_: MarketServer, __: web.Request, ___: Usual, *, status: int) -> web.StreamResponse:
    """A captcha."""
    return html(refusal_page("captcha"), status=status)


async def truncated_page(_: MarketServer, __: web.Request, usual: Usual, *, at: float) -> web.StreamResponse:
    """That share of the page as if it were all of it: nothing in the protocol says so."""
    body, headers, status = await _contents(usual)
    return web.Response(body=body[: int(len(body) * at)], headers=headers, status=status)


async def empty_page(server: MarketServer, _: web.Request, __: Usual) -> web.StreamResponse:
    """The site around nothing: no card, and no total that says that there is none."""
    return _page(page_without_ads(host=server.link_host, layout=server.layout))


async def changed_layout(_: MarketServer, __: web.Request, usual: Usual) -> web.StreamResponse:
    """Other class names for prices and parameters; cards, titles and links are where they were."""
    body, headers, status = await _contents(usual)
    for known, renamed in _RENAMED.items():
        body = body.replace(known, renamed)
    return web.Response(body=body, headers=headers, status=status)


async def no_prices(_: MarketServer, __: web.Request, usual: Usual) -> web.StreamResponse:
    """Nothing in the boxes where prices stand."""
    body, headers, status = await _contents(usual)
    return web.Response(body=_PRICES.sub(rb"\1\2", body), headers=headers, status=status)


async def no_total(_: MarketServer, __: web.Request, usual: Usual, *, described: bool) -> web.StreamResponse:
    """The page without the count of its list's ads; with `described` it is in the description still."""
    body, headers, status = await _contents(usual)
    body = _TOTAL.sub(b"", body)
    return web.Response(body=body if described else _OFFERS.sub(b"", body), headers=headers, status=status)


async def wrong_charset(_: MarketServer, __: web.Request, usual: Usual, *, body: str) -> web.StreamResponse:
    """A header that does not fit the bytes.

    `windows-1251`: those bytes, and the header says UTF-8. `utf-8`: those bytes, and the header says windows-1251.
    `mojibake`: header and bytes agree on UTF-8, but the text was spoilt before.
    """
    content, headers, status = await _contents(usual)
    if body == "utf-8":
        content = content.decode(ENCODING).encode()
    if body == "mojibake":
        content = content.decode("latin-1").encode()
    charset = ENCODING if body == "utf-8" else "utf-8"
    headers["Content-Type"] = f"text/html; charset={charset}"
    return web.Response(body=content, headers=headers, status=status)


async def redirect_login(server: MarketServer, _: web.Request, __: Usual) -> web.StreamResponse:
    """A redirect to the site's login page."""
    return web.Response(status=302, headers={"Location": f"{server.url}{LOGIN}"})


async def repeated_page(server: MarketServer, request: web.Request, _: Usual) -> web.StreamResponse:
    """The first page of the list, whatever page was asked for; it links to the second as ever."""
    return server.list_response(request, number=1)


async def no_next(server: MarketServer, request: web.Request, _: Usual) -> web.StreamResponse:
    """The page without a link to the next one, although there is one."""
    return server.list_response(request, next_link=False)


async def _contents(usual: Usual) -> tuple[bytes, dict[str, str], int]:
    """The bytes of the usual answer, the headers that belong to them, and its status."""
    response = usual()
    if isawaitable(response):
        response = await response
    body = response.body
    headers = {name: value for name, value in response.headers.items() if name != "Content-Length"}
    return (body if isinstance(body, bytes) else b""), headers, response.status


def _page(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="text/html", charset=ENCODING)


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """What a fault befalls, what answers, and the options it knows with their defaults."""

    kinds: frozenset[Kind]
    answer: Callable[..., Awaitable[web.StreamResponse]]
    options: dict[str, Any] = field(default_factory=dict)
    #: The values of an option that knows no others.
    choices: dict[str, tuple[str, ...]] = field(default_factory=dict)


FAULTS: Final[dict[str, _Answer]] = {
    "forbidden_403": _Answer(kinds=ANY, answer=forbidden_403, options={"kind": "denied"}),
    "rate_limited_429": _Answer(kinds=ANY, answer=rate_limited_429, options={"retry_after": 30, "as_date": False}),
    "challenge_403": _Answer(kinds=ANY, answer=challenge_403),
    "challenge_200": _Answer(kinds=ANY, answer=challenge_200, options={"kind": "cloudflare"}),
    "captcha": _Answer(kinds=ANY, answer=captcha, options={"status": 200}),
    "server_error": _Answer(kinds=ANY, answer=server_error, options={"status": 500}),
    "reset": _Answer(kinds=ANY, answer=reset, options={"at": 0.5}),
    "tarpit": _Answer(kinds=ANY, answer=tarpit, options={"every": 1.0, "seconds": 3600.0}),
    "truncated_page": _Answer(kinds=ANY, answer=truncated_page, options={"at": 0.5}),
    "truncated_length": _Answer(kinds=ANY, answer=truncated_length, options={"at": 0.5}),
    "redirect_login": _Answer(kinds=ANY, answer=redirect_login),
    "redirect_host": _Answer(kinds=ANY, answer=redirect_host, options={"target": ""}),
    "redirect_private": _Answer(
        kinds=ANY, answer=redirect_to, options={"target": "http://169.254.169.254/latest/meta-data/"}
    ),
    "changed_layout": _Answer(kinds=PAGES, answer=changed_layout),
    "no_prices": _Answer(kinds=PAGES, answer=no_prices),
    "no_total": _Answer(kinds=LIST, answer=no_total, options={"described": False}),
    "wrong_charset": _Answer(
        kinds=PAGES, answer=wrong_charset, options={"body": "windows-1251"}, choices={"body": _BODIES}
    ),
    "empty_page": _Answer(kinds=LIST, answer=empty_page),
    "repeated_page": _Answer(kinds=LIST, answer=repeated_page),
    "no_next": _Answer(kinds=LIST, answer=no_next),
}
FAULT_NAMES: Final = tuple(FAULTS)
