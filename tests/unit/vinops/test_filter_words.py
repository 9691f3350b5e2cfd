"""A filter in words, in both languages."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Literal

import pytest

from vinops.filter_text.tables import values
from vinops.filter_words import BULGARIAN, _colours, describe
from vinops.filters import Filter

FULL = Filter(
    make=("BMW",), family=("BMW X5",), year_from=2016, price_to=Decimal(25000), km_to=150_000, power_from=200,
    power_to=200, fuel=("diesel",), gearbox=("automatic",), body=("suv",), color=("black",), region=("София", "Варна"),
    seller=("private",), min_score=Decimal("7.5"), below_market=Decimal(15), words=("кожа",), words_not=("удар",),
)  # fmt: skip


@pytest.mark.parametrize(
    ("language", "text"),
    [
        (
            "bg",
            (
                "BMW X5, джип, дизел, автоматична, черен, от 2016 г., до 25 000 €, до 150 000 км, 200 к.с., София или"
                " Варна, частно лице, оценка от 7,5, поне 15 % под пазара, с «кожа», без «удар»"
            ),
        ),
        (
            "en",
            (
                "BMW X5, suv, diesel, automatic, black, from 2016, up to €25,000, up to 150,000 km, 200 hp, София or"
                " Варна, private, score from 7.5, at least 15 % below market, with “кожа”, without “удар”"
            ),
        ),
    ],
)
def test_each_field_is_said(language: Literal["bg", "en"], text: str) -> None:
    assert describe(FULL, language) == text


def test_what_is_missing_is_said_if_it_is_less() -> None:
    fuels = tuple(sorted(values()["fuel"] - {"diesel"}))
    assert describe(Filter(make=("Audi",), fuel=fuels)) == "Audi, гориво: без дизел"
    assert describe(Filter(make=("Audi",), fuel=fuels), "en") == "Audi, fuel: not diesel"


def test_an_empty_filter_and_times_are_said() -> None:
    assert describe(Filter()) == "всички обяви"
    assert (
        describe(Filter(new_since=timedelta(hours=24), gone="only"), "en") == "new since the last 24 h, gone ones only"
    )
    assert describe(Filter(new_since=date(2026, 7, 1))) == "нови от 2026-07-01"


def test_each_value_has_a_bulgarian_word() -> None:
    known = {value for name in ("fuel", "gearbox", "body", "seller") for value in values()[name]}
    assert known <= set(BULGARIAN)
    assert values()["color"] == set(_colours())
