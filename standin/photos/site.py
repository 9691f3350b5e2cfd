"""The members' site: a login with a session, lot pages, and static files that a crawler's browser should not load."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from aiohttp import web

from standin.core import html
from standin.photos.pages import (
    CONSENTS,
    LAYOUTS,
    ROBOTS,
    WRONG_CREDENTIALS,
    Consent,
    Layout,
    dashboard_page,
    login_page,
    lot_page,
    no_such_lot_page,
)

if TYPE_CHECKING:
    from standin.photos.server import PhotoServer

#: The cookie that holds a member's session.
SESSION: Final = "member_session"
#: Path to Content-Type and body. The bodies have realistic sizes, but consist of zeros.
STATIC: Final = {
    "/static/logo.png": ("image/png", bytes(8_000)),
    "/static/plate.woff2": ("font/woff2", bytes(30_000)),
    "/static/tour.mp4": ("video/mp4", bytes(400_000)),
}


class Site:
    """The pages of the site and the sessions of its member.

    `logins` counts the successful logins, `attempts` all of them; `sessions_seen` lists the session cookies of requests
    for lot pages, each once, in the order of their first use.
    """

    def __init__(
        self,
        server: PhotoServer,
        *,
        username: str,
        password: str,
        consent: Consent,
        layout: Layout | None,
        script_delay: float,
    ) -> None:
        """Set up the site for one member. Raises ValueError for an unknown consent or layout."""
        if consent not in CONSENTS:
            message = f"unknown consent {consent!r}: choose one of {', '.join(CONSENTS)}"
            raise ValueError(message)
        if layout is not None and layout not in LAYOUTS:
            message = f"unknown layout {layout!r}: choose one of {', '.join(LAYOUTS)}"
            raise ValueError(message)
        self._server = server
        self._credentials = (username, password)
        self._consent = consent
        self._layout = layout
        self._delay = round(script_delay * 1000)
        self._sessions: set[str] = set()
        self.logins = 0
        self.attempts = 0
        self.sessions_seen: list[str] = []

    def expire_sessions(self) -> None:
        """End all sessions."""
        self._sessions.clear()

    def expire_session(self, request: web.Request) -> None:
        """End the session of the client that sent the request."""
        self._sessions.discard(request.cookies.get(SESSION, ""))

    def layout(self, lot: int) -> Layout:
        """Return the HTML variant of a lot's gallery."""
        return self._layout or LAYOUTS[lot % len(LAYOUTS)]

    def add_routes(self, application: web.Application) -> None:
        """Add the routes of the site to an application."""
        router = application.router
        router.add_get("/login", self._login, allow_head=False)
        router.add_post("/login", self._log_in)
        router.add_get("/dashboard", self._dashboard, allow_head=False)
        router.add_get("/lot/{lot:[0-9]{1,9}}", self._lot, allow_head=False)
        router.add_get("/robots.txt", self._robots, allow_head=False)
        for path in STATIC:
            router.add_get(path, self._static, allow_head=False)

    def login_form(self, error: str | None = None) -> web.Response:
        """Return the login page, with the error message of a previous attempt, if any."""
        return html(login_page(error=error, consent=self._popup("before"), delay=self._delay))

    def _popup(self, where: str) -> str | None:
        return where if self._consent in (where, "both") else None

    def _is_member(self, request: web.Request) -> bool:
        return request.cookies.get(SESSION) in self._sessions

    async def _login(self, request: web.Request) -> web.StreamResponse:
        return await self._server.answer(request, "site", "login", self.login_form)

    async def _log_in(self, request: web.Request) -> web.StreamResponse:
        self.attempts += 1

        async def usual() -> web.Response:
            form = await request.post()
            given = (str(form.get("username", "")), str(form.get("password", "")))
            if given != self._credentials:
                return self.login_form(WRONG_CREDENTIALS)
            session = secrets.token_hex(16)
            self._sessions.add(session)
            self.logins += 1
            response = web.Response(status=302, headers={"Location": "/dashboard"})
            response.set_cookie(SESSION, session, httponly=True, samesite="Lax")
            return response

        return await self._server.answer(request, "site", "login_post", usual)

    async def _dashboard(self, request: web.Request) -> web.StreamResponse:
        def usual() -> web.Response:
            if not self._is_member(request):
                return to_login()
            return html(dashboard_page(consent=self._popup("after"), delay=self._delay))

        return await self._server.answer(request, "site", "dashboard", usual)

    async def _lot(self, request: web.Request) -> web.StreamResponse:
        lot = int(request.match_info["lot"])
        session = request.cookies.get(SESSION)
        if session and session not in self.sessions_seen:
            self.sessions_seen.append(session)

        def usual() -> web.Response:
            if not self._is_member(request):
                return to_login()
            if self._server.lots.state(lot) == "gone":
                return html(no_such_lot_page(lot), status=404)
            pictures = self._server.lots.pictures(lot)
            popup = self._popup("after")
            layout = self.layout(lot)
            return html(
                lot_page(lot, pictures, cdn=self._server.cdn_url, layout=layout, consent=popup, delay=self._delay)
            )

        return await self._server.answer(request, "site", "lot", usual, lot=lot)

    async def _robots(self, request: web.Request) -> web.StreamResponse:
        return await self._server.answer(request, "site", "other", lambda: web.Response(text=ROBOTS), may_fail=False)

    async def _static(self, request: web.Request) -> web.StreamResponse:
        content_type, body = STATIC[request.path]
        response = web.Response(body=body, content_type=content_type)
        return await self._server.answer(request, "site", "static", lambda: response, may_fail=False)


def to_login() -> web.Response:
    """Return a redirect to the login page."""
    return web.Response(status=302, headers={"Location": "/login"})
