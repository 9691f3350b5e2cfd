"""Pages as they really came, where there are some beside the repository.

They are the photo lists, the refusals and the advertisements in the folder that VINOPS_SHARED_DATA names, else in
`../shared/data`. None of them is part of the repository: the recorded pages of tests/pages are written by us.
"""

from __future__ import annotations

import json
import os
from dataclasses import fields as fields_of
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from scrapy.http import HtmlResponse, TextResponse

from vinops_scrapy.items import Listing
from vinops_scrapy.pages import copart, mobile_bg
from vinops_scrapy.pages.errors import PageError
from vinops_scrapy.pages.refusals import refusal

if TYPE_CHECKING:
    from vinops_scrapy.items import ListPage, PhotoList
    from vinops_scrapy.pages.refusals import Expects, Kind

DATA = Path(os.environ.get("VINOPS_SHARED_DATA") or Path(__file__).parents[4] / "shared" / "data")
INVENTORY = DATA / "copart_lotImages_inventoryv2_shape.json"
SOLR = DATA / "copart_solr_lotImages_shapes.json"
ADVERTISEMENTS = sorted([*DATA.glob("mobilebg_*.html"), *DATA.glob("autobg_*.html")])

BEST = DATA / "mobilebg_list_2025-10_best.html"
FILTERED = DATA / "mobilebg_list_2025-10-30.html"
DETAIL = DATA / "mobilebg_detail_2025-11-20_cp1251.html"
MARKET = "https://www.mobile.bg"
ALL_ADS = f"{MARKET}/obiavi/avtomobili-dzhipove"

LIST = "https://inventoryv2.copart.io/v1/lotImages/1"
LOT = "https://www.copart.com/lot/1"

pytestmark = pytest.mark.skipif(
    not (INVENTORY.exists() and SOLR.exists() and ADVERTISEMENTS),
    reason="the real pages are not here: name their folder in VINOPS_SHARED_DATA",
)


def photos(listed: PhotoList) -> list[tuple[int, str, str]]:
    """Return number, size and letter of each photo: the names of the samples are one letter over and over."""
    return [(photo.seq, photo.variant, photo.url.rpartition("/")[2][0]) for photo in listed.photos]


def test_the_list_of_the_feed() -> None:
    response = TextResponse(LIST, body=INVENTORY.read_bytes())
    listed = copart.photo_list(response)
    assert photos(listed) == [(1, "ful", "a"), (2, "hrs", "b")]
    assert (listed.announced, listed.left_out) == (3, {"thumbnail": 1, "sound": 1})
    assert photos(copart.photo_list(response, thumbnails=True)) == [(1, "ful", "a"), (2, "hrs", "b"), (2, "thb", "b")]
    assert refusal(response, expects="json") is None


@pytest.mark.parametrize("shape", ["old_dict_form", "new_list_form"])
def test_the_lists_of_the_site(shape: str) -> None:
    body = json.dumps(json.loads(SOLR.read_text(encoding="utf-8"))[shape]).encode()
    assert photos(copart.photo_list(TextResponse(LIST, body=body))) == [(1, "hrs", "a")]


def test_the_list_of_the_site_under_its_other_name() -> None:
    shapes = json.loads(SOLR.read_text(encoding="utf-8"))
    data = shapes["new_list_form_alt_key"]
    with pytest.raises(PageError, match="not_photos"):
        copart.photo_list(TextResponse(LIST, body=json.dumps(data).encode()))
    assert data["data"]["imagesList"] == {"IMAGE": []}
    data["data"]["imagesList"]["IMAGE"] = shapes["new_list_form"]["data"]["imagesList"]["content"]
    listed = copart.photo_list(TextResponse(LIST, body=json.dumps(data).encode()))
    assert photos(listed) == [(1, "hrs", "a")]


def test_every_shape_is_looked_at() -> None:
    shapes = {name for name, value in json.loads(SOLR.read_text(encoding="utf-8")).items() if isinstance(value, dict)}
    assert shapes == {"old_dict_form", "new_list_form", "new_list_form_alt_key"}


@pytest.mark.parametrize(
    ("name", "expects", "kind"),
    [
        ("block_incapsula_js.html", "json", "challenge"),
        ("block_incapsula_js.html", "image", "challenge"),
        ("block_incapsula_js.html", "page", "challenge"),
        ("block_copart_feed_denied.html", "json", "html"),
        ("block_copart_feed_denied.html", "page", "forbidden"),
    ],
)
def test_a_refusal_is_told_whatever_was_asked(name: str, expects: Expects, kind: Kind) -> None:
    response = HtmlResponse(LOT, body=(DATA / name).read_bytes())
    assert refusal(response, expects=expects) == kind
    for function in (copart.photo_list, copart.lot_page):
        with pytest.raises(PageError):
            function(response)


@pytest.mark.parametrize("path", ADVERTISEMENTS, ids=lambda path: path.stem)
def test_an_advertisement_is_no_refusal_though_it_loads_the_scripts_of_captchas(path: Path) -> None:
    response = HtmlResponse("https://www.mobile.bg/obiava-1", body=path.read_bytes())
    assert refusal(response, expects="page") is None
    assert refusal(response, expects="json") == "html"
    with pytest.raises(PageError) as caught:
        copart.lot_page(response)
    assert caught.value.reason == "not_a_lot"


def test_some_advertisements_do_load_them() -> None:
    loading = [path.stem for path in ADVERTISEMENTS if b"captcha" in path.read_bytes().lower()]
    assert len(loading) > 2, "the test above proves nothing"


def market_page(path: Path) -> ListPage:
    """Return what a real page of a list gives; the header that Scrapy would believe is wrong on purpose."""
    headers = {"Content-Type": "text/html; charset=utf-8"}
    return mobile_bg.list_page(HtmlResponse(ALL_ADS, body=path.read_bytes(), headers=headers))


def filled(ads: tuple[Listing, ...]) -> dict[str, int]:
    """Return of how many ads each field is filled, without those that are of all."""
    names = [field.name for field in fields_of(Listing)]
    counts = {name: sum(getattr(ad, name) not in (None, (), False) for ad in ads) for name in names}
    return {name: count for name, count in counts.items() if count < len(ads)}


def test_a_list_as_a_browser_saved_it() -> None:
    page = market_page(BEST)
    assert (len(page.listings), page.total, page.page, page.left_out) == (20, 125_234, 1, {})
    assert page.next_url == f"{ALL_ADS}/p-2"
    # Counted by eye: three cars without a displacement (one is electric), one without a colour, four without a class.
    assert filled(page.listings) == {
        "engine_cc": 17, "colour": 19, "euro_class": 16, "equipment": 19, "is_new": 16, "dropped": 0,
    }  # fmt: skip


def test_a_list_as_the_server_sent_it() -> None:
    page = market_page(FILTERED)
    assert (len(page.listings), page.total, page.page, page.left_out) == (20, 2451, 1, {})
    assert page.next_url == f"{ALL_ADS}/ot-2010/oblast-sofiya/p-2?price=8000&price1=12000"
    # Two cars without a displacement, and one of 19,000 cc.
    assert filled(page.listings) == {"engine_cc": 17, "euro_class": 19, "equipment": 19, "is_new": 3, "dropped": 1}
    assert [ad.dropped for ad in page.listings if ad.dropped] == [("engine_cc",)]


@pytest.mark.parametrize(
    ("path", "place", "fields"),
    [
        (
            BEST,
            0,
            {
                "make_text": "Audi", "model_text": "A6", "price": Decimal("21423.13"), "currency": "EUR",
                "vat": "exempt", "year": 2019, "month": 1, "mileage_km": 190_000, "fuel": "Дизелов",
                "gearbox": "Автоматична", "body": "Седан", "power_hp": 231, "engine_cc": 3_000, "colour": "Черен",
                "euro_class": None, "region": "Бургас", "place": "Бургас", "seller_kind": "private",
                "photo_count": 10, "is_new": True, "promotion": "best",
            },
        ),
        (
            BEST,
            4,
            {
                "make_text": "Geely", "price": Decimal("22445.71"), "vat": "included", "year": 2025, "month": 9,
                "mileage_km": 1, "fuel": "Електрически", "power_hp": 95, "engine_cc": None, "colour": "Графит",
                "euro_class": 6, "seller_kind": "dealer", "photo_count": 15, "body": "Хечбек",
            },
        ),
        (
            BEST,
            7,
            {
                "make_text": "Lamborghini", "model_text": "Urus", "price": Decimal(194_499), "currency": "EUR",
                "price_eur": Decimal(194_499), "year": 2019, "mileage_km": 55_000, "power_hp": 650, "body": "Джип",
            },
        ),
        (
            BEST,
            12,
            {
                "make_text": "Toyota", "model_text": "Land cruiser", "vat": "included", "mileage_km": 104_042,
                "engine_cc": 2_755, "photo_count": 17,
            },
        ),
        (
            BEST,
            19,
            {
                "make_text": "Alfa Romeo", "model_text": "Giulietta", "promotion": "top", "is_new": False,
                "region": "Дупница", "place": "Дупница", "equipment": (), "euro_class": 5,
            },
        ),
        (
            FILTERED,
            1,
            {
                "make_text": "Audi", "model_text": "A3", "price": Decimal("5619.10"), "year": 2010, "month": 2,
                "mileage_km": 192_000, "colour": "Светло сив", "engine_cc": None, "dropped": ("engine_cc",),
            },
        ),
        (
            FILTERED,
            9,
            {
                "make_text": "Citroen", "model_text": "Grand C4 Picasso", "vat": "included", "power_hp": 99,
                "euro_class": None, "seller_kind": "private", "body": "Ван", "gearbox": "Ръчна",
            },
        ),
        (
            FILTERED,
            12,
            {
                "make_text": "Dacia", "mileage_km": 77_700, "region": "София", "place": "Вакарел",
                "seller_kind": "dealer", "photo_count": 13, "fuel": "Бензинов",
            },
        ),
    ],
)  # fmt: skip
def test_an_ad_of_a_real_list(path: Path, place: int, fields: dict[str, Any]) -> None:
    ad = market_page(path).listings[place]
    assert {name: getattr(ad, name) for name in fields} == fields


@pytest.mark.parametrize("path", [BEST, FILTERED], ids=lambda path: path.stem)
def test_what_holds_for_each_ad_of_a_real_list(path: Path) -> None:
    for ad in market_page(path).listings:
        assert ad.url.startswith(f"{MARKET}/obiava-{ad.ad_id}-")
        assert ad.posted_at < datetime(2025, 11, 1, tzinfo=UTC)
        assert len(ad.photo_urls) == 4
        assert all(url.startswith("https://") and ad.ad_id in url for url in ad.photo_urls)
        assert all(len(name) < 60 for name in ad.equipment)
        assert "Особености - " not in (ad.description or "")


def test_phone_numbers_of_real_ads_are_masked() -> None:
    texts = [ad.description or "" for path in (BEST, FILTERED) for ad in market_page(path).listings]
    assert sum("[phone]" in text for text in texts) == 6
    assert not [text for text in texts if "@" in text]


def test_the_page_of_a_real_ad() -> None:
    ad = mobile_bg.listing(HtmlResponse(f"{MARKET}/obiava-21763479073567852", body=DETAIL.read_bytes()))
    assert ad.url == f"{MARKET}/obiava-{ad.ad_id}-dodge-ram-1500"
    assert (ad.make_text, ad.model_text, ad.year, ad.month) == ("Dodge", "RAM 1500", 2022, 12)
    assert (ad.price, ad.currency, ad.price_eur, ad.vat) == (Decimal(68_000), "EUR", Decimal(68_000), "exempt")
    assert (ad.mileage_km, ad.power_hp, ad.engine_cc, ad.euro_class) == (40_000, 285, None, 6)
    assert (ad.fuel, ad.gearbox, ad.body, ad.colour) == ("Дизелов", "Автоматична", "Пикап", "Бял")
    assert (ad.region, ad.place, ad.seller_kind) == ("Стара Загора", "Казанлък", "private")
    assert (ad.photo_count, len(ad.photo_urls), len(ad.equipment)) == (17, 17, 61)
    assert (ad.promotion, ad.dropped) == ("best", ())
    assert ad.description


@pytest.mark.parametrize("path", [BEST, FILTERED], ids=lambda path: path.stem)
def test_a_real_list_cut_off_is_no_list(path: Path) -> None:
    body = path.read_bytes()
    for part in (1, 2, 3):
        with pytest.raises(PageError, match="truncated"):
            mobile_bg.list_page(HtmlResponse(ALL_ADS, body=body[: len(body) * part // 4]))


@pytest.mark.parametrize("path", ADVERTISEMENTS, ids=lambda path: path.stem)
def test_a_page_of_another_kind_is_no_list_and_no_ad(path: Path) -> None:
    response = HtmlResponse(f"{MARKET}/obiavi/motori", body=path.read_bytes())
    if not path.stem.startswith("mobilebg_list"):
        with pytest.raises(PageError):
            mobile_bg.list_page(response)
    if not path.stem.startswith("mobilebg_detail"):
        with pytest.raises(PageError):
            mobile_bg.listing(response)
