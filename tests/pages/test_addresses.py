"""Addresses at Copart: asked over https, whatever the feed says; a photo's next smaller size."""

from __future__ import annotations

import json

import pytest
from scrapy.http import TextResponse

from vinops_scrapy.items import PhotoLink, Variant
from vinops_scrapy.pages import copart

QUERY = "country=us&brand=cprt&yardNumber=17"


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        (
            "http://inventoryv2.copart.io/v1/lotImages/1?" + QUERY,
            "https://inventoryv2.copart.io/v1/lotImages/1?" + QUERY,
        ),
        ("https://inventoryv2.copart.io/v1/lotImages/1", "https://inventoryv2.copart.io/v1/lotImages/1"),
        ("http://inventoryv2.copart.io:80/v1/lotImages/1 ", "https://inventoryv2.copart.io/v1/lotImages/1"),
        ("https://inventoryv2.copart.io:443/v1/lotImages/1#top", "https://inventoryv2.copart.io/v1/lotImages/1"),
        ("HTTP://Inventoryv2.Copart.io/v1/lotImages/1", "https://inventoryv2.copart.io/v1/lotImages/1"),
        ("http://127.0.0.1:8001/v1/lotImages/1?" + QUERY, "http://127.0.0.1:8001/v1/lotImages/1?" + QUERY),
        ("http://127.8.8.8:80/v1/lotImages/1", "http://127.8.8.8:80/v1/lotImages/1"),
        ("http://localhost:8001/v1/lotImages/1", "http://localhost:8001/v1/lotImages/1"),
        ("http://[::1]:8001/v1/lotImages/1", "http://[::1]:8001/v1/lotImages/1"),
        ("http://[2001:db8::1]:80/v1", "https://[2001:db8::1]/v1"),
        ("http://127.0.0.1/v1/lotImages/1", "https://127.0.0.1/v1/lotImages/1"),
        ("http://10.0.0.1:8001/v1/lotImages/1", "https://10.0.0.1:8001/v1/lotImages/1"),
        ("http://127.0.0.1.example.com:8001/v1", "https://127.0.0.1.example.com:8001/v1"),
        ("//inventoryv2.copart.io/v1/lotImages/1?" + QUERY, "https://inventoryv2.copart.io/v1/lotImages/1?" + QUERY),
        ("inventoryv2.copart.io/v1/lotImages/1", "https://inventoryv2.copart.io/v1/lotImages/1"),
        ("Inventoryv2.Copart.io:443/v1/lotImages/1 ", "https://inventoryv2.copart.io/v1/lotImages/1"),
        ("127.0.0.1:8001/v1/lotImages/1", "http://127.0.0.1:8001/v1/lotImages/1"),
        ("//localhost:8001/v1/lotImages/1", "http://localhost:8001/v1/lotImages/1"),
        ("//127.0.0.1.example.com:8001/v1", "https://127.0.0.1.example.com:8001/v1"),
    ],
)
def test_a_list_is_asked_over_https_save_at_a_stand_in(given: str, asked: str) -> None:
    assert copart.https_address(given) == asked


@pytest.mark.parametrize(
    "nonsense",
    [
        "", " ", "none", "/v1/lotImages/1", "v1/lotImages/1", "inventoryv2.copart.io", "//", "///v1",
        "ftp://inventoryv2.copart.io/v1", "http://",
        "https:///v1", "http://inventoryv2.copart.io:port/v1", "http://inventoryv2.copart.io:99999/", "http://[::1/v1",
        "https://name:word@inventoryv2.copart.io/v1", "https://inventoryv2.copart.io/v 1", "https://a.io\\@b.io/",
        "https://inventoryv2.copart.io/v1\nHost: b.io", "https://інвентар.io/v1", "file:///etc/hostname",
        "javascript:alert(1)/", "data:image/jpeg;base64,AA/", "//name:word@inventoryv2.copart.io/v1",
        "name@inventoryv2.copart.io/v1", "inventoryv2.copart.io:port/v1", "inventoryv2.copart.io\\@b.io/",
    ],
)  # fmt: skip
def test_nonsense_is_no_address(nonsense: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        copart.https_address(nonsense)


def test_an_address_is_as_long_as_an_index_takes_and_no_longer() -> None:
    longest = "https://cs.copart.com/v1/" + "a" * (copart.LONGEST_ADDRESS - 25)
    assert copart.https_address(longest) == longest
    with pytest.raises(ValueError, match="no more than"):
        copart.https_address(f"{longest}a")


def test_a_photo_of_a_longer_address_is_left_out_and_counted() -> None:
    urls = ["https://cs.copart.com/v1/a_hrs.jpg", f"https://cs.copart.com/v1/{'b' * 3_000}_hrs.jpg"]
    images = [{"sequence": place, "link": [{"url": url}]} for place, url in enumerate(urls, 1)]
    body = json.dumps({"imgCount": 2, "lotImages": images}).encode()
    found = copart.photo_list(TextResponse("https://inventoryv2.copart.io/v1/lotImages/1", body=body))
    assert [link.url for link in found.photos] == urls[:1]
    assert found.left_out == {"unreadable": 1}


def test_a_lot_has_its_page_on_the_site() -> None:
    assert copart.lot_address("https://www.copart.com", 45000001) == "https://www.copart.com/lot/45000001"
    assert copart.lot_address("http://www.copart.com/", 45000001) == "https://www.copart.com/lot/45000001"
    assert copart.lot_address("http://localhost:8003", 1) == "http://localhost:8003/lot/1"
    for site, lot in (("www.copart.com", 1), ("https://www.copart.com", 0), ("", 1)):
        with pytest.raises(ValueError, match=r"."):
            copart.lot_address(site, lot)


@pytest.mark.parametrize(
    ("variant", "name", "next_name"),
    [
        ("hrs", "a_hrs.jpg", "a_ful.jpg"),
        ("hrs", "a_hrs.jpg?v=1", "a_ful.jpg?v=1"),
        ("hrs", "a_HRS.JPG", "a_ful.JPG"),
        ("hrs", "a_hrs.jpg/b_hrs.jpg", "a_hrs.jpg/b_ful.jpg"),
        ("hrs", "a.jpg", None),
        ("ful", "a_ful.jpg", None),
        ("thb", "a_thb.jpg", None),
    ],
)
def test_after_the_largest_size_the_full_one_is_tried_and_no_other(
    variant: Variant, name: str, next_name: str | None
) -> None:
    cdn = "https://cs.copart.com/v1/"
    expected = next_name and PhotoLink(seq=3, variant="ful", url=cdn + next_name)
    assert copart.smaller(PhotoLink(seq=3, variant=variant, url=cdn + name)) == expected
