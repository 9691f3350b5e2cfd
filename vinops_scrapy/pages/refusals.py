"""Recognizes refusals, on any site.

Seen at Copart and at its image hosts: status 403 and 429; a body with `_Incapsula_Resource`, `Incapsula incident ID` or
`Pardon Our Interruption`, also with status 200; HTML where JSON was asked; a way to /login; a captcha.

Words alone prove nothing: ads mention logins and captchas, and ordinary pages load the scripts of both (of the samples,
the ads of auto.bg from 2022 and of mobile.bg from 2025, on 68 to 76 kB; Incapsula puts its script on pages that it lets
through, too). A page that replaces another one is short and has little text: so a captcha and a challenge count only on
such a page, and a login form there or where the title mentions a login. A page that shows a lot is not a refusal.
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
"""Kinds of refusal that do not end by themselves: the breaker opens at the first one."""

HEAD: Final = 65_536  # bytes that are searched; a longer page is no refusal
LITTLE: Final = 1_500  # characters of text on a page that replaces another one

MARKS: Final = (
    b"captcha", b"turnstile", b"incapsula", b"pardon our interruption", b"cdn-cgi/challenge", b"password",
    b"access denied",
)  # fmt: skip
"""A page without any of these, in upper or lower case, is not a captcha, challenge, login or denial."""

CONTENT: Final = re.compile(rb"_(?:hrs|ful|thb)\.(?:jpe?g|png|webp)|lotdetail|lot-details", re.IGNORECASE)
"""Marks of a lot's page and its gallery."""

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
    """Return the kind of refusal that a response is, None for no refusal. Its body must be decompressed.

    `captcha` and `challenge` with any status; `login_wall` for a redirect to a login, and for a login that was not
    requested; `forbidden` for 401, 403 and a page that only says that access is denied; `too_many` for 429; `html` for
    a page with status 200 where JSON or an image was expected. Other errors, such as 404 and 500, are not refusals.
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
    """Tell whether a response is a page, by its first bytes, else by its type: cheap for photos."""
    if IMAGE.match(response.body) or JSON.match(response.body):
        return False
    return b"html" in (response.headers.get("Content-Type") or b"").lower() or bool(HTML.match(response.body))


def _leads_to_login(response: Response, expects: Expects) -> bool:
    """Tell whether a response is, or redirects to, a login that was not requested."""
    if _asked_for_login(response, expects):
        return False
    to = (response.headers.get("Location") or b"").decode("latin-1") if 300 <= response.status < 400 else ""
    return _is_login(response.url) or _is_login(to, response.url)


def _asked_for_login(response: Response, expects: Expects) -> bool:
    """Tell from the request whether the login was asked for: the browser follows redirects by itself."""
    asked = response.request.url if response.request else response.url
    return expects == "page" and _is_login(asked)


def _is_login(url: str, base: str = "") -> bool:
    try:
        return bool(url) and LOGIN_PATH.search(urlsplit(urljoin(base, url)).path) is not None
    except ValueError:
        return False


def _kind_of_page(response: Response, expects: Expects) -> Kind | None:
    """Return the kind of refusal that a page is by its content."""
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
        return None if _asked_for_login(response, expects) else "login_wall"  # even with a captcha of its own
    if not is_little:
        return None
    if page.css(CAPTCHA):
        return "captcha"
    if page.css(CHALLENGE) or CHALLENGE_TEXT.search(text) or CHALLENGE_TITLE.search(title):
        return "challenge"
    return "forbidden" if expects == "page" and DENIAL.fullmatch(text) else None
