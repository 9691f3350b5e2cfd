"""Scrapy's download handler with a browser behind it, which is started when the first page is asked for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from playwright.async_api import Error as PlaywrightError
from scrapy_playwright.handler import ScrapyPlaywrightDownloadHandler  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from playwright.async_api import Page
    from scrapy import Request, Spider
    from scrapy.crawler import Crawler
    from scrapy.http import Response


class BrowserOnDemand(ScrapyPlaywrightDownloadHandler):  # type: ignore[misc] # untyped
    """Downloads requests with meta `playwright` in the browser, the others as Scrapy does.

    scrapy-playwright 0.0.48 starts its driver, a process of 140 MB, with the engine; most crawls never need it.
    """

    def __init__(self, crawler: Crawler) -> None:
        """Start nothing yet."""
        super().__init__(crawler)
        self._start = asyncio.Lock()
        self._is_started = False
        self._is_over = False

    async def _maybe_launch_in_thread(self) -> None:
        """Do nothing when the engine starts: this is what its signal calls."""

    async def download_request(self, request: Request) -> Response:
        """Return the answer."""
        if request.meta.get("playwright"):
            async with self._start:
                if not self._is_started:
                    await self._launch()
                    self._is_started = True
        response: Response = await super().download_request(request)
        return response

    async def close(self) -> None:
        """End the browser, for good."""
        self._is_over = True
        await super().close()

    async def _create_page(self, request: Request, spider: Spider) -> Page:
        """Return a new page. Raises PlaywrightError once the crawl is over: a page that is closed under a request has
        scrapy-playwright open another one, and launch another browser for it."""
        if self._is_over:
            raise PlaywrightError("the crawl is over")
        page: Page = await super()._create_page(request, spider)
        return page
