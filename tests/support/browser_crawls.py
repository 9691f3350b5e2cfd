"""Crawls of lot pages for the tests: sessions, browser and proxies in a Scrapy of their own, without a database.

    python -m tests.support.browser_crawls '{"urls": ["http://127.0.0.1:8080/lot/45000001"]}'

prints a line of JSON: what came of each address, the statistics, and what was left open.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import scrapy
from scrapy import Request
from scrapy.crawler import AsyncCrawlerProcess
from scrapy.utils.project import get_project_settings

from tests.support import contain, forks
from vinops import config, logs
from vinops_scrapy.copart import browser_pages, browser_process
from vinops_scrapy.copart.sessions import LoginFailed, Sessions
from vinops_scrapy.failures import Ignored
from vinops_scrapy.pages import copart
from vinops_scrapy.pages.errors import PageError


class Pages(scrapy.Spider):
    """Asks for the addresses one after the other: with `plain` as Scrapy does, else as lot pages."""

    name = "pages"
    order: dict[str, Any]
    said: dict[str, Any]

    async def start(self) -> AsyncIterator[Any]:
        """Ask, and take down what came. Yields nothing."""
        sessions = Sessions(self.crawler, config.load())
        ask = self.plain if self.order.get("plain") else self.page
        results = self.said["results"] = []
        if self.order.get("at_once"):
            await sessions.before_lot()
            results += await asyncio.gather(*(ask(sessions, url) for url in self.order["urls"]))
        else:
            for url in self.order["urls"]:
                await sessions.before_lot()
                results.append(await ask(sessions, url))
        self.said["processes"] = processes()
        self.said["open"] = {}
        handler = self.crawler.engine.downloader.handlers._handlers.get("http")
        for name, wrapper in getattr(handler, "context_wrappers", {}).items():
            self.said["open"][name] = len(wrapper.context.pages)
        for nothing in ():
            yield nothing

    async def page(self, sessions: Sessions, url: str) -> dict[str, Any]:
        """Return what came of a lot page."""
        try:
            response = await sessions.lot_page(url)
            found: dict[str, Any] = {"status": response.status, "url": response.url}
            found["photos"] = [link.url for link in copart.lot_page(response).photos]
        except PageError as error:
            found["reason"] = error.reason
        except (LoginFailed, Ignored) as error:
            return {"error": type(error).__name__, "reason": error.reason, "text": str(error)}
        return found

    async def plain(self, sessions: Sessions, url: str) -> dict[str, Any]:
        """Return what came of a plain request, and the slot and proxy that it used."""
        request = Request(url, meta=sessions.http_meta(), dont_filter=True)
        try:
            response = await self.crawler.engine.download_async(request)
        except Exception as error:  # noqa: BLE001 # whatever it is, the test judges it
            return {"error": type(error).__name__, "reason": getattr(error, "reason", "")}
        meta = response.request.meta
        return {
            "status": response.status,
            "slot": meta["download_slot"],
            "slots": sorted(self.crawler.engine.downloader.slots),
            "proxy": meta.get("proxy"),
            "label": meta.get("proxy_label"),
        }


def processes() -> list[str]:
    """Return the command lines of this process and of those that it started."""
    return [contain.command_line(pid, 1 << 20) for pid in (os.getpid(), *contain.descendants(os.getpid()))]


def main() -> None:
    """Crawl as the first argument says."""
    order = json.loads(sys.argv[1])
    for name, value in order.get("patch", {}).items():
        (module,) = (each for each in (browser_pages, browser_process) if hasattr(each, name))
        setattr(module, name, value)
    settings = get_project_settings()
    off = {"vinops_scrapy.middlewares.refusals.Refusals": None, "vinops_scrapy.middlewares.budget.Budget": None}
    # Both need a database.
    settings.set("DOWNLOADER_MIDDLEWARES", {**settings.getdict("DOWNLOADER_MIDDLEWARES"), **off})
    settings.set("ITEM_PIPELINES", {})
    settings.set("EXTENSIONS", {})
    settings.set("ROBOTSTXT_OBEY", False)
    settings.set("RETRY_ENABLED", False)
    for name, value in order.get("settings", {}).items():
        settings.set(name, value, priority="cmdline")
    said: dict[str, Any] = {}
    Pages.order, Pages.said = order, said
    process = AsyncCrawlerProcess(settings, install_root_handler=False)
    logs.configure("pages", config.load(), console=False)  # after the process, which closes all handlers
    crawler = process.create_crawler(Pages)
    process.crawl(crawler)
    process.start()
    stats = crawler.stats.get_stats() if crawler.stats else {}
    sys.stdout.write(json.dumps({**said, "stats": stats}, default=str) + "\n")


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What a crawl of pages came to. `everything` is all that it wrote: log at DEBUG, output, names of screenshots."""

    results: list[dict[str, Any]]
    stats: dict[str, Any]
    open: dict[str, int]
    processes: list[str]
    screenshots: list[Path]
    log: str
    everything: str


def look(urls: list[str], *, folder: Path, environment: dict[str, str], password: str = "", **order: Any) -> Looked:
    """Run a crawl of these addresses as a process. `password` is not put on its command line."""
    ended = forks.scrapy(
        {
            **os.environ,
            "VINOPS_DATA_DIR": str(folder),
            "VINOPS_LOG_LEVEL": "DEBUG",
            "VINOPS_PACE": "none",
            "VINOPS_SESSION_PAUSE": "0",
            **({"COPART_PASSWORD": password} if password else {}),
            **environment,
        },
        __file__,
        json.dumps({"urls": urls, **order}),
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    said = json.loads(ended.stdout.splitlines()[-1])
    shots = sorted((folder / "logs" / "screenshots").glob("*.png"))
    log = (folder / "logs" / "pages.log").read_text()
    names = " ".join(shot.name for shot in shots)
    return Looked(
        results=said["results"],
        stats=said["stats"],
        open=said["open"],
        processes=said["processes"],
        screenshots=shots,
        log=log,
        everything=f"{log}\n{ended.stdout}\n{ended.stderr}\n{names}",
    )


if __name__ == "__main__":
    main()
