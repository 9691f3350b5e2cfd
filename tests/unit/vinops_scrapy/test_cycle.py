"""The scheduled cycle: whose turn the next request is, which make is walked next, where a pass over new ads ends.

The property tests run a day of requests against each rule, and a broken rule that they must catch.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import inf
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from tests.support.turns import NewestAlways, WalkAlways
from vinops_scrapy.items import Listing, ListPage
from vinops_scrapy.mobile_bg.cycle import APART, PATIENCE, UNBROKEN, Ages, Ready, Turns, next_makes
from vinops_scrapy.mobile_bg.makes import Make
from vinops_scrapy.mobile_bg.newest import ENOUGH, NewestPass
from vinops_scrapy.mobile_bg.walks import Step

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 7, 1, tzinfo=UTC)
EVERYTHING = Ready(newest=True, recheck=True, walk=True)

# Whose turn it is.


def test_the_newest_ads_come_first_then_a_recheck_then_the_walk() -> None:
    turns = Turns()
    assert turns.choose(EVERYTHING) == "newest"
    turns.pass_ended()
    assert [turns.choose(Ready(recheck=True, walk=True)), turns.choose(Ready(walk=True))] == ["recheck", "walk"]
    assert turns.choose(EVERYTHING) == "newest"
    assert Turns().choose(Ready()) is None


def test_a_long_pass_takes_turns_with_the_walk() -> None:
    turns = Turns()
    chosen = [turns.choose(Ready(newest=True, walk=True)) for _ in range(9)]
    assert chosen == ["newest"] * UNBROKEN + ["walk", "newest"] * 3
    assert [Turns().choose(Ready(newest=True)) for _ in range(9)] == ["newest"] * 9


def test_between_two_passes_there_is_a_page_of_the_walk() -> None:
    turns = Turns()
    turns.choose(EVERYTHING)
    turns.pass_ended()
    assert turns.owes_walk
    assert turns.choose(Ready(newest=True, walk=True)) == "walk"
    assert turns.choose(Ready(newest=True, walk=True)) == "newest"


@dataclass(kw_only=True)
class Day:
    """A worker's requests, and how long each kind was ready before its turn came, in requests."""

    turns: Turns
    every: float = 60.0
    spacing: float = 60.0
    pages: Callable[[], int] = lambda: 1
    seconds: float = 3.0
    kinds: list[str] = field(default_factory=list)
    waited: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("newest", "recheck", "walk"), 0))

    def run(self, requests: int, *, walks: Callable[[float], bool] = lambda _: True) -> None:
        """Make so many requests, each of which takes `seconds`. A recheck is due each `spacing` seconds."""
        now, newest_at, recheck_at, left = 0.0, 0.0, 0.0, 0
        waits = dict.fromkeys(self.waited, 0)
        while len(self.kinds) < requests:
            if not left and now >= newest_at:
                left, newest_at = self.pages(), now + self.every
            ready = Ready(newest=left > 0, recheck=now >= recheck_at, walk=walks(now))
            kind = self.turns.choose(ready)
            for each in waits:
                waits[each] = waits[each] + 1 if getattr(ready, each) and each != kind else 0
                self.waited[each] = max(self.waited[each], waits[each])
            now += self.seconds
            if kind is None:
                continue
            self.kinds.append(kind)
            if kind == "recheck":
                recheck_at = now - self.seconds + self.spacing
            if kind == "newest":
                left -= 1
                if not left:
                    self.turns.pass_ended()

    def share(self, kind: str) -> float:
        return self.kinds.count(kind) / len(self.kinds)


def fair(day: Day) -> bool:
    """No kind waits longer than the rules say, whatever the pages of a pass and the seconds of a request."""
    return (
        day.waited["newest"] <= 3
        and day.waited["walk"] <= UNBROKEN + 2
        and day.waited["recheck"] <= PATIENCE + 1
        and day.share("walk") >= 1 / (UNBROKEN + 3)
        and day.share("recheck") <= 1 / (APART + 1) + 0.01
    )


@given(
    seed=st.integers(0, 10**6),
    most=st.sampled_from([1, 2, 5, 50]),
    seconds=st.sampled_from([3.0, 12.0, 70.0]),
    share=st.sampled_from([0.01, 0.05, 0.2]),
)
def test_no_kind_of_request_starves(seed: int, most: int, seconds: float, share: float) -> None:
    dice = random.Random(seed)
    day = Day(turns=Turns(), pages=lambda: dice.randint(1, most), seconds=seconds, spacing=3.0 / share)
    day.run(500)
    assert fair(day), (day.waited, day.share("walk"))
    elapsed = 500 * seconds
    assert day.kinds.count("recheck") <= share * elapsed / 3 + 1, "a share of the budget"


@pytest.mark.parametrize("broken", [NewestAlways, WalkAlways])
def test_a_rule_that_starves_one_is_caught(broken: type[Turns]) -> None:
    day = Day(turns=broken(), seconds=70.0, pages=lambda: 50)
    day.run(500)
    assert not fair(day)


def test_on_an_ordinary_day_nine_of_ten_requests_are_walks() -> None:
    day = Day(turns=Turns())
    day.run(28_800)
    assert day.share("walk") >= 0.89
    assert 0.04 <= day.share("recheck") <= 0.05


# Which make is next.

A, B, C = (Make(slug=slug, name=slug.upper()) for slug in "abc")
HOUR = 3600.0


def test_the_make_walked_longest_ago_is_first_and_none_more_often_than_allowed() -> None:
    ages = {
        "a": Ages(complete=7 * HOUR, ended=2 * HOUR),
        "b": Ages(complete=5 * HOUR, ended=4 * HOUR),
        "c": Ages(complete=9 * HOUR, ended=8 * HOUR),
    }
    assert next_makes((A, B, C), ages, 6 * HOUR) == ([C, A], HOUR)
    assert next_makes((A, B, C), {}, 6 * HOUR) == ([A, B, C], inf)


def test_a_walk_that_is_open_is_continued_first() -> None:
    ages = {"a": Ages(complete=9 * HOUR, ended=8 * HOUR), "b": Ages(complete=HOUR, ended=60, is_open=True)}
    assert next_makes((A, B), ages, 6 * HOUR) == ([B, A], inf)


def test_a_make_whose_walk_fails_does_not_keep_the_others_waiting() -> None:
    failed = Ages(complete=inf, ended=60, incomplete=60)
    assert next_makes((A,), {"a": failed}, 6 * HOUR) == ([], HOUR - 60)
    failed = Ages(complete=inf, ended=HOUR, incomplete=HOUR)
    others = Ages(complete=7 * HOUR, ended=3 * HOUR)
    assert next_makes((A, B), {"a": failed, "b": others}, 6 * HOUR)[0] == [B, A]


# Where a pass ends.

LIMIT = 150


def ad(number: int, *, make: str = "BMW", promotion: str | None = None) -> Listing:
    """An ad that was posted so many seconds after the beginning."""
    return Listing(
        source="a", ad_id=str(number), url="", title="", make_text=make, promotion=promotion,
        posted_at=NOW + timedelta(seconds=number),
    )  # type: ignore[arg-type] # fmt: skip


def page(*ads: Listing, has_next: bool = True) -> ListPage:
    return ListPage(listings=ads, next_url="next" if has_next else None)


def newest(*, before: int | None = 100, pages: int = 50) -> NewestPass:
    """A pass after one whose newest ad was number `before`."""
    at = None if before is None else NOW + timedelta(seconds=before)
    return NewestPass(number=2, began_at=NOW, posted_before=at, pages=pages, page_limit=LIMIT)


def is_followed(listing: Listing) -> bool:
    return listing.make_text == "BMW"


def take(course: NewestPass, number: int, read: ListPage, *known: int) -> Step | None:
    return course.take(Step(page=number), read, {str(each) for each in known}, is_followed)


OLD = tuple(range(100, 100 - ENOUGH, -1))


def test_a_pass_ends_at_ads_that_the_last_one_saw() -> None:
    course = newest()
    assert take(course, 1, page(ad(103), ad(102), *map(ad, OLD)), *OLD) is None
    assert (course.reason, course.is_complete) == (None, True)
    assert course.newest_posted_at == ad(103).posted_at


def test_a_page_of_new_ads_is_followed_by_the_next_one() -> None:
    assert take(newest(), 1, page(*map(ad, range(120, 100, -1)))) == Step(page=2)
    a_new_one_below = page(*map(ad, OLD), ad(9))
    assert take(newest(), 1, a_new_one_below, *OLD) == Step(page=2), "one that is not recorded, too"


def test_ads_of_a_pass_that_was_killed_are_not_old() -> None:
    recorded = tuple(range(120, 100, -1))
    assert take(newest(), 1, page(*map(ad, recorded)), *recorded) == Step(page=2)
    assert take(newest(before=None), 1, page(*map(ad, recorded)), *recorded) == Step(page=2), "nor is any at first"


def test_promoted_ads_say_nothing() -> None:
    promoted = [ad(50, promotion="vip") for _ in range(20)]
    assert take(newest(), 1, page(*promoted), 50) == Step(page=2)
    assert take(newest(), 1, page(ad(200, promotion="top"), *map(ad, OLD)), *OLD) is None


def test_ads_of_other_makes_are_old_by_their_age_and_need_not_be_recorded() -> None:
    others = [ad(number, make="Lada") for number in range(105, 85, -1)]
    assert take(newest(), 1, page(*others)) is None
    new = [ad(number, make="Lada") for number in range(140, 120, -1)]
    assert take(newest(), 1, page(*new)) == Step(page=2)


def test_the_bound_and_the_last_page_of_the_site_are_told() -> None:
    new = page(*map(ad, range(120, 100, -1)))
    course = newest(pages=2)
    assert take(course, 1, new) == Step(page=2)
    assert take(course, 2, new) is None
    assert (course.reason, course.is_cut_short, course.is_complete) == ("page_bound", True, True)
    course = newest()
    assert take(course, LIMIT, new) is None
    assert (course.reason, course.is_cut_short, course.is_complete) == ("last_page", True, True)


def test_a_list_that_was_read_whole_is_complete() -> None:
    course = newest()
    assert take(course, 3, page(ad(120), has_next=False)) is None
    assert (course.reason, course.is_cut_short) == (None, False)
    course.fail("timeout")
    assert not course.is_complete


@dataclass(kw_only=True)
class Site:
    """A list of ads, newest first, of which three in ten belong to makes that are not followed; some are promoted."""

    dice: random.Random
    ads: list[Listing] = field(default_factory=list)
    posted: int = 0

    def arrive(self, count: int) -> None:
        for _ in range(count):
            self.posted += 1
            make = "Lada" if self.dice.random() < 0.3 else "BMW"
            promotion = "vip" if self.dice.random() < 0.1 else None
            self.ads.insert(0, ad(self.posted, make=make, promotion=promotion))

    def leave(self, count: int) -> None:
        for _ in range(min(count, len(self.ads) - 1)):
            self.ads.pop(self.dice.randrange(len(self.ads)))

    def page(self, number: int) -> ListPage:
        part = self.ads[(number - 1) * 20 : number * 20]
        promoted = [each for each in self.ads if each.promotion][:2]
        found = {each.ad_id: each for each in (*promoted, *part)}
        return ListPage(listings=tuple(found.values()), next_url="next" if len(self.ads) > number * 20 else None)


def passes(site: Site, dice: random.Random, *, broken: Callable[[NewestPass], None] = lambda _: None) -> set[str]:
    """Make passes while ads come and go and a walk records some, kill some between two pages, and return the ads of
    followed makes that the last whole pass began with and that are not recorded after it."""
    recorded: set[str] = set()
    watermark: datetime | None = None
    for _ in range(30):
        site.arrive(dice.choice([0, 1, 3, 8, 45]))
        site.leave(dice.choice([0, 0, 2]))
        recorded |= {each.ad_id for each in site.ads[:60] if is_followed(each) and dice.random() < 0.2}  # by a walk
        there = {each.ad_id for each in site.ads if is_followed(each)}
        course = NewestPass(number=1, began_at=NOW, posted_before=watermark, pages=50, page_limit=LIMIT)
        broken(course)
        step: Step | None = course.first()
        while step is not None:
            read = site.page(step.page)
            step = course.take(step, read, recorded, is_followed)
            recorded |= {each.ad_id for each in read.listings if is_followed(each)}
            site.arrive(dice.choice([0, 0, 1]))
            if step is not None and dice.random() < 0.3:
                break  # killed
        else:
            watermark = course.newest_posted_at
            missing = there - recorded
            if missing & {each.ad_id for each in site.ads}:
                return missing
    return set()


@given(seed=st.integers(0, 10**6))
def test_no_ad_is_missed_whatever_is_killed_and_recorded_meanwhile(seed: int) -> None:
    dice = random.Random(seed)
    site = Site(dice=dice)
    site.arrive(100)
    site.leave(10)
    assert passes(site, dice) == set()


def test_a_pass_that_ends_at_any_recorded_ad_is_caught() -> None:
    def any_recorded(course: NewestPass) -> None:
        course._posted_before = NOW + timedelta(days=1)

    def caught(seed: int) -> bool:
        dice = random.Random(seed)
        site = Site(dice=dice)
        site.arrive(100)
        return bool(passes(site, dice, broken=any_recorded))

    assert any(map(caught, range(50)))
