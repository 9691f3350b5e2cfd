"""What a model learns from: no car on two sides, and the time at which an ad was there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from deals.estimate import learned, model as price_model
from deals.estimate.cars import Row, as_lots, of_rows, same_cars
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


def test_facts_that_only_live_pages_have_are_learned_where_they_are_there() -> None:
    """A dealer asks a tenth more here, an ad with leather a fifth, one with a service history 15 %."""
    chance = np.random.default_rng(1)
    dealer, leather, history = (chance.random(1200) < share for share in (0.5, 0.3, 0.4))
    live = [
        row._replace(
            price_eur=(row.price_eur or 0) * 1.1 ** dealer[place] * 1.2 ** leather[place] * 1.15 ** history[place],
            seller="dealer" if dealer[place] else "private",
            equipment=("Кожен салон", "ABS") if leather[place] else ("ABS",),
            description="Пълна сервизна история." if history[place] else None,
        )
        for place, row in enumerate(priced_cars.market(1200, noise=0.03))
    ]
    cars = of_rows(live)
    fitted = learned.linear.fit(cars, cars.log_price)
    plain: dict[str, object] = {"seller": "private", "equipment": ("ABS",), "description": None}
    said = fitted.predict(of_rows([row._replace(**plain) for row in live]))  # type: ignore[arg-type]
    for change, factor in (
        ({"seller": "dealer"}, 1.1),
        ({"equipment": ("ABS", "Кожен салон")}, 1.2),
        ({"description": "СЕРВИЗНА ИСТОРИЯ, пълна"}, 1.15),
    ):
        other = of_rows([row._replace(**plain | change) for row in live])  # type: ignore[arg-type]
        assert np.exp(np.median(fitted.predict(other) - said)) == pytest.approx(factor, abs=0.06)


def test_a_source_without_these_facts_has_no_weights_for_them() -> None:
    cars = of_rows(ROWS)
    fitted = learned.linear.fit(cars, cars.log_price)
    assert [len(fitted.names[slot]) for slot in ("seller", "equipment", "description")] == [0, 0, 0]


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("vw golf 2.0tdi", {"vw", "golf", "2.0", "tdi"}),
        ("bmw 320 4 500 лв.", {"bmw", "320"}),
        ("vw golf 4500лв", {"vw", "golf"}),
        ("vw golf 7.500 €", {"vw", "golf"}),
        ("vw golf 6900", {"vw", "golf"}),
        ("audi a4 2.0 евро 5", {"audi", "a4", "2.0", "евро", "5"}),
        ("bmw 320 235 к.с.", {"bmw", "320", "235", "к", "с"}),
    ],
)
def test_a_price_in_a_title_is_no_word(title: str, words: set[str]) -> None:
    assert set(learned.linear.words(title)) == words


def test_no_number_of_a_description_is_a_word() -> None:
    """It may be the price: an estimate that follows it would find no bargain."""
    said = "цена 4500 лв, 4 500€, при оглед 4.400, двигател 2.0tdi"
    assert learned.linear.words_of(said) == ["цена", "при", "оглед", "двигател", "tdi"]
    assert len(learned.linear.words_of(" ".join(f"{a}{b}яма" for a in "абвгд" for b in "абвгдежзий"))) == 40


def test_what_a_lot_does_not_say_cannot_be_in_its_estimate() -> None:
    live = {"seller": "dealer", "equipment": ("ABS",), "description": "сервизна история", "seen": 2026.1}
    cars = of_rows([row._replace(**live) for row in ROWS])  # type: ignore[arg-type]
    other = of_rows([row._replace(title="x", month=None, power_hp=None) for row in ROWS])
    for name, one in vars(as_lots(cars)).items():
        two = getattr(as_lots(other), name)
        assert np.array_equal(one, two, equal_nan=one.dtype == float), name
