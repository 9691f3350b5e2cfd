"""Crawls through proxies that forward on loopback: which one is used, when it is left, and what is written of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from standin.photos.server import PhotoServer
from tests.support.browser_crawls import look
from tests.support.photo_crawls import Crawls, Database
from tests.support.proxy import Proxy, dead
from vinops.config import ConfigError, Settings, variables
from vinops_scrapy.copart.browser_program import find_chromium

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.browser_crawls import Looked

LOT = 45_000_001
PASSWORD = "canary-password-91ef"


def has_chromium() -> bool:
    """Tell whether there is a browser."""
    try:
        find_chromium(Settings())
    except ConfigError:
        return False
    return True


needs_chromium = pytest.mark.skipif(not has_chromium(), reason="there is no Chromium: apt-get install chromium")


@pytest.fixture
def site() -> Iterator[PhotoServer]:
    """The photo side of the outside world."""
    with PhotoServer(seed=5, empty_every=0, none_every=0, password=PASSWORD, consent="none") as server:
        yield server


@pytest.fixture
def one() -> Iterator[Proxy]:
    """A proxy that wants a user name and a password."""
    with Proxy(username="canary-user-one", password="canary-pass-one") as proxy:
        yield proxy


@pytest.fixture
def shut() -> Iterator[Proxy]:
    """A proxy that lets in neither of them."""
    with Proxy(username="canary-user-one", password="canary-pass-old") as proxy:
        yield proxy


@pytest.fixture
def two() -> Iterator[Proxy]:
    """Another one."""
    with Proxy(username="canary-user-two", password="canary-pass-two") as proxy:
        yield proxy


def crawl(site: PhotoServer, folder: Path, urls: list[str], proxies: list[str], **order: Any) -> Looked:
    """Ask for these addresses; the variables in upper case are settings of vinops, the others the order's."""
    named = {name: order.pop(name) for name in list(order) if name.isupper()}
    return look(
        urls,
        folder=folder,
        environment={
            **dict.fromkeys(variables(), ""),  # as if not set
            "COPART_SITE_URL": site.site_url,
            "COPART_IMAGE_HOSTS": site.image_hosts,
            "PROXY_LIST": ",".join(proxies),
            "VINOPS_DATA_DIR": str(folder),
            "VINOPS_LOG_LEVEL": "DEBUG",
            "VINOPS_PACE": "none",
            "VINOPS_SESSION_PAUSE": "0",
            **named,
        },
        **order,
    )


def test_a_session_has_its_proxy_and_the_next_session_the_next(
    site: PhotoServer, tmp_path: Path, one: Proxy, two: Proxy
) -> None:
    urls = [site.list_url(LOT + place) for place in range(4)]
    looked = crawl(site, tmp_path, urls, [one.url, two.url], plain=True, VINOPS_SESSION_LOTS="2")
    assert [each["status"] for each in looked.results] == [200] * 4
    assert (one.passed(), two.passed()) == (urls[:2], urls[2:])
    assert len(site.requests) == 4, "nothing is asked beside the proxies"
    assert [each["label"] for each in looked.results] == [f"{one.label}#1"] * 2 + [f"{two.label}#2"] * 2
    host = site.api_url.removeprefix("http://")
    assert [(each["slot"], each["slots"]) for each in looked.results] == [(host, [host])] * 4, "its budget holds"


def test_a_proxy_is_told_who_asks_and_nobody_else_is(site: PhotoServer, tmp_path: Path, one: Proxy) -> None:
    looked = crawl(site, tmp_path, [site.list_url(LOT)], [one.url], plain=True)
    assert [each.status for each in one.requests] == [200], "the user name and the password came with the first"
    (asked,) = site.requests
    assert not {name for name in asked.headers if name.startswith("proxy")}
    assert f"proxy={one.label}#1" in looked.log
    for text in (looked.everything, *looked.processes):
        assert "canary" not in text


def test_a_proxy_that_cannot_be_used_is_left_for_the_next(
    site: PhotoServer, tmp_path: Path, one: Proxy, two: Proxy
) -> None:
    urls = [site.list_url(LOT), site.list_url(LOT + 1)]
    shut = one.url.replace("canary-pass-one", "canary-pass-old")
    gone = dead()
    looked = crawl(site, tmp_path, urls, [gone, shut, two.url], plain=True)
    assert [(each["status"], each["label"]) for each in looked.results] == [(200, f"{two.label}#3")] * 2
    assert [each.status for each in one.requests] == [407]
    assert two.passed() == urls
    assert looked.stats["proxies/dead"] == 2
    assert looked.log.count("a proxy cannot be used") == 2
    assert f"a proxy cannot be used proxy={gone.removeprefix('http://')}#1" in looked.log
    assert "canary" not in looked.everything


@pytest.mark.parametrize("fault", ["forbidden_403", "rate_limited_429", "server_error_503"])
def test_what_the_site_says_is_no_reason_for_another_proxy(
    site: PhotoServer, tmp_path: Path, one: Proxy, two: Proxy, fault: str
) -> None:
    site.fault(fault, host="api")
    looked = crawl(site, tmp_path, [site.list_url(LOT)], [one.url, two.url], plain=True)
    status = int(fault.rpartition("_")[2])
    assert [(each["status"], each["label"]) for each in looked.results] == [(status, f"{one.label}#1")]
    assert [each.status for each in one.requests] == [status]
    assert two.requests == []
    assert "proxies/dead" not in looked.stats


def test_without_any_proxy_left_nothing_is_asked_and_the_run_says_so(
    settings: Settings, database: Database, site: PhotoServer
) -> None:
    crawls = Crawls(settings=settings, database=database, server=site)
    crawls.add_lots(3)
    crawls.more["PROXY_LIST"] = f"{dead()},{dead()}"
    crawled = crawls.run()
    assert (crawled.exit_code, crawled.reason) == (1, "no_proxies"), crawled.log
    assert "not asked: no proxy is left dead=2" in crawled.log
    assert site.requests == []
    assert crawls.rows("select lot_id from lot_photos where lease_owner is not null") == []
    assert crawls.rows("select distinct state from lot_photos") == [("missing",)], "no lot is to blame"


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("socks5://canary-user:canary-pass@proxy.example:1080", "PROXY_LIST: entry 2 is not an http:// proxy"),
        ("http://canary-user:canary-pass@proxy.example", "PROXY_LIST: entry 2 names no host and port"),
    ],
)
def test_a_list_that_makes_no_sense_is_said_without_showing_it(
    settings: Settings, database: Database, site: PhotoServer, entry: str, says: str
) -> None:
    crawls = Crawls(settings=settings, database=database, server=site)
    crawls.add_lots(1)
    crawls.more["PROXY_LIST"] = f"{dead()},{entry}"
    crawled = crawls.run()
    assert crawled.exit_code == 1
    assert f"{says}: write http://user:***@host:port" in crawled.log
    assert "canary" not in crawled.log
    assert "Traceback" not in crawled.log
    assert site.requests == []


@pytest.mark.slow
@needs_chromium
def test_the_browser_goes_through_the_proxy_of_its_session_and_leaves_one_that_cannot_be_used(
    site: PhotoServer, tmp_path: Path, one: Proxy, shut: Proxy, two: Proxy
) -> None:
    urls = [site.lot_url(LOT), site.lot_url(LOT + 1)]
    member = {"COPART_USERNAME": "stand-in-member", "COPART_PASSWORD": PASSWORD}
    refused = shut.url.replace("canary-pass-old", "canary-pass-new")
    looked = crawl(site, tmp_path, urls, [dead(), one.url, refused, two.url], VINOPS_SESSION_LOTS="1", **member)
    assert [len(each["photos"]) for each in looked.results] == [len(site.photos(LOT)), len(site.photos(LOT + 1))]
    for proxy, url in ((one, urls[0]), (two, urls[1])):
        assert proxy.passed() == [f"{site.site_url}/login", f"{site.site_url}/dashboard", url]
        assert proxy.passed(method="POST") == [f"{site.site_url}/login"]
    assert len(site.requests) == len(one.passed() + two.passed()) + 2, "nothing is asked beside the proxies"
    assert "sign-in failed context=session-1-1 reason=no_connection attempt=1" in looked.log
    assert {each.status for each in shut.requests} == {407}
    assert looked.log.count("a proxy cannot be used") == looked.stats["proxies/dead"] == 2
    assert f"a proxy cannot be used proxy={shut.label}#3" in looked.log
    assert set(looked.open.values()) == {0}
    assert not any("Headless" in str(each.headers) for each in site.requests)
    for text in (looked.everything, *looked.processes):
        assert "canary" not in text
