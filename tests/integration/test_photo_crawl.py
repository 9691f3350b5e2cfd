"""`scrapy crawl lot_photos` as a process, on the stand-in: what it stores, in which order, and what it does not ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from standin.photo_server import PhotoServer
from tests.photo_crawls import Crawls, Database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vinops.config import Settings


@pytest.fixture
def photos() -> Iterator[PhotoServer]:
    """The photo side of the outside world."""
    with PhotoServer(seed=3, empty_every=0, none_every=0) as server:
        yield server


@pytest.fixture
def crawls(settings: Settings, database: Database, photos: PhotoServer) -> Crawls:
    """Crawls of an empty database."""
    return Crawls(settings=settings, database=database, server=photos)


def test_every_photo_of_every_lot_is_stored_once_and_a_second_run_asks_for_nothing(crawls: Crawls) -> None:
    lots = crawls.add_lots(10)
    crawled = crawls.run()
    assert (crawled.exit_code, crawled.reason) == (0, "finished"), crawled.log
    crawls.check(lots)
    assert set(crawls.states().values()) == {"ok"}
    photos = sum(len(crawls.server.photos(lot)) for lot in lots)
    assert len(crawls.server.requests) == photos + len(lots)
    assert crawled.stats["photo/stored"] == photos
    assert crawled.log.count("Scraped: lot") == len(lots)
    crawls.server.clear_requests()
    again = crawls.run()
    assert (again.exit_code, again.reason) == (0, "finished"), again.log
    assert crawls.server.requests == []
