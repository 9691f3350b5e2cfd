"""A screenshot of the running monitor: `make screenshot` runs `python -m demo.screenshot docs/monitor.svg`.

It works in a temporary folder with an embedded database and the stand-ins: the feed has been loaded, the market has
been crawled once and has changed since, the workers run at the steady pace, and Celery processes the deals. The
screenshot is that of the real monitor.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from demo import world as demo_world
from demo.world import DemoFailed
from ops.commands.monitor import REFRESH
from ops.monitor.screen import Monitor
from ops.workers import registry
from vinops import config
from vinops.db import database, embedded

if TYPE_CHECKING:
    from collections.abc import Sequence

LOTS: Final = 3000
SECONDS: Final = 75.0
WORKERS: Final = ("1", "2", "3", "4", "photos")
CRAWLED: Final = WORKERS[:2]  # the workers whose makes are crawled before the workers start


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the screenshots and return the exit code: 0 done, 2 wrong usage. All child processes are stopped."""
    parser = argparse.ArgumentParser(prog="python -m demo.screenshot", description="Draw the monitor at work as SVG.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument(
        "--size", action="append", type=size, metavar="COLUMNSxROWS", help="size of each file in turn (100x30)"
    )
    parser.add_argument("--seconds", type=float, default=SECONDS, help="time before the screenshot (%(default)s)")
    parser.add_argument("--no-celery", action="store_true", help="do not start the deals' processes")
    options = parser.parse_args(arguments)
    if away := [path.parent for path in options.files if not path.parent.is_dir()]:
        parser.error(f"{away[0]} is not a folder")
    sizes = [*(options.size or []), *[(100, 30)] * len(options.files)][: len(options.files)]
    with ExitStack() as cleanup:
        settings = world(cleanup, with_celery=not options.no_celery)
        asyncio.run(draw(settings, dict(zip(options.files, sizes, strict=True)), options.seconds))
    return 0


def size(text: str) -> tuple[int, int]:
    """Parse a size such as `100x30` as columns and rows. Raises ValueError."""
    columns, _, rows = text.partition("x")
    return int(columns), int(rows)


def world(cleanup: ExitStack, *, with_celery: bool) -> config.Settings:
    """Start the stand-ins and the workers, and return the settings. `cleanup` stops them."""
    folder = Path(tempfile.mkdtemp(prefix="vinops-screenshot-"))
    folder.chmod(0o711)  # the database server's account needs access to a folder below it
    cleanup.callback(remove, folder)
    environment = {
        **config.without_settings(),
        "VINOPS_DATA_DIR": str(folder / "var"),
        "VINOPS_EMBEDDED_LINGER": "0",
        "VINOPS_WORKERS_BACKEND": "processes",
        "SCRAPY_SETTINGS_MODULE": "vinops_scrapy.settings",
    }
    _run(environment, folder, "-m", "ops.cli", "migrate")
    try:
        world = demo_world.start(environment, folder, lots=LOTS, count=demo_world.MOST_ADS, cleanup=cleanup)
    except DemoFailed as failure:
        raise SystemExit(str(failure)) from None
    environment |= world.settings
    _run(environment, folder, "-m", "etl", "run")
    demo_world.advance(world.feed)
    _run(environment, folder, "-m", "etl", "run")
    workers = registry.chosen(config.load(environment, folder=folder), CRAWLED)
    demo_world.crawl(environment, folder, *([*worker.crawl.split()[2:], "-a", "mode=full"] for worker in workers))
    demo_world.advance(world.market)
    environment["VINOPS_PACE"] = "steady"
    _run(environment, folder, "-m", "ops.cli", "workers", "start", *WORKERS)
    cleanup.callback(_run, environment, folder, "-m", "ops.cli", "workers", "stop", *WORKERS)
    if with_celery:
        _run(environment, folder, "-m", "ops.cli", "celery", "start")
        cleanup.callback(_run, environment, folder, "-m", "ops.cli", "celery", "stop")
    _run(environment, folder, "-m", "ops.cli", "backup")
    return config.load(environment, folder=folder)


def _run(environment: dict[str, str], folder: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL)


def remove(folder: Path) -> None:
    """Stop the embedded server of the folder, and remove it."""
    embedded.stop(embedded.folder(folder / "var"))
    embedded.release(folder / "var")
    shutil.rmtree(folder, ignore_errors=True)


async def draw(settings: config.Settings, files: dict[Path, tuple[int, int]], seconds: float) -> None:
    """Run the monitor for so many seconds, then write a screenshot of the given columns and rows to each file."""
    database.connect(settings, application="screenshot").close()  # keeps the server running until this process ends
    app = Monitor(settings, refresh=REFRESH)
    async with app.run_test(size=next(iter(files.values()))) as pilot:
        await asyncio.sleep(seconds)
        for path, (columns, rows) in files.items():
            await pilot.resize_terminal(columns, rows)
            await asyncio.sleep(2 * REFRESH)
            await pilot.pause()
            path.write_text(without_fonts(app.export_screenshot(title="vinops monitor")), encoding="utf-8")


def without_fonts(svg: str) -> str:
    """Return the SVG without Rich's web fonts, which are not loaded where a repository shows the image."""
    import re

    return re.sub(r"@font-face\s*{.*?}", "", svg, flags=re.DOTALL).replace("Fira Code, monospace", "monospace")


if __name__ == "__main__":
    sys.exit(main())
