"""How many lots a pace reaches, against figures worked out by hand."""

from __future__ import annotations

import pytest

from ops.observe.reach import reach, reaches, verdict

NEW = 16_000.0


@pytest.mark.parametrize(
    ("pace", "first", "daily", "lots", "lost", "complete"),
    [
        # A lot every 24 s, with all its photos: however few its first ones are.
        ("careful", 3, None, 3600, 12_400 / 16_000, 3600 / 16_000),
        ("careful", 1, None, 3600, 12_400 / 16_000, 3600 / 16_000),
        # A list every 3 s; of 172,800 photos a day 48,000 are first ones, the rest complete 124,800 / 9 lots.
        ("steady", 3, None, 28_800, 0, 124_800 / 9 / 16_000),
        ("steady", 1, None, 28_800, 0, 156_800 / 11 / 16_000),
        # Twelve photos take 6 s.
        ("steady", 12, None, 14_400, 0.1, 0.9),
        ("steady", 99, None, 14_400, 0.1, 0.9),
        # A limit lowers both: 60,000 photos a day are 20,000 lots of three, and 12,000 are left.
        ("steady", 3, 60_000, 20_000, 0, 12_000 / 9 / 16_000),
        ("careful", 3, 24_000, 2000, 14_000 / 16_000, 2000 / 16_000),
    ],
)
def test_what_a_pace_reaches(
    pace: str, first: int, daily: int | None, lots: float, lost: float, complete: float
) -> None:
    found = reach(pace, first, photos=12, arrivals=NEW, daily=daily)
    assert found.lots_a_day == pytest.approx(lots)
    assert found.lost_share == pytest.approx(lost)
    assert found.all_share == pytest.approx(complete)
    assert found.loses_none == (lost == 0)


@pytest.mark.parametrize(
    ("pace", "first", "arrivals", "says"),
    [
        ("careful", 3, NEW, "careful reaches 3,600, 78 % leave without a photo; VINOPS_PACE=steady loses none"),
        ("careful", 3, 3000.0, "3,000 new lots a day: careful reaches 3,600, none leaves without a photo"),
        ("steady", 3, NEW, "steady reaches 28,800, none leaves without a photo"),
        ("steady", 12, NEW, "10 % leave without a photo; VINOPS_PACE=steady with VINOPS_PHOTOS_FIRST=3 loses none"),
        ("steady", 3, 40_000.0, "28 % leave without a photo; no pace loses none"),
        ("none", 3, NEW, "16,000 new lots a day; VINOPS_PACE=steady loses none"),
    ],
)
def test_what_is_said_of_it(pace: str, first: int, arrivals: float, says: str) -> None:
    found = reaches((3, 12), photos=12, arrivals=arrivals, daily=None)
    assert verdict(found, pace=pace, first=first, arrivals=arrivals).endswith(says)


def test_without_arrivals_nothing_is_lost() -> None:
    found = reach("careful", 3, photos=12, arrivals=0, daily=None)
    assert (found.lost_share, found.all_share) == (0, 1)
