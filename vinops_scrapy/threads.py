"""The threads of a crawl: for what would hold up the reactor, as decoding and uploading."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from scrapy import signals

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

T = TypeVar("T")

THREADS = 8


class Threads:
    """Runs functions in threads, and ends them with the engine."""

    def __init__(self) -> None:
        """Start no thread before there is work."""
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="crawl")

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return what the function returns; raise what it raises."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)

    def close(self) -> None:
        """Wait for what runs."""
        self._executor.shutdown(wait=True)


_of_crawls: WeakKeyDictionary[Crawler, Threads] = WeakKeyDictionary()


def threads(crawler: Crawler) -> Threads:
    """Return the threads of a crawl, one pool for all its parts."""
    if crawler not in _of_crawls:
        found = _of_crawls[crawler] = Threads()
        crawler.signals.connect(found.close, signals.engine_stopped, weak=False)
    return _of_crawls[crawler]
