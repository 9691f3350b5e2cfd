"""What systemd is told of a crawl that is a service: that it is up, and that it moves."""

from __future__ import annotations

import asyncio
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from scrapy import Spider, signals
from scrapy.signalmanager import SignalManager
from scrapy.statscollectors import MemoryStatsCollector

from tests.support.notify_listener import Systemd
from vinops_scrapy.copart import sessions
from vinops_scrapy.extensions.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WATCHDOG = 0.03  # seconds
HANGS = 30  # seconds


class Stats(MemoryStatsCollector):
    """Counts how often the extension has looked, and how often one was set."""

    looks = changes = 0

    def set_value(self, key: str, value: Any, spider: Spider | None = None) -> None:
        """Set it, and count it."""
        self.changes += 1
        super().set_value(key, value)

    def get_stats(self, spider: Spider | None = None) -> dict[str, Any]:
        """Return them, and count it."""
        self.looks += 1
        return super().get_stats()


@pytest.fixture
def systemd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Systemd]:
    """A service of Type=notify with a watchdog, which is this process."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", str(int(WATCHDOG * 1e6)))
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    listener = Systemd(tmp_path / "notify")
    yield listener
    listener.close()


def crawler_of() -> Any:
    """Return what the extension knows of a crawler."""
    crawler: Any = SimpleNamespace(settings=SimpleNamespace(getbool=lambda _: False))
    crawler.signals, crawler.stats = SignalManager(crawler), Stats(crawler)
    return crawler


def crawl(during: Callable[[Stats], Any]) -> Stats:
    """Let a crawl begin, follow `during`, and end: by the signals that an engine sends. Return its statistics."""
    crawler = crawler_of()
    extension = Watchdog.from_crawler(crawler)

    async def live() -> None:
        await crawler.signals.send_catch_log_async(signals.spider_opened, spider=None)
        await asyncio.wait_for(during(crawler.stats), HANGS)
        await crawler.signals.send_catch_log_async(signals.spider_closed, spider=None, reason="finished")
        looks = crawler.stats.looks
        await asyncio.sleep(2 * WATCHDOG)
        assert crawler.stats.looks == looks, "it has ended"

    asyncio.run(live())
    del extension  # signals hold it weakly
    stats: Stats = crawler.stats
    return stats


async def looks(stats: Stats, count: int) -> None:
    """Wait until the extension has looked so often again."""
    goal = stats.looks + count
    while stats.looks < goal:  # noqa: ASYNC110 # what is looked for has no event
        await asyncio.sleep(WATCHDOG / 10)


def test_the_watchdog_is_fed_when_a_statistic_changes_and_not_because_time_passes(systemd: Systemd) -> None:
    async def during(stats: Stats) -> None:
        for _ in range(3):
            stats.inc_value("photo/stored")
            await looks(stats, 2)
        assert systemd.count("WATCHDOG=1") >= 3
        systemd.forget()
        await looks(stats, 5)
        assert systemd.hear() == []

    crawl(during)


def test_a_crawl_is_ready_when_its_spider_is_open(systemd: Systemd) -> None:
    async def during(_: Stats) -> None:
        assert systemd.count("READY=1") == 1

    crawl(during)
    assert systemd.count("READY=1") == 1


def test_the_crawl_of_a_worker_leaves_it_to_the_worker_to_speak(
    systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_PID", str(os.getppid()))

    stats = crawl(lambda _: asyncio.sleep(0))
    assert stats.looks == 0
    assert systemd.hear() == []


def test_a_pause_between_sessions_is_no_standstill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "PAUSE_STEP", WATCHDOG / 3)
    paused = object.__new__(sessions.Sessions)
    paused._crawler, paused._seconds = crawler_of(), WATCHDOG

    async def live() -> None:
        paused._stopped = asyncio.Event()
        await asyncio.wait_for(paused._pause(), HANGS)

    asyncio.run(live())
    stats: Any = paused._crawler.stats
    assert stats.changes >= 3
    assert stats.get_value("session/paused_seconds") == pytest.approx(WATCHDOG)
