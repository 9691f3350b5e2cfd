"""Chromium: its command line, and its profile. Actions on its pages are in browser_pages.py.

Playwright is not imported here: settings.py imports this module for every command, and few need a browser.
"""

from __future__ import annotations

import os
import subprocess
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from vinops.config import ConfigError
from vinops.network import LOOPBACK
from vinops_scrapy.copart.browser_program import find_chromium, version
from vinops_scrapy.hosts import hosts_of
from vinops_scrapy.proxy_list import proxy_hosts
from vinops_scrapy.resolver import allowed, is_private_literal

if TYPE_CHECKING:
    from collections.abc import Collection

    from playwright.async_api import Request

    from vinops.config import Settings

BLOCKED: Final = frozenset({"image", "font", "media"})
"""Kinds of resources that are not needed to read a gallery: most of a page's bytes."""

UNUSED: Final = (
    *("OptimizationHints", "MediaRouter", "Translate", "InterestFeedContentSuggestions"),
    *("AutofillServerCommunication", "NetworkTimeServiceQuerying"),
)
"""Features of Chromium that send requests to hosts of their own."""

QUIET: Final = (
    "--disable-background-networking",  # no requests of Chromium's own: updates, field trials, safe browsing
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-pings",
    f"--disable-features={','.join(UNUSED)}",
)
ORDINARY: Final = "--disable-blink-features=AutomationControlled"

OWN_SERVICES: Final = (
    *("accounts.google.com", "clients*.google.com", "android.clients.google.com", "mtalk.google.com"),
    *("update.googleapis.com", "content-autofill.googleapis.com", "optimizationguide-pa.googleapis.com"),
    *("safebrowsing.googleapis.com", "safebrowsing.google.com", "*.gvt1.com"),
)
"""Hosts that Chromium requests by itself, despite these arguments: accounts, updates, the time, and for the fields of
each form, so of the login, how to fill them (Chromium 156, by its --log-net-log). No page of the site needs one."""

NOT_OPEN: Final = (
    *("localhost", "*.localhost", "0.*.*.*", "10.*.*.*", "127.*.*.*", "169.254.*.*", "192.168.*.*"),
    *(f"172.{second}.*.*" for second in range(16, 32)),
    *(f"100.{second}.*.*" for second in range(64, 128)),
    *(f"{bracket}{first}*" for bracket in ("", "[") for first in ("::", "64:ff9b:")),
    *(f"{bracket}{first}*:*" for bracket in ("", "[") for first in ("fc", "fd", "fe8", "fe9", "fea", "feb")),
)
"""Hosts in this network, as patterns of Chromium, which does not call `abort` for the hops of a redirect."""

WIDTH, HEIGHT = 1920, 1080
LOCALE: Final = "en-US"
TIMEZONE: Final = "America/New_York"
NAVIGATION_SECONDS: Final = 45


def launch_options(settings: Settings) -> dict[str, Any]:
    """Return the launch options for Playwright. Raises ConfigError without a browser, and for invalid proxies."""
    return {
        "executable_path": str(find_chromium(settings)),
        "headless": True,
        "chromium_sandbox": _has_sandbox(),
        "args": [*QUIET, _no_way_in(settings), *([ORDINARY] if settings.stealth else [])],
    }


def profile(settings: Settings, executable: Path) -> dict[str, Any]:
    """Return the arguments of a browser context.

    With VINOPS_STEALTH, one coherent, ordinary profile: the user agent of desktop Chrome of the same version, without
    the mark of a headless browser, one screen, one language, one time zone. Nothing else is changed. Without it,
    Chromium's defaults. Raises ConfigError if the browser does not report its version.
    """
    if not settings.stealth:
        return {}
    major = version(executable).partition(".")[0]
    return {
        "user_agent": f"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        f"Chrome/{major}.0.0.0 Safari/537.36",
        "viewport": {"width": WIDTH, "height": HEIGHT},
        "screen": {"width": WIDTH, "height": HEIGHT},
        "locale": LOCALE,  # Accept-Language and navigator.languages follow it
        "timezone_id": TIMEZONE,
    }


def abort(request: Request, *, hosts: Collection[str] = frozenset()) -> bool:
    """Tell whether the browser must not load a resource: an image, a font, a video, or one in this network.

    Resources that are not on the open internet are loaded only from `hosts`.
    """
    if request.resource_type in BLOCKED:
        return True
    parts = urlsplit(request.url)
    is_remote = parts.scheme in ("http", "https", "ws", "wss")
    return is_remote and is_private_literal(parts.hostname or "") and allowed(request.url, hosts) is not None


def scrapy_playwright_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings of scrapy-playwright, without secrets; none without an account or without Chromium."""
    if not (settings.copart_username and settings.copart_password):
        return {}
    try:
        options = launch_options(settings)
    except ConfigError:  # reported when a lot needs the browser
        return {}
    return {
        # Only for the scheme of the site, as each handler has a driver of 140 MB; http is that of a stand-in. Requests
        # without meta `playwright` still go to Scrapy's own handler.
        "DOWNLOAD_HANDLERS": {
            urlsplit(settings.copart_site_url).scheme: "vinops_scrapy.copart.browser_handler.BrowserOnDemand"
        },
        "PLAYWRIGHT_BROWSER_TYPE": "chromium",
        "PLAYWRIGHT_LAUNCH_OPTIONS": options,
        "PLAYWRIGHT_ABORT_REQUEST": partial(abort, hosts=hosts_of(settings)),
        # Scrapy's headers would replace the browser's: another user agent, and a login without its Content-Type.
        "PLAYWRIGHT_PROCESS_REQUEST_HEADERS": None,
        # Milliseconds; below DOWNLOAD_TIMEOUT, which does not hold for the browser.
        "PLAYWRIGHT_DEFAULT_NAVIGATION_TIMEOUT": NAVIGATION_SECONDS * 1000,
        # More than lots at once; the default is CONCURRENT_REQUESTS. A page that waited for the end of another one
        # would be taken for one that the browser does not open.
        "PLAYWRIGHT_MAX_PAGES_PER_CONTEXT": 64,
    }


def _no_way_in(settings: Settings) -> str:
    """Return the argument by which Chromium resolves no host of its own services, and none of this network except
    stand-ins and proxies in the settings. Raises ConfigError for invalid proxies."""
    trusted = ({host.rpartition(":")[0].strip("[]") for host in hosts_of(settings)} & LOOPBACK) | proxy_hosts(settings)
    shown = sorted({*trusted, *(f"[{host}]" for host in trusted if ":" in host)})
    rules = [*(f"MAP {host} ~NOTFOUND" for host in (*NOT_OPEN, *OWN_SERVICES)), *(f"EXCLUDE {host}" for host in shown)]
    return f"--host-resolver-rules={','.join(rules)}"


def _has_sandbox() -> bool:
    """Tell whether Chromium can use its sandbox: not as root, and not without user namespaces, as in most containers.
    It does not start with a sandbox that it cannot have."""
    if os.geteuid() == 0:
        return False
    try:
        return (
            subprocess.run(["unshare", "--user", "true"], capture_output=True, timeout=10, check=False).returncode == 0
        )
    except (OSError, subprocess.SubprocessError):
        return False
