"""Proxies are read from the settings, kept by sessions, left when dead, and their credentials are shown nowhere."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from scrapy import Request
from scrapy.core.downloader.handlers.http11 import TunnelError
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    IgnoreRequest,
    NotConfigured,
)
from scrapy.http import Response
from scrapy.utils.test import get_crawler

from vinops import logs
from vinops.config import ConfigError, Secret, Settings
from vinops.redaction import redact
from vinops_scrapy import closing
from vinops_scrapy.failures import Stopped
from vinops_scrapy.middlewares.proxies import BanDetection, ProxiesAlone, RotatingProxies
from vinops_scrapy.proxy_list import proxy_for_playwright, proxy_hosts, read_proxies
from vinops_scrapy.proxy_ring import ProxyRing

ONE = "http://member-one:canary-one@proxy.example:3128"
TWO = "http://member-two:canary-two@proxy.example:3128"
THREE = "http://other.example:8080"


def listed(*urls: str, file: Path | None = None) -> Settings:
    """Return settings with these proxies."""
    return Settings(proxy_list=tuple(Secret(url) for url in urls), proxy_list_file=file)


def ring(*urls: str) -> ProxyRing:
    """Return a ring of these proxies."""
    return ProxyRing(read_proxies(listed(*urls)))


def test_both_lists_are_read_in_order_and_each_proxy_once(tmp_path: Path) -> None:
    file = tmp_path / "proxies.txt"
    file.write_text(f"# the office\n\n  {THREE}  \n{ONE}\n10.0.0.5:3128\n")
    proxies = read_proxies(listed(ONE, TWO, file=file))
    assert [proxy.label for proxy in proxies] == [
        "proxy.example:3128#1",
        "proxy.example:3128#2",
        "other.example:8080#3",
        "10.0.0.5:3128#4",
    ]
    assert [proxy.url.reveal() for proxy in proxies] == [ONE, TWO, THREE, "http://10.0.0.5:3128"]
    assert proxy_hosts(listed(ONE, "http://[::1]:99")) == {"proxy.example", "::1"}


@pytest.mark.parametrize(
    "entry",
    [
        "http://proxy.example",
        "http://proxy.example:0",
        "http://proxy.example:99999",
        "http://:3128",
        "socks5://proxy.example:1080",
        "https://proxy.example:3128",
        "http://canary-user:canary-pass@proxy.example",
        "http://:canary-pass@proxy.example:3128",
        "http://canary-user:canary/pass@proxy.example:3128",
        "http://canary-user:pass@canary@proxy.example:3128",
        "canary-user:pass@canary@proxy.example:3128",
        "http://proxy.example:3128/canary",
        "http://proxy.example:3128?canary",
        "http://[canary:3128",
        "http://canary user:3128",
        "canary",
    ],
)
def test_nonsense_is_named_by_its_line_and_not_shown(tmp_path: Path, entry: str) -> None:
    file = tmp_path / "proxies.txt"
    file.write_text(f"{ONE}\n# comment\n\n{entry}\n")
    with pytest.raises(ConfigError, match="PROXY_LIST_FILE: line 4 ") as caught:
        read_proxies(listed(file=file))
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
    with pytest.raises(ConfigError, match="PROXY_LIST: entry 2 "):
        read_proxies(listed(ONE, entry))


def test_a_list_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="PROXY_LIST_FILE cannot be read \\(No such file"):
        read_proxies(listed(file=tmp_path / "missing.txt"))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_proxies(listed(file=tmp_path / "binary"))


def test_credentials_are_masked_from_then_on(tmp_path: Path) -> None:
    file = tmp_path / "proxies.txt"
    file.write_text("http://a-long-user-name:p%40ss-canary@proxy.example:3128\n")
    (proxy,) = read_proxies(listed(file=file))
    assert "canary" not in repr(proxy)
    text = redact("p@ss-canary p%40ss-canary a-long-user-name YS1sb25nLXVzZXItbmFtZTpwQHNzLWNhbmFyeQ==")
    assert text == "*** *** *** ***"
    assert redact(proxy.label) == "proxy.example:3128#1"


def test_a_browser_gets_the_credentials_decoded() -> None:
    one, three = read_proxies(listed("http://a%20b:p%40ss@proxy.example:3128", THREE))
    assert proxy_for_playwright(one) == {
        "server": "http://proxy.example:3128",
        "username": "a b",
        "password": "p@ss",
    }
    assert proxy_for_playwright(three) == {"server": "http://other.example:8080"}


def test_the_ring_moves_on_when_told_or_when_a_proxy_is_dead() -> None:
    proxies = ring(ONE, TWO, THREE)
    first = proxies.current
    assert first is not None
    assert first is proxies.current
    second, third, again = proxies.next(), proxies.next(), proxies.next()
    assert [each and each.url.reveal() for each in (first, second, third, again)] == [ONE, TWO, THREE, ONE]
    assert proxies.of(second.label if second else "") is second, "a session keeps its proxy"
    proxies.failed(first.label)
    assert proxies.current is second
    assert proxies.of(first.label) is second
    for each in (second, third):
        assert each is not None
        proxies.failed(each.label)
    assert proxies.current is None
    assert proxies.of(first.label) is None
    assert proxies.states.reanimate(_time=1e12) == 3
    assert proxies.current is not None


REQUEST = Request("https://cs.copart.com/a")


@pytest.mark.parametrize(
    ("status", "expected"),
    [(200, False), (302, False), (403, False), (404, False), (429, False), (500, False), (502, None), (407, True)],
)
def test_only_407_counts_against_a_proxy(status: int, expected: bool | None) -> None:
    response = Response(REQUEST.url, status=status)
    assert ProxiesAlone().response_is_ban(REQUEST, response) is expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (DownloadConnectionRefusedError(), True),
        (CannotResolveHostError(), True),
        (TunnelError("Could not open CONNECT tunnel with proxy a:1 [{'status': 407, 'reason': b'no'}]"), True),
        (TunnelError("Could not open CONNECT tunnel with proxy a:1 [{'status': 403, 'reason': b'no'}]"), None),
        (DownloadTimeoutError(), None),
        (DownloadFailedError(), None),
        (IgnoreRequest(), None),
    ],
)
def test_only_what_is_the_proxys_own_counts_against_it(error: Exception, expected: bool | None) -> None:
    assert ProxiesAlone().exception_is_ban(REQUEST, error) is expected


@pytest.fixture
def middlewares(monkeypatch: pytest.MonkeyPatch) -> tuple[RotatingProxies, BanDetection, Any]:
    """Both middlewares of a crawl with two proxies, and the crawler."""
    monkeypatch.setenv("PROXY_LIST", f"{ONE},{TWO}")
    crawler = get_crawler()
    return RotatingProxies.from_crawler(crawler), BanDetection.from_crawler(crawler), crawler


def asked(rotating: RotatingProxies, **meta: Any) -> Request:
    """Return a request that went through the middleware."""
    request = Request(REQUEST.url, meta=meta)
    rotating.process_request(request)
    return request


def test_a_request_keeps_the_slot_of_its_host(middlewares: tuple[RotatingProxies, BanDetection, Any]) -> None:
    rotating, _, _ = middlewares
    request = asked(rotating, download_slot="cs.copart.com")
    assert request.meta["download_slot"] == "cs.copart.com"
    assert "download_slot" not in asked(rotating).meta
    assert request.meta["proxy"] == ONE
    assert asked(rotating, session_proxy="proxy.example:3128#2").meta["proxy"] == TWO
    assert "proxy" not in asked(rotating, playwright=True).meta


@pytest.mark.parametrize("status", [403, 429, 200, 503])
def test_what_the_site_answers_changes_no_proxy(
    middlewares: tuple[RotatingProxies, BanDetection, Any], status: int
) -> None:
    rotating, detection, _ = middlewares
    request = asked(rotating)
    response = Response(request.url, status=status)
    assert rotating.process_response(request, detection.process_response(request, response)) is response
    assert asked(rotating).meta["proxy"] == ONE


def test_a_dead_proxy_is_left_and_the_request_goes_out_through_the_next(
    middlewares: tuple[RotatingProxies, BanDetection, Any], caplog: pytest.LogCaptureFixture
) -> None:
    rotating, detection, crawler = middlewares
    caplog.set_level(logging.DEBUG)
    request = asked(rotating, session_proxy="proxy.example:3128#1")
    detection.process_exception(request, DownloadConnectionRefusedError())
    again = rotating.process_exception(request, DownloadConnectionRefusedError())
    assert isinstance(again, Request)
    rotating.process_request(again)
    assert again.meta["proxy"] == TWO
    assert crawler.stats.get_value("proxies/dead") == 1
    assert "proxy=proxy.example:3128#1" in caplog.text
    rotating.log_stats()
    said = caplog.text + str(crawler.stats.get_stats())
    assert "canary" not in said
    assert "member-" not in said


def test_without_a_proxy_left_nothing_is_asked(
    middlewares: tuple[RotatingProxies, BanDetection, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rotating, detection, _ = middlewares
    closed: list[str] = []
    monkeypatch.setattr(closing, "close", lambda _crawler, reason: closed.append(reason))
    for _ in range(2):
        request = asked(rotating)
        response = detection.process_response(request, Response(request.url, status=407))
        again = rotating.process_response(request, response)
        assert isinstance(again, Request)
    with pytest.raises(Stopped) as caught:
        rotating.process_request(again)
    assert (caught.value.reason, closed) == ("no_proxies", ["no_proxies"])


def test_without_a_list_there_is_no_proxy() -> None:
    for each in (RotatingProxies, BanDetection):
        with pytest.raises(NotConfigured):
            each.from_crawler(get_crawler())


def test_a_broken_list_stops_the_crawl_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROXY_LIST", "canary")
    with pytest.raises(ConfigError):
        RotatingProxies.from_crawler(get_crawler())


def test_a_line_of_the_log_never_holds_credentials(tmp_path: Path) -> None:
    settings = Settings(log_dir=tmp_path, proxy_list=(Secret(ONE),), log_level="DEBUG")
    read_proxies(settings)
    record = logging.LogRecord("x", logging.DEBUG, "", 0, "Proxy <%s> is DEAD, %s", (ONE, Request(ONE).headers), None)
    assert "canary" not in logs.Line().format(record)
