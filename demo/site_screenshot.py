"""Screenshots of the site in Chromium: `make screenshot` runs `python -m demo.site_screenshot docs`.

It works in a temporary folder with an embedded database and the stand-ins: the market has been crawled twice, with some
hours in between, the deals have been found, and the lots with the soonest sales have photos. Writes board.webp,
ad.webp, lots.webp and lot.webp, 1280 pixels wide, and the same as board-phone.webp and so on, 390 wide.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from PIL import Image

from demo import world as demo_world
from demo.screenshot import remove
from demo.site import open_site
from demo.world import DemoFailed
from ops.workers import registry
from vinops import config
from vinops_scrapy.copart.browser_program import find_chromium

if TYPE_CHECKING:
    from collections.abc import Sequence

LOTS: Final = 1250
PHOTO_LOTS: Final = 30  # of the soonest sales: a page of them, and some more
WORKERS: Final = ("1", "2")
SHOTS: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("", {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"}),
    ("-phone", {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark", "device_scale_factor": 2}),
)
QUALITY: Final = 82


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
    subprocess.run(
        [sys.executable, "-m", "etl", "run"], check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL
    )
    demo_world.crawl(environment, folder, ["lot_photos", "-a", f"batch={PHOTO_LOTS}"])
    workers = registry.chosen(config.load(environment, folder=folder), WORKERS)
    crawls = [[*worker.crawl.split()[2:], "-a", "mode=full"] for worker in workers]
    demo_world.crawl(environment, folder, *crawls)
    demo_world.advance(made.market)
    demo_world.crawl(environment, folder, *crawls)
    _run(environment, folder, "deals", "run")
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
        for suffix, look in SHOTS:
            page = browser.new_context(storage_state=signed_in, locale=language, **look).new_page()
            page.goto(f"{base}/", wait_until="networkidle")
            _write(page.screenshot(), folder / f"board{suffix}.webp")
            changed = page.locator(".card:has(.spark) h2 a")  # whose price has a history
            (changed if changed.count() else page.locator(".card h2 a")).first.click()
            page.wait_for_load_state("networkidle")
            _write(page.screenshot(full_page=not suffix), folder / f"ad{suffix}.webp")
            page.goto(f"{base}/lots?has_photos=yes", wait_until="networkidle")
            _write(page.screenshot(), folder / f"lots{suffix}.webp")
            page.locator(".lot h2 a").first.click()
            page.wait_for_load_state("networkidle")
            _write(page.screenshot(full_page=not suffix), folder / f"lot{suffix}.webp")
        browser.close()


def _write(png: bytes, path: Path) -> None:
    Image.open(io.BytesIO(png)).convert("RGB").save(path, "WEBP", quality=QUALITY, method=6)


def _run(environment: dict[str, str], folder: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "ops.cli", *arguments]
    subprocess.run(command, check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
