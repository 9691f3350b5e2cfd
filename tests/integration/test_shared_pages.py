"""Pages as they really came, where there are some beside the repository.

They are the photo lists, the refusals and the advertisements in the folder that VINOPS_SHARED_DATA names, else in
`../shared/data`. None of them is part of the repository: the recorded pages of tests/pages are written by us.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from scrapy.http import HtmlResponse, TextResponse

from vinops_scrapy.pages import copart
from vinops_scrapy.pages.errors import PageError
from vinops_scrapy.pages.refusals import refusal

if TYPE_CHECKING:
    from vinops_scrapy.items import PhotoList
    from vinops_scrapy.pages.refusals import Expects, Kind

DATA = Path(os.environ.get("VINOPS_SHARED_DATA") or Path(__file__).parents[3] / "shared" / "data")
INVENTORY = DATA / "copart_lotImages_inventoryv2_shape.json"
SOLR = DATA / "copart_solr_lotImages_shapes.json"
ADVERTISEMENTS = sorted([*DATA.glob("mobilebg_*.html"), *DATA.glob("autobg_*.html")])

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
