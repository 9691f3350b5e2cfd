"""Whatever a host answers, a page function returns its item or raises PageError: nothing else.

VINOPS_PROPERTY_CASES=50000 .venv/bin/pytest tests/pages tries 50,000 answers of each kind.
"""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any, get_args

import pytest
from hypothesis import example, given, strategies as st
from scrapy.http import HtmlResponse, Response, TextResponse

from tests.property.cases import many
from vinops_scrapy.items import Listing, ListPage, PhotoList
from vinops_scrapy.pages import copart, mobile_bg, refusals
from vinops_scrapy.pages.errors import PageError
from vinops_scrapy.pages.masking import masked
from vinops_scrapy.pages.refusals import AT_ONCE, Expects, Kind, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

LIST = "https://inventoryv2.copart.io/v1/lotImages/1"
LOT = "https://www.copart.com/lot/1"
CDN = "https://cs.copart.com/v1/"
REASONS = {"bad_json", "not_photos", "no_gallery", "not_a_lot"}
KEYS = [
    "imgCount", "lotImages", "sequence", "link", "url", "isThumbNail", "isHdImage", "isEngineSound", "isBlurred",
    "data", "imagesList", "FULL_IMAGE", "THUMBNAIL_IMAGE", "HIGH_RESOLUTION_IMAGE", "content", "IMAGE",
    "sequenceNumber", "imageSeqNumber", "fullUrl", "thumbnailUrl", "highResUrl",
]  # fmt: skip

urls = st.builds(
    "{}{}{}{}".format,
    st.sampled_from([CDN, CDN.replace("https", "http"), "http://127.0.0.1:8001/", "http://[::1", "//", "", "ftp://a/"]),
    st.sampled_from(["a", "b", "c/d", "ü", "", "a b", "\ud800"]),
    st.sampled_from(["_hrs", "_ful", "_thb", "_vful", "_vhrs", "", "_HRS"]),
    st.sampled_from([".jpg", ".JPG", ".png", ".mp3", ".mp4", ".gif", "", ".jpg ", ".jpg?v=1", ".jpg#a"]),
)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), urls)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=20,
)
links = st.fixed_dictionaries(
    {"url": urls},
    optional={key: st.sampled_from([True, False, None, "true"]) for key in KEYS[5:9]},
)
images = st.fixed_dictionaries(
    {"sequence": st.one_of(st.integers(-1, 95), scalars), "link": st.lists(links | anything, max_size=5)}
)
lists = st.fixed_dictionaries({"imgCount": scalars, "lotImages": st.lists(images, max_size=6)})
near = st.one_of(lists, anything.map(lambda inner: {"data": {"imagesList": inner}}), anything)


def read(function: Callable[[], PhotoList]) -> PhotoList | None:
    """Return the photos, or None for a PageError; whatever else is raised is a fault."""
    try:
        found = function()
    except PageError as error:
        reason = error.reason
    else:
        assert isinstance(found, PhotoList)
        return found
    assert reason in REASONS
    return None


def check(found: PhotoList) -> None:
    """Assert what holds for every list of photos."""
    numbers = [photo.seq for photo in found.photos]
    assert numbers == sorted(numbers)
    assert all(0 <= number < 2**31 for number in (*numbers, found.announced))
    addresses = [photo.url for photo in found.photos]
    assert len(addresses) == len(set(addresses))
    for url in addresses:
        assert url.startswith(("https://", "http://127.0.0.1:8001/"))
        assert url.isascii()
        assert " " not in url
    assert set(found.left_out) <= {"sound", "video", "thumbnail", "blurred", "unreadable"}
    assert all(count > 0 for count in found.left_out.values())


@many
@given(data=near, thumbnails=st.booleans())
@example(data={"imgCount": float("inf"), "lotImages": []}, thumbnails=False)
@example(data={"imgCount": "0\x1f", "lotImages": []}, thumbnails=False)
@example(
    data={"imgCount": 10**30, "lotImages": [{"sequence": 10**30, "link": [{"url": CDN + "a.jpg"}]}]}, thumbnails=False
)
def test_any_json_is_a_list_of_photos_or_a_page_error(data: Any, *, thumbnails: bool) -> None:
    response = TextResponse(LIST, body=json.dumps(data).encode())
    found = read(lambda: copart.photo_list(response, thumbnails=thumbnails))
    if found is not None:
        check(found)
        assert thumbnails or all(photo.variant != "thb" for photo in found.photos)
        assert found == copart.photo_list(response, thumbnails=thumbnails)


@many
@given(data=lists)
def test_the_order_of_a_list_and_of_its_links_changes_no_photo(data: dict[str, Any]) -> None:
    turned = {
        **data,
        "lotImages": [
            {"sequence": image["sequence"], "link": image["link"][::-1]}
            for image in data["lotImages"][::-1]
            if copart._number(image["sequence"]) is not None  # the others are numbered by their place
        ],
    }
    straight = {**turned, "lotImages": turned["lotImages"][::-1]}
    found = [
        read(lambda data=data: copart.photo_list(TextResponse(LIST, body=json.dumps(data).encode())))  # type: ignore[misc]
        for data in (straight, turned)
    ]
    assert (found[0] is None) == (found[1] is None)
    if found[0] and found[1]:
        assert {(photo.seq, photo.url) for photo in found[0].photos} == {
            (photo.seq, photo.url) for photo in found[1].photos
        }
        assert found[0].left_out == found[1].left_out


@many
@given(body=st.binary(max_size=200))
@example(body=b"[" * 100_000)
@example(body=b'{"imgCount": ' + b"9" * 5_000 + b"}")
@example(body=b"\xff\xfe{\x00}\x00")
@example(body=b"")
def test_any_bytes_are_a_list_of_photos_or_a_page_error(body: bytes) -> None:
    for kind in (TextResponse, Response):
        read(lambda kind=kind: copart.photo_list(kind(LIST, body=body)))  # type: ignore[misc]


PIECES = [
    '<div class="image-galleria_wrap">', '<div class="lot-image-gallery">', '<div class="image-gallery-slide">',
    "</div>", '<h1 class="title">Lot # 1</h1>', f'<img class="thumbnailImg" src="{CDN}a_thb.jpg">',
    f'<img src="{CDN}b_ful.jpg">', f'<img data-src="{CDN}c_thb.jpg">', '<a href="/image/1">', "</a>",
    '<img class="thumbnailImg" full-url="http://[::1">', '<base href="http://[::1">', '<base href="ftp://a/">',
    "<script>", "</script>", "<!--", "\0", "é", "<p>", "<![CDATA[",
]  # fmt: skip


@many
@given(
    body=st.one_of(st.binary(max_size=100), st.lists(st.sampled_from(PIECES), max_size=12).map("".join).map(str.encode))
)
@example(body=b"<div>" * 20_000)
@example(body=b'{"a": 1}')
def test_any_bytes_are_a_lot_page_or_a_page_error(body: bytes) -> None:
    for kind in (HtmlResponse, TextResponse, Response):
        found = read(lambda kind=kind: copart.lot_page(kind(LOT, body=body)))  # type: ignore[misc]
        if found is not None:
            check(found)
            assert [photo.seq for photo in found.photos] == list(range(1, len(found.photos) + 1))
            assert all(photo.variant != "thb" for photo in found.photos)


AD = "https://www.mobile.bg/obiava-11700000000000001-audi-a4"
AD_REASONS = {"charset", "truncated", "no_cards", "deleted", "not_an_ad", "too_large", "no_makes"}
SHARDS = [
    '<div class="item TOP" id="ida11700000000000001">', '<div class="item" id="ida11700000000000002">',
    '<div class="item" id="ida1">', '<div class="item fakti">', "</div>", "</div></div>", '<div class="ads2023">',
    '<a class="title" href="//www.mobile.bg/obiava-11700000000000001-audi-a4">Audi A4</a>',
    '<a class="title" href="http://[::1">VW</a>', '<a class="title">', "</a>", '<div class="price UP">',
    "<div>21 423.13 €<br>41 900 лв.</div>", "<div>Запитване", "<span>Не се начислява ДДС</span>",
    '<div class="params"><span>март 2019 г.</span><span>190 000 км</span><span>1896 к.с.</span></div>',
    "<span>99999999999999999999 км</span>", '<div class="params">', '<div class="info">', "<br>Особености - DVD, TV",
    "тел. 0888 000 000", '<div class="seller FREE">', '<div class="location">обл. Бургас, гр. Айтос</div>',
    '<div class="photo">', '<img src="//a/photosorg/1/1_A.webp">', '<img src="http://[::1/photosorg/">', "<new>НОВА",
    '<a class="photos">и 10 снимки', "1 - 20 от общо 2451", "0 от общо 0", '<link rel="next" href="http://[::1">',
    '<a class="next" href="/p-2">', '<div class="pagination"><div class="selected">2</div></div>', "<!--", "\0",
    "<script>", "</html>", "<h1>Audi A4 <div class='obiava'>Обява: 11700000000000001</div></h1>",
    '<div class="Price"><span onclick="showpricechange(\'1\',\'68000\',\'EUR\',\'\')">', '<div class="carLocation">',
    '<div class="techData"><div class="item"><div>Пробег [км]</div><div>4</div></div></div>', "<frameset>", "<body>",
    '<div class="techData"><div class="item">', "<trohi><a href='/obiavi/avtomobili-dzhipove/audi'>Audi</a></trohi>",
]  # fmt: skip
shards = st.lists(st.sampled_from(SHARDS), max_size=25).map("".join)
pages = st.one_of(
    st.binary(max_size=200),
    st.builds(lambda text, code: text.encode(code, "replace"), shards, st.sampled_from(["cp1251", "utf-8", "utf-16"])),
    st.builds(lambda text: f"{text}</html>".encode("cp1251", "replace"), shards),
)


def ad_or_reason(function: Callable[[], Any]) -> Any:
    """Return what a function of mobile.bg returns, or None for a PageError; whatever else is raised is a fault."""
    try:
        return function()
    except PageError as error:
        reason = error.reason
    assert reason in AD_REASONS
    return None


def check_ad(ad: Listing) -> None:
    """Assert what holds for every ad."""
    assert ad.title
    assert ad.url.startswith(("https://", "http://"))
    assert ad.ad_id in ad.url
    assert (ad.price is None) == (ad.currency is None)
    assert all(url.startswith("https://") for url in ad.photo_urls)
    assert len(ad.photo_urls) == len(set(ad.photo_urls))
    assert len(ad.dropped) == len(set(ad.dropped))
    assert all(getattr(ad, name) is None for name in ad.dropped)
    assert ad.power_hp is None or 20 <= ad.power_hp <= 1_500
    assert ad.mileage_km is None or 0 <= ad.mileage_km <= 1_000_000


@many
@given(body=pages)
@example(body=b"<div class='item' id='ida11700000000000001'>" * 5_000 + b"</html>")
@example(body=b"\xff\xfe")
@example(body=b"")
def test_any_bytes_are_a_page_of_a_list_or_a_page_error(body: bytes) -> None:
    for kind in (HtmlResponse, Response):
        found = ad_or_reason(lambda kind=kind: mobile_bg.list_page(kind(AD, body=body)))  # type: ignore[misc]
        if found is not None:
            assert isinstance(found, ListPage)
            ids = [ad.ad_id for ad in found.listings]
            assert len(ids) == len(set(ids))
            assert found.next_url is None or found.next_url.startswith("https://")
            for ad in found.listings:
                check_ad(ad)


@many
@given(body=pages, status=st.sampled_from([200, 404]))
def test_any_bytes_are_an_ad_or_a_page_error(body: bytes, status: int) -> None:
    found = ad_or_reason(lambda: mobile_bg.listing(HtmlResponse(AD, body=body, status=status)))
    if found is not None:
        assert status == 200
        check_ad(found)


@many
@given(body=st.one_of(st.binary(max_size=200), st.binary(max_size=100).map(lambda tail: b"\x1f\x8b\x08" + tail)))
def test_any_bytes_are_models_or_a_page_error(body: bytes) -> None:
    ad_or_reason(lambda: mobile_bg.models(Response(AD, body=body)))


def test_a_sitemap_that_never_ends_is_not_unpacked() -> None:
    packing = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(1_000_000)
    packed = b"".join(packing.compress(zeros) for _ in range(60)) + packing.flush()
    with pytest.raises(PageError, match="too_large"):
        mobile_bg.models(Response(AD, body=packed))


@many
@given(text=st.lists(st.sampled_from([*"0123456789 .,-/()+абИ@:\n", "тел. ", "Иван ", "0888 ", "[phone]", "a@b.bg"])))
@example(text=["0888 ", "0", "0", "0888 ", *"000000"])
@example(text=["0"] * 20_000)
@example(text=["0 "] * 20_000)
@example(text=["Иван "] * 20_000)
@example(text=["a."] * 20_000 + ["@"])
@example(text=["a@b.bg", "a@b.bg", "@", "а", "0"])
@example(text=["@аб"] * 20_000)
def test_what_is_masked_once_is_masked(text: list[str]) -> None:
    found = masked("".join(text))
    assert "0888000000" not in found
    assert masked(found) == found


MARKS = [
    "<html>", "<title>Login</title>", "captcha", '<div class="g-recaptcha">', '<input type="password">', "{",
    "\xff\xd8\xff", '<script src="/_Incapsula_Resource">', "Access denied", "a_ful.jpg", "<form action='/login'>", "\0",
]  # fmt: skip


@many
@given(
    body=st.lists(st.sampled_from(MARKS), max_size=6).map("".join).map(lambda text: text.encode("latin-1")),
    status=st.sampled_from([200, 302, 403, 404, 429, 500]),
    location=st.sampled_from([b"/login", b"http://[::1", b"", b"\xff"]),
)
def test_any_answer_is_a_kind_of_refusal_or_none(body: bytes, status: int, location: bytes) -> None:
    for expects in get_args(Expects):
        response = Response(LIST, status=status, body=body, headers={"Location": location})
        kind = refusal(response, expects=expects)
        assert kind in {*get_args(Kind), None}
        assert kind is not None or status not in {403, 429}


@pytest.mark.parametrize("start", [b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP"])
def test_a_photo_is_not_parsed(start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def parsed(**_: Any) -> None:
        raise AssertionError("a photo was read as a page")

    monkeypatch.setattr(refusals, "Selector", parsed)
    photo = Response(CDN + "a_hrs.jpg", body=start + b"captcha <html>" * 18_000, headers={"Content-Type": "image/jpeg"})
    assert refusal(photo, expects="image") is None


def test_a_long_page_is_no_challenge_however_it_ends() -> None:
    mark = b'<html><body><script src="/_Incapsula_Resource"></script></body></html>'
    assert refusal(HtmlResponse(LOT, body=mark), expects="page") == "challenge"
    assert refusal(HtmlResponse(LOT, body=mark + b" " * 70_000), expects="page") is None
    assert refusal(HtmlResponse(LOT, body=b" " * 70_000 + mark), expects="page") is None


def test_what_no_patience_mends_counts_at_once() -> None:
    assert {"captcha", "login_wall"} == AT_ONCE
    assert set(get_args(Kind)) >= AT_ONCE
