"""Whoever dies in a market crawl, wherever it is: no ad is lost or doubled, none is taken for gone that is there, and
whatever happened to one is handed on.

Thirty kills are the least, and more are done at random: VINOPS_CRASH_KILLS=300 python -m pytest tests/crash.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest

from tests.crash.crawler import Crawler
from tests.crash.killing import Kills
from tests.crash.market_killing import MAKES, Killing, small_market

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.market_crawls import Database
    from vinops.config import Settings

pytestmark = pytest.mark.slow

LEAST = 30
PROGRAM = "market_crawl.py"
AT_RANDOM = 8
SPLIT = ("-a", "makes=kia")
FRESH = (*MAKES, "-a", "mode=fresh")
DETAILS = ("-a", "makes=fiat", "-a", "details=all")

FIRST = (
    "free_make 1 after",
    "begin_walk 1 after",
    "reserve_requests 1 after",
    "reserve_requests 2 after",
    "take 1 after",
    "see_listings 1 before",
    "see_listings 1 after",
    "record_listings 1 before",
    "record_listings 1 after",
    "commit 1 before",
    "commit 1 after",
    "see_listings 2 after",
    "record_listings 1 after",
    "commit 2 before",
    "commit 2 after",
)
END = (
    "count_unseen 1 before",
    "count_unseen 1 after",
    "mark_gone 1 before",
    "mark_gone 1 after",
    "end_walk 1 before",
    "end_walk 1 after",
    "commit 3 before",
)
MODELS = ("reserve_requests 3 after", "see_listings 2 before", "record_listings 2 after", "see_listings 4 after")
NEWEST = ("known_listings 1 after", "record_listings 1 after", "commit 1 before")
OWN_PAGES = ("record_detail 1 before", "record_detail 2 after")


@pytest.fixture
def killing(
    settings: Settings, database: Database, crawler: Crawler, module_kills: Kills, tmp_path: Path
) -> Iterator[Killing]:
    """Kills of crawls of an empty database."""
    with small_market(settings, database, tmp_path) as crawls:
        yield Killing(crawls=crawls, crawler=crawler, kills=module_kills)


def test_what_a_crawl_does_is_a_fault_injection_point(killing: Killing) -> None:
    events = set(killing.whole(*MAKES).events)
    assert {event.split()[0] for event in (*FIRST, *END, *MODELS)} <= {event.split()[0] for event in events}
    killing.finish()
    assert killing.faults == []


@pytest.mark.quick
def test_a_crawl_killed_at_a_point_and_one_at_random_are_made_good_by_the_next(killing: Killing) -> None:
    killing.at(FIRST[-1], *MAKES)
    killing.at_moment(random.uniform(0.1, 2.0), *MAKES)
    killing.finish()
    assert not killing.faults, "\n".join(killing.faults)


def test_crawls_killed_in_a_first_walk_are_made_good_by_the_next(killing: Killing) -> None:
    for event in FIRST:
        killing.at(event, *MAKES)
    killing.finish()
    assert not killing.faults, "\n".join(killing.faults)


def test_crawls_killed_at_the_end_of_a_walk_take_nothing_for_gone_that_is_there(killing: Killing) -> None:
    killing.whole(*MAKES)
    killing.move_on()
    for event in END:
        killing.at(event, *MAKES)
    killing.finish()
    assert killing.crawls.rows("select count(*) > 0 from listings where removed_at is not null") == [(True,)]
    assert not killing.faults, "\n".join(killing.faults)


def test_crawls_killed_between_the_models_of_a_make_are_made_good_by_the_next(killing: Killing) -> None:
    for event in MODELS:
        killing.at(event, *SPLIT)
    assert killing.crawls.rows("select id from ops.listing_walks where is_complete") == []
    killing.finish()
    assert not killing.faults, "\n".join(killing.faults)


def test_crawls_killed_in_what_is_newest_or_in_the_pages_of_ads_are_made_good_by_the_next(killing: Killing) -> None:
    killing.whole(*MAKES)
    killing.move_on()
    for event in NEWEST:
        killing.at(event, *FRESH)
    for event in OWN_PAGES:
        killing.at(event, *DETAILS)
    killing.whole(*DETAILS)
    lacking = "select ad_id from listings where make_slug = 'fiat' and removed_at is null and detailed_at is null"
    assert killing.crawls.rows(lacking) == []
    killing.finish()
    assert not killing.faults, "\n".join(killing.faults)


def test_a_crawl_of_what_is_newest_that_was_killed_leaves_no_hole_for_the_next(killing: Killing) -> None:
    killing.whole(*MAKES)
    killing.crawls.server.advance(new=75, changed=0, gone=0, back=0)
    killing.at("commit 1 after", *FRESH)
    killing.whole(*FRESH)
    assert killing.crawls.active() == set(killing.crawls.server.ads())
    assert not killing.faults, "\n".join(killing.faults)


@pytest.mark.parametrize(
    ("broken", "event", "caught"),
    [
        ("gone_without_an_end", "record 1 after", "gone"),  # what it marks is part of it, and committed
        pytest.param(
            *("without_transaction", "mark_gone 1 after", "gone without a complete walk"), marks=pytest.mark.quick
        ),
        ("handed_on_later", "record_listings 1 after", ""),
        ("handed_on_later", "commit_page 1 after", "not handed on"),
    ],
)
def test_a_broken_crawl_is_caught(killing: Killing, broken: str, event: str, caught: str) -> None:
    killing.whole(*MAKES)
    killing.move_on()
    killing.crawls.server.advance(new=12, changed=0, gone=12, back=0, hours=0.1)
    time.sleep(0.6)  # by so much the first of them is careless
    killing.broken = broken
    killing.at(event, *MAKES)
    assert caught in "\n".join(killing.faults)
    assert bool(killing.faults) == bool(caught)


@pytest.mark.timeout(0)
def test_crawls_killed_at_any_moment_are_made_good_by_the_next(killing: Killing, module_kills: Kills) -> None:
    dice = random.Random(1)
    began = time.monotonic()
    killing.whole(*MAKES)
    seconds = time.monotonic() - began
    landed = 0
    while landed < AT_RANDOM or module_kills.total < module_kills.wanted:
        killing.move_on()
        for _ in range(3):
            landed += killing.at_moment(dice.random() * seconds, *MAKES)
        killing.finish()
        assert not killing.faults, "\n".join(killing.faults)
    print(f"{module_kills.total} kills landed: {dict(module_kills.landed)}")
