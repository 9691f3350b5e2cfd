"""The proxies that PROXY_LIST and PROXY_LIST_FILE name. Scrapy is not imported here: the doctor reads them too.

A proxy is identified by its label, `host:port#2`, in logs and statistics: without its user name and password.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from vinops import parsers
from vinops.config import ConfigError, Secret
from vinops.redaction import remember_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vinops.config import Settings

HOST: Final = re.compile(r"\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+")
LONG: Final = 8  # characters: a shorter user name may be an ordinary word, which must not be masked everywhere


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """A proxy. `url` is all of it, `server` the same without user name and password."""

    label: str
    url: Secret
    server: str
    host: str
    username: Secret | None
    password: Secret | None


def read_proxies(settings: Settings) -> tuple[Proxy, ...]:
    """Return the proxies of PROXY_LIST, then those of PROXY_LIST_FILE: one a line, without blank lines and comments.

    Their credentials are masked in all logs from here on. Raises ConfigError if the file cannot be read or an entry is
    no proxy; the message names its position, never its text.
    """
    found: dict[str, Proxy] = {}
    for place, secret in _entries(settings):
        if secret.reveal() in found:
            continue
        try:
            proxy = _parsed(secret, number=len(found) + 1)
        except ValueError as error:
            raise ConfigError(f"{place} {error}: write http://user:password@host:port") from None
        for each in (proxy.username, proxy.password, proxy.url, _basic(proxy)):
            if each is not None and (each is not proxy.username or len(each.reveal()) >= LONG):
                remember_secrets(each)
        found[secret.reveal()] = proxy
    return tuple(found.values())


def proxy_hosts(settings: Settings) -> frozenset[str]:
    """Return the hosts of all proxies, in lower case. Raises ConfigError."""
    return frozenset(proxy.host for proxy in read_proxies(settings))


def proxy_for_playwright(proxy: Proxy) -> dict[str, str]:
    """Return the proxy as an option of a browser context, with the password: never log it."""
    found = {"server": proxy.server}
    if proxy.username is not None:
        found["username"] = proxy.username.reveal()
        found["password"] = proxy.password.reveal() if proxy.password else ""
    return found


def _entries(settings: Settings) -> Iterator[tuple[str, Secret]]:
    """Yield the entries, each with its position for an error message."""
    for number, secret in enumerate(settings.proxy_list, 1):
        yield f"PROXY_LIST: entry {number}", secret
    if settings.proxy_list_file is None:
        return
    try:
        lines = settings.proxy_list_file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"PROXY_LIST_FILE cannot be read ({reason}): name a file with one proxy a line") from None
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.strip().startswith("#"):
            yield f"PROXY_LIST_FILE: line {number}", Secret(line.strip())


def _parsed(secret: Secret, *, number: int) -> Proxy:
    """Read an entry. Raises ValueError, whose text does not contain the entry."""
    text = secret.reveal()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("holds a blank or another character that no address has")
    text = text if "://" in text else f"http://{text}"
    if reason := parsers.unescaped(text):
        raise ValueError(reason)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("is no address") from None
    if parts.scheme != "http":
        raise ValueError("is not an http:// proxy")
    userinfo, at, netloc = parts.netloc.rpartition("@")
    host = netloc.rpartition(":")[0]
    if not port or not HOST.fullmatch(host):
        raise ValueError("names no host and port")
    if parts.path.strip("/") or parts.query or parts.fragment or (at and not userinfo.partition(":")[0]):
        raise ValueError("is more than user name, password, host and port")
    username, colon, password = userinfo.partition(":")
    return Proxy(
        label=f"{host.lower()}:{port}#{number}",
        url=Secret(f"http://{userinfo}{at}{host}:{port}"),
        server=f"http://{host}:{port}",
        host=host.lower().strip("[]"),
        username=Secret(unquote(username)) if at else None,
        password=Secret(unquote(password)) if colon else None,
    )


def _basic(proxy: Proxy) -> Secret | None:
    """Return the credentials as in Proxy-Authorization."""
    if proxy.username is None:
        return None
    pair = f"{proxy.username.reveal()}:{proxy.password.reveal() if proxy.password else ''}"
    return Secret(base64.b64encode(pair.encode("latin-1", "replace")).decode())
