"""Which addresses may be requested: the URL is checked first, and the IP address of its host when connecting.

Both checks are needed: a listed name may resolve to an address in this network, for a moment or for good (DNS
rebinding, as 127.0.0.1.nip.io shows), so the resolver checks the very address that the connection uses. Behind a proxy
it is the proxy that resolves the name, in its own network.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import socket
from typing import TYPE_CHECKING, Final, Literal, Self

from scrapy.resolver import CachingThreadedResolver
from twisted.internet.error import DNSLookupError

from vinops import config, network
from vinops.logs import pairs
from vinops_scrapy.hosts import every_host, netloc
from vinops_scrapy.proxy_list import proxy_hosts

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from scrapy.crawler import Crawler
    from twisted.internet.base import ReactorBase
    from twisted.internet.defer import Deferred

log = logging.getLogger("resolver")

Reason = Literal["scheme", "userinfo", "host", "port", "private"]

# Stricter than RFC 3986 on purpose: no escapes, no user, no character that two parsers read differently.
ADDRESS: Final = re.compile(r"(?i:(https?))://([^/?#]*)(?:[/?#].*)?", re.DOTALL)
NETLOC: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::([0-9]*))?")
ODD: Final = re.compile(r"[\x00-\x20\x7f\\]")
NUMERIC: Final = re.compile(r"(?:0x[0-9a-f]+|[0-9]+)(?:\.(?:0x[0-9a-f]+|[0-9]+)){0,3}")
HTTPS_PORT: Final = "443"

SPECIAL_IPV4: Final = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",
            "100.64.0.0/10",  # behind a provider's NAT
            "127.0.0.0/8",
            "169.254.0.0/16",  # link-local, and the metadata of clouds
            "172.16.0.0/12",
            "192.0.0.0/24",  # protocols
            "192.0.2.0/24",  # documentation
            "192.31.196.0/24",  # AS112
            "192.52.193.0/24",  # multicast tunnels
            "192.88.99.0/24",  # relays of 6to4, given up
            "192.168.0.0/16",
            "192.175.48.0/24",  # AS112
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)
"""Multicast, and all blocks of https://www.iana.org/assignments/iana-ipv4-special-registry/ (as of RFC 9637, 2024),
also the globally reachable ones: they hold neither sites nor photos."""

GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")  # all that IANA has allocated
SPECIAL_IPV6: Final = tuple(
    map(
        ipaddress.IPv6Network,
        (
            "2001::/23",  # protocols: Teredo, benchmarks, ORCHID and others
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4
            "2620:4f:8000::/48",  # AS112
            "3fff::/20",  # documentation
        ),
    )
)
"""The blocks of https://www.iana.org/assignments/iana-ipv6-special-registry/ (as of RFC 9637, 2024) in 2000::/3."""

MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")
NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")  # how a machine without IPv4 reaches all hosts that have no IPv6


class PrivateAddress(DNSLookupError):  # noqa: N818 # the name says it all
    """A name resolves to an address that is not on the open internet. Raised by the resolver."""


def allowed(url: str, hosts: Collection[str]) -> Reason | None:
    """Return None if the URL may be requested, else why not.

    `scheme`: not https. `userinfo`: a user name or a password in it. `host`: not on the list, or not plainly written.
    `port`: not the default one. `private`: an address that is not on the open internet. `hosts` are names, as
    `cs.copart.com`; `host:port` of loopback names a stand-in, which is allowed at that port only, over http too.
    """
    found = ADDRESS.fullmatch(url)
    if found is None:
        return "scheme"
    scheme, netloc = found[1].lower(), found[2].lower()
    if "@" in netloc:
        return "userinfo"
    parts = NETLOC.fullmatch(netloc) if netloc.isascii() else None
    if parts is None or ODD.search(url):
        return "scheme" if scheme == "http" else "host"
    host, port = parts[1].strip("[]"), parts[2]
    listed = {_canonical(each) for each in hosts}
    if host in network.LOOPBACK and port:
        return None if f"{host}:{port}" in listed else "host"
    if scheme != "https":
        return "scheme"
    if is_private_literal(host):
        return "private"
    if host not in listed and f"{host}:{HTTPS_PORT}" not in listed:
        return "host"
    return None if port in (None, HTTPS_PORT) else "port"


def is_open(address: str) -> bool:
    """Tell whether an IP address is on the open internet: unicast, and in no block that IANA reserves for a purpose.

    An IPv4 address within an IPv6 one (mapped, or behind NAT64) is judged by itself. ipaddress.is_global is not used:
    it changes with Python's releases and takes some of these blocks for global.
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        if found in MAPPED or found in NAT64:
            return is_open(str(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)))
        return found in GLOBAL_UNICAST and not any(found in block for block in SPECIAL_IPV6)
    return not any(found in block for block in SPECIAL_IPV4)


class OpenInternetResolver(CachingThreadedResolver):
    """Scrapy's resolver, which refuses names that resolve to an address that is not on the open internet.

    Literal addresses are resolved like names. Exceptions are the stand-ins on loopback that the settings name, and the
    proxies, which the operator chose.
    """

    def __init__(
        self, reactor: ReactorBase, cache_size: int, timeout: float, *, trusted: Collection[str] = frozenset()
    ) -> None:
        """`trusted` hosts, without port, may have any address."""
        super().__init__(reactor, cache_size, timeout)
        self.trusted = frozenset(trusted)

    @classmethod
    def from_crawler(cls, crawler: Crawler, reactor: ReactorBase) -> Self:
        """Make the resolver for a crawl."""
        resolver = super().from_crawler(crawler, reactor)
        settings = config.load()
        hosts = every_host(settings) | {netloc(crawler.settings.get("VINOPS_STANDIN") or "")}
        standins = {_canonical(each).rpartition(":")[0] for each in hosts} & network.LOOPBACK
        try:
            proxies = proxy_hosts(settings)
        except config.ConfigError:  # the middlewares raise it, too, and the crawl does not begin
            proxies = frozenset()
        resolver.trusted = proxies | standins
        return resolver

    def getHostByName(self, name: str, timeout: Sequence[int] = ()) -> Deferred[str]:  # noqa: N802 # Twisted's name
        """Return the address of a name, cached or not. Fails with PrivateAddress."""
        found: Deferred[str] = super().getHostByName(name, timeout)
        return found.addCallback(self._checked, name)

    def _checked(self, address: str, name: str) -> str:
        if name.lower() in self.trusted or is_open(address):
            return address
        log.warning("not asked: the name stands for an address that is not open %s", pairs(name=name, address=address))
        raise PrivateAddress(f"{name} stands for {address}, which is not on the open internet")


def _canonical(entry: str) -> str:
    """Return an entry of a list of hosts for comparison: lower case, an IPv6 address without its brackets."""
    return entry.lower().replace("[", "").replace("]", "")


def is_private_literal(host: str) -> bool:
    """Tell whether a host is an IP address, in any notation that resolvers accept, and not on the open internet."""
    if host in ("localhost", "localhost.") or host.endswith((".localhost", ".localhost.")):
        return True
    if ":" in host:
        return not is_open(host)
    if not NUMERIC.fullmatch(host.rstrip(".")):
        return False
    try:  # decimal, octal, hexadecimal and shortened, as in 2130706433, 0177.1 and 127.1
        return not is_open(socket.inet_ntoa(socket.inet_aton(host.rstrip("."))))
    except OSError:
        return True
