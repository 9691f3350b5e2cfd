"""`scrapy crawl mobile_bg` as a process, on the stand-in: what it records, cycle after cycle, and what it asks for."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from standin.market.server import MarketServer
from tests.support import reservations
from tests.support.fleets import until
from tests.support.market_crawls import ROOT, Database, MarketCrawls, everywhere
from vinops_scrapy.middlewares.budget import SPARE
from vinops_scrapy.mobile_bg.makes import read_makes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.photo_crawls import Crawled
    from vinops.config import Settings

WORKERS = (1, 2, 3, 4)


@pytest.fixture
def market() -> Iterator[MarketServer]:
    """A small market: 20 makes, 500 ads."""
    with MarketServer(seed=4, ads=500) as server:
        yield server


@pytest.fixture
def crawls(settings: Settings, database: Database, market: MarketServer) -> MarketCrawls:
    """Crawls of an empty database."""
    return MarketCrawls(settings=settings, database=database, server=market)


def well(crawled: Crawled) -> Crawled:
    assert (crawled.exit_code, crawled.reason) == (0, "finished"), crawled.log[-4000:]
    return crawled


def workers_at_once(crawls: MarketCrawls, *arguments: str) -> None:
    """Have the four workers walk their makes to the end."""
    running = [crawls.start("-a", f"worker={one}", "-a", "mode=full", *arguments) for one in WORKERS]
    for crawled in [crawls.finish(process) for process in running]:
        well(crawled)


def outbox(crawls: MarketCrawls) -> dict[str, set[str]]:
    """The ads that are handed on, by what happened to them; the outbox is empty afterwards."""
    found: dict[str, set[str]] = {}
    for change, ad_id in crawls.rows(
        "with taken as (delete from ops.deal_outbox returning change, listing_id)"
        " select change, ad_id from taken join listings on listings.id = listing_id"
    ):
        found.setdefault(change, set()).add(ad_id)
    return found


def assert_prices_are_as_shown(crawls: MarketCrawls) -> None:
    """What the database says an ad costs is what the stand-in shows, save for prices that are none."""
    shown = {ad_id: ad.price for ad_id, ad in crawls.server.ads().items() if ad.oddity != "placeholder"}
    for ad_id, price in crawls.rows("select ad_id, price_eur from listings where removed_at is null"):
        if ad_id in shown:
            assert price == shown[ad_id], ad_id


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_four_workers_at_once_see_every_ad_once_and_what_became_of_it(settings: Settings, database: Database) -> None:
    with MarketServer(seed=1, ads=7600) as server:
        crawls = MarketCrawls(settings=settings, database=database, server=server)
        workers_at_once(crawls)
        expected = crawls.in_bulgaria()
        assert crawls.active() == expected
        assert crawls.rows("select count(*) from listings") == [(len(expected),)]
        lists = [each for each in server.requests if each.kind == "list"]
        assert len(lists) <= 400
        assert len(expected) / len(lists) >= 19
        assert outbox(crawls) == {"new": expected}
        assert_prices_are_as_shown(crawls)
        seen = {ad_id: ad for ad_id, ad in server.ads().items() if not ad.is_abroad}

        changes = server.advance(new=40, changed=60, gone=50, back=0)
        now = crawls.in_bulgaria()
        workers_at_once(crawls)
        assert crawls.active() == now
        assert outbox(crawls) == {
            "new": set(changes.new) & now,
            "changed": {ad_id for ad_id in changes.changed if ad_id in seen and ad_id in now},
            "gone": set(changes.gone) & expected,
        }
        assert_prices_are_as_shown(crawls)
        prices = "select count(*) from listing_prices p join listings on listings.id = listing_id where ad_id = %s"
        repriced = next(ad_id for ad_id in changes.changed if ad_id in now and seen[ad_id].price)
        assert crawls.rows(prices, repriced) == [(2,)]

        changes = server.advance(new=0, changed=0, gone=0, back=20)
        well(crawls.run())
        assert outbox(crawls) == {"back": set(changes.back) & crawls.in_bulgaria()}
        assert crawls.active() == crawls.in_bulgaria()


@pytest.mark.slow
def test_workers_at_once_keep_one_budget(crawls: MarketCrawls) -> None:
    speed = 100.0
    pace = ["-s", "VINOPS_PACE=steady", "-s", f"VINOPS_CLOCK_SPEED={speed}"]
    reservations.note(crawls.database)
    workers_at_once(crawls, *pace)
    ((host,),) = crawls.rows("select distinct host from reservations")
    starts = reservations.places(crawls.rows, host, 3 / speed * (1 + SPARE))
    assert min(later - sooner for sooner, later in pairwise(starts)) >= 3 / speed
    assert len(starts) == len(crawls.server.requests)
    assert crawls.active() == crawls.in_bulgaria()


def test_each_request_has_a_place_in_the_budget_of_all_crawls(crawls: MarketCrawls) -> None:
    well(crawls.run("-a", "makes=bmw", "-a", "pages=2", "-s", "VINOPS_PACE=steady", "-s", "VINOPS_CLOCK_SPEED=1000"))
    asked = len(crawls.server.requests)
    assert asked >= 2
    assert crawls.rows("select requests from ops.host_budgets") == [(asked,)]


def test_an_unchanged_ad_costs_a_timestamp(crawls: MarketCrawls) -> None:
    well(crawls.run("-a", "makes=bmw"))
    before = crawls.rows("select ad_id, changed_at, list_hash from listings order by 1")
    outbox(crawls)
    sizes = "select pg_relation_size(reltoastrelid), pg_relation_size(oid) from pg_class where relname = 'listings'"
    was = crawls.rows(sizes)
    ((last, _),) = crawls.rows("select max(last_seen), min(last_seen) from listings")
    again = well(crawls.run("-a", "makes=bmw"))
    assert crawls.rows("select ad_id, changed_at, list_hash from listings order by 1") == before
    assert crawls.rows("select min(last_seen) > %s from listings", last) == [(True,)]
    assert crawls.rows(sizes)[0][0] == was[0][0], "none of the long values is written again"
    assert outbox(crawls) == {}
    assert not {"listing/new", "listing/changed", "listing/back"} & set(again.stats)


def test_what_is_new_is_found_in_a_few_requests(settings: Settings, database: Database) -> None:
    with MarketServer(seed=1, ads=800) as server:
        crawls = MarketCrawls(settings=settings, database=database, server=server)
        well(crawls.run())
        outbox(crawls)
        changes = server.advance(new=40, changed=0, gone=0, back=0)
        server.clear_requests()
        well(crawls.run("-a", "mode=fresh"))
        new = set(changes.new) & crawls.in_bulgaria()
        assert outbox(crawls) == {"new": new}
        assert len([each for each in server.requests if each.kind == "list"]) <= 8
        server.clear_requests()
        well(crawls.run("-a", "mode=fresh", "-a", "makes=bmw"))
        assert len([each for each in server.requests if each.kind == "list"]) == 1
        assert crawls.rows("select count(*) from listings where removed_at is not null") == [(0,)]


def test_a_make_of_more_ads_than_its_list_shows_is_walked_by_models(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    with MarketServer(seed=2, ads=0, make_ads={"bmw": 401}, page_limit=20) as server:
        more = {"VINOPS_MAKES_FILE": everywhere(tmp_path, page_limit=20)}
        crawls = MarketCrawls(settings=settings, database=database, server=server, more=more)
        crawled = well(crawls.run("-a", "makes=bmw"))
        assert "walked model by model make=bmw ads=401" in crawled.log
        assert crawls.active() == set(server.ads())
        assert crawls.rows("select is_complete, total, ads from ops.listing_walks") == [(True, 401, 401)]


def test_a_model_of_more_ads_than_its_list_shows_is_walked_by_regions(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    with MarketServer(
        seed=2, ads=0, make_ads={"seat": 150}, page_limit=2, regions_in=(), without_region=0.05
    ) as server:
        more = {"VINOPS_MAKES_FILE": everywhere(tmp_path, page_limit=2)}
        makes = tmp_path / "makes.toml"
        makes.write_text(makes.read_text().replace('"oblast-yambol"', '"oblast-yambol", "oblast-nowhere"'))
        crawls = MarketCrawls(settings=settings, database=database, server=server, more=more)
        crawled = well(crawls.run("-a", "makes=seat"))
        assert "walked model by model make=seat ads=150" in crawled.log
        assert "walked region by region make=seat model=" in crawled.log
        assert "the site has no such list" in crawled.log
        assert crawled.stats["walk/unknown_list"] == 1, "no further list is asked for it"
        assert crawls.active() == set(server.ads())
        assert crawls.rows("select is_complete, reason, total, ads from ops.listing_walks") == [(True, None, 150, 150)]


def test_an_ad_that_no_list_has_shown_is_asked_for_by_its_own_page(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    with MarketServer(seed=2, ads=0, make_ads={"kia": 150}, page_limit=4, repeats=0) as server:
        more = {"VINOPS_MAKES_FILE": everywhere(tmp_path, page_limit=4)}
        crawls = MarketCrawls(settings=settings, database=database, server=server, more=more)
        well(crawls.run("-a", "makes=kia"))
        new = server.advance(new=4, changed=0, gone=0, back=0).new
        well(crawls.run("-a", "mode=fresh", "-a", "makes=kia"))
        for ad_id in new[:2]:  # only the newest ads have shown them
            server.remove(ad_id)
        server.clear_requests()
        walk = crawls.start("-a", "makes=kia", "-s", "VINOPS_PACE=steady", "-s", "VINOPS_CLOCK_SPEED=10")
        until(lambda: len([each for each in server.requests if each.kind == "list"]) >= 3, "three pages were read")
        read = {each.model for each in server.requests}
        late = next(ad_id for ad_id, ad in server.ads().items() if ad.model not in read and ad_id not in new)
        server.remove(late)  # so that the walk has not seen all ads that were there
        crawled = well(crawls.finish(walk))
        assert [each.ad for each in server.requests if each.kind == "detail"] == sorted(new[:2])
        assert crawled.stats["recheck/deleted"] == 2
        assert crawls.active() == set(server.ads())
        assert "complete=yes ads=151 total=152 gone=1" in crawled.log


@pytest.mark.parametrize("is_elsewhere", [False, True])
def test_a_walk_that_was_interrupted_is_continued_at_the_next_page(
    settings: Settings, database: Database, tmp_path: Path, is_elsewhere: bool
) -> None:
    with MarketServer(seed=4, ads=0, make_ads={"kia": 130}, repeats=0) as server:
        crawls = MarketCrawls(settings=settings, database=database, server=server)
        server.fault("reset", makes=["kia"], pages=[4])
        assert crawls.run("-a", "makes=kia").exit_code == 1
        server.clear_faults()
        server.clear_requests()
        if is_elsewhere:
            crawls.more = {"VINOPS_DATA_DIR": str(tmp_path / "other"), "VINOPS_LOG_DIR": str(tmp_path / "logs")}
        crawled = well(crawls.run("-a", "makes=kia"))
        assert "a walk is continued make=kia" in crawled.log
        assert [each.page for each in server.requests if each.kind == "list"] == [4, 5, 6, 7]
        assert crawls.active() == crawls.in_bulgaria()
        assert crawls.rows("select is_complete, pages from ops.listing_walks") == [(True, 7)]


def test_a_walk_of_a_few_pages_neither_continues_another_nor_is_continued(crawls: MarketCrawls) -> None:
    crawls.server.fault("reset", makes=["bmw"], pages=[2])
    assert crawls.run("-a", "makes=bmw").exit_code == 1
    crawls.server.clear_faults()
    well(crawls.run("-a", "makes=bmw", "-a", "pages=1"))
    assert crawls.rows("select reason, is_complete from ops.listing_walks order by id") == [
        (None, None),
        ("pages", False),
    ]
    well(crawls.run("-a", "makes=bmw"))
    assert crawls.rows("select reason, is_complete from ops.listing_walks order by id") == [
        (None, True),
        ("pages", False),
    ]


def test_progress_goes_by_what_the_last_complete_walk_counted(crawls: MarketCrawls) -> None:
    first = well(crawls.run("-a", "makes=fiat"))
    assert "a make has far fewer ads than expected make=fiat" in first.log
    crawls.server.fault("server_error", makes=["fiat"], pages=[1])
    crawls.run("-a", "makes=fiat")
    pages = -(-len(crawls.in_bulgaria("fiat")) // 20)
    assert crawls.rows("select total from ops.crawl_runs order by id desc limit 1") == [(pages,)]
    crawls.server.clear_faults()
    assert "far fewer ads than expected" not in well(crawls.run("-a", "makes=fiat")).log


def test_fewer_pages_on_request_record_what_they_show_and_take_nothing_for_gone(crawls: MarketCrawls) -> None:
    well(crawls.run("-a", "makes=bmw,audi"))
    crawls.server.remove(next(iter(crawls.active("bmw"))))
    crawled = well(crawls.run("-a", "makes=bmw", "-a", "pages=1"))
    assert "page 1 of 1" in crawled.log
    assert crawls.rows("select count(*) from listings where removed_at is not null") == [(0,)]
    assert crawls.rows("select reason from ops.listing_walks order by id desc limit 1") == [("pages",)]


def test_details_are_asked_for_where_the_list_lacks_something_and_once(crawls: MarketCrawls) -> None:
    well(crawls.run("-a", "makes=kia", "-a", "details=missing"))
    asked = [each.ad for each in crawls.server.requests if each.kind == "detail"]
    lacking = "year is null or mileage_km is null or fuel is null or gearbox is null or power_hp is null"
    still = {ad_id for (ad_id,) in crawls.rows(f"select ad_id from listings where {lacking}")}
    assert len(asked) == len(set(asked)) < len(crawls.active())
    crawls.server.clear_requests()
    well(crawls.run("-a", "makes=kia", "-a", "details=all"))
    rest = [each.ad for each in crawls.server.requests if each.kind == "detail"]
    assert set(rest) | set(asked) == crawls.active()
    assert not set(rest) & set(asked)
    assert crawls.rows("select count(*) from listings where detailed_at is null") == [(0,)]
    crawls.server.clear_requests()
    outbox(crawls)
    again = well(crawls.run("-a", "makes=kia", "-a", "details=all"))
    assert [each for each in crawls.server.requests if each.kind == "detail"] == []
    assert again.stats["listing/unchanged"] >= len(crawls.active())
    assert outbox(crawls) == {}
    assert still >= {ad_id for (ad_id,) in crawls.rows(f"select ad_id from listings where {lacking}")}


@pytest.mark.slow
def test_two_crawls_of_one_make_do_not_walk_it_twice(settings: Settings, database: Database) -> None:
    claim = ("-a", "makes=bmw", "-s", "VINOPS_CLAIM_SECONDS=2")
    with MarketServer(seed=4, ads=0, make_ads={"bmw": 200}) as server:
        crawls = MarketCrawls(settings=settings, database=database, server=server)
        first = crawls.start(*claim, "-s", "VINOPS_PACE=steady", "-s", "VINOPS_CLOCK_SPEED=0.5")  # a page in 6 s
        deadline = time.monotonic() + 60
        while not any(each.kind == "list" for each in server.requests):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        second = well(crawls.run(*claim)).log
        assert "claimed by other crawls: tried again when the claims end makes=bmw" in second
        assert "another crawl walks this make make=bmw" in second
        first.send_signal(signal.SIGTERM)
        crawls.finish(first)
        pages = [each.page for each in server.requests if each.kind == "list"]
        assert len(pages) == len(set(pages))
        assert crawls.rows("select count(*), count(claimed_until) from ops.listing_walks") == [(1, 0)]


def test_told_to_stop_it_keeps_what_it_has_and_takes_nothing_for_gone(crawls: MarketCrawls) -> None:
    with crawls.start("-a", "makes=bmw", "-s", "VINOPS_PACE=steady", "-s", "VINOPS_CLOCK_SPEED=5") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "Scraped: bmw page 2" in line:
                process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
    assert crawls.rows("select reason, finished_at is not null from ops.crawl_runs") == [("shutdown", True)]
    assert 20 < len(crawls.active()) < len(crawls.in_bulgaria("bmw"))
    assert crawls.rows("select count(*) from ops.listing_walks where is_complete") == [(0,)]
    well(crawls.run("-a", "makes=bmw"))
    assert crawls.active() == crawls.in_bulgaria("bmw")


def test_the_make_that_was_walked_longest_ago_comes_first(crawls: MarketCrawls) -> None:
    well(crawls.run("-a", "makes=fiat,seat"))
    crawls.server.clear_requests()
    well(crawls.run("-a", "makes=seat,kia,fiat"))
    order = list(dict.fromkeys(each.make for each in crawls.server.requests if each.kind == "list"))
    assert order == ["kia", "fiat", "seat"]


def test_nothing_personal_is_stored_or_written(crawls: MarketCrawls) -> None:
    well(crawls.run("-a", "details=all", "-a", "makes=bmw,seat"))
    personal = {ad.phone for ad in crawls.server.ads().values() if ad.phone}
    assert personal
    stored = " ".join(text for (text,) in crawls.rows("select row_to_json(listings)::text from listings"))
    written = " ".join(path.read_text() for path in crawls.settings.log_dir.rglob("*") if path.is_file())
    for phone in personal:
        assert phone not in stored + written
        assert phone.replace(" ", "") not in stored + written


def test_a_worker_has_a_log_and_a_row_of_its_own(crawls: MarketCrawls) -> None:
    crawled = well(crawls.run("-a", "worker=2", "-a", "mode=full"))
    log = (crawls.settings.log_dir / "worker_2.log").read_text()
    assert "Scraped: audi page 1 of" in log
    assert "INSERT 20 UPDATE 0" in log
    assert "item_scraped_count" in log
    ((worker, unit, done, total, items, last),) = crawls.rows(
        "select worker, unit, done, total, items, last_items from ops.crawl_runs"
    )
    pages = len([each for each in crawls.server.requests if each.kind == "list"])
    assert (worker, unit, done, total, items) == ("2", "page", pages, pages, crawled.stats["item_scraped_count"])
    assert len(last) == 5


def test_it_says_who_asks_and_reads_robots_txt(crawls: MarketCrawls) -> None:
    crawls.more["VINOPS_USER_AGENT"] = "vinops/0.1 (ops@example.com)"
    well(crawls.run("-a", "makes=seat"))
    assert crawls.server.requests[0].kind == "robots"
    assert {each.headers["user-agent"] for each in crawls.server.requests} == {"vinops/0.1 (ops@example.com)"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["worker=9"], "-a worker=9 is none of 1, 2, 3, 4"),
        (["worker=one"], "-a worker=one is not a count above 0"),
        (["worker=1", "makes=bmw"], "-a worker and -a makes say different things"),
        (["makes=../etc"], "-a makes=../etc is not a name in the site's addresses"),
        (["mode=slow"], "-a mode=slow is none of full, fresh, scheduled"),
        (["mode=scheduled", "pages=1"], "-a mode=scheduled takes no -a pages and no -a details: use -a mode=full"),
        (["details=some"], "-a details=some is none of none, missing, all"),
        (["pages=0"], "-a pages=0 is not a count above 0"),
        (["pages=" + "9" * 30], "is not a count above 0"),
        (["makes="], "-a makes= has no value: give one, or leave the argument out"),
        (["page=3"], "mobile_bg knows no -a page: use worker, makes, pages, mode or details"),
    ],
)
def test_wrong_usage_says_what_is_wrong_and_asks_nothing(crawls: MarketCrawls, arguments: list[str], says: str) -> None:
    crawled = crawls.run(*(part for argument in arguments for part in ("-a", argument)))
    assert crawled.exit_code == 2
    assert says in crawled.log
    assert "Traceback" not in crawled.log
    assert crawls.server.requests == []


@pytest.mark.slow
def test_items_can_be_had_as_a_file(crawls: MarketCrawls) -> None:
    path = crawls.settings.data_dir / "ads.jsonl"
    done = subprocess.run(
        [sys.executable, "-m", "scrapy", "crawl", "mobile_bg", "-a", "makes=seat", "-O", str(path)],
        cwd=ROOT,
        env=crawls.environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert path.read_text().count("\n") >= len(crawls.active())


def test_the_groups_are_those_of_the_stand_in(market: MarketServer) -> None:
    ours = {worker: tuple(make.slug for make in makes) for worker, makes in read_makes().workers.items()}
    assert set(ours) - set(market.groups) == {5}, "the makes that come from America are off by default"
    assert {worker: ours[worker] for worker in market.groups} == dict(market.groups)
