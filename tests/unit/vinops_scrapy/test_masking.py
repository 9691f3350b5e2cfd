"""What masking takes out of the text of an ad, and what it leaves: spelling by spelling, and the work it takes.

The corpora are in masking_cases/. All numbers, names and accounts are made up.
"""

from __future__ import annotations

import csv
import re
import sys
from collections import Counter
from pathlib import Path
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any, Final

import pytest

from vinops.text import contacts, phones, plain
from vinops_scrapy.pages import masking
from vinops_scrapy.pages.masking import masked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType, ModuleType

CASES: Final = Path(__file__).with_name("masking_cases")
NAMED: Final = {"t": "\t", "n": "\n", "r": "\r", "\\": "\\"}
AROUND: Final = ("{}", "Продавам колата, {}. Без коментар", "Вайбър {}, след 18 ч.", "BMW 320 2015 г. {} торг")


def lines(name: str) -> list[str]:
    """The cases of a file, with signs that cannot be seen in a file as themselves."""
    text = (CASES / f"{name}.txt").read_text(encoding="utf-8")
    return [
        re.sub(r"\\(u[0-9a-f]{4}|[tnr\\])", lambda sign: NAMED.get(sign[1]) or chr(int(sign[1][1:], 16)), line)
        for line in text.split("\n")
        if line and not line.startswith("# ")
    ]


def test_the_corpora_are_large_enough() -> None:
    assert len(set(lines("phones"))) >= 200
    assert len(set(lines("kept"))) >= 200


@pytest.mark.parametrize("spelling", lines("phones"), ids=ascii)
def test_a_phone_number_is_masked_however_it_is_spelled(spelling: str) -> None:
    for around in AROUND:
        found = masked(around.format(spelling))
        assert "[phone]" in found
        assert sum(map(str.isnumeric, found)) == sum(map(str.isnumeric, around)), found


@pytest.mark.parametrize("text", lines("kept"), ids=ascii)
def test_figures_that_are_no_phone_number_stay(text: str) -> None:
    assert masked(text) == text


def test_what_is_masked_stays_as_it_is_when_it_is_masked_again() -> None:
    """Stored texts are masked again by newer rules."""
    found = [
        masked(around.format(each)) for name in ("phones", "contacts") for each in lines(name) for around in AROUND
    ]
    assert [each for each in found if masked(each) != each] == []


@pytest.mark.parametrize("spelling", lines("contacts"), ids=ascii)
def test_an_address_or_account_is_masked_however_it_is_spelled(spelling: str) -> None:
    found = masked(f"Пишете на {spelling}, има торг")
    assert re.fullmatch(
        r"Пишете на \(?(?:[\w ]+?(?: ?[:=/-] ?| ))?\[(?:mail|contact|phone)\]\)?, има торг", found, re.IGNORECASE
    ), found
    assert not re.search(r"ivan|иван(?!сто)", found.replace("Иванов", ""), re.IGNORECASE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(02) 987-65-43", "[phone]"),
        ("((02) 987-65-43)", "([phone])"),
        ("0888 123 456, 190 000 км", "[phone], 190 000 км"),
        ("тел. 987 65 43, 120 000 км", "тел. [phone], 120 000 км"),
        ("0888 123 456 8 900 лв.", "[phone] 8 900 лв."),
        ("02 987 65 43 2015 г.", "[phone] 2015 г."),
        ("+49 151 0000 0000 2015 г.", "[phone] 2015 г."),
        ("от 09:00-18:00 02 987 65 43", "от 09:00-18:00 [phone]"),
        ("ГТП 05.06.2026 032/12-34-56", "ГТП 05.06.2026 [phone]"),
        ("0888123456, 0899123456; 02/9876543", "[phone], [phone]; [phone]"),
        ("Пишете на t.me/ivan.", "Пишете на [contact]."),
        ("мост\u00adове 0888\u200b123456 и т.н.", "мост\u00adове [phone] и т.н."),
    ],
)
def test_what_is_around_a_number_stays(text: str, expected: str) -> None:
    assert masked(text) == expected


HOSTILE: Final = (
    "0888 ", "0888", "1 ", "0 ", "1", "02-", "00 ", "+", "+359 ", "359", "05.06.", "20 000 ", "тел. ", "тел. 1",
    "a@", "a@b.", "a.", "@", "(at)", "ivan at ", "abv.bg", "t.me/", "t . me / ", "viber://", "Skype: ", "(", "О",
    "0О", "\u200b", "1\u200b", "\u0301", "１", " ", "\n", ".", "-.", "Иван ", "Иван Иванов ", "за контакт", "[phone]",
    "ﷺ",
)  # fmt: skip
"""Pieces that a hostile ad repeats: each is nearly what is looked for, again and again."""
LONG: Final = 20_000  # characters


def calls(text: str) -> int:
    """Return how many functions masking a text calls, those of C too."""
    count = 0

    def counted(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        masked(text)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("piece", HOSTILE, ids=ascii)
def test_the_work_only_grows_with_the_length_of_a_hostile_text(piece: str) -> None:
    short, long = (piece * (length // len(piece)) for length in (LONG // 40, LONG // 4))
    assert calls(long) <= 12 * calls(short)
    masked(piece * (LONG // len(piece)))  # ends, whatever single calls take


def repeats(tree: Any, *, inside: bool = False) -> Iterator[tuple[bool, bool]]:
    """Yield for each repeat of a parsed pattern whether it is unbounded, and whether it is inside another repeat."""
    for kind, argument in tree:
        is_repeat = kind in (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT)
        if is_repeat:
            yield argument[1] == _constants.MAXREPEAT, inside
        for part in argument if isinstance(argument, (tuple, list)) else (argument,):
            for each in part if isinstance(part, list) else (part,):
                if isinstance(each, _parser.SubPattern):
                    yield from repeats(each, inside=inside or is_repeat)


def patterns(*modules: ModuleType) -> Iterator[re.Pattern[str]]:
    """Yield the patterns of modules, also those in tuples."""
    for value in [value for module in modules for value in vars(module).values()]:
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, re.Pattern):
                yield each


def test_no_pattern_can_go_over_a_text_again_and_again() -> None:
    """Every repeat has a limit, or is the only one: a match takes a bounded number of steps from each start, or ends
    where it has looked."""
    found = list(patterns(phones, contacts, plain, masking))
    assert len(found) > 20
    for pattern in found:
        each = list(repeats(_parser.parse(pattern.pattern, pattern.flags)))
        unbounded = [is_inside for is_unbounded, is_inside in each if is_unbounded]
        assert not any(unbounded), f"nested without a limit: {pattern.pattern}"
        assert len(unbounded) in (0, len(each)), f"a repeat without a limit beside others: {pattern.pattern}"


def test_the_patterns_that_would_go_over_a_text_again_are_noticed() -> None:
    found = [list(repeats(_parser.parse(text))) for text in (r"(?:\d+\s?){3}", r"\d+\s*x", r"\d{1,5}")]
    assert found == [[(False, False), (True, True), (False, True)], [(True, False), (True, False)], [(False, False)]]


def test_each_group_of_digits_is_read_a_bounded_number_of_times(monkeypatch: pytest.MonkeyPatch) -> None:
    read: Counter[int] = Counter()

    class Counted(phones._Number):
        def __init__(self, text: str, groups: Any, first: int) -> None:
            super().__init__(text, groups, first)
            read["groups"] += len(self._groups)

    monkeypatch.setattr(phones, "_Number", Counted)
    masked("1 " * (LONG // 2))
    assert LONG // 2 <= read["groups"] <= phones.GROUPS * LONG // 2


SAMPLES: Final = Path(__file__).resolve().parents[4] / "shared" / "data" / "listings_bg_2025.csv"


@pytest.mark.skipif(not SAMPLES.exists(), reason="needs a folder of recorded ads beside the checkout")
def test_the_figures_of_recorded_ads_stay() -> None:
    with SAMPLES.open(encoding="utf-8") as file:
        ads = [", ".join(map(str, row)) for row in list(csv.reader(file))[1::10]]
    assert [ad for ad in ads if masked(ad.partition(", ")[2]) != ad.partition(", ")[2]] == []
