"""Whether a clock is believed, before anything is removed because of its age."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from scrapy.http import TextResponse

from vinops import clock, logs
from vinops.clock import ClockDoubted, ClocksDiffer
from vinops_scrapy.listings import saved_pages

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def ago(*days: float) -> list[datetime]:
    return [NOW - each * DAY for each in days]


def is_believed(history: list[datetime], at: datetime = NOW) -> bool:
    try:
        clock.check(history, at)
    except ClockDoubted:
        return False
    return True


@pytest.mark.parametrize(
    ("history", "why"),
    [
        ([], "nothing is known"),
        (ago(*range(1, 40)), "every night"),
        (ago(20), "a pause of less than three weeks"),
        (ago(20, 40, 60), "seldom"),
        (ago(30, 61, 91, 122), "every month: a pause of a month is usual"),
        (ago(*range(1, 9), *range(70, 99)), "a long pause, and a week of work since"),
        ([*ago(1, 2), NOW + 60 * DAY], "what is dated in the future says nothing"),
        ([NOW + timedelta(minutes=59)], "within the tolerance"),
    ],
)
def test_a_clock_is_believed(history: list[datetime], why: str) -> None:
    assert is_believed(history), why


@pytest.mark.parametrize(
    ("history", "why"),
    [
        (ago(60), "one thing, two months ago"),
        (ago(*range(60, 90)), "every night until two months ago"),
        (ago(0.1, *range(60, 90)), "a second run after the jump"),
        (ago(0, 0, 1, 2, 3, 4, 5, 6, *range(66, 90)), "less than a week after it"),
        (ago(0, 100), "another thing that the same clock has dated"),
    ],
)
def test_a_clock_that_jumped_is_doubted(history: list[datetime], why: str) -> None:
    with pytest.raises(ClockDoubted, match="timedatectl set-ntp true"):
        clock.check(history, NOW)


def test_the_newest_thing_is_the_measure_unless_it_is_dated_in_the_future() -> None:
    assert clock.newest(ago(3, 2, 5), NOW) == NOW - 2 * DAY
    assert clock.newest([*ago(3), NOW + DAY], NOW) == NOW - 3 * DAY
    assert clock.newest([NOW + timedelta(minutes=5)], NOW) == NOW
    assert clock.newest([], NOW) is None


def test_of_two_clocks_that_differ_neither_is_believed_and_the_earlier_one_dates() -> None:
    clock.compare(NOW, NOW + timedelta(minutes=59), "the database")
    for other in (NOW + 60 * DAY, NOW - 60 * DAY):
        with pytest.raises(ClocksDiffer, match="that of the database"):
            clock.compare(NOW, other, "the database")
        assert clock.agreed(NOW, other) == min(NOW, other)
    assert clock.agreed(NOW, NOW + timedelta(minutes=5)) == NOW


# Rotated logs.


def rotated(folder: Path, *days: float) -> list[Path]:
    """A log in use whose last event is of today, and rotated ones that end so many days ago."""
    now = clock.now().timestamp()
    paths = [folder / "t.log", *(folder / f"t.log.{number}" for number in range(1, len(days) + 1))]
    for path, age in zip(paths, (0.0, *days), strict=True):
        path.write_text(f"{datetime.fromtimestamp(now - age * 86_400, UTC):%Y-%m-%dT%H:%M:%SZ} INFO t: x\n")
        os.utime(path, (now - age * 86_400,) * 2)
    return paths


def test_a_program_that_starts_with_a_wrong_clock_removes_no_rotated_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = clock.now()
    paths = rotated(tmp_path, 3, 10)
    for later in (60, 60.5, 63):  # the second one finds a file that the first one wrote by the wrong clock
        monkeypatch.setattr(clock, "now", lambda later=later: now + later * DAY)
        logs.LogFile(paths[0]).close()
        os.utime(paths[0], ((now + later * DAY).timestamp(),) * 2)
        assert [path.name for path in sorted(tmp_path.glob("t.log*"))] == ["t.log", "t.log.1", "t.log.2"]
    monkeypatch.setattr(clock, "now", lambda: now + 5 * DAY)
    os.utime(paths[0], ((now + 5 * DAY).timestamp(),) * 2)
    logs.LogFile(paths[0], days=14).close()
    assert [path.name for path in sorted(tmp_path.glob("t.log*"))] == ["t.log", "t.log.1"]


# Pages that could not be read.


def test_a_page_that_was_just_saved_stays_beside_those_of_the_future(tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    for number in range(saved_pages.MOST + 5):
        (tmp_path / "pages" / f"20990101T000000{number:03}-site-reason.html").write_text("x")
    response = TextResponse("https://site.example/", body=b"<html></html>", encoding="utf-8")
    path = saved_pages.save_page(response, tmp_path, site="site", reason="no_cards")
    assert path.exists()
    assert len(list(path.parent.iterdir())) == saved_pages.MOST
