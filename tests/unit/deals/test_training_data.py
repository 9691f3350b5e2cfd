"""What a model learns from: no car on two sides, and the time at which an ad was there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from deals.estimate import learned, model as price_model
from deals.estimate.cars import Row, of_rows, same_cars
from tests.support import priced_cars

ROWS = priced_cars.market(200)


def again(row: Row, number: int, **changes: object) -> Row:
    return row._replace(**{"listing_id": 1_000 + number, "car": 1_000 + number} | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [{}, {"price_eur": 1.0}, {"title": "другата обява"}, {"colour": "red"}, {"mileage_km": 900}, {"seen": 2024.1}],
    ids=["as it was", "another price", "another title", "another color", "a little further", "long ago"],
)
def test_an_ad_of_the_same_car_is_in_the_same_fold(changes: dict[str, object]) -> None:
    """Also one that ended before the other was posted: links of duplicates are between active ads only."""
    more = dict(changes)
    copies = [
        again(row, number, **more | ({"mileage_km": (row.mileage_km or 0) + 900} if "mileage_km" in more else {}))
        for number, row in enumerate(ROWS)
    ]
    cars = of_rows([*ROWS, *copies])
    found = same_cars(cars)
    assert np.array_equal(found[:200], found[200:])
    for seed in ("a", "b"):
        parts = learned.fold(found, 5, seed)
        assert np.array_equal(parts[:200], parts[200:]), "it is on both sides"


@given(order=st.permutations(range(20)))
def test_which_ads_show_one_car_does_not_depend_on_their_order(order: list[int]) -> None:
    rows = [*ROWS[:10], *(again(row, number) for number, row in enumerate(ROWS[:10]))]
    cars = of_rows(rows)
    assert np.array_equal(same_cars(cars.take(np.array(order))), same_cars(cars)[order])


def test_other_cars_are_other_cars() -> None:
    rows = [ROWS[0], *(again(ROWS[0], number, **change) for number, change in enumerate(
        ({"year": 1999}, {"power_hp": 61}, {"fuel": "lpg"}, {"model": "Voz Zil"}, {"mileage_km": 899_000})
    ))]  # fmt: skip
    assert len(set(same_cars(of_rows(rows)).tolist())) == len(rows)


def test_no_car_that_is_asked_for_is_among_the_known_ones() -> None:
    known, asked = of_rows(ROWS), of_rows([again(row, number, price_eur=9.0) for number, row in enumerate(ROWS[:30])])
    left, same = price_model.apart(known, asked)
    assert set(left.ids.tolist()) == {row.listing_id for row in ROWS[30:]}
    assert same is asked


def test_when_an_ad_was_last_seen_is_learned_from() -> None:
    """Ads that went half a year ago asked a tenth less."""
    gone = np.random.default_rng(1).random(600) < 0.3
    rows = [
        row._replace(price_eur=(row.price_eur or 0) * 0.9 ** gone[place], seen=2026.0 - 0.5 * gone[place])
        for place, row in enumerate(priced_cars.market(600, noise=0.03))
    ]
    cars = of_rows(rows)
    fitted = learned.linear.fit(cars, cars.log_price)
    now = fitted.predict(replace(cars, seen=np.full(600, np.nan)))
    then = fitted.predict(replace(cars, seen=np.full(600, 2025.5)))
    assert np.exp(np.median(then - now)) == pytest.approx(0.9, abs=0.05)
    assert fitted.predict(replace(cars, seen=np.full(600, 2026.0))) == pytest.approx(now), "the newest are of now"
