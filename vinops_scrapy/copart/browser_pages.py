"""What is done on a page of the browser: signing in, waiting for a gallery, a picture for the operator.

The site's own names, as of 2026: the form at /login is `input#username`, `input#password` and
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
"""What a site says of credentials; that something went wrong it says of itself."""

CONSENT: Final = (
    '#onetrust-accept-btn-handler, [role="dialog"] button, [aria-modal="true"] button, '
    '[id*="consent" i] button, [class*="consent" i] button, [id*="cookie" i] button, [class*="cookie" i] button'
)
"""Buttons that may belong to a consent popup; `CONSENTS` tells the one that makes it go."""

CONSENTS: Final = re.compile(
    r"^\s*(?:(?:yes,? )?i (?:agree|accept|consent)|(?:accept|allow|agree)(?: (?:to )?all)?(?: cookies)?"
    r"|(?:accept|agree) (?:and|&) (?:continue|close)|consent|got it|ok(?:ay)?)\s*$",
    re.IGNORECASE,
)

FORM_SECONDS: Final = 15.0
ANSWER_SECONDS: Final = 20.0
GALLERY_SECONDS: Final = 15.0
POLL_SECONDS: Final = 0.2
SETTLED_SECONDS: Final = 0.3  # a gallery that does not grow for so long is whole
CONSENT_SECONDS: Final = 5.0
SHOT_SECONDS: Final = 10.0
LEAVE_SECONDS: Final = 5.0
MOST_SHOTS: Final = 200


class LoginFailed(Exception):  # noqa: N818 # what the log says: Login failed
    """Raised by `sign_in` and by Sessions. `reason` is a name from docs/runbook.md.

    `wrong_credentials` and `site_error` are what the site says; `captcha`, `challenge`, `forbidden` and the like are
    refusals (pages/refusals.py); `no_form`, `timeout` and `no_connection` are what the browser saw.
    """

    def __init__(self, reason: str) -> None:
        """Say why, and what to do."""
        mend = "check COPART_USERNAME and COPART_PASSWORD" if reason == "wrong_credentials" else "sign in by hand once"
        super().__init__(f"the login failed ({reason}): see screenshots/login-*.png in the log folder, and {mend}")
        self.reason = reason


class Bounced(Exception):  # noqa: N818 # a state, not a fault
    """The site shows its login where something else was asked: the session is over."""


def is_login(url: str) -> bool:
    """Tell whether an address is that of a login."""
    return LOGIN_PATH.search(urlsplit(url).path) is not None


async def keep_clear(page: Page) -> None:
    """Have the consent popup clicked away whenever it is in the way of something done on the page."""

    async def agree(button: Locator) -> None:
        await button.click(timeout=CONSENT_SECONDS * 1000)

    await page.add_locator_handler(_consent(page), agree)


async def leave(page: Page) -> None:
    """Close a page. Never raises.

    What it is still asking for is given up before: closing lets go of the requests that wait for `abort`, and of 25
    pages that were closed right after the login one got its picture.
    """
    with suppress(PlaywrightError):
        await page.goto("about:blank", timeout=LEAVE_SECONDS * 1000)
    with suppress(PlaywrightError):
        await page.close()


async def sign_in(page: Page, settings: Settings) -> None:
    """Sign in as the member. Raises LoginFailed, which never holds what was typed."""
    failure: LoginFailed | None = None
    try:
        if not is_login(page.url):
            await page.goto(f"{settings.copart_site_url}/login", wait_until="domcontentloaded")
        if is_login(page.url):  # else the site knows the member still
            before = await _complaints(page)
            await _send_form(page, settings)
            await _answered(page, before)
    except PlaywrightError as error:
        failure = LoginFailed(_name_of(error))
    if failure is not None:  # raised out here: Playwright's error, which quotes the password, must not be its context
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
    """Wait until the site has taken the form, or says something that it did not say `before`."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < deadline:
        await asyncio.sleep(POLL_SECONDS)
        if not is_login(page.url):
            return
        try:
            kind, said = await _refusal(page), await _complaints(page) - before
        except PlaywrightError:  # the page went elsewhere while it was looked at
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
    """Return the kind of refusal that the page shows, None if it is none."""
    return refusal(await response_of(page), expects="page")


async def response_of(page: Page, *, status: int = 200, asked: str | None = None) -> HtmlResponse:
    """Return what the page shows now as a response; `asked` is the address that was asked for."""
    request = Request(asked or page.url)
    return HtmlResponse(
        page.url, status=status, body=(await page.content()).encode(), encoding="utf-8", request=request
    )


async def gallery(page: Page) -> bool:
    """Wait until the gallery of a lot stands on the page, and tell whether it does.

    Returns within GALLERY_SECONDS and a little more. Raises Bounced if the site shows its login instead.
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
        except PlaywrightError:  # the page went elsewhere while it was asked
            count = 0
    if is_login(page.url):
        raise Bounced
    return count > 0


async def screenshot(page: Page, settings: Settings, kind: Literal["login", "lot"], name: str) -> Path | None:
    """Keep a picture of the page in the log folder, `screenshots/KIND-TIME-NAME.png`, with all fields emptied before.

    Returns its path, None if there is none: never raises. The newest 200 are kept.
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
    """Click the consent popup away if it is there."""
    button = _consent(page)
    try:
        if await button.count():
            # Not the button: what `keep_clear` set up clicks it before anything is done, and then it is gone.
            await page.locator("html").click(trial=True, timeout=CONSENT_SECONDS * 1000)
    except PlaywrightError as error:
        log.debug("the popup stays %s", pairs(error=type(error).__name__))


def _consent(page: Page) -> Locator:
    return page.locator(CONSENT).filter(has_text=CONSENTS, visible=True).first


def _name_of(error: PlaywrightError) -> str:
    if isinstance(error, PlaywrightTimeout):
        return "timeout"
    return "no_connection" if "net::" in error.message else "browser"
