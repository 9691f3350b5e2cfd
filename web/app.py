"""The application: the table of routes as Starlette's, each with its access, within a limit of time."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlencode

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, RedirectResponse, StreamingResponse
from starlette.routing import Route

from vinops.db.errors import is_passing
from web import language, people
from web.guard import LONGEST_BODY, Guard
from web.requests import Asked
from web.routes import ROUTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from web.routes import Page
    from web.site import Site

MOST_FIELDS: Final = 50
BODY_SECONDS: Final = 10.0
"""How long a form may take to arrive."""

log = logging.getLogger("web")


def create(site: Site) -> Guard:
    """Return the application of a site."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with site.running():
            yield

    pages = Starlette(
        routes=[Route(page.path, _endpoint(site, page), methods=[page.method]) for page in ROUTES],
        exception_handlers={HTTPException: _failed(site), Exception: _broken(site)},
        lifespan=lifespan,
    )
    # around all of it: as middleware it would not see the answer of a page that fails
    return Guard(pages, hosts=site.hosts, public_url=site.settings.web_public_url)


def _endpoint(site: Site, page: Page) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        form = await _form(request) if page.method == "POST" else {}
        try:
            with anyio.fail_after(page.seconds):
                answer: Response | Asked = await _in_thread(lambda: _answer(site, page, request, form))
                found: Response = await page.function(answer) if isinstance(answer, Asked) else answer
                return _without_rows(found) if request.method == "HEAD" else found
        except Exception as error:
            if not (isinstance(error, TimeoutError) or is_passing(error)):
                raise
            log.warning("the database did not answer for %s: %s", page.path, type(error).__name__)
            return _away(site, request, page)

    return endpoint


def _without_rows(answer: Response) -> Response:
    """Return an answer to HEAD: what is made while it is sent would be made for nobody."""
    if isinstance(answer, StreamingResponse):
        answer.body_iterator = _nothing()
    return answer


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield


def _answer(site: Site, page: Page, request: Request, form: dict[str, str]) -> Response | Asked:
    """Return the answer of a page; of an asynchronous one that may be used, what its function gets."""
    asked = _asked(site, request, form, reads=page.access != "anyone")
    if (refusal := _refusal(page, asked)) is not None:
        return refusal
    return asked if page.is_async else page.function(asked)


async def _in_thread(work: Callable[[], Any]) -> Any:
    return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)


async def _form(request: Request) -> dict[str, str]:
    """Return the fields of a form, each with its last value. The guard has checked the length that it claims."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("application/x-www-form-urlencoded", ""):
        raise HTTPException(415)
    body = bytearray()
    try:
        with anyio.fail_after(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LONGEST_BODY:
                    raise HTTPException(413)
    except TimeoutError:
        raise HTTPException(408, headers={"Connection": "close"}) from None
    try:
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError:
        raise HTTPException(400) from None


def _asked(site: Site, request: Request, form: dict[str, str], *, reads: bool) -> Asked:
    """Return a request with who asks. Pages for anyone are shown also while the database is away."""
    token = request.cookies.get(site.session_cookie, "")
    visitor = None
    if 20 <= len(token) <= 100:
        try:
            with site.read() as connection:
                visitor = people.visitor(connection, token)
            if visitor is not None and visitor.is_stale:
                with site.write() as connection:
                    people.note_use(connection, token)
        except Exception as error:
            if reads or not is_passing(error):
                raise
    return Asked(
        request=request,
        site=site,
        visitor=visitor,
        language=_language(site, request, visitor.language if visitor else None),
        form=form,
    )


def _language(site: Site, request: Request, wished: str | None) -> language.Language:
    cookie = request.cookies.get(site.language_cookie)
    code = language.chosen(wished, cookie, request.headers.get("accept-language", ""))
    return language.language(code, site.settings.time_zone)


def _refusal(page: Page, asked: Asked) -> Response | None:
    """Return the answer for who may not use a page: the form for who is not signed in, else 403."""
    if page.access == "anyone":
        return None
    if asked.visitor is None:
        if page.is_file or page.method != "GET":
            return _problem(asked, 403)
        return RedirectResponse(f"/login?{urlencode({'next': asked.here})}", 303)
    return None if asked.visitor.may(page.access) else _problem(asked, 403)


def _problem(asked: Asked, status: int) -> Response:
    return asked.page("problem.html", status, status=status)


def _away(site: Site, request: Request, page: Page) -> Response:
    if page.path == "/health":
        return PlainTextResponse("the database does not answer\n", 503)
    answer = _problem(_nobody(site, request), 503)
    answer.headers["Retry-After"] = "5"
    return answer


def _nobody(site: Site, request: Request) -> Asked:
    return Asked(request=request, site=site, visitor=None, language=_language(site, request, None))


def _failed(site: Site) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handler(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        answer = _problem(_nobody(site, request), status)
        if isinstance(error, HTTPException) and error.headers:
            answer.headers.update(error.headers)
        return answer

    return handler


def _broken(site: Site) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handler(request: Request, error: Exception) -> Response:
        log.error("a page failed: %s", request.scope["path"], exc_info=error)
        return _problem(_nobody(site, request), 500)

    return handler
