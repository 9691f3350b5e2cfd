"""How many of the best scores are bargains that were planted: real ads, priced 30 % lower when they are scored.

Estimates are of the true prices, by other folds. Ads that are cheap by themselves compete with the planted ones, so the
share is a lower bound of how often a good score is right.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import numpy as np

from deals.stages import score as scoring
from vinops.config import Settings
from vinops.text import risk

if TYPE_CHECKING:
    from deals.estimate.cars import Cars, Floats, Ints

SHARE: Final = 0.02  # of the ads
CHEAPER: Final = 0.3
PLANTINGS: Final = 20
BEST: Final = 20  # scores that are looked at
NOW: Final = datetime(2025, 1, 1, tzinfo=UTC)  # all ads are new


def measure(cars: Cars, found: Floats, count: Ints, confidence: Floats, *, seed: int) -> dict[str, float | int]:
    """Return the share of planted ads among the BEST scores (`precision`) and among the approved ads (`of_approved`),
    as means over PLANTINGS plantings, and how many ads are `approved`, without plantings.

    `found` are p10, p50 and p90 in ln EUR, a row an ad. An ad that meets an objection is behind all that do not.
    """
    chance = np.random.default_rng(seed)
    plain = _scored(cars, found, count, confidence, 1.0)
    cheap = _scored(cars, found, count, confidence, 1 - CHEAPER)
    precision, of_approved = [], []
    for _ in range(PLANTINGS):
        is_planted = np.zeros(len(cars), dtype=bool)
        is_planted[chance.choice(len(cars), round(SHARE * len(cars)), replace=False)] = True
        ranks = np.array([cheap[place] if is_planted[place] else plain[place] for place in range(len(cars))])
        best = np.lexsort((ranks[:, 1], ranks[:, 0]))[::-1][:BEST]
        precision.append(float(np.mean(is_planted[best])))
        approved = ranks[:, 0] == 1
        of_approved.append(float(np.mean(is_planted[approved])) if approved.any() else 0.0)
    return {
        "precision": float(np.mean(precision)),
        "of_approved": float(np.mean(of_approved)),
        "approved": sum(int(each[0]) for each in plain),
    }


def _scored(cars: Cars, found: Floats, count: Ints, confidence: Floats, factor: float) -> list[tuple[bool, float]]:
    """Return for each ad, with its price multiplied by a factor, whether it is approved and its points."""
    settings = Settings()
    values = np.rint(np.exp(found)).astype(int).tolist()
    prices = np.rint(np.exp(cars.log_price) * factor).astype(int).tolist()
    facts = [
        scoring.Facts(
            listing_id=place,
            posted_at=NOW,
            price_eur=Decimal(prices[place]),
            title=cars.title[place],
            model=cars.model[place],
            year=int(cars.born[place]),
            mileage_km=_known(cars.km[place]),
            power_hp=_known(cars.power[place]),
            risk=risk.level(risk.flags(cars.title[place], None, ())),
            p10=Decimal(low),
            p50=Decimal(middle),
            p90=Decimal(high),
            comparables=int(count[place]),
            confidence=float(confidence[place]),
        )
        for place, (low, middle, high) in enumerate(values)
    ]
    batch = scoring.Batch(
        ads=facts,
        now=NOW,
        min_score=settings.deals_min_score,
        min_comparables=settings.deals_min_comparables,
        min_confidence=settings.deals_min_confidence,
    )
    return [(result.is_approved, sum(result.parts.values())) for result in scoring.work(batch)]


def _known(number: float) -> int | None:
    return int(number) if np.isfinite(number) else None
