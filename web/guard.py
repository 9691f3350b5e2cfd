"""What every request passes before a page sees it, and what every answer carries.

Host: only names of this site (400). Unsafe methods: only from pages of this site (403), as the browser tells in
Sec-Fetch-Site or Origin. Answers: a policy that allows nothing but files of this site.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
OWN: Final = ("script-src", "style-src", "img-src", "connect-src", "font-src", "form-action")
POLICY: Final = "; ".join(f"{directive} 'self'" for directive in OWN)
HEADERS: Final = {
    "Content-Security-Policy": f"default-src 'none'; {POLICY}; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "X-Robots-Tag": "noindex, nofollow",
}
HSTS: Final = "max-age=31536000"
NO_STORE: Final = "private, no-store"
LONGEST_PATH: Final = 500
"""The most characters of a path: more than any page has."""
LONGEST_BODY: Final = 20_000
"""The most bytes of a form: a note of 2,000 characters, percent-encoded."""


class Guard:
    """An application around another one, with the rules of this module."""

    def __init__(self, app: ASGIApp, *, hosts: Collection[str], public_url: str | None) -> None:
        """Protect an application that has these names (`host` or `host:port`)."""
        self._app = app
        self._hosts = hosts
        self._is_public = public_url is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", NO_STORE)
                if self._is_public:
                    headers["Strict-Transport-Security"] = HSTS
            await send(message)

        if (refusal := self._refusal(scope)) is not None:
            await refusal(scope, receive, with_headers)
            return
        await self._app(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return PlainTextResponse("This site has another name.\n", 400)
        if len(scope["path"]) > LONGEST_PATH:
            return PlainTextResponse("There is no such page.\n", 404)
        if scope["method"] not in SAFE:
            if not is_own(headers, hosts[0].lower()):
                return PlainTextResponse("The request does not come from a page of this site.\n", 403)
            length = headers.get("content-length", "")
            if not length.isascii() or not length.isdecimal() or int(length[:12]) > LONGEST_BODY:
                return PlainTextResponse("The form is too long.\n", 413)
        return None


def is_own(headers: Headers, host: str) -> bool:
    """Tell whether a request comes from a page of this site, which has this host. Browsers send Sec-Fetch-Site or
    Origin with a form; a request with neither is refused."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    scheme, _, origin = headers.get("origin", "").partition("://")
    return scheme in ("http", "https") and origin.lower() == host
