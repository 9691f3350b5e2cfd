"""Objects and rows, side by side: what is on one list only, and what is not the same on both."""

from __future__ import annotations

import random

import pytest

from ops.photos.compare import Comparison, Difference, Row, differences
from ops.photos.places import Stored

HERE = "bucket b at h"


def row(number: int, key: str, *, size: int = 9, store: str | None = HERE) -> Row:
    return Row(id=number, storage_key=key, bytes=size, store=store)


@pytest.mark.parametrize(
    ("rows", "objects", "expected"),
    [
        ([], [], []),
        ([row(1, "b")], [("b", 9)], []),
        ([row(1, "b"), row(2, "b")], [("b", 9)], []),  # shared by two lots of a vehicle
        ([row(1, "b"), row(2, "b")], [], [("missing", "b", (1, 2))]),
        (
            [row(1, "b")],
            [("a", 9), ("c", 9)],
            [("unrecorded", "a", ()), ("missing", "b", (1,)), ("unrecorded", "c", ())],
        ),
        ([row(1, "b")], [("b", 8)], [("size", "b", (1,))]),
        ([row(1, "b", store="folder")], [], []),  # it is elsewhere
        ([row(1, "b", store="folder")], [("b", 9)], [("copy", "b", (1,))]),
        ([row(1, "b", store=None)], [("b", 9)], [("copy", "b", (1,))]),
        ([row(1, "b", store=None)], [("b", 8)], []),  # a copy that broke off
        ([row(1, "b"), row(2, "b", store=None)], [("b", 9)], [("copy", "b", (2,))]),
    ],
)
def test_what_differs(
    rows: list[Row], objects: list[tuple[str, int]], expected: list[tuple[str, str, tuple[int]]]
) -> None:
    found = [(each.kind, each.key, each.ids) for each in differences(rows, objects, HERE)]
    assert found == expected


def test_any_two_lists_are_compared_as_two_sets_are() -> None:
    draw = random.Random(7)
    for _ in range(300):
        keys = [f"photos/{draw.randrange(12)}/{draw.randrange(3)}.jpg" for _ in range(draw.randrange(30))]
        rows = sorted((row(n, key) for n, key in enumerate(keys)), key=lambda each: each.storage_key.encode())
        there = sorted({f"photos/{draw.randrange(12)}/{draw.randrange(3)}.jpg" for _ in range(draw.randrange(30))})
        counted = Comparison(place=HERE)
        found = list(differences(rows, [(key, 9) for key in there], HERE, counted))
        assert {each.key for each in found if each.kind == "missing"} == set(keys) - set(there)
        assert {each.key for each in found if each.kind == "unrecorded"} == set(there) - set(keys)
        assert (counted.objects, counted.object_bytes, counted.recorded) == (len(there), 9 * len(there), len(rows))


def test_only_one_object_and_one_row_are_held_at_a_time() -> None:
    """A bucket has twenty million objects: neither list is ever whole in memory."""
    drawn = {"rows": 0, "objects": 0}

    def counted(what: str, values: list[object]) -> object:
        for value in values:
            drawn[what] += 1
            yield value

    rows = [row(n, f"photos/{n:04d}") for n in range(1000)]
    objects = [(f"photos/{n:04d}", 8) for n in range(1000)]
    for number, each in enumerate(differences(counted("rows", rows), counted("objects", objects), HERE)):  # type: ignore[arg-type]
        assert isinstance(each, Difference)
        assert drawn["rows"] <= number + 2
        assert drawn["objects"] <= number + 2


@pytest.mark.parametrize(
    ("stored", "elsewhere", "text"),
    [
        (Stored(wanted="folder", photos={}), 0, "no photo yet"),
        (Stored(wanted="folder", photos={"folder": 1}), 0, "1 photo in the folder"),
        (Stored(wanted="folder", photos={None: 5}), 0, "5 photos in a place that is not known"),
        (Stored(wanted=HERE, photos={None: 5}), 5, "5 photos in a place that is not known"),
        (Stored(wanted="folder", photos={None: 5, HERE: 1}), 6, "5 photos in a place that is not known, 1 photo in "),
        (
            Stored(wanted=HERE, photos={"folder": 3, HERE: 7_000_000}, about=(HERE,)),
            3,
            "about 7,000,000 photos in bucket b at h, 3 photos in the folder",
        ),
        (
            Stored(wanted=HERE, photos={"bucket a at h": 2, HERE: 1}),
            2,
            "2 photos in bucket a at h, 1 photo in bucket b",
        ),
    ],
)
def test_what_is_not_where_new_photos_go_is_elsewhere(stored: Stored, elsewhere: int, text: str) -> None:
    assert stored.elsewhere == elsewhere
    assert stored.text.startswith(text)
