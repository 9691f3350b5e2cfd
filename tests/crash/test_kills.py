"""Whoever dies in a load, at any line: the tables are as before or as after, and the next run carries on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.crash.conftest import STORIES
from tests.crash.killing import named

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.crash.killing import Killing

    Some = Callable[[list[str], int], list[str]]

pytestmark = pytest.mark.slow

WRITES = ("replace", "fsync", "unlink", "write_bytes", "write_text", "commit")
PARTS = ("block", "copy", "keep", "body", "download")
STATEMENTS = ("execute", "executemany")


def test_every_step_of_every_story_is_a_fault_injection_point(killing: Callable[..., Killing]) -> None:
    points = {name: {event.split()[1] for event in named(killing(name).told, "point")} for name in STORIES}
    for name, found in points.items():
        print(f"{name}: {' '.join(dict.fromkeys(event.split()[1] for event in named(killing(name).told, 'point')))}")
        assert {"connect", "state", "diff", "end"} <= found
    merge = {"merge", "read_rows", "upsert_lots", "record_gone"}
    assert merge | {"archive", "record", "commit", "place"} <= points["delta"]
    assert "retention" in points["rebase"]
    assert "fetch" in points["fetched"]
    assert len(named(killing("delta").told, "block")) >= 8


@pytest.mark.parametrize("name", STORIES)
def test_a_load_killed_at_any_point_is_made_good_by_the_next(
    name: str, killing: Callable[..., Killing], some: Some
) -> None:
    begun = killing(name)
    points = named(begun.told, "point")
    # What the others do in the same way is killed there in the long run only (VINOPS_CRASH_KILLS).
    for event in points if name == "delta" else some(points, 3):
        begun.at(event)
    assert not begun.faults, "\n".join(begun.faults)


@pytest.mark.parametrize(("name", "count"), [("delta", 8), ("rebase", 3), ("fetched", 3)])
def test_a_load_killed_before_or_after_any_write_is_made_good_by_the_next(
    name: str, count: int, killing: Callable[..., Killing], some: Some
) -> None:
    begun = killing(name)
    for event in some(named(begun.told, *WRITES), count):
        begun.at(event)
    assert not begun.faults, "\n".join(begun.faults)


def test_a_retention_killed_at_any_write_is_made_good_by_the_next(killing: Callable[..., Killing]) -> None:
    begun = killing("rebase")
    retention = begun.told.events[begun.told.events.index("point retention 1 before") :]
    assert {"unlink", "commit"} <= {event.split()[0] for event in retention}
    for event in retention:
        if event.split()[0] in (*WRITES, "point"):
            begun.at(event)
    assert not begun.faults, "\n".join(begun.faults)


@pytest.mark.parametrize("name", ["first", "delta", "fetched"])
def test_a_load_killed_between_any_parts_of_the_file_is_made_good_by_the_next(
    name: str, killing: Callable[..., Killing], some: Some
) -> None:
    begun = killing(name)
    for part in PARTS if name == "delta" else PARTS[-1:] if name == "fetched" else PARTS[:1]:
        for event in some(named(begun.told, part), 2):
            begun.at(event)
    assert not begun.faults, "\n".join(begun.faults)


def test_a_load_killed_between_any_statements_is_made_good_by_the_next(
    killing: Callable[..., Killing], some: Some
) -> None:
    begun = killing("delta")
    for event in some(named(begun.told, *STATEMENTS), 6):
        begun.at(event)
    assert not begun.faults, "\n".join(begun.faults)


def test_what_a_killed_load_left_does_not_hinder_the_next_file(killing: Callable[..., Killing], some: Some) -> None:
    begun = killing("delta")
    written = named(begun.told, "point", "replace", "fsync")
    for event in some(written[written.index("point diff 1 before") :], 5):
        begun.at(event, again=False)
    assert not begun.faults, "\n".join(begun.faults)


@pytest.mark.parametrize(
    "events",
    [
        ("point place 1 before", "replace 1 before", "replace 1 after"),  # while its file gets its name
        ("fsync 1 after", "unlink 1 before", "unlink 1 after"),  # while its file is removed
        ("point commit 1 before", "point commit 1 before", "point diff 1 before"),
    ],
    ids=["placing", "removing", "loading"],
)
def test_a_repair_that_is_killed_itself_is_made_good_by_the_next(
    events: tuple[str, ...], killing: Callable[..., Killing]
) -> None:
    begun = killing("delta")
    begun.at(*events)
    assert not begun.faults, "\n".join(begun.faults)


@pytest.mark.parametrize(
    ("broken", "event"),
    [
        ("merge_without_transaction", "point upsert_lots 1 before"),
        ("merge_without_transaction", "point record_gone 1 before"),
        ("place_before_commit", "point merge 1 before"),
        pytest.param("never_settle", "point place 1 before", marks=pytest.mark.quick),
        ("any_state_is_trusted", "point commit 1 before"),
    ],
)
def test_a_broken_loader_is_caught(broken: str, event: str, killing: Callable[..., Killing]) -> None:
    begun = killing("delta", broken=broken)
    begun.at(event)
    assert begun.faults
    if broken == "merge_without_transaction":
        assert "the tables are between" in begun.faults[0]
    whole = killing("delta")
    whole.at(event)
    assert not whole.faults, "the fault is not the broken loader's"
