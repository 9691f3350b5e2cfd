"""Actions on a page of the browser: signing in, waiting for a gallery, taking a screenshot.

Names of the site, as of 2026: the form at /login is `input#username`, `input#password` and
`button[data-uname="loginSigninmemberbutton"]`; a popup that asks for consent may cover any page at any moment.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from playwright.async_api import Error as PlaywrightError, TimeoutError as PlaywrightTimeout
from scrapy import Request
from scrapy.http import HtmlResponse

from vinops.logs import pairs
from vinops_scrapy.pages.copart import GALLERY
from vinops_scrapy.pages.refusals import LOGIN_PATH, refusal

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Locator, Page

    from vinops.config import Settings

log = logging.getLogger("browser")

USERNAME: Final = "input#username"
PASSWORD: Final = "input#password"  # noqa: S105 # a selector
SUBMIT: Final = 'button[data-uname="loginSigninmemberbutton"]'
COMPLAINT: Final = '.alert-danger, .alert-error, [role="alert"], .error-message'
WRONG: Final = re.compile(
    r"incorrect|invalid|(?<!went )wrong|not recogni[sz]ed|do(?:es)? not match|unknown user", re.IGNORECASE
)
"""Messages about credentials; 'something went wrong' is an error of the site."""

CONSENT: Final = (
    '#onetrust-accept-btn-handler, [role="dialog"] button, [aria-modal="true"] button, '
    '[id*="consent" i] button, [class*="consent" i] button, [id*="cookie" i] button, [class*="cookie" i] button'
)
"""Buttons that may belong to a consent popup; `CONSENTS` matches the one that closes it."""

CONSENTS: Final = re.compile(
    r"^\s*(?:(?:yes,? )?i (?:agree|accept|consent)|(?:accept|allow|agree)(?: (?:to )?all)?(?: cookies)?"
    r"|(?:accept|agree) (?:and|&) (?:continue|close)|consent|got it|ok(?:ay)?)\s*$",
    re.IGNORECASE,
)

FORM_SECONDS: Final = 15.0
ANSWER_SECONDS: Final = 20.0
GALLERY_SECONDS: Final = 15.0
POLL_SECONDS: Final = 0.2
SETTLED_SECONDS: Final = 0.3  # a gallery that has not grown for this time is complete
CONSENT_SECONDS: Final = 5.0
SHOT_SECONDS: Final = 10.0
LEAVE_SECONDS: Final = 5.0
MOST_SHOTS: Final = 200


class LoginFailed(Exception):  # noqa: N818 # what the log says: Login failed
    """Raised by `sign_in` and by Sessions. `reason` is a name from docs/runbook.md.

    `wrong_credentials` and `site_error` come from messages of the site; `captcha`, `challenge`, `forbidden` and the
    like are refusals (pages/refusals.py); `no_form`, `timeout` and `no_connection` come from the browser.
    """

    def __init__(self, reason: str) -> None:
        """Make a message that says why, and how to fix it."""
        fix = "check COPART_USERNAME and COPART_PASSWORD" if reason == "wrong_credentials" else "sign in by hand once"
        super().__init__(f"the login failed ({reason}): see screenshots/login-*.png in the log folder, and {fix}")
        self.reason = reason


class Bounced(Exception):  # noqa: N818 # a state, not a fault
    """The site shows its login instead of the requested page: the session is over."""


def is_login(url: str) -> bool:
    """Tell whether an address is that of the login page."""
    return LOGIN_PATH.search(urlsplit(url).path) is not None


async def keep_clear(page: Page) -> None:
    """Close the consent popup whenever it covers an element that is used."""

    async def agree(button: Locator) -> None:
        await button.click(timeout=CONSENT_SECONDS * 1000)

    await page.add_locator_handler(_consent(page), agree)


async def leave(page: Page) -> None:
    """Close a page. Never raises.

    Its requests in progress are given up first: otherwise closing releases those that wait for `abort`, and of 25 pages
    that were closed right after the login one got its picture.
    """
    with suppress(PlaywrightError):
        await page.goto("about:blank", timeout=LEAVE_SECONDS * 1000)
    with suppress(PlaywrightError):
        await page.close()


async def sign_in(page: Page, settings: Settings) -> None:
    """Sign in as the member. Raises LoginFailed, which never contains the credentials."""
    failure: LoginFailed | None = None
    try:
        if not is_login(page.url):
            await page.goto(f"{settings.copart_site_url}/login", wait_until="domcontentloaded")
        if is_login(page.url):  # else the member is still signed in
            before = await _complaints(page)
            await _send_form(page, settings)
            await _answered(page, before)
    except PlaywrightError as error:
        failure = LoginFailed(_name_of(error))
    if failure is not None:  # not in the except block: its context would be Playwright's error, with the password
        raise failure


async def _send_form(page: Page, settings: Settings) -> None:
    if settings.copart_username is None or settings.copart_password is None:
        raise LoginFailed("wrong_credentials")
    try:
        await page.locator(PASSWORD).wait_for(state="visible", timeout=FORM_SECONDS * 1000)
        await page.fill(USERNAME, settings.copart_username.reveal(), timeout=FORM_SECONDS * 1000)
        await page.fill(PASSWORD, settings.copart_password.reveal(), timeout=FORM_SECONDS * 1000)
        form = page.locator(SUBMIT)
        await form.wait_for(state="visible", timeout=FORM_SECONDS * 1000)
    except PlaywrightTimeout:
        kind = await _refusal(page)
    else:
        await form.click(timeout=FORM_SECONDS * 1000, no_wait_after=True)
        return
    raise LoginFailed(kind or "no_form")


async def _answered(page: Page, before: frozenset[str]) -> None:
    """Wait until the site accepts the form, or shows a message that is not in `before`."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < deadline:
        await asyncio.sleep(POLL_SECONDS)
        if not is_login(page.url):
            return
        try:
            kind, said = await _refusal(page), await _complaints(page) - before
        except PlaywrightError:  # the page navigated meanwhile
            continue
        if kind:
            raise LoginFailed(kind)
        if said:
            raise LoginFailed("wrong_credentials" if any(map(WRONG.search, said)) else "site_error")
    raise LoginFailed("timeout")


async def _complaints(page: Page) -> frozenset[str]:
    texts = await page.locator(COMPLAINT).filter(visible=True).all_inner_texts()
    return frozenset(" ".join(text.split()) for text in texts if text.strip())


async def _refusal(page: Page) -> str | None:
    """Return the kind of refusal that the page is, None if it is none."""
    return refusal(await response_of(page), expects="page")


async def response_of(page: Page, *, status: int = 200, asked: str | None = None) -> HtmlResponse:
    """Return the current content of the page as a response; `asked` is the address that was requested."""
    request = Request(asked or page.url)
    return HtmlResponse(
        page.url, status=status, body=(await page.content()).encode(), encoding="utf-8", request=request
    )


async def gallery(page: Page) -> bool:
    """Wait for the gallery of a lot, and tell whether it is there, after little more than GALLERY_SECONDS.

    Raises Bounced if the site shows its login instead.
    """
    photos = page.locator(", ".join(GALLERY))
    deadline = time.monotonic() + GALLERY_SECONDS
    count = before = 0
    while time.monotonic() < deadline and not page.is_closed() and (count == 0 or count != before):
        if is_login(page.url):
            raise Bounced
        before = count
        await _agree(page)
        await asyncio.sleep(SETTLED_SECONDS)
        try:
            count = await photos.count()
        except PlaywrightError:  # the page navigated meanwhile
            count = 0
    if is_login(page.url):
        raise Bounced
    return count > 0


async def screenshot(page: Page, settings: Settings, kind: Literal["login", "lot"], name: str) -> Path | None:
    """Save a picture of the page, after emptying all fields, as `screenshots/KIND-TIME-NAME.png` in the log folder.

    Returns its path, None if that failed: never raises. The newest 200 are kept.
    """
    folder = settings.log_dir / "screenshots"
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")[:-3]
    path = folder / f"{kind}-{stamp}-{re.sub(r'[^A-Za-z0-9-]+', '-', name)[:60]}.png"
    try:
        for frame in page.frames:
            await frame.evaluate("document.querySelectorAll('input, textarea').forEach((each) => { each.value = '' })")
        data = await page.screenshot(timeout=SHOT_SECONDS * 1000, animations="disabled")
        await asyncio.to_thread(_keep, path, data)
    except (PlaywrightError, OSError) as error:
        log.warning("no screenshot %s", pairs(kind=kind, error=type(error).__name__))
        return None
    return path


def _keep(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    shots = sorted(path.parent.glob("*.png"), key=lambda each: each.name.split("-", 1)[1], reverse=True)
    for old in shots[MOST_SHOTS:]:
        old.unlink(missing_ok=True)


async def _agree(page: Page) -> None:
    """Close the consent popup if it is there."""
    button = _consent(page)
    try:
        if await button.count():
            # Not the button itself: the handler of `keep_clear` clicks it before any action, and then it is gone.
            await page.locator("html").click(trial=True, timeout=CONSENT_SECONDS * 1000)
    except PlaywrightError as error:
        log.debug("the popup cannot be closed %s", pairs(error=type(error).__name__))


def _consent(page: Page) -> Locator:
    return page.locator(CONSENT).filter(has_text=CONSENTS, visible=True).first


def _name_of(error: PlaywrightError) -> str:
    if isinstance(error, PlaywrightTimeout):
        return "timeout"
    return "no_connection" if "net::" in error.message else "browser"
