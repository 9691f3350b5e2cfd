"""How good estimates are on real Bulgarian ads, where they are beside the repository."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from deals.evaluation import figures as figures_of, folds

DATA = Path(os.environ.get("VINOPS_SHARED_DATA") or Path(__file__).parents[4] / "shared" / "data")
ADS = DATA / "listings_bg_2025.csv"

pytestmark = [
    pytest.mark.skipif(not ADS.exists(), reason="the real ads are not here: name their folder in VINOPS_SHARED_DATA"),
    pytest.mark.timeout(600),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    """Five folds; half a minute of one processor."""
    return folds.evaluate_file(ADS)


def test_ads_are_measured_on_and_placeholders_are_not(figures: dict[str, Any]) -> None:
    assert figures["n"] + sum(figures["left_out"].values()) == 5_269
    assert figures["n"] > 4_800
    assert figures["covered"] > 0.55 * figures["n"]


def test_half_of_the_covered_ads_are_met_within_13_5_percent(figures: dict[str, Any]) -> None:
    assert figures["ours"]["covered"]["mdape"] <= 0.135


def test_two_of_three_covered_ads_are_met_within_20_percent(figures: dict[str, Any]) -> None:
    assert figures["ours"]["covered"]["within20"] >= 0.66


@pytest.mark.parametrize("group", figures_of.GROUPS)
def test_four_of_five_prices_lie_between_p10_and_p90(figures: dict[str, Any], group: str) -> None:
    assert 0.78 <= figures["ours"][group]["coverage_p10_p90"] <= 0.82


@pytest.mark.parametrize("group", figures_of.GROUPS)
@pytest.mark.parametrize("baseline", ["gradient_boosting", "comparables"])
def test_it_is_better_than_the_baselines(figures: dict[str, Any], baseline: str, group: str) -> None:
    ours, others = figures["ours"][group], figures[baseline][group]
    assert ours["mdape"] < others["mdape"]
    assert ours["within20"] > others["within20"]
