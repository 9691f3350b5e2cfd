"""Pages whose fields stop filling are told from pages that are as ever."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial

import pytest
from scrapy.http import HtmlResponse

from vinops_scrapy.items import Listing
from vinops_scrapy.listings import fill_rates
from vinops_scrapy.listings.fill_rates import ENOUGH
from vinops_scrapy.pages import mobile_bg
from vinops_scrapy.spiders.mobile_bg import MobileBg

FULL = Listing(
    source="a",
    ad_id="1",
    url="",
    title="",
    posted_at=datetime(2026, 7, 1, tzinfo=UTC),
    price_eur=Decimal(1000),
    year=2015,
    mileage_km=100_000,
    fuel="a",
    gearbox="b",
    power_hp=100,
    region="c",
    description="d",
    photo_urls=("e",),
)
FillRates = partial(fill_rates.FillRates, ordinary=MobileBg.ordinary)
LATELY = {"price_eur": 0.97, "year": 0.99, "gearbox": 0.5, "power_hp": 0.95, "description": 0.02}


def test_a_page_as_ever_is_none() -> None:
    assert FillRates(0, {}).stopped([FULL] * 20) == ()
    assert FillRates(5000, LATELY).stopped([FULL] * 20) == ()


def test_an_empty_page_says_nothing() -> None:
    assert FillRates(5000, LATELY).stopped([]) == ()


def test_a_field_that_is_gone_from_a_page_is_named() -> None:
    page = [replace(FULL, price_eur=None, photo_urls=())] * 20
    assert FillRates(0, {}).stopped(page) == ("price_eur", "photo_urls")


def test_the_past_says_what_is_ordinary() -> None:
    page = [replace(FULL, gearbox=None, description=None)] * 20
    assert FillRates(0, {}).stopped(page) == ()
    assert FillRates(ENOUGH - 1, {"gearbox": 1}).stopped(page) == ()
    assert FillRates(ENOUGH, {"gearbox": 1}).stopped(page) == ("gearbox",)
    rare = {"gearbox": 0.5, "description": 0.02, "price_eur": 0.9}
    assert FillRates(5000, rare).stopped(page) == ("gearbox",)


def test_two_ads_say_too_little_and_pages_add_up() -> None:
    rates = FillRates(5000, LATELY)
    few = [replace(FULL, power_hp=None)] * 2
    assert rates.stopped(few) == ()
    assert rates.stopped(few) == ()
    assert rates.stopped(few) == ("power_hp",)


def test_a_list_by_price_has_pages_of_ads_without_one() -> None:
    rates = FillRates(5000, LATELY)
    page = [replace(FULL, price_eur=None)] * 20
    assert rates.stopped(page, ordered_by="price_eur") == ()
    assert rates.stopped(page[:2]) == (), "the page by price does not count with others"
    assert rates.stopped([replace(each, power_hp=None) for each in page], ordered_by="price_eur") == ("power_hp",)


@pytest.mark.parametrize(
    ("query", "field"), [("?sort=3", "price_eur"), ("?sort=5", "mileage_km"), ("?sort=6", None), ("", None)]
)
def test_a_page_names_the_field_that_its_list_is_ordered_by(query: str, field: str | None) -> None:
    body = "<html>0 от общо 0 обяви</html>".encode()
    assert mobile_bg.list_page(HtmlResponse(f"https://a.bg/obiavi{query}", body=body)).ordered_by == field


def test_ordinary_gaps_never_raise_an_alarm() -> None:
    drawn = random.Random(1)
    rates = FillRates(5000, {"gearbox": 0.7, "power_hp": 0.6, "price_eur": 0.9})
    for _ in range(5000):
        page = [
            replace(
                FULL,
                gearbox="b" if drawn.random() < 0.7 else None,
                power_hp=1 if drawn.random() < 0.6 else None,
                price_eur=Decimal(1) if drawn.random() < 0.9 else None,
            )
            for _ in range(20)
        ]
        assert rates.stopped(page) == ()
