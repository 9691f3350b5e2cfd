"""Quiet hours and times of day, also where clocks are changed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from deals.watches import clock

ZONE = "Europe/Sofia"


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("moment", "quiet"),
    [
        (utc(2026, 12, 1, 19, 59), False),  # 21:59 in Sofia
        (utc(2026, 12, 1, 20, 0), True),  # 22:00
        (utc(2026, 12, 2, 5, 59), True),  # 7:59
        (utc(2026, 12, 2, 6, 0), False),  # 8:00
        (utc(2026, 7, 1, 18, 59), False),  # 21:59 in summer
        (utc(2026, 7, 1, 19, 0), True),
        (utc(2026, 7, 2, 5, 0), False),
        # the night to 29 March 2026: 3:00 becomes 4:00, quiet for nine hours
        (utc(2026, 3, 28, 20, 0), True),
        (utc(2026, 3, 29, 1, 30), True),
        (utc(2026, 3, 29, 4, 59), True),
        (utc(2026, 3, 29, 5, 0), False),
        # the night to 25 October 2026: 4:00 becomes 3:00, quiet for eleven hours
        (utc(2026, 10, 24, 19, 0), True),
        (utc(2026, 10, 25, 1, 30), True),
        (utc(2026, 10, 25, 5, 59), True),
        (utc(2026, 10, 25, 6, 0), False),
    ],
)
def test_quiet_hours_are_those_of_a_clock_in_the_zone(moment: datetime, quiet: bool) -> None:
    assert clock.is_quiet(moment, ZONE, 22 * 60, 8 * 60) is quiet


def test_quiet_hours_within_a_day() -> None:
    assert [clock.is_quiet(utc(2026, 12, 1, hour), "UTC", 13 * 60, 15 * 60) for hour in (12, 13, 14, 15)] == [
        False, True, True, False,
    ]  # fmt: skip
    assert not clock.is_quiet(utc(2026, 12, 1), "UTC", None, None)


@pytest.mark.parametrize(
    ("moment", "at", "then"),
    [
        (utc(2026, 12, 1, 1, 30), 8 * 60, utc(2026, 12, 1, 6)),
        (utc(2026, 12, 1, 6), 8 * 60, utc(2026, 12, 2, 6)),
        (utc(2026, 3, 28, 22), 8 * 60, utc(2026, 3, 29, 5)),
        (utc(2026, 3, 28, 22), 3 * 60 + 30, utc(2026, 3, 29, 1, 30)),  # left out: an hour later, at 4:30
        (utc(2026, 10, 24, 22), 3 * 60 + 30, utc(2026, 10, 25, 0, 30)),  # twice: the first
        (utc(2026, 10, 25, 0, 30), 3 * 60 + 30, utc(2026, 10, 26, 1, 30)),
    ],
)
def test_the_next_time_of_day(moment: datetime, at: int, then: datetime) -> None:
    assert clock.next_time(moment, ZONE, at) == then


@pytest.mark.parametrize(
    ("hour", "minutes", "at"),
    [("8", "30", 510), ("24", None, 0), ("0", "00", 0), ("25", None, None), ("8", "60", None)],
)
def test_times_as_they_are_written(hour: str, minutes: str | None, at: int | None) -> None:
    assert clock.minute(hour, minutes) == at
