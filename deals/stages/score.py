"""The stage `score`: how good a deal an ad is, from 1 to 10, the reasons in words, and whether it is worth a message.

The score is the chance that the price is a bargain's, plus freshness, plus demand, minus risk
(docs/decisions/0013-scores.md explains the numbers): a pure function of the facts of the ad and of the time.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from deals.estimate.doubts import doubts
from deals.stages import chance
from vinops.db.database import queries
from vinops.logs import pairs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal

    from psycopg import Connection

    from vinops.config import Settings

log = logging.getLogger("deals")

BASE: Final = 4.2
"""Points of a car at its market value, with nothing else for or against it."""
CHANCE: Final = 1.7  # points for e times the odds that the price is a bargain's
SLOPE: Final = 17.0  # points that a confident estimate takes for a price of twice what it should be
FEWEST_WORDS: Final = 3  # of a title: a shorter one says too little of the car
FRESH: Final = 0.8  # points on the first day
HALF_FRESH: Final = 4.0  # days in which these points halve
DROP_FRESH: Final = 0.5  # points on the day when the price came down
LEAST_DROP: Final = 0.01
GOOD: Final = 7.0
"""The lowest score that is logged at INFO, also for an ad that gets no message."""
DEMAND: Final = 0.4  # points for each halving of the days that cars of the model are advertised
USUAL_DAYS: Final = 30.0
MOST_DEMAND: Final = 0.6  # points
LEAST_GONE: Final = 5  # cars of a model that sold, below which there is no demand to measure
RISK: Final = {"low": 0.0, "medium": -1.2, "high": -4.0}  # points
TOLD_DAYS: Final = 14  # for how long a lower price is among the reasons
OLD_DAYS: Final = 45  # from which on the age of an ad is among the reasons


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """The facts of an ad. Prices in EUR; `first_ad` is an active ad that showed the same car before; `models_gone` and
    `median_days`: how many of its model sold lately, and after how many days half of those.
    """

    listing_id: int
    posted_at: datetime
    is_gone: bool = False
    price_eur: Decimal | None = None
    price_problem: str | None = None
    risk: str | None = None
    risks: Sequence[Mapping[str, str]] | None = None
    first_ad: int | None = None
    title: str = ""
    model: str | None = None
    year: int | None = None
    mileage_km: int | None = None
    power_hp: int | None = None
    p10: Decimal | None = None
    p50: Decimal | None = None
    p90: Decimal | None = None
    comparables: int = 0
    confidence: float = 0.0
    models_gone: int | None = None
    median_days: float | None = None
    dropped_by: Decimal | None = None
    priced_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Ads to score, the time, and the limits from which on an ad is worth a message."""

    ads: Sequence[Facts]
    now: datetime
    min_score: float
    min_comparables: int
    min_confidence: float


@dataclass(frozen=True, kw_only=True)
class Score:
    """The score of an ad. `parts` are price, freshness, demand and risk in points; the score is
    their sum, limited to 1 to 10 and rounded to a tenth."""

    listing_id: int
    score: float
    parts: Mapping[str, float]
    reasons: Sequence[str]
    is_approved: bool


def read(connection: Connection[Any], listing_ids: Sequence[int], settings: Settings) -> Batch:
    """Return the facts by which these ads are scored. One statement for all of them."""
    with connection.cursor(row_factory=class_row(Facts)) as cursor:
        ads = cursor.execute(queries("scoring")["read_facts"], {"listing_ids": list(listing_ids)}).fetchall()
    return Batch(
        ads=ads,
        now=datetime.now(UTC),
        min_score=settings.deals_min_score,
        min_comparables=settings.deals_min_comparables,
        min_confidence=settings.deals_min_confidence,
    )


def work(batch: Batch) -> list[Score]:
    """Return the score of each ad. A pure function of the batch."""
    return [score(ad, batch) for ad in batch.ads]


def write(connection: Connection[Any], results: Sequence[Score]) -> None:
    """Record scores and rows of the board in the caller's transaction, and log one line an ad: INFO for a score from
    GOOD on, and for any ad that is worth a message, else DEBUG.

    A score or a row is replaced if it differs, so a second call changes nothing. If the process dies before the caller
    commits, scores and board are what they were.
    """
    if not results:
        return
    connection.execute(queries("scoring")["write_scores"], {"scores": Jsonb([vars(result) for result in results])})
    connection.execute(queries("board")["write_board"], {"listing_ids": [result.listing_id for result in results]})
    for result in results:
        level = logging.INFO if result.is_approved or result.score >= GOOD else logging.DEBUG
        if log.isEnabledFor(level):
            approved = "yes" if result.is_approved else "no"
            about = pairs(listing=result.listing_id, approved=approved, **result.parts, why="; ".join(result.reasons))
            log.log(level, "%s %s", said(result.score), about)


def said(score: float) -> str:
    """Return a score as the log has it. `grep "Score: [7-9]"`, which operators type, finds all from 7 on: ten too."""
    shown = f"Score: {score:.1f}"
    return f"{shown} (above Score: 9.9)" if shown == "Score: 10.0" else shown


def refresh_demand(connection: Connection[Any]) -> None:
    """Measure how fast cars of each model sell.

    One statement: if the process dies, either all models are measured or none is. A second process at the same time
    waits, and measures the same.
    """
    connection.execute(queries("scoring")["refresh_demand"])


def score(ad: Facts, batch: Batch) -> Score:
    """Return the score of one ad, by the time and the limits of its batch."""
    days = max((batch.now - ad.posted_at) // timedelta(days=1), 0)
    is_suspicious = (
        ad.price_eur is not None and ad.p50 is not None and float(ad.price_eur) < chance.SUSPICIOUS * float(ad.p50)
    )
    risk = "high" if is_suspicious else ad.risk or "low"
    parts = {
        "price": round(_price(ad), 2),
        "freshness": round(_freshness(ad, days, batch.now), 2),
        "demand": round(_demand(ad), 2),
        "risk": RISK[risk],
    }
    points = round(min(max(sum(parts.values()), 1.0), 10.0) + 1e-9, 1)
    objections = [
        *_objections(ad, batch),
        *(["suspiciously cheap: more than 60 % below its value"] if is_suspicious else []),
    ]
    if points < batch.min_score:
        objections.append(f"below the score of {batch.min_score:g} that is asked for")
    return Score(
        listing_id=ad.listing_id,
        score=points,
        parts=parts,
        reasons=[*_reasons(ad, days, batch.now), *objections],
        is_approved=not objections and risk != "high",
    )


def _price(ad: Facts) -> float:
    """Return the points of the price; 0 without a price or an estimate."""
    if ad.price_eur is None or ad.p10 is None or ad.p50 is None or ad.p90 is None:
        return 0.0
    price, p10, p50, p90 = (float(each) for each in (ad.price_eur, ad.p10, ad.p50, ad.p90))
    if price >= p50:
        return BASE - SLOPE * ad.confidence * (price / p50 - 1)
    return BASE + CHANCE * math.log((1 + chance.odds(price, p10, p50, p90)) / (1 + chance.odds(p50, p10, p50, p90)))


def _freshness(ad: Facts, days: int, now: datetime) -> float:
    """Return the points for a new ad, or for a price that was lowered lately. In steps of a day: a score is the same
    for the whole day."""
    points: float = FRESH * 0.5 ** (days / HALF_FRESH)
    dropped = _dropped(ad, now)
    return max(points, DROP_FRESH * 0.5 ** (dropped / HALF_FRESH)) if dropped is not None else points


def _dropped(ad: Facts, now: datetime) -> int | None:
    """Return how many days ago the price was lowered; None if it was not, or was raised since."""
    if ad.dropped_by is None or ad.priced_at is None or ad.dropped_by < LEAST_DROP:
        return None
    return max((now - ad.priced_at) // timedelta(days=1), 0)


def _demand(ad: Facts) -> float:
    days = _days_of_model(ad)
    if days is None:
        return 0.0
    return min(max(DEMAND * math.log2(USUAL_DAYS / max(days, 1.0)), -MOST_DEMAND), MOST_DEMAND)


def _days_of_model(ad: Facts) -> float | None:
    if ad.models_gone is None or ad.models_gone < LEAST_GONE:
        return None
    return ad.median_days


def _reasons(ad: Facts, days: int, now: datetime) -> list[str]:
    """Return the reasons for and against an ad, in words, the price first."""
    reasons = _reasons_of_price(ad)
    if days <= 1:
        reasons.append("new today" if days == 0 else "new since yesterday")
    elif days >= OLD_DAYS:
        reasons.append(f"there for {days} days")
    dropped = _dropped(ad, now)
    if dropped is not None and dropped <= TOLD_DAYS:
        when = {0: "today", 1: "yesterday"}.get(dropped, f"{dropped} days ago")
        reasons.append(f"price dropped {float(ad.dropped_by or 0):.0%} {when}".replace("%", " %"))
    half = _days_of_model(ad)
    if half is not None and abs(_demand(ad)) >= MOST_DEMAND / 3:
        how = "goes fast: half of them within" if half < USUAL_DAYS else "goes slowly: half of them take more than"
        reasons.append(f"{how} {max(round(half), 1)} {'day' if round(half) <= 1 else 'days'}")
    reasons += [f"{risk['flag'].replace('_', ' ')}: «{risk['words']}»" for risk in ad.risks or ()]
    return reasons


def _reasons_of_price(ad: Facts) -> list[str]:
    if ad.price_eur is None or ad.p50 is None or ad.p10 is None:
        return []
    share = round(100 * (1 - float(ad.price_eur / ad.p50)))
    market = f"{ad.comparables} comparable car{'' if ad.comparables == 1 else 's'}" if ad.comparables else "the model"
    if share == 0:
        return [f"at the price of {market}"]
    reasons = [f"{abs(share)} % {'below' if share > 0 else 'above'} {market}"]
    if ad.price_eur < ad.p10:
        reasons.append("cheaper than nine of ten")
    return reasons


def _objections(ad: Facts, batch: Batch) -> list[str]:
    """Return why an ad is not worth a message, whatever its score; its risks are among its reasons."""
    found = []
    if ad.is_gone:
        found.append("gone")
    if ad.first_ad is not None:
        found.append(f"the same car as in ad {ad.first_ad}")
    if ad.price_eur is None:
        found.append(f"no price: {ad.price_problem.replace('_', ' ')}" if ad.price_problem else "no price")
    if ad.p50 is None:
        found.append("no estimate of its value")
    if ad.comparables < batch.min_comparables and (ad.comparables or ad.p50 is not None):
        number = f"only {ad.comparables}" if ad.comparables else "no"
        found.append(f"{number} comparable car{'' if ad.comparables == 1 else 's'}")
    if ad.p50 is not None and ad.confidence < batch.min_confidence:
        found.append(f"the estimate is unsure (confidence {ad.confidence:.2f})")
    if ad.mileage_km is None:
        found.append("its mileage is not known")
    if ad.power_hp is None:
        found.append("its power is not known")
    if len(ad.title.split()) < FEWEST_WORDS:
        found.append("its title says too little")
    return found + [
        f"its {doubt.replace(' ', ' is ')}"
        for doubt in doubts(model=ad.model, year=ad.year, mileage_km=ad.mileage_km, this_year=batch.now.year)
    ]
