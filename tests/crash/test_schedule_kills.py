"""Whoever dies in a scheduled market crawl, between any two requests: the next one continues, no ad is lost or doubled,
none is taken for gone that is there, and no pass over the newest ads leaves a gap.

Thirty kills are the least, and more are done at random: VINOPS_CRASH_KILLS=300 python -m pytest tests/crash.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.crash.crawler import Crawler
from tests.crash.killing import Kills
from tests.crash.market_killing import ADS, Killing, small_market
from tests.crash.world import Ended, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.market_crawls import Database
    from vinops.config import Settings

pytestmark = pytest.mark.slow

LEAST = 30
PROGRAM = "market_crawl.py"
AT_RANDOM = 9
SPEED = 20_000  # a pass is due each 3 ms, and the price of an approved ad is trusted for half a second
SCHEDULED = ("-a", "worker=1", "-s", f"VINOPS_CLOCK_SPEED={SPEED}")
SECONDS = 3.0
PASSES = 25  # in which all three makes are walked, if they are due

FIRST = (
    "begin_newest 1 after",
    "commit_pass 1 after",
    "take_pass 1 after",
    "count_newest_page 1 after",
    "commit_page 1 before",
    "commit_page 1 after",
    "end_newest 1 after",
    "commit_end_of_pass 1 after",
    "begin_walk 1 after",
    "take 1 after",
    "commit_page 3 after",
    "commit_page 5 before",
)
LATER = (
    "claim_recheck 1 after",
    "commit_claim 1 after",
    "record_recheck 1 after",
    "commit_recheck 1 before",
    "commit_recheck 1 after",
    "mark_gone 1 after",
    "end_walk 1 after",
    "commit_end 1 before",
    "commit_end 1 after",
)


class Scheduled(Killing):
    """Kills scheduled crawls."""

    def finish(self) -> None:
        """Let a crawl continue until all is as if nobody had died, and stop it; the market stands still meanwhile."""
        job = self.start(*SCHEDULED)
        there = set(self.crawls.server.ads())
        exact = "select count(distinct make_slug) = %s from ops.listing_walks where is_complete and started_at > %s"
        ((now,),) = self.crawls.rows("select clock_timestamp()")
        try:
            wait_until(lambda: self.crawls.active() == there and self.crawls.rows(exact, len(ADS), now) == [(True,)])
        finally:
            job.terminate()
            ended = job.wait()
        assert ended.code == 0, ended
        self.judge("at the end")

    def for_a_while(self) -> Ended:
        """Let a crawl make some passes over the newest ads, and stop it."""
        ((number,),) = self.crawls.rows("select coalesce(max(number), 0) from ops.market_cycles")
        job = self.start(*SCHEDULED)
        try:
            wait_until(lambda: self.crawls.rows("select from ops.market_cycles where number > %s", number + PASSES))
        finally:
            job.terminate()
            ended = job.wait()
        assert ended.code == 0, ended
        return ended

    def move_on(self) -> None:
        """Have some ads change, and some of those that are there be worth a recheck."""
        super().move_on()
        self.crawls.database.execute(
            "insert into scores (listing_id, score, parts, reasons, is_approved) select id, 8, '{}', '{}', true"
            " from listings where removed_at is null and id % 3 = 0 on conflict do nothing"
        )


@pytest.fixture
def killing(
    settings: Settings, database: Database, crawler: Crawler, module_kills: Kills, tmp_path: Path
) -> Iterator[Scheduled]:
    """Kills of a worker with all three makes, of which one is always due."""
    with small_market(settings, database, tmp_path) as crawls:
        makes = "".join(f'{slug} = {{ name = "{slug.title()}" }}\n' for slug in ADS)
        path = tmp_path / "worker.toml"
        path.write_text(
            f'region = ""\nsort = 6\nmore_sorts = [3, 5]\npage_limit = 2\npage_size = 20\n[worker.1]\n{makes}'
        )
        crawls.more |= {
            "VINOPS_MAKES_FILE": str(path),
            "VINOPS_WALK_EVERY_HOURS": "0",
            "VINOPS_MARKET_RUN_HOURS": "720",
        }
        crawls.more["VINOPS_RECHECK_SHARE"] = "0.2"
        yield Scheduled(crawls=crawls, crawler=crawler, kills=module_kills)


def test_what_a_scheduled_crawl_does_is_a_fault_injection_point(killing: Scheduled) -> None:
    killing.finish()
    killing.move_on()
    ended = killing.for_a_while()
    assert {event.split()[0] for event in (*FIRST, *LATER)} <= {event.split()[0] for event in ended.events}
    assert killing.crawls.rows("select count(*) > 0 from ops.rechecks where outcome is not null") == [(True,)]
    assert not killing.faults, "\n".join(killing.faults)


@pytest.mark.quick
def test_a_scheduled_crawl_killed_in_its_walk_is_continued_by_the_next(killing: Scheduled) -> None:
    killing.at("commit_page 3 after", *SCHEDULED)  # the first pass has two pages
    walks = "select make_slug, pages, finished_at is null from ops.listing_walks order by id"
    assert killing.crawls.rows(walks) == [("seat", 1, True)]
    killing.finish()
    assert killing.crawls.rows(f"{walks} limit 1") == [("seat", 2, False)], "it was continued, and is no new one"
    assert not killing.faults, "\n".join(killing.faults)


def test_scheduled_crawls_killed_in_the_first_walks_are_made_good_by_the_next(killing: Scheduled) -> None:
    for event in FIRST:
        killing.at(event, *SCHEDULED)
    killing.finish()
    assert not killing.faults, "\n".join(killing.faults)


def test_scheduled_crawls_killed_in_rechecks_and_at_the_end_of_walks_are_made_good_by_the_next(
    killing: Scheduled,
) -> None:
    killing.finish()
    killing.move_on()
    for event in LATER:
        killing.at(event, *SCHEDULED)
    killing.finish()
    assert killing.crawls.rows("select count(*) > 0 from listings where removed_at is not null") == [(True,)]
    assert not killing.faults, "\n".join(killing.faults)


def new_ads_after_a_kill(killing: Scheduled) -> set[str]:
    """Kill a crawl after the first of two pages of new ads, let passes alone follow, and return the ads they missed."""
    killing.finish()
    killing.crawls.more["VINOPS_WALK_EVERY_HOURS"] = "8760"
    killing.crawls.database.execute(
        "update ops.listing_walks set finished_at = now(), is_complete = false where finished_at is null"
    )
    killing.crawls.server.advance(new=25, changed=0, gone=0, back=0)
    killing.at("record 1 after", *SCHEDULED)
    killing.for_a_while()
    assert killing.crawls.rows("select count(*) from ops.listing_walks where finished_at is null") == [(0,)]
    return set(killing.crawls.server.ads()) - killing.crawls.active()


def test_a_pass_over_the_newest_ads_that_was_killed_leaves_no_gap_for_the_next(killing: Scheduled) -> None:
    assert new_ads_after_a_kill(killing) == set()
    assert not killing.faults, "\n".join(killing.faults)


def test_a_pass_that_counts_as_read_before_its_end_is_caught(killing: Scheduled) -> None:
    killing.broken = "mark_before_the_end"
    assert len(new_ads_after_a_kill(killing)) == 5


@pytest.mark.parametrize(
    ("broken", "event", "caught"),
    [
        ("gone_without_an_end", "commit_gone 1 after", "gone"),
        ("handed_on_later", "commit_page 1 after", "not handed on"),
        ("without_transaction", "mark_gone 1 after", "gone without a complete walk"),
    ],
)
def test_a_broken_scheduled_crawl_is_caught(killing: Scheduled, broken: str, event: str, caught: str) -> None:
    killing.finish()
    killing.move_on()
    killing.crawls.server.advance(new=12, changed=0, gone=12, back=0, hours=0.1)
    killing.broken = broken
    killing.at(event, *SCHEDULED)
    assert caught in "\n".join(killing.faults)


@pytest.mark.timeout(0)
def test_scheduled_crawls_killed_at_any_moment_are_made_good_by_the_next(
    killing: Scheduled, module_kills: Kills
) -> None:
    dice = random.Random(2)
    killing.finish()
    landed = 0
    while landed < AT_RANDOM or module_kills.total < module_kills.wanted:
        killing.move_on()
        for _ in range(3):
            landed += killing.at_moment(dice.random() * SECONDS, *SCHEDULED)
        killing.finish()
        assert not killing.faults, "\n".join(killing.faults)
    print(f"{module_kills.total} kills landed: {dict(module_kills.landed)}")
