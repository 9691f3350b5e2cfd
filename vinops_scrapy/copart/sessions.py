"""Sessions: after a number of lots a pause, new cookies, the next proxy, and a new login in a new browser context.

A session is identified by a number, in its cookie jar, its browser context and the log. Nothing of it is stored: if the
process dies, the next one begins a session of its own.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from playwright.async_api import Error as PlaywrightError, TimeoutError as PlaywrightTimeout
from scrapy import Request, signals
from scrapy.exceptions import IgnoreRequest

from vinops.config import ConfigError
from vinops.logs import pairs
from vinops_scrapy import closing
from vinops_scrapy.copart import browser, browser_process
from vinops_scrapy.copart.browser_pages import (
    SHOT_SECONDS,
    Bounced,
    LoginFailed,
    gallery,
    is_login,
    keep_clear,
    leave,
    response_of,
    screenshot,
    sign_in,
)
from vinops_scrapy.copart.browser_process import BrowserGone, chromium
from vinops_scrapy.copart.browser_program import INSTALL, find_chromium
from vinops_scrapy.failures import HostNotAllowed, Ignored, Refused, Stopped
from vinops_scrapy.hosts import hosts_of, netloc
from vinops_scrapy.pages.refusals import refusal
from vinops_scrapy.proxy_list import proxy_for_playwright
from vinops_scrapy.proxy_ring import ring
from vinops_scrapy.resolver import allowed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import BrowserContext, Page, Response as Answer
    from scrapy.crawler import Crawler
    from scrapy.http import HtmlResponse, Response

    from vinops.config import Settings
    from vinops_scrapy.copart.browser_process import Loss
    from vinops_scrapy.proxy_list import Proxy

__all__ = ["BrowserLost", "LoginFailed", "NoBrowser", "PageFailed", "Sessions"]

log = logging.getLogger("sessions")

ATTEMPTS: Final = 2  # a login that fails is tried once more
AGAIN: Final = frozenset({"wrong_credentials", "site_error", "no_form", "timeout", "no_connection", "browser"})
"""Reasons of a failed login after which it is tried once more: none of them is a refusal."""
MOST_LOSSES: Final = 3
"""How many browsers may crash or hang in one crawl: each costs a login, and the cause lies in the machine."""
PAUSE_STEP: Final = 60.0  # seconds
NOT_LET_IN: Final = 407  # the status of a proxy only
PROXY_ERRORS: Final = ("ERR_PROXY", "ERR_TUNNEL", "ERR_NO_SUPPORTED_PROXIES")


class NoBrowser(Ignored):
    """There is no Chromium, it does not start, or it was lost too often: reason `no_browser`."""


class PageFailed(Ignored):
    """A page could not be loaded: reason `timeout`, `no_connection` or `browser`."""


class BrowserLost(PageFailed):
    """The browser is gone, and the session with it: reason `browser_crashed` or `browser_hung`."""


@dataclass(kw_only=True, eq=False)
class _Context:
    """A browser context. `pages` of it are open; if it `is_over`, it is closed with the last one."""

    name: str
    proxy: Proxy | None
    browser: BrowserContext | None = None
    pages: int = 0
    is_over: bool = False


class Sessions:
    """The sessions of a crawl, one after the other. Requests of a session that is over are completed."""

    def __init__(self, crawler: Crawler, settings: Settings) -> None:
        """Begin no session yet. Raises ConfigError for an invalid list of proxies."""
        self._crawler = crawler
        self._settings = settings
        self._most = crawler.settings.getint("VINOPS_SESSION_LOTS", settings.session_lots)
        self._seconds = crawler.settings.getfloat("VINOPS_SESSION_PAUSE", settings.session_pause)
        self._ring = ring(crawler)
        self._chromium = chromium(crawler)
        self._losses = 0
        self._proxy: Proxy | None = None
        self._context: _Context | None = None
        self._contexts = 0
        self._signing_in = asyncio.Lock()
        self._stopped = asyncio.Event()
        self.number = 0
        self.lots = 0
        crawler.signals.connect(self.stop, signals.spider_closed)

    async def before_lot(self) -> None:
        """Count a lot; begin a new session if the current one is used up, or its proxy is dead."""
        is_lost = self._ring is not None and self._ring.current is not self._proxy
        if self.number == 0 or self.lots >= self._most or is_lost:
            await self._begin(is_lost=is_lost)
        self.lots += 1

    def http_meta(self) -> dict[str, Any]:
        """Return the meta of a plain request in this session: its cookie jar and its proxy."""
        meta: dict[str, Any] = {"cookiejar": self.number}
        return meta if self._proxy is None else {**meta, "session_proxy": self._proxy.label}

    def stop(self) -> None:
        """End a pause at once: the crawl is about to end."""
        self._stopped.set()

    async def lot_page(self, url: str) -> HtmlResponse:
        """Return a lot's page as a member sees it, after its scripts have run; sign in first if necessary.

        If the site has ended the session meanwhile, sign in once more. Raises LoginFailed; Refused, also if the login
        appears again; NoBrowser, PageFailed or HostNotAllowed, which concern this lot alone; Stopped if the crawl is
        about to end. The page is closed in any case; after BrowserLost the next lot signs in anew.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                context = await self._signed_in()
                return await self._lot_page(context, url, is_last=attempt == ATTEMPTS)
            except Bounced:
                self._crawler.stats.inc_value("session/bounced")
                log.warning("the site has ended the session %s", pairs(context=context.name))
                await self._end(context)
            except PageFailed:
                self._go_on()  # a page that fails while the crawl ends says nothing about the lot
                raise
        raise Refused("login_wall", netloc(url))

    async def _begin(self, *, is_lost: bool) -> None:
        if self.number:
            if self._context is not None:
                await self._end(self._context)
            await self._pause()
            if self._ring is not None and not is_lost:
                self._ring.next()
        self.number, self.lots = self.number + 1, 0
        self._proxy = self._ring.current if self._ring is not None else None
        self._crawler.stats.inc_value("session/started")
        proxy = {} if self._proxy is None else {"proxy": self._proxy.label}
        log.info("session %s begins %s", self.number, pairs(lots=self._most, **proxy))

    async def _pause(self) -> None:
        stats, left = self._crawler.stats, self._seconds
        while left > 0 and not self._stopped.is_set():
            step = min(left, PAUSE_STEP)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), step)
            left -= step
            # Updated during the pause, so that the crawl does not count as hanging.
            stats.set_value("session/paused_seconds", stats.get_value("session/paused_seconds", 0.0) + step)

    async def _signed_in(self) -> _Context:
        """Return the context of this session, signed in. Raises LoginFailed, Stopped."""
        async with self._signing_in:
            number = self.number
            if self._context is not None and (loss := await self._chromium.lost(self._context.browser)):
                self._lost_browser(self._context, loss)  # between two pages, so that no page fails
            if self._context is None:
                found = await self._sign_in()
                if number != self.number:  # the session ended meanwhile: use it for this lot only
                    found.is_over = True
                    return found
                self._context = found
            return self._context

    async def _sign_in(self) -> _Context:
        stats = self._crawler.stats
        for attempt in range(1, ATTEMPTS + 1):
            self._go_on()
            context = self._new_context()
            try:
                await self._login(context)
            except LoginFailed as error:
                stats.inc_value("session/login_failed")
                log.warning("sign-in failed %s", pairs(context=context.name, reason=error.reason, attempt=attempt))
                await self._end(context)
                self._go_on()  # a login that fails while the crawl ends says nothing about the account
                if attempt == ATTEMPTS or error.reason not in AGAIN:
                    raise
            except BaseException:
                await self._end(context)
                raise
            else:
                stats.inc_value("session/login")
                log.info("signed in %s", pairs(context=context.name))
                return context
        raise AssertionError("unreachable")

    def _go_on(self) -> None:
        """Raise Stopped if the crawl is about to end."""
        if self._stopped.is_set() or not self._crawler.crawling:
            raise Stopped("shutdown")

    def _new_context(self) -> _Context:
        """Return a context with a new name. Raises Stopped if all proxies are dead, and NoBrowser if too many browsers
        were lost."""
        if self._losses >= MOST_LOSSES:
            raise NoBrowser("no_browser", f"it crashed or hung {self._losses} times")
        proxy = self._ring.current if self._ring is not None else None
        if self._ring is not None and proxy is None:
            closing.close(self._crawler, "no_proxies")
            raise Stopped("no_proxies")
        self._proxy = proxy
        self._contexts += 1
        return _Context(name=f"session-{self.number}-{self._contexts}", proxy=proxy)

    async def _login(self, context: _Context) -> None:
        try:
            async with self._page(context, f"{self._settings.copart_site_url}/login") as (page, response):
                try:
                    if response.status >= 400:
                        raise LoginFailed(f"status_{response.status}")
                    await self._chromium.within(
                        browser_process.SIGN_IN_SECONDS, sign_in(page, self._settings), page=lambda: page
                    )
                except LoginFailed:
                    if loss := await self._chromium.lost(context.browser):  # not a problem of the account
                        raise BrowserGone(loss) from None
                    await self._shot(page, "login", context.name)
                    raise
        except BrowserLost:
            raise
        except (PageFailed, Refused) as error:
            raise LoginFailed(error.reason) from None

    async def _lot_page(self, context: _Context, url: str, *, is_last: bool) -> HtmlResponse:
        async with self._page(context, url, may_have_ended=not is_last) as (page, response):
            if is_login(response.url) or refusal(response, expects="page") == "login_wall":
                raise Bounced
            if response.status < 400:
                if not await self._chromium.within(browser_process.LOT_SECONDS, gallery(page), page=lambda: page):
                    self._crawler.stats.inc_value("page/no_gallery")
                    await self._shot(page, "lot", url.rpartition("/")[2])
                self._check(page.url)
            found = response_of(page, status=response.status, asked=url)
            return await self._chromium.within(browser_process.LOT_SECONDS, found, page=lambda: page)

    async def _shot(self, page: Page, kind: Literal["login", "lot"], name: str) -> None:
        await self._chromium.within(2 * SHOT_SECONDS, screenshot(page, self._settings, kind, name), page=lambda: page)

    @asynccontextmanager
    async def _page(
        self, context: _Context, url: str, *, may_have_ended: bool = False
    ) -> AsyncIterator[tuple[Page, Response]]:
        """Open a page through all of Scrapy's middlewares, and close it in any case.

        If the session `may_have_ended`, a redirect to the login is not a refusal; after a new login it is.
        """
        opened: list[Page] = []
        context.pages += 1
        try:
            request = await self._request(context, url, opened)
            request.meta["may_have_ended"] = may_have_ended
            self._go_on()
            response = await self._crawler.engine.download_async(request)
            if response.status == NOT_LET_IN:
                raise PageFailed("no_connection")
            self._check(response.url)
            self._crawler.stats.inc_value("page/opened")
            yield opened[-1], response
        except PlaywrightError as error:
            failure = await self._failure(error, context)
        except IgnoreRequest as error:
            # Scrapy's own IgnoreRequest has no reason: it comes from robots.txt.
            failure = error if isinstance(error, Ignored) else Ignored("robots", netloc(url))
        else:
            return
        finally:
            for page in opened:
                try:
                    await self._chromium.within(browser_process.CLOSE_SECONDS, leave(page))
                except BrowserGone as error:
                    self._lost_browser(context, error.reason)
            context.pages -= 1
            await self._close(context)
        raise failure

    async def _request(self, context: _Context, url: str, opened: list[Page]) -> Request:
        async def keep(page: Page, request: Request) -> None:
            opened.append(page)
            context.browser = page.context
            page.on("response", answered)
            await keep_clear(page)

        def answered(answer: Answer) -> None:  # also for responses without a page, as those without a body
            if answer.status == NOT_LET_IN:
                self._lost(context)

        try:
            executable = find_chromium(self._settings)
            options = await asyncio.to_thread(browser.profile, self._settings, executable)
        except ConfigError as error:
            log.error("there is no Chromium %s", pairs(error=error))
            raise NoBrowser("no_browser", str(error)) from None
        if context.proxy is not None:  # scrapy-playwright ignores meta proxy
            options["proxy"] = proxy_for_playwright(context.proxy)
        return Request(
            url,
            dont_filter=True,
            meta={
                "playwright": True,
                "playwright_include_page": True,
                "playwright_context": context.name,
                "playwright_context_kwargs": options,
                "playwright_page_init_callback": keep,
                "playwright_page_goto_kwargs": {"wait_until": "domcontentloaded"},
                "dont_merge_cookies": True,  # the context has its own
                "expects": "page",
            },
        )

    async def _failure(self, error: PlaywrightError, context: _Context) -> Ignored:
        """Return the exception to raise for an error of the browser."""
        loss = error.reason if isinstance(error, BrowserGone) else await self._chromium.lost(context.browser)
        if loss is not None:
            return self._lost_browser(context, loss)
        text = error.message
        if "BrowserType.launch" in text:
            log.error("Chromium does not start %s", pairs(error=text.splitlines()[0]))
            return NoBrowser("no_browser", INSTALL)
        if any(each in text for each in PROXY_ERRORS):
            self._lost(context)
        if isinstance(error, PlaywrightTimeout):
            return PageFailed("timeout")
        return PageFailed("no_connection" if "net::" in text else "browser")

    def _lost_browser(self, context: _Context, loss: Loss) -> BrowserLost:
        """Give up a context whose browser is gone; count the browser once."""
        self._context = None if self._context is context else self._context
        was_over, context.is_over = context.is_over, True
        if not was_over and self._crawler.crawling:  # not one that is killed because the crawl ends
            self._losses += 1
            self._crawler.stats.inc_value(f"browser/{loss.removeprefix('browser_')}")
            log.error("the browser is lost %s", pairs(reason=loss, context=context.name, times=self._losses))
            if self._losses == MOST_LOSSES:
                log.error("no other browser is started in this run: look for the reason with dmesg and df /dev/shm")
        return BrowserLost(loss)

    def _lost(self, context: _Context) -> None:
        """Mark the proxy of a context as dead."""
        if context.proxy is None or self._ring is None or context.proxy.label in self._ring.states.dead:
            return
        log.warning("a proxy cannot be used %s", pairs(proxy=context.proxy.label))
        self._ring.failed(context.proxy.label)
        self._crawler.stats.set_value("proxies/dead", len(self._ring.states.dead))

    def _check(self, url: str) -> None:
        """Raise HostNotAllowed if the browser was redirected to a host that is not on the list."""
        if (reason := allowed(url, hosts_of(self._settings))) is not None:
            self._crawler.stats.inc_value(f"host/not_allowed/{reason}")
            raise HostNotAllowed(f"host_{reason}", netloc(url))

    async def _end(self, context: _Context) -> None:
        """Give up a context, and close it with its last page."""
        context.is_over = True
        if self._context is context:
            self._context = None
        await self._close(context)

    async def _close(self, context: _Context) -> None:
        if context.is_over and context.pages == 0 and context.browser is not None:
            with suppress(PlaywrightError):  # already closed, as when the browser is gone
                await self._chromium.within(browser_process.CLOSE_SECONDS, context.browser.close())
            context.browser = None
