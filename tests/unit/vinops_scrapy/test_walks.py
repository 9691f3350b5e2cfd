"""Walks through lists that change while they are read: what is complete, what is asked again, where it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any

import pytest
from hypothesis import given, strategies as st

from tests.support.markets import LATER, NOW, SIZE, Site, book, changes as market_changes, listing, sites
from vinops_scrapy.items import ListPage
from vinops_scrapy.mobile_bg.makes import Make
from vinops_scrapy.mobile_bg.pieces import Piece, piece_of
from vinops_scrapy.mobile_bg.walks import STEPS_BACK, NewestFirst, Step, Walk


def walk(limit: int = 1000, *, more_sorts: tuple[int, ...] = (3,), pages: int | None = None) -> Walk:
    make = Make(slug="a", name="A", expected=100)
    return Walk(make, book(limit, more_sorts), number=1, started_at=NOW, pages=pages)


class Reader:
    """Reads a walk, page by page, and notes as the database does which list showed an ad last."""

    def __init__(self, course: Walk) -> None:
        self.course = course
        self.step = course.first()
        self.seen: dict[str, int] = {}
        self.steps: list[Step] = []
        self.rows: dict[int, Piece] = {}
        self.reason: str | None = None

    def take(self, page: ListPage) -> Step | None:
        """Take a page as the current step."""
        assert self.step is not None
        self.steps.append(self.step)
        assert len(self.steps) < 1000
        ids = {each.ad_id for each in page.listings}
        self.step = self.course.take(self.step, page, {each: self.seen[each] for each in ids & self.seen.keys()})
        changed = self.course.page()
        self.seen.update({each: changed.in_parts.get(each, changed.piece) for each in ids})
        self.rows |= {row["number"]: piece_of(row) for row in changed.pieces}
        self.reason = changed.reason
        return self.step

    def start_anew(self, limit: int) -> None:
        """Continue with another walk, made from what is recorded."""
        old = self.course
        self.course = Walk(
            old.make,
            book(limit),
            number=old.number,
            started_at=old.started_at,
            steps=old.steps,
            reason=self.reason,
            pieces=[self.rows[number] for number in sorted(self.rows)],
        )
        self.step = self.course.first()

    def read(self, site: Site) -> bool:
        """Read a page of the site, or split its list; return False at the end."""
        if self.course.needs_parts:
            self.step = self.course.split(list(site.models), list(site.regions))
        if self.step is None:
            return False
        if site.of(self.step) is None:
            self.step = self.course.skip(self.step)
        else:
            self.take(site.page(self.step))
        return self.step is not None or self.course.needs_parts


def walked(site: Site, course: Walk, *, between: Sequence[tuple[str, int]] = ()) -> Reader:
    """Walk to the end; before each page but the first, one of the changes happens."""
    reader = Reader(course)
    newest = LATER
    changes = iter(between)
    while reader.read(site):
        kind, where = next(changes, ("none", 0))
        if kind == "add":
            newest += 1
            site.ads.insert(0, newest)
        elif kind == "remove" and site.ads:
            del site.ads[where % len(site.ads)]
    return reader


def test_a_list_that_stands_still_is_read_once() -> None:
    course = walk()
    reader = walked(Site(ads=list(range(23))), course)
    assert [step.page for step in reader.steps] == [1, 2, 3, 4, 5]
    assert course.is_complete
    assert course.is_exact
    assert course.ads == course.total == len(reader.seen) == 23


def test_an_empty_list_is_complete() -> None:
    course = walk()
    assert walked(Site(ads=[]), course).steps == [Step(page=1)]
    assert course.is_exact


def test_where_an_ad_goes_the_page_before_is_read_again() -> None:
    course = walk()
    reader = walked(Site(ads=list(range(15))), course, between=[("none", 0), ("remove", 0)])
    assert [step.page for step in reader.steps] == [1, 2, 3, 2, 3]
    assert course.ads == 15
    assert course.is_exact


changes = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "remove", "none"]), st.integers(0, 200)), min_size=0, max_size=40
)


@given(count=st.integers(0, 60), between=changes)
def test_an_exact_walk_has_seen_every_ad_that_was_there_all_the_time(
    count: int, between: list[tuple[str, int]]
) -> None:
    course, site = walk(), Site(ads=list(range(count)))
    reader = walked(site, course, between=between)
    stayed = {str(ad) for ad in site.ads if ad < LATER}
    if course.is_exact:
        assert stayed <= reader.seen.keys()


def test_a_list_that_shrinks_by_more_than_a_page_is_read_again_from_so_many_pages_before() -> None:
    course, site = walk(), Site(ads=list(range(60)))
    reader = Reader(course)
    for _ in range(4):
        reader.read(site)
    del site.ads[: SIZE + 1]
    reader.read(site)
    assert reader.step == Step(page=3)
    while reader.read(site):
        pass
    assert course.is_exact
    assert set(map(str, site.ads)) <= reader.seen.keys()


def test_a_list_that_shrinks_by_more_pages_than_are_read_again_is_not_complete() -> None:
    course, site = walk(), Site(ads=list(range(300)))
    reader = Reader(course)
    for _ in range(50):
        reader.read(site)
    del site.ads[: SIZE * STEPS_BACK + 1]
    reader.read(site)
    assert course.reason == "shrank"


@dataclass(kw_only=True)
class Halves:
    """A make of 55 ads, of which 40 are shown, with two models and one without any ad."""

    models: dict[str, set[int]] = field(
        default_factory=lambda: {"x": set(range(0, 55, 2)), "y": set(range(1, 55, 2)), "none": set()}
    )

    def site(self, **changes: Any) -> Site:
        return Site(**{"ads": list(range(55)), "limit": 8, "models": self.models, **changes})


def test_a_list_that_is_cut_off_is_walked_by_models() -> None:
    course = walk(8)
    reader = walked(Halves().site(), course)
    assert reader.steps[0] == Step(page=1)
    assert [step.model for step in reader.steps[1:]] == ["x"] * 6 + ["y"] * 6 + ["none"]
    assert reader.seen.keys() == set(map(str, range(55)))
    assert (course.total, course.ads) == (55, 55)
    assert course.is_exact


def test_a_model_that_is_cut_off_is_walked_by_regions_before_the_next_model() -> None:
    regions = {"north": set(range(45)), "south": set(range(45, 90)), "west": set()}
    models = {"x": set(range(70)), "y": set(range(70, 90))}
    course = walk(10)
    reader = walked(Site(ads=list(range(90)), limit=10, models=models, regions=regions), course)
    lists = list(dict.fromkeys((step.model, step.region) for step in reader.steps))
    assert lists == [(None, None), ("x", None), ("x", "north"), ("x", "south"), ("x", "west"), ("y", None)]
    assert all(step.sort is None for step in reader.steps)
    assert course.is_exact
    assert course.ads == 90


def test_a_list_that_can_be_split_no_further_is_read_in_another_order() -> None:
    course = walk(10)
    reader = walked(Site(ads=list(range(60)), limit=10), course)
    assert [(step.page, step.sort) for step in reader.steps] == [
        *((page, None) for page in (1, *range(2, 11))),
        *((page, 3) for page in (1, 2)),
    ]
    assert course.is_exact


def test_ads_that_no_order_shows_are_no_tolerance() -> None:
    ads, hidden = list(range(110)), 105  # one of the oldest, and the dearest
    course = walk(20)
    walked(Site(ads=ads, limit=20, prices={hidden: 9}), course)
    assert course.ads == 109
    assert course.shortfall == "cut_off"


def test_a_list_whose_total_is_what_it_shows_is_not_proven_by_it() -> None:
    course, site = walk(8), Site(ads=list(range(55)), limit=8)
    reader = Reader(course)
    while reader.step or course.needs_parts:
        if course.needs_parts:
            reader.step = course.split([], [])
        else:
            assert reader.step
            reader.take(replace(site.page(reader.step), total=40))  # 40+
    assert not course.is_complete
    assert course.shortfall == "cut_off"


def test_ads_without_a_region_are_looked_for_in_the_list_that_was_split() -> None:
    nowhere = {20, 31, 33}
    regions = {"north": set(range(0, 55, 2)) - nowhere, "south": set(range(1, 55, 2)) - nowhere}
    course = walk(8)
    reader = walked(Site(ads=list(range(55)), limit=8, regions=regions), course)
    assert [(step.page, step.region) for step in reader.steps[-8:]] == [
        (5, "south"),
        *((page, None) for page in range(1, 8)),
    ]
    assert reader.seen["20"] == 0, "the list that was split has shown it"
    assert reader.seen["22"] == 1, "a part has"
    assert course.is_exact
    assert course.ads == 55


def test_ads_without_a_region_that_the_list_does_not_show_are_found_in_another_order_or_not_at_all() -> None:
    whole, short = walk(8), walk(8, more_sorts=())
    regions = {"north": set(range(30)), "south": set(range(30, 54))}  # 54, the oldest, is in none
    site = Site(ads=list(range(55)), limit=8, regions=regions)
    assert walked(site, whole).steps[-1] == Step(page=1, sort=3)
    assert whole.is_exact
    walked(site, short)
    assert short.shortfall == "short"


@pytest.mark.parametrize(("leaving", "pages"), [(False, 1 + 60 + 40), (True, 1 + 1)])
def test_ads_that_left_meanwhile_are_not_looked_for(leaving: bool, pages: int) -> None:
    regions = {"north": set(range(0, 500, 2)) - {300}, "south": set(range(1, 500, 2))}  # 300 is in none
    site = Site(ads=list(range(500)), limit=60, regions=regions)
    course = walk(60)
    reader = Reader(course)
    while reader.course.needs_parts or (reader.step and reader.step.region != "south"):
        reader.read(site)
    if leaving:
        site.ads.remove(300)
    while reader.read(site):
        pass
    assert course.is_complete
    assert course.is_exact == (not leaving)
    assert len([step for step in reader.steps if not step.region]) == pages


def test_regions_and_models_that_the_site_does_not_know_are_left_out_and_the_totals_tell() -> None:
    course = walk(8)
    site = Halves().site()
    reader = Reader(course)
    reader.read(site)
    assert course.needs_parts
    reader.step = course.split(["x", "unknown", "y"], [])
    while reader.read(site):
        pass
    assert Step(page=1, model="unknown") not in reader.steps
    assert course.is_exact
    short = walk(8, more_sorts=())
    reader = Reader(short)
    reader.read(site)
    reader.step = short.split(["x", "unknown"], [])
    while reader.read(site):
        pass
    assert short.shortfall == "short"


def test_a_region_that_one_model_s_list_does_not_know_is_not_asked_of_the_next() -> None:
    models = {"x": set(range(60)), "y": set(range(60, 120))}
    regions = {"north": set(range(0, 120, 2)), "south": set(range(1, 120, 2))}
    course, site = walk(10), Site(ads=list(range(120)), limit=10, models=models, regions=regions)
    reader, asked = Reader(course), []
    while reader.step or course.needs_parts:
        if course.needs_parts:
            reader.step = course.split(["x", "y"], ["oblast-no", "north", "south"])
        asked.append(reader.step)
        reader.read(site)
    assert [step for step in asked if step and step.region == "oblast-no"] == [
        Step(page=1, model="x", region="oblast-no")
    ]
    assert course.is_exact


def test_a_make_that_the_site_does_not_know_is_no_such_list() -> None:
    course = walk()
    assert course.skip(Step(page=1)) is None
    assert course.shortfall == "no_such_list"


def test_a_list_that_is_gone_after_its_first_page_is_not_complete() -> None:
    course, site = walk(8), Halves().site()
    reader = Reader(course)
    for _ in range(3):
        reader.read(site)
    assert reader.step == Step(page=3, model="x")
    assert course.skip(reader.step) is None
    assert course.shortfall == "no_such_list"


def test_a_list_that_is_cut_off_and_has_no_models_is_not_complete() -> None:
    course = walk(8)
    reader = Reader(course)
    site = Site(ads=list(range(90)), limit=8)  # more than two orders show
    while reader.read(site):
        pass
    assert len(reader.steps) == 8
    assert course.shortfall == "no_models"


def test_models_that_do_not_hold_all_ads_of_the_make_do_not_make_it_complete() -> None:
    course = walk(8, more_sorts=())
    walked(Halves().site(models={"x": set(range(0, 55, 2))}), course)
    assert not course.is_complete


def test_ads_that_come_do_not_stand_in_for_those_that_are_missing() -> None:
    models = {"x": set(range(30)), "y": set(range(30, 54))}  # the last ad is in none, and in no order either
    site = Site(ads=list(range(55)), limit=8, models=models, prices={54: 9})
    course = walk(8)
    reader = Reader(course)
    for new in range(LATER, LATER + 30):
        if not reader.read(site):
            break
        site.ads.insert(0, new)
        models["x"].add(new)
    while reader.read(site):
        pass
    assert course.ads >= 55
    assert "54" not in reader.seen
    assert course.shortfall == "cut_off"


def test_a_total_that_is_too_high_once_makes_no_list_of_its_parts() -> None:
    course, site = walk(8), Site(ads=list(range(30)), limit=8, models={"x": set(range(20)), "y": set(range(20, 30))})
    reader = Reader(course)
    reader.take(replace(site.page(Step(page=1)), total=70))
    while reader.read(site):
        pass
    assert reader.steps[-1] == Step(page=6)
    assert course.is_exact
    assert course.total == 30


def test_a_list_that_grows_beyond_what_the_site_shows_is_split_in_the_middle() -> None:
    site = Halves().site(ads=list(range(16, 55)))
    course = walk(8)
    reader = Reader(course)
    for _ in range(3):
        reader.read(site)
    site.ads[:0] = range(16)
    while reader.read(site):
        pass
    assert {step.model for step in reader.steps} == {None, "x", "y", "none"}
    assert course.ads == 55


@given(site=sites(), between=market_changes, stops=st.sets(st.integers(0, 60)))
def test_a_complete_walk_has_seen_every_ad_that_was_there_all_the_time_wherever_it_was_interrupted(
    site: Site, between: list[tuple[str, int]], stops: set[int]
) -> None:
    reader, there = Reader(walk(site.limit)), set(site.ads)
    for number in range(1000):
        if not reader.read(site):
            break
        if number in stops:
            reader.start_anew(site.limit)
        if number < len(between):
            site.change(*between[number])
            there &= set(site.ads)
    assert reader.step is None
    if reader.course.is_complete:
        assert set(map(str, there)) <= reader.seen.keys()


@given(site=sites(), stops=st.sets(st.integers(0, 60)))
def test_a_market_that_stands_still_is_walked_the_same_way_wherever_that_was_interrupted(
    site: Site, stops: set[int]
) -> None:
    whole, reader = walked(site, walk(site.limit)), Reader(walk(site.limit))
    number = 0
    while reader.read(site):
        number += 1
        if number in stops:
            reader.start_anew(site.limit)
    assert reader.seen == whole.seen
    assert (reader.course.shortfall, reader.course.ads) == (whole.course.shortfall, whole.course.ads)
    assert list(dict.fromkeys(reader.steps)) == list(dict.fromkeys(whole.steps))
    if site.shows_everything:
        assert whole.course.is_exact


def test_a_few_ads_that_the_site_counts_and_does_not_show_make_it_complete_and_not_exact() -> None:
    course, site = walk(), Site(ads=list(range(300)))
    reader = Reader(course)
    while reader.step:
        page = site.page(reader.step)
        reader.take(replace(page, total=302))
    assert course.is_complete
    assert not course.is_exact


def test_pages_that_bring_nothing_new_end_the_walk() -> None:
    course, site = walk(), Site(ads=list(range(100)))
    first = site.page(Step(page=1))
    reader = Reader(course)
    while reader.take(first):
        pass
    assert len(reader.steps) == 4
    assert course.reason == "repeats"
    assert not course.is_complete


def test_a_list_whose_count_flickers_comes_to_an_end_and_is_not_complete() -> None:
    course, site = walk(), Site(ads=list(range(100)))
    reader = Reader(course)
    while reader.step:
        reader.take(replace(site.page(reader.step), total=100 - len(reader.steps) % 2))
    assert len(reader.steps) < 100
    assert course.reason == "unsteady"


def test_a_list_without_a_total_is_never_complete() -> None:
    course, site = walk(), Site(ads=list(range(3)))
    Reader(course).take(ListPage(listings=site.page(Step(page=1)).listings))
    assert not course.is_complete
    assert course.shortfall == "no_total"


def test_a_model_without_a_total_is_not_complete_though_the_make_has_one() -> None:
    course, site = walk(8), Halves().site()
    reader = Reader(course)
    while reader.step or course.needs_parts:
        if course.needs_parts:
            reader.step = course.split(list(site.models), [])
        assert reader.step
        page = site.page(reader.step)
        reader.take(replace(page, total=None) if reader.step.model == "y" else page)
    assert (course.ads, course.total) == (55, 55)
    assert course.shortfall == "no_total"


def test_why_a_walk_fell_short_is_what_failed_else_what_was_not_seen() -> None:
    whole, failed, less = walk(), walk(), walk()
    walked(Site(ads=list(range(23))), whole)
    assert whole.shortfall is None
    Reader(failed).take(replace(Site(ads=[1]).page(Step(page=1)), total=None))
    failed.fail("timeout")
    assert failed.shortfall == "timeout"
    Reader(less).take(replace(Site(ads=[1]).page(Step(page=1)), total=2))
    assert less.shortfall == "short"


def test_fewer_pages_on_request_are_not_complete() -> None:
    course = walk(pages=2)
    reader = walked(Site(ads=list(range(23))), course)
    assert len(reader.steps) == 2
    assert course.reason == "pages"
    assert course.expected_pages == 2
    whole = walk(pages=5)
    walked(Site(ads=list(range(23))), whole)
    assert whole.is_complete


def test_what_failed_is_not_complete() -> None:
    course = walk()
    walked(Site(ads=list(range(23))), course)
    course.fail("timeout")
    assert not course.is_complete
    assert course.reason == "timeout"


@given(new=st.integers(0, 60))
def test_what_is_newest_is_read_down_to_a_page_without_anything_new(new: int) -> None:
    site = Site(ads=list(range(200)))
    newest, known = NewestFirst(None, pages=50), {str(ad) for ad in range(new, 200)}
    step: Step | None = Step(page=1)
    seen: set[str] = set()
    while step:
        page = site.page(step)
        seen |= {each.ad_id for each in page.listings}
        step = newest.take(step, page, known)
    assert {str(ad) for ad in range(new)} <= seen
    assert len(newest.pages) == ceil(new / SIZE) + 1


def test_a_page_of_promoted_ads_says_nothing_about_what_is_new() -> None:
    promoted = ListPage(listings=tuple(listing(ad, promotion="vip") for ad in range(5)), next_url="next")
    assert NewestFirst(None, pages=9).take(Step(page=1), promoted, {"0", "1", "2", "3", "4"}) == Step(page=2)


def test_it_ends_at_its_last_page() -> None:
    site = Site(ads=list(range(200)))
    assert NewestFirst(None, pages=3).take(Step(page=3), site.page(Step(page=3)), set()) is None
