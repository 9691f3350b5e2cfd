"""Refusal pages: HTML that the sites send, often with status 200, instead of the content that was requested."""

from __future__ import annotations

from typing import Final

#: Kind of refusal to page. The markers are those of the real pages; the text is invented.
REFUSALS: Final[dict[str, str]] = {
    "denied": "<html><head><title>No entry</title></head><body>Access denied</body></html>\n",
    "incapsula": (
        '<html>\n<head>\n<META NAME="robots" CONTENT="noindex,nofollow">\n'
        '<script src="/_Incapsula_Resource?SWJIYLWA=5fce25f3a1b3,7d0"></script>\n</head>\n<body>\n'
        '<iframe id="main-iframe" src="/_Incapsula_Resource?CWUDNSAI=9" width="100%">'
        "Request unsuccessful. Incapsula incident ID: 1000000000-200000000000000000</iframe>\n</body></html>\n"
    ),
    "interruption": (
        "<!DOCTYPE html>\n<html lang='en'><head><title>Pardon Our Interruption</title></head><body>\n"
        "<h1>Pardon Our Interruption</h1>\n<p>Something about this browser looked automatic to us. Please allow "
        "cookies and scripts and try the page again.</p>\n</body></html>\n"
    ),
    "login": (
        "<!DOCTYPE html>\n<html><head><title>Member sign-in</title></head><body>\n"
        '<form action="/login" method="post"><input id="username" name="username"><input id="password" '
        'name="password" type="password"><button data-uname="loginSigninmemberbutton">Sign in</button></form>\n'
        "</body></html>\n"
    ),
    "captcha": (
        "<!DOCTYPE html>\n<html><head><title>One more step</title></head><body>\n"
        '<div class="g-recaptcha" data-sitekey="stand-in"></div><p>Please complete the captcha to go on.</p>\n'
        "</body></html>\n"
    ),
}


def refusal_page(kind: str = "denied") -> bytes:
    """Return the page for a kind of refusal. Raises ValueError for a kind that is not in REFUSALS."""
    if kind not in REFUSALS:
        message = f"unknown refusal {kind!r}: choose one of {', '.join(REFUSALS)}"
        raise ValueError(message)
    return REFUSALS[kind].encode()
