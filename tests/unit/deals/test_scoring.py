"""What an ad scores, of which parts, why in words, and when it is worth a message."""

from __future__ import annotations

import logging
import math
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import pytest
from hypothesis import given, strategies as st

from deals.stages import score as scoring
from deals.stages.score import Batch, Facts, Score

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
WORTH = Decimal(10_000)


def ad(price: float | None = 10_000, *, days: float = 0, **changes: Any) -> Facts:
    """A car that is worth 10,000, and four of five like it cost 7,800 to 12,800."""
    facts = Facts(
        listing_id=1,
        posted_at=NOW - timedelta(days=days, hours=1),
        title="VW Golf 1.6 TDI",
        model="Volkswagen Golf",
        year=2016,
        mileage_km=150_000,
        power_hp=105,
        price_eur=None if price is None else Decimal(str(price)),
        risk="low",
        risks=(),
        p10=Decimal(7800),
        p50=WORTH,
        p90=Decimal(12_800),
        comparables=30,
        confidence=0.62,
        models_gone=20,
        median_days=30.0,
    )
    return replace(facts, **changes)


def scored(facts: Facts, **changes: Any) -> Score:
    batch = Batch(ads=[facts], now=NOW, min_score=7.5, min_comparables=8, min_confidence=0.5)
    (result,) = scoring.work(replace(batch, **changes))
    assert result.listing_id == facts.listing_id
    return result


@pytest.mark.parametrize(
    ("price", "days", "width", "least", "most"),
    [
        (8000, 0, 0.25, 5.8, 7.0),  # a fifth below the market: often only the spread of prices
        (7300, 0, 0.25, 7.2, 8.0),
        (7000, 0, 0.25, 7.6, 8.6),
        (6500, 14, 0.25, 7.5, 8.6),
        (7500, 0, 0.18, 7.5, 9.0),  # less far below, where prices agree
        (7000, 0, 0.4, 5.5, 6.8),  # as cheap, and nobody is sure of it
        (10_000, 0, 0.25, 4.0, 5.0),
        (10_000, 30, 0.25, 4.0, 5.0),
        (11_000, 10, 0.25, 2.5, 3.5),
        (16_000, 0, 0.25, 1.0, 1.0),
        (5000, 0, 0.18, 10.0, 10.0),
    ],
)
def test_the_score_is_what_an_expert_would_give(
    price: float, days: float, width: float, least: float, most: float
) -> None:
    p10, p90 = (Decimal(round(10_000 * math.exp(side * width))) for side in (-1, 1))
    assert least <= scored(ad(price, days=days, p10=p10, p90=p90)).score <= most


def test_a_bargain_is_approved_and_says_why() -> None:
    found = scored(ad(7200, comparables=34, median_days=12.0))
    assert found.is_approved
    assert found.reasons == [
        "28 % below 34 comparable cars", "cheaper than nine of ten", "new today",
        "goes fast: half of them within 12 days",
    ]  # fmt: skip


def test_the_parts_add_up_to_the_score() -> None:
    found = scored(ad(8200, days=3, median_days=20.0, risk="medium"))
    assert set(found.parts) == {"price", "freshness", "demand", "risk"}
    assert sum(found.parts.values()) == pytest.approx(found.score, abs=0.05)


@given(
    price=st.floats(100, 100_000),
    days=st.floats(-5, 2000),
    confidence=st.floats(0, 1),
    median_days=st.none() | st.floats(0, 1000),
    risk=st.sampled_from(["low", "medium", "high", None]),
)
def test_any_ad_scores_from_1_to_10(
    price: float, days: float, confidence: float, median_days: float | None, risk: str | None
) -> None:
    found = scored(ad(price, days=days, confidence=confidence, median_days=median_days, risk=risk))
    assert 1 <= found.score <= 10
    assert found.score == round(found.score, 1)
    assert found.score == pytest.approx(min(max(sum(found.parts.values()), 1), 10), abs=0.051)


@given(prices=st.lists(st.floats(4000, 40_000), min_size=2, max_size=2), confidence=st.floats(0, 1))
def test_a_cheaper_one_never_scores_less(prices: list[float], confidence: float) -> None:
    cheap, dear = (scored(ad(price, confidence=confidence)).score for price in sorted(prices))
    assert cheap >= dear


def test_where_the_market_agrees_a_difference_counts_for_more() -> None:
    narrow = scored(ad(8500, p10=Decimal(9000), p90=Decimal(11_000)))
    wide = scored(ad(8500, p10=Decimal(5500), p90=Decimal(16_000)))
    assert narrow.score >= wide.score + 1
    assert "cheaper than nine of ten" in narrow.reasons
    assert "cheaper than nine of ten" not in wide.reasons


def test_the_same_price_is_worth_less_where_the_estimate_is_wide() -> None:
    found = [scored(ad(7500, p10=Decimal(low))).score for low in (6000, 7000, 8000)]
    assert found == sorted(set(found))


@pytest.mark.parametrize(
    ("days", "reason"),
    [(0, "new today"), (1, "new since yesterday"), (5, None), (60, "there for 60 days"), (-0.5, "new today")],
)
def test_a_new_ad_is_better_and_says_so(days: float, reason: str | None) -> None:
    found = scored(ad(8000, days=days))
    assert [each for each in found.reasons if "new" in each or "there" in each] == ([reason] if reason else [])
    later = scored(ad(8000, days=max(days, 0) + 3))
    assert later.parts["freshness"] < found.parts["freshness"] or found.parts["freshness"] == 0


def test_the_score_is_the_same_all_day() -> None:
    assert scored(ad(8000, days=3.05)) == scored(ad(8000, days=3.9))


@pytest.mark.parametrize(("ago", "reason"), [(0, "today"), (1, "yesterday"), (6, "6 days ago")])
def test_a_price_that_came_down_is_as_good_as_half_new(ago: int, reason: str) -> None:
    before = scored(ad(9000, days=40))
    after = scored(ad(9000, days=40, dropped_by=Decimal("0.0612"), priced_at=NOW - timedelta(days=ago, hours=2)))
    assert f"price dropped 6 % {reason}" in after.reasons
    assert before.parts["freshness"] < after.parts["freshness"] < scoring.FRESH


def test_a_price_that_moved_by_a_few_euro_did_not_drop() -> None:
    found = scored(ad(9000, days=40, dropped_by=Decimal("0.004"), priced_at=NOW))
    assert not [reason for reason in found.reasons if "dropped" in reason]


def test_demand_counts_once_enough_cars_went() -> None:
    fast, usual, slow = (scored(ad(8500, median_days=days)) for days in (8.0, 30.0, 100.0))
    assert fast.parts["demand"] > usual.parts["demand"] == 0 > slow.parts["demand"]
    assert "goes fast: half of them within 8 days" in fast.reasons
    assert "goes slowly: half of them take more than 100 days" in slow.reasons
    assert scored(ad(8500, median_days=0.2)).parts["demand"] == scoring.MOST_DEMAND
    assert scored(ad(8500, median_days=8.0, models_gone=4)).parts["demand"] == 0
    assert scored(ad(8500, median_days=None, models_gone=None)).parts["demand"] == 0


def test_a_high_risk_is_never_approved_and_says_its_words() -> None:
    risks = [{"flag": "crashed", "level": "high", "words": "катастрофирал"}]
    found = scored(ad(5000, risk="high", risks=risks))
    assert not found.is_approved
    assert "crashed: «катастрофирал»" in found.reasons
    assert found.score < scored(ad(5000)).score


def test_a_high_risk_is_not_approved_however_low_the_bar() -> None:
    assert not scored(ad(6500, risk="high"), min_score=1).is_approved


def test_a_medium_risk_costs_points_and_may_be_approved() -> None:
    risks = [{"flag": "from_america", "level": "medium", "words": "от САЩ"}]
    found = scored(ad(5800, risk="medium", risks=risks))
    assert found.is_approved
    assert found.parts["risk"] < 0
    assert "from america: «от САЩ»" in found.reasons


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"comparables": 3}, "only 3 comparable cars"),
        ({"comparables": 1}, "only 1 comparable car"),
        ({"comparables": 0}, "no comparable cars"),
        ({"confidence": 0.49}, "the estimate is unsure (confidence 0.49)"),
        ({"is_gone": True}, "gone"),
        ({"first_ad": 77}, "the same car as in ad 77"),
        ({"price_eur": None}, "no price"),
        ({"price_eur": None, "price_problem": "lease_balance"}, "no price: lease balance"),
        ({"price_eur": Decimal(9500)}, "below the score of 7.5 that is asked for"),
        ({"p10": None, "p50": None, "p90": None, "comparables": 0}, "no estimate of its value"),
        ({"price_eur": Decimal(3900)}, "suspiciously cheap: more than 60 % below its value"),
        ({"mileage_km": None}, "its mileage is not known"),
        ({"power_hp": None}, "its power is not known"),
        ({"title": "VW Golf"}, "its title says too little"),
        ({"year": 2010, "mileage_km": 30_000}, "its mileage is doubtful"),
        ({"model": "Chevrolet Kalos", "year": 2024}, "its year is doubtful"),
    ],
)
def test_what_is_not_worth_a_message_says_why(changes: dict[str, Any], reason: str) -> None:
    bargain = ad(6000)
    assert scored(bargain).is_approved
    found = scored(replace(bargain, **changes))
    assert not found.is_approved
    assert reason in found.reasons


def test_a_car_that_nobody_can_value_scores_without_the_price() -> None:
    found = scored(ad(6000, p10=None, p50=None, p90=None, comparables=2, confidence=0.0))
    assert found.parts["price"] == 0
    assert "only 2 comparable cars" in found.reasons


def test_the_settings_are_the_bar() -> None:
    facts = ad(7350, comparables=8, confidence=0.6)
    assert not scored(facts).is_approved
    assert scored(facts, min_score=6.5).is_approved
    assert not scored(facts, min_score=6.5, min_comparables=9).is_approved
    assert not scored(facts, min_score=6.5, min_confidence=0.61).is_approved


@pytest.mark.parametrize(
    ("price", "comparables", "reason"),
    [
        (11_500, 34, "15 % above 34 comparable cars"),
        (10_020, 34, "at the price of 34 comparable cars"),
        (9000, 1, "10 % below 1 comparable car"),
        (9000, 0, "10 % below the model"),
    ],
)
def test_the_price_is_told_beside_what_it_stands_on(price: float, comparables: int, reason: str) -> None:
    assert scored(ad(price, days=5, comparables=comparables)).reasons[0] == reason


class Recorder:
    """Stands in for a connection to see that nothing is written."""

    def execute(self, *_: object) -> None:
        raise AssertionError("nothing was to be written")


def test_nothing_is_written_of_no_ads(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        scoring.write(Recorder(), [])  # type: ignore[arg-type]
    assert not caplog.records


class Recorded:
    """A connection that takes every statement."""

    def execute(self, *_: Any) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    ("score", "is_approved", "is_found"),
    [
        (6.9, False, False),
        (6.9, True, False),
        (7.0, False, True),
        (7.4, False, True),
        (7.5, True, True),
        (8.1, False, True),
        (9.9, True, True),
        (10.0, True, True),
        (1.0, False, False),
    ],
)
def test_the_grep_of_operators_finds_every_score_from_seven_on(
    caplog: pytest.LogCaptureFixture, score: float, is_approved: bool, is_found: bool
) -> None:
    result = Score(listing_id=1, score=score, is_approved=is_approved, reasons=[], parts={})
    with caplog.at_level(logging.INFO, logger="deals"):
        scoring.write(cast("Any", Recorded()), [result])
    log = [each.getMessage() for each in caplog.records]
    assert [bool(re.search("Score: [7-9]", line)) for line in log] == ([is_found] if is_found or is_approved else [])
    assert all(line.startswith(f"Score: {score:.1f}") for line in log)
