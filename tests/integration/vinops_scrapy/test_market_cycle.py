"""The scheduled cycle on the stand-in and in the database: the newest ads, rechecks and walks, by several workers."""

from __future__ import annotations

import asyncio
import signal
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from scrapy.statscollectors import StatsCollector
from scrapy.utils.test import get_crawler

from standin.market.server import MarketServer
from tests.support import reservations
from tests.support.market_crawls import MarketCrawls
from vinops.db import database as db
from vinops.db.database import queries
from vinops_scrapy.items import Listing, RecheckedAd
from vinops_scrapy.listings.records import ClaimLost, Listings, Recorded
from vinops_scrapy.middlewares.budget import SPARE
from vinops_scrapy.mobile_bg.cycle import new_cycle
from vinops_scrapy.mobile_bg.makes import read_makes
from vinops_scrapy.mobile_bg.newest import NewestPass, NewestPasses
from vinops_scrapy.mobile_bg.rechecks import DOUBTFUL, TRUSTED, Recheck, Rechecks
from vinops_scrapy.mobile_bg.schedule import Schedule

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Awaitable, Callable, Iterator

    from psycopg import Connection
    from psycopg_pool import AsyncConnectionPool

    from tests.support.photo_crawls import Crawled
    from vinops.config import Settings

    Database = Connection[tuple[Any, ...]]

SOURCE = "mobile.bg"
SPEED = 200.0


@pytest.fixture
def market() -> Iterator[MarketServer]:
    """A small market: 20 makes, 400 ads."""
    with MarketServer(seed=4, ads=400) as server:
        yield server


@pytest.fixture
def crawls(settings: Settings, database: Database, market: MarketServer) -> MarketCrawls:
    """Crawls of an empty database, on a clock that is 200 times as fast, which end after so many seconds."""
    found = MarketCrawls(settings=settings, database=database, server=market)
    found.more["VINOPS_PACE"] = "steady"
    return found


def well(crawled: Crawled, reason: str = "shutdown") -> Crawled:
    assert (crawled.exit_code, crawled.reason) == (0, reason), crawled.log[-4000:]
    return crawled


def until(is_so: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.02)


def scheduled(crawls: MarketCrawls, worker: int, *more: str, speed: float = SPEED) -> subprocess.Popen[str]:
    """Start a worker."""
    return crawls.start("-a", f"worker={worker}", "-s", f"VINOPS_CLOCK_SPEED={speed}", *more)


def stopped(crawls: MarketCrawls, *workers: subprocess.Popen[str]) -> list[Crawled]:
    """Stop workers, and return their ends."""
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
    return [well(crawls.finish(worker)) for worker in workers]


def lists(crawls: MarketCrawls, *, of_all: bool) -> list[Any]:
    """Return the requests for pages of the list of all makes, or of single makes."""
    return [each for each in list(crawls.server.requests) if each.kind == "list" and (each.make is None) == of_all]


def complete(crawls: MarketCrawls) -> set[str]:
    """Return the makes that were walked to their end."""
    return {make for (make,) in crawls.rows("select make_slug from ops.listing_walks where is_complete")}


def passes(crawls: MarketCrawls, count: int) -> bool:
    """Tell whether so many passes over the newest ads have begun."""
    return bool(crawls.rows("select 1 from ops.market_cycles where number >= %s", count))


def test_a_worker_walks_its_makes_once_and_reads_the_newest_ads_of_all_beside_it(crawls: MarketCrawls) -> None:
    crawls.more["VINOPS_NEWEST_EVERY"] = "1"  # always due
    worker = scheduled(crawls, 2)
    until(lambda: complete(crawls) == {"audi", "vw", "opel"}, "its makes are walked")
    ((number,),) = crawls.rows("select number from ops.market_cycles")
    until(lambda: passes(crawls, number + 3), "nothing else is due, and the newest ads are read")
    (crawled,) = stopped(crawls, worker)
    walks = crawls.rows("select make_slug from ops.listing_walks order by 1")
    assert walks == [("audi",), ("opel",), ("vw",)], "none of them twice"
    assert crawls.active() == crawls.in_bulgaria(), "the first pass reads so far"
    assert crawled.stats["newest/complete"] >= number + 1
    assert {each.sort for each in lists(crawls, of_all=True)} == {6}
    order = [each.make for each in crawls.server.requests if each.kind == "list"]
    assert all(None in pair for pair in pairwise(order)), "after each page of a walk it is decided anew"
    assert crawls.rows("select claimed_until is null, complete_from is null from ops.market_cycles") == [(True, False)]
    assert "Scraped: all makes page 1 INSERT 0 UPDATE 0 unchanged" in crawled.log, "a pass without anything new"


@pytest.mark.slow
def test_workers_share_the_passes_and_the_budget_and_find_what_is_new(crawls: MarketCrawls) -> None:
    speed = 100.0
    reservations.note(crawls.database)
    running = [scheduled(crawls, one, speed=speed) for one in (1, 3)]
    until(lambda: crawls.rows("select 1 from ops.market_cycles where complete_from is not null"), "a pass has ended")
    changes = crawls.server.advance(new=30, changed=0, gone=0, back=0)
    new = set(changes.new) & crawls.in_bulgaria()
    until(lambda: new <= crawls.active(), "the new ads of all makes are there")
    until(lambda: complete(crawls) >= {"bmw", "ford", "citroen"}, "the walks go on")
    stopped(crawls, *running)
    begun = [each.at for each in lists(crawls, of_all=True) if each.page == 1]
    assert min(later - sooner for sooner, later in pairwise(begun)) >= 0.5 * 60 / speed, "one pass each interval"
    ((host,),) = crawls.rows("select distinct host from reservations")
    starts = reservations.places(crawls.rows, host, 3 / speed * (1 + SPARE))
    assert min(later - sooner for sooner, later in pairwise(starts)) >= 3 / speed
    assert len(starts) >= len(crawls.server.requests)


@pytest.mark.slow
def test_ads_of_makes_that_are_not_followed_cost_nothing(crawls: MarketCrawls) -> None:
    path = crawls.settings.data_dir.parent / "makes.toml"
    path.write_text(
        'region = "namira-se-v-balgariya"\nsort = 6\npage_limit = 150\npage_size = 20\n'
        '[worker.1]\nseat = { name = "Seat" }\n'
    )
    crawls.more["VINOPS_MAKES_FILE"] = str(path)
    worker = scheduled(crawls, 1)
    until(lambda: passes(crawls, 4) and complete(crawls), "some passes")
    stopped(crawls, worker)
    assert {make for (make,) in crawls.rows("select distinct make_slug from listings")} == {"seat"}
    assert crawls.active() == crawls.in_bulgaria("seat")
    read = [each.page for each in lists(crawls, of_all=True)]
    assert set(read[read.index(1, 1) :]) == {1}, "after the first pass each is one page"


@pytest.mark.slow
def test_ads_whose_price_matters_are_read_again_and_one_that_is_gone_is_gone(crawls: MarketCrawls) -> None:
    crawls.more |= {"VINOPS_RECHECK_SHARE": "0.5", "VINOPS_WALK_EVERY_HOURS": "8760", "VINOPS_NEWEST_PAGES": "1"}
    well(crawls.run("-a", "makes=fiat", "-s", f"VINOPS_CLOCK_SPEED={SPEED}"), "finished")
    priced = "select ad_id from listings where price_eur > 500 order by posted_at limit 3"
    first, second, third = (ad_id for (ad_id,) in crawls.rows(priced))
    approve(crawls.database, first, second, third)
    crawls.database.execute("update listings set last_seen = now() - interval '2 days'")
    crawls.server.set_price(first, 4321)
    crawls.server.remove(second)
    worker = scheduled(crawls, 4)
    done = "select ad_id, outcome from ops.rechecks join listings on listings.id = listing_id order by ad_id"
    outcomes = sorted([(first, "changed"), (second, "deleted"), (third, "same")])
    until(lambda: crawls.rows(done) == outcomes, "each is rechecked")
    (crawled,) = stopped(crawls, worker)
    assert crawls.rows("select price_eur from listings where ad_id = %s", first) == [(Decimal(4321),)]
    assert crawls.rows("select removed_at is not null from listings where ad_id = %s", second) == [(True,)]
    assert (crawled.stats["recheck/changed"], crawled.stats["recheck/deleted"]) == (1, 1)
    assert f"rechecked: changed ad {first}" in crawled.log
    assert "Scraped: fiat page" not in crawled.log, "a walk would have found it too"


@pytest.mark.slow
def test_a_walk_that_was_stopped_is_continued_by_the_next_run(settings: Settings, database: Database) -> None:
    with MarketServer(seed=4, ads=0, make_ads={"audi": 200, "vw": 10, "opel": 10}, repeats=0) as server:
        more = {"VINOPS_PACE": "steady", "VINOPS_NEWEST_PAGES": "1"}
        crawls = MarketCrawls(settings=settings, database=database, server=server, more=more)
        first = scheduled(crawls, 2, speed=20)
        walking = "select from ops.listing_walks where make_slug = 'audi' and pages >= 1 and finished_at is null"
        until(lambda: crawls.rows(walking), "it walks")
        stopped(crawls, first)
        assert crawls.rows(walking), "it was stopped in the middle"
        worker = scheduled(crawls, 2)
        until(lambda: complete(crawls) == {"audi", "vw", "opel"}, "its makes are walked")
        (crawled,) = stopped(crawls, worker)
        assert crawled.stats["walk/continued"] == 1
        pages = [each.page for each in lists(crawls, of_all=False) if each.make == "audi" and each.status == 200]
        assert len(pages) - len(set(pages)) <= 1, "no page twice, but the one that was under way"
        assert crawls.active("audi", "vw", "opel") == crawls.in_bulgaria("audi", "vw", "opel")


@pytest.mark.slow
def test_when_the_worker_in_a_pass_is_killed_another_one_makes_the_next(crawls: MarketCrawls) -> None:
    claim = ("-s", "VINOPS_CLAIM_SECONDS=1")
    crawls.more["VINOPS_NEWEST_PAGES"] = "2"
    workers = [scheduled(crawls, one, *claim, speed=20) for one in (1, 3)]
    claimed = "select split_part(claimed_by, ':', 2)::int from ops.market_cycles where claimed_until is not null"
    until(lambda: crawls.rows(claimed), "a pass is under way")
    ((pid,),) = crawls.rows(claimed)
    (dead,) = [each for each in workers if each.pid == pid]
    dead.kill()
    dead.communicate()
    new = set(crawls.server.advance(new=10, changed=0, gone=0, back=0).new) & crawls.in_bulgaria()
    until(lambda: new <= crawls.active(), "the other one finds the new ads of all makes")
    stopped(crawls, *(each for each in workers if each is not dead))


def test_a_run_ends_after_its_time_and_leaves_a_pass_to_the_next_one(crawls: MarketCrawls) -> None:
    crawls.more["VINOPS_MARKET_RUN_HOURS"] = "0.02"
    crawled = well(crawls.run("-a", "worker=4", "-s", f"VINOPS_CLOCK_SPEED={SPEED}"), "finished")
    assert "the run ends, as it has lasted long enough" in crawled.log
    assert crawls.rows("select count(*) from ops.market_cycles where claimed_until is not null") == [(0,)]
    assert crawls.rows("select count(*) from ops.listing_walks where claimed_until is not null") == [(0,)]
    assert crawls.rows("select arguments ->> 'mode' from ops.crawl_runs") == [("scheduled",)]


# In the database.


def stats() -> StatsCollector:
    return StatsCollector(get_crawler())


def passes_of(pool: AsyncConnectionPool[Any], owner: str, *, every: float = 60.0) -> NewestPasses:
    return NewestPasses(pool, stats(), SOURCE, owner=owner, every=every, pages=50, page_limit=150, claim_seconds=60)


def run(settings: Settings, work: Callable[[AsyncConnectionPool[Any]], Awaitable[None]]) -> None:
    async def main() -> None:
        async with db.async_pool(settings, application="crawler") as pool:
            await work(pool)

    asyncio.run(main())


def ad(ad_id: str, price: int | None = 5000) -> Listing:
    value = None if price is None else Decimal(price)
    return Listing(
        source=SOURCE, ad_id=ad_id, url=f"https://a/{ad_id}", title="", posted_at=datetime(2026, 1, 1, tzinfo=UTC),
        price=value, price_eur=value, currency="EUR",
    )  # fmt: skip


def approve(database: Database, *ad_ids: str, is_approved: bool = True, score: float = 8.0) -> None:
    """Have these ads be worth a recheck."""
    database.execute(
        "insert into scores (listing_id, score, parts, reasons, is_approved)"
        " select id, %s, '{}', '{}', %s from listings where ad_id = any(%s)",
        [score, is_approved, list(ad_ids)],
    )


def test_one_crawl_makes_each_pass(settings: Settings, database: Database) -> None:
    async def work(pool: AsyncConnectionPool[Any]) -> None:
        crawls = [passes_of(pool, f"crawl {number}") for number in range(5)]
        found = await asyncio.gather(*(each.begin() for each in crawls))
        (course,) = [each for each in found if isinstance(each, NewestPass)]
        seconds = [each for each in found if isinstance(each, float)]
        assert all(0 < each <= 60 for each in seconds)
        course.newest_posted_at = datetime(2026, 1, 1, tzinfo=UTC)
        await crawls[found.index(course)].end(course)
        assert isinstance(await crawls[0].begin(), float), "the next one is not due"
        database.execute("update ops.market_cycles set began_at = began_at - interval '60 seconds'")
        following = await crawls[1].begin()
        assert isinstance(following, NewestPass)
        assert following._posted_before == course.newest_posted_at

    run(settings, work)


def test_a_pass_whose_worker_died_is_made_by_another_and_records_nothing_more(
    settings: Settings, database: Database
) -> None:
    async def work(pool: AsyncConnectionPool[Any]) -> None:
        listings = Listings(pool, SOURCE)
        dead, other = passes_of(pool, "dead"), passes_of(pool, "other")
        first = await dead.begin()
        assert isinstance(first, NewestPass)
        assert await listings.record([("kia", ad("1"))], newest=first.number) == Recorded(new=1)
        database.execute("update ops.market_cycles set began_at = now() - interval '1 hour'")
        assert await other.begin() == pytest.approx(5), "its claim lasts"
        database.execute("update ops.market_cycles set claimed_until = now()")
        second = await other.begin()
        assert isinstance(second, NewestPass)
        with pytest.raises(ClaimLost):
            await listings.record([("kia", ad("1", 4000))], newest=first.number)
        await dead.end(first)
        assert await listings.record([("kia", ad("1", 4500))], newest=second.number) == Recorded(changed=1)
        await other.end(second)
        with pytest.raises(ClaimLost):
            await listings.record([("kia", ad("1", 4000))], newest=second.number)
        assert database.execute("select pages, reason from ops.market_cycles").fetchall() == [(1, None)]

    run(settings, work)


def test_a_pass_that_was_not_read_to_its_end_leaves_the_mark_where_it_was(
    settings: Settings, database: Database
) -> None:
    mark = "select newest_posted_at, complete_from is null, reason, cut_short_at is null from ops.market_cycles"

    async def work(pool: AsyncConnectionPool[Any]) -> None:
        crawl = passes_of(pool, "one", every=0)
        for reason, is_kept in (("timeout", True), ("stopped", True), ("page_bound", False)):
            course = await crawl.begin()
            assert isinstance(course, NewestPass)
            course.newest_posted_at = datetime(2026, 1, 1, tzinfo=UTC)
            course.fail(reason)
            await crawl.end(course)
            ((posted_at, is_never, said, is_whole),) = database.execute(mark).fetchall()
            assert (posted_at is None, is_never, said, is_whole) == (is_kept, is_kept, reason, is_kept)

    run(settings, work)


def rechecks_of(pool: AsyncConnectionPool[Any], spacing: float = 0.0) -> Rechecks:
    return Rechecks(pool, stats(), SOURCE, spacing=spacing, min_score=7.5)


def test_the_ad_that_is_most_overdue_for_its_worth_is_rechecked_and_each_once(
    settings: Settings, database: Database
) -> None:
    async def work(pool: AsyncConnectionPool[Any]) -> None:
        listings = Listings(pool, SOURCE)
        await listings.record([("kia", ad(name)) for name in ("posted", "approved", "high", "low", "fresh", "gone")])
        approve(database, "posted", "approved", "fresh", "gone")
        approve(database, "high", is_approved=False)
        approve(database, "low", is_approved=False, score=7.0)
        database.execute("update listings set last_seen = now() - interval '7 hours' where ad_id <> 'fresh'")
        database.execute("update listings set removed_at = now() where ad_id = 'gone'")
        database.execute(
            "insert into notifications (listing_id, kind, state, score) select id, 'deal', 'sent', 8 from listings"
            " where ad_id = 'posted'"
        )
        crawl = rechecks_of(pool)
        assert isinstance(await crawl.take(), float), "no crawl has begun a pass yet, so nobody takes turns"
        await passes_of(pool, "one").begin()
        found = [await crawl.take() for _ in range(4)]
        assert [each.ad_id for each in found if isinstance(each, Recheck)] == ["posted", "approved", "high"]
        assert isinstance(found[-1], float)

    run(settings, work)


def test_a_recheck_reads_the_ads_that_matter_and_no_others(database: Database) -> None:
    database.execute(
        "insert into listings (source, ad_id, make_slug, url, title, posted_at, list_hash, last_seen)"
        " select 'mobile.bg', number::text, 'kia', 'https://a/' || repeat('u', 60), repeat('t', 400), now(), '',"
        " now() - interval '7 hours' from generate_series(1, 20000) as number"
    )
    database.execute(
        "insert into scores (listing_id, score, parts, reasons, is_approved) select id, 1 + ad_id::int % 60 / 10.0,"
        " jsonb_build_object('price', repeat('p', 200)), '{}', false from listings"
    )
    approve_some = "update scores set score = 8, is_approved = listing_id % 2 = 0 where listing_id % 400 < 2"
    assert database.execute(approve_some).rowcount == 100
    about = {"source": SOURCE, "min_score": 7.5, **TRUSTED}
    explain = f"explain (analyze, buffers, format json) {queries('cycle')['claim_recheck']}".encode()
    database.execute("vacuum analyze listings, scores")
    row = database.execute(explain, about).fetchone()
    assert row is not None
    plan = row[0][0]["Plan"]
    assert not {"listings", "scores"} & set(scans(plan))
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 1200


def scans(plan: dict[str, Any]) -> list[str]:
    """Return the tables that a plan reads from end to end."""
    below = [name for each in plan.get("Plans", ()) for name in scans(each)]
    return below + ([plan["Relation Name"]] if plan["Node Type"] == "Seq Scan" else [])


def test_all_crawls_together_keep_the_share(settings: Settings, database: Database) -> None:
    async def work(pool: AsyncConnectionPool[Any]) -> None:
        await Listings(pool, SOURCE).record([("kia", ad(str(number))) for number in range(5)])
        approve(database, *map(str, range(5)))
        database.execute("update listings set last_seen = now() - interval '7 hours'")
        await passes_of(pool, "one").begin()
        taken = await asyncio.gather(*(rechecks_of(pool, spacing=60.0).take() for _ in range(4)))
        assert sorted(isinstance(each, Recheck) for each in taken) == [False, False, False, True]
        assert all(isinstance(each, Recheck) or each == 6.0 for each in taken)

    run(settings, work)


def test_rechecks_take_the_share_of_the_requests_that_is_set(settings: Settings, database: Database) -> None:
    async def work(pool: AsyncConnectionPool[Any]) -> None:
        await Listings(pool, SOURCE).record([("kia", ad(name)) for name in ("1", "2")])
        approve(database, "1", "2")
        database.execute("update listings set last_seen = now() - interval '7 hours'")
        await passes_of(pool, "one").begin()

        async def is_rechecked(share: float, seconds: float) -> bool:
            """Tell whether another crawl makes a recheck so many seconds after the last one."""
            database.execute(
                "update ops.market_cycles set began_at = now(), rechecked_at = now() - make_interval(secs => %s)",
                [seconds],
            )
            schedule = Schedule(pool, stats(), SOURCE, owner="other", shrink_limit=1, claim_seconds=60)
            given = replace(settings, recheck_share=share)
            cycle = new_cycle(
                *(pool, stats(), SOURCE, schedule, given, (), read_makes(None)),
                owner="other", claim_seconds=60, speed=1,
            )  # fmt: skip
            turn = await cycle.turn()
            return turn is not None and turn.recheck is not None

        assert [await is_rechecked(0.05, seconds) for seconds in (30, 60)] == [False, True]
        assert [await is_rechecked(0.01, seconds) for seconds in (200, 300)] == [False, True]
        database.execute("update ops.rechecks set checked_at = now() - interval '7 hours'")
        assert not await is_rechecked(0, 3600)

    run(settings, work)


def test_a_recheck_records_a_changed_price_and_the_next_list_neither_undoes_nor_doubles_it(
    settings: Settings, database: Database
) -> None:
    prices = "select price_eur from listing_prices order by seen_at"

    async def work(pool: AsyncConnectionPool[Any]) -> None:
        listings = Listings(pool, SOURCE)
        await listings.record([("kia", ad("1"))])
        database.execute("delete from ops.deal_outbox")
        now = datetime.now(UTC)
        for price, outcome in ((5000, "same"), (None, "same"), (4400, "changed")):
            found = RecheckedAd(ad_id="1", asked_at=now, listing=ad("1", price))
            assert await listings.record_recheck(found) == outcome
        rounded = replace(ad("1"), price_eur=Decimal("4400.40"))
        assert await listings.record_recheck(RecheckedAd(ad_id="1", asked_at=now, listing=rounded)) == "same"
        assert database.execute("select change from ops.deal_outbox").fetchall() == [("changed",)]
        assert database.execute(prices).fetchall() == [(5000,), (4400,)]
        await listings.record([("kia", ad("1", 4400))])
        assert await listings.record([("kia", ad("1", 4400))]) == Recorded(unchanged=1)
        assert database.execute(prices).fetchall() == [(5000,), (4400,)]
        await listings.record_recheck(RecheckedAd(ad_id="1", asked_at=now, listing=ad("1", 4000)))
        assert await listings.record([("kia", ad("1", 4400))]) == Recorded(changed=1), "it went up again"
        assert database.execute(prices).fetchall() == [(5000,), (4400,), (4000,), (4400,)]

    run(settings, work)


def test_one_ad_is_gone_if_its_page_says_so_unless_a_list_has_shown_it_since(
    settings: Settings, database: Database
) -> None:
    async def work(pool: AsyncConnectionPool[Any]) -> None:
        listings = Listings(pool, SOURCE)
        await listings.record([("kia", ad("1")), ("kia", ad("2"))])
        database.execute("delete from ops.deal_outbox")
        now = datetime.now(UTC)
        assert await listings.record_recheck(RecheckedAd(ad_id="1", asked_at=now - timedelta(minutes=1))) is None
        assert await listings.record_recheck(RecheckedAd(ad_id="1", asked_at=now + timedelta(minutes=1))) == "deleted"
        assert await listings.record_recheck(RecheckedAd(ad_id="1", asked_at=now + timedelta(minutes=1))) is None
        assert await listings.record_recheck(RecheckedAd(ad_id="1", asked_at=now, listing=ad("1", 1000))) is None
        active = "select ad_id from listings where removed_at is null"
        assert database.execute(active).fetchall() == [("2",)]
        assert database.execute("select change from ops.deal_outbox").fetchall() == [("gone",)]
        assert await listings.record([("kia", ad("1"))]) == Recorded(back=1)

    run(settings, work)


def test_rechecks_pause_when_page_after_page_is_missing(settings: Settings, database: Database) -> None:
    async def work(pool: AsyncConnectionPool[Any]) -> None:
        crawl = rechecks_of(pool)
        assert [crawl.ended("deleted") for _ in range(DOUBTFUL - 1)] == [0.0] * (DOUBTFUL - 1)
        assert crawl.ended("read") == 0.0
        assert [crawl.ended("timeout") for _ in range(DOUBTFUL)] == [0.0] * (DOUBTFUL - 1) + [3600.0]

    run(settings, work)
