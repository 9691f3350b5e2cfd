"""Filters: what is read from parameters, what is named as not understood, and the canonical form."""

from __future__ import annotations

from dataclasses import fields
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from vinops import vehicles
from vinops.filters import FIELDS, LONGEST_VALUE, MOST_VALUES, Filter

READ: list[tuple[str, str, Any]] = [
    ("make", "бмв", ("BMW",)),
    ("make", "VW", ("Volkswagen",)),
    ("family", "bmw x5", ("BMW X5",)),
    ("family", "BMW 3 Series", ("BMW 3 Series",)),
    ("year_from", "2012", 2012),
    ("price_to", "25000", Decimal(25_000)),
    ("price_to", "25 000 €", Decimal(25_000)),
    ("price_to", "25.000", Decimal(25_000)),
    ("price_to", "12,500.", None),
    ("price_to", "999,50", Decimal("999.5")),
    ("km_to", "150\u00a0000 км", 150_000),
    ("power_from", "150 к.с.", 150),
    ("fuel", "Дизел", ("diesel",)),
    ("gearbox", "автоматик", ("automatic",)),
    ("body", "комби", ("estate",)),
    ("color", "черен", ("black",)),
    ("region", "обл. Варна", ("Варна",)),
    ("region", "Sofia", ("София",)),
    ("seller", "Частно лице", ("private",)),
    ("min_score", "7.50", Decimal("7.5")),
    ("below_market", "10 %", Decimal(10)),
    ("new_since", "24h", timedelta(days=1)),
    ("new_since", "2w", timedelta(days=14)),
    ("new_since", "2026-11-01", date(2026, 11, 1)),
    ("gone", "only", "only"),
    ("gone", "1", "only"),
    ("words", "Климатик, навигация", ("климатик", "навигация")),
    ("words_not", "удари", ("удари",)),
]


@pytest.mark.parametrize(("name", "text", "value"), [each for each in READ if each[2] is not None])
def test_a_field_is_read_as_people_write_it(name: str, text: str, value: Any) -> None:
    found, problems = Filter.parse([(name, text)])
    assert problems == []
    assert found == Filter(**{name: value})


def test_every_field_has_an_example_and_a_place_in_the_canonical_order() -> None:
    assert list(FIELDS) == [each.name for each in fields(Filter)]
    read = {name.removesuffix("_from").removesuffix("_to") for name, _, value in READ if value is not None}
    assert read == {name.removesuffix("_from").removesuffix("_to") for name in FIELDS}


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("colour", "black", "no such filter"),
        ("make", "Volkswagne", "is Volkswagen meant?"),
        ("make", "xyzzy", "no such make"),
        ("family", "X5", "it names no make"),
        ("family", "BMW Fabia", "BMW has no such family"),
        ("year_from", "last", "not a whole number"),
        ("year_from", "20.2", "not a whole number"),
        ("year_from", "20122", "between 1900 and 2100"),
        ("year_to", "٢٠١٢", "not a whole number"),
        ("price_to", "12,500.", "not a number"),
        ("price_to", "-5", "not a number"),
        ("price_to", "1e9", "not a number"),
        ("price_to", "NaN", "not a number"),
        ("price_to", "9" * 30, "between 0 and"),
        ("km_to", "9" * 30, "between 0 and"),
        ("min_score", "11", "between 1 and 10"),
        ("fuel", "water", "no such fuel"),
        ("seller", "thief", "none of private, dealer"),
        ("new_since", "0d", "write a time"),
        ("new_since", "yesterday", "write a time"),
        ("new_since", "2026-02-30", "no such day"),
        ("gone", "perhaps", "none of no, also, only"),
        ("words", "без удари", "words_not"),
        ("words", "!!!", "no words"),
        ("words", "中文", "no letters"),
        ("words", "на", "in every ad"),
        ("words", "x" * (LONGEST_VALUE + 1), "longer than"),
    ],
)
def test_what_is_not_understood_is_named(name: str, text: str, reason: str) -> None:
    found, problems = Filter.parse([(name, text)])
    assert [each.name for each in problems][:1] == [name]
    assert reason in problems[0].reason
    assert all(len(each.value) <= LONGEST_VALUE for each in problems)
    assert found.is_empty or found == Filter(words=("удари",))


def test_parameters_of_the_page_and_fields_of_a_form_that_are_left_empty_are_no_problem() -> None:
    assert Filter.parse([("make", ""), ("price_to", "  "), ("sort", "new")], others={"sort"}) == (Filter(), [])


def test_several_values_are_alternatives_in_one_order() -> None:
    found, problems = Filter.parse([("make", "vw"), ("make", "audi"), ("make", "Volkswagen"), ("make", "ауди")])
    assert (found.make, problems) == (("Audi", "Volkswagen"), [])


def test_a_family_is_one_of_the_makes_beside_it() -> None:
    found, problems = Filter.parse([("family", "3 Series"), ("make", "audi"), ("make", "bmw"), ("family", "A4")])
    assert found.family == ("Audi A4", "BMW 3 Series")
    assert problems == []


def test_a_model_stands_for_its_family_and_that_is_said() -> None:
    found, problems = Filter.parse([("family", "BMW 320")])
    assert found.family == ("BMW 3 Series",)
    assert [each.reason for each in problems] == ["BMW 320 is one of the BMW 3 Series, all of which are shown"]


def test_a_figure_that_is_given_twice_is_named() -> None:
    found, problems = Filter.parse([("price_to", "5000"), ("price_to", "5000"), ("price_to", "7000")])
    assert found.price_to == 5000
    assert ["more than once: 5000 counts" in each.reason for each in problems] == [True]


def test_a_range_that_is_empty_is_named_and_kept() -> None:
    found, problems = Filter.parse([("year_from", "2020"), ("year_to", "2015")])
    assert (found.year_from, found.year_to) == (2020, 2015)
    assert "no ad can be found" in problems[0].reason


def test_too_many_values_are_named() -> None:
    names = sorted(vehicles.families())[: MOST_VALUES + 2]
    found, problems = Filter.parse([("family", name) for name in names])
    assert len(found.family) == MOST_VALUES
    assert [each.value for each in problems] == names[MOST_VALUES:]


def test_every_family_of_the_vocabulary_can_be_asked_for() -> None:
    assert [name for name in vehicles.families() if Filter.parse([("family", name)])[0].family != (name,)] == []


def test_a_chip_takes_away_one_value_or_a_whole_field() -> None:
    found = Filter(make=("Audi", "BMW"), price_to=Decimal(5), gone="only")
    assert found.without("make", "BMW") == Filter(make=("Audi",), price_to=Decimal(5), gone="only")
    assert found.without("make").without("price_to").without("gone").is_empty


WORD = st.sampled_from(["климатик", "bmw", "x5", "навигация", "xenon", "2.0"])
PARAMS = st.lists(
    st.one_of(
        st.sampled_from([(name, text) for name, text, _ in READ]),
        st.tuples(st.sampled_from([*FIELDS, "other"]), st.text(max_size=20)),
        st.tuples(st.just("words"), st.lists(WORD, max_size=4).map(" ".join)),
        st.tuples(st.sampled_from(["km_to", "price_from", "min_score", "year_to"]), st.integers().map(str)),
    ),
    max_size=8,
)


@settings(max_examples=40)
@given(PARAMS)
def test_any_parameters_are_read_and_their_canonical_form_is_the_same_filter(params: list[tuple[str, str]]) -> None:
    found, _ = Filter.parse(params)
    again, problems = Filter.parse(found.to_params())
    assert again == found
    assert again.to_params() == found.to_params()
    assert all("no ad can be found" in each.reason for each in problems)
