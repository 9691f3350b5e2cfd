"""Parsers of the values of settings: each takes the text of a variable, and raises ValueError with the reason.

The messages never show the value, which may be a secret that was pasted behind the wrong name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vinops.network import LOOPBACK
from vinops.secrets import Secret

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
HEXADECIMAL = frozenset("0123456789abcdefABCDEF")
_OF_HOSTS = str.maketrans("", "", "abcdefghijklmnopqrstuvwxyz0123456789-.:[]")
WEB = frozenset({"http", "https", "file"})  # schemes with an @ in a path now and then


def path(raw: str) -> Path:
    return Path(raw).expanduser()


@dataclass(frozen=True)
class Whole:
    """Parses a whole number of at least `least`. `what` names it in messages."""

    what: str
    least: int

    def __call__(self, raw: str) -> int:
        try:
            value = int(raw)
        except ValueError:
            raise ValueError("is not a whole number") from None
        if value < self.least:
            raise ValueError(f"is less than {self.least}")
        return value


@dataclass(frozen=True)
class Number:
    """Parses a number from `least` to `most`. `what` names it, or its unit, in messages."""

    what: str
    least: float
    most: float

    def __call__(self, raw: str) -> float:
        try:
            value = float(raw)
        except ValueError:
            raise ValueError("is not a number") from None
        if not self.least <= value <= self.most:  # also refuses nan
            raise ValueError(f"is not between {self.least:g} and {self.most:g}")
        return value


def level(raw: str) -> str:
    if raw.upper() not in LOG_LEVELS:
        raise ValueError(f"is none of {', '.join(LOG_LEVELS)}")
    return raw.upper()


def unescaped(address: str) -> str | None:
    """Return why the user name and the password of an address need escaping, and how; None if they do not. Unescaped,
    the end of such a password would be read as the host, and errors would show it."""
    several = address.split(";")  # as a broker may have
    if len(several) > 1 and all("://" in each for each in several):
        return next((reason for reason in map(unescaped, several) if reason), None)
    scheme, _, rest = address.partition("://")
    ends = [rest.find(sign) for sign in "/?#" if sign in rest]
    authority, behind = (rest[: min(ends)], rest[min(ends) :]) if ends else (rest, "")
    if authority.count("@") > 1:
        return "has an @ inside its user name or password, where it is written %40"
    port = authority.rpartition(":")[2] if ":" in authority and not authority.endswith("]") else ""
    is_cut = "@" not in authority and "@" in behind and port and not port.isdecimal()
    is_in_path = scheme.lower() not in WEB and authority and "@" in behind.partition("=")[0]
    if is_cut or is_in_path:
        return "has a /, ? or # inside its password, where they are written %2F, %3F and %23, and an @ %40"
    if scheme.lower() in ("postgresql", "postgres"):  # libpq refuses these and shows all of the password
        escapes = [part[:2] for part in authority.split("%")[1:]]
        if any(len(escape) < 2 or not HEXADECIMAL.issuperset(escape) for escape in escapes):
            return "has a % inside its user name or password, where it is written %25"
    return None


def _split(raw: str) -> tuple[str, str | None, int | None]:
    """Return scheme, host and port of an address. Raises ValueError without a part of the address, unlike the standard
    library."""
    from urllib.parse import urlsplit  # costs 10 ms: only where there is an address to read

    try:
        parts = urlsplit(raw)
        return parts.scheme, parts.hostname, parts.port
    except ValueError:
        raise ValueError("is no address") from None


def url(*schemes: str) -> Callable[[str], Secret]:
    def parse(raw: str) -> Secret:
        if raw.partition("://")[0].lower() not in schemes or "://" not in raw:
            raise ValueError(f"does not start with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        if reason := unescaped(raw):
            raise ValueError(reason)
        return Secret(raw)

    return parse


def headers(raw: str) -> Mapping[str, Secret]:
    """Read `Name: value` lines, separated by a newline or `|`."""
    headers: dict[str, Secret] = {}
    for line in raw.replace("|", "\n").splitlines():
        if not line.strip():
            continue
        name, colon, value = line.partition(":")
        name, value = name.strip(), value.strip()
        if not colon or not value or not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
            raise ValueError("has a part that is not `Name: value`")
        headers[name] = Secret(value)
    return headers


def one_of(*words: str) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if raw.lower() not in words:
            raise ValueError(f"is none of {', '.join(words)}")
        return raw.lower()

    return parse


def some_of(*words: str) -> Callable[[str], tuple[str, ...]]:
    """Parse names separated by commas or blanks, each one of these words; the result is in their order."""

    def parse(raw: str) -> tuple[str, ...]:
        named = raw.lower().replace(",", " ").split()
        if wrong := [name for name in named if name not in words]:
            raise ValueError(f"has {len(wrong)} unknown name{'s' * (len(wrong) > 1)}")
        return tuple(word for word in words if word in named)

    return parse


def switch(raw: str) -> bool:
    if raw.lower() not in {"1", "0", "on", "off", "true", "false", "yes", "no"}:
        raise ValueError("is neither on nor off")
    return raw.lower() in {"1", "on", "true", "yes"}


def site(raw: str) -> str:
    """Read the address of a site: https, or http where it names a loopback host and port, as a stand-in's does."""
    scheme, host, port = _split(raw)
    if "@" in raw:
        raise ValueError("holds a user name or a password")
    loopback = host in LOOPBACK and port is not None
    if not host or not (scheme == "https" or (scheme == "http" and loopback)):
        raise ValueError("is not an https:// address")
    return raw.rstrip("/")


def https(raw: str) -> str:
    """Read the https address of a host, without a path, and return it as browsers send it: a name in other letters than
    Latin ones, as «коли.бг», in the form that DNS has."""
    scheme, host, port = _split(raw)
    if "@" in raw:
        raise ValueError("holds a user name or a password")
    if scheme != "https" or not host:
        raise ValueError("is not an https:// address")
    if raw.rstrip("/").count("/") > 2 or "?" in raw or "#" in raw:
        raise ValueError("has a path")
    try:
        name = f"[{host}]" if ":" in host else host.encode("idna").decode()
    except UnicodeError:
        name = ""
    address = f"https://{name}" if port is None else f"https://{name}:{port}"
    if not name or name.translate(_OF_HOSTS) or (host.isascii() and address != raw.rstrip("/").lower()):
        raise ValueError("is no address")
    return address


def nodes(raw: str) -> Mapping[str, str]:
    """Read `name=address`, separated by commas or blanks."""
    nodes: dict[str, str] = {}
    for part in raw.replace(",", " ").split():
        name, equals, address = part.partition("=")
        if not equals or not name.replace("-", "").replace("_", "").isalnum():
            raise ValueError("has a part that is not name=address")
        if name in nodes:
            raise ValueError("has a name twice")
        nodes[name] = site(address)
    return nodes


def hosts(raw: str) -> tuple[str, ...]:
    """Read `host` or `host:port`, separated by commas or blanks."""
    hosts = tuple(raw.replace(",", " ").lower().split())
    for host in hosts:
        if "/" in host or "@" in host or not _split(f"//{host}")[1]:
            raise ValueError("holds something that is not a host")
    return hosts


def lines(raw: str) -> tuple[Secret, ...]:
    """Read values that may hold credentials, separated by commas, blanks or line breaks."""
    return tuple(Secret(part) for part in raw.replace(",", " ").split())


def secret(raw: str) -> Secret:
    return Secret(raw)


def one_line(raw: str) -> str:
    if not raw.isprintable():
        raise ValueError("holds a line break or a control character")
    return raw


def zone(raw: str) -> str:
    """Read the name of a time zone of the IANA database."""
    from zoneinfo import ZoneInfo  # costs 5 ms: only where there is a name to read

    try:
        return ZoneInfo(raw).key
    except (OSError, ValueError, KeyError):  # a folder, a path out of the database, no such name
        raise ValueError("is not a time zone that this machine knows") from None
