"""A run most of whose photos, lots, pages or ads failed is told from one that met a fault now and then."""

from __future__ import annotations

import pytest

from vinops_scrapy.shortfalls import WORK, in_order, shortfalls


@pytest.mark.parametrize(
    ("stats", "said"),
    [
        ({"photo/failed/damaged": 36}, "36 of 36 photos failed (damaged 36)"),
        (
            {"photo/stored": 9, "photo/reused": 3, "photo/failed/missing": 9, "photo/failed/timeout": 4},
            "13 of 25 photos failed (missing 9, timeout 4)",
        ),
        ({"lot/failed": 3, "lot/failed/not_photos": 3}, "3 of 3 lots failed (not_photos 3)"),
        ({"walk/failed/timeout": 1}, "1 of 1 pages failed (timeout 1)"),
        ({"page/read": 2, "walk/failed/no_connection": 3}, "3 of 5 pages failed (no_connection 3)"),
        ({"listing/new": 5, "listing/left_out/unreadable": 15}, "15 of 20 ads failed (unreadable 15)"),
        ({"detail/read": 2, "detail/not_an_ad": 9}, "9 of 11 pages of ads failed (not_an_ad 9)"),
    ],
)
def test_what_mostly_failed_is_said_with_its_reasons(stats: dict[str, int], said: str) -> None:
    assert [str(each) for each in shortfalls(stats)] == [said]
    assert in_order(stats) == []


@pytest.mark.parametrize(
    ("stats", "well"),
    [
        ({}, []),
        ({"photo/stored": 50, "photo/failed/timeout": 50}, ["photos"]),
        ({"photo/failed/damaged": 9}, []),
        ({"lot/ok": 2, "lot/failed": 2, "lot/failed/bad_json": 2}, ["lots"]),
        ({"lot/failed": 2, "lot/failed/bad_json": 2}, []),
        ({"lot/none_yet": 3, "lot/gone": 1}, ["lots"]),
        ({"page/read": 1, "walk/failed/pages": 9}, ["pages"]),
        ({"listing/unchanged": 20, "listing/left_out/repeated": 90}, ["ads"]),
        ({"detail/read": 10, "detail/deleted": 90}, ["pages of ads"]),
    ],
)
def test_a_fault_now_and_then_is_none(stats: dict[str, int], well: list[str]) -> None:
    assert shortfalls(stats) == []
    assert in_order(stats) == well


def test_each_kind_of_work_can_be_told_good_from_failed() -> None:
    for name, work in WORK.items():
        good = dict.fromkeys(work.good, work.least)
        assert in_order(good) == [name]
        assert [each.work for each in shortfalls({f"{work.failed[0]}x": work.least})] == [name]
