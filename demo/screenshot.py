"""A picture of the monitor at work: `python -m demo.screenshot docs/monitor.svg`, which is what `make screenshot` runs.

It works in a temporary folder: an embedded database, the stand-ins, a feed that was loaded, a market that was crawled
once and has changed, the workers at their steady pace, Celery and the deals. The picture shows the monitor as it is.
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
CRAWLED: Final = WORKERS[:2]  # the workers whose makes are crawled before


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the monitor; 0 done, 2 wrong usage. However it ends, the processes that it started have ended too."""
    parser = argparse.ArgumentParser(prog="python -m demo.screenshot", description="Draw the monitor at work as SVG.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument(
        "--size", action="append", type=size, metavar="COLUMNSxROWS", help="of each file in turn (100x30)"
    )
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long it runs before (%(default)s)")
    parser.add_argument("--no-celery", action="store_true", help="leave the deals' processes out")
    options = parser.parse_args(arguments)
    if away := [path.parent for path in options.files if not path.parent.is_dir()]:
        parser.error(f"{away[0]} is no folder")
    sizes = [*(options.size or []), *[(100, 30)] * len(options.files)][: len(options.files)]
    with ExitStack() as cleanup:
        settings = world(cleanup, with_celery=not options.no_celery)
        asyncio.run(draw(settings, dict(zip(options.files, sizes, strict=True)), options.seconds))
    return 0


def size(text: str) -> tuple[int, int]:
    """Read `100x30`. Raises ValueError."""
    columns, _, rows = text.partition("x")
    return int(columns), int(rows)


def world(cleanup: ExitStack, *, with_celery: bool) -> config.Settings:
    """Start the stand-ins and the workers, and return the settings. `cleanup` ends them."""
    folder = Path(tempfile.mkdtemp(prefix="vinops-screenshot-"))
    folder.chmod(0o711)  # the server's account passes through it
    cleanup.callback(_remove, folder)
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
    demo_world.crawl(environment, folder, *(worker.crawl.split()[2:] for worker in workers))
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


def _remove(folder: Path) -> None:
    embedded.stop(embedded.folder(folder / "var"))
    embedded.release(folder / "var")
    shutil.rmtree(folder, ignore_errors=True)


async def draw(settings: config.Settings, files: dict[Path, tuple[int, int]], seconds: float) -> None:
    """Run the monitor for so many seconds, then write the files."""
    database.connect(settings, application="screenshot").close()  # the server stays up with this process
    app = Monitor(settings, refresh=REFRESH)
    async with app.run_test(size=next(iter(files.values()))) as pilot:
        await asyncio.sleep(seconds)
        for path, (columns, rows) in files.items():
            await pilot.resize_terminal(columns, rows)
            await asyncio.sleep(2 * REFRESH)
            await pilot.pause()
            path.write_text(without_fonts(app.export_screenshot(title="vinops monitor")), encoding="utf-8")


def without_fonts(svg: str) -> str:
    """Return the picture without Rich's web fonts, which a picture in a repository does not load."""
    import re

    return re.sub(r"@font-face\s*{.*?}", "", svg, flags=re.DOTALL).replace("Fira Code, monospace", "monospace")


if __name__ == "__main__":
    sys.exit(main())
