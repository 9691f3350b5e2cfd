"""The download handler of scrapy-playwright, which starts the browser with the first page."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from playwright.async_api import Error as PlaywrightError
from scrapy_playwright.handler import ScrapyPlaywrightDownloadHandler  # type: ignore[import-untyped]

from vinops.logs import pairs
from vinops_scrapy.copart import browser_process
from vinops_scrapy.copart.browser import NAVIGATION_SECONDS
from vinops_scrapy.copart.browser_process import BrowserGone, chromium

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page
    from scrapy import Request, Spider
    from scrapy.crawler import Crawler
    from scrapy.http import Response

log = logging.getLogger("browser")


class BrowserOnDemand(ScrapyPlaywrightDownloadHandler):  # type: ignore[misc] # untyped
    """Downloads requests with meta `playwright` in the browser, the others as Scrapy does.

    scrapy-playwright 0.0.48 starts its driver, a process of 140 MB, with the engine, though most crawls do not need it.
    It waits for the browser without a time limit. After a loss of the browser it opens another one, with a context of
    the same name but without the cookies, so that the site asks for a login.
    """

    browser: Browser

    def __init__(self, crawler: Crawler) -> None:
        """Start nothing yet."""
        super().__init__(crawler)
        self._start = asyncio.Lock()
        self._is_over = False
        self._chromium = chromium(crawler)
        self._names: set[str] = set()
        navigation = self.config.navigation_timeout_ms
        self._seconds = browser_process.OPEN_SECONDS + (NAVIGATION_SECONDS if navigation is None else navigation / 1000)

    async def _maybe_launch_in_thread(self) -> None:
        """Do nothing: the signal of the engine's start calls this."""

    async def download_request(self, request: Request) -> Response:
        """Return the response. Raises BrowserGone, and kills the browser, if it does not come in time."""
        if request.meta.get("playwright"):
            return await self._chromium.within(
                self._seconds, self._opened(request), page=lambda: request.meta.get("playwright_page")
            )
        response: Response = await super().download_request(request)
        return response

    async def _opened(self, request: Request) -> Response:
        async with self._start:
            if self._chromium.needs_driver:
                if hasattr(self, "browser"):
                    del self.browser  # Playwright still takes it for connected
                self.context_wrappers.clear()
                await self._launch()
                self._chromium.needs_driver = False
        response: Response = await super().download_request(request)
        return response

    async def _close(self) -> None:
        """End the browser for good: kill it if it does not end in time, then end the driver."""
        self._is_over = True
        for _ in range(2):
            try:
                await self._chromium.within(browser_process.CLOSE_SECONDS, super()._close())
            except PlaywrightError as error:
                log.warning("the browser did not close cleanly %s", pairs(error=error.message.partition("\n")[0]))
            else:
                return

    async def _maybe_launch_browser(self) -> None:
        """Launch a browser if there is none, or no longer one."""
        async with self.browser_launch_lock:
            if not hasattr(self, "browser") or not self.browser.is_connected():
                self.browser = await self.browser_provider.launch_browser()
                self.stats.inc_value("playwright/browser_count")
                await self._chromium.launched(self.browser)

    async def _create_page(self, request: Request, spider: Spider) -> Page:
        """Return a new page.

        Raises PlaywrightError once the crawl is over: when a page is closed during a request, scrapy-playwright opens
        another one, and launches another browser for it. Raises BrowserGone if the page's context was lost.
        """
        name = request.meta["playwright_context"]
        if self._is_over:
            raise PlaywrightError("the crawl is over")
        if name in self._names and name not in self.context_wrappers:
            raise BrowserGone(self._chromium.loss)
        try:
            page: Page = await super()._create_page(request, spider)
        finally:
            if name in self.context_wrappers:
                self._names.add(name)
        return page
