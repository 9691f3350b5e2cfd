"""A filter of lots in words, in both languages."""

from __future__ import annotations

from dataclasses import fields
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal

import pytest

from vinops.filter_text.tables import words
from vinops.lot_words import CALLED, FIXED, GROUPS, NAMES, describe
from vinops.lots.filter import DAMAGES, KEYS, RUNS, TITLES, LotFilter

FULL = LotFilter(
    make=("BMW",), family=("BMW X5",), year_from=2016, odometer_to=74_564, fuel=("diesel",), gearbox=("automatic",),
    body=("suv",), color=("black",), damage=("front end", "hail"), title_group=("clean",), runs=("drives",),
    keys=("yes",), state=("NJ", "NY"), yard=("nj - trenton",), seller=("geico",), sale_from=date(2026, 12, 1),
    sale_to=date(2026, 12, 4), sale_within=timedelta(hours=36), bid_to=Decimal(3000), buy_now="no",
    landed_to=Decimal(12000), profit_from=1500, most_bid_from=4000, at_bid_to=5000,
)  # fmt: skip


@pytest.mark.parametrize(
    ("language", "text"),
    [
        (
            "bg",
            (
                "BMW X5, джип, дизел, автоматична, черен, от 2016 г., удар отпред или градушка, чист документ, пали и"
                " се движи, с ключове, NJ или NY, nj - trenton, geico, до 120 000 км, до 12 000 € на място, печалба от"
                " 1 500 €, заслужава наддаване от 4 000 $, цена на търга до 5 000 $, наддаване до 3 000 $, без «купи"
                " веднага», търг 01.12.2026 - 04.12.2026, търг до 36 ч."
            ),
        ),
        (
            "en",
            (
                "BMW X5, suv, diesel, automatic, black, from 2016, front end or hail, clean title, runs and drives,"
                " with keys, NJ or NY, nj - trenton, geico, up to 120,000 km, landed for up to €12,000,"
                " profit from €1,500,"
                " worth a bid from $4,000, price at the auction up to $5,000, bid up to $3,000, no buy now, sale"
                " 01.12.2026 - 04.12.2026, sale within 36 h"
            ),
        ),
    ],
)
def test_each_field_is_said(language: Literal["bg", "en"], text: str) -> None:
    assert describe(FULL, language) == text
    unsaid = {"has_photos", "new_since", "gone", "year_to"}
    assert {each.name for each in fields(FULL) if getattr(FULL, each.name) == each.default} == unsaid


def test_behind_a_filter_of_ads_only_what_lots_have_of_their_own_is_said() -> None:
    assert describe(FULL, "en", is_added=True).startswith("front end or hail, clean title")
    assert describe(LotFilter(make=("BMW",)), is_added=True) == ""
    assert describe(LotFilter()) == "всички лотове"


def test_what_is_missing_is_said_if_it_is_less_and_in_one_word_where_there_is_one() -> None:
    out = (*words()["lot_damage_of"]["collision"], "hail")
    kept = tuple(each for each in DAMAGES if each not in out)
    assert describe(LotFilter(damage=kept), "en") == "damage: not a collision or hail"
    assert describe(LotFilter(damage=kept)) == "щета: без удар или градушка"


def test_each_value_of_the_feed_has_a_bulgarian_name() -> None:
    for kind, values in FIXED.items():
        assert set(values) <= set(NAMES[kind]["bg"]), kind
        assert kind in CALLED["bg"]
    assert set(FIXED["title_group"]) | set(FIXED["runs"]) | set(FIXED["keys"]) == {*TITLES, *RUNS, *KEYS}


def test_the_words_of_texts_stand_for_values_of_the_filter() -> None:
    groups = words()["lot_damage_of"]
    assert {each for group in groups.values() for each in group} <= set(DAMAGES)
    assert set(words()["lot_damage"]) - set(groups) <= set(DAMAGES)
    assert set(words()["lot_title"]) <= set(TITLES)
    assert set(GROUPS) <= set(groups)
