"""The words of ads: one spelling for both alphabets, and nothing that the ad denies."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from vinops.text import words


def said(text: str, word: str) -> bool:
    """Tell whether an ad with this description is found by a word."""
    found = words.of_ad("Кола", text, ())
    return any(
        any(each.startswith(key) for each in found) if words.is_beginning(key) else key in found
        for key in words.keys(word)
    )


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Има климатик и навигация", "климатик"),
        ("Има климатик и навигация", "klimatik"),
        ("Има klimatronik", "климатроник"),
        ("Панорамен покрив", "панорам"),
        ("Мазда СХ-5", "cx"),
        ("Октавия", "octavia"),
        ("Пасат", "Passat"),
        ("Без забележки, климатик, парктроник и навигация", "парктроник"),
        ("Без забележки, климатик, парктроник и навигация", "навигация"),
        ("Не е бита. Има люк.", "люк"),
        ("Няма ръжда и има теглич", "теглич"),
        ("Не само газ, но и бензин", "бензин"),
        ("Двигател 2.0 TDI", "tdi"),
    ],
)
def test_what_an_ad_says_is_found(text: str, word: str) -> None:
    assert said(text, word)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Без удари", "удари"),
        ("Без удари и течове", "течове"),
        ("Без драскотини и пукнатини.", "пукнатини"),
        ("Не е пушено в колата", "пушено"),
        ("Няма никаква ръжда", "ръжда"),
        ("ръжда - няма", "ръжда"),
        ("Колата не е катастрофирала, удряна", "удряна"),
        ("Изкупуваме коли с повреди", "повреди"),
        ("Има климатик", "има"),
        ("2000 г.", "200"),
    ],
)
def test_what_an_ad_denies_or_does_not_say_is_not_found(text: str, word: str) -> None:
    assert not said(text, word)


def test_a_word_that_is_denied_and_said_is_said() -> None:
    assert said("Без удари. Удари отпред има, оправени.", "удари")


def test_title_and_equipment_are_words_too() -> None:
    found = words.of_ad("BMW X5 M-пакет", None, ["Климатик", "Без ключ"])
    assert set(words.keys("пакет")) | set(words.keys("климатик")) | set(words.keys("ключ")) <= found


@given(st.text(max_size=200), st.lists(st.text(max_size=20), max_size=3))
def test_any_text_is_read_and_its_words_are_lower_case_latin(text: str, equipment: list[str]) -> None:
    for key in words.of_ad(text, text, equipment):
        assert key.replace(".", "").replace("_", "").isalnum()
        assert key.isascii()
        assert key == key.lower()
