"""Each fault of mobile.bg ends as promised: with an alarm where it is one, nothing lost, and nothing taken for gone."""

from __future__ import annotations

import time
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from standin.market.server import MarketServer
from tests.conftest import fresh
from tests.support.cases import few_quick
from tests.support.market_crawls import Database, MarketCrawls, everywhere
from vinops.config import Secret, Settings
from vinops.db import database as db

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from psycopg import Connection
    from psycopg.rows import TupleRow

    from tests.support.photo_crawls import Crawled

MAKES = ("seat", "fiat", "kia")
NAMED = ("-a", f"makes={','.join(MAKES)}")
ELSEWHERE = "https://cars.example.com/"


@pytest.fixture(scope="module")
def market() -> Iterator[MarketServer]:
    """A small market that stays as it is; three makes of it are walked."""
    with MarketServer(seed=6, ads=0, make_ads=dict.fromkeys(MAKES, 70), repeats=0) as server:
        yield server


@pytest.fixture(scope="module")
def walked(
    server: str, admin: Connection[TupleRow], market: MarketServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The name of a database in which a crawl has recorded all ads."""
    folder = tmp_path_factory.mktemp("walked")
    for url in fresh(server, admin, "vinops"):
        settings = Settings(database_url=Secret(url), data_dir=folder / "data", log_dir=folder / "logs")
        with db.connect(settings, application="tests", autocommit=True) as database:
            crawls = MarketCrawls(settings=settings, database=database, server=market)
            crawled = crawls.run(*NAMED)
            assert (crawled.exit_code, crawled.reason) == (0, "finished"), crawled.log
            assert crawls.active() == crawls.in_bulgaria()
            name = database.info.dbname
        while admin.execute("select from pg_stat_activity where datname = %s", [name]).fetchone():
            time.sleep(0.01)  # a database that somebody is connected to cannot be copied
        yield name


@pytest.fixture
def database_url(server: str, admin: Connection[TupleRow], walked: str) -> Iterator[str]:
    """The address of a copy of it."""
    yield from fresh(server, admin, walked)


@pytest.fixture
def crawls(settings: Settings, database: Database, market: MarketServer) -> MarketCrawls:
    """Crawls of a database in which all ads were recorded by a crawl before."""
    market.clear_faults()
    market.clear_requests()
    return MarketCrawls(settings=settings, database=database, server=market)


def assert_nothing_was_lost(crawls: MarketCrawls) -> None:
    """No ad is taken for gone, none is changed, and a crawl without faults ends well."""
    assert crawls.rows("select ad_id from listings where removed_at is not null or changed_at > first_seen") == []
    crawls.server.clear_faults()
    crawls.database.execute("delete from ops.host_budgets")
    crawled = crawls.run(*NAMED)
    assert (crawled.exit_code, crawled.reason) == (0, "finished"), crawled.log
    assert crawls.active() == crawls.in_bulgaria()
    assert crawls.rows("select ad_id from listings where changed_at > first_seen") == []


def kept_pages(crawls: MarketCrawls) -> list[str]:
    return [path.read_text() for path in sorted((crawls.settings.log_dir / "pages").glob("*.html"))]


def alerts(crawls: MarketCrawls) -> list[tuple[Any, ...]]:
    return crawls.rows("select kind, times from ops.alerts where cleared_at is null")


def ended(crawled: Crawled) -> tuple[int, str | None]:
    return crawled.exit_code, crawled.reason


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("changed_layout", {}, "fields_stopped"),
        ("no_prices", {}, "fields_stopped"),
        ("empty_page", {}, "no_cards"),
        ("wrong_charset", {"body": "mojibake"}, "charset"),
    ],
)
def test_a_page_that_is_not_as_it_was_ends_the_run_with_an_alarm(
    crawls: MarketCrawls, name: str, options: dict[str, Any], reason: str
) -> None:
    crawls.server.fault(name, makes=["fiat"], pages=[2], **options)
    crawled = crawls.run(*NAMED)
    assert ended(crawled) == (1, "layout_changed"), crawled.log
    assert crawled.stats[f"page/{reason}"] == 1
    assert alerts(crawls) == [("layout_changed", 1)]
    (kept,) = kept_pages(crawls)
    assert "/fiat/" in kept.splitlines()[0]
    assert len([each for each in crawls.server.requests if (each.make, each.page) == ("fiat", 2)]) == 2, "asked twice"
    assert not any(ad.phone and ad.phone in kept for ad in crawls.server.ads().values())
    assert_nothing_was_lost(crawls)


def test_a_page_that_was_odd_once_is_asked_for_again(crawls: MarketCrawls) -> None:
    names = ("empty_page", "changed_layout", "truncated_page", "truncated_length", "reset", "server_error")
    for name, (make, page) in zip(names, product(MAKES, (1, 2)), strict=True):
        crawls.server.fault(name, 1, makes=[make], pages=[page])
    crawled = crawls.run(*NAMED, "-a", "pages=2")
    assert ended(crawled) == (0, "finished"), crawled.log
    assert alerts(crawls) == []


def test_a_cause_that_fails_every_list_is_told_and_passes(crawls: MarketCrawls) -> None:
    crawls.server.fault("server_error", status=503)
    crawled = crawls.run(*NAMED)
    assert crawled.exit_code == 1
    assert crawled.reason in {"incomplete", "mostly_failed"}, crawled.log
    assert "3 of 3 pages failed (status_503 3)" in crawled.log
    assert alerts(crawls) == [("mostly_failed", 1)]
    assert_nothing_was_lost(crawls)
    assert alerts(crawls) == []


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    few_quick(
        [
            ("truncated_page", {}, "truncated"),
            ("truncated_length", {}, "broken_off"),
            ("server_error", {"status": 503}, "status_503"),
            ("reset", {}, "broken_off"),
            ("tarpit", {"every": 0.5, "seconds": 60}, "timeout"),
            ("redirect_host", {"target": ELSEWHERE}, "host_host"),
            ("redirect_private", {}, "host_scheme"),
            ("no_next", {}, "short"),
        ],
        1,
        5,
        7,
    ),
)
def test_a_page_that_does_not_come_costs_its_make_alone(
    crawls: MarketCrawls, name: str, options: dict[str, Any], reason: str
) -> None:
    crawls.server.fault(name, makes=["fiat"], pages=[2], **options)
    crawled = crawls.run(*NAMED, "-s", "DOWNLOAD_TIMEOUT=2")
    assert ended(crawled) == (1, "incomplete"), crawled.log
    assert crawled.stats[f"walk/failed/{reason}"] == 1
    is_open = reason != "short"  # what failed may pass: the next run continues
    how = "walk/interrupted" if is_open else "walk/incomplete"
    assert (crawled.stats["walk/complete"], crawled.stats[how]) == (2, 1)
    walks = "select make_slug, is_complete, reason from ops.listing_walks order by id desc limit 3"
    assert {make: (whole, why) for make, whole, why in crawls.rows(walks)} == {
        "seat": (True, None),
        "fiat": (None, None) if is_open else (False, reason),
        "kia": (True, None),
    }
    assert_nothing_was_lost(crawls)


def test_a_page_that_never_comes_ends_its_walk_the_third_time(crawls: MarketCrawls) -> None:
    crawls.server.fault("server_error", makes=["fiat"], pages=[2], status=503)
    for _ in range(3):
        crawled = crawls.run("-a", "makes=fiat")
        assert ended(crawled)[0] == 1, crawled.log
        assert crawled.stats["walk/failed/status_503"] == 1
    assert crawled.stats["walk/continued"] == 1
    assert [each.page for each in crawls.server.requests if each.make == "fiat"] == [1, *[2] * 9]
    walks = "select is_complete, reason, pages from ops.listing_walks order by id desc limit 1"
    assert crawls.rows(walks) == [(False, "status_503", 1)]
    assert_nothing_was_lost(crawls)


def test_without_the_sitemap_a_make_is_split_by_what_the_last_walk_found(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    with MarketServer(seed=2, ads=0, make_ads={"kia": 90}, page_limit=3, repeats=0) as server:
        makes = everywhere(tmp_path, page_limit=3)
        crawls = MarketCrawls(settings=settings, database=database, server=server, more={"VINOPS_MAKES_FILE": makes})
        crawls.database.execute("truncate listings, ops.listing_walks cascade")
        first = crawls.run("-a", "makes=kia")
        assert ended(first) == (0, "finished"), first.log
        server.advance(new=5, changed=0, gone=5, back=0)
        server.fault("server_error", kinds=["sitemap"])
        second = crawls.run("-a", "makes=kia")
        assert ended(second) == (0, "finished"), second.log
        assert second.stats["sitemap/status_500"] == 1
        assert "the sitemap cannot be downloaded" in second.log
        assert "walked model by model" in second.log
        assert crawls.active() == set(server.ads())


def test_a_list_without_a_total_is_whole_by_the_count_in_its_description(crawls: MarketCrawls) -> None:
    crawls.server.fault("no_total", makes=["fiat"], described=True)
    crawled = crawls.run(*NAMED)
    assert ended(crawled) == (0, "finished"), crawled.log
    assert (crawled.stats["walk/complete"], crawled.stats.get("walk/incomplete")) == (3, None)
    assert_nothing_was_lost(crawls)


def test_a_list_that_says_nowhere_how_many_ads_it_has_is_not_whole(crawls: MarketCrawls) -> None:
    crawls.server.fault("no_total", makes=["fiat"])
    crawled = crawls.run(*NAMED)
    assert ended(crawled) == (1, "incomplete"), crawled.log
    assert "total=None gone=0 reason=no_total" in crawled.log
    assert (crawled.stats["walk/failed/no_total"], crawled.stats.get("walk/failed/short")) == (1, None)
    ((reason,),) = crawls.rows("select reason from ops.listing_walks where not is_complete")
    assert reason == "no_total"
    assert_nothing_was_lost(crawls)


def test_a_page_that_comes_again_and_again_does_not_go_on_for_ever(crawls: MarketCrawls) -> None:
    crawls.server.fault("repeated_page", makes=["fiat"])
    crawled = crawls.run(*NAMED)
    assert ended(crawled) == (1, "incomplete"), crawled.log
    assert crawled.stats["walk/failed/repeats"] == 1
    assert len([each for each in crawls.server.requests if each.make == "fiat"]) <= 6
    assert_nothing_was_lost(crawls)


@pytest.mark.parametrize(
    ("name", "options", "kind", "least"),
    few_quick(
        [
            ("forbidden_403", {}, "forbidden", 3),
            ("challenge_403", {}, "challenge", 3),
            ("challenge_200", {}, "challenge", 3),
            ("rate_limited_429", {"retry_after": 0}, "too_many", 3),
            ("captcha", {}, "captcha", 1),
            ("redirect_login", {}, "login_wall", 1),
        ],
        0,
        5,
    ),
)
def test_refusals_open_the_breaker_and_later_runs_stay_away(
    crawls: MarketCrawls, name: str, options: dict[str, Any], kind: str, least: int
) -> None:
    crawls.server.fault(name, kinds=["list"], **options)
    crawled = crawls.run(*NAMED, "-s", "VINOPS_BREAKER_REFUSALS=3")
    assert ended(crawled) == (1, "blocked"), crawled.log
    assert crawled.stats[f"refusal/{kind}"] == least
    assert alerts(crawls) == [("blocked", 1)]
    crawls.server.clear_requests()
    crawls.server.clear_faults()
    again = crawls.run(*NAMED)
    assert ended(again) == (1, "blocked"), "it stays away"
    assert crawls.server.requests == []
    assert_nothing_was_lost(crawls)


def test_bytes_in_another_charset_than_announced_are_read_right(crawls: MarketCrawls) -> None:
    crawls.server.fault("wrong_charset", makes=["fiat"], body="windows-1251")
    crawls.server.fault("wrong_charset", makes=["kia"], body="utf-8")
    assert ended(crawls.run(*NAMED)) == (0, "finished")
    assert_nothing_was_lost(crawls)


def test_a_make_that_is_none_of_the_site_s_costs_itself_alone(crawls: MarketCrawls) -> None:
    crawled = crawls.run("-a", "makes=volkswagen,fiat")
    assert ended(crawled) == (1, "incomplete"), crawled.log
    assert crawled.stats["walk/failed/no_such_list"] == 1
    assert crawled.stats["walk/complete"] == 1


def test_a_make_that_shrinks_at_once_is_gone_only_after_a_second_look(crawls: MarketCrawls) -> None:
    ads = sorted(crawls.in_bulgaria("fiat"))
    for ad_id in ads[:30]:
        crawls.server.remove(ad_id)
    first = crawls.run(*NAMED)
    assert ended(first) == (0, "finished")
    assert first.stats["listing/held_back"] == 30
    assert crawls.active("fiat") == set(ads)
    second = crawls.run(*NAMED)
    assert second.stats["listing/gone"] == 30
    assert crawls.active("fiat") == set(ads[30:])


def test_without_a_database_nothing_is_asked(crawls: MarketCrawls) -> None:
    crawls.more["DATABASE_URL"] = "postgresql://nobody:canary-3f8a@127.0.0.1:1/nothing"
    crawled = crawls.run(*NAMED)
    assert crawled.exit_code == 1
    assert "canary-3f8a" not in crawled.log
    assert crawls.server.requests == []


def test_a_page_that_the_database_does_not_take_ends_the_run(crawls: MarketCrawls) -> None:
    crawls.database.execute("truncate listings cascade")
    crawls.database.execute(
        "create function refuse() returns trigger language plpgsql as $$ begin raise exception 'disk full'; end $$;"
        " create trigger refuse before insert on listing_prices for each row execute function refuse()"
    )
    crawled = crawls.run(*NAMED)
    assert ended(crawled) == (1, "not_recorded"), crawled.log
    assert crawls.rows("select count(*) from listings") == [(0,)], "a page is recorded whole or not at all"
    assert crawls.rows("select count(*) from ops.deal_outbox") == [(0,)]
    crawls.database.execute("drop trigger refuse on listing_prices")
    assert ended(crawls.run(*NAMED)) == (0, "finished")
    assert crawls.active() == crawls.in_bulgaria()
