"""Screenshots of the site in Chromium: `make screenshot` runs `python -m demo.site_screenshot docs`.

It works in a temporary folder with an embedded database and the stand-ins: the market has been crawled twice, with some
hours in between, the feed has been loaded some times, deals and import deals have been found, and the lots with the
soonest sales have photos. Writes NAME.webp, 1280 pixels wide, light, of each of PAGES, and NAME-phone.webp, 390 wide,
dark, of those of ON_PHONE.
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from PIL import Image

from demo import world as demo_world
from demo.screenshot import remove
from demo.site import open_site
from demo.world import DemoFailed
from ops.checks import outside
from ops.workers import registry
from vinops import config
from vinops.db import database
from vinops_scrapy.copart.browser_program import find_chromium

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from playwright.sync_api import Page

LOTS: Final = 1250
FILES: Final = 8  # of the feed after the first one
PHOTO_LOTS: Final = 300  # of the soonest sales: enough for the chart of the coverage to show something
WORKERS: Final = ("1", "2")
LOOKS: Final[Mapping[str, dict[str, Any]]] = {
    "": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "-phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark", "device_scale_factor": 2},
}
"""How pages are drawn, by the end of the picture's name."""
PAGES: Final[Mapping[str, tuple[str, str, int]]] = {
    "board": ("/", "", 900),
    "ad": ("/", ".card:has(.spark) h2 a", 1700),
    "lots": ("/lots?has_photos=yes", "", 900),
    "lot": ("/imports", ".imports h3 a", 1700),
    "vin": ("/imports", "a[href^='/vin/']", 1000),
    "market": ("/market", "", 800),
    "family": ("/market", "table.market a", 1500),
    "imports": ("/imports", "", 900),
    "ops": ("/ops", "", 1500),
}
"""Each page by its name: where it is or begins, what is clicked there, and how many pixels of it are shown at most."""
ON_PHONE: Final = frozenset({"board", "ad", "market", "lots", "lot", "imports"})
QUALITY: Final = 80
BUSY: Final = re.compile(r"\bcpu[:,]")
"""How /ops begins to say that the machine is busy: with what went before the pictures, which is over soon."""
CALM_SECONDS, CALM_TRIES = 5, 12
SPREAD: Final = """
    with lot as (
        update lots set first_seen_at = first_seen_at - interval '70 hours'
        where lot_external_id = %(lot)s returning id
    ), happened as (
        select events.id, row_number() over (order by events.id desc) as place
        from audit.lot_events as events join lot on lot.id = events.lot_id
    ), moved as (
        update audit.lot_events as events
        set happened_at = events.happened_at - (happened.place - 1) * interval '7 hours'
        from happened where events.id = happened.id
    )
    update lot_board set first_seen = first_seen - interval '70 hours' from lot where lot.id = lot_board.lot_id"""
"""The files of the feed are loaded within seconds: what happened to a lot is dated back, as if days were between."""
RANKED: Final = """
    select lot_external_id from lot_quotes join lots on lot_quotes.lot_id = lots.id
    where is_ranked order by most_bid_usd desc limit 12"""
COVERAGE: Final = """
    insert into ops.photo_coverage (at, lots, with_photo, past_first, with_all)
    select
        counted.at - hours * interval '1 hour',
        counted.lots,
        counted.with_photo * (1 - power(hours / 180.0, 1.5)),
        counted.past_first * (1 - power(hours / 174.0, 1.5)),
        counted.with_all * (1 - power(hours / 168.0, 1.2))
    from (select * from ops.photo_coverage order by at desc limit 1) as counted
    cross join generate_series(1, 167) as hours"""
"""The same of the counts of lots with photos, which the supervisor makes once an hour."""
YEAR: Final = """
    with dated as (
        update listings set first_seen = first_seen - (id * 37 % 390) * interval '1 day' returning id
    )
    update listing_prices as prices
    set seen_at = prices.seen_at - (prices.listing_id * 37 % 390) * interval '1 day'
    from dated
    where
        prices.listing_id = dated.id
        and not exists (
            select from listing_prices as earlier
            where earlier.listing_id = prices.listing_id and earlier.seen_at < prices.seen_at
        )"""
"""The same of the ads, as if the market had been followed for a year."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the screenshots and return the exit code: 0 done, 1 failed, 2 wrong usage. All child processes are
    stopped."""
    parser = argparse.ArgumentParser(prog="python -m demo.site_screenshot", description="Draw the site in Chromium.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--language", default="en", choices=("bg", "en"))
    options = parser.parse_args(arguments)
    try:
        with ExitStack() as cleanup:
            shoot(world(cleanup), options.folder, options.language)
    except DemoFailed as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    return 0


def world(cleanup: ExitStack) -> str:
    """Make the data, start the site and return its link. Raises DemoFailed."""
    folder = Path(tempfile.mkdtemp(prefix="vinops-screenshot-"))
    folder.chmod(0o711)  # the database server's account needs access to a folder below it
    cleanup.callback(remove, folder)
    environment = {
        **config.without_settings(),
        "VINOPS_DATA_DIR": str(folder / "var"),
        "SCRAPY_SETTINGS_MODULE": "vinops_scrapy.settings",
    }
    _run(environment, folder, "migrate")
    made = demo_world.start(environment, folder, lots=LOTS, count=demo_world.ads(LOTS), cleanup=cleanup)
    environment |= made.settings
    _load(environment, folder)
    settings = config.load(environment, folder=folder)
    planted = demo_world.planted(settings)
    photographed = ",".join(map(str, planted.values()))
    demo_world.crawl(environment, folder, ["lot_photos", "-a", f"lot={photographed}"])
    demo_world.crawl(environment, folder, ["lot_photos", "-a", f"batch={PHOTO_LOTS}"])
    workers = registry.chosen(settings, WORKERS)
    crawls = [[*worker.crawl.split()[2:], "-a", "mode=full"] for worker in workers]
    demo_world.crawl(environment, folder, *crawls)
    demo_world.advance(made.market)
    demo_world.crawl(environment, folder, *crawls)
    for _ in range(FILES):
        demo_world.advance(made.feed)
        _load(environment, folder)
    _run(environment, folder, "deals", "run")
    with database.connect(settings, application="screenshot") as connection:
        connection.execute(YEAR)
        connection.execute(SPREAD, {"lot": planted["bargain"]})
    for arguments in (
        ("deals", "board", "--rebuild"),
        ("deals", "market"),
        ("landed", "rate", "--fetch"),
        ("landed", "run"),
        ("backup",),
    ):
        _run(environment, folder, *arguments)
    with database.connect(settings, application="screenshot") as connection:
        ranked = connection.execute(RANKED).fetchall()
    demo_world.crawl(environment, folder, ["lot_photos", "-a", "lot=" + ",".join(str(lot) for (lot,) in ranked)])
    with database.connect(settings, application="screenshot") as connection:
        outside.Watch(settings)(connection)
        connection.execute(COVERAGE)
    return open_site(environment, folder, cleanup)


def shoot(link: str, folder: Path, language: str) -> None:
    """Sign in by the link, and write the screenshots to a folder."""
    from playwright.sync_api import sync_playwright

    base = link.partition("/enter")[0]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(find_chromium(config.Settings())), args=["--no-sandbox"]
        )
        context = browser.new_context(locale=language)
        page = context.new_page()
        page.goto(link)
        page.wait_for_url(f"{base}/")
        signed_in = context.storage_state()
        for suffix, look in LOOKS.items():
            page = browser.new_context(storage_state=signed_in, locale=language, **look).new_page()
            for name, (path, clicked, most) in PAGES.items():
                if suffix and name not in ON_PHONE:
                    continue
                page.goto(f"{base}{path}", wait_until="networkidle")
                if name == "vin":  # the VIN is a link on the page of the lot
                    page.locator(PAGES["lot"][1]).first.click()
                    page.wait_for_load_state("networkidle")
                if clicked:
                    page.locator(clicked).first.click()
                    page.wait_for_load_state("networkidle")
                if name == "ops":
                    _wait_until_calm(page)
                height = page.evaluate("document.documentElement.scrollHeight")
                if not suffix:
                    page.set_viewport_size({"width": 1280, "height": min(height, most)})
                page.wait_for_load_state("networkidle")
                _write(page.screenshot(), folder / f"{name}{suffix}.webp")
        browser.close()


def _wait_until_calm(page: Page) -> None:
    """Load /ops again until it no longer says that the machine is busy, or for as long as that may take."""
    for _ in range(CALM_TRIES):
        if not BUSY.search(page.inner_text(".ops")):
            return
        time.sleep(CALM_SECONDS)
        page.reload(wait_until="networkidle")


def _write(png: bytes, path: Path) -> None:
    Image.open(io.BytesIO(png)).convert("RGB").save(path, "WEBP", quality=QUALITY, method=6)


def _load(environment: dict[str, str], folder: Path) -> None:
    command = [sys.executable, "-m", "etl", "run"]
    subprocess.run(command, check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL)


def _run(environment: dict[str, str], folder: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "ops.cli", *arguments]
    subprocess.run(command, check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
