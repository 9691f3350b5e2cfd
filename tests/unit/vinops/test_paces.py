"""What the paces leave room for: photos of a first pass, and requests of a day."""

from __future__ import annotations

import math

import pytest

from vinops.politeness import pace


@pytest.mark.parametrize(
    ("name", "first", "photos"),
    [("careful", 3, 48), ("careful", 99, 99), ("steady", 3, 3), ("none", 3, 3)],
)
def test_the_first_pass_takes_what_fits_between_two_lots(name: str, first: int, photos: int) -> None:
    assert pace(name).first_photos(first) == pace(name, speed=200.0).first_photos(first) == photos


@pytest.mark.parametrize(
    ("name", "setting", "requests"),
    [
        ("careful", None, 60_000),
        ("careful", 90_000, 90_000),
        ("careful", 1_000_000, 172_800),
        ("steady", None, 172_800),
        ("steady", 60_000, 60_000),
        ("none", None, math.inf),
        ("none", 5, 5),
    ],
)
def test_the_requests_of_a_day_follow_from_the_gaps_where_no_limit_is_lower(
    name: str, setting: int | None, requests: float
) -> None:
    assert pace(name).requests_a_day(setting) == requests
