"""Three photo crawls at once: each lot is done once, and together they ask no host more often than one may."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from standin.photos.server import PhotoServer
from tests.support import reservations
from tests.support.photo_crawls import Crawled, Crawls, Database
from vinops import politeness
from vinops_scrapy.middlewares.budget import SPARE
from vinops_scrapy.spiders.lot_photos import LOTS_BUDGET

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vinops.config import Settings

pytestmark = pytest.mark.slow

CROWD = 3
LOTS = 300
MANY = 48  # photos: at the careful pace all of a lot are taken at once
FEW = 7  # photos a lot: how many lots there are is what counts here
PACED_LOTS = 40
SPEED = 200.0
PAST = 0.02  # seconds: the database's clock and the stand-in's may drift apart by so much


@pytest.fixture
def photos() -> Iterator[PhotoServer]:
    """The photo side of the outside world."""
    with PhotoServer(seed=3, empty_every=0, none_every=0) as server:
        yield server


@pytest.fixture
def crawls(settings: Settings, database: Database, photos: PhotoServer) -> Iterator[Crawls]:
    """Crawls of an empty database."""
    yield Crawls(settings=settings, database=database, server=photos)
    shutil.rmtree(settings.data_dir, ignore_errors=True)  # pytest would keep a gigabyte of photos


def run_at_once(crawls: Crawls, *arguments: str) -> list[Crawled]:
    """Run three crawls to their end."""
    processes = [crawls.start(*arguments) for _ in range(CROWD)]
    ends = [crawls.finish(process) for process in processes]
    for crawled in ends:
        assert crawled.exit_code == 0, crawled.log
    assert crawls.rows("select reason from ops.crawl_runs") == [("finished",)] * CROWD
    return ends


def assert_each_done_once(crawls: Crawls, lots: list[int], ends: list[Crawled], *, first: int) -> None:
    """Each lot was listed once, each photo fetched once, by any of the crawls, and all are there, the first ones in a
    pass of their own."""
    asked = Counter((request.kind, request.path) for request in crawls.server.requests)
    assert set(asked.values()) == {1}, "something was asked for twice"
    listed = [request.lot for request in crawls.server.requests if request.kind == "list"]
    assert sorted(lot for lot in listed if lot) == lots
    assert len(asked) == sum(1 + len(crawls.server.photos(lot)) for lot in lots)
    assert set(crawls.states().values()) == {"ok"}
    crawls.check(lots)
    done = [crawled.log.count("Scraped: lot") for crawled in ends]
    assert sum(done) == sum(1 + (len(crawls.server.photos(lot)) > first) for lot in lots)
    assert min(done) > 0, "they never met"


@pytest.mark.timeout(900)
def test_three_crawls_at_once_do_each_lot_once(crawls: Crawls) -> None:
    lots = crawls.add_lots(LOTS, most=FEW)
    ends = run_at_once(crawls)
    assert_each_done_once(crawls, lots, ends, first=crawls.settings.photos_first)


def test_three_crawls_at_once_share_one_budget(crawls: Crawls) -> None:
    reservations.note(crawls.database)
    lots = crawls.add_lots(PACED_LOTS)
    wall = time.time() - time.monotonic()
    ends = run_at_once(crawls, "-s", "VINOPS_PACE=careful", "-s", f"VINOPS_CLOCK_SPEED={SPEED}")
    assert_each_done_once(crawls, lots, ends, first=MANY)
    pace = politeness.pace("careful", speed=SPEED)
    server = crawls.server
    api, cdn = server.image_hosts.split(",")
    arrivals = {
        kind: sorted(wall + request.at for request in server.requests if request.kind == kind)
        for kind in ("list", "photo")
    }
    for host, gap, arrived in (
        (LOTS_BUDGET, pace.lot_gap, arrivals["list"]),
        (api, pace.page_gap, arrivals["list"]),
        (cdn, pace.image_gap, arrivals["photo"]),
    ):
        starts = reservations.places(crawls.rows, host, gap * (1 + SPARE))
        assert len(starts) == len(arrived), "a request without its place in the budget"
        assert min(later - sooner for sooner, later in pairwise(starts)) > gap * (1 + SPARE) - 1e-5, host
        # On a busy machine requests come late and bunched up; that the nth is never early holds on any.
        assert all(at > start - PAST for start, at in zip(starts, arrived, strict=True)), host
