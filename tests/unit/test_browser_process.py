"""Calls to a browser that does not answer: what is given up, what is killed, and what is left alone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import TimeoutError as PlaywrightTimeout
from scrapy import Request, Spider
from scrapy.http import HtmlResponse

from vinops.config import Settings
from vinops_scrapy import browser_process, middlewares, sessions
from vinops_scrapy.browser_handler import BrowserOnDemand
from vinops_scrapy.browser_process import BrowserGone, Chromium
from vinops_scrapy.middlewares import Refusals
from vinops_scrapy.sessions import BrowserLost, NoBrowser, Sessions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

HANGS = 30.0  # seconds
SOON = 0.05


@pytest.fixture
def group() -> Iterator[int]:
    """A process with two children, in a group of their own, all stopped: what SIGTERM does not end."""
    process = subprocess.Popen(["sh", "-c", "sleep 600 & sleep 600 & wait"], start_new_session=True)
    try:
        until(lambda: len(members(process.pid)) == 3)
        os.killpg(process.pid, signal.SIGSTOP)
        until(lambda: set(members(process.pid).values()) == {"T"})
        yield process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(HANGS)


def members(group: int) -> dict[int, str]:
    """Return the living processes of a group, with the letter of their state."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[2] == str(group) and fields[0] not in "ZX":
            found[int(path.parent.name)] = fields[0]
    return found


def until(is_so: Callable[[], bool]) -> None:
    """Return when it is so."""
    end = time.monotonic() + HANGS
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


class Browser:
    """What Chromium asks of Playwright's browser, whose process is another one."""

    def __init__(self, process: int) -> None:
        self.process = process
        self.is_gone: Callable[[Any], None] = lambda _: None

    def is_connected(self) -> bool:
        """As Playwright: until its process has ended."""
        is_there = bool(members(self.process))
        if not is_there:
            self.is_gone(self)
        return is_there

    def once(self, _: str, handler: Callable[[Any], None]) -> None:
        """Keep the handler of its end."""
        self.is_gone = handler

    async def new_browser_cdp_session(self) -> Any:
        """Answer what its processes are."""

        async def send(_: str) -> Any:
            return {"processInfo": [{"type": "GPU", "id": 1}, {"type": "browser", "id": self.process}]}

        async def detach() -> None:
            pass

        return SimpleNamespace(send=send, detach=detach)


async def never() -> None:
    """Wait for an answer that does not come."""
    await asyncio.Event().wait()


def ask(process: int, page: Any = None, *, seconds: float = SOON, is_crawling: bool = True) -> Chromium:
    """Ask a browser that does not answer, and return how it is then. Raises what the call raises."""
    crawler: Any = SimpleNamespace(crawling=is_crawling)

    async def live() -> Chromium:
        chromium = Chromium(crawler)
        browser: Any = Browser(process)
        await chromium.launched(browser)
        asked = asyncio.ensure_future(chromium.within(seconds, never(), page=lambda: page))
        while not asked.done():
            await asyncio.wait({asked}, timeout=SOON)
            browser.is_connected()  # Playwright notices by itself
        await asked
        return chromium

    return asyncio.run(asyncio.wait_for(live(), HANGS))


def test_a_browser_that_does_not_answer_is_killed_with_all_of_its_group(group: int) -> None:
    with pytest.raises(BrowserGone) as raised:
        ask(group)
    assert raised.value.reason == "browser_hung"
    assert members(group) == {}
    assert members(os.getpgrp()), "ours is another one"


def test_a_page_that_never_rests_costs_itself_alone(group: int) -> None:
    closed = []

    async def close() -> None:
        closed.append(True)

    with pytest.raises(PlaywrightTimeout):
        ask(group, SimpleNamespace(close=close))
    assert closed
    assert members(group)


@pytest.mark.parametrize("fault", ["hangs", "raises"])
def test_a_page_that_cannot_be_closed_costs_the_browser(
    group: int, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def close() -> None:
        if fault == "raises":
            raise PlaywrightError("it cannot be closed")
        await never()

    monkeypatch.setattr(browser_process, "CLOSE_SECONDS", SOON)
    with pytest.raises(BrowserGone):
        ask(group, SimpleNamespace(close=close))
    assert members(group) == {}


def test_told_to_stop_it_waits_no_longer_than_that_takes(group: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser_process, "STOP_SECONDS", SOON)
    with pytest.raises(BrowserGone):
        ask(group, seconds=10 * HANGS, is_crawling=False)
    assert members(group) == {}


def test_a_driver_that_hangs_with_its_browser_is_killed_too(group: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser_process, "KILL_SECONDS", SOON)
    monkeypatch.setattr(Browser, "is_connected", lambda _: True)  # there is nobody to say otherwise
    with (
        subprocess.Popen(["sleep", "600"]) as other,
        subprocess.Popen(["run-driver", "600"], executable=shutil.which("sleep")) as driver,
    ):
        try:
            driver.send_signal(signal.SIGSTOP)
            with pytest.raises(BrowserGone):
                ask(group)
            assert driver.wait(HANGS) == -signal.SIGKILL
            assert other.poll() is None
        finally:
            other.kill()
            driver.kill()
    assert members(group) == {}


def test_what_is_answered_in_time_is_returned_and_kills_nothing(group: int) -> None:
    async def live() -> None:
        crawler: Any = SimpleNamespace(crawling=True)
        chromium = Chromium(crawler)
        browser: Any = Browser(group)
        await chromium.launched(browser)

        async def answer(what: str | PlaywrightError) -> str:
            if isinstance(what, PlaywrightError):
                raise what
            return what

        assert await chromium.within(HANGS, answer("here")) == "here"
        with pytest.raises(PlaywrightTimeout):
            await chromium.within(HANGS, answer(PlaywrightTimeout("its own limit")))

    asyncio.run(live())
    assert members(group)


def test_a_context_that_was_lost_is_not_opened_again_without_its_cookies() -> None:
    handler = object.__new__(BrowserOnDemand)
    handler._is_over, handler._names, handler.context_wrappers = False, {"session-1-1"}, {}
    handler._chromium = Chromium(SimpleNamespace(crawling=True))  # type: ignore[arg-type]
    request = Request("https://example.com/lot/1", meta={"playwright_context": "session-1-1"})
    with pytest.raises(BrowserGone, match="browser_crashed"):
        asyncio.run(handler._create_page(request, Spider("pages")))


@pytest.mark.parametrize("may_have_ended", [True, False])
def test_a_way_to_the_login_is_no_refusal_where_the_session_may_have_ended(may_have_ended: bool) -> None:
    class Counted(Exception):  # noqa: N818 # what counting would do
        pass

    def count(*_: Any) -> None:
        raise Counted

    crawler: Any = SimpleNamespace(stats=SimpleNamespace(inc_value=count))
    request = Request("https://example.com/lot/1", meta={"may_have_ended": may_have_ended})
    response = HtmlResponse("https://example.com/login", body=b"<html><title>Login</title>", request=request)
    refusals = Refusals(crawler)
    with (
        contextlib.nullcontext() if may_have_ended else pytest.raises(Counted),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(middlewares, "budgets", lambda _: None)
        assert asyncio.run(refusals.process_response(request, response)) is response


class Lost(Sessions):
    """Sessions whose browser is lost with each login."""

    def __init__(self) -> None:
        stats = SimpleNamespace(said=[], inc_value=lambda name: stats.said.append(name))
        settings = SimpleNamespace(getint=lambda _, default: default, getfloat=lambda _, default: default)
        signals = SimpleNamespace(connect=lambda *_: None)
        crawler: Any = SimpleNamespace(stats=stats, settings=settings, signals=signals, crawling=True)
        self.logins = 0
        self.said: list[str] = stats.said
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sessions, "ring", lambda _: None)
            patch.setattr(sessions, "chromium", Chromium)
            super().__init__(crawler, Settings())

    @contextlib.asynccontextmanager
    async def _page(self, context: Any, url: str, *, may_have_ended: bool = False) -> AsyncIterator[Any]:
        self.logins += url.endswith("/login")
        raise await self._failure(BrowserGone("browser_crashed"), context)
        yield


def test_a_browser_that_is_lost_between_two_pages_costs_none_of_them() -> None:
    class Found(Lost):
        async def _login(self, context: Any) -> None:
            self.logins += 1
            browser = Browser(os.getpgrp())
            context.browser = SimpleNamespace(browser=browser)
            browser.is_connected = lambda: self.logins > 1  # type: ignore[method-assign]

        async def _lot_page(self, context: Any, url: str, *, is_last: bool) -> Any:
            return context.name

    async def live() -> None:
        found = Found()
        names = [await found.lot_page("https://example.com/lot/1") for _ in range(3)]
        assert names == ["session-0-1", "session-0-2", "session-0-2"]
        assert found.said == ["session/login", "browser/crashed", "session/login"]

    asyncio.run(live())


def test_a_browser_that_is_lost_again_and_again_is_not_started_for_ever() -> None:
    async def live() -> None:
        found = Lost()
        for _ in range(sessions.MOST_LOSSES):
            with pytest.raises(BrowserLost) as raised:
                await found.lot_page("https://example.com/lot/1")
            assert raised.value.reason == "browser_crashed"
        for _ in range(2):
            with pytest.raises(NoBrowser, match="it crashed or hung 3 times"):
                await found.lot_page("https://example.com/lot/1")
        assert found.logins == sessions.MOST_LOSSES
        assert found.said == ["browser/crashed"] * sessions.MOST_LOSSES, "and no login that failed"

    asyncio.run(live())
