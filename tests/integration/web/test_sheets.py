"""Sheets to print: one page A4 in Chromium's own PDF, whatever the texts, with all photos and with none."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from standin.cars import picture
from tests.integration.web import test_browser
from tests.integration.web.test_browser import LONG, faults
from tests.support.lots import lots_on_board

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

    from tests.integration.web.test_browser import World

world = test_browser.world
A4 = {"width": 794, "height": 1123}
PARTS = (
    """() => [...document.querySelectorAll(".sheet, .sheet > *")].map((each) => each.getBoundingClientRect().bottom)"""
)


@contextmanager
def printed(world: World) -> Iterator[Page]:
    with world.context(locale="en-GB", viewport=A4) as context:
        context.route("**/photos/*", lambda route: route.fulfill(body=picture(0, 0, 0), content_type="image/webp"))
        yield context.new_page()


def overflows(page: Page) -> list[str]:
    """Return what of a sheet is outside of its one page."""
    found = page.pdf(prefer_css_page_size=True)
    pages = len(re.findall(rb"/Type\s*/Page\b", found))
    wrong = [] if pages == 1 else [f"{pages} pages"]
    page.emulate_media(media="print")
    sheet, *parts = page.evaluate(PARTS)
    page.emulate_media(media="null")
    return [*wrong, *(f"a part ends at {part} of {sheet}" for part in parts if part > sheet)]


def test_an_ad_is_one_page(world: World) -> None:
    world.database.execute("update listings set photo_urls = '{a,b,c,d,e,f,g}'")
    with printed(world) as page:
        url = f"{world.url}/ads/{world.ads[0]}"
        page.goto(url)
        page.get_by_role("link", name="Sheet to print").click()
        page.wait_for_url(f"{url}/sheet")
        assert page.locator(".sheet img").count() == 5
        assert re.fullmatch(r"8\s000\s€", page.locator(".sheet .amount").inner_text())
        assert overflows(page) == []
        assert page.locator("[data-print]").is_visible()
        words = page.locator(".sheet").inner_text()
        assert "8.1" not in words, "the score is not for customers"
        assert "comparable" not in words


@pytest.mark.slow
@pytest.mark.parametrize("photos", [0, 1, 9])
@pytest.mark.parametrize("size", ["short", "long", "hostile"])
def test_whatever_it_says_it_is_one_page(world: World, photos: int, size: str) -> None:
    long = {"short": "", "long": "Комфорт и още нещо " * 60, "hostile": LONG * 40}[size]
    world.database.execute(
        "update listings set photo_urls = %s, equipment = %s, place = nullif(%s, ''), title = 'Car ' || %s",
        [[str(number) for number in range(photos)], [long] * 200 if long else [], long, long],
    )
    world.database.execute("update normalized_listings set make = 'A ' || %s, family = 'B ' || %s", [long[:300], long])
    found = []
    with printed(world) as page:
        for width in (794, 360):
            page.set_viewport_size({"width": width, "height": 800})
            found += faults(page, f"{world.url}/ads/{world.ads[0]}/sheet")
            found += overflows(page)
        assert page.locator(".sheet img").count() == min(photos, 5)
    assert found == []


def test_a_sheet_that_does_not_fit_is_caught(world: World) -> None:
    """The control: without the fixed height there is a second page."""
    with printed(world) as page:
        page.goto(f"{world.url}/ads/{world.ads[0]}/sheet")
        page.evaluate("document.querySelector('.sheet').append(...Array.from({length: 400}, (_, n) => { const p ="
                      " document.createElement('p'); p.textContent = n; return p; }))")  # fmt: skip
        assert overflows(page) != []


@pytest.mark.parametrize("text", ["short", pytest.param(LONG * 40, marks=pytest.mark.slow)])
def test_a_lot_is_one_page(world: World, text: str) -> None:
    about = {"model": text, "trim": text, "engine": text, "yard_name": text, "make": text[:300]}
    (lot,) = lots_on_board(world.database, photos=9, **about)
    with printed(world) as page:
        page.context.route(
            "**/thumbs/**", lambda route: route.fulfill(body=picture(0, 0, 0), content_type="image/webp")
        )
        page.goto(f"{world.url}/lots/{lot}")
        page.get_by_role("link", name="Sheet to print").click()
        page.wait_for_url(f"{world.url}/lots/{lot}/sheet")
        assert faults(page, page.url) == []
        assert page.locator(".sheet img").count() == 5
        assert overflows(page) == []
        if text == "short":
            assert (
                "61\u202f234" in page.locator(".sheet").inner_text()
                or "61\xa0234" in page.locator(".sheet").inner_text()
            )
    with printed(world) as page:
        (bare,) = lots_on_board(
            world.database, high_bid=None, sale_date=None, sale_at=None, yard_name=None, odometer=None
        )
        assert faults(page, f"{world.url}/lots/{bare}/sheet") == []
        assert overflows(page) == []
