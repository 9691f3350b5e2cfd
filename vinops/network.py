"""Recognises hosts that are this machine, by their names and addresses alone."""

from __future__ import annotations

from typing import Final

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
"""The hosts of stand-ins."""


def is_loopback(host: str) -> bool:
    """Tell whether `host` or `host:port` is this machine. Nothing is resolved."""
    import ipaddress  # the settings import this module, and are to load fast
    from urllib.parse import urlsplit

    def names_loopback(name: str) -> bool:
        try:
            return name == "localhost" or ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False

    if names_loopback(host):
        return True
    try:
        parts = urlsplit(f"//{host}")
        return parts.netloc == host and "@" not in host and names_loopback(parts.hostname or "")
    except ValueError:
        return False
