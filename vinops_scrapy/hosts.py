"""The hosts that a crawl may ask, as `host` or, for a stand-in on loopback, `host:port`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from vinops.config import Settings

PORTS = {"http": 80, "https": 443}


def netloc(url: str) -> str:
    """Return the host of an address, with the port where it is not the scheme's own: the name of its budget."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return host if parts.port in (None, PORTS.get(parts.scheme)) else f"{host}:{parts.port}"


def hosts_of(settings: Settings) -> frozenset[str]:
    """Return every host that the settings name."""
    return frozenset({netloc(settings.copart_site_url), *settings.copart_image_hosts})
