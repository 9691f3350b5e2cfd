"""Calibration: four of five prices lie between p10 and p90, in each group as in all; and how sure a width is."""

from __future__ import annotations

import numpy as np
import pytest

from deals.estimate import calibrate, candidates as market, comparables, confidence, learned
from deals.estimate.cars import of_rows
from tests.support import priced_cars


def test_groups_that_overlap_are_each_covered_although_the_width_knows_nothing_of_them() -> None:
    chance = np.random.default_rng(1)
    size = 6_000
    members = chance.random((size, 3)) < (0.5, 0.1, 0.05)
    scale = 0.1 * (1 + 1.5 * members[:, 1] + 2 * members[:, 2]) * (1 - 0.4 * members[:, 0])
    off = chance.laplace(0, 1, size) * scale + 0.05 * members[:, 1]
    here = np.arange(size) < size // 2
    found = calibrate.fit(off[here], np.full(here.sum(), 0.1), members[here])
    reach = found.reach(np.full(size, 0.1), members)
    beyond = np.column_stack([off < -reach[:, 0], off > reach[:, 1]])[~here]
    assert np.mean(beyond.any(axis=1)) == pytest.approx(0.2, abs=0.03)
    for group in members[~here].T:
        assert np.mean(beyond[group].any(axis=1)) == pytest.approx(0.2, abs=0.09)
    one = calibrate.fit(off[here], np.full(here.sum(), 0.1), members[here][:, :0])
    plain = off[~here] < -one.reach(np.full(size, 0.1), members[:, :0])[~here, 0]
    assert np.mean(plain[members[~here][:, 2]]) > 0.2, "without groups it would be wrong in them"


def test_a_group_of_few_ads_has_no_factor_of_its_own() -> None:
    members = np.arange(1_000)[:, None] < calibrate.FEWEST - 1
    found = calibrate.fit(np.where(members[:, 0], 9.0, 0.1), np.full(1_000, 0.1), members)
    assert not found.factors[:, 1].any()


def test_each_ad_is_in_one_band_of_each_fact_and_its_price_does_not_matter() -> None:
    cars = of_rows(priced_cars.market(50))
    middle, words, covered = np.linspace(6, 12, 50), np.arange(50), np.ones(50, dtype=bool)
    found = calibrate.groups(cars, middle, words, covered, 2025.9)
    bands = found[:, 3:]
    assert set(bands.sum(axis=1)) == {3}
    assert found.shape[1] == 3 + len(calibrate.AGES) + len(calibrate.WORDS) + len(calibrate.VALUES) + 3


def test_a_fact_that_no_ad_gives_is_no_error() -> None:
    """scikit-learn fails on a column without a value."""
    cars = of_rows([row._replace(power_hp=None, title="x") for row in priced_cars.market(60)])
    pairs = market.find(cars, cars)
    table = learned._table(
        cars, cars.log_price, comparables.estimate(cars, pairs), {each: ["x"] for each in learned.CATEGORIES}
    )
    assert np.isnan(table).all(axis=0).any()
    learned._width(table, np.zeros(60), share=None)


@pytest.mark.parametrize(
    ("low", "high", "said"), [(0.8, 1.2, "sure"), (0.75, 1.35, "fairly sure"), (0.6, 1.4, "unsure")]
)
def test_a_narrow_estimate_is_sure_and_a_wide_one_is_not(low: float, high: float, said: str) -> None:
    found = confidence.of(np.log([low]), np.log([high]))
    assert confidence.words(float(found[0])) == said


def test_without_an_estimate_there_is_no_confidence() -> None:
    assert confidence.of(np.array([np.nan]), np.array([np.nan])).tolist() == [0.0]
