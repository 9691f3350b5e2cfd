"""Lets no Python process of a test run connect to another machine or look its name up, and records each attempt.

tests/conftest.py puts this folder on PYTHONPATH, so that every interpreter that a test starts imports this file, and
names the record in VINOPS_TESTS_OUTBOUND. Attempts fail as on a machine without a network. Names that are reserved for
tests and examples (RFC 2606) fail too, and are not recorded. Libraries in C are not seen here: libpq connects to
DATABASE_URL only; for Chromium see tests/integration/vinops_scrapy/test_outbound.py. Standard library only.
"""

from __future__ import annotations

import errno
import os
import sys

RECORD = "VINOPS_TESTS_OUTBOUND"
LOOKUPS = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"})
CONNECTIONS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
LOOPBACK = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", "::1", "0.0.0.0", "::", ""})
# A name with other signs than those of names, as `user@host`, leads nowhere either.
RESERVED = (".invalid", ".example", ".test", ".localhost", "example.com", "example.net", "example.org")


def guard(record: str) -> None:
    """Refuse and record in this process, and in what it forks, from now on."""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event not in LOOKUPS and event not in CONNECTIONS:
            return
        host = _host(event, arguments)
        if _is_here(host) or (event in LOOKUPS and _is_address(host)):
            return
        if not host.endswith(RESERVED) and _is_name(host):
            _write(os.environ.get(RECORD, record), f"{event} {host} by {sys.argv!r:.300}\n")
        if event in LOOKUPS:
            import socket  # the program has imported it: those that never do stay without it

            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    sys.addaudithook(hook)


def without_guard() -> dict[str, str]:
    """Return the environment of this process, for a program that has to reach the package index."""
    return {name: value for name, value in os.environ.items() if name not in (RECORD, "PYTHONPATH")}


def _host(event: str, arguments: tuple[object, ...]) -> str:
    """Return the host of an event in lower case; an empty text for a socket of this machine."""
    found = arguments[1 if event in CONNECTIONS else 0]
    if isinstance(found, tuple):
        found = found[0] if found else None
    elif event in CONNECTIONS:
        return ""  # a path, or no address: connected before
    text = found.decode("ascii", "replace") if isinstance(found, bytes | bytearray) else str(found or "")
    return text.lower().rstrip(".").removeprefix("::ffff:").partition("%")[0]


def _is_here(host: str) -> bool:
    return host in LOOPBACK or host.startswith("127.") or host == os.uname().nodename.lower()


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def _is_name(host: str) -> bool:
    return ":" in host or host.replace(".", "").replace("-", "").replace("_", "").isalnum()


def _write(record: str, line: str) -> None:
    file = os.open(record, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(file, line.encode("utf-8", "replace"))
    os.close(file)


if __name__ == "sitecustomize" and (inherited := os.environ.get(RECORD)):
    guard(inherited)
