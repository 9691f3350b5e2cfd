"""What the bench of a year measures, and how it judges it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench import year, year_data
from bench.year import Cost
from tests.unit.ops.test_cli import every_command

if TYPE_CHECKING:
    from pathlib import Path

WORKS = {
    *(("demo",), ("supervise",), ("stop",), ("workers", "run"), ("workers", "start"), ("workers", "stop")),
    *(("workers", "restart"), ("celery", "start"), ("celery", "stop"), ("celery", "restart"), ("celery", "clean")),
    *(("migrate",), ("backup",), ("restore",), ("photos", "sync"), ("photos", "check"), ("alert",)),
    *(("deals", "run"), ("deals", "release"), ("deals", "train"), ("deals", "evaluate"), ("deals", "board")),
    *(("deals", "market"), ("watch", "bot"), ("watch", "invite")),
    *(("landed", "rate"), ("landed", "run"), ("landed", "result")),
    *(("web",), ("users", "add"), ("users", "passwd"), ("users", "role"), ("users", "remove")),
}
"""Commands that do something."""
WITHOUT_DATABASE = {
    *(("landed", "quote"), ("landed", "tariffs")),  # a rate is one row
    ("watch", "parse"),
    *(("logs",), ("credentials", "set"), ("credentials", "list"), ("credentials", "check"), ("credentials", "apply")),
    *(("nodes", "list"), ("nodes", "jobs"), ("nodes", "schedule"), ("nodes", "cancel"), ("nodes", "deploy")),
}
"""Commands that ask files, units or the nodes."""


def test_every_command_that_asks_the_database_is_measured() -> None:
    commands = year.commands(year_data.FULL).values()
    measured = [words[2:] for words in commands if words[1] == "ops.cli"]
    groups = {words[:1] for words in every_command() if len(words) > 1}
    asking = set(every_command()) - groups - WORKS - WITHOUT_DATABASE
    assert {words for words in asking if not any(each[: len(words)] == words for each in measured)} == set()


@pytest.mark.parametrize(
    ("half", "whole", "grows", "is_reached"),
    [
        (0.5, 0.6, False, True),
        (0.5, 0.61, False, False),
        (0.05, 0.14, False, True),  # too little to tell
        (0.9, 1.01, False, False),
        (0.2, 0.4, True, True),
        (0.5, 1.01, True, False),
    ],
)
def test_a_year_takes_a_second_and_little_more_than_half_of_it(
    half: float, whole: float, grows: bool, is_reached: bool
) -> None:
    cost = Cost(
        title="", kind="statement", half=half, whole=whole, half_of_server=half, whole_of_server=whole, grows=grows
    )
    assert cost.is_reached is is_reached


def test_two_connections_fill_each_table_once() -> None:
    names = [name for step in year_data.STEPS for names in step for name in names]
    assert sorted(names) == sorted(year_data.HALF)


@pytest.mark.parametrize(
    ("comment", "is_usable"),
    [
        (None, False),  # not there, or not complete
        ("1000000 rows", True),
        ("1000000 other rows", False),
        ("956801 rows", True),
        ("956800 rows", False),  # twelve hours ago
    ],
)
def test_rows_that_were_kept_are_used_for_some_hours(comment: str | None, is_usable: bool) -> None:
    assert year.is_usable(comment, "rows", 1_000_000) is is_usable


def test_rows_that_were_kept_are_not_used_for_another_size_or_another_schema(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    full, quick = (year_data.fingerprint(each) for each in (year_data.FULL, year_data.QUICK))
    monkeypatch.setattr(year_data, "sql_folder", lambda _: tmp_path)
    tmp_path.joinpath("0001_first.sql").write_text("create table lots ();")
    assert len({full, quick, year_data.fingerprint(year_data.FULL)}) == 3
