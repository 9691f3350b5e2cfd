"""The site in real Chromium: in both languages, light and dark, on a phone and a desk, with and without JavaScript, by
keyboard. A few pages are in `make test`; all combinations are slow."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
import uvicorn
from playwright.sync_api import sync_playwright

from deals.offers import passes
from deals.queue import runner
from deals.stages.registry import LOT_STAGES
from standin.cars import picture
from tests.support import import_lots, priced_cars
from tests.support.lots import add_event, lots_on_board
from tests.support.sites import ads_on_board, market_history, patient, user
from vinops.config import ConfigError, Settings
from vinops.lots.filter import DAMAGES
from vinops_scrapy.copart.browser_program import find_chromium
from web import people
from web.site import Site

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg
    from playwright.sync_api import Browser, BrowserContext, Page
    from psycopg.rows import TupleRow

    Database = psycopg.Connection[TupleRow]

AXE = (Path(__file__).parents[2] / "support/axe/axe.min.js").read_text(encoding="utf-8")
WATCH = """
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) =>
        window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""
BROKEN = """() => [...document.querySelectorAll(".brand, .top nav a, .tools button, .who")].filter((each) => {
    const text = document.createRange();
    text.selectNodeContents(each);
    const tops = [...text.getClientRects()].filter((one) => one.height < 25).map((one) => Math.round(one.top));
    return new Set(tops).size > 1;
}).map((each) => each.textContent)"""
SERIOUS = """async () => (await axe.run({resultTypes: ["violations"]})).violations
    .filter((each) => ["serious", "critical"].includes(each.impact))
    .map((each) => `${each.id}: ${each.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | ")}`)"""
GOLF = "/market/Volkswagen%20Golf"
VIN = "WVWZZZ1KZAW123456"
PICTURE = picture(0, 0, 0)
LONG = "Mercedes-BenzCLA45AMG" * 12 + " \u202egnp.exe <b>bold</b>"


@dataclass
class World:
    """A running site with ads, a browser, and the cookie of a trader."""

    browser: Browser
    url: str
    site: Site
    database: Database
    ads: list[int]
    lots: list[int]

    @contextmanager
    def context(self, *, is_signed_in: bool = True, **options: Any) -> Iterator[BrowserContext]:
        context = self.browser.new_context(**options)
        context.set_default_timeout(60_000)
        if is_signed_in:
            token = people.sign_in(self.database, user(self.database, "trader", f"t{id(context)}"))
            context.add_cookies([{"name": self.site.session_cookie, "value": str(token), "url": self.url}])
        context.add_init_script(WATCH)
        context.route("**/thumbs/**", lambda route: route.fulfill(body=PICTURE, content_type="image/webp"))
        yield context
        context.close()


@pytest.fixture
def world(database: Database, settings: Settings) -> Iterator[World]:
    try:
        chromium = find_chromium(Settings())
    except ConfigError:
        pytest.skip("there is no Chromium")
    ads = ads_on_board(database, 26) + ads_on_board(database, title=LONG, description=LONG)
    database.execute("update scores set score = 9.9 where listing_id = %s", [ads[-1]])
    database.execute("update board set score = 9.9 where listing_id = %s", [ads[-1]])
    database.execute("insert into listing_vins values (%s, %s)", [ads[-1], VIN])
    lots = lots_on_board(database, 25, photos=3) + lots_on_board(
        database, photos=12, model=LONG, seller_name=LONG, special_note=LONG, yard_name=LONG
    )
    for new in ("100.00", "1200.00"):
        add_event(database, lots[-1], "high_bid", None, new)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        site = Site(replace(settings), port=port)
        server = uvicorn.Server(uvicorn.Config(patient(site), log_config=None, lifespan="on", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
                yield World(
                    browser=browser, url=f"http://localhost:{port}", site=site, database=database, ads=ads, lots=lots
                )
                browser.close()
        finally:
            server.should_exit = True
            thread.join(30)


def faults(page: Page, url: str, *, is_scripted: bool = True) -> list[str]:
    """Open a page and return what is wrong with it."""
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    page.goto(url, wait_until="load")
    if is_scripted:
        found += [f"policy: {each}" for each in page.evaluate("window.violations")]
        page.evaluate(AXE)
        found += page.evaluate(SERIOUS)
        wide, room = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        if wide > room:
            found.append(f"scrolls sideways: {wide} in {room}")
    return [f"{url}: {each}" for each in found]


def test_board_and_ad_are_clean_on_a_phone(world: World) -> None:
    with world.context(locale="bg-BG", viewport={"width": 360, "height": 740}) as context:
        page = context.new_page()
        assert faults(page, f"{world.url}/") == []
        assert page.locator(".card").count() == 25
        assert page.evaluate(BROKEN) == [], "a word of the head is broken into lines"
        assert faults(context.new_page(), f"{world.url}/ads/{world.ads[-1]}") == []


def test_operations_and_a_vin_are_clean_on_a_phone(world: World) -> None:
    world.site.watch.take()
    with world.context(locale="bg-BG", viewport={"width": 360, "height": 740}) as context:
        for path in ("/ops", f"/vin/{VIN}", "/search?q=zzz"):
            assert faults(context.new_page(), world.url + path) == []


def test_lots_are_clean_on_a_phone(world: World) -> None:
    with world.context(locale="bg-BG", viewport={"width": 360, "height": 740}) as context:
        page = context.new_page()
        assert faults(page, f"{world.url}/lots") == []
        assert page.locator(".lot").count() == 24
        assert page.evaluate(BROKEN) == [], "a word of the head is broken into lines"
        assert faults(context.new_page(), f"{world.url}/lots/{world.lots[-1]}") == []


@pytest.mark.slow
def test_lots_work_without_javascript(world: World) -> None:
    with world.context(locale="en-GB", java_script_enabled=False, viewport={"width": 360, "height": 740}) as context:
        page = context.new_page()
        page.goto(f"{world.url}/lots")
        page.locator(".filters > summary").click()
        page.locator("input[name=bid_to]").fill("9000")
        page.locator("#filter button.primary").click()
        assert "bid_to=9000" in page.url
        page.locator(".sort select").select_option("bid")
        page.locator(".sort button").click()
        assert "sort=bid" in page.url
        page.locator("a[rel=next]").click()
        assert "after=" in page.url
        page.locator(".lot .star button").first.click()
        assert page.locator(".star button[aria-pressed=true]").count() == 1
        page.locator(".lot h2 a").first.click()
        assert "in " in page.locator(".saletime time").inner_text()
        page.locator("button[value=called]").click()
        page.locator("textarea").fill("call at five")
        page.locator("form[action$=notes] button").click()
        assert "call at five" in page.locator("ol.history").inner_text()


@pytest.mark.parametrize(("locale", "width", "scheme"), [("bg-BG", 360, "light"), ("en-GB", 1280, "dark")])
def test_import_deals_are_clean(world: World, settings: Settings, locale: str, width: int, scheme: Any) -> None:
    priced_cars.store(world.database, import_lots.market(240, first=1_000))
    world.database.execute(
        "insert into exchange_rates (currency, day, rate, source) values ('USD', current_date, 1.1, 'tests')"
    )
    for number, facts in enumerate(({}, {"buy_now_price": 3_000, "yard_name": LONG}, {"damage": "water/flood"}), 1):
        import_lots.add_lot(world.database, number, **facts)
    passes.queue_changed(world.database, settings)
    for stage in LOT_STAGES:
        runner.drain(world.database, settings, stage)
    look = {"locale": locale, "viewport": {"width": width, "height": 800}, "color_scheme": scheme}
    with world.context(**look) as context:
        page = context.new_page()
        assert faults(page, f"{world.url}/imports") == []
        assert page.locator(".import").count() == 2
        page.locator(".blocked > summary").click()
        assert page.locator(".blocked li").count() == 1
        quote = context.new_page()
        assert faults(quote, f"{world.url}/imports/2?bid=5000") == []
        quote.locator("input[name=bid]").fill("6000")
        quote.locator(".bidform button").first.click()
        quote.wait_for_url("**bid=6000**")
        assert "6" in quote.locator(".quotelines tbody tr").first.inner_text()
        quote.locator("form[action$='/bid'] button").click()
        assert quote.locator(".noted").count() == 1
        assert faults(quote, quote.url) == []
        quote.goto(f"{world.url}/imports")
        world.database.execute("update lots set high_bid = 7000 where lot_external_id = 2")
        assert faults(quote, f"{world.url}/imports") == []
        quote.locator("a[href='/lots/2#quote']").click()
        assert quote.locator(".noted .risk.high").count() == 1
        quote.locator("form[action$='/bid'] button").last.click()
        assert quote.locator(".noted").count() == 0


@pytest.mark.parametrize(("locale", "width", "scheme"), [("bg-BG", 360, "light"), ("en-GB", 1280, "dark")])
def test_searches_are_clean(world: World, locale: str, width: int, scheme: Any) -> None:
    look = {"locale": locale, "viewport": {"width": width, "height": 800}, "color_scheme": scheme}
    with world.context(**look) as context:
        page = context.new_page()
        assert faults(page, f"{world.url}/searches") == []
        many = urlencode([("damage", each) for each in DAMAGES[:20]])
        for query in (
            "lots?make=Toyota&sale_within=24h",
            f"lots?{many}&seller={'s' * 60}&landed_to=12000",
            "?make=Volkswagen",
            f"?make=BMW&words={'w' * 60}&price_to=25000&year_from=2016&region=София",
        ):
            page.goto(f"{world.url}/{query}")
            page.locator("form[action='/searches'] button").click()
        found_by(world)
        assert faults(page, f"{world.url}/searches") == []
        assert page.locator(".watch").count() == 4
        assert page.locator(".found li").count() == 3
        broken = BROKEN.replace(".brand", ".watch .actions > *, .brand")
        assert page.evaluate(broken) == [], "a button is broken into lines"
        assert page.evaluate("document.querySelector('input[type=radio]').offsetWidth") < 24
        page.locator("form[action$=connect] button").click()
        assert "/start " in page.locator("[role=status] code").inner_text()


def test_searches_work_without_javascript(world: World) -> None:
    with world.context(locale="en-GB", java_script_enabled=False, viewport={"width": 360, "height": 740}) as context:
        page = context.new_page()
        page.goto(f"{world.url}/?make=Volkswagen")
        page.locator("form[action='/searches'] button").click()
        page.locator("button[value=pause]").click()
        page.locator("button[value=resume]").click()
        page.locator("input[value=digest]").check()
        page.locator("input[name=digest]").fill("7:15")
        page.locator("form[action$=notifications] button").click()
        assert page.locator("input[value=digest]").is_checked()
        page.locator("button[value=delete]").click()
        assert page.locator(".empty").count() == 1


def found_by(world: World) -> None:
    """Let the last search find two ads, one with a long title, and the first one a lot."""
    world.database.execute(
        "insert into watch_hits (watch_id, car, lot_id, version, price_eur, score) select (select min(id) from"
        " watches), 'lot ' || lot_external_id, id, 1, 9000, 8 from lots where lot_external_id = %s",
        [world.lots[0]],
    )
    world.database.execute(
        "insert into watch_hits (watch_id, car, listing_id, version, price_eur, score) select (select max(id) from"
        " watches), ads::text, ads, 1, 9000, 8 from unnest(%s::bigint[]) as ads",
        [[world.ads[0], world.ads[-1]]],
    )


@pytest.mark.slow
@pytest.mark.parametrize("locale", ["bg-BG", "en-GB"])
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_clean(world: World, locale: str, width: int, scheme: Any) -> None:
    look = {"locale": locale, "viewport": {"width": width, "height": 800}, "color_scheme": scheme}
    found = []
    market_history(world.database)
    world.site.watch.take()
    with world.context(**look) as context:
        for path in ("/", "/?make=BMW&price_to=5&words=xyz", "/?sort=cheap&min_score=nonsense", "/account",
                     f"/ads/{world.ads[0]}", f"/ads/{world.ads[-1]}", "/market", GOLF,
                     "/ops", f"/vin/{VIN}", "/search?q=zzz", f"/search?q={world.ads[0]}", "/lots",
                     "/lots?state=XX&sale_from=2026-12-01",
                     "/lots?sort=bid&odometer_to=nonsense", "/searches", f"/lots/{world.lots[0]}",
                     f"/lots/{world.lots[-1]}"):  # fmt: skip
            found += faults(context.new_page(), world.url + path)
    with world.context(is_signed_in=False, **look) as context:
        found += faults(context.new_page(), f"{world.url}/login")
        found += faults(context.new_page(), f"{world.url}/enter")
    assert found == []


@pytest.mark.slow
def test_all_works_without_javascript(world: World) -> None:
    with world.context(locale="en-GB", java_script_enabled=False, viewport={"width": 360, "height": 740}) as context:
        page = context.new_page()
        assert faults(page, f"{world.url}/", is_scripted=False) == []
        page.locator(".filters > summary").click()
        page.locator("input[name=price_to]").fill("9000")
        page.locator("#filter button.primary").click()
        assert "price_to=9000" in page.url
        assert page.locator(".chips li").count() == 2
        page.locator(".sort select").select_option("cheap")
        page.locator(".sort button").click()
        assert "sort=cheap" in page.url
        page.locator("a[rel=next]").click()
        assert "after=" in page.url
        page.locator(".star button").first.click()
        assert page.locator(".star button[aria-pressed=true]").count() == 1
        page.locator(".card h2 a").first.click()
        page.locator("button[value=called]").click()
        page.locator("textarea").fill("call at five")
        page.locator("form[action$=notes] button").click()
        assert "call at five" in page.locator("ol.history").inner_text()
        page.locator(".finder input").fill(VIN)
        page.locator(".finder button").click()
        assert page.url == f"{world.url}/vin/{VIN}"
        page.locator(".timeline a").first.click()
        page.locator(f"#ad-{world.ads[-1]} h2 a").click()
        assert page.url == f"{world.url}/ads/{world.ads[-1]}"
        world.site.watch.take()
        page.goto(f"{world.url}/ops")
        page.locator("details summary").last.click()
        page.locator(".languages button").click()
        assert page.locator("html").get_attribute("lang") == "bg"
        page.goto(f"{world.url}/account")
        page.locator("form[action='/logout'] button").first.click()
        assert page.url.endswith("/login")


@pytest.mark.slow
def test_all_works_by_keyboard(world: World) -> None:
    with world.context(locale="en-GB", viewport={"width": 1280, "height": 900}) as context:
        page = context.new_page()
        page.goto(f"{world.url}/")

        def reach(selector: str) -> None:
            for _ in range(120):
                page.keyboard.press("Tab")
                if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
                    return
            pytest.fail(f"Tab does not reach {selector}")

        reach(".skip")
        reach("input[name=price_to]")
        page.keyboard.type("9000")
        page.keyboard.press("Enter")
        page.wait_for_url("**price_to=9000**")
        assert "price_from" not in page.url, "empty fields stay out of the address"
        reach(".star button")
        page.keyboard.press("Enter")
        page.wait_for_selector(".star button[aria-pressed=true]")
        reach(".card h2 a")
        page.keyboard.press("Enter")
        page.wait_for_url("**/ads/*")
        reach("button[value=seen]")
        page.keyboard.press("Enter")
        page.wait_for_selector("button[value=seen][aria-pressed=true]")


def test_the_market_has_a_cursor_on_a_phone(world: World) -> None:
    market_history(world.database)
    with world.context(locale="en-GB", viewport={"width": 360, "height": 740}) as context:
        assert faults(context.new_page(), f"{world.url}/market") == []
        page = context.new_page()
        assert faults(page, world.url + GOLF) == []
        plot = page.locator(".uplot .u-over")
        shape = plot.bounding_box()
        assert shape is not None
        page.mouse.move(shape["x"] + 3, shape["y"] + shape["height"] / 2)
        legend = page.locator(".u-legend").inner_text()
        assert "9,600 €" in legend, "the first month"
        page.mouse.move(shape["x"] + shape["width"] - 2, shape["y"] + shape["height"] / 2)
        assert "8,000 €" in page.locator(".u-legend").inner_text(), "the last month"
        assert faults(page, world.url + GOLF) == [], "nothing is wrong after it was used"


def test_the_market_works_without_javascript(world: World) -> None:
    market_history(world.database)
    with world.context(locale="en-GB", java_script_enabled=False, viewport={"width": 360, "height": 740}) as context:
        page = context.new_page()
        assert faults(page, f"{world.url}/market", is_scripted=False) == []
        page.locator("input[name=words]").fill("golf")
        page.locator(".search button").click()
        assert "words=golf" in page.url
        page.locator("table.market a").click()
        assert page.locator("svg.months circle").count() >= 4
        page.locator("details summary").click()
        assert "9\u202f600" in page.locator("details table").inner_text()
        page.locator(".search select").select_option(index=1)
        page.locator(".search button").click()
        assert "year=20" in page.url
        page.locator("svg.points a").first.click()
        page.wait_for_url("**/ads/*")
