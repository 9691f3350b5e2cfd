"""The stand-in of the classifieds site over real HTTP: it answers as the real one, faults included."""

from __future__ import annotations

import gzip
import http.client
import io
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from parsel import Selector
from PIL import Image

from standin.market import command as market
from standin.market.ads import BGN_PER_EUR, Ad
from standin.market.cycles import AGE, IN_BULGARIA, NOW, AdMarket, region_slug, region_slugs
from standin.market.faults import FAULT_NAMES
from standin.market.live import LiveMarket
from standin.market.pages import DELETED, LAYOUTS, PER_PAGE, ROOT
from standin.market.server import MarketServer
from standin.market.values import ABROAD, DAMAGE, FUTURE_GUARANTEE, GROUPS, MAKES, NEGATED, NO_PRICE
from tests.support.children import child

if TYPE_CHECKING:
    from collections.abc import Iterator

    from standin.market.pages import Layout

pytestmark = pytest.mark.slow

TOTAL = re.compile(r"(\d+) - (\d+) от общо (\d+\+?)")
PHONE = re.compile(r"(?:\+359 ?|0)888[ /]?000[ -]?0\d\d")


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The page, as its own header says."""
        return self.body.decode(self.headers["content-type"].rpartition("charset=")[2])

    @property
    def page(self) -> Selector:
        return Selector(text=self.text)


def ask(url: str, *, method: str = "GET", body: str | None = None, timeout: float = 20) -> Answer:
    """One request on a connection of its own; redirects are not followed."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    try:
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body)
        response = connection.getresponse()
        content = response.read()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return Answer(status=response.status, headers=fields, body=content)
    finally:
        connection.close()


def cards(page: Selector) -> list[Selector]:
    return list(page.css("div.item[id^=ida]"))


def ids(page: Selector) -> list[str]:
    """The ads of a page, from top to bottom."""
    return [card.attrib["id"].removeprefix("ida") for card in cards(page)]


def total(page: Selector) -> tuple[str, str, str] | None:
    found = TOTAL.search(" ".join(page.xpath("//form/div[1]//text()").getall()))
    return (found[1], found[2], found[3]) if found else None


def walk(url: str) -> list[Selector]:
    """Every page from that one on, by the links to the next."""
    pages = [ask(url).page]
    while following := pages[-1].css("a.next::attr(href)").get():
        assert following == pages[-1].css("link[rel=next]::attr(href)").get()
        pages.append(ask(following).page)
    return pages


def own(server: MarketServer, page: Selector) -> list[str]:
    """The ads of a page without the promoted ones that are shown again above them."""
    first, last, _ = total(page) or ("0", "-1", "0")
    return ids(page)[-(int(last) - int(first) + 1) :]


def texts(node: Selector, css: str) -> list[str]:
    return [" ".join(found.css("::text").getall()).strip() for found in node.css(css)]


@pytest.fixture
def server() -> Iterator[MarketServer]:
    with MarketServer(ads=400, make_ads={"bmw": 95}) as server:
        yield server


@pytest.fixture(scope="module")
def whole() -> AdMarket:
    """A market of the full size."""
    return AdMarket()


class TestTheMarket:
    def test_twenty_makes_in_four_groups(self, whole: AdMarket) -> None:
        assert len(MAKES) == 20
        assert sorted(make for makes in GROUPS.values() for make in makes) == sorted(MAKES)
        assert {group: sum(map(whole.count, makes)) for group, makes in GROUPS.items()} == {
            1: 2400,
            2: 1500,
            3: 1800,
            4: 1900,
        }
        assert min(map(whole.count, MAKES)) >= 50

    @pytest.mark.parametrize("ads", [0, 1, 19, 333, 5000])
    def test_it_has_exactly_as_many_ads_as_asked_for(self, ads: int) -> None:
        market = AdMarket(ads=ads)
        assert len(market.ads()) == market.count() == ads

    def test_a_make_can_have_another_size(self) -> None:
        market = AdMarket(ads=0, make_ads={"bmw": 31, "fiat": 2})
        assert (market.count("bmw"), market.count("fiat"), market.count()) == (31, 2, 33)
        with pytest.raises(ValueError, match="unknown make volkswagen"):
            AdMarket(make_ads={"volkswagen": 1})
        with pytest.raises(ValueError, match="at least 0"):
            AdMarket(make_ads={"vw": -1})

    def test_the_same_seed_gives_the_same_market_and_another_another(self) -> None:
        first, second, other = (AdMarket(seed=seed, ads=300) for seed in (5, 5, 6))
        assert first.ads() == second.ads()
        for _ in range(3):
            assert first.advance() == second.advance()
        assert first.ads() == second.ads()
        assert not first.ads().keys() & other.ads().keys()

    def test_ids_say_when_an_ad_was_posted(self, whole: AdMarket) -> None:
        for ad in whole.ads().values():
            assert re.fullmatch(r"[12]\d{16}", ad.id)
            assert round(ad.posted.timestamp() * 1000) == int(ad.id[1:14])
            assert NOW - AGE < ad.posted <= NOW
            assert ad.is_new == (NOW - ad.posted < timedelta(days=3))

    def test_believable_cars(self, whole: AdMarket) -> None:
        ads = [ad for ad in whole.ads().values() if ad.oddity is None]
        share = {
            "diesel": sum(ad.fuel == "Дизелов" for ad in ads) / len(ads),
            "petrol": sum(ad.fuel == "Бензинов" for ad in ads) / len(ads),
            "electric": sum(ad.fuel == "Електрически" for ad in ads) / len(ads),
            "automatic": sum(ad.gearbox == "Автоматична" for ad in ads) / len(ads),
            "dealers": sum(ad.seller == "dealer" for ad in ads) / len(ads),
            "abroad": sum(ad.is_abroad for ad in ads) / len(ads),
            "no mileage": sum(ad.mileage_km is None for ad in ads) / len(ads),
        }
        assert 0.45 < share["diesel"] < 0.7
        assert 0.2 < share["petrol"] < 0.45
        assert 0.003 < share["electric"] < 0.05
        assert 0.4 < share["automatic"] < 0.75
        assert 0.5 < share["dealers"] < 0.7
        assert 0.03 < share["abroad"] < 0.05
        assert 0.01 < share["no mileage"] < 0.03
        assert 2011 <= statistics.median(ad.year for ad in ads) <= 2016
        assert max(ad.year for ad in ads) <= NOW.year
        old, young = ([ad for ad in ads if ad.mileage_km and low <= ad.year <= high] for low, high in
                      ((2003, 2010), (2021, 2026)))  # fmt: skip
        assert 180_000 < statistics.median(ad.mileage_km or 0 for ad in old) < 270_000
        assert 15_000 < statistics.median(ad.mileage_km or 0 for ad in young) < 90_000
        assert all(ad.dealer is None or ad.seller == "dealer" for ad in ads)
        assert {ad.model for ad in ads if ad.make == "mercedes-benz"} & {"124", "190", "220"}, "numeric slugs"

    def test_prices_follow_the_car_and_scatter_around_it(self, whole: AdMarket) -> None:
        ordinary = [
            ad for ad in whole.ads().values() if ad.price and not (ad.is_bargain or ad.is_damaged or ad.is_no_offer)
        ]
        apart = [abs(float(ad.price / ad.fair_price) - 1) for ad in ordinary if ad.price]
        assert 0.05 < statistics.median(apart) < 0.1
        assert sum(error < 0.2 for error in apart) / len(apart) > 0.85
        prices = [ad.price for ad in ordinary if ad.price]
        assert 7_000 < statistics.median(prices) < 14_000
        assert min(prices) >= 400
        assert max(prices) > 50_000
        dear = statistics.median(ad.price for ad in ordinary if ad.price and ad.year >= 2020)
        assert dear > 3 * statistics.median(ad.price for ad in ordinary if ad.price and ad.year <= 2012)

    def test_a_few_are_real_bargains_and_a_few_are_cheap_for_a_reason(self, whole: AdMarket) -> None:
        ads = whole.ads().values()
        bargains = [ad for ad in ads if ad.is_bargain]
        assert 0.02 < len(bargains) / len(ads) < 0.04
        for ad in bargains:
            assert ad.price is not None
            assert Decimal("0.64") <= ad.price / ad.fair_price <= Decimal("0.81")
            assert not ad.is_damaged
        damaged = [ad for ad in ads if ad.is_damaged]
        assert 0.01 < len(damaged) / len(ads) < 0.03
        for ad in damaged:
            assert any(words in ad.description for words in DAMAGE)
            assert ad.price is None or ad.price <= ad.fair_price * Decimal("0.7") or ad.price < 700
        admitted = sum("Катастрофирал" in ad.equipment for ad in damaged)
        assert 0 < admitted < len(damaged)

    def test_good_news_in_the_words_of_bad_news(self, whole: AdMarket) -> None:
        ads = whole.ads().values()
        denying = [ad for ad in ads if any(words in ad.description for words in NEGATED)]
        assert 0.05 < len(denying) / len(ads) < 0.12
        assert not any(ad.is_damaged for ad in denying)
        assert any("Не е катастрофирал" in ad.description for ad in denying)
        assert any("Без удар" in ad.description for ad in denying)

    def test_some_have_no_price_and_some_have_impossible_values(self, whole: AdMarket) -> None:
        ads = whole.ads().values()
        silent = [ad for ad in ads if ad.price is None]
        assert 0.01 < len(silent) / len(ads) < 0.03
        assert {ad.no_price for ad in silent} == set(NO_PRICE)
        assert sum(ad.price_bgn == 11 for ad in ads) >= 5
        assert sum(ad.power_hp == 1896 for ad in ads) >= 3
        assert sum(ad.mileage_km is not None and ad.mileage_km < 1000 for ad in ads) >= 5
        assert sum((ad.mileage_km or 0) > 1_000_000 for ad in ads) >= 5
        assert sum(FUTURE_GUARANTEE in ad.description for ad in ads) >= 50
        assert sum(ad.oddity == "lease_balance" for ad in ads) >= 5

    def test_both_currencies_fit_together(self, whole: AdMarket) -> None:
        for ad in whole.ads().values():
            if ad.price is not None and ad.price_bgn is not None:
                assert abs(ad.price * BGN_PER_EUR - ad.price_bgn) <= Decimal("0.02")
        rounded = sum(ad.price == int(ad.price) for ad in whole.ads().values() if ad.price)
        assert 0.5 < rounded / len(whole.ads()) < 0.9, "the others were asked for in leva"

    def test_some_cars_are_advertised_twice(self, whole: AdMarket) -> None:
        ads = whole.ads()
        twins = [ad for ad in ads.values() if ad.twin_of is not None]
        assert 0.005 < len(twins) / len(ads) < 0.02
        for ad in twins:
            other = ads[ad.twin_of or ""]
            assert ad.id != other.id
            assert (ad.make, ad.model, ad.year, ad.month, ad.power_hp, ad.colour) == (
                other.make,
                other.model,
                other.year,
                other.month,
                other.power_hp,
                other.colour,
            )

    def test_nobody_can_be_called(self, whole: AdMarket) -> None:
        told = [ad for ad in whole.ads().values() if re.search(r"\d{3}[ /]?\d{3}", ad.description)]
        assert len(told) > 500
        for ad in told:
            assert PHONE.search(ad.description)
        assert all(re.fullmatch(r"08880000\d\d", ad.phone) for ad in whole.ads().values())


class TestTheLists:
    def test_pages_are_windows_1251_and_say_so(self, server: MarketServer) -> None:
        for url in (server.list_url("bmw"), server.list_url(), server.ad_url(next(iter(server.ads())))):
            answer = ask(url)
            assert answer.headers["content-type"] == "text/html; charset=windows-1251"
            assert "charset=windows-1251" in answer.text
            with pytest.raises(UnicodeDecodeError):
                answer.body.decode()

    def test_every_ad_exactly_once_over_all_pages(self, server: MarketServer) -> None:
        for make in ("bmw", "audi", "alfa-romeo"):
            pages = walk(server.list_url(make))
            found = [ad_id for page in pages for ad_id in own(server, page)]
            assert len(found) == len(set(found)) == server.count(make)
            assert set(found) == {ad.id for ad in server.ads().values() if ad.make == make}
            assert [len(own(server, page)) for page in pages[:-1]] == [PER_PAGE] * (len(pages) - 1)

    def test_promoted_ones_are_repeated_on_other_pages(self) -> None:
        with MarketServer(ads=0, make_ads={"bmw": 400}) as server:
            pages = walk(server.list_url("bmw"))
            ads = server.ads()
            repeated = [ad_id for page in pages[1:] for ad_id in ids(page)[: -len(own(server, page))]]
            assert len(repeated) > len(set(repeated)), "one of them on several pages"
            assert all(ads[ad_id].promotion for ad_id in repeated)
            assert all(len(ids(page)) == len(set(ids(page))) for page in pages), "never twice on one page"
            ranks = [["BEST", "TOP", "VIP", ""].index(ads[ad_id].promotion) for ad_id in own(server, pages[0])]
            assert ranks == sorted(ranks)
            assert ranks[0] == 0

    def test_without_repeats_there_are_none(self) -> None:
        with MarketServer(ads=0, make_ads={"bmw": 100}, repeats=0) as server:
            found = [ad_id for page in walk(server.list_url("bmw", sort=6)) for ad_id in ids(page)]
            assert len(found) == len(set(found)) == 100

    def test_a_page_says_where_it_is(self, server: MarketServer) -> None:
        pages = walk(server.list_url("bmw"))
        assert [total(page) for page in pages] == [
            ("1", "20", "95"),
            ("21", "40", "95"),
            ("41", "60", "95"),
            ("61", "80", "95"),
            ("81", "95", "95"),
        ]
        assert texts(pages[3], ".pagination .selected") == ["4", "4"]
        assert pages[-1].css("div.next") != []
        assert "95" in pages[0].css("meta[name=description]").attrib["content"]

    def test_the_end_of_the_list_comes_again_for_whoever_goes_on(self, server: MarketServer) -> None:
        last, beyond = (ask(server.list_url("bmw", page=page)).page for page in (5, 6))
        assert ids(last) == ids(beyond)
        assert total(beyond) == ("81", "95", "95")

    def test_a_list_is_cut_off(self) -> None:
        with MarketServer(ads=0, make_ads={"bmw": 3001, "fiat": 3000}) as server:
            pages = [ask(server.list_url("bmw", page=page, sort=6)).page for page in (149, 150, 151)]
            assert pages[0].css("a.next::attr(href)").get() == server.list_url("bmw", page=150, sort=6)
            assert [page.css("a.next, link[rel=next]").getall() for page in pages[1:]] == [[], []]
            assert total(pages[1]) == total(pages[2]) == ("2981", "3000", "3000+")
            assert ids(pages[1]) == ids(pages[2])
            oldest = min(server.ads().values(), key=lambda ad: (ad.make != "bmw", ad.posted)).id
            assert oldest not in ids(pages[1]), "only a model's list reaches it"
            assert total(ask(server.list_url("fiat")).page) == ("1", "20", "3000")
            models = MAKES["bmw"].models
            assert (
                sum(int((total(ask(server.list_url("bmw", model=model.slug)).page) or "000")[2]) for model in models)
                == 3001
            )
        with MarketServer(ads=0, make_ads={"bmw": 95}, page_limit=2) as server:
            assert len(walk(server.list_url("bmw"))) == 2
            assert total(ask(server.list_url("bmw")).page) == ("1", "20", "40+")

    def test_segments_in_any_order(self, server: MarketServer) -> None:
        model = max(MAKES["bmw"].models, key=lambda model: len(server.market.listing("bmw", model=model.slug).ads))
        root = f"{server.url}/obiavi/avtomobili-dzhipove/bmw"
        orders = [f"{model.slug}/{IN_BULGARIA}/p-1", f"p-1/{model.slug}/{IN_BULGARIA}", f"{IN_BULGARIA}/{model.slug}",
                  f"{model.slug}/p-1/{IN_BULGARIA}"]  # fmt: skip
        found = [ids(ask(f"{root}/{order}").page) for order in orders]
        assert found[0]
        assert all(other == found[0] for other in found)
        assert ask(f"{root}/{orders[0]}").body == ask(f"{root}/{orders[3]}").body

    def test_cars_in_bulgaria_and_in_a_region(self) -> None:
        with MarketServer(ads=2000) as server:
            ads = server.ads().values()
            inside = server.market.listing(region=IN_BULGARIA).ads
            assert {ad.id for ad in inside} == {ad.id for ad in ads if ad.region != ABROAD}
            assert 0.01 < 1 - len(inside) / len(ads) < 0.08
            page = ask(server.list_url(region=IN_BULGARIA)).page
            assert (total(page) or ())[-1] == str(len(inside))
            assert region_slug("обл. София") == "oblast-sofiya"
            page = ask(server.list_url("audi", region="oblast-sofiya")).page
            assert page.css(".location::text").getall()
            assert all(place.startswith("обл. София, ") for place in page.css(".location::text").getall())

    def test_regions_add_up_but_for_the_ads_that_name_none(self) -> None:
        with MarketServer(ads=0, make_ads={"bmw": 600}, without_region=0.1) as server:
            ads = server.ads().values()
            inside = total(ask(server.list_url("bmw", region=IN_BULGARIA)).page)
            counted = {slug: total(ask(server.list_url("bmw", region=slug)).page) for slug in region_slugs()}
            silent = [ad for ad in ads if not ad.region]
            assert 30 < len(silent) < 90
            assert sum(int(found[2]) for found in counted.values() if found) == 600 - len(silent)
            assert inside is not None
            assert int(inside[2]) == sum(not ad.is_abroad for ad in ads), "they are in Bulgaria"
            assert counted["oblast-vidin"] == ("0", "0", "0"), "a list without ads"
            card = next(card for page in walk(server.list_url("bmw")) for card in cards(page)
                        if card.attrib["id"] == f"ida{silent[0].id}")  # fmt: skip
            assert card.css(".location::text").get() is None
            assert ask(server.ad_url(silent[0].id)).page.css(".carLocation").attrib["data-title"] == ""

    def test_a_region_is_cut_off_like_any_other_list(self) -> None:
        with MarketServer(ads=0, make_ads={"bmw": 400}, page_limit=3) as server:
            page = ask(server.list_url("bmw", region="oblast-sofiya", page=9, sort=3)).page
            assert total(page) == ("41", "60", "60+")
            assert page.css("a.next") == []

    def test_where_regions_are_shown(self) -> None:
        def linked(server: MarketServer) -> set[str]:
            links = ask(server.list_url("bmw", model="x5", region=IN_BULGARIA)).page.css(".oblasti a::attr(href)")
            return {link.rpartition("/")[2] for link in links.getall()}

        def mapped(server: MarketServer) -> set[str]:
            text = gzip.decompress(ask(server.sitemap_url).body).decode()
            return {address.rpartition("/")[2] for address in re.findall("<loc>([^<]+)</loc>", text)} & {
                *region_slugs()
            }

        for where in (("sitemap",), ("links",), ()):
            with MarketServer(ads=60, regions_in=where) as server:
                assert len(region_slugs()) == 29
                assert mapped(server) == ({*region_slugs()} if "sitemap" in where else set())
                assert linked(server) == ({*region_slugs()} if "links" in where else set())
        with pytest.raises(ValueError, match="regions are not shown in menu"):
            MarketServer(ads=0, regions_in=["menu"])

    def test_a_link_leads_to_the_same_list_in_a_region(self, server: MarketServer) -> None:
        page = ask(server.list_url("bmw", model="x5", region=IN_BULGARIA)).page
        assert f"{server.link_host}{ROOT}/bmw/x5/oblast-ruse" in page.css(".oblasti a::attr(href)").getall()
        assert ask(server.list_url("bmw", region="oblast-ruse")).page.css(".oblasti") == []

    def test_lists_that_vanish_and_appear(self, server: MarketServer) -> None:
        lists = {
            "audi": server.list_url("audi"),
            "bmw/x5": server.list_url("bmw", model="x5", region=IN_BULGARIA),
            "oblast-ruse": server.list_url("bmw", region="oblast-ruse"),
        }
        server.hide(*lists)
        assert [ask(url).status for url in lists.values()] == [404] * 3
        sitemap = gzip.decompress(ask(server.sitemap_url).body).decode()
        page = ask(server.list_url("bmw")).page
        assert not any(f"/{part}<" in sitemap for part in lists)
        assert not any(href.endswith(("/audi", "/oblast-ruse")) for href in page.css("a::attr(href)").getall())
        assert (total(page) or ())[-1] == "95", "the ads are still there"
        server.hide()
        assert [ask(url).status for url in lists.values()] == [200] * 3

    def test_ads_of_makes_that_are_not_followed(self) -> None:
        with MarketServer(ads=200, others=30) as server:
            others = [ad for ad in server.ads().values() if ad.make not in MAKES]
            assert (len(others), server.count()) == (30, 230)
            assert {ad.id for ad in others} < {ad_id for page in walk(server.list_url(sort=6)) for ad_id in ids(page)}
            assert total(ask(server.list_url("dacia")).page) is not None
            assert f"{server.link_host}{ROOT}/dacia" in ask(server.list_url()).page.css(".marki a::attr(href)").getall()
            new = server.advance(new=200).new
            assert 10 < sum(server.ads()[ad_id].make not in MAKES for ad_id in new) < 60

    @pytest.mark.parametrize("path", ["volkswagen", "bmw/no-such-model", "bmw/x5/x3", "p-1/bmw", "bmw/p-x"])
    def test_what_is_no_list_is_404(self, server: MarketServer, path: str) -> None:
        assert ask(f"{server.url}/obiavi/avtomobili-dzhipove/{path}").status == 404

    def test_an_empty_list_says_so(self) -> None:
        with MarketServer(ads=0) as server:
            page = ask(server.list_url("bmw")).page
            assert (ids(page), total(page)) == ([], ("0", "0", "0"))
            assert page.css("a.next") == []


class TestTheOrder:
    def test_newest_first(self, server: MarketServer) -> None:
        pages = walk(server.list_url("bmw", sort=6))
        found = [ad_id for page in pages for ad_id in own(server, page)]
        assert found == sorted(found, key=lambda ad_id: ad_id[1:], reverse=True)
        assert set(found) == {ad.id for ad in server.ads().values() if ad.make == "bmw"}

    def test_promoted_ones_stand_above_the_newest(self) -> None:
        with MarketServer(ads=0, make_ads={"bmw": 400}) as server:
            page = ask(server.list_url("bmw", sort=6)).page
            above = ids(page)[: -len(own(server, page))]
            assert above
            assert all(server.ads()[ad_id].promotion for ad_id in above)
            assert above[0] < max(own(server, page))

    def test_the_newest_of_two_days(self, server: MarketServer) -> None:
        found = [ad_id for page in walk(server.list_url(sort=7)) for ad_id in own(server, page)]
        recent = {ad.id for ad in server.ads().values() if NOW - ad.posted <= timedelta(days=2)}
        assert set(found) == recent
        assert 0 < len(recent) < len(server.ads()) / 10

    def test_by_price_and_by_distance(self, server: MarketServer) -> None:
        ads = server.ads()
        for sort, value in ((3, "price"), (5, "mileage_km")):
            found = [ad_id for page in walk(server.list_url(sort=sort)) for ad_id in own(server, page)]
            values = [getattr(ads[ad_id], value) for ad_id in found]
            known = [value for value in values if value is not None]
            assert known == sorted(known)
            assert values[: len(known)] == known, "what has none comes last"
            assert len(found) == len(ads)

    def test_any_other_order_is_the_default(self, server: MarketServer) -> None:
        default = ids(ask(server.list_url("bmw")).page)
        assert [ids(ask(f"{server.list_url('bmw')}?sort={sort}").page) for sort in ("99", "x", "")] == [default] * 3


class TestACard:
    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_it_shows_the_ad(self, layout: Layout) -> None:
        with MarketServer(ads=700, layout=layout) as server:
            ads = server.ads()
            seen = 0
            for page in walk(server.list_url("bmw")):
                for card in cards(page):
                    self.check(server, card, ads[card.attrib["id"].removeprefix("ida")])
                    seen += 1
            assert seen >= server.count("bmw")

    def check(self, server: MarketServer, card: Selector, ad: Ad) -> None:
        link = card.css("a.title").attrib["href"]
        assert link == server.link_host + ad.path
        assert ad.path.startswith(f"/obiava-{ad.id}-bmw-")
        assert card.css("a.title::text").get() == ad.title
        params = texts(card, ".params span")
        assert params[0].endswith(f" {ad.year} г.")
        if ad.mileage_km is not None:
            assert f"{ad.mileage_km:,} км".replace(",", " ") in params
        assert {ad.fuel, ad.gearbox, ad.body} < set(params)
        assert (f"{ad.power_hp} к.с." in params) == (ad.power_hp is not None)
        assert (f"{ad.engine_cc} куб.см" in params) == (ad.engine_cc is not None)
        assert (f"Евро {ad.euro_class}" in params) == (ad.euro_class is not None)
        price = [part.strip().replace("\xa0", " ") for part in card.css(".price div::text").getall()]
        if ad.price is None:
            assert price == [ad.no_price]
        else:
            numbers = [Decimal(re.sub(r"[^\d.]", "", part.removesuffix("лв."))) for part in price]
            assert numbers == [ad.price, ad.price_bgn]
            assert card.css(".price span::text").get() == ad.vat
        assert (ad.trend in ("UP", "DOWN")) == bool(card.css(".price.UP, .price.DOWN"))
        assert bool(card.css(".seller.FREE")) == (ad.seller == "private")
        assert texts(card, ".seller .name") == [ad.dealer or "Регион:"]
        assert card.css(".location::text").get() == f"{ad.region}, {ad.place}"
        assert (card.css("new strong::text").get() == "НОВА ОБЯВА") == ad.is_new
        assert ("снимки" in " ".join(card.css("a.photos ::text").getall())) == bool(ad.photos)
        photos = [address for address in card.css(".photo img::attr(src)").getall() if "/photosorg/" in address]
        assert len(photos) == min(len(ad.photos), 4)
        about = " ".join(card.css(".info ::text").getall())
        assert all(name in about for name in ad.equipment)
        assert ad.description.split("<br>")[0] in about
        assert {"BEST", "TOP", "VIP"} & set(card.attrib["class"].split()) == ({ad.promotion} - {""})

    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_a_page_has_news_among_the_ads(self, layout: Layout) -> None:
        with MarketServer(ads=200, layout=layout) as server:
            page = ask(server.list_url()).page
            assert len(page.css(".item.fakti")) == 1
            assert page.css(".item.fakti[id]") == []

    def test_a_stray_tag_closes_the_list_after_its_first_card(self) -> None:
        inside = {}
        for layout in LAYOUTS:
            with MarketServer(ads=200, layout=layout) as server:
                page = ask(server.list_url()).page
                inside[layout] = len(page.css(".ads2023 div.item[id^=ida]"))
                assert len(cards(page)) == PER_PAGE
        assert inside == {"plain": 20, "best": 20, "stray_div": 1}

    def test_thousands_are_kept_together_by_either_blank(self, server: MarketServer) -> None:
        prices = [price for page in walk(server.list_url()) for price in page.css(".price div::text").getall()]
        assert any("\xa0" in price for price in prices)
        assert any(re.search(r"\d \d{3}", price) for price in prices)

    def test_photos_are_on_this_host(self, server: MarketServer) -> None:
        page = ask(server.list_url("bmw")).page
        address = next(source for source in page.css("img.pic::attr(src)").getall() if "photosorg" in source)
        assert re.fullmatch(rf"{server.link_host}/mobile/photosorg/\d{{3}}/[12]/\d{{17}}_\w\w\.webp", address)
        answer = ask(f"http:{address}")
        assert (answer.status, answer.headers["content-type"]) == (200, "image/webp")
        assert Image.open(io.BytesIO(answer.body)).format == "WEBP"
        assert ask(f"http:{address}".replace(".webp", "x.webp")).status == 404


class TestThePageOfAnAd:
    def test_it_shows_the_ad(self, server: MarketServer) -> None:
        for ad in list(server.ads().values())[::9]:
            page = ask(server.ad_url(ad.id)).page
            labels = dict(zip(texts(page, ".mpLabel"), texts(page, ".mpInfo"), strict=True))
            assert labels["Двигател"] == ad.fuel
            assert labels.get("Пробег [км]") == (None if ad.mileage_km is None else f"{ad.mileage_km} км")
            technical = {
                item.css("div::text").getall()[1].strip(): item.css("div::text").getall()[-2].strip()
                for item in page.css(".techData .items .item")
            }
            assert technical["Дата на производство"].endswith(str(ad.year))
            assert technical.get("Цвят") == ad.colour
            assert sorted(texts(page, ".carExtri .items div")) == sorted(ad.equipment)
            assert page.css(".carLocation").attrib["data-title"] == ad.region
            assert len(page.css("img.carouselimg[data-src-gallery]")) == len(ad.photos)
            assert page.css(".PriceInfo::text").get() == (None if ad.price is None else ad.vat)
            change = f"showpricechange('{ad.id}','{ad.price}','EUR'"
            assert (change in page.get()) == (ad.price is not None)
            assert f"{ad.posted:%d.%m.%Y}" in texts(page, ".statistiki .text")[0]
            assert "".join(texts(page, ".moreInfo .text")).startswith(ad.description.split("<br>")[0])

    def test_any_slug_will_do(self, server: MarketServer) -> None:
        ad_id = next(iter(server.ads()))
        assert ask(f"{server.url}/obiava-{ad_id}-x").body == ask(server.ad_url(ad_id)).body

    def test_an_ad_that_left_is_missing_or_says_so(self, server: MarketServer) -> None:
        seen = set()
        for ad_id in list(server.ads())[:12]:
            server.remove(ad_id)
            answer = ask(server.ad_url(ad_id))
            seen.add((answer.status, DELETED in answer.text))
            assert ad_id not in answer.text
        assert seen == {(404, False), (200, True)}
        assert "изтрита или не е активна" in DELETED
        assert ask(f"{server.url}/obiava-{10**16}-bmw").status == 404
        with pytest.raises(KeyError):
            server.ad_url("1" * 17)


class TestSitemapAndRobots:
    def test_every_list_is_in_the_sitemap(self, server: MarketServer) -> None:
        robots = ask(f"{server.url}/robots.txt").body.decode()
        assert f"Sitemap: {server.sitemap_url}" in robots.splitlines()
        body = ask(server.sitemap_url).body
        addresses = re.findall("<loc>([^<]+)</loc>", gzip.decompress(body).decode())
        expected = {server.list_url()} | {server.list_url(make) for make in MAKES}
        expected |= {server.list_url(make.slug, model=model.slug) for make in MAKES.values() for model in make.models}
        expected |= {server.list_url(region=slug) for slug in (IN_BULGARIA, *region_slugs())}
        assert set(addresses) == expected
        assert len(addresses) == len(expected)
        assert all(ask(address).status == 200 for address in addresses)
        assert not any("volkswagen" in address for address in addresses)


class TestCycles:
    def test_ads_come_change_leave_and_come_back(self, server: MarketServer) -> None:
        before = server.ads()
        first = server.advance(new=40, changed=60, gone=50, back=10)
        middle = server.ads()
        assert [len(ids) for ids in asdict(first).values()] == [40, 60, 50, 0], "nobody had left yet"
        assert middle.keys() == (before.keys() | {*first.new}) - {*first.gone}
        changed = {ad_id for ad_id in before.keys() & middle.keys() if before[ad_id].price != middle[ad_id].price}
        assert changed == {*first.changed}
        assert {middle[ad_id].trend for ad_id in changed} == {"UP", "DOWN"}
        second = server.advance(new=5, changed=6, gone=7, back=10)
        assert [len(ids) for ids in asdict(second).values()] == [5, 6, 7, 10]
        assert {*second.back} < {*first.gone}
        assert {*second.back} < server.ads().keys()
        every = [ad_id for ids in asdict(second).values() for ad_id in ids]
        assert len(every) == len(set(every))

    def test_new_ones_are_the_newest_and_spread_over_the_makes(self, server: MarketServer) -> None:
        newest = max(int(ad_id[1:14]) for ad_id in server.ads())
        changes = server.advance(new=40)
        assert all(int(ad_id[1:14]) > newest for ad_id in changes.new)
        assert len({server.ads()[ad_id].make for ad_id in changes.new}) >= 8
        assert all(server.ads()[ad_id].is_new for ad_id in changes.new)
        page = ask(server.list_url(sort=6)).page
        assert own(server, page) == sorted(changes.new, key=lambda ad_id: ad_id[1:], reverse=True)[:PER_PAGE]

    def test_the_pages_follow(self, server: MarketServer) -> None:
        for _ in range(3):
            changes = server.advance(new=10, changed=20, gone=20, back=5)
            shown = {
                ad_id: card
                for make in MAKES
                for page in walk(server.list_url(make))
                for ad_id, card in zip(ids(page), cards(page), strict=True)
            }
            assert shown.keys() == server.ads().keys()
            for ad_id in changes.changed:
                price = shown[ad_id].css(".price div::text").get() or ""
                assert Decimal(re.sub(r"[^\d.]", "", price)) == server.ads()[ad_id].price

    def test_lists_follow_a_change_by_hand(self, server: MarketServer) -> None:
        first, second = own(server, ask(server.list_url("fiat", sort=3)).page)[:2]
        server.set_price(first, 1_000_000)
        found = [ad_id for page in walk(server.list_url("fiat", sort=3)) for ad_id in own(server, page)]
        priced = [ad_id for ad_id in found if server.ads()[ad_id].price is not None]
        assert (found[0], priced[-1]) == (second, first)
        server.remove(second)
        assert second not in ids(ask(server.list_url("fiat", sort=3)).page)
        server.restore(second)
        assert own(server, ask(server.list_url("fiat", sort=3)).page)[0] == second

    def test_an_ad_comes_back_once(self) -> None:
        market = AdMarket(ads=30)
        gone = market.advance(new=0, changed=0, gone=5).gone
        back = market.advance(new=0, changed=0, gone=0, back=5).back
        assert sorted(back) == sorted(gone)
        assert market.advance(new=0, changed=0, gone=0, back=5).back == ()
        assert all(market.gone(ad_id) is None for ad_id in back)

    def test_the_mark_of_the_new_fades(self) -> None:
        market = AdMarket(ads=200)
        marked = {ad.id for ad in market.ads().values() if ad.is_new}
        assert marked
        market.advance(new=3, changed=0, gone=0, back=0, hours=80)
        assert not any(ad.is_new for ad in market.ads().values() if ad.id in marked)
        market.advance(new=3, changed=0, gone=0, back=0, hours=1)
        assert sum(ad.is_new for ad in market.ads().values()) >= 3

    def test_a_market_can_run_dry(self) -> None:
        market = AdMarket(ads=30)
        changes = market.advance(new=0, changed=50, gone=50)
        assert (len(changes.gone), changes.changed, market.count()) == (30, (), 0)
        assert len(market.advance(new=4, gone=0, changed=0, back=50).back) == 30
        assert market.count() == 34
        with pytest.raises(ValueError, match="at least 0"):
            market.advance(new=-1)
        with pytest.raises(ValueError, match="hours must be greater than 0"):
            market.advance(hours=0)

    def test_one_ad_by_hand(self, server: MarketServer) -> None:
        ad = next(ad for ad in server.ads().values() if ad.price and ad.price > 1000)
        server.set_price(ad.id, 777)
        assert server.ads()[ad.id].price == 777
        assert server.ads()[ad.id].trend == "DOWN"
        assert "777 €" in ask(server.ad_url(ad.id)).text
        server.set_price(ad.id, None)
        assert NO_PRICE[0] in ask(server.ad_url(ad.id)).text
        server.remove(ad.id)
        assert ad.id not in server.ads()
        with pytest.raises(KeyError):
            server.remove(ad.id)
        server.restore(ad.id)
        assert ad.id in server.ads()
        with pytest.raises(KeyError):
            server.restore(ad.id)
        with pytest.raises(KeyError):
            server.set_price("1" * 17, 1)


class TestWhatIsRecorded:
    def test_every_request_with_what_it_was_for(self, server: MarketServer) -> None:
        ad = next(ad for ad in server.ads().values() if ad.make == "audi")
        before = time.monotonic()
        for url in (server.list_url("bmw", model="x5", page=3, sort=6), server.ad_url(ad.id), server.sitemap_url,
                    f"{server.url}/robots.txt", f"{server.url}/pcgi/x", f"{server.url}/users/login"):  # fmt: skip
            ask(url)
        asked = server.requests
        assert [(r.kind, r.make, r.model, r.page, r.sort, r.status) for r in asked] == [
            ("list", "bmw", "x5", 3, 6, 200),
            ("detail", "audi", None, None, None, 200),
            ("sitemap", None, None, None, None, 200),
            ("robots", None, None, None, None, 200),
            ("other", None, None, None, None, 404),
            ("login", None, None, None, None, 200),
        ]
        assert asked[1].ad == ad.id
        assert (asked[0].query, asked[0].region) == ("sort=6", None)
        assert before <= asked[0].at <= asked[-1].at <= time.monotonic()
        assert len({r.peer_port for r in asked}) == len(asked)
        server.clear_requests()
        assert server.requests == []

    def test_the_same_over_http(self, server: MarketServer) -> None:
        control = f"{server.url}/control"
        order = {"name": "captcha", "times": 1, "options": {"makes": ["bmw"], "pages": [2], "kinds": ["list"]}}
        assert ask(f"{control}/fault", method="POST", body=json.dumps(order)).status == 200
        assert ids(ask(server.list_url("bmw")).page)
        assert ask(server.list_url("bmw", page=2)).body.count(b"g-recaptcha") == 1
        told = json.loads(ask(f"{control}/requests").body)
        assert [request["fault"] for request in told] == [None, "captcha"]
        assert ask(f"{control}/requests", method="DELETE").status == 200
        assert server.requests == []
        server.fault("captcha")
        ask(f"{control}/fault", method="DELETE")
        assert ids(ask(server.list_url("bmw")).page)
        changes = json.loads(ask(f"{control}/advance", method="POST", body='{"new": 3, "gone": 2}').body)
        assert [len(changes[name]) for name in ("new", "changed", "gone", "back")] == [3, 60, 2, 0]
        assert len(json.loads(ask(f"{control}/advance", method="POST").body)["new"]) == 40
        ads = json.loads(ask(f"{control}/ads").body)
        assert ads.keys() == server.ads().keys()
        ad = server.ads()[changes["new"][0]]
        assert ads[ad.id]["price"] == (None if ad.price is None else str(ad.price))
        assert (ads[ad.id]["make"], ads[ad.id]["path"]) == (ad.make, ad.path)

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("fault", '{"name": "no_such"}'),
            ("fault", '{"name": "reset", "options": {"makes": ["volkswagen"]}}'),
            ("fault", "{}"),
            ("advance", '{"new": "many"}'),
            ("advance", '{"older": 1}'),
            ("advance", "["),
        ],
    )
    def test_a_wrong_order_is_refused(self, server: MarketServer, path: str, body: str) -> None:
        answer = ask(f"{server.url}/control/{path}", method="POST", body=body)
        assert (answer.status, "error" in json.loads(answer.body)) == (400, True)


class TestFaults:
    @pytest.mark.parametrize(
        ("name", "options", "status", "mark"),
        [
            ("forbidden_403", {}, 403, b"Access denied"),
            ("rate_limited_429", {"retry_after": 7}, 429, b""),
            ("challenge_403", {}, 403, b"<title>Just a moment...</title>"),
            ("challenge_200", {}, 200, b"<title>Just a moment...</title>"),
            ("challenge_200", {"kind": "incapsula"}, 200, b"_Incapsula_Resource"),
            ("captcha", {}, 200, b"g-recaptcha"),
            ("captcha", {"status": 403}, 403, b"g-recaptcha"),
            ("server_error", {}, 500, b""),
            ("server_error", {"status": 503}, 503, b""),
            ("redirect_login", {}, 302, b""),
            ("redirect_host", {"target": "http://127.0.0.1:9/x"}, 302, b""),
            ("redirect_private", {}, 302, b""),
        ],
    )
    def test_what_comes_instead_of_a_page(
        self, server: MarketServer, name: str, options: dict[str, Any], status: int, mark: bytes
    ) -> None:
        server.fault(name, 3, **options)
        for url in (server.list_url("bmw"), server.ad_url(next(iter(server.ads()))), server.sitemap_url):
            answer = ask(url)
            assert answer.status == status
            assert mark in answer.body
            assert b"ida1" not in answer.body
            if name == "rate_limited_429":
                assert answer.headers["retry-after"] == "7"
            if name == "challenge_403":
                assert answer.headers["cf-mitigated"] == "challenge"
            if status == 302:
                assert (
                    answer.headers["location"]
                    == {
                        "redirect_login": f"{server.url}/users/login",
                        "redirect_host": "http://127.0.0.1:9/x",
                        "redirect_private": "http://169.254.169.254/latest/meta-data/",
                    }[name]
                )
        assert [request.fault for request in server.requests] == [name] * 3
        assert ask(server.list_url("bmw")).status == 200

    @pytest.mark.parametrize("at", [0, 0.5])
    def test_reset(self, server: MarketServer, at: float) -> None:
        server.fault("reset", 1, at=at)
        with pytest.raises((ConnectionResetError, http.client.HTTPException)):
            ask(server.list_url("bmw"))

    def test_truncated_length(self, server: MarketServer) -> None:
        server.fault("truncated_length", 1)
        with pytest.raises(http.client.IncompleteRead):
            ask(server.list_url("bmw"))

    def test_tarpit_goes_on_until_the_server_stops(self) -> None:
        server = MarketServer(ads=50)
        server.start()
        server.fault("tarpit")
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(ask, server.list_url())
            while not server.requests or not server.requests[0].status:
                time.sleep(0.01)
            server.stop()
            with pytest.raises((http.client.HTTPException, OSError)):
                answer.result(20)

    def test_truncated_page_is_complete_for_the_protocol(self, server: MarketServer) -> None:
        whole = ask(server.list_url("bmw"))
        server.fault("truncated_page", 1, at=0.4)
        part = ask(server.list_url("bmw"))
        assert (part.status, int(part.headers["content-length"])) == (200, len(part.body))
        assert whole.body.startswith(part.body)
        assert 0 < len(ids(part.page)) < len(ids(whole.page))
        assert total(part.page) == total(whole.page)
        assert part.page.css("link[rel=next]") != []

    def test_empty_page_has_neither_card_nor_total(self, server: MarketServer) -> None:
        server.fault("empty_page", 1)
        answer = ask(server.list_url("bmw"))
        assert answer.status == 200
        assert (ids(answer.page), total(answer.page), "общо" in answer.text) == ([], None, False)
        assert "Резултат от Вашето търсене" in answer.text

    @pytest.mark.parametrize("described", [True, False])
    def test_no_total_but_for_the_one_in_the_description(self, server: MarketServer, described: bool) -> None:
        whole = ask(server.list_url("bmw"))
        server.fault("no_total", 1, described=described)
        answer = ask(server.list_url("bmw"))
        assert (ids(answer.page), total(answer.page)) == (ids(whole.page), None)
        assert ("Избор от »" in answer.text) is described

    def test_other_total(self, server: MarketServer) -> None:
        whole = ask(server.list_url("bmw"))
        server.fault("other_total", 1, by=-7)
        answer = ask(server.list_url("bmw"))
        assert (ids(answer.page), total(answer.page)) == (ids(whole.page), ("1", "20", "88"))
        assert "» 88 «" in answer.text
        server.fault("other_total", 1, by=1000)
        assert total(ask(server.list_url("bmw")).page) == ("1", "20", "1095")

    @pytest.mark.parametrize("name", ["changed_layout", "no_prices"])
    def test_cards_are_there_and_fields_are_not(self, server: MarketServer, name: str) -> None:
        whole = ask(server.list_url()).page
        server.fault(name)
        page = ask(server.list_url()).page
        assert ids(page) == ids(whole)
        assert texts(page, "a.title") == texts(whole, "a.title")
        assert "".join(texts(page, ".item .price div")) == ""
        assert [bool(node.css(".item .price div")) for node in (whole, page)] == [True, name == "no_prices"]
        assert bool(page.css(".item .params span")) == (name == "no_prices")
        detail = ask(server.ad_url(next(ad.id for ad in server.ads().values() if ad.price))).page
        assert "".join(texts(detail, ".Price")) == ""
        assert "showpricechange" not in detail.get()
        assert bool(detail.css(".mpLabel")) == (name == "no_prices")

    def test_wrong_charset(self, server: MarketServer) -> None:
        whole = ask(server.list_url("bmw"))
        server.fault("wrong_charset", 1)
        answer = ask(server.list_url("bmw"))
        assert (answer.body, answer.headers["content-type"]) == (whole.body, "text/html; charset=utf-8")
        server.fault("wrong_charset", 1, body="utf-8")
        answer = ask(server.list_url("bmw"))
        assert answer.headers["content-type"] == whole.headers["content-type"]
        assert answer.body.decode() == whole.text
        server.fault("wrong_charset", 1, body="mojibake")
        answer = ask(server.list_url("bmw"))
        assert answer.text.encode("latin-1").decode("windows-1251") == whole.text
        assert "общо" not in answer.text
        with pytest.raises(ValueError, match="unknown body 'koi8-r'"):
            server.fault("wrong_charset", body="koi8-r")

    def test_repeated_page(self, server: MarketServer) -> None:
        server.fault("repeated_page", pages=[3])
        pages = [ask(server.list_url("bmw", page=page)).page for page in (1, 2, 3)]
        assert ids(pages[2]) == ids(pages[0]) != ids(pages[1])
        assert pages[2].css("a.next::attr(href)").get() == server.list_url("bmw", page=2), "round and round"

    def test_no_next(self, server: MarketServer) -> None:
        whole = ask(server.list_url("bmw")).page
        server.fault("no_next", 1)
        page = ask(server.list_url("bmw")).page
        assert (ids(page), total(page)) == (ids(whole), total(whole))
        assert page.css("a.next, link[rel=next]") == []

    def test_a_fault_waits_for_the_request_it_is_meant_for(self, server: MarketServer) -> None:
        server.fault("server_error", 1, makes=["audi"])
        server.fault("server_error", 1, kinds=["detail"], status=502)
        server.fault("server_error", 1, pages=[2], status=503)
        bmw = next(ad.id for ad in server.ads().values() if ad.make == "bmw")
        urls = [server.list_url("bmw"), server.list_url("bmw", page=2), server.ad_url(bmw), server.list_url("audi")]
        assert [ask(url).status for url in urls] == [200, 503, 502, 500]
        assert [ask(url).status for url in urls] == [200] * 4
        server.fault("server_error")
        server.clear_faults()
        assert ask(urls[0]).status == 200

    def test_what_cannot_be_is_refused(self, server: MarketServer) -> None:
        with pytest.raises(ValueError, match="unknown fault"):
            server.fault("no_such")
        with pytest.raises(ValueError, match="unknown make volkswagen"):
            server.fault("reset", makes=["volkswagen"])
        with pytest.raises(ValueError, match="unknown kind home"):
            server.fault("reset", kinds=["home"])  # type: ignore[list-item]
        with pytest.raises(ValueError, match="does not apply to photo"):
            server.fault("no_next", kinds=["photo"])
        with pytest.raises(ValueError, match="no option speed"):
            server.fault("reset", speed=1)
        with pytest.raises(ValueError, match="at least 1"):
            server.fault("reset", 0)

    def test_every_fault_has_its_test(self) -> None:
        text = Path(__file__).read_text(encoding="utf-8")
        assert [name for name in FAULT_NAMES if f'"{name}"' not in text] == []

    def test_the_server_takes_no_other_layout(self) -> None:
        with pytest.raises(ValueError, match="unknown layout 'grid'"):
            MarketServer(ads=0, layout="grid")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="page_limit"):
            MarketServer(ads=0, page_limit=0)


class TestAMarketWithAClock:
    def test_the_site_follows_the_clock(self) -> None:
        with MarketServer(market=LiveMarket(ads=200, new_a_day=400)) as server:
            control = f"{server.url}/control"

            def told(what: str, order: str | None = None) -> Any:
                return json.loads(ask(f"{control}/{what}", method="POST" if order else "GET", body=order).body)

            before = ids(ask(server.list_url(sort=6)).page)
            assert told("clock") == {"now": NOW.isoformat(), "real": pytest.approx(time.time(), abs=60), "speed": 0}
            assert told("clock", '{"hours": 6}')["now"] == (NOW + timedelta(hours=6)).isoformat()
            page = ask(server.list_url(sort=6)).page
            assert {*own(server, page)}.isdisjoint(before)
            assert own(server, page) == [ad.id for ad in server.market.listing(sort=6).ads[:20]]
            assert ask(server.ad_url(ids(page)[-1])).status == 200
            assert told("clock", '{"speed": 3600}')["speed"] == 3600
            while server.market.now < NOW + timedelta(hours=7):
                time.sleep(0.01)
            history = told("history")
            assert {ad_id for ad_id, _, _, left, _ in history if left is None} <= {*server.ads()}
            assert (sum(told("tally")["requests"].values()), told("tally")["requests"]["list_all"]) == (3, 2)
            assert ask(f"{control}/tally", method="DELETE").status == 200
            assert told("tally") == {"requests": {}, "total": 0, "gaps": {}}
            assert ask(f"{control}/advance", method="POST").status == 400
            for order in ('{"speed": -1}', '{"hours": "x"}', "["):
                assert ask(f"{control}/clock", method="POST", body=order).status == 400
        with MarketServer(ads=20) as server:
            assert ask(f"{server.url}/control/clock", method="POST", body='{"speed": 2}').status == 400

    def test_it_is_served_by_the_command(self) -> None:
        environment: dict[str, Any] = {**os.environ, "PYTHONPATH": str(Path(market.__file__).parents[1])}
        command = [sys.executable, "-W", "error", "-m", "standin.market", "serve", "--market", "real", "--seed", "3"]
        command += ["--ads", "120", "--speed", "60", "--new-a-day", "7"]
        with child(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
            assert json.loads(ask(f"{told['url']}/control/clock").body)["speed"] == 60
            first = {ad_id for ad_id, *_ in LiveMarket(seed=3, ads=120, new_a_day=7).history()}
            assert first <= {ad_id for ad_id, *_ in json.loads(ask(f"{told['url']}/control/history").body)}
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0


class TestCommandLine:
    def test_serve_says_where_and_stops_cleanly(self) -> None:
        environment: dict[str, Any] = {**os.environ, "PYTHONPATH": str(Path(market.__file__).parents[1])}
        command = [sys.executable, "-W", "error", "-m", "standin.market", "serve", "--seed", "3", "--ads", "60"]
        command += ["--make-ads", "bmw=41", "--layout", "stray_div", "--page-limit", "2", "--repeats", "0"]
        with child(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            told = json.loads(process.stdout.readline())
            assert told.keys() == {"url", "list_url", "sitemap_url", "robots_url"}
            page = ask(f"{told['list_url']}/bmw?sort=6").page
            assert total(page) == ("1", "20", "40+")
            listed = AdMarket(seed=3, ads=60, make_ads={"bmw": 41}).listing("bmw", sort=6).ads
            assert ids(page) == [ad.id for ad in listed[:20]]
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
            assert process.stderr.read() == b""

    def test_what_cannot_be_served_is_an_error(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert market.main(["serve", "--host", "0.0.0.0"]) == 1
        assert "loopback only" in capsys.readouterr().err
        assert market.main(["serve", "--make-ads", "lada=3"]) == 1
        assert "unknown make lada" in capsys.readouterr().err
        with pytest.raises(SystemExit):
            market.main(["serve", "--now", "2026-07-01T09:00"])
        assert "--now" in capsys.readouterr().err
