"""What ads have to be flagged for, and what they must not be: sentence by sentence, and word by word."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from deals import risk
from deals.wording import ENDINGS
from standin import market_values

CASES = Path(__file__).with_name("risk_cases")
LISTS: list[dict[str, Any]] = tomllib.loads(risk.WORDS.read_text(encoding="utf-8"))["list"]
DENIERS = ("не", "без", "няма")
#: Participles of one ending each: what is said of the car itself, and can be denied of it.
DENIED = ("не е {}", "Колата не е {}.", "Никога не е била {}!", "Не е {} и не е боядисвана.", "НЕ Е {}", "ne e {}")
DENIED_THINGS = (
    "без {}",
    "Без никакви {}.",
    "няма {}",
    "Няма {}, всичко е наред.",
    "Без ръжда и {}",
    "{} - няма",
    "{} няма",
)


def rows(name: str, fields: int) -> list[list[str]]:
    """The cases of a file, as fields."""
    lines = (CASES / name).read_text(encoding="utf-8").splitlines()
    return [
        [part.strip() for part in line.split("|", fields - 1)] for line in lines if line and not line.startswith("#")
    ]


def named(text: str, title: str = "") -> set[str]:
    return {flag.name for flag in risk.flags(title, text, ())}


def examples(phrase: str) -> list[str]:
    """A phrase of the lists as an ad may say it: each of its alternatives once, beside the first of the others."""
    parts = [[word.strip("!~*") for word in part.split("|")] for part in phrase.split() if part != "…"]
    first = [words[0] for words in parts]
    return list(
        dict.fromkeys(
            " ".join([*first[:place], word, *first[place + 1 :]]) for place, words in enumerate(parts) for word in words
        )
    )


def said(key: str, *, level: str | None = None) -> list[tuple[str, str]]:
    """Flag and example for all phrases of a kind."""
    return [
        (entry["flag"], example)
        for entry in LISTS
        if (entry["level"] == level if level else entry["level"] != "good")
        for phrase in entry.get(key, ())
        for example in examples(phrase)
    ]


@pytest.mark.parametrize(("expected", "text"), rows("flags.txt", 2))
def test_a_sentence_is_flagged_for_what_it_says(expected: str, text: str) -> None:
    found = named(text, "Opel Astra 1.7 CDTI")
    assert expected in found if expected != "nothing" else not found


@pytest.mark.parametrize(("expected", "price", "text"), rows("prices.txt", 3))
def test_a_number_is_taken_for_a_price_only_where_it_is_one(expected: str, price: str, text: str) -> None:
    number = None if price == "none" else Decimal(price)
    problem = risk.price_problem("Opel Astra 1.7 CDTI", text, number)
    assert (problem or "price") == expected


@pytest.mark.parametrize(("flag", "words"), [*said("words"), *said("things")])
def test_each_phrase_of_the_lists_is_found_alone_and_in_an_ad(flag: str, words: str) -> None:
    assert flag in named(words)
    assert flag in named(words.upper())
    assert flag in named(f"Добра кола, {words}. Обадете се след 18 ч.")
    assert flag in named("Климатик.", f"Audi A4 {words}")
    assert flag in named(f"Запазен салон.\n{words}\nДва ключа")


@pytest.mark.parametrize(
    ("flag", "phrase"),
    [(e["flag"], p) for e in LISTS if e["level"] != "good" for p in e.get("words", ()) if "~" in p and " " not in p],
)
def test_each_ending_is_found_and_denied(flag: str, phrase: str) -> None:
    stems = [word[:-1] for word in phrase.split("|") if word.endswith("~")]
    for word in (stem + ending for stem in stems for ending in ENDINGS):
        assert flag in named(f"Колата е {word}."), word
        for sentence in DENIED:
            assert flag not in named(sentence.format(word)), sentence.format(word)
        assert flag not in named(f"не{word}")
        assert flag not in named(f"пре{word}ски")


@pytest.mark.parametrize(("flag", "thing"), said("things"))
def test_each_thing_is_denied(flag: str, thing: str) -> None:
    for sentence in DENIED_THINGS:
        assert flag not in named(sentence.format(thing)), sentence.format(thing)


@pytest.mark.parametrize(
    ("flag", "phrase"), [(flag, words) for flag, words in said("words") if not words.startswith(DENIERS)]
)
def test_each_phrase_is_denied(flag: str, phrase: str) -> None:
    assert flag not in named(f"не е {phrase}")
    assert flag not in named(f"Никога не е {phrase}, гаражна.")


@pytest.mark.parametrize(
    ("flag", "level", "words"),
    [
        (entry["flag"], entry["level"], example)
        for entry in LISTS
        for phrase in entry.get("but", ())
        for example in examples(phrase)
        if entry["level"] != "good"
    ],
)
def test_what_only_looks_like_it_is_not_flagged(flag: str, level: str, words: str) -> None:
    assert (flag, level) not in {(each.name, each.level) for each in risk.flags("", words, ())}


@pytest.mark.parametrize("text", market_values.DAMAGE)
def test_damage_of_the_stand_in_is_a_high_risk(text: str) -> None:
    assert risk.level(risk.flags("BMW 320", text, ())) == "high"


@pytest.mark.parametrize("text", [*market_values.NEGATED, *market_values.PRAISE, market_values.FUTURE_GUARANTEE])
def test_good_news_of_the_stand_in_is_a_low_risk_and_a_price(text: str) -> None:
    assert risk.level(risk.flags("BMW 320 ЛИЗИНГ / БАРТЕР", text, ())) == "low"
    assert risk.price_problem("BMW 320 ЛИЗИНГ / БАРТЕР", text, Decimal(9000)) is None


def test_a_lease_of_the_stand_in_is_no_price() -> None:
    assert risk.price_problem("BMW 320", market_values.LEASE_BALANCE, Decimal(9000)) == "lease_balance"


@pytest.mark.parametrize(
    ("name", "flag", "level"),
    [
        ("Катастрофирал", "crashed", "high"), ("На части", "for_parts", "high"),
        ("Десен волан", "wheel_on_the_right", "high"), ("Капариран\\Продаден", "reserved", "high"),
        ("TAXI", "taxi", "medium"), ("Нов внос", "just_imported", "low"),
    ],
)  # fmt: skip
def test_what_is_ticked_is_a_statement(name: str, flag: str, level: str) -> None:
    (found,) = risk.flags("BMW 320", None, ("Климатик", name))
    assert (found.name, found.level, found.words) == (flag, level, name)


def test_a_flag_says_the_words_as_they_stand_in_the_ad() -> None:
    (flag,) = risk.flags("BMW 320", "Пали. КАТАСТРОФИРАЛА отпред", ())
    assert flag == risk.Flag(name="crashed", level="high", words="КАТАСТРОФИРАЛА")
    (flag,) = risk.flags("", f"Двигателят {'непосредствено ' * 3}блокирал", ())
    assert flag.words == "Двигателят непосредствено непосредствено непосредствено…"


def test_the_worst_comes_first_and_each_flag_once() -> None:
    found = risk.flags("Нов внос", "Спешно! Хлопа отпред. Катастрофирала, ударена отзад.", ("Катастрофирал",))
    assert [flag.name for flag in found] == ["crashed", "defect", "just_imported", "urgent"]
    assert risk.level(found) == "high"
    assert risk.level(found[1:]) == "medium"
    assert risk.level(()) == "low"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Първи собственик.", ["first_owner"]), ("Един собственик", ["first_owner"]),
        ("1-ви собственик", ["first_owner"]),
        ("Пълна сервизна история.", ["service_history"]), ("Със сервизна книжка", ["service_history"]),
        ("Гаранция до 08.2027 г.", ["guarantee"]), ("Реални километри, доказват се.", ["true_mileage"]),
        ("Без гаранция.", []), ("Няма сервизна книжка.", []), ("Втори собственик.", []), ("Извън гаранция", []),
        ("Не съм първи собственик.", []), ("Добра кола.", []),
    ],
)  # fmt: skip
def test_what_is_good_is_listed(text: str, expected: list[str]) -> None:
    assert list(risk.praises("BMW 320", text, ())) == expected


@pytest.mark.parametrize(
    "text", ["", " ", "\n\n", "İ İzmir ударен", "👍" * 50, "___На части___", "не", "и", ",", "но не", "\x85\u2028"]
)
def test_any_text_is_read(text: str) -> None:
    for description in (text, None):
        risk.flags(text, description, ())
        risk.price_problem(text, description, Decimal(5000))
    assert ("crashed" in named(text)) == ("ударен" in text)
    assert ("for_parts" in named(text)) == ("части" in text)


@pytest.mark.parametrize("text", ["ударен и ", "удар, ", "двигател ", "не е без ", "на части от "])
def test_an_ad_that_says_the_same_for_ever_is_read(text: str) -> None:
    assert risk.flags("Голф", text * 3000 + "катастрофирал", ())
