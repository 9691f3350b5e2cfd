"""What an ad is in our words, and which ads show the same car."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, strategies as st

from deals.stages.duplicates import Car, first_ads
from deals.stages.normalize import COLUMNS, Ad, gross_price, normalized, work

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
GOLF = Ad(
    listing_id=1, title="VW Golf 1.9 TDI", make_text="VW", model_text="Golf", price_eur=Decimal("4500.00"),
    vat="exempt", year=2008, month=5, mileage_km=210_000, fuel="Дизелов", gearbox="Ръчна", body="Хечбек", power_hp=105,
    engine_cc=1896, colour="Tъмно син", region="София", description="Обслужен, платени данъци.",
    equipment=("Климатик",),
)  # fmt: skip


def ad(**changes: Any) -> Ad:
    """A good ad with something else in it."""
    return replace(GOLF, **changes)


def test_an_ad_in_our_words() -> None:
    golf = normalized(GOLF)
    assert {name: getattr(golf, name) for name in COLUMNS} == {
        "listing_id": 1, "make": "Volkswagen", "model": "Volkswagen Golf", "family": "Volkswagen Golf",
        "fuel": "diesel",
        "gearbox": "manual", "body": "hatchback", "colour": "dark blue", "region": "София", "year": 2008, "month": 5,
        "mileage_km": 210_000, "power_hp": 105, "engine_cc": 1896, "price_eur": Decimal("4500.00"),
        "price_problem": None, "risk": "low", "risks": [], "guesses": [], "unknowns": [], "is_comparable": True,
    }  # fmt: skip


def test_each_ad_has_a_result() -> None:
    assert [result.listing_id for result in work([GOLF, ad(listing_id=7), ad(listing_id=3)])] == [1, 7, 3]
    assert work([]) == []


@pytest.mark.parametrize(
    ("price", "vat", "gross"),
    [
        ("10000", "excluded", "12000.00"), ("10000", "included", "10000.00"), ("10000", "exempt", "10000.00"),
        ("10000", None, "10000.00"), ("21423.13", "excluded", "25707.76"), (None, "excluded", None),
    ],
)  # fmt: skip
def test_a_private_buyer_pays_the_tax(price: str | None, vat: str | None, gross: str | None) -> None:
    assert gross_price(price and Decimal(price), vat) == (gross and Decimal(gross))  # type: ignore[arg-type]
    found = normalized(ad(price_eur=price and Decimal(price), vat=vat))
    assert found.price_eur == (gross and Decimal(gross))
    assert found.is_comparable == (price is not None)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"price_eur": Decimal(11)}, "placeholder"),
        ({"description": "Обявената цена е остатъкът по лизинга, месечна вноска 290 лв."}, "lease_balance"),
    ],
)
def test_a_number_that_is_no_price_is_none_and_says_why(changes: dict[str, Any], problem: str) -> None:
    found = normalized(ad(**changes))
    assert (found.price_eur, found.price_problem, found.is_comparable) == (None, problem, False)


def test_what_one_beware_of_is_told_with_its_words() -> None:
    found = normalized(ad(description="Катастрофирал отпред, пали и се движи."))
    assert (found.risk, found.is_comparable) == ("high", False)
    assert {"flag", "level", "words"} == set(found.risks[0])
    assert "Катастрофирал" in found.risks[0]["words"]
    good = normalized(ad(description="Не е катастрофирал, без удар."))
    assert (good.risk, good.is_comparable) == ("low", True)


@pytest.mark.parametrize("missing", [{"year": None}, {"price_eur": None}, {"model_text": "Зубър", "title": "VW Зубър"}])
def test_without_year_price_or_model_an_ad_tells_no_prices(missing: dict[str, Any]) -> None:
    assert not normalized(ad(**missing)).is_comparable


@pytest.mark.parametrize(
    ("changes", "is_comparable"),
    [
        ({"mileage_km": 21_000}, False),
        ({"mileage_km": 21_000, "year": 2018}, True),
        ({"make_text": "Chevrolet", "model_text": "Kalos", "title": "Chevrolet Kalos", "year": 2024}, False),
    ],
)
def test_an_ad_whose_facts_are_doubtful_is_no_example(changes: dict[str, Any], is_comparable: bool) -> None:
    found = normalized(ad(**changes), this_year=2026)
    assert found.is_comparable == is_comparable
    assert found.price_eur, "its price stays"


@pytest.mark.parametrize(
    ("changes", "is_comparable"),
    [
        ({"description": "Нов автомобил по поръчка, срок 3 месеца.", "mileage_km": 1}, False),
        ({"description": "Нов автомобил по поръчка, срок 3 месеца.", "mileage_km": None}, False),
        ({"description": "Килимчета по поръчка.", "mileage_km": 90_000}, True),
        ({"description": "Нов автомобил.", "mileage_km": 1}, True),
    ],
)
def test_a_car_that_has_to_be_ordered_first_tells_no_prices(changes: dict[str, Any], is_comparable: bool) -> None:
    assert normalized(ad(**changes)).is_comparable == is_comparable


def test_what_is_not_known_is_none_and_noted() -> None:
    found = normalized(
        ad(model_text="Зубър", title="VW Зубър", fuel="Въглища", gearbox=None, colour="Шарен", region="Марс", body="")
    )
    assert (found.model, found.family, found.fuel, found.gearbox) == (None, None, None, None)
    assert (found.colour, found.region, found.body) == (None, None, None)
    assert found.make == "Volkswagen"
    assert found.unknowns == [
        {"field": "model", "text": "Volkswagen Зубър"}, {"field": "fuel", "text": "Въглища"},
        {"field": "colour", "text": "Шарен"}, {"field": "region", "text": "Марс"},
    ]  # fmt: skip


def test_a_make_that_is_not_known_is_noted_once() -> None:
    found = normalized(ad(make_text="Татра", model_text="613", title="Татра 613"))
    assert (found.make, found.model) == (None, None)
    assert found.unknowns == [{"field": "make", "text": "Татра"}]
    assert normalized(ad(make_text=None, model_text=None, title="x" * 500)).unknowns == [
        {"field": "make", "text": "x" * 80}
    ]


def test_a_guess_is_noted() -> None:
    found = normalized(ad(make_text="Opel", model_text="Insigna", title="Opel Insigna"))
    assert found.model == "Opel Insignia"
    assert found.guesses == [{"field": "model", "text": "Opel Insigna", "value": "Opel Insignia", "score": 0.857}]
    assert found.unknowns == []


@pytest.mark.parametrize(
    ("make", "model", "title", "value"),
    [
        ("Land", "Rover", "Land Rover Range Rover Sport 3.0", "Land Rover Range Rover Sport"),
        ("Land", "Range", "Range Rover Sport 3.0", "Land Rover Range Rover Sport"),
        ("Range", "Rover", "Range Rover Sport 3.0", "Land Rover Range Rover Sport"),
        ("Alfa", "Romeo", "Alfa Romeo 159 1.9", "Alfa Romeo 159"),
        ("Great", "Wall", "Great Wall Hover H5 2.4", "Great Wall Hover H5"),
        (None, None, "Шкода Октавия 1.6", "Škoda Octavia"),
        ("Dodge", "RAM 1500", "Dodge RAM 1500", "RAM 1500"),
        ("Huyndai", "Tucson", "Huyndai Tucson", "Hyundai Tucson"),
    ],
)
def test_make_and_model_out_of_the_title(make: str | None, model: str | None, title: str, value: str) -> None:
    found = normalized(ad(make_text=make, model_text=model, title=title))
    assert found.model == value
    assert found.make is not None
    assert value.startswith(f"{found.make} ")
    assert found.unknowns == []


def test_a_month_that_is_none_is_none() -> None:
    assert normalized(ad(month=13)).month is None
    assert normalized(ad(month=0)).month is None
    assert normalized(ad(month=12)).month == 12


# Ads of one car


def car(number: int, km: int | None, price: int | None, *, day: int | None = None, is_active: bool = True) -> Car:
    """The car of an ad; ads are posted in the order of their numbers unless it is said."""
    return Car(
        listing_id=number,
        posted_at=FIRST + timedelta(days=number if day is None else day),
        mileage_km=km,
        price_eur=None if price is None else Decimal(price),
        is_active=is_active,
    )


@pytest.mark.parametrize(
    ("cars", "links"),
    [
        ([car(1, 100_000, 5000), car(2, 100_400, 5100)], {1: None, 2: 1}),
        ([car(1, 100_000, 5000, day=9), car(2, 100_400, 5100, day=2)], {1: 2, 2: None}),
        ([car(1, 100_000, 5000, day=5), car(2, 100_400, 5100, day=5)], {1: None, 2: 1}),
        ([car(1, 100_000, 5000), car(2, 101_000, 5000)], {1: None, 2: 1}),
        ([car(1, 100_000, 5000), car(2, 101_001, 5000)], {1: None, 2: None}),
        ([car(1, 100_000, 9700), car(2, 100_000, 10_000)], {1: None, 2: 1}),
        ([car(1, 100_000, 9699), car(2, 100_000, 10_000)], {1: None, 2: None}),
        ([car(1, 1_000, 5000), car(2, 1_000, 5000)], {1: None, 2: None}),
        ([car(1, 1_001, 5000), car(2, 1_001, 5000)], {1: None, 2: 1}),
        ([car(1, None, 5000), car(2, None, 5000)], {1: None, 2: None}),
        ([car(1, 100_000, None), car(2, 100_000, None)], {1: None, 2: None}),
        ([car(1, 100_000, 5000, is_active=False), car(2, 100_000, 5000), car(3, 100_000, 5000)],
         {1: None, 2: None, 3: 2}),
        ([car(1, 100_000, 5000), car(2, 100_900, 5000), car(3, 101_800, 5000)], {1: None, 2: 1, 3: 1}),
        ([car(1, 100_000, 5000), car(2, 100_900, 5000, is_active=False), car(3, 101_800, 5000)],
         {1: None, 2: None, 3: None}),
        ([car(1, 50_000, 5000), car(2, 100_000, 5000), car(3, 50_100, 5000), car(4, 100_100, 5000)],
         {1: None, 2: None, 3: 1, 4: 2}),
        ([], {}),
    ],
)  # fmt: skip
def test_ads_of_one_car_point_to_the_first_of_them(cars: list[Car], links: dict[int, int | None]) -> None:
    assert first_ads(cars) == links


cars_alike = st.lists(
    st.builds(
        lambda km, price, day, is_active: (km, price, day, is_active),
        st.sampled_from([None, 900, 50_000, 50_600, 51_200, 51_800, 52_900]),
        st.sampled_from([None, 5000, 5100, 5200, 5300, 9000]),
        st.integers(0, 3),
        st.booleans(),
    ),
    max_size=12,
).map(lambda rows: [car(n, km, price, day=day, is_active=there) for n, (km, price, day, there) in enumerate(rows, 1)])


@given(cars_alike, st.randoms(use_true_random=False))
def test_the_order_of_the_ads_makes_no_difference(cars: list[Car], dice: random.Random) -> None:
    shuffled = list(cars)
    dice.shuffle(shuffled)
    assert first_ads(shuffled) == first_ads(cars)


@given(cars_alike)
def test_links_are_those_of_the_plain_definition(cars: list[Car]) -> None:
    """Whoever is reached over cars that are the same has the same first ad: written as slowly as it is said."""

    def is_same(one: Car, other: Car) -> bool:
        if not (one.is_active and other.is_active and one.mileage_km and other.mileage_km):
            return False
        if one.price_eur is None or other.price_eur is None or min(one.mileage_km, other.mileage_km) <= 1000:
            return False
        highest = max(one.price_eur, other.price_eur)
        return (
            abs(one.mileage_km - other.mileage_km) <= 1000 and abs(one.price_eur - other.price_eur) <= highest * 3 / 100
        )

    for one in cars:
        reached = {one.listing_id: one}
        todo = [one]
        while todo:
            at = todo.pop()
            for other in cars:
                if other.listing_id not in reached and is_same(at, other):
                    reached[other.listing_id] = other
                    todo.append(other)
        first = min(reached.values(), key=lambda each: (each.posted_at, each.listing_id))
        assert first_ads(cars)[one.listing_id] == (None if first is one else first.listing_id)
