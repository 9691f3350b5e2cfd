"""What the bot says: in both languages, with the same values, short enough, and well-formed whatever is inserted."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from deals.watches import texts
from deals.watches.sending import message
from standin.telegram.html import plain, units
from vinops import vehicles

ROOT = Path(__file__).resolve().parents[3]
PLACES = re.compile(r"%\((\w+)\)s|%%")


def said() -> set[str]:
    """The keys that the code asks for."""
    found = set()
    for path in (ROOT / "deals/watches").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


@pytest.mark.parametrize("table", [texts.TEXTS, texts.NAMES, texts.COMMANDS])
def test_every_text_is_in_both_languages(table: dict[str, dict[str, str]]) -> None:
    assert [key for key, both in table.items() if set(both) != {"bg", "en"} or not all(both.values())] == []
    assert [key for key, both in table.items() if re.search("[а-я]", both["en"]) and key != "stranger"] == []


@pytest.mark.parametrize("key", texts.TEXTS)
def test_a_text_has_the_same_values_in_both_languages_and_is_well_formed(key: str) -> None:
    both = texts.TEXTS[key]
    assert sorted(PLACES.findall(both["bg"])) == sorted(PLACES.findall(both["en"]))
    values = {name: "<x> & @y" for name in PLACES.findall(both["en"]) if name}
    for language in texts.LANGUAGES:
        shown = plain(texts.say(language, key, **values))
        assert units(shown) < texts.LONGEST / 2
        assert "%" not in shown or key in ("below_market", "above_market", "only_below", "profit")
        assert "@y" not in shown


def test_no_text_is_left_over_and_none_is_missing() -> None:
    used = said()
    computed = {"kind_ad", "kind_lot", "kind_both"}
    assert set(texts.TEXTS) - used - computed == set()


def test_fuels_and_gearboxes_have_names() -> None:
    for field in ("fuel", "gearbox"):
        assert set(vehicles._read("vehicles.toml")[field]) <= set(texts.NAMES)


@pytest.mark.parametrize("count", [0, 1, 100, 5000])
def test_lines_that_do_not_fit_are_left_out_whole(count: int) -> None:
    html = texts.fitted([f"<b>{texts.quoted('x & <y> 🚗' * 5)}</b>" for _ in range(count)])
    assert units(plain(html)) <= texts.LONGEST


@pytest.mark.parametrize("language", texts.LANGUAGES)
@pytest.mark.parametrize(("cars", "count"), [(20, 400), (20, 20), (1, 1)])
def test_a_digest_counts_the_lots_that_it_has_no_room_for(language: str, cars: int, count: int) -> None:
    lot = {
        "lot_id": 1, "title": "<&>" * 40, "url": "https://x.example/1", "high_bid": 123_456, "currency": "USD",
        "landed_eur": 123_456, "most_bid_usd": 123_456, "damage": "minor dent/scratches",
        "sale": "04.12.2026 05:38 (America/Argentina/ComodRivadavia)",
    }  # fmt: skip
    link = "https://vinops.example/searches"
    shown = plain(message.digest(language, [lot] * cars, count=count, more_url=link).html)
    assert units(shown) <= texts.LONGEST
    lines = shown.split("\n")
    assert lines[-1].endswith(link)
    named = sum(line.startswith("• ") for line in lines)
    assert named < 20
    assert count == named or texts.number(count - named) in lines[-2]
