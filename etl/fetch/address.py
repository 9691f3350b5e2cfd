"""The address of the feed, parsed so that its key is shown nowhere."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from vinops.network import is_loopback

_PORTS = {"https": 443, "http": 80, "file": 0}


@dataclass(frozen=True, kw_only=True)
class Address:
    """A parsed address. Its repr leaves out every part that may hold a key."""

    scheme: str
    host: str = ""
    port: int = 0
    path: str = field(repr=False)
    query: str = field(default="", repr=False)

    @property
    def masked(self) -> str:
        """The address for logs, with the values of the query and parts that look like a key masked."""
        names = [pair.partition("=")[0] if "=" in pair else "" for pair in self.query.split("&") if pair]
        query = "?" + "&".join(f"{name}=***" if name else "***" for name in names) if names else ""
        path = "/".join("***" if _looks_secret(part) else part for part in self.path.split("/"))
        return f"{self.origin}{path}{query}"

    @property
    def origin(self) -> str:
        """Scheme, host and port, which messages may name."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port != _PORTS[self.scheme] else ""
        return f"{self.scheme}://{host}{port}"

    @property
    def source(self) -> str:
        """A digest that identifies the feed without the key: validators belong to one feed only."""
        return hashlib.sha256(f"{self.origin}{self.path}".encode()).hexdigest()[:16]


def parse_address(url: str) -> Address | str:
    """Return the parsed address, or what is wrong with it, without showing it."""
    from urllib.parse import unquote, urlsplit

    if not url.isascii() or not url.isprintable() or " " in url:
        return "holds a blank, a control character or a letter beyond ASCII: percent-encode it"
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme.lower(), parts.hostname or "", parts.port
    except ValueError:
        return "has a host or a port that cannot be read: write https://host/path?authKey=…"
    if "@" in parts.netloc:
        return "holds a user name: put credentials into COPART_CSV_HEADERS, as in `Authorization: Basic …`"
    if scheme == "file":
        if host not in ("", "localhost"):
            return "is a file: of another machine: write file:///folder/salesdata.csv"
        return Address(scheme=scheme, path=unquote(parts.path))
    if scheme not in _PORTS or not host:
        return "is not an https:// address of a host"
    if scheme == "http" and not is_loopback(host):
        return f"would send the key unencrypted to {host}: use https (http is for this machine only)"
    return Address(scheme=scheme, host=host, port=port or _PORTS[scheme], path=parts.path or "/", query=parts.query)


def _looks_secret(part: str) -> bool:
    return len(part) >= 12 and any(sign.isdigit() for sign in part)
