"""The Bulgarian texts: none is missing, none is left over, and each has the places of the English one."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from babel.messages.extract import extract
from babel.messages.pofile import read_po
from jinja2.ext import babel_extract

from vinops import vehicles
from vinops.filters import Filter
from web import vocabulary
from web.language import chosen, language

WEB = Path(vocabulary.__file__).parent
CODE = {"_": None, "gettext": None, "ngettext": (1, 2), "counted": (1, 2)}
BULGARIAN, ENGLISH = language("bg", "Europe/Sofia"), language("en", "Europe/Sofia")
PLACES = re.compile(r"%\((\w+)\)s|%%")


def texts() -> set[tuple[str, ...]]:
    """Return the texts of templates and code; those with a plural as two."""
    found: set[tuple[str, ...]] = set()
    for path in sorted(WEB.glob("templates/*.html")):
        with path.open("rb") as file:
            options = {"trim_blocks": "true", "lstrip_blocks": "true"}
            for _, function, text, _ in babel_extract(file, ("_", "gettext", "ngettext"), [], options):
                parts = [text] if isinstance(text, str) else [each for each in text if each]
                found.add(tuple(parts[: 2 if function == "ngettext" else 1]))
    for path in sorted(WEB.glob("**/*.py")):
        with path.open("rb") as file:
            for _, text, *_ in extract("python", file, keywords=CODE):  # type: ignore[arg-type]
                found.add((text,) if isinstance(text, str) else tuple(text)[:2])
    return found


def catalog() -> dict[tuple[str, ...], tuple[str, ...]]:
    with (WEB / "locale/bg.po").open("rb") as file:
        read = read_po(file, locale="bg")
    return {
        (each.id,) if isinstance(each.id, str) else tuple(each.id): (
            (each.string,) if isinstance(each.string, str) else tuple(each.string)
        )
        for each in read
        if each.id
    }


@pytest.mark.filterwarnings("ignore")
def test_every_text_has_a_bulgarian_one() -> None:
    known, used = catalog(), texts()
    assert used - set(known) == set(), "texts without a translation: add them to web/locale/bg.po"
    assert set(known) - used == set(), "translations of texts that are no longer there"
    assert [id_ for id_, texts_ in known.items() if not all(texts_)] == []


def test_translations_have_the_places_of_the_text() -> None:
    for source, translated in catalog().items():
        for text in translated:
            assert sorted(PLACES.findall(text)) == sorted(PLACES.findall(source[-1])), source


@pytest.mark.parametrize("kind", ["fuel", "gearbox", "body", "color"])
def test_every_value_of_the_vocabulary_has_a_name(kind: str) -> None:
    field = "colour" if kind == "color" else kind
    values = set(vehicles._read("vehicles.toml")[field])
    assert values <= set(vocabulary.NAMES[kind])


@pytest.mark.parametrize(
    "query",
    [
        [("x", "1")], [("price_to", "1"), ("price_to", "2")], [("words", "я" * 500)], [("fuel", "dieesel")],
        [("fuel", "xyzzy")], [("year_from", "2020"), ("year_to", "2010")], [("family", "X5")], [("gone", "maybe")],
        [("family", "BMW Qwerty")], [("family", "BMW 320")], [("year_from", "ten")], [("min_score", "ten")],
        [("km_to", "99999999999")], [("new_since", "soon")], [("new_since", "2026-02-31")], [("words", "без")],
        [("words", "...")], [("make", f"{number}") for number in range(3)],
    ],
)  # fmt: skip
def test_every_objection_of_the_filter_is_translated(query: list[tuple[str, str]]) -> None:
    _, problems = Filter.parse(query)
    assert problems
    for each in problems:
        assert vocabulary.problem(BULGARIAN, each.reason) != each.reason, each
        assert vocabulary.problem(ENGLISH, each.reason)


@pytest.mark.parametrize(
    ("wished", "cookie", "accepted", "expected"),
    [
        ("en", "bg", "bg", "en"), (None, "en", "bg", "en"), (None, "xx", "en-GB,en;q=0.9,bg;q=0.1", "en"),
        (None, None, "de,bg;q=0.5,en;q=0.4", "bg"), (None, None, "", "bg"), (None, None, "en;q=x,bg;q=0.1", "bg"),
    ],
)  # fmt: skip
def test_the_language_is_that_of_the_account_the_cookie_or_the_browser(
    wished: str | None, cookie: str | None, accepted: str, expected: str
) -> None:
    assert chosen(wished, cookie, accepted) == expected


def test_numbers_and_times_are_written_as_in_the_language() -> None:
    assert BULGARIAN.eur(Decimal("12345.00")) == "12\u202f345\u00a0€"
    assert (BULGARIAN.number(8.1, 1), ENGLISH.number(8.1, 1), ENGLISH.number(-1234)) == ("8,1", "8.1", "−1\u202f234")
    moment = datetime(2026, 7, 1, 21, 30, tzinfo=UTC)
    assert BULGARIAN.moment(moment) == "02.07.2026, 00:30"
    assert ENGLISH.ago(moment, moment + timedelta(hours=2, minutes=59)) == "2 hours ago"
    assert BULGARIAN.ago(moment, moment + timedelta(days=1)) == "преди 1 ден"
