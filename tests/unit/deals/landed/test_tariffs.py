"""The tariffs as data: strict reading, the owner's lines, periods, and the age of the checks."""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from deals.landed import book
from deals.landed.lines import KINDS, TariffError
from vinops.checks import Level

ROOT = Path(__file__).resolve().parents[4]
DAY = date(2026, 11, 30)

LINE = """
[[lines]]
kind = "gate_fee"
name = "a gate"
from = 2026-01-01
until = "open"
unit = "per car"
currency = "USD"
source = "an invoice"
checked = 2026-11-01
confidence = "high"
title = "clean"
vehicle_type = "V"
amount = 80
"""
BRACKETS = LINE.replace("gate_fee", "buyer_fee").replace("per car", "by bid")
RANGE = LINE.replace("amount = 80", "low = 10\nexpected = 20\nhigh = 30")


def written(folder: Path, text: str, name: str = "own.toml") -> Path:
    """Write a file of the owner, and return his folder."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def own(line: str) -> str:
    """Return a line with a name that replaces ours."""
    return line.replace("a gate", "gate, clean")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (LINE.replace("amount", "amuont"), "“a gate”: the key amuont is unknown for gate_fee: check its spelling"),
        (LINE + 'yard = "X"', "the key yard is unknown for gate_fee"),
        (LINE.replace('name = "a gate"', ""), "a line has no name"),
        (LINE.replace("gate_fee", "gates"), "kind is 'gates': use one of: buyer_fee"),
        (LINE.replace("per car", "percent"), "unit is 'percent': use one of: per car"),
        (LINE.replace("USD", "EUR"), "currency is 'EUR': use one of: USD"),
        (LINE.replace('"high"', '"sure"'), "confidence is 'sure': use one of: high, medium, low"),
        (LINE.replace('source = "an invoice"', ""), "source is missing or empty"),
        (LINE.replace("checked = 2026-11-01", 'checked = "2026-11-01"'), "checked is missing or no day"),
        (LINE.replace("from = 2026-01-01", ""), "from is missing or no day"),
        (LINE.replace('until = "open"', ""), "until is missing or no day"),
        (LINE.replace('until = "open"', "until = 2025-01-01"), "until is before from"),
        (LINE.replace("amount = 80", ""), "it has neither an amount nor low, expected and high"),
        (LINE.replace("amount = 80", "amount = -1"), "amount is not between 0 and 10,000,000"),
        (LINE.replace("amount = 80", "amount = nan"), "amount is not between"),
        (LINE.replace("amount = 80", 'amount = "80"'), "amount is not a number: write it as 12 or 12.50"),
        (LINE.replace("amount = 80", "amount = true"), "amount is not a number"),
        (LINE.replace("amount = 80", "amount = 80.005"), "amount has more than 2 decimals"),
        (LINE.replace('title = "clean"', "title = []"), "title is neither a text nor a list of texts"),
        (LINE.replace('title = "clean"', 'title = ["clean", "clean"]'), "title names something twice"),
        (RANGE.replace("low = 10", "low = 25"), "low, expected and high are not in this order"),
        (RANGE.replace("low = 10\n", ""), "it has neither an amount nor low, expected and high"),
        (BRACKETS, "the unit by bid needs brackets and no other amount"),
        (BRACKETS.replace("amount = 80", "brackets = [[50, 1]]"), "the brackets leave a gap from 0 to 50"),
        (BRACKETS.replace("amount = 80", "brackets = [[0, 1], [0, 2]]"), "the brackets overlap at 0"),
        (BRACKETS.replace("amount = 80", "brackets = [[0, 9], [50, 8]]"), "the fee falls at 50"),
        (BRACKETS.replace("amount = 80", 'brackets = [[0, 100], [500, "7.5 %"]]'), "the fee falls at 500"),
        (BRACKETS.replace("amount = 80", 'brackets = [[0, "x %"]]'), "the bracket from 0 is not a number"),
        (BRACKETS.replace("amount = 80", "brackets = [[0.5, 1]]"), "is not [from, amount]"),
        (BRACKETS.replace("amount = 80", "brackets = 7"), "brackets is no list"),
        (LINE.replace("[[lines]]", "[[line]]"), "the key line is unknown: a file has [defaults] and [[lines]]"),
        (LINE.replace("[[lines]]", "[lines]"), "lines are not written as [[lines]]"),
        ("[[lines]", "is no TOML"),
        (LINE.replace("amount = 80", f"amount = {'9' * 5_000}"), "is no TOML"),
        ("a = " + "[" * 50_000, "is no TOML"),
        ("#" * 1_000_001, "has more than 1,000,000 bytes"),
        (BRACKETS.replace("amount = 80", f'brackets = [[0, 1], [{"9" * 40}, "7 %"]]'), "a bracket begins at 9"),
        (LINE.replace("gate_fee", "port").replace("per car", "name").replace("USD", "none"), "unknown for port"),
    ],
)
def test_what_is_not_understood_is_an_error_that_names_file_and_line(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(TariffError) as raised:
        book.load(written(tmp_path / "own", text))
    assert says in str(raised.value)
    assert str(tmp_path / "own" / "own.toml") in str(raised.value)


def test_two_lines_for_the_same_lot_and_day_overlap(tmp_path: Path) -> None:
    with pytest.raises(
        TariffError, match=r"“a gate”: it overlaps with auction_fees\.toml, line “gate, clean”: end one"
    ):
        book.load(written(tmp_path / "own", LINE))
    twice = own(LINE) + own(LINE).replace("2026-01-01", "2026-06-01")
    with pytest.raises(TariffError, match="it overlaps with"):
        book.load(written(tmp_path / "own", twice))


def test_a_price_list_by_yard_is_compared_with_itself_yard_by_yard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[object] = []
    overlap = book._overlap
    monkeypatch.setattr(book, "_overlap", lambda one, other: compared.append(one) or overlap(one, other))
    road = LINE.replace("gate_fee", "road").replace('vehicle_type = "V"\n', "").replace('title = "clean"', 'yard = "Y"')
    lines = [road.replace("a gate", f"road {number}").replace('"Y"', f'"Y{number}"') for number in range(1_000)]
    written(tmp_path / "own", "".join(lines))
    assert len(book.load(tmp_path / "own").lines) == len(book.load().lines) + 1_000
    assert len(compared) < 20_000, "each with each is half a million"
    with pytest.raises(TariffError, match=r"“road, again”: it overlaps with .*“road 7”"):
        book.load(written(tmp_path / "own", "".join([*lines, lines[7].replace("road 7", "road, again")])))


def test_a_file_that_begins_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    found = book.load(written(tmp_path / "own", "\ufeff" + own(LINE)))
    line = found.on(DAY).find("gate_fee", vehicle_type="V", title="clean")
    assert line is not None
    assert line.expected == 80


def test_a_check_on_a_day_to_come_does_not_silence_the_alarm(tmp_path: Path) -> None:
    typing_error = own(LINE).replace("2026-11-01", "2062-11-01")
    found = book.load(written(tmp_path / "own", typing_error)).checked(DAY)
    assert found.stale == ("gate_fee “gate, clean” (2062-11-01, which is still to come)",)
    tomorrow_there = typing_error.replace("2062-11-01", "2026-12-01")
    assert book.load(written(tmp_path / "own", tomorrow_there)).checked(DAY).stale == ()


def test_the_periods_of_a_line_leave_no_gap(tmp_path: Path) -> None:
    first = own(LINE).replace('until = "open"', "until = 2026-05-31")
    later = own(LINE).replace("2026-01-01", "2026-06-03").replace("amount = 80", "amount = 85")
    with pytest.raises(TariffError, match="there is a gap of 2 days before 2026-06-03: let one period begin the day"):
        book.load(written(tmp_path / "own", first + later))
    found = book.load(written(tmp_path / "own", first + later.replace("2026-06-03", "2026-06-01")))
    for day, amount in ((date(2026, 5, 31), 80), (date(2026, 6, 1), 85)):
        line = found.on(day).find("gate_fee", vehicle_type="V", title="clean")
        assert line is not None
        assert line.expected == amount
    assert found.on(date(2025, 12, 31)).find("gate_fee", vehicle_type="V", title="clean") is None


def test_a_line_of_the_owner_replaces_ours_of_its_name_and_no_other(tmp_path: Path) -> None:
    ours, theirs = book.load(), book.load(written(tmp_path / "own", own(LINE)))
    assert len(ours.lines) == len(theirs.lines)
    changed = [each for each in theirs.lines if each not in ours.lines]
    assert [(each.name, each.expected) for each in changed] == [("gate, clean", 80)]
    road = """
[[lines]]
kind = "road"
name = "my forwarder"
from = 2026-01-01
until = "open"
unit = "per car"
currency = "USD"
source = "his sheet of October 2026"
checked = 2026-10-20
confidence = "high"
yard = "TX - HOUSTON EAST"
amount = 150
"""
    found = book.load(written(tmp_path / "other", road)).on(DAY)
    line = found.find("road", yard="TX - HOUSTON EAST", state="TX")
    assert line is not None
    assert line.name == "my forwarder", "a line with a yard comes before that of its state"
    others = found.find("road", yard="TX - DALLAS", state="TX")
    assert others is not None
    assert others.name == "road from TX, LA"


def test_a_folder_that_is_not_there_is_an_error_and_no_empty_tariff(tmp_path: Path) -> None:
    with pytest.raises(TariffError, match=r"VINOPS_TARIFFS_DIR: .* is not a folder"):
        book.load(tmp_path / "missing")


def test_our_tariffs_are_whole() -> None:
    found = book.load()
    assert {line.kind for line in found.lines} == set(KINDS)
    for line in found.lines:
        assert line.starts <= DAY
        assert line.checked >= date(2026, 1, 1)
        assert not line.brackets or line.brackets[0].least == 0
    assert len({(line.kind, line.name, line.starts) for line in found.lines}) == len(found.lines)


def test_no_amount_stands_in_the_code() -> None:
    """Numbers in deals/landed are limits of what is read, and units; each of them is listed here."""
    allowed = {"0", "1", "2", "3", "4", "5", "6", "9", "10", "17", "20", "39", "40", "100", "180", "401", "403", "429"}
    allowed |= {"503", "1_000", "65_536", "100_000", "1_000_000", "10_000_000", "1_048_575", "15.0", "60.0", "0.01"}
    allowed |= {"0.05", "0.1"}
    number = re.compile(r"(?<![\w.])\d[\d_]*(?:\.\d+)?(?![\w.])")
    for path in (ROOT / "deals" / "landed").glob("*.py"):
        code = re.sub(r'"""[\s\S]*?"""|#.*|"(?:[^"\\\n]|\\.)*"', "", path.read_text(encoding="utf-8"))
        assert set(number.findall(code)) <= allowed, path.name


def test_lines_in_force_that_were_checked_long_ago_are_named_oldest_first() -> None:
    """On fixed days: the clock must not turn this red."""
    found = book.load()
    oldest = min(line.checked for line in found.lines)
    fresh, stale = (found.checked(oldest + timedelta(days=days)) for days in (book.STALE_DAYS, book.STALE_DAYS + 1))
    assert (fresh.stale, fresh.oldest) == ((), oldest)
    assert stale.stale
    assert book.judge(fresh).level is Level.OK
    finding = book.judge(stale)
    assert finding.level is Level.WARNING
    assert finding.text.startswith("checked more than 180 days ago: buyer_fee “")
    assert finding.fix == "vinops landed tariffs; docs/landed.md, Checking a tariff"
    ended = book.load().checked(date(2060, 1, 1))
    assert not any("assembled in the USA" in each for each in ended.stale), "one that is not in force needs no check"


def test_the_list_begins_with_the_oldest_check() -> None:
    days = [line.checked for line in book.load().by_check()]
    assert days == sorted(days)


def test_amounts_are_decimals() -> None:
    for line in book.load().lines:
        values = [line.low, line.expected, line.high, *(each.value for each in line.brackets)]
        assert all(isinstance(each, Decimal) for each in values)
