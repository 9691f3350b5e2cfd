"""What pages say of estimates and scores: the words of the stages, in both languages."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import pytest

from deals.estimate import confidence
from deals.stages import score
from deals.watches import reasons as watch_reasons
from vinops.text import risk
from web import estimates, vocabulary
from web.language import language

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vinops.board.records import Ad

BULGARIAN, ENGLISH = language("bg", "Europe/Sofia"), language("en", "Europe/Sofia")
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
RISKS = ({"flag": "from_america", "level": "medium", "words": "от САЩ"},)


def scored(price: int | None = 10_000, **changes: Any) -> score.Score:
    """Return the score of a car that is worth 10,000."""
    facts = {
        "posted_at": NOW - timedelta(hours=1), "title": "VW Golf 1.6 TDI", "model": "Volkswagen Golf", "year": 2016,
        "mileage_km": 150_000, "power_hp": 105, "risk": "low", "risks": (), "comparables": 30, "confidence": 0.62,
        "p10": Decimal(7800), "p50": Decimal(10_000), "p90": Decimal(12_800), "models_gone": 20, "median_days": 30.0,
    }  # fmt: skip
    ad = score.Facts(listing_id=1, price_eur=None if price is None else Decimal(price), **(facts | changes))
    return score.score(ad, score.Batch(ads=[ad], now=NOW, min_score=7.5, min_comparables=8, min_confidence=0.5))


def every_score() -> list[score.Score]:
    """Return scores that together have every sentence of the stage."""
    old = NOW - timedelta(days=60)
    prices = [scored(each) for each in (3000, 7000, 9900, 9970, 10_000, 11_000)]
    by_model = [scored(each, comparables=0) for each in (7000, 10_000, 11_000)]
    problems = ("placeholder", "wanted", "parts", "lease_balance", "deposit", "instalment", "exchange_only")
    return [
        *prices, *by_model, *(scored(each, comparables=1) for each in (7000, 10_000, 11_000)), scored(None),
        *(scored(None, price_problem=each) for each in problems), scored(None, p50=None, comparables=0),
        scored(is_gone=True), scored(first_ad=7), scored(confidence=0.3), scored(mileage_km=None),
        scored(power_hp=None), scored(title="Golf"), scored(year=2030), scored(year=2004, mileage_km=20_000),
        scored(risk="high", risks=RISKS), scored(posted_at=NOW - timedelta(days=1, hours=1)), scored(posted_at=old),
        scored(median_days=10.0), scored(median_days=1.0), scored(median_days=90.0),
        *(scored(dropped_by=Decimal("0.1"), priced_at=NOW - timedelta(days=days)) for days in (0, 1, 2, 9)),
    ]  # fmt: skip


@dataclass
class Shown:
    """What a page asks of an ad."""

    score: Decimal | None = Decimal(5)
    is_approved: bool = False
    reasons: Sequence[str] = ()
    risk: str | None = "low"
    risks: Sequence[object] = field(default=())


def objections(**about: Any) -> list[str]:
    return estimates.objections(ENGLISH, cast("Ad", Shown(**about)))


def test_every_sentence_of_the_score_stage_is_known() -> None:
    seen = {text for each in every_score() for text in each.reasons}
    for text in seen:
        assert not re.search("[A-Za-z]{3}", re.sub("«.*»", "", estimates.reason(BULGARIAN, text))), text
    unseen = [each.pattern.pattern for each in estimates.SENTENCES if not any(map(each.pattern.fullmatch, seen))]
    assert unseen == [], "sentences that the stage does not write"


def test_the_bot_says_why_in_the_words_of_the_site() -> None:
    for text in {text for each in every_score() for text in each.reasons}:
        assert watch_reasons.said("bg", [text]) == [estimates.reason(BULGARIAN, text)]
        assert watch_reasons.said("en", [text]) == [text]
    for flag, name in vocabulary.NAMES["risk"].items():
        sentence = f"{flag.replace('_', ' ')}: «x»"
        assert watch_reasons.said("bg", [sentence]) == [f"{BULGARIAN.gettext(name)}: «x»"]


def test_what_keeps_an_ad_from_being_posted_is_an_objection() -> None:
    for found in every_score():
        risk_level = "high" if found.parts["risk"] == score.RISK["high"] else "low"
        said = objections(reasons=found.reasons, is_approved=found.is_approved, risk=risk_level)
        assert bool(said) is not found.is_approved, found
        assert set(said).isdisjoint(estimates.reasons(ENGLISH, found.reasons))
    assert objections(score=None) == []


@pytest.mark.parametrize(
    ("text", "english", "bulgarian"),
    [
        ("20 % below 34 comparable cars", "20 % below 34 comparable cars", "20 % под 34 сравними коли"),
        ("3 % above 1 comparable car", "3 % above 1 comparable car", "3 % над 1 сравнима кола"),
        ("at the price of the model", "at the price of the price model", "на цената от ценовия модел"),
        ("price dropped 13 % 4 days ago", "price dropped 13 % 4 days ago", "цената падна с 13 % преди 4 дни"),
        ("from america: «от САЩ»", "from America: «от САЩ»", "от Америка: «от САЩ»"),
        ("no price: lease balance", "no price: a lease to take over", "няма цена: лизинг за поемане"),
        ("its mileage is not known", "its mileage is not known", "пробегът не е известен"),
        ("something new", "something new", "something new"),
        ("20 % below %(x)s", "20 % below %(x)s", "20 % below %(x)s"),
    ],
)
def test_reasons_are_translated(text: str, english: str, bulgarian: str) -> None:
    assert (estimates.reason(ENGLISH, text), estimates.reason(BULGARIAN, text)) == (english, bulgarian)


def test_a_card_shows_what_is_not_said_beside_the_price() -> None:
    texts = [
        "20 % below 34 comparable cars", "cheaper than nine of ten", "new today", "from america: «от САЩ»",
        "its mileage is not known", "below the score of 7.5 that is asked for",
    ]  # fmt: skip
    shown = [("cheaper than nine of ten", False), ("new today", False), ("its mileage is not known", True)]
    assert estimates.chips(ENGLISH, texts) == shown


def test_a_confidence_is_said_in_the_words_of_messages() -> None:
    for of in (0.3, 0.5, 0.6):
        assert estimates.sure(ENGLISH, of) == confidence.words(of)
    assert [estimates.sure(BULGARIAN, of) for of in (0.3, 0.5, 0.6)] == ["несигурно", "доста сигурно", "сигурно"]


def test_every_problem_of_a_price_has_a_name() -> None:
    documented = set(re.findall(r'"(\w+)"', risk.price_problem.__doc__ or ""))
    assert documented == set(vocabulary.NAMES["price_problem"])


def test_without_a_price_or_an_estimate_there_is_no_badge() -> None:
    @dataclass
    class Worth:
        p10: Decimal | None = Decimal(7800)
        p50: Decimal | None = Decimal(10_000)
        p90: Decimal | None = Decimal(12_800)

    assert estimates.badge(Decimal(7000), Worth()) == "great"
    assert estimates.below(Decimal(7000), Worth()) == 30
    assert estimates.badge(None, Worth()) is estimates.below(None, Worth()) is None
    assert estimates.badge(Decimal(7000), Worth(p10=None)) is None
    assert estimates.badge(Decimal(7000), None) is estimates.below(Decimal(7000), None) is None


def test_the_parts_of_a_score_begin_with_the_price() -> None:
    shuffled = {"risk": -1.2, "new": 1.0, "demand": 0.1, "price": 6.0, "freshness": 0.5}
    assert [name for name, _ in estimates.parts(shuffled)] == ["price", "freshness", "demand", "risk", "new"]
    assert set(estimates.PARTS) == set(scored().parts)
