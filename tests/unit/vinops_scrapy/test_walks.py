"""Walks through lists that change while they are read: what is complete, what is asked again, where it ends."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from math import ceil

from hypothesis import given, strategies as st

from vinops_scrapy.items import Listing, ListPage
from vinops_scrapy.mobile_bg.makes import Make
from vinops_scrapy.mobile_bg.walks import NewestFirst, Step, Walk

NOW = datetime(2026, 7, 1, tzinfo=UTC)
SIZE = 5


def listing(ad_id: int, *, promotion: str | None = None) -> Listing:
    return Listing(source="a", ad_id=str(ad_id), url="", title="", posted_at=NOW, promotion=promotion)  # type: ignore[arg-type]


@dataclass(kw_only=True)
class Site:
    """A list, newest first, that is cut off after `limit` pages."""

    ads: list[int]
    limit: int = 1000
    models: dict[str, list[int]] = field(default_factory=dict)

    def page(self, step: Step) -> ListPage:
        ads = self.ads if step.model is None else self.models[step.model]
        shown = ads[: self.limit * SIZE]
        part = shown[(step.page - 1) * SIZE : step.page * SIZE]
        has_next = len(shown) > step.page * SIZE
        return ListPage(
            listings=tuple(map(listing, part)),
            total=min(len(ads), self.limit * SIZE),
            page=step.page,
            next_url="next" if has_next else None,
        )


def walk(**changes: int) -> Walk:
    about = {"page_limit": 1000, "page_size": SIZE, **changes}
    return Walk(Make(slug="a", name="A", expected=100), number=1, started_at=NOW, **about)


def walked(site: Site, course: Walk, *, between: list[tuple[str, int]] | None = None) -> list[Step]:
    """Walk to the end; before each page but the first, one of the changes happens. Return the steps."""
    steps: list[Step] = []
    step: Step | None = course.first()
    newest = 10_000
    changes = iter(between or [])
    while step is not None:
        steps.append(step)
        following = course.take(step, site.page(step))
        step = course.split(list(site.models)) if course.needs_models else following
        kind, where = next(changes, ("none", 0))
        if kind == "add":
            newest += 1
            site.ads.insert(0, newest)
        elif kind == "remove" and site.ads:
            del site.ads[where % len(site.ads)]
        assert len(steps) < 1000
    return steps


def test_a_list_that_stands_still_is_read_once() -> None:
    course = walk()
    steps = walked(Site(ads=list(range(23))), course)
    assert [step.page for step in steps] == [1, 2, 3, 4, 5]
    assert course.is_complete
    assert course.is_exact
    assert len(course.seen) == course.total == 23


def test_an_empty_list_is_complete() -> None:
    course = walk()
    assert walked(Site(ads=[]), course) == [Step(page=1)]
    assert course.is_exact


def test_where_an_ad_goes_the_page_before_is_read_again() -> None:
    course = walk()
    steps = walked(Site(ads=list(range(15))), course, between=[("none", 0), ("remove", 0)])
    assert [step.page for step in steps] == [1, 2, 3, 2, 3]
    assert len(course.seen) == 15
    assert course.is_exact


changes = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "remove", "none"]), st.integers(0, 200)), min_size=0, max_size=40
)


@given(count=st.integers(0, 60), between=changes)
def test_an_exact_walk_has_seen_every_ad_that_was_there_all_the_time(
    count: int, between: list[tuple[str, int]]
) -> None:
    course, site = walk(), Site(ads=list(range(count)))
    walked(site, course, between=between)
    stayed = {str(ad) for ad in site.ads if ad < 10_000}
    if course.is_exact:
        assert stayed <= course.seen


def test_a_list_that_shrinks_by_more_than_a_page_is_not_complete() -> None:
    course, site = walk(), Site(ads=list(range(30)))
    step = course.take(course.first(), site.page(course.first()))
    assert step
    del site.ads[: SIZE + 1]
    course.take(step, site.page(step))
    assert not course.is_complete
    assert course.reason == "shrank"


def test_a_list_that_is_cut_off_is_walked_by_models() -> None:
    models = {"x": list(range(30)), "y": list(range(30, 55)), "none": []}
    course, site = walk(page_limit=8), Site(ads=list(range(55)), limit=8, models=models)
    steps = walked(site, course)
    assert steps[0] == Step(page=1)
    assert [step.model for step in steps[1:]] == ["x"] * 6 + ["y"] * 5 + ["none"]
    assert course.seen == set(map(str, range(55)))
    assert course.is_exact


def test_a_list_that_is_cut_off_and_has_no_models_is_not_complete() -> None:
    course = walk(page_limit=8)
    assert course.take(course.first(), Site(ads=list(range(55)), limit=8).page(Step(page=1)))
    assert course.needs_models
    assert course.split([]) is None


def test_models_that_do_not_hold_all_ads_of_the_make_do_not_make_it_complete() -> None:
    course, site = walk(page_limit=8), Site(ads=list(range(55)), limit=8, models={"x": list(range(30))})
    walked(site, course)
    assert not course.is_complete


def test_a_model_that_is_cut_off_is_not_complete() -> None:
    course = walk(page_limit=8)
    walked(Site(ads=list(range(90)), limit=8, models={"x": list(range(60)), "y": list(range(60, 90))}), course)
    assert not course.is_complete
    assert course.reason == "cut_off"


def test_a_few_ads_that_the_site_counts_and_does_not_show_make_it_complete_and_not_exact() -> None:
    course, site = walk(), Site(ads=list(range(300)))
    step: Step | None = course.first()
    while step:
        page = site.page(step)
        step = course.take(step, ListPage(listings=page.listings, total=302, next_url=page.next_url))
    assert course.is_complete
    assert not course.is_exact


def test_pages_that_bring_nothing_new_end_the_walk() -> None:
    course, site = walk(), Site(ads=list(range(100)))
    first = site.page(Step(page=1))
    step, steps = course.take(course.first(), first), 1
    while step:
        steps += 1
        step = course.take(step, first)
    assert steps == 4
    assert course.reason == "repeats"
    assert not course.is_complete


def test_a_list_whose_count_flickers_comes_to_an_end_and_is_not_complete() -> None:
    course, site = walk(), Site(ads=list(range(100)))
    step, steps = course.take(course.first(), site.page(Step(page=1))), 1
    while step:
        page, steps = site.page(step), steps + 1
        step = course.take(step, ListPage(listings=page.listings, total=100 - steps % 2, next_url=page.next_url))
    assert steps < 100
    assert course.reason == "unsteady"


def test_a_list_without_a_total_is_never_complete() -> None:
    course, site = walk(), Site(ads=list(range(3)))
    course.take(course.first(), ListPage(listings=site.page(Step(page=1)).listings))
    assert not course.is_complete
    assert course.shortfall == "no_total"


def test_a_model_without_a_total_is_not_complete_though_the_make_has_one() -> None:
    models = {"x": list(range(30)), "y": list(range(30, 55))}
    course, site = walk(page_limit=8), Site(ads=list(range(55)), limit=8, models=models)
    step: Step | None = course.first()
    while step:
        page = site.page(step)
        following = course.take(step, replace(page, total=None) if step.model == "y" else page)
        step = course.split(list(models)) if course.needs_models else following
    assert (len(course.seen), course.total) == (55, 40)
    assert course.shortfall == "no_total"


def test_why_a_walk_fell_short_is_what_failed_else_what_was_not_seen() -> None:
    whole, failed = walk(), walk()
    walked(Site(ads=list(range(23))), whole)
    assert whole.shortfall is None
    failed.take(failed.first(), replace(Site(ads=[1]).page(Step(page=1)), total=None))
    failed.fail("timeout")
    assert failed.shortfall == "timeout"
    less = walk()
    less.take(less.first(), replace(Site(ads=[1]).page(Step(page=1)), total=2))
    assert less.shortfall == "short"


def test_fewer_pages_on_request_are_not_complete() -> None:
    course = walk(pages=2)
    steps = walked(Site(ads=list(range(23))), course)
    assert len(steps) == 2
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
