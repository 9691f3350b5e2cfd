"""A crawl whose database is away: for a moment, as at a restart, which costs nothing, or for good, which ends it."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from psycopg.conninfo import conninfo_to_dict

from standin.market.server import MarketServer
from standin.photos.server import PhotoServer
from tests.support.fleets import until
from tests.support.market_crawls import MarketCrawls
from tests.support.photo_crawls import Crawls, Database
from vinops.config import Secret, Settings
from vinops.db import database as db, embedded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.photo_crawls import Crawled

LOTS = 15
BREAKS = 2
PACE = ("-s", "VINOPS_PACE=steady", "-s", "VINOPS_CLOCK_SPEED=10")
MAKES = {"seat": 60, "fiat": 60}
THEIRS = "from pg_stat_activity where application_name = 'scrapy {}' and datname = current_database()"
IDLE = f"select count(pg_terminate_backend(pid)) {THEIRS.format('lot_photos')} and state = 'idle'"
ALL = f"select count(pg_terminate_backend(pid)) {THEIRS.format('mobile_bg')}"
READ = "select 1 from ops.listing_walks having sum(pages) > %s"
DOWN = 2.0  # seconds that the server is away at a restart


@pytest.fixture
def crawls(settings: Settings, database: Database) -> Iterator[Crawls]:
    """Crawls of an empty database."""
    with PhotoServer(seed=3, empty_every=0, none_every=0) as server:
        yield Crawls(settings=settings, database=database, server=server)


def market(settings: Settings, database: Database, server: MarketServer) -> MarketCrawls:
    """Market crawls of an empty database."""
    return MarketCrawls(settings=settings, database=database, server=server)


def done(crawls: Crawls) -> int:
    """Return how many lots are done."""
    return sum(state == "ok" for state in crawls.states().values())


def beats(crawls: Crawls) -> object:
    """Return when the run was last heard of."""
    return crawls.rows("select heartbeat_at from ops.crawl_runs")


def went_on(crawled: Crawled) -> None:
    """Assert that a crawl came to its end as if nothing had happened."""
    assert (crawled.exit_code, crawled.reason) == (0, "finished"), crawled.log
    assert "Traceback" not in crawled.log
    assert "ERROR" not in crawled.log


def test_a_crawl_goes_on_with_new_connections_and_is_heard_of(crawls: Crawls) -> None:
    lots = crawls.add_lots(LOTS)
    process = crawls.start(*PACE)
    for each in range(BREAKS):
        until(lambda least=each: done(crawls) > least, "it is at work")
        assert crawls.rows(IDLE) != [(0,)]
    before = beats(crawls)
    until(lambda: beats(crawls) != before, "it is still heard of")
    went_on(crawls.finish(process))
    crawls.check(lots)


@pytest.mark.slow
def test_a_market_crawl_keeps_its_make_and_its_pages_when_all_sessions_end(
    settings: Settings, database: Database
) -> None:
    with MarketServer(seed=9, ads=0, make_ads=MAKES) as server:
        crawls = market(settings, database, server)
        process = crawls.start("-a", f"makes={','.join(MAKES)}", *PACE)
        for page in range(BREAKS):
            until(lambda least=page: crawls.rows(READ, least), "it is at work")
            assert crawls.rows(ALL) != [(0,)]
        went_on(crawls.finish(process))
        assert crawls.active() == crawls.in_bulgaria()
        asked = [(each.make, each.page) for each in server.requests if each.kind == "list"]
        assert len(asked) == len(set(asked)), "no page is read twice"
        assert crawls.rows("select count(*) from ops.listing_walks where is_complete") == [(len(MAKES),)]


def restart(settings: Settings) -> None:
    """Restart the server of a data folder, as `pg_ctl restart -m fast`, which takes a while."""
    embedded.stop(embedded.folder(settings.data_dir))
    time.sleep(DOWN)
    embedded.ensure_running(settings.data_dir)


@pytest.mark.slow
@pytest.mark.parametrize("is_embedded", [True, False])
@pytest.mark.parametrize("kind", ["photos", "market"])
def test_a_restart_of_the_server_costs_a_crawl_nothing(
    open_folder: Path, tmp_path: Path, kind: str, is_embedded: bool
) -> None:
    own = Settings(data_dir=open_folder / "data", log_dir=tmp_path / "logs")
    db.migrate(own)
    host = quote(str(conninfo_to_dict(db.url(own))["host"]), safe="")
    settings = replace(own, database_url=Secret(f"postgresql://vinops@/vinops?host={host}"))
    with ExitStack() as stack:
        database = stack.enter_context(db.connect(own, application="tests", autocommit=True))
        crawls: Any
        if kind == "photos":
            server: Any = stack.enter_context(PhotoServer(seed=3, empty_every=0, none_every=0))
            crawls = Crawls(settings=settings, database=database, server=server)
            lots, arguments = crawls.add_lots(LOTS), ()
        else:
            server = stack.enter_context(MarketServer(seed=9, ads=0, make_ads=MAKES))
            crawls = market(settings, database, server)
            lots, arguments = [], ("-a", f"makes={','.join(MAKES)}")
        crawls.more = {"DATABASE_URL": ""} if is_embedded else {}
        process = crawls.start(*arguments, *PACE)
        at_work = "select 1 from ops.crawl_runs where done > 1"
        until(lambda: process.poll() is not None or crawls.rows(at_work), "it is at work")
        restart(own)
        crawls.database = stack.enter_context(db.connect(own, application="tests", autocommit=True))
        went_on(crawls.finish(process))
        if kind == "photos":
            crawls.check(lots)
        else:
            assert crawls.active() == crawls.in_bulgaria()
            assert crawls.rows("select count(*) from ops.listing_walks where is_complete") == [(len(MAKES),)]
