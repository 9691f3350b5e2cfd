"""What the bench concludes from a day of the market: each shortfall is found, and none where there is none."""

from __future__ import annotations

import pytest

from bench.day_facts import Ad, Facts, Message, Row, Span, Walked, judge, share_below
from standin.market.values import ABROAD

START = 1_782_896_400_000  # of the clock: 2026-07-01 09:00
REAL = 1_000_000.0
SPAN = Span(start=START, real=REAL, speed=60, hours=10)  # ten hours in ten minutes
WALK = Walked("bmw", REAL + 120, REAL + 480)  # from two hours on, to eight


def hour(hours: float) -> int:
    """A time of the clock."""
    return START + round(hours * 3_600_000)


def real(hours: float) -> float:
    """The same in real time."""
    return REAL + hours * 60


def found(ads: list[Ad], rows: list[Row], messages: tuple[Message, ...] = ()) -> Facts:
    return judge(SPAN, ads, rows, [Walked("bmw", REAL - 100, REAL - 1), WALK], messages)


def test_an_ad_that_is_seen_and_told() -> None:
    ad = Ad("new", "bmw", hour(3), None, "обл. София")
    facts = found([ad], [Row("new", "bmw", real(3.01), None)], (Message("new", real(3.01) + 4),))
    assert facts.seen == [pytest.approx(36)]
    assert facts.work == [pytest.approx(4)]
    assert facts.told == [pytest.approx(40)]
    assert (facts.unseen, facts.brief) == (0, 0)
    assert facts.walk_hours == {"bmw": pytest.approx(8)}
    assert facts.longest_walk == pytest.approx(8)


def test_ads_that_are_not_seen() -> None:
    ads = [
        Ad("missed", "bmw", hour(3), None, ""),
        Ad("brief", "bmw", hour(3), hour(3) + 60_000, ""),
        Ad("abroad", "bmw", hour(3), None, ABROAD),
        Ad("other make", "dacia", hour(3), None, ""),
        Ad("too late", "bmw", hour(9.99), None, ""),
        Ad("there before", "bmw", hour(-1), None, ""),
    ]
    facts = found(ads, [Row("there before", "bmw", REAL - 50, None)])
    assert (facts.unseen, facts.brief, facts.seen) == (1, 1, [])


def test_gone_ads() -> None:
    ads = [
        Ad("left", "bmw", hour(-9), hour(1), ""),
        Ad("left unnoticed", "bmw", hour(-9), hour(1), ""),
        Ad("left while it was walked", "bmw", hour(-9), hour(4), ""),
        Ad("falsely gone", "bmw", hour(-9), None, ""),
        Ad("gone before it left", "bmw", hour(-9), hour(9), ""),
    ]
    removed = {"left": real(8), "falsely gone": real(8), "gone before it left": real(8)}
    facts = found(ads, [Row(ad.ad_id, "bmw", REAL - 50, removed.get(ad.ad_id)) for ad in ads])
    assert (facts.gone, facts.falsely_gone, facts.not_gone, facts.lost) == (3, 2, 1, 2)


def test_lost_ads() -> None:
    ads = [Ad("lost", "bmw", hour(-9), None, "обл. Русе"), Ad("names no region", "bmw", hour(-9), None, "")]
    facts = found(ads, [])
    assert (facts.lost, facts.unlisted) == (1, 1)
    facts = found(ads, [Row("names no region", "bmw", REAL - 50, real(8))])
    assert (facts.lost, facts.unlisted, facts.falsely_gone) == (2, 0, 1)


def test_a_make_without_a_complete_walk() -> None:
    ads = [Ad("a", "bmw", hour(-9), None, ""), Ad("b", "audi", hour(-9), None, "")]
    facts = found(ads, [Row("a", "bmw", REAL - 50, None)])
    assert facts.longest_walk == float("inf")
    assert facts.lost == 0, "nothing says that the other make was read"


def test_shares() -> None:
    assert [share_below(range(1, 101), share) for share in (0.5, 0.95, 1)] == [50, 95, 100]
    assert share_below([7], 0.5) == 7
    assert share_below([], 0.5) == float("inf")


def test_the_clock_stands_still_before_and_after() -> None:
    span = Span.of("2026-07-01T09:00:00+00:00", real=REAL, speed=60, hours=10)
    assert span == SPAN
    assert (span.clock(REAL - 9), span.clock(real(5)), span.clock(real(99))) == (START, hour(5), hour(10))
