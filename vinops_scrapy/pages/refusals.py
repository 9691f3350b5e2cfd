"""What a refusal looks like, on any site.

Seen at Copart and at its image hosts: status 403 and 429; a body with `_Incapsula_Resource`, `Incapsula incident ID` or
`Pardon Our Interruption`, also with status 200; HTML where JSON was asked; a way to /login; a captcha.

A word is no mark: ads speak of logins and captchas, and ordinary pages load the scripts of both (of the samples, the
ads of auto.bg from 2022 and of mobile.bg from 2025, on 68 to 76 kB; Incapsula puts its script on pages that it lets
through, too). What stands in the place of another page is short and says next to nothing: so a captcha and a challenge
count only on such a page, and a login form there or where the title says login. A page that shows a lot is none of
them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urljoin, urlsplit

from parsel import Selector

if TYPE_CHECKING:
    from scrapy.http import Response

Expects = Literal["json", "image", "page"]
Kind = Literal["captcha", "challenge", "login_wall", "forbidden", "too_many", "html"]

AT_ONCE: Final = frozenset({"captcha", "login_wall"})
"""Kinds that no patience mends: somebody has to look."""

HEAD: Final = 65_536  # bytes that are looked at; a page that is longer is no refusal
LITTLE: Final = 1_500  # characters to read on a page that stands in the place of another

MARKS: Final = (
    b"captcha", b"turnstile", b"incapsula", b"pardon our interruption", b"cdn-cgi/challenge", b"password",
    b"access denied",
)  # fmt: skip
"""Without one of them, in whatever case, there is nothing to look for."""

CONTENT: Final = re.compile(rb"_(?:hrs|ful|thb)\.(?:jpe?g|png|webp)|lotdetail|lot-details", re.IGNORECASE)
"""What only a lot's page has, and its gallery if it has one."""

CAPTCHA: Final = (
    '.g-recaptcha, .h-captcha, .cf-turnstile, #px-captcha, #captcha-box, [id^="captcha-"], iframe[src*="captcha"], '
    'img[src*="captcha"], input[name*="captcha"]:not([type="hidden"])'
)
CHALLENGE: Final = '[src*="_Incapsula_Resource"], [src*="/cdn-cgi/challenge-platform/"]'
CHALLENGE_TEXT: Final = re.compile(r"incapsula incident id", re.IGNORECASE)
CHALLENGE_TITLE: Final = re.compile(r"pardon our interruption", re.IGNORECASE)
DENIAL: Final = re.compile(r"access denied\b.{,200}", re.IGNORECASE)
LOGIN_INPUT: Final = 'input[type="password"]'
LOGIN: Final = '[data-uname="loginSigninmemberbutton"], form[action*="login"], form[action*="signin"]'
LOGIN_TITLE: Final = re.compile(r"\b(?:log|sign)[ -]?in\b", re.IGNORECASE)
LOGIN_PATH: Final = re.compile(r"/(?:do)?(?:login|signin)(?:\.\w+)?(?:/|$)", re.IGNORECASE)
TITLE: Final = re.compile(rb"<title[^>]*>([^<]*)", re.IGNORECASE)
TEXT: Final = "//body//text()[not(ancestor::script or ancestor::style or ancestor::noscript)]"

IMAGE: Final = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n|RIFF....WEBP|GIF8", re.DOTALL)
HTML: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--|<!doctype\s+html|<(?:html|head|body|script|meta)\b)", re.IGNORECASE
)
JSON: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*[\[{]")


def refusal(response: Response, *, expects: Expects) -> Kind | None:
    """Return the kind of refusal that an answer is, None if it is none. Its body has to be unpacked.

    `captcha` and `challenge` whatever the status; `login_wall` for a redirect to a login, and for the login itself when
    something else was asked; `forbidden` for 401, 403 and a page that says no more than that access is denied;
    `too_many` for 429; `html` for a page with status 200 where JSON or an image was due. Other errors are no refusals:
    a page that comes with 404 says that there is nothing, one with 500 that something broke.
    """
    if _leads_to_login(response, expects):
        return "login_wall"
    if response.headers.get("cf-mitigated") == b"challenge":
        return "challenge"
    is_page = _is_html(response)
    if is_page and (kind := _kind_of_page(response, expects)):
        return kind
    if response.status in {401, 403}:
        return "forbidden"
    if response.status == 429:
        return "too_many"
    return "html" if is_page and response.status < 300 and expects != "page" else None


def _is_html(response: Response) -> bool:
    """Tell a page by its first bytes, else by its type: a photo costs no more than that."""
    if IMAGE.match(response.body) or JSON.match(response.body):
        return False
    return b"html" in (response.headers.get("Content-Type") or b"").lower() or bool(HTML.match(response.body))


def _leads_to_login(response: Response, expects: Expects) -> bool:
    """Tell whether an answer is, or redirects to, a login that nobody asked for."""
    if _asked_for_login(response, expects):
        return False
    to = (response.headers.get("Location") or b"").decode("latin-1") if 300 <= response.status < 400 else ""
    return _is_login(response.url) or _is_login(to, response.url)


def _asked_for_login(response: Response, expects: Expects) -> bool:
    """Tell whether the login was asked for. The browser follows redirects by itself: the request knows the start."""
    asked = response.request.url if response.request else response.url
    return expects == "page" and _is_login(asked)


def _is_login(url: str, base: str = "") -> bool:
    try:
        return bool(url) and LOGIN_PATH.search(urlsplit(urljoin(base, url)).path) is not None
    except ValueError:
        return False


def _kind_of_page(response: Response, expects: Expects) -> Kind | None:
    """Return the kind of refusal that a page is by what stands on it."""
    head = response.body[:HEAD]
    lowered = head.lower()
    if not any(mark in lowered for mark in MARKS) or CONTENT.search(response.body):
        return None
    found = TITLE.search(head)
    title = found[1].decode("utf-8", "replace") if found else ""
    if len(response.body) > HEAD and not LOGIN_TITLE.search(title):
        return None
    page = Selector(text=head.decode("utf-8", "replace"), type="html")
    text = " ".join(" ".join(page.xpath(TEXT).getall()).split())
    is_little = len(response.body) <= HEAD and len(text) <= LITTLE
    if page.css(LOGIN_INPUT) and (LOGIN_TITLE.search(title) or (is_little and page.css(LOGIN))):
        return None if _asked_for_login(response, expects) else "login_wall"  # it may well have a captcha of its own
    if not is_little:
        return None
    if page.css(CAPTCHA):
        return "captcha"
    if page.css(CHALLENGE) or CHALLENGE_TEXT.search(text) or CHALLENGE_TITLE.search(title):
        return "challenge"
    return "forbidden" if expects == "page" and DENIAL.fullmatch(text) else None
