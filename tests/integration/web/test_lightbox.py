"""Photos in a dialog, in real Chromium: by keyboard, by touch, by address, and without JavaScript."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from standin.cars import picture
from tests.integration.web import test_browser
from tests.integration.web.test_browser import AXE, SERIOUS, faults
from tests.support.lot_photos import add_photo, record
from tests.support.lots import lots_on_board

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

    from tests.integration.web.test_browser import World
    from vinops.config import Settings

world = test_browser.world
PHOTOS = 4
PHONE = {"width": 360, "height": 740}


@contextmanager
def opened(world: World, **options: Any) -> Iterator[tuple[Page, str]]:
    """Yield a page, and the address of an ad with photos, which are there without asking any host."""
    urls = [f"https://a.focus.bg/{number}" for number in range(PHOTOS)]
    world.database.execute("update listings set photo_urls = %s", [urls])
    with world.context(**{"locale": "en-GB", "viewport": {"width": 1280, "height": 900}, **options}) as context:
        context.route("**/photos/*", lambda route: route.fulfill(body=picture(0, 0, 0), content_type="image/webp"))
        yield context.new_page(), f"{world.url}/ads/{world.ads[0]}"


def place(page: Page) -> str:
    return page.locator("dialog .place").inner_text()


def shows(page: Page, where: str) -> None:
    page.locator("dialog .place").filter(has_text=where).wait_for()


def wait_for(page: Page, end: str) -> None:
    page.wait_for_function("(end) => (location.pathname + location.hash).endsWith(end)", arg=end)


def test_by_keyboard(world: World) -> None:
    with opened(world) as (page, ad):
        assert faults(page, ad) == []
        page.locator("#p2").focus()
        page.keyboard.press("Enter")
        assert place(page) == "2 / 4"
        for key, expected in (("ArrowRight", 3), ("ArrowRight", 4), ("ArrowRight", 1), ("ArrowLeft", 4), ("Home", 1),
                              ("End", 4)):  # fmt: skip
            page.keyboard.press(key)
            assert place(page) == f"{expected} / 4"
            assert page.url == f"{ad}#p{expected}", "the address names the photo that is shown"
        for _ in range(6):
            page.keyboard.press("Tab")
            assert page.evaluate(
                "document.activeElement === document.body || !!document.activeElement.closest('dialog')"
            )
        page.keyboard.press("Escape")
        page.wait_for_selector("dialog", state="hidden")
        wait_for(page, f"/ads/{world.ads[0]}")
        assert page.evaluate("document.activeElement.id") == "p4", "the focus is on the photo that was shown last"


@pytest.mark.slow
def test_an_address_with_a_photo_opens_it_and_back_closes_it(world: World) -> None:
    with opened(world) as (page, ad):
        page.goto(f"{world.url}/account")
        page.goto(f"{ad}#p3")
        page.wait_for_selector("dialog[open]")
        assert place(page) == "3 / 4"
        page.evaluate("location.hash = 'p1'")
        shows(page, "1 / 4")
        page.go_back()
        shows(page, "3 / 4")
        page.locator("dialog .close").click()
        page.wait_for_selector("dialog", state="hidden")
        assert page.url == ad
        page.locator("#p2").click()
        page.keyboard.press("ArrowRight")
        page.go_back()
        page.wait_for_selector("dialog", state="hidden")
        assert page.url == ad, "Back closes the dialog, whichever photo it showed"
        page.go_forward()
        page.wait_for_selector("dialog[open]")
        assert place(page) == "3 / 4"
        page.reload()
        page.wait_for_selector("dialog[open]")
        page.keyboard.press("Escape")
        page.wait_for_selector("dialog", state="hidden")
        wait_for(page, f"/ads/{world.ads[0]}")
        page.goto(f"{ad}#p99")
        assert not page.locator("dialog").is_visible()
        page.goto(f"{ad}#main")
        assert not page.locator("dialog").is_visible()


@pytest.mark.slow
def test_by_touch_on_a_phone(world: World) -> None:
    with opened(world, viewport=PHONE, has_touch=True, is_mobile=True) as (page, ad):
        assert faults(page, ad) == []
        page.locator("#p1").tap()
        page.wait_for_selector("dialog[open]")
        touch = page.context.new_cdp_session(page)

        def swipe(start: tuple[int, int], end: tuple[int, int]) -> None:
            points = [[{"x": start[0] + (end[0] - start[0]) * step / 5, "y": start[1] + (end[1] - start[1]) * step / 5}]
                      for step in range(6)]  # fmt: skip
            for kind, at in (
                ("touchStart", points[0]),
                *(("touchMove", each) for each in points[1:]),
                ("touchEnd", []),
            ):
                touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})

        boxes = [page.locator(f"dialog {each}").bounding_box() for each in (".previous", "img", ".following")]
        assert [(box["x"], box["x"] + box["width"]) for box in boxes if box] == [(0, 56), (0, 360), (304, 360)]
        swipe((300, 400), (60, 405))
        shows(page, "2 / 4")
        swipe((60, 400), (300, 395))
        shows(page, "1 / 4")
        swipe((180, 300), (185, 600))
        swipe((180, 300), (190, 300))
        assert place(page) == "1 / 4", "up, down and a tremble are no swipes"
        page.locator("dialog .following").tap()
        assert place(page) == "2 / 4"
        page.evaluate(AXE)
        assert page.evaluate(SERIOUS) == []
        assert page.evaluate("window.violations") == []
        page.locator("dialog .close").tap()
        page.wait_for_selector("dialog", state="hidden")


@pytest.mark.slow
def test_the_next_photo_is_fetched_before_it_is_asked_for(world: World) -> None:
    with opened(world) as (page, ad):
        page.goto(ad)
        with page.expect_request(f"{ad}/photos/3"):
            page.locator("#p2").click()
        assert place(page) == "2 / 4"


@pytest.mark.slow
def test_without_javascript_a_photo_is_a_link_to_itself(world: World) -> None:
    with opened(world, java_script_enabled=False, viewport=PHONE) as (page, ad):
        page.goto(f"{ad}#p4")
        assert page.locator("#p4").is_visible()
        with page.expect_response(f"{ad}/photos/2"):
            page.locator("#p2").click()
        assert page.url == f"{ad}/photos/2"
        page.go_back()
        assert page.locator("#p2").is_visible()


@pytest.mark.slow
def test_photos_do_not_move_what_is_below_them(world: World) -> None:
    with opened(world, viewport=PHONE) as (page, ad):
        page.goto(ad)
        shift = page.evaluate("""() => new Promise((done) => {
            let sum = 0;
            new PerformanceObserver((list) => { for (const each of list.getEntries()) sum += each.value; })
                .observe({type: "layout-shift", buffered: true});
            setTimeout(() => done(sum), 500);
        })""")
        assert shift <= 0.02


def test_photos_of_a_lot(world: World, settings: Settings) -> None:
    """On the page of a lot, from the store to the dialog."""
    (lot,) = lots_on_board(world.database)
    for seq in (1, 2, 5):
        add_photo(world.database, settings, lot=lot, seq=seq)
    record(world.database, settings, b"gone", lot=lot, seq=7)
    with world.context(locale="en-GB", viewport=PHONE) as context:
        context.unroute("**/thumbs/**")  # the true ones
        page = context.new_page()
        missing = [each for each in faults(page, f"{world.url}/lots/{lot}") if "404" not in each]
        assert missing == []
        assert page.locator(".gallery img").count() == 4
        sizes = "() => [...document.querySelectorAll('.gallery img')].map((each) => each.complete && each.naturalWidth)"
        page.locator("#p7 img").scroll_into_view_if_needed()
        page.wait_for_load_state("networkidle")
        assert page.evaluate(sizes)[:3] == [320, 320, 320]
        assert page.evaluate(sizes)[3] > 0, "a drawing says that it is missing"
        page.locator("#p2").get_by_role("link").click()
        assert place(page) == "2 / 4"
        page.keyboard.press("ArrowRight")
        assert page.url.endswith("#p5")
        page.goto(f"{world.url}/lots/{lot}/photos/7")
        assert page.locator("h1").inner_text() == "The photo is missing"
        page.get_by_role("link", name="Back").click()
        page.wait_for_url(f"{world.url}/lots/{lot}")
