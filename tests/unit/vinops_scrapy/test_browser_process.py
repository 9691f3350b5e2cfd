"""Calls to a browser that does not answer: what is given up, what is killed, and what is left alone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import time
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import Error as PlaywrightError, TimeoutError as PlaywrightTimeout
from scrapy import Request, Spider
from scrapy.http import HtmlResponse

from vinops.config import Secret, Settings
from vinops_scrapy.copart import browser, browser_process, sessions
from vinops_scrapy.copart.browser_pages import Bounced, screenshot, sign_in
from vinops_scrapy.copart.browser_process import BrowserGone, Chromium
from vinops_scrapy.copart.sessions import BrowserLost, LoginFailed, NoBrowser, PageFailed, Sessions
from vinops_scrapy.failures import Refused
from vinops_scrapy.middlewares import refusals as middlewares
from vinops_scrapy.middlewares.refusals import Refusals

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
    from vinops_scrapy.copart.browser_handler import BrowserOnDemand

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


class SignedIn(Lost):
    """Sessions whose logins and lot pages come to what is said, one after the other; `opened` are their contexts."""

    def __init__(self, *, logins: list[str | None], lots: list[Exception | str] | None = None) -> None:
        super().__init__()
        self.to_come = iter(logins)
        self.lots_to_come = iter(lots or [])
        self.opened: list[str] = []

    async def _login(self, context: Any) -> None:
        self.opened.append(context.name)
        if reason := next(self.to_come):
            raise LoginFailed(reason)

    async def _lot_page(self, context: Any, url: str, *, is_last: bool) -> Any:
        found = next(self.lots_to_come)
        if isinstance(found, Exception):
            raise found
        return context.name


@pytest.mark.parametrize(
    ("reasons", "times"),
    [(["site_error", "wrong_credentials"], 2), (["captcha"], 1), (["status_403"], 1), (["timeout", "captcha"], 2)],
)
def test_a_login_is_tried_once_more_unless_it_was_refused(reasons: list[str], times: int) -> None:
    found = SignedIn(logins=[*reasons, None])
    with pytest.raises(LoginFailed) as raised:
        asyncio.run(found.lot_page("https://example.com/lot/1"))
    assert raised.value.reason == reasons[-1]
    assert len(set(found.opened)) == len(found.opened) == times, "each in a context of its own"


def test_a_session_that_the_site_has_ended_is_signed_in_once_more_and_no_oftener() -> None:
    found = SignedIn(logins=[None] * 3, lots=[Bounced(), "shown"])
    assert asyncio.run(found.lot_page("https://example.com/lot/1")) == "session-0-2"
    found = SignedIn(logins=[None] * 3, lots=[Bounced(), Bounced(), "shown"])
    with pytest.raises(Refused) as raised:
        asyncio.run(found.lot_page("https://example.com/lot/1"))
    assert raised.value.reason == "login_wall"
    assert len(found.opened) == 2


def test_every_page_is_closed_whatever_comes_of_it() -> None:
    closed = []

    class Opened(Lost):
        async def _request(self, context: Any, url: str, opened: list[Any]) -> Request:
            async def goto(*_: Any, **__: Any) -> None:
                pass

            async def close() -> None:
                closed.append(url)

            opened.append(SimpleNamespace(goto=goto, close=close))
            return Request(url)

    async def live(failure: Exception | None) -> None:
        found = Opened()

        async def download(request: Request) -> HtmlResponse:
            return HtmlResponse(request.url, request=request)

        found._crawler.engine = SimpleNamespace(download_async=download)  # type: ignore[assignment]
        context = found._new_context()
        async with Sessions._page(found, context, found._settings.copart_site_url):
            assert context.pages == 1
            if failure is not None:
                raise failure
        assert context.pages == 0

    asyncio.run(live(None))
    for failure in (PlaywrightTimeout("it takes too long"), Bounced(), ValueError("a fault")):
        with pytest.raises(type(failure) if not isinstance(failure, PlaywrightTimeout) else PageFailed):
            asyncio.run(live(failure))
    assert len(closed) == 4


def test_what_was_typed_is_not_part_of_a_login_that_failed() -> None:
    async def goto(*_: Any, **__: Any) -> None:
        raise PlaywrightError("page.fill: value canary-91ef does not fit")

    page: Any = SimpleNamespace(url="about:blank", goto=goto)
    with pytest.raises(LoginFailed) as raised:
        asyncio.run(sign_in(page, Settings()))
    assert "canary" not in "".join(traceback.format_exception(raised.value))


def test_fields_are_emptied_before_a_picture_is_taken(tmp_path: Path) -> None:
    done = []

    async def evaluate(script: str) -> None:
        assert "each.value = ''" in script
        done.append("emptied")

    async def picture(**_: Any) -> bytes:
        done.append("taken")
        return b"PNG"

    page: Any = SimpleNamespace(frames=[SimpleNamespace(evaluate=evaluate)] * 2, screenshot=picture)
    path = asyncio.run(screenshot(page, Settings(log_dir=tmp_path), "login", "session-1-1"))
    assert path is not None
    assert path.read_bytes() == b"PNG"
    assert done == ["emptied", "emptied", "taken"]


@pytest.mark.parametrize(
    ("kind", "url", "is_aborted"),
    [
        *((kind, "https://example.com/a", True) for kind in ("image", "font", "media")),
        *((kind, "https://example.com/a", False) for kind in ("document", "script", "stylesheet", "xhr")),
        ("document", "http://169.254.169.254/latest/meta-data", True),
        ("xhr", "http://127.0.0.1:5432/", True),
        ("xhr", "http://127.0.0.1:8080/", False),
    ],
)
def test_what_the_browser_is_not_to_load(kind: str, url: str, is_aborted: bool) -> None:
    request: Any = SimpleNamespace(resource_type=kind, url=url)
    assert browser.abort(request, hosts={"127.0.0.1:8080"}) is is_aborted


def test_with_stealth_the_browser_is_an_ordinary_one_and_without_it_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chromium = tmp_path / "chromium"
    chromium.write_text("#!/bin/sh\necho Chromium 150.0.7871.100 built on Debian\n")
    chromium.chmod(0o755)
    monkeypatch.setattr(browser, "_has_sandbox", lambda: False)
    ordinary, plain = (Settings(chromium_path=chromium, stealth=stealth) for stealth in (True, False))
    profile = browser.profile(ordinary, chromium)
    assert profile["user_agent"].endswith(" Chrome/150.0.0.0 Safari/537.36")
    assert "Headless" not in profile["user_agent"]
    assert profile["viewport"] == profile["screen"] == {"width": 1920, "height": 1080}
    assert browser.ORDINARY in browser.launch_options(ordinary)["args"]
    assert browser.profile(plain, chromium) == {}
    assert browser.ORDINARY not in browser.launch_options(plain)["args"]


def test_a_redirect_leads_the_browser_into_no_network_of_ours(tmp_path: Path) -> None:
    chromium = tmp_path / "chromium"
    chromium.touch(0o755)
    for url, excluded in (("https://www.copart.com", []), ("http://127.0.0.1:8080", ["127.0.0.1"])):
        settings = Settings(chromium_path=chromium, copart_site_url=url, copart_image_hosts="example.com")
        (rules,) = (each for each in browser.launch_options(settings)["args"] if "host-resolver-rules" in each)
        found = rules.partition("=")[2].split(",")
        for host in (
            "localhost",
            "10.*.*.*",
            "127.*.*.*",
            "169.254.*.*",
            "172.31.*.*",
            "192.168.*.*",
            "[::*",
            "[fd*:*",
            "accounts.google.com",
            "content-autofill.googleapis.com",
        ):
            assert f"MAP {host} ~NOTFOUND" in found
        assert [each.removeprefix("EXCLUDE ") for each in found if each.startswith("EXCLUDE")] == excluded


def test_scrapy_is_told_what_the_browser_is_not_to_load(tmp_path: Path) -> None:
    chromium = tmp_path / "chromium"
    chromium.touch(0o755)
    member = Settings(chromium_path=chromium, copart_username=Secret("member"), copart_password=Secret("word"))
    told = browser.scrapy_playwright_settings(member)["PLAYWRIGHT_ABORT_REQUEST"]
    found = [told(SimpleNamespace(resource_type=kind, url="https://example.com/a")) for kind in ("image", "script")]
    assert found == [True, False]
