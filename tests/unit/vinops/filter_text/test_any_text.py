"""Any text is read: nothing raises, everything typed is shown, and the filter is one that a page could have."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, strategies as st

from tests.property.cases import many
from tests.unit.vinops.filter_text.corpus import TODAY, phrases
from vinops.filter_text import parse
from vinops.filter_words import describe
from vinops.filters import Filter

WORDS = sorted({word for phrase in phrases("phrases.txt") for word in phrase.text.split()})
TEXTS = st.one_of(
    st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join),
    st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=4), st.integers(0, 10**7).map(str)), max_size=8).map(
        "".join
    ),
    st.text(max_size=60),
)


@many
@given(text=TEXTS)
@example(text="7000 https://www.mobile.bg/obiavi/avtomobili-dzhipove/ot-2010/p-2?price=8000&price1=12000")
def test_any_text_is_read(text: str) -> None:
    found = parse(text, today=TODAY)
    json.dumps(found.to_json())
    assert "".join("".join(piece.text for piece in found.pieces).split()) == "".join(text.split())
    if any(not piece.is_understood and any(map(str.isalnum, piece.text)) for piece in found.pieces):
        assert found.leftovers
    canonical, problems = Filter.parse(found.filter.to_params())
    assert (canonical, problems) == (found.filter, [])
    for language in ("bg", "en"):
        assert describe(found.filter, language)  # type: ignore[arg-type] # these are the languages


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("голф до 150000", "голф до 150000 км"),
        ("Пежо 2008", "Пежо модел 2008"),
        ("дизел 320", "дизел BMW 320"),
        ("форд мондео до 2010", "форд мондео до 2010 г."),
        ("мерцедес с клас", "мерцедес S-Class"),
    ],
)
def test_a_choice_typed_instead_of_what_is_asked_is_understood(text: str, typed: str) -> None:
    [asked] = parse(text, today=TODAY).ambiguous
    answers = [parse(text.replace(asked.text, choice.words, 1), today=TODAY) for choice in asked.choices]
    assert len({answer.filter for answer in answers}) == len(answers) > 1
    assert all(not answer.ambiguous and not answer.leftovers for answer in answers)
    assert parse(typed, today=TODAY).filter in [answer.filter for answer in answers]


@pytest.mark.parametrize(
    "address",
    [
        "https://www.mobile.bg@evil.example/obiavi/avtomobili-dzhipove/bmw",
        "https://evil.example/www.mobile.bg/obiavi/avtomobili-dzhipove/bmw",
        "https://mobile.bg.evil.example/obiavi/avtomobili-dzhipove/bmw",
        "https://www.mobile.bg:8443/obiavi/avtomobili-dzhipove/bmw",
        "ftp://www.mobile.bg/obiavi/avtomobili-dzhipove/bmw",
        "https://[::1/obiavi",
        "https://www.mobile.bg/",
    ],
)
def test_other_addresses_are_left_over(address: str) -> None:
    found = parse(address, today=TODAY)
    assert found.filter.is_empty or not address.startswith("http")
    assert found.leftovers


def test_a_link_in_leva_is_in_eur() -> None:
    found = parse("https://www.mobile.bg/pcgi/mobile.cgi?f5=BMW&f8=10000&f9=лв.", today=TODAY)
    assert str(found.filter.price_to) == "5112.92"


def test_digits_of_other_scripts_are_left_over() -> None:
    understood = parse("bmw x5 до ٢٥٠٠٠")
    assert understood.leftovers == ("до", "٢٥٠٠٠")
    assert understood.filter.price_to is None


@pytest.mark.parametrize("text", ["BMW 红色 X5", "X5 红色", "红色 BMW X5", "лотове X5 红色"])
def test_words_of_other_alphabets_are_struck_out_wherever_they_stand(text: str) -> None:
    understood = parse(text)
    assert understood.leftovers == ("红色",)
    assert "BMW X5" in str(understood)
