"""Faults of the classifieds site: by name, the kinds of requests they apply to and the handlers that respond."""

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

#: The kind of resource that a request is for.
Kind = Literal["list", "detail", "sitemap", "robots", "photo", "login", "other"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

LIST: Final[frozenset[Kind]] = frozenset({"list"})
PAGES: Final[frozenset[Kind]] = frozenset({"list", "detail"})
ANY: Final[frozenset[Kind]] = frozenset({"list", "detail", "sitemap", "robots", "photo"})

#: The usual class names, and the ones that replace them in the fault `changed_layout`.
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
#: The number of ads in a list, as it appears above the list, and in the meta description of the page.
_TOTAL: Final = re.compile("\\d+ - \\d+ от общо \\d+\\+?".encode(ENCODING))
_OFFERS: Final = re.compile("Избор от » [\\d ]+ « предложения\\.".encode(ENCODING))
#: The same, in three parts: what is before the number, the number, and what is behind it.
_COUNTED: Final = re.compile("(\\d+ - \\d+ от общо )(\\d+)(\\+?)".encode(ENCODING))
_OFFERED: Final = re.compile("(Избор от » )([\\d ]+)( « предложения\\.)".encode(ENCODING))
_BODIES: Final = ("windows-1251", "utf-8", "mojibake")


async def server_error(_: MarketServer, __: web.Request, ___: Usual, *, status: int) -> web.StreamResponse:
    """Respond with that status: 500 for an internal error, 503 for a service that is unavailable."""
    return web.Response(status=status, text="Server Error\n")


async def challenge_403(_: MarketServer, __: web.Request, ___: Usual) -> web.StreamResponse:
    """Respond with a Cloudflare browser challenge: status 403 and the header `cf-mitigated: challenge`."""
    return html(challenge_page(), status=403, headers={"Server": "cloudflare", "cf-mitigated": "challenge"})


async def challenge_200(_: MarketServer, __: web.Request, ___: Usual, *, kind: str) -> web.StreamResponse:
    """Respond with a challenge and status 200; `kind` is `cloudflare` or a kind of refusal in REFUSALS."""
    return html(challenge_page() if kind == "cloudflare" else refusal_page(kind))


async def captcha(_: MarketServer, __: web.Request, ___: Usual, *, status: int) -> web.StreamResponse:
    """Respond with a captcha page."""
    return html(refusal_page("captcha"), status=status)


async def truncated_page(_: MarketServer, __: web.Request, usual: Usual, *, at: float) -> web.StreamResponse:
    """Respond with the first part of the page, the share `at`, with a Content-Length that matches the part."""
    body, headers, status = await _contents(usual)
    return web.Response(body=body[: int(len(body) * at)], headers=headers, status=status)


async def empty_page(server: MarketServer, _: web.Request, __: Usual) -> web.StreamResponse:
    """Respond with a list page that has header and footer, but neither ads nor a total."""
    return _page(page_without_ads(menu=server.menu(), host=server.link_host, layout=server.layout))


async def changed_layout(_: MarketServer, __: web.Request, usual: Usual) -> web.StreamResponse:
    """Respond with other class names for prices and parameters; cards, titles and links are unchanged."""
    body, headers, status = await _contents(usual)
    for known, renamed in _RENAMED.items():
        body = body.replace(known, renamed)
    return web.Response(body=body, headers=headers, status=status)


async def no_prices(_: MarketServer, __: web.Request, usual: Usual) -> web.StreamResponse:
    """Respond with the page, but with empty price elements."""
    body, headers, status = await _contents(usual)
    return web.Response(body=_PRICES.sub(rb"\1\2", body), headers=headers, status=status)


async def no_total(_: MarketServer, __: web.Request, usual: Usual, *, described: bool) -> web.StreamResponse:
    """Respond without the total above the list; with `described` the meta description still contains it."""
    body, headers, status = await _contents(usual)
    body = _TOTAL.sub(b"", body)
    return web.Response(body=body if described else _OFFERS.sub(b"", body), headers=headers, status=status)


async def other_total(_: MarketServer, __: web.Request, usual: Usual, *, by: int) -> web.StreamResponse:
    """Respond with a total that differs by that many ads from the true one, never below zero, wherever it is shown."""
    body, headers, status = await _contents(usual)

    def changed(match: re.Match[bytes]) -> bytes:
        return match[1] + str(max(int(match[2].replace(b" ", b"")) + by, 0)).encode() + match[3]

    body = _OFFERED.sub(changed, _COUNTED.sub(changed, body))
    return web.Response(body=body, headers=headers, status=status)


async def wrong_charset(_: MarketServer, __: web.Request, usual: Usual, *, body: str) -> web.StreamResponse:
    """Respond with a wrong charset.

    `body` is the encoding of the bytes: `windows-1251` is declared as UTF-8, and `utf-8` as windows-1251. In `mojibake`
    header and bytes are UTF-8, but the text was decoded as Latin-1 before.
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
    """Redirect to the login page of the site."""
    return web.Response(status=302, headers={"Location": f"{server.url}{LOGIN}"})


async def repeated_page(server: MarketServer, request: web.Request, _: Usual) -> web.StreamResponse:
    """Respond with the first page of the list instead of the requested one; its next link leads to the second page."""
    return server.list_response(request, number=1)


async def no_next(server: MarketServer, request: web.Request, _: Usual) -> web.StreamResponse:
    """Respond with the page, but without the link to the next one, although there is one."""
    return server.list_response(request, next_link=False)


async def _contents(usual: Usual) -> tuple[bytes, dict[str, str], int]:
    """Return the body of the usual response, its headers without Content-Length, and its status."""
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
    """A fault: the kinds of requests it applies to, its handler, and its options with their defaults."""

    kinds: frozenset[Kind]
    answer: Callable[..., Awaitable[web.StreamResponse]]
    options: dict[str, Any] = field(default_factory=dict)
    #: The allowed values of the options that do not accept arbitrary ones.
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
    "other_total": _Answer(kinds=LIST, answer=other_total, options={"by": -1}),
    "wrong_charset": _Answer(
        kinds=PAGES, answer=wrong_charset, options={"body": "windows-1251"}, choices={"body": _BODIES}
    ),
    "empty_page": _Answer(kinds=LIST, answer=empty_page),
    "repeated_page": _Answer(kinds=LIST, answer=repeated_page),
    "no_next": _Answer(kinds=LIST, answer=no_next),
}
FAULT_NAMES: Final = tuple(FAULTS)
