"""Only listed hosts on the open internet may be asked, however they are written and whatever a name is for."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given, strategies as st
from scrapy.resolver import dnscache
from twisted.internet import defer
from twisted.internet.base import ThreadedResolver
from twisted.python.failure import Failure

from vinops_scrapy.resolver import OpenInternetResolver, PrivateAddress, allowed, is_open, is_private_literal

if TYPE_CHECKING:
    from collections.abc import Iterator

HOSTS = ("inventoryv2.copart.io", "cs.copart.com", "www.copart.com")
STANDIN = (*HOSTS, "127.0.0.1:8080", "[::1]:8081", "localhost:8082")


@pytest.mark.parametrize(
    "url",
    [
        "https://cs.copart.com/v1/a_hrs.jpg",
        "https://cs.copart.com",
        "https://cs.copart.com:443/a",
        "HTTPS://CS.Copart.com/a",
        "https://cs.copart.com/a?u=http://127.0.0.1@x#@127.0.0.1",
        "http://127.0.0.1:8080/a",
        "https://127.0.0.1:8080/a",
        "http://[::1]:8081/a",
        "http://localhost:8082/a",
    ],
)
def test_what_is_listed_may_be_asked(url: str) -> None:
    assert allowed(url, STANDIN) is None


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://cs.copart.com/a", "scheme"),
        ("ftp://cs.copart.com/a", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("//cs.copart.com/a", "scheme"),
        ("data:image/png;base64,AAAA", "scheme"),
        (" https://cs.copart.com/a", "scheme"),
        ("https:/cs.copart.com/a", "scheme"),
        ("https:\\\\cs.copart.com/a", "scheme"),
        ("", "scheme"),
        ("https://member@cs.copart.com/", "userinfo"),
        ("https://cs.copart.com@evil.example/", "userinfo"),
        ("https://cs.copart.com:443@evil.example/", "userinfo"),
        ("https://cs.copart.com\\@evil.example/", "userinfo"),
        ("https://@cs.copart.com/", "userinfo"),
        ("https://evil.example/", "host"),
        ("https://evil.example/https://cs.copart.com/", "host"),
        ("https://evil.example#@cs.copart.com/", "host"),
        ("https://evil.example?@cs.copart.com/", "host"),
        ("https://evil.example\\.cs.copart.com/", "host"),
        ("https://cs.copart.com.evil.example/", "host"),
        ("https://evil-cs.copart.com/", "host"),
        ("https://cs.copart.com./", "host"),
        ("https://cs.copart.com%2eevil.example/", "host"),
        ("https://cs%2ecopart.com/", "host"),
        ("https://%63s.copart.com/", "host"),
        ("https://cs.copart.com%00.evil.example/", "host"),
        ("https://cs.copart.com\x00.evil.example/", "host"),
        ("https://cs.copart.com\n/", "host"),
        ("https://cs\t.copart.com/", "host"),
        ("https://cs.copart.com /", "host"),
        ("https://\uff43s.copart.com/", "host"),
        ("https://cs\u3002copart\u3002com/", "host"),
        ("https://c\u0455.copart.com/", "host"),
        ("https://127.0.0.1.nip.io/", "host"),
        ("https:///a", "host"),
        ("https://:443/a", "host"),
        ("https://[cs.copart.com]/", "host"),
        ("https://cs.copart.com:8443/", "port"),
        ("https://cs.copart.com:/", "port"),
        ("https://cs.copart.com:0443/", "port"),
        ("https://cs.copart.com:80/", "port"),
        ("https://cs.copart.com:99999999/", "port"),
        ("https://127.0.0.1/", "private"),
        ("https://localhost/", "private"),
        ("https://a.localhost/", "private"),
        ("https://10.0.0.5/", "private"),
        ("https://169.254.169.254/latest/meta-data/", "private"),
        ("https://2130706433/", "private"),
        ("https://0x7f000001/", "private"),
        ("https://0177.0.0.1/", "private"),
        ("https://127.1/", "private"),
        ("https://127.0.0.1./", "private"),
        ("https://0/", "private"),
        ("https://999.999.999.999/", "private"),
        ("https://[::1]/", "private"),
        ("https://[::ffff:127.0.0.1]/", "private"),
        ("https://[::ffff:7f00:1]/", "private"),
        ("https://[64:ff9b::7f00:1]/", "private"),
        ("https://[2002:7f00:1::]/", "private"),
        ("https://[fe80::1]/", "private"),
        ("https://[fd00::1]/", "private"),
        ("http://169.254.169.254/latest/meta-data/", "scheme"),
        ("http://127.0.0.1/", "scheme"),
        ("http://127.0.0.1:8081/", "host"),
        ("http://localhost:8080/", "host"),
        ("http://[::1]:8080/", "host"),
        ("http://127.0.0.1:5432/", "host"),
        ("http://127.0.0.2:8080/", "scheme"),
        ("http://2130706433:8080/", "scheme"),
        ("http://0x7f.1:8080/", "scheme"),
        ("http://127.0.0.1:8080@evil.example/", "userinfo"),
        ("http://127.0.0.1:8080.evil.example/", "scheme"),
    ],
)
def test_every_other_address_is_refused_with_its_reason(url: str, reason: str) -> None:
    assert allowed(url, STANDIN) == reason


def test_a_private_address_is_refused_even_where_it_is_listed() -> None:
    assert allowed("https://10.0.0.5/", ["10.0.0.5"]) == "private"
    assert allowed("http://10.0.0.5:8080/", ["10.0.0.5:8080"]) == "scheme"
    assert allowed("https://localhost/", ["localhost"]) == "private"


def test_another_port_of_a_far_host_is_refused_even_where_it_is_listed() -> None:
    assert allowed("https://cdn.example:8443/", ["cdn.example:8443"]) == "host"
    assert allowed("https://cdn.example/", ["cdn.example:443"]) is None


SIGNS = st.sampled_from(list("abc.:/@?#\\[]%01279 \t\n-_\uff43\u3002"))
PIECES = st.lists(
    st.one_of(
        SIGNS,
        st.sampled_from(
            [*HOSTS, "127.0.0.1", "localhost", "[::1]", "evil.example", "https://", "http://", ":443", "@"]
        ),
    ),
    max_size=8,
).map("".join)


@given(
    st.one_of(
        PIECES, PIECES.map(lambda rest: f"https://{rest}"), PIECES.map(lambda rest: f"https://cs.copart.com{rest}")
    )
)
@example("https://cs.copart.com\\@evil.example")
@example("https://cs.copart.com:443/")
def test_whatever_is_allowed_leads_to_a_listed_host(url: str) -> None:
    """Read by the standard library and as browsers read it, where a backslash is a slash."""
    if allowed(url, HOSTS) is None:
        for reading in (url, url.replace("\\", "/"), re.sub(r"[\t\r\n]", "", url).strip()):
            parts = urlsplit(reading)
            assert parts.scheme == "https"
            assert parts.hostname in HOSTS
            assert parts.port in (None, 443)
            assert "@" not in parts.netloc


@given(st.ip_addresses())
def test_a_literal_address_is_never_allowed_unless_it_is_open(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    host = f"[{address}]" if address.version == 6 else str(address)
    found = allowed(f"https://{host}/", [host])
    assert (found is None) == is_open(str(address))
    assert found in (None, "private")


@given(st.integers(0, 2**32 - 1))
def test_every_notation_of_an_ipv4_address_is_judged_alike(number: int) -> None:
    address = str(ipaddress.IPv4Address(number))
    octal = ".".join(f"0{int(part):o}" for part in address.split("."))
    notations = {is_private_literal(each) for each in (address, str(number), hex(number), octal, f"{address}.")}
    inside = {is_private_literal(each) for each in (f"::ffff:{address}", f"64:ff9b::{address}")}
    assert notations | inside == {not is_open(address)}


@pytest.mark.parametrize(
    "address",
    ["10.1.2.3", "172.16.0.1", "192.168.1.1", "127.8.8.8", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
     "240.0.0.1", "255.255.255.255", "192.0.2.1", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1",
     "2001:db8::1", "::ffff:10.0.0.1", "::10.0.0.1", "nonsense", ""],
)  # fmt: skip
def test_addresses_that_are_not_on_the_open_internet(address: str) -> None:
    assert not is_open(address)


@pytest.mark.parametrize(
    "block",
    [
        "0.0.0.0/8", "0.0.0.0/32", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
        "192.0.0.0/24", "192.0.0.0/29", "192.0.0.8/32", "192.0.0.9/32", "192.0.0.10/32", "192.0.0.170/32",
        "192.0.0.171/32", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.88.99.2/32",
        "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
        "255.255.255.255/32", "::1/128", "::/128", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/23",
        "2001::/32", "2001:1::1/128", "2001:1::2/128", "2001:1::3/128", "2001:2::/48", "2001:3::/32",
        "2001:4:112::/48", "2001:10::/28", "2001:20::/28", "2001:30::/28", "2001:db8::/32", "2002::/16",
        "2620:4f:8000::/48", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10",
        "224.0.0.0/4", "ff00::/8", "fec0::/10", "::/96", "4000::/2", "8000::/1",
    ],
)  # fmt: skip
def test_no_block_of_a_special_purpose_is_on_the_open_internet(block: str) -> None:
    """Every block of IANA's two registries but those that hold IPv4 addresses; multicast; what is not given out."""
    network = ipaddress.ip_network(block)
    places = {0, network.num_addresses // 3, network.num_addresses // 2, network.num_addresses - 1}
    assert [str(network[place]) for place in places if is_open(str(network[place]))] == []


def test_next_to_such_a_block_is_the_open_internet() -> None:
    for address in (
        "192.88.98.255",
        "192.88.100.0",
        "9.255.255.255",
        "11.0.0.0",
        "2001:200::",
        "3ffe:ffff::",
        "2003::",
    ):
        assert is_open(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:4700::6810:84e5", "::ffff:8.8.8.8"])
def test_addresses_that_are(address: str) -> None:
    assert is_open(address)


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """What names stand for; Scrapy's cache is empty before and after."""
    names: dict[str, str] = {}
    monkeypatch.setattr(ThreadedResolver, "getHostByName", lambda _self, name, _timeout=(): defer.succeed(names[name]))
    monkeypatch.setattr(dnscache, "limit", 100)
    dnscache.clear()
    yield names
    dnscache.clear()


def resolve(resolver: OpenInternetResolver, name: str) -> Any:
    """Return the address, or the exception."""
    found: list[Any] = []
    resolver.getHostByName(name).addBoth(found.append)
    return found[0].value if isinstance(found[0], Failure) else found[0]


def test_a_name_that_stands_for_a_private_address_is_refused(looked_up: dict[str, str]) -> None:
    looked_up |= {"cs.copart.com": "93.184.216.34", "rebound.example": "10.0.0.5", "127.0.0.1": "127.0.0.1"}
    resolver = OpenInternetResolver(None, 100, 1.0)  # type: ignore[arg-type]
    assert resolve(resolver, "cs.copart.com") == "93.184.216.34"
    assert isinstance(resolve(resolver, "rebound.example"), PrivateAddress)
    assert isinstance(resolve(resolver, "127.0.0.1"), PrivateAddress)
    assert isinstance(resolve(resolver, "rebound.example"), PrivateAddress), "also from the cache"


def test_stand_ins_and_proxies_may_be_inside(looked_up: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    from scrapy.utils.test import get_crawler

    monkeypatch.setenv("COPART_SITE_URL", "http://localhost:8080")
    monkeypatch.setenv("COPART_IMAGE_HOSTS", "127.0.0.1:9000,cs.copart.com")
    monkeypatch.setenv("PROXY_LIST", "http://squid.internal:3128")
    looked_up |= {
        "localhost": "127.0.0.1",
        "127.0.0.1": "127.0.0.1",
        "squid.internal": "10.0.0.7",
        "cs.copart.com": "10.0.0.5",
        "127.0.0.2": "127.0.0.2",
    }
    resolver = OpenInternetResolver.from_crawler(get_crawler(), None)  # type: ignore[arg-type]
    resolver_answers = {name: resolve(resolver, name) for name in looked_up}
    refused = {name for name, answer in resolver_answers.items() if isinstance(answer, PrivateAddress)}
    assert refused == {"cs.copart.com", "127.0.0.2"}
