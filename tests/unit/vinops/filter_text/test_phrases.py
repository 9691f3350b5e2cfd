"""The parser of filters on the corpora: nearly all texts are understood exactly, no number wrongly, and nothing is
passed over in silence."""

from __future__ import annotations

import gc
from statistics import median
from time import process_time

import pytest

from tests.unit.vinops.filter_text.corpus import TODAY, Phrase, phrases, understood
from vinops.filter_text import parse

NUMBERS = (
    "year_from", "year_to", "price_from", "price_to", "km_from", "km_to", "power_from", "power_to", "min_score",
    "below_market",
)  # fmt: skip
TUNED = phrases("phrases.txt")
UNSEEN = phrases("unseen.txt")
THIRD = phrases("third.txt")
FOURTH = phrases("fourth.txt")
ALL = [*TUNED, *UNSEEN, *THIRD, *FOURTH]


def shown(phrase: Phrase) -> str:
    found = understood(phrase.text)
    return f"{phrase.text}: {found.fields}, left over {found.leftovers}, asked {found.ambiguous}"


def test_the_corpus_has_two_hundred_phrases() -> None:
    assert len(TUNED) == 200
    assert len({phrase.text for phrase in TUNED}) == 200
    assert len({phrase.text for phrase in ALL}) == len(ALL)


@pytest.mark.parametrize(
    ("corpus", "least"),
    [(TUNED, 0.95), (UNSEEN, 0.85), (THIRD, 1.0), (FOURTH, 1.0)],
    ids=["tuned", "unseen", "third", "fourth"],
)
def test_nearly_all_phrases_are_understood_exactly(corpus: list[Phrase], least: float) -> None:
    wrong = [shown(phrase) for phrase in corpus if understood(phrase.text) != phrase]
    assert len(corpus) - len(wrong) >= least * len(corpus), "\n".join(wrong)


@pytest.mark.parametrize("phrase", ALL, ids=lambda phrase: phrase.text)
def test_no_number_is_wrong(phrase: Phrase) -> None:
    """A number that is not understood may be left over or asked, but what the filter has is what was meant."""
    found = understood(phrase.text).fields
    wrong = {name: found[name] for name in NUMBERS if name in found and found[name] != phrase.fields.get(name)}
    assert not wrong, shown(phrase)


@pytest.mark.parametrize("phrase", ALL, ids=lambda phrase: phrase.text)
def test_what_is_not_understood_is_shown(phrase: Phrase) -> None:
    found = understood(phrase.text)
    assert set(phrase.leftovers) <= {*found.leftovers}, shown(phrase)
    pieces = parse(phrase.text, today=TODAY).pieces
    assert "".join("".join(piece.text for piece in pieces).split()) == "".join(phrase.text.split())
    for leftover in found.leftovers:
        struck = any(leftover in piece.text for piece in pieces if not piece.is_understood)
        assert struck or leftover in phrase.text  # a part of a link is named, and the link is no text to strike out


@pytest.mark.parametrize("bound", ["до 1500 лв", "до 9000", "do 2000 evro", "to 2000 €"])
def test_a_model_that_is_a_number_is_no_beginning_of_a_price(bound: str) -> None:
    for make, numbers in {
        "Пежо": (106, 206, 307, 3008),
        "BMW": (320, 525, 740),
        "Мерцедес": (190,),
        "Мазда": (323,),
    }.items():
        for number in numbers:
            found = parse(f"{make} {number} {bound}", today=TODAY)
            assert found.filter.price_from is None, (make, number)
            assert len(found.filter.family) == 1, (make, number)
    assert parse(f"BMW 2000 {bound}", today=TODAY).filter.family == ()


def test_a_word_in_two_scripts_is_read_and_shown_as_typed() -> None:
    found = parse("гoлф до 5000 € cорентo", today=TODAY)  # with Latin letters o, c
    assert found.filter.family == ("Kia Sorento", "Volkswagen Golf")
    assert "гoлф" in "".join(piece.text for piece in found.pieces)


def test_a_text_takes_less_than_five_milliseconds() -> None:
    """Of processor time, in the median of all phrases: a tenth of it is usual."""
    for phrase in TUNED:
        parse(phrase.text, today=TODAY)
    gc.collect()
    times = []
    for phrase in TUNED:
        began = process_time()
        parse(phrase.text, today=TODAY)
        times.append(process_time() - began)
    assert median(times) < 0.005
