"""Cookies: public suffixes are known from the list that is installed, and no other machine is asked for one."""

from __future__ import annotations

from scrapy import Request, Spider
from scrapy.crawler import Crawler
from scrapy.downloadermiddlewares import cookies as scrapys
from scrapy.http import Response
from scrapy.settings import Settings
from scrapy.utils.conf import build_component_list
from scrapy.utils.misc import load_object

from vinops_scrapy.middlewares.cookies import Cookies

NAME = "vinops_scrapy.middlewares.cookies.Cookies"


def project() -> Settings:
    settings = Settings()
    settings.setmodule("vinops_scrapy.settings", priority="project")
    return settings


def test_every_crawl_has_this_middleware_in_the_place_of_scrapys_own() -> None:
    enabled = build_component_list(project().get_component_priority_dict_with_base("DOWNLOADER_MIDDLEWARES"))
    handling = [each for each in enabled if issubclass(load_object(each), scrapys.CookiesMiddleware)]
    assert [getattr(each, "__name__", each) for each in handling] == [NAME]


def test_a_cookie_of_a_public_suffix_is_dropped_without_asking_another_machine() -> None:
    """The fixture that fails a test for each name it looks up (tests/conftest.py) sees what Scrapy's own does."""
    found = Cookies.from_crawler(Crawler(Spider, project()))
    first = Request("https://www.auction.co.uk/list")
    headers = {"Set-Cookie": ["a=1; Domain=.co.uk", "b=2; Domain=.auction.co.uk", "c=3"]}
    found.process_request(first)
    found.process_response(first, Response(first.url, headers=headers))
    for url, expected in (
        ("https://www.auction.co.uk/lot", b"b=2; c=3"),
        ("https://other.co.uk/", None),
        ("https://pages.auction.co.uk/", b"b=2"),
    ):
        later = Request(url)
        found.process_request(later)
        sent = later.headers.get("Cookie")
        assert (sent and b"; ".join(sorted(sent.split(b"; ")))) == expected, url
