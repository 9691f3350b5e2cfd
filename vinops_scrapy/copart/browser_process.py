"""The browser process of a crawl: time limits for its answers, and its end when it exceeds them.

Playwright waits for ever for a browser that does not answer: `new_page`, `content`, `count`, `close` and the end of the
browser have no time limit, and calls that have one (`goto`, `click`) leave the browser as it is (Playwright 1.65,
Chromium stopped by SIGSTOP). So every call goes through `Chromium.within`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal, TypeVar

import psutil
from playwright.async_api import Error as PlaywrightError, TimeoutError as PlaywrightTimeout

from vinops.logs import pairs
from vinops_scrapy.shared import per_crawl

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from playwright.async_api import Browser, BrowserContext, Page
    from scrapy.crawler import Crawler

log = logging.getLogger("browser")

T = TypeVar("T")
Loss = Literal["browser_crashed", "browser_hung"]

OPEN_SECONDS: Final = 60.0  # to start driver, browser, context and page, and to read the page; navigation comes on top
SIGN_IN_SECONDS: Final = 180.0  # a login on a slow site takes 145: navigation, four steps of the form, the answer
LOT_SECONDS: Final = 60.0  # a gallery takes 25 at the most
CLOSE_SECONDS: Final = 15.0
"""How long a call may take before the browser, or its page, counts as hung."""
STOP_SECONDS: Final = 5.0
"""Seconds that a call may still take once the crawl is asked to stop."""
POLL_SECONDS: Final = 0.5
KILL_SECONDS: Final = 5.0


class BrowserGone(PlaywrightError):  # noqa: N818 # a state, as Bounced
    """The browser is gone with all its contexts. Raised for a call that it did not answer in time, and instead of
    opening a context with the name of a lost one, which would have none of its cookies."""

    def __init__(self, reason: Loss) -> None:
        """`reason` is a name from docs/runbook.md."""
        super().__init__(f"{reason}: the browser is gone, and its contexts with it")
        self.reason = reason


class Chromium:
    """The current browser of a crawl, one at a time."""

    def __init__(self, crawler: Crawler) -> None:
        """Begin without a browser."""
        self._crawler = crawler
        self.needs_driver = True
        self._browser: Browser | None = None
        self._process: int | None = None
        self._is_killed = False
        self._is_gone = asyncio.Event()

    async def launched(self, browser: Browser) -> None:
        """Replace the browser by one that was launched."""
        self._browser, self._process, self._is_killed = browser, None, False
        self._is_gone = gone = asyncio.Event()
        browser.once("disconnected", lambda _: gone.set())
        session = await browser.new_browser_cdp_session()
        known = await session.send("SystemInfo.getProcessInfo")
        self._process = next(each["id"] for each in known["processInfo"] if each["type"] == "browser")
        await session.detach()

    async def within(self, seconds: float, call: Awaitable[T], *, page: Callable[[], Page | None] = lambda: None) -> T:
        """Return the result of a call to the browser.

        If the call takes longer, close what is `page` by then, if the browser can do that, and raise PlaywrightTimeout:
        a page whose scripts never end fails alone. Without a page, or if it cannot be closed, kill the browser with all
        of its processes and raise BrowserGone; other calls to it then fail as after a crash.
        """
        asked = asyncio.ensure_future(call)
        asked.add_done_callback(lambda done: done.cancelled() or done.exception())  # no warning if nobody awaits it
        try:
            if await self._has_answered(asked, seconds):
                return asked.result()
            asked.cancel()  # before its page is closed: scrapy-playwright would open another one
            if (hung := page()) is not None:
                closing = asyncio.ensure_future(hung.close())
                if await self._has_answered(closing, CLOSE_SECONDS) and closing.exception() is None:
                    raise PlaywrightTimeout(f"no answer from the page within {seconds:g} seconds")
                closing.cancel()
            log.error("the browser does not answer: it is killed %s", pairs(seconds=seconds, process=self._process))
            await self.kill()
            raise BrowserGone("browser_hung")
        finally:
            asked.cancel()  # nothing, if it is done

    async def _has_answered(self, asked: asyncio.Future[T], seconds: float) -> bool:
        """Wait for an answer, only briefly once the crawl is asked to stop."""
        clock = asyncio.get_running_loop().time
        end, is_stopping = clock() + seconds, False
        while not asked.done() and (left := end - clock()) > 0:
            if not (is_stopping or self._crawler.crawling):
                is_stopping, end = True, min(end, clock() + STOP_SECONDS)
            else:
                await asyncio.wait({asked}, timeout=min(left, POLL_SECONDS))
        return asked.done()

    async def kill(self) -> None:
        """Kill the browser's process group, if the browser is still there, and wait until Playwright notices. Stopped
        processes die, too."""
        if self._browser is None or self._process is None or not self._browser.is_connected():
            return
        self._is_killed = True
        with suppress(ProcessLookupError):
            # Playwright starts it as a group leader; never kill our own group.
            if os.getpgid(self._process) == self._process:
                os.killpg(self._process, signal.SIGKILL)
            else:
                os.kill(self._process, signal.SIGKILL)
        try:
            await asyncio.wait_for(self._is_gone.wait(), KILL_SECONDS)
        except TimeoutError:  # it is the driver that hangs
            self.needs_driver = True
            _kill_drivers()

    @property
    def loss(self) -> Loss:
        """How the browser was lost."""
        return "browser_hung" if self._is_killed else "browser_crashed"

    async def lost(self, context: BrowserContext | None) -> Loss | None:
        """Return how the browser of a context was lost; None if it still answers."""
        browser = context.browser if context is not None else None
        if browser is None:
            return None
        if browser.is_connected():
            try:
                await self.within(CLOSE_SECONDS, _ping(browser))
            except BrowserGone:
                pass
            except PlaywrightError:  # the driver is gone, which Playwright does not notice
                self.needs_driver |= browser is self._browser and browser.is_connected()
            else:
                return None
        return self.loss


def _kill_drivers() -> None:
    """Kill the Playwright drivers that this process has started."""
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if "run-driver" in child.cmdline():
                child.kill()


async def _ping(browser: Browser) -> None:
    session = await browser.new_browser_cdp_session()
    await session.detach()


@per_crawl
def chromium(crawler: Crawler) -> Chromium:
    """Return the browser of a crawl."""
    return Chromium(crawler)
