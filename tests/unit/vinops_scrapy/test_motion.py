"""A crawl moves when something comes to its end, good or bad, and when it waits on purpose; breathing is no motion."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from scrapy.utils.test import get_crawler

from vinops_scrapy import shared
from vinops_scrapy.motion import Motion
from vinops_scrapy.spiders import lot_photos
from vinops_scrapy.spiders.base import CrawlProgress


@dataclass
class Crawl:
    """A crawl with a clock of its own."""

    now: float = 0.0
    progress: CrawlProgress = field(default_factory=CrawlProgress)
    stats: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.motion = Motion(still_seconds=300, clock=lambda: self.now)

    def still(self, at: float) -> float:
        self.now = at
        return self.motion.still(self.progress, self.stats)


def test_nothing_for_five_minutes_is_standing_still() -> None:
    crawl = Crawl()
    assert (crawl.still(10), crawl.still(300), crawl.still(301)) == (0, 0, 301)
    crawl.stats["photo/stored"] = 1
    assert (crawl.still(302), crawl.still(602), crawl.still(603)) == (0, 0, 301)


@pytest.mark.parametrize(
    "name",
    [
        "photo/stored",
        "photo/failed/damaged",
        "lot/failed",
        "listing/unchanged",
        "detail/read",
        "walk/incomplete",
        "session/paused_seconds",
    ],
)
def test_whatever_comes_to_its_end_is_motion(name: str) -> None:
    crawl = Crawl()
    assert crawl.still(400) > 0
    crawl.stats[name] = 1
    assert crawl.still(403) == 0


@pytest.mark.parametrize(
    "name", ["downloader/request_count", "downloader/response_count", "page/opened", "retry/count"]
)
def test_requests_answers_and_pages_that_open_are_none(name: str) -> None:
    crawl = Crawl()
    for second in range(0, 500, 3):
        crawl.stats[name] = second
        still = crawl.still(second)
    assert still > 300


def test_a_page_that_is_read_is_motion() -> None:
    crawl = Crawl()
    assert crawl.still(400) > 0
    crawl.progress = CrawlProgress(done=1)
    assert crawl.still(403) == 0


def test_waiting_on_purpose_counts_from_its_end() -> None:
    crawl = Crawl()
    crawl.now = 100
    crawl.motion.rest(3600)
    crawl.motion.rest(1)
    assert (crawl.still(3700), crawl.still(4000), crawl.still(4001)) == (0, 0, 301)


def test_a_wait_for_a_place_in_a_budget_is_on_purpose(monkeypatch: pytest.MonkeyPatch) -> None:
    rested: list[float] = []
    monkeypatch.setattr(Motion, "rest", lambda _self, seconds: rested.append(seconds))
    crawler = get_crawler(settings_dict={"VINOPS_STILL_SECONDS": 300.0})
    asyncio.run(shared.departures(crawler).leave("cs.copart.com", 0.01, 0))
    assert rested


def test_leases_are_renewed_by_the_crawl_that_holds_them_and_only_while_it_moves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lot_photos.LotPhotos, "renew_seconds", 0.001)
    renewed: list[bool] = []
    spider = object.__new__(lot_photos.LotPhotos)
    spider.is_moving = lambda: len(renewed) < 2  # type: ignore[method-assign]

    async def renew() -> None:
        renewed.append(True)

    async def live() -> None:
        spider.work = SimpleNamespace(renew=renew)  # type: ignore[assignment]
        keeping = asyncio.ensure_future(spider._keep_leases())
        while len(renewed) < 2:  # noqa: ASYNC110 # what is waited for has no event
            await asyncio.sleep(0.001)
        for _ in range(5):
            await asyncio.sleep(0.002)
        keeping.cancel()

    asyncio.run(live())
    assert len(renewed) == 2
