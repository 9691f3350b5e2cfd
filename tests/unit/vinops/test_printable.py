"""Text from outside has no effect where it is shown: nothing but printed signs reaches a terminal, a log or a file."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from etl import commands as etl_commands
from etl.outcome import LONGEST_SHOWN, MOST_SHOWN, Outcome
from etl.read.columns import COLUMNS, read_header
from ops.commands import deals
from ops.monitor.dialogs import log_line
from ops.show import screen, tables
from vinops import logs
from vinops.redaction import one_line
from vinops.text.printable import printable, printable_json, without_controls
from vinops_scrapy.pages import mobile_bg_words

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT: Final = Path(__file__).resolve().parents[3]
HOSTILE: Final = "a\x1b]0;owned\x07\x1b[2J\x9b31m\u202egpj.exe\u2066\u200b\x00\x7f\x08\r\u2028\ufeff\ud800z"


def is_harmless(shown: str) -> bool:
    """Tell whether a text holds only printed signs, line breaks and tabs."""
    return all(sign.isprintable() or sign in "\n\t" for sign in shown)


def test_signs_without_a_picture_are_escaped() -> None:
    assert printable("\x1b]0;x\x07 \u202e\n\t\x9b") == "\\x1b]0;x\\x07 \\u202e\\n\\t\\x9b"
    assert printable("a\n\tb\r\x1b", lines=True) == "a\n\tb\\r\\x1b"
    assert printable("Продавам кола, 12 €, 🚗") == "Продавам кола, 12 €, 🚗"
    assert printable("x" * 100, longest=10) == "x" * 9 + "…"
    assert printable("x" * 10, longest=10) == "x" * 10


def test_control_characters_are_dropped_and_line_breaks_stay() -> None:
    assert without_controls(HOSTILE) == "a]0;owned[2J31mgpj.exe\r\u2028z"
    assert without_controls("a\n\tb\u00a0в") == "a\n\tb\u00a0в"


def test_json_means_the_same() -> None:
    shown = printable_json(json.dumps([HOSTILE, "кола 🚗"], ensure_ascii=False))
    assert is_harmless(shown)
    assert json.loads(shown) == [HOSTILE, "кола 🚗"]


def logged() -> str:
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        record = logging.LogRecord("etl", logging.ERROR, "x.py", 1, "title %s", (HOSTILE,), sys.exc_info())
    return logs.Line().format(record)


def table(write: Callable[..., None]) -> str:
    out = io.StringIO()
    write(out, [HOSTILE, "n"], [(HOSTILE, 1), ({"k": HOSTILE}, 2), ([HOSTILE], 3)])
    return out.getvalue()


def deal() -> str:
    row: dict[str, Any] = {
        "price_eur": 1, "p50": None, "score": 1, "title": HOSTILE, "year": None, "listing_id": 1,
        "reasons": [HOSTILE], "url": HOSTILE,
    }  # fmt: skip
    return "\n".join(deals._lines(row))


OUTLETS: Final[dict[str, Callable[[], str]]] = {
    "an event in a log": logged,
    "an error": lambda: one_line(HOSTILE),
    "a line of the screen": lambda: screen.line(HOSTILE, (HOSTILE, screen.BAD)).plain,
    "a line of health": lambda: screen.levelled(f"OK {HOSTILE}").plain,
    "a line of a log in the monitor": lambda: log_line(HOSTILE).plain,
    "a table": lambda: table(tables.write_plain),
    "a table of one column a line": lambda: table(tables.write_expanded),
    "deals top": deal,
    "CSV": lambda: table(tables.write_csv).replace("\r", ""),
    "JSON": lambda: table(tables.write_json),
    "the feed's outcome": lambda: printable(
        Outcome(status="loaded", drift={"unknown_columns": [HOSTILE], "unread_values": {HOSTILE: 1}}).table, lines=True
    ),
}


@pytest.mark.parametrize("name", OUTLETS)
def test_an_outlet_shows_printed_signs_only(name: str) -> None:
    shown = OUTLETS[name]()
    assert is_harmless(shown)
    assert "owned" in shown


def test_a_table_on_a_terminal_shows_printed_signs_only(capsys: pytest.CaptureFixture[str]) -> None:
    tables.show([HOSTILE], [(HOSTILE,)])
    assert is_harmless(re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out))


def test_the_feeds_command_line_shows_printed_signs_only(capsys: pytest.CaptureFixture[str]) -> None:
    etl_commands.fail(HOSTILE)
    options = etl_commands.parser().parse_args(["run"])
    etl_commands.report(Outcome(status="loaded", drift={"unknown_columns": [HOSTILE]}), options)
    etl_commands.report(Outcome(status="refused", reason="html", message=HOSTILE), options)
    shown = capsys.readouterr()
    assert is_harmless(shown.out)
    assert is_harmless(shown.err)


def test_unknown_columns_are_shown_in_a_few_words() -> None:
    titles = [f"{number} {'x' * 500}" for number in range(300)]
    shown = Outcome(status="loaded", drift={"unknown_columns": titles}).table
    line = next(line for line in shown.splitlines() if "unknown columns" in line)
    assert len(line) < MOST_SHOWN * (LONGEST_SHOWN + 2) + 80
    assert line.endswith("and 290 more: audit.etl_runs.drift")


def test_the_titles_of_columns_have_no_control_characters() -> None:
    header = read_header([*(column.headers[0] for column in COLUMNS), f"New {HOSTILE}"])
    assert [without_controls(title) for title in header.unknown] == list(header.unknown)


def test_the_text_of_a_page_has_no_control_characters() -> None:
    assert mobile_bg_words.folded(f" Голф\u200b 5 {HOSTILE}\x85x ").isprintable()


def test_no_module_has_its_own_escapes() -> None:
    """Escapes are made in one place, and what may hold text from outside passes it."""
    own, missing = [], []
    for path in [
        each for name in ("ops", "etl", "deals", "vinops", "vinops_scrapy") for each in (ROOT / name).rglob("*.py")
    ]:
        text = path.read_text(encoding="utf-8")
        if path.name != "printable.py" and "repr(sign)" in text:
            own.append(path.name)
        missing += [
            f"{path.name}: {line.strip()}"
            for line in text.splitlines()
            if re.search(r"(?:typer\.echo|print|(?:stdout|stderr)\.write)\(", line)
            and re.search(r"\bredact\(|str\(error\)", line)
            and not re.search(r"printable(?:_json)?\(|one_line\(", line)
        ]
    assert (own, missing) == ([], [])
