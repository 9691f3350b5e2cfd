"""VINs in the texts of ads: those that prove or are said to be one, and none that is masked."""

from __future__ import annotations

import pytest
from hypothesis import given, settings as bounds, strategies as st

from vinops.text import vins
from vinops_scrapy.pages.masking import masked

EUROPEAN = "WVWZZZ1KZAW123456"
AMERICAN = "1M8GDM9AXKP042788"  # the example of 49 CFR 565
SIGNS = "ABCDEFGHJKLMNPRSTUVWXYZ0123456789"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"VIN: {EUROPEAN}", (EUROPEAN,)),
        (f"вин {EUROPEAN}, обслужена", (EUROPEAN,)),
        (f"Шаси номер {EUROPEAN}", (EUROPEAN,)),
        (f"рама № на колата: {EUROPEAN.lower()}", (EUROPEAN,)),
        (f"Номер на шаси - {EUROPEAN}.", (EUROPEAN,)),
        (f"VIN{EUROPEAN}", (EUROPEAN,)),
        (f"внос от Канада {AMERICAN}", (AMERICAN,)),
        (f"https://cars.example/{AMERICAN}-honda", (AMERICAN,)),
        ("VIN ТМВJJ7NE8L0123456", ("TMBJJ7NE8L0123456",)),  # the first three typed in Cyrillic
        (f"vin {EUROPEAN} и още веднъж {AMERICAN}, vin {EUROPEAN}", (EUROPEAN, AMERICAN)),
        (f"{EUROPEAN} без дума пред него", ()),
        ("1M8GDM9A1KP042788 с друга контролна цифра", ()),
        (f"параграма {EUROPEAN}", ()),
        (f"VIN {EUROPEAN[:13]}****", ()),
        (f"VIN ***{EUROPEAN}", ()),
        (f"VIN {EUROPEAN}***", ()),
        ("VIN WVWZZZ1KZXXXXXXXX", ()),
        ("VIN XXXXXXXXXXXXX1234", ()),
        ("VIN 12345678901234567", ()),
        (f"VIN {EUROPEAN}7", ()),
        (f"VIN {EUROPEAN[:-1]}", ()),
        ("VIN WVWZZZ1KZOW123456", ()),  # the letter O
        ("", ()),
    ],
)
def test_a_vin_is_taken_if_it_proves_itself_or_is_said_to_be_one(text: str, expected: tuple[str, ...]) -> None:
    assert vins.named(text) == expected


def test_a_list_of_cars_names_no_more_than_a_few() -> None:
    many = "\n".join(f"VIN {EUROPEAN[:-2]}{number:02d}" for number in range(20))
    assert len(vins.named(many)) == vins.MOST


@pytest.mark.parametrize(
    ("vin", "is_right"),
    [(AMERICAN, True), ("11111111111111111", True), (f"{AMERICAN[:-1]}3", False), (EUROPEAN, False)],
)
def test_the_check_digit_is_that_of_north_america(vin: str, is_right: bool) -> None:
    assert vins.has_check_digit(vin) is is_right


@pytest.mark.parametrize(
    ("typed", "spelled", "is_one"),
    [
        (" wvw-zzz 1kz aw123456 ", EUROPEAN, True),
        ("1ZZA21A667Z09986A", "1ZZA21A667Z09986A", True),  # a lot may have it: its end is not checked
        ("11111111111111111", "11111111111111111", False),
        ("WVWZZZ1KZ******56", "WVWZZZ1KZ******56", False),
        ("WVW", "WVW", False),
        ("'; drop table lots", "';DROPTABLELOTS", False),
    ],
)
def test_what_a_person_types_is_read_as_a_vin(typed: str, spelled: str, is_one: bool) -> None:
    assert vins.spelled(typed) == spelled
    assert vins.is_vin(spelled) is is_one


ENDS = st.tuples(st.text(SIGNS, min_size=13, max_size=13), st.integers(0, 9999)).map(lambda it: f"{it[0]}{it[1]:04d}")


@bounds(max_examples=400, deadline=None)
@given(vin=ENDS.filter(vins.is_vin), before=st.text(max_size=80), after=st.text(max_size=80))
def test_masking_phones_leaves_a_vin_that_is_said_to_be_one(vin: str, before: str, after: str) -> None:
    text = f"{before}\nVIN: {vin}\n{after}"
    assert vin in vins.named(f"VIN: {vin}")
    assert vin in masked(f"Тел. 0888 123 456\nVIN: {vin}\nгр. София")
    assert all(vins.is_vin(each) for each in vins.named(text))


@bounds(max_examples=400, deadline=None)
@given(st.text(st.sampled_from(SIGNS + SIGNS.lower() + "АВЕКМНРСТХУ*- \nVIN:шаси"), max_size=400))
def test_any_text_names_only_what_has_the_form_of_a_vin(text: str) -> None:
    found = vins.named(text)
    assert len(found) == len(set(found)) <= vins.MOST
    for vin in found:
        assert vins.is_vin(vin)
        assert vin[-4:].isdecimal()
