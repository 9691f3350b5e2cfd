"""The real sample of the auction against real ads: the funnel, and how often p10 to p90 contains a held-out price."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from deals.estimate import candidates, comparables, learned
from deals.estimate.cars import as_lots
from deals.evaluation import folds
from deals.evaluation.ads import read_file
from deals.offers import ranking
from ops import funnel
from vinops.db.database import queries

if TYPE_CHECKING:
    from vinops.config import Settings

DATA = Path(os.environ.get("VINOPS_SHARED_DATA") or Path(__file__).parents[4] / "shared" / "data")
FEED, ADS = DATA / "copart_salesdata59.csv.gz", DATA / "listings_bg_2025.csv"
FEWEST = 20  # lots of a family by which it comes from America

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (FEED.exists() and ADS.exists()),
        reason="the real sample is not here: name its folder in VINOPS_SHARED_DATA",
    ),
]


def test_no_lot_with_an_unknown_title_is_ranked_and_each_car_has_a_reason(settings: Settings) -> None:
    with funnel.loaded(FEED, ADS, replace(settings, database_url=None), rate=Decimal("1.16")) as connection:
        row = connection.execute(queries("imports")["funnel"])
        counts = dict(zip([each.name for each in row.description or ()], row.fetchone() or (), strict=True))
        best: list[dict[str, Any]] = ranking.top(
            connection, ranking.Wanted(), 500, by_profit=False, sale_after=datetime.fromtimestamp(0, UTC)
        )
        families = Counter(
            family
            for (family,) in connection.execute("select family from lot_values where family is not null").fetchall()
        )
    assert counts["lots"] > 25_000
    assert counts["explained"] >= 0.95 * counts["cars"]
    assert counts["ranked_unknown"] == 0
    assert 8_000 < counts["candidates"] < 12_000
    assert counts["valued"] > 2_500
    assert 300 < counts["ranked"] < counts["complete"]
    bids = [each["most_bid_usd"] for each in best]
    assert bids == sorted(bids, reverse=True)
    assert len(families) > 30


@pytest.mark.timeout(600)
def test_the_range_contains_four_of_five_prices_of_cars_from_america() -> None:
    """Held-out ads of families with lots in the sample, petrol and automatic, asked for as lots."""
    cars, _ = read_file(ADS)
    asked_for = as_lots(cars)
    wanted = american(cars.family) & (cars.fuel == "gasoline") & (cars.gearbox == "automatic")
    inside = []
    for seed in ("a", "b"):
        parts = learned.fold(cars.car, 5, seed)
        found = np.full((len(cars), 3), np.nan)
        with learned.one_thread():
            for part in range(5):
                here = parts == part
                known, asked = asked_for.take(~here), folds.without_prices(asked_for.take(here))
                near = comparables.estimate(asked, candidates.find(asked, known))
                found[here] = learned.fit(known).model.predict(asked, near)
        inside.append(np.mean(((found[:, 0] <= cars.log_price) & (cars.log_price <= found[:, 2]))[wanted]))
    assert wanted.sum() > 500
    assert np.mean(inside) == pytest.approx(0.8, abs=0.03)


def american(families: Any) -> Any:
    """Return which families have at least FEWEST lots in the sample."""
    import csv
    import gzip

    from vinops import vehicles

    counts = Counter[str]()
    with gzip.open(FEED, "rt", encoding="utf-8", newline="") as file:
        for lot in csv.DictReader(file):
            make = vehicles.make(lot["Make"])
            model = vehicles.model(make.value, lot["Model Group"]) if make else None
            if model and lot["Vehicle Type"] == "V":
                counts[model.family] += 1
    return np.array([counts[family] >= FEWEST for family in families], dtype=bool)
