"""Comparables: the ad itself and its duplicates never count, like cars count most, and prices are carried over."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from deals.estimate import candidates as market, comparables, confidence as how_sure
from deals.estimate.cars import Row, of_rows
from tests.support import priced_cars

GOLF = Row(
    listing_id=1, car=1, price_eur=5_000.0, year=2010, month=6, mileage_km=180_000, power_hp=105, engine_cc=1_600,
    make="Volkswagen", model="Volkswagen Golf", family="Volkswagen Golf", fuel="diesel", gearbox="manual",
    body="hatchback", colour="black", title="VW Golf 1.6 TDI",
)  # fmt: skip


def golfs(*changes: dict[str, object]) -> list[Row]:
    """One Golf for each, as the first but for these changes."""
    return [
        GOLF._replace(**({"listing_id": 10 + number, "car": 10 + number} | each)) for number, each in enumerate(changes)
    ]  # type: ignore[arg-type]


def worth(asked: Row, rows: list[Row]) -> comparables.Estimates:
    cars = of_rows([asked])
    return comparables.estimate(cars, market.find(cars, of_rows(rows)))


def euros(log_price: np.ndarray) -> float:
    return float(np.exp(log_price[0]))


LIKE_IT = golfs(*({"price_eur": 5_000.0 + step} for step in range(-400, 401, 100)))


def test_a_car_is_worth_what_cars_like_it_cost() -> None:
    found = worth(GOLF, LIKE_IT)
    assert euros(found.p50) == pytest.approx(5_000, rel=0.02)
    assert found.p10[0] < found.p50[0] < found.p90[0]
    assert found.count[0] == found.own_model[0] == 9
    assert comparables.STEPS[found.step[0]] == "same model, fuel and gearbox, at most 3 years apart"


@pytest.mark.parametrize("planted", [
    {"listing_id": 1, "car": 1},  # the ad itself
    {"listing_id": 2, "car": 1},  # its duplicate
], ids=["itself", "its duplicate"])  # fmt: skip
def test_an_ad_planted_among_its_own_comparables_does_not_count(planted: dict[str, int]) -> None:
    plants = golfs(*[{"price_eur": 9_000.0, **planted}] * 200)
    assert euros(worth(GOLF, [*LIKE_IT, *plants]).p50) == euros(worth(GOLF, LIKE_IT).p50)
    assert worth(GOLF, plants).count[0] == 0


def test_the_first_ad_of_the_car_and_its_other_ads_do_not_count_either() -> None:
    duplicate = GOLF._replace(listing_id=3, car=1)
    plants = golfs({"listing_id": 1, "car": 1, "price_eur": 9_000.0}, {"listing_id": 2, "car": 1, "price_eur": 9_000.0})
    assert not set(worth(duplicate, [*LIKE_IT, *plants]).used.ids.tolist()) & {1, 2, 3}


def test_the_planting_proves_something() -> None:
    plants = golfs(*[{"price_eur": 9_000.0}] * 200)
    found = worth(
        GOLF, [each._replace(listing_id=100 + number, car=100 + number) for number, each in enumerate(plants)]
    )
    assert euros(found.p50) == pytest.approx(9_000)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1_000), factor=st.floats(0.01, 100))
def test_the_price_of_an_ad_never_changes_what_it_is_worth(seed: int, factor: float) -> None:
    rows = priced_cars.market(150, seed=seed)
    cars = of_rows(rows)
    before = comparables.estimate(cars, market.find(cars, cars))
    place = seed % len(rows)
    log_price = cars.log_price.copy()
    log_price[place] += np.log(factor)
    changed = replace(cars, log_price=log_price)
    after = comparables.estimate(changed, market.find(changed, changed))
    for name in ("p10", "p50", "p90", "count", "spread", "step"):
        assert getattr(after, name)[place] == pytest.approx(getattr(before, name)[place], rel=1e-12, nan_ok=True)
    assert not (before.used.ids == cars.ids[before.used.ad]).any()


@pytest.mark.parametrize(("change", "more"), [
    ({"year": 2008}, True), ({"mileage_km": 350_000}, True), ({"power_hp": 75}, True), ({"year": 2012}, False),
])  # fmt: skip
def test_prices_are_carried_over_to_the_car(change: dict[str, int], more: bool) -> None:
    """Of a comparable that is older, further driven or weaker the price goes up on the way to this car."""
    found = worth(GOLF, golfs(*[{"price_eur": 5_000.0, **change}] * 10))
    assert (euros(found.p50) > 5_100) if more else (euros(found.p50) < 4_900)


def test_slopes_that_the_comparables_show_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """These cars lose a fifth a year, twice the usual; the car asked for is younger than any."""
    rows = golfs(*({"year": year, "price_eur": 5_000 * 0.8 ** (2010 - year)} for year in [2007, 2009] * 16))
    followed = euros(worth(GOLF, rows).p50)
    monkeypatch.setattr(comparables, "FIRMNESS", np.full(3, 1e9))
    assert euros(worth(GOLF, rows).p50) * 1.03 < followed < 5_000


def test_less_like_cars_are_let_in_step_by_step() -> None:
    def step(*groups: tuple[int, dict[str, object]]) -> str:
        rows = golfs(*(change for count, change in groups for _ in range(count)))
        return comparables.STEPS[worth(GOLF, rows).step[0]]

    same: tuple[int, dict[str, object]] = (4, {})
    automatic: tuple[int, dict[str, object]] = (4, {"gearbox": "automatic"})
    gasoline: tuple[int, dict[str, object]] = (4, {"fuel": "gasoline"})
    old: tuple[int, dict[str, object]] = (4, {"year": 2005, "mileage_km": 190_000})
    plus: tuple[int, dict[str, object]] = (9, {"model": "Volkswagen Golf Plus"})
    assert step((8, {}), automatic, plus) == comparables.STEPS[0]
    assert step(same, automatic, gasoline, plus) == comparables.STEPS[1]
    assert step((2, {}), (2, {"gearbox": "automatic"}), gasoline, plus) == comparables.STEPS[2]
    assert step(same, old, plus) == comparables.STEPS[3]
    assert step(same, plus) == comparables.STEPS[4]


def test_other_models_count_only_where_they_are_needed() -> None:
    plus = golfs(*[{"model": "Volkswagen Golf Plus", "price_eur": 9_000.0}] * 30)
    plus = [row._replace(listing_id=100 + number, car=100 + number) for number, row in enumerate(plus)]
    assert euros(worth(GOLF, [*LIKE_IT, *plus]).p50) == euros(worth(GOLF, LIKE_IT).p50)


def test_nearer_cars_count_more() -> None:
    near, far = {"price_eur": 5_000.0}, {"price_eur": 9_000.0, "year": 2007, "mileage_km": 330_000}
    assert euros(worth(GOLF, golfs(*[near] * 10, *[far] * 10)).p50) == pytest.approx(5_000, rel=0.1)


def test_prices_that_cannot_be_are_left_out() -> None:
    odd = golfs({"price_eur": 100.0}, {"price_eur": 60_000.0}, {"price_eur": None})
    odd = [row._replace(listing_id=50 + number, car=50 + number) for number, row in enumerate(odd)]
    found = worth(GOLF, [*LIKE_IT, *odd])
    assert found.count[0] == len(LIKE_IT)
    assert not set(found.used.ids.tolist()) & {50, 51, 52}


@pytest.mark.parametrize("count", [0, 2])
def test_with_fewer_than_three_there_is_no_estimate(count: int) -> None:
    found = worth(GOLF, LIKE_IT[:count])
    assert np.isnan(found.p50[0])
    assert (found.count[0], found.step[0]) == (0, -1)


def test_an_ad_that_says_little_is_estimated_all_the_same_and_one_that_says_nothing_is_not() -> None:
    little = GOLF._replace(mileage_km=None, power_hp=None, month=None, fuel=None, gearbox=None, body=None)
    assert euros(worth(little, LIKE_IT).p50) == pytest.approx(5_000, rel=0.05)
    assert worth(GOLF._replace(year=None), LIKE_IT).count[0] == 0
    assert worth(GOLF._replace(model=None, family=None), LIKE_IT).count[0] == 0


def test_many_cars_close_together_make_an_estimate_sure() -> None:
    def confidence(rows: list[Row]) -> float:
        found = worth(GOLF, rows)
        return float(how_sure.of(found.p10, found.p90)[0])

    apart = golfs(*({"price_eur": 5_000.0 * factor} for factor in (0.5, 0.6, 0.7, 0.8, 1.0, 1.2, 1.4, 1.6, 1.9)))
    assert confidence(LIKE_IT) > 0.5
    assert confidence(LIKE_IT[:4]) < confidence(LIKE_IT)
    assert confidence(apart) < 0.5
    assert confidence([]) == 0


def test_an_estimate_is_the_same_in_any_order_and_company() -> None:
    rows = priced_cars.market(300)
    cars = of_rows(rows)
    together = comparables.estimate(cars, market.find(cars, cars)).p50
    shuffled = random.Random(1).sample(rows, len(rows))  # not for secrets
    alone = [worth(row, shuffled).p50[0] for row in rows[:20]]
    assert together[:20] == pytest.approx(np.array(alone), nan_ok=True)


def test_what_no_car_has_driven_or_has_under_its_bonnet_is_unknown() -> None:
    odd = of_rows([
        GOLF._replace(mileage_km=228, power_hp=1_896, engine_cc=19_000, title="Golf 1,9 TDI 105к.с."),
        GOLF._replace(mileage_km=5_555_555, power_hp=None, engine_cc=None, title="Golf"),
        GOLF._replace(mileage_km=123_456),
    ])  # fmt: skip
    assert np.isnan(odd.km).all()
    assert (odd.power[0], odd.engine[0]) == (105, 1.9)
    assert np.isnan([odd.power[1], odd.engine[1]]).all()
