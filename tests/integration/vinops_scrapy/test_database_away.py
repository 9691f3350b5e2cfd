"""A photo crawl whose database is away: for a moment, which it does not mind, or for good, which ends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from standin.photos.server import PhotoServer
from tests.support.fleets import until
from tests.support.photo_crawls import Crawls, Database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vinops.config import Settings

LOTS = 15
BREAKS = 2
THEIRS = "from pg_stat_activity where application_name = 'scrapy lot_photos' and datname = current_database()"
IDLE = f"select count(pg_terminate_backend(pid)) {THEIRS} and state = 'idle'"


@pytest.fixture
def crawls(settings: Settings, database: Database) -> Iterator[Crawls]:
    """Crawls of an empty database."""
    with PhotoServer(seed=3, empty_every=0, none_every=0) as server:
        yield Crawls(settings=settings, database=database, server=server)


def done(crawls: Crawls) -> int:
    """Return how many lots are done."""
    return sum(state == "ok" for state in crawls.states().values())


def beats(crawls: Crawls) -> object:
    """Return when the run was last heard of."""
    return crawls.rows("select heartbeat_at from ops.crawl_runs")


def test_a_crawl_goes_on_with_new_connections_and_is_heard_of(crawls: Crawls) -> None:
    lots = crawls.add_lots(LOTS)
    process = crawls.start("-s", "VINOPS_PACE=steady", "-s", "VINOPS_CLOCK_SPEED=10")
    for each in range(BREAKS):
        until(lambda least=each: done(crawls) > least, "it is at work")
        assert crawls.rows(IDLE) != [(0,)]
    before = beats(crawls)
    until(lambda: beats(crawls) != before, "it is still heard of")
    crawled = crawls.finish(process)
    assert (crawled.exit_code, crawled.reason) == (0, "finished"), crawled.log
    crawls.check(lots)
