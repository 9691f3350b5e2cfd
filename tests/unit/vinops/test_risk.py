"""What ads have to be flagged for, and what they must not be: sentence by sentence, and word by word."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from standin.market import values as market_values
from vinops.text import risk
from vinops.text.phrases import ENDINGS

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


def test_a_sentence_is_flagged_for_what_it_says() -> None:
    wrong = []
    for expected, text in rows("flags.txt", 2):
        found = named(text, "Opel Astra 1.7 CDTI")
        if found if expected == "nothing" else expected not in found:
            wrong.append((expected, text, found))
    assert not wrong


def test_a_number_is_taken_for_a_price_only_where_it_is_one() -> None:
    wrong = []
    for expected, price, text in rows("prices.txt", 3):
        number = None if price == "none" else Decimal(price)
        problem = risk.price_problem("Opel Astra 1.7 CDTI", text, number) or "price"
        if problem != expected:
            wrong.append((expected, price, text, problem))
    assert not wrong


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Mercedes-Benz ML изкупувам за части", "wanted"),
        ("КУПУВАМ Opel Astra", "wanted"),
        ("Mercedes-Benz ML 350 Нови и втора употреба двигатели", "parts"),
        ("VW Golf КУПИ СЕГА", None),
        ("Audi A4 лизинг, бартер, изкупуване на автомобили", None),
        ("BMW 320 нов двигател", None),
        ("Audi A4 купе, скорости перфектни", None),
    ],
)
def test_who_buys_and_what_is_no_car_is_told_by_the_title(title: str, expected: str | None) -> None:
    assert risk.price_problem(title, None, Decimal(5000)) == expected


def test_each_phrase_of_the_lists_is_found_alone_and_in_an_ad() -> None:
    missed = []
    for flag, words in (*said("words"), *said("things")):
        ads = [
            (words, ""),
            (words.upper(), ""),
            (f"Добра кола, {words}. Обадете се след 18 ч.", ""),
            ("Климатик.", f"Audi A4 {words}"),
            (f"Запазен салон.\n{words}\nДва ключа", ""),
        ]
        missed += [(flag, text, title) for text, title in ads if flag not in named(text, title)]
    assert not missed


def test_each_ending_is_found_and_denied() -> None:
    phrases = [
        (entry["flag"], phrase)
        for entry in LISTS
        if entry["level"] != "good"
        for phrase in entry.get("words", ())
        if "~" in phrase and " " not in phrase
    ]
    wrong = []
    for flag, phrase in phrases:
        stems = [word[:-1] for word in phrase.split("|") if word.endswith("~")]
        for word in (stem + ending for stem in stems for ending in ENDINGS):
            if flag not in named(f"Колата е {word}."):
                wrong.append((flag, word))
            harmless = [*(sentence.format(word) for sentence in DENIED), f"не{word}", f"пре{word}ски"]
            wrong += [(flag, text) for text in harmless if flag in named(text)]
    assert not wrong


def test_each_thing_is_denied() -> None:
    denied = [(flag, sentence.format(thing)) for flag, thing in said("things") for sentence in DENIED_THINGS]
    assert not [(flag, text) for flag, text in denied if flag in named(text)]


def test_each_phrase_is_denied() -> None:
    denied = [
        (flag, sentence.format(phrase))
        for flag, phrase in said("words")
        if not phrase.startswith(DENIERS)
        for sentence in ("не е {}", "Никога не е {}, гаражна.")
    ]
    assert not [(flag, text) for flag, text in denied if flag in named(text)]


def test_what_only_looks_like_it_is_not_flagged() -> None:
    wrong = [
        (entry["flag"], example)
        for entry in LISTS
        if entry["level"] != "good"
        for phrase in entry.get("but", ())
        for example in examples(phrase)
        if (entry["flag"], entry["level"]) in {(each.name, each.level) for each in risk.flags("", example, ())}
    ]
    assert not wrong


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
