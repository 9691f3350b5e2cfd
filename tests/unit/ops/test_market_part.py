"""The market part of a snapshot: how long a full walk takes beside the other requests, and what is said of a make."""

from __future__ import annotations

import pytest

from ops.observe.market import pages_to_come, walk_seconds
from tests.support import snapshots as given
from tests.support.snapshots import NOW, ago


def test_a_full_walk_takes_what_the_other_requests_leave_it() -> None:
    alone = walk_seconds(pages=6500, gap=3.0, newest=0.0, recheck_share=0.0)
    assert alone == 6500 * 3
    assert walk_seconds(pages=6500, gap=3.0, newest=1 / 60, recheck_share=0.05) == pytest.approx(alone / 0.9)
    assert walk_seconds(pages=6500, gap=3.0, newest=9.0, recheck_share=0.2) == pytest.approx(alone / 0.25)
    assert walk_seconds(pages=6500, gap=0.0, newest=1.0, recheck_share=0.05) is None


@pytest.mark.parametrize(
    ("cycle", "pages"),
    [
        ({}, 1),
        ({"pages": 1, "seconds": 1.0, "reason": None}, 1),
        ({"pages": 4, "seconds": 20.0, "reason": None}, 4),
        ({"pages": 50, "seconds": 290.0, "reason": "page_bound"}, 2),  # the first pass of all
        ({"pages": 5, "seconds": 14.0, "reason": "page_bound"}, 2),  # VINOPS_NEWEST_PAGES is 5
        ({"pages": 38, "seconds": 220.0, "reason": None}, 2),  # after a pause
        ({"pages": 49, "seconds": None, "reason": None}, 2),  # under way
        ({"pages": 0, "seconds": None, "reason": None}, 1),
    ],
)
def test_only_a_pass_that_kept_up_tells_how_many_pages_the_next_ones_have(cycle: dict[str, object], pages: int) -> None:
    assert pages_to_come(cycle, 60.0) == pages


def test_a_make_says_when_it_was_complete_and_how_far_its_walk_is() -> None:
    assert given.make("BMW", complete_at=ago(hours=5), pages=1860, pages_read=1200).said(NOW) == (
        "BMW 5 h ago, page 1,200 of 1,860"
    )
    assert given.make("Seat", complete_at=None).said(NOW) == "Seat never"


def test_the_makes_of_a_worker_are_told_apart() -> None:
    market = given.market()
    assert [make.name for make in market.of_worker("2")] == ["Audi", "VW", "Opel"]
    assert market.workers == {"1", "2", "3", "4"}
