"""The arithmetic of the forecast, against figures worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from ops.forecast.arithmetic import (
    UNDATED_TURN_HOURS,
    Arrivals,
    Backfill,
    Inputs,
    PhotoStream,
    Range,
    Waiting,
    backfill,
    cases,
    exactly,
    month,
    r2_cost,
    what_if,
)

GB = 1e9


@pytest.mark.parametrize(
    ("stored", "writes", "reads", "storage", "class_a", "class_b"),
    [
        (0, 0, 0, "0", "0", "0"),
        (10 * GB, 1_000_000, 10_000_000, "0", "0", "0"),  # what is free
        (10 * GB + 1, 1_000_001, 10_000_001, "0.015", "4.50", "0.36"),  # one more of each, rounded up
        (110 * GB, 3_500_000, 0, "1.500", "13.50", "0"),  # 100 GB; 4 million less 1
        (4_380 * GB, 22_000_000, 12_300_000, "65.550", "94.50", "1.08"),  # 4,370 GB; 21; 3
    ],
)
def test_a_month_of_r2(stored: float, writes: float, reads: float, storage: str, class_a: str, class_b: str) -> None:
    cost = r2_cost(stored_bytes=stored, writes=writes, reads=reads)
    assert (cost.storage, cost.class_a, cost.class_b) == (Decimal(storage), Decimal(class_a), Decimal(class_b))
    assert cost.total == Decimal(storage) + Decimal(class_a) + Decimal(class_b)


def undated(lots: float, expiry: float, *, age: float = 0) -> Waiting:
    return Waiting(lots=lots, turn_hours=UNDATED_TURN_HOURS - age, expiry_hours=expiry)


def dated(lots: float, sale: float) -> Waiting:
    return Waiting(lots=lots, turn_hours=sale, expiry_hours=sale)


@pytest.mark.parametrize(
    ("waiting", "rate", "days", "photographed", "lost"),
    [
        # Nothing waits.
        ([], 10, 0.0, 0, 0),
        # 100 lots at 10 an hour are 10 hours.
        ([undated(100, 240)], 10, 10 / 24, 100, 0),
        # 105 lots: the last 5 take half of the eleventh hour.
        ([undated(105, 240)], 10, 10.5 / 24, 105, 0),
        # They leave after 5 hours: 50 are photographed, 50 lost; at hour 5 nothing waits.
        ([undated(100, 5)], 10, 5 / 24, 50, 50),
        # The soonest sale first: 30 in three hours, then 20 of 40 until they are sold at hour 5.
        ([dated(40, 5), dated(30, 4)], 10, 5 / 24, 50, 20),
        # A sale in 95 hours goes before new lots without one, which leave at hour 4: 40 and nothing; then the rest.
        ([undated(100, 4), dated(60, 95)], 10, 6 / 24, 60, 100),
        # A sale in 97 hours goes behind them: 40 until hour 4, 60 lost; then the other 60.
        ([undated(100, 4), dated(60, 97)], 10, 10 / 24, 100, 60),
        # Of those without a sale the oldest first: 40 of 50 until hour 4, then the 20.
        ([undated(20, 200), undated(50, 4, age=30)], 10, 6 / 24, 60, 10),
    ],
)
def test_the_backfill_without_arrivals(
    waiting: list[Waiting], rate: float, days: float, photographed: float, lost: float
) -> None:
    found = backfill(waiting, rate)
    assert found == Backfill(
        days=pytest.approx(days),  # type: ignore[arg-type]
        photographed=pytest.approx(photographed),  # type: ignore[arg-type]
        lost_waiting=pytest.approx(lost),  # type: ignore[arg-type]
        lost_arriving=0,
        lost_a_day=0,
    )


def test_arrivals_that_are_slower_than_the_crawl_leave_an_end() -> None:
    # 100 wait, 4 come each hour, 10 are done: after 16 hours 100 + 16·4 − 160 = 4 wait; in the 17th 4 more come: 8.
    found = backfill([undated(100, 1000)], 10, Arrivals(lots_per_hour=4, life_hours=1000))
    assert found.days == pytest.approx(16.8 / 24)
    assert found.photographed == pytest.approx(168)
    assert (found.lost_waiting, found.lost_arriving) == (0, 0)


def test_arrivals_that_are_faster_than_the_crawl_are_lost_at_the_difference() -> None:
    # 6 of 10 are done each hour, the oldest first, and a lot stays 48 hours. After 120 hours those that are done have
    # waited for 48: from then on 4 an hour are lost, and what came in the last 48 hours waits.
    found = backfill([], 6, Arrivals(lots_per_hour=10, life_hours=48), days=30)
    assert found.days is None
    assert found.lost_a_day == pytest.approx(96)
    assert found.photographed == pytest.approx(6 * 24 * 30)
    assert found.lost_arriving == pytest.approx(4 * (24 * 30 - 120), abs=10)


def test_lots_without_a_sale_have_their_turn_four_days_after_they_came() -> None:
    # 10 come each hour, all with a sale in 24 hours, 10 are done. What comes from hour 73 on is behind the 270 that
    # wait, which take 27 hours: longer than there is until the sale, so the lots of four hours are lost.
    arrivals = Arrivals(lots_per_hour=10, dated_share=1, lead_hours=24)
    found = backfill([undated(270, 101)], 10, arrivals, days=20)
    assert (found.lost_waiting, found.lost_arriving) == (0, 40)
    assert backfill([undated(270, 72)], 10, arrivals, days=20).lost_waiting == pytest.approx(270)


def test_a_crawl_that_stands_photographs_nothing() -> None:
    found = backfill([dated(10, 5)], 0)
    assert (found.days, found.photographed, found.lost_waiting) == (5 / 24, 0, 10)


def stream(**changed: float | None) -> PhotoStream:
    known = {"waiting": 600, "arrivals_a_day": 100, "lots_a_day": 200, "photos_per_lot": 10, "bytes_per_photo": 1e6}
    return PhotoStream(**{**known, **changed})  # type: ignore[arg-type]


def test_photos_are_stored_as_fast_as_the_crawl_goes_and_no_more_than_there_are() -> None:
    assert stream().lots(3) == 600  # 200 a day
    assert stream().lots(10) == 1600  # 600 and ten times 100
    assert stream().writes(3) == 6000
    assert stream(new_share=0.9).writes(3) == 5400
    assert stream(stored_bytes=1e9).stored(3) == 1e9 + 6e9
    assert stream().lots(-1) == 0


def test_retention_takes_away_what_is_older() -> None:
    kept = stream(retention_days=2, stored_bytes=1e9)
    # After 3 days: those of days 2 and 3, 400 lots of 10 MB; of what was there, nothing.
    assert kept.stored(3) == 4e9
    # After 1 day: 200 lots, and half of what was there.
    assert kept.stored(1) == 2e9 + 0.5e9


def test_a_month_has_its_photos_and_its_price() -> None:
    # 30 days: 600 + 3,000 lots (6,000 could be), 36,000 photos, 36 GB: 26 to pay for.
    first = month(stream(), 1)
    assert (first.photos, first.stored_bytes) == (36_000, 36e9)
    assert first.cost.total == Decimal("0.39")
    # The second: 3,000 lots, 66 GB in all; each photo read 200 times are 13.2 million reads: 4 to pay for.
    second = month(stream(), 2, reads_per_photo=200)
    assert (second.photos, second.stored_bytes) == (30_000, 66e9)
    assert second.cost.total == Decimal("0.84") + Decimal("1.44")


def inputs() -> Inputs:
    return Inputs(
        waiting=[undated(600, 1000)],
        lots_per_hour=Range(low=5, likely=10, high=20),
        rechecks_a_day=40,
        remaining=600,
        arrivals_a_day=exactly(0),
        dated_share=0,
        lead_hours=0,
        life_hours=216,
        photos_per_lot=Range(low=5, likely=10, high=15),
        bytes_per_photo=exactly(1e6),
        new_share=1,
        stored_bytes=0,
        archive_bytes=0,
        archive_a_day=Range(low=1e6, likely=2e6, high=3e6),
        archive_days=30,
        database_bytes=1e9,
        database_a_day=exactly(1e7),
    )


def test_the_three_cases() -> None:
    found = cases(inputs())
    # 10 an hour are 240 a day, less 40 rechecks; 600 lots are 3 days. The fast case has rechecks for nothing.
    assert [found[which].lots_a_day for which in ("low", "likely", "high")] == [80, 200, 480]
    assert [found[which].days_to_go for which in ("low", "likely", "high")] == [7.5, 3.0, 1.25]
    assert found["low"].backfill.days == pytest.approx(7.5)
    assert found["likely"].backfill.days == pytest.approx(3.0)
    assert found["high"].backfill.days == pytest.approx(1.25)
    assert [each.months[0].photos for each in found.values()] == pytest.approx([3000, 6000, 9000])
    assert [each.archive_bytes for each in found.values()] == [30e6, 60e6, 90e6]
    assert found["likely"].database_bytes == (1.3e9, 1.9e9, 4.6e9)


def test_what_is_asked_about_takes_the_place_of_what_was_measured() -> None:
    asked = what_if(inputs(), lots_per_hour=100, photos_per_lot=20, retention_days=5, reads_per_photo=1)
    assert (asked.lots_per_hour, asked.photos_per_lot) == (exactly(100), exactly(20))
    assert (asked.retention_days, asked.reads_per_photo) == (5, 1)
    assert what_if(inputs()) == inputs()


def test_measured_lots_are_new_ones_and_asked_ones_are_not() -> None:
    """Crawls count rechecks apart; of lots an hour that somebody asks about, they take their share."""
    measured = replace(inputs(), are_new=True)
    assert cases(measured)["likely"].lots_a_day == 240
    assert cases(what_if(measured, lots_per_hour=10))["likely"].lots_a_day == 200
