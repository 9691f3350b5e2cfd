"""Phrases for lots of auctions: at least 95 of 100 are understood exactly, no number is silently wrong, and whatever is
left over is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.vinops.filter_text.corpus import HERE, TODAY
from vinops.filter_text import parse
from vinops.filter_text.tables import words
from vinops.filters import FIELDS
from vinops.lots.filter import DAMAGES, FIELDS as LOT_FIELDS

if TYPE_CHECKING:
    from vinops.filter_text import Understood

NUMBERS = ("year_from", "year_to", "odometer_to", "sale_within", "bid_to", "landed_to", "profit_from")
AD_NUMBERS = (*(name for name in FIELDS if name.endswith(("_from", "_to"))), "min_score", "below_market")


@dataclass(frozen=True, kw_only=True)
class Phrase:
    """A phrase, and the canonical parameters of its filters."""

    text: str
    kind: str
    lots: dict[str, list[str]]
    ads: dict[str, list[str]]
    leftovers: list[str]
    ambiguous: list[str]


def phrases(name: str) -> list[Phrase]:
    lines = (HERE / name).read_text(encoding="utf-8").splitlines()
    return [_phrase(line) for line in lines if " | " in line and not line.startswith("#")]


def _phrase(line: str) -> Phrase:
    text, _, about = line.rpartition(" | ")
    given = {name: value.split(",") for name, value in (part.split("=", 1) for part in about.split("; "))}
    kind = given.pop("kind", ["lot"])[0]
    leftovers, ambiguous = given.pop("leftovers", []), given.pop("ambiguous", [])
    if "damage_not" in given:
        out = {damage for name in given.pop("damage_not") for damage in words()["lot_damage_of"].get(name, [name])}
        given["damage"] = [each for each in DAMAGES if each not in out]
    ads = {name.removeprefix("ad."): value for name, value in given.items() if name.startswith("ad.")}
    lots = {name: sorted(value) for name, value in given.items() if not name.startswith("ad.")}
    return Phrase(text=text, kind=kind, lots=lots, ads=ads, leftovers=leftovers, ambiguous=ambiguous)


LOTS, SECOND, TRADERS = phrases("lots.txt"), phrases("lots_second.txt"), phrases("traders.txt")


def _params(found: Any, described: Any) -> dict[str, list[str]]:
    params: dict[str, list[str]] = {}
    for name, value in () if found is None else found.to_params():
        params.setdefault(name, []).append(value)
    made = {name: sorted(values) for name, values in params.items() if name in described}
    if "family" in made:
        made.pop("make", None)
    if made.get("sale_within", [""])[0].endswith("d"):
        made["sale_within"] = [made["sale_within"][0] if made["sale_within"] != ["1d"] else "24h"]
    return made


def understood(found: Understood, expected: Phrase) -> Phrase:
    return Phrase(
        text=expected.text,
        kind=found.kind,
        lots=_params(found.lots, LOT_FIELDS),
        ads=_params(found.filter, FIELDS) if found.kind != "lot" else {},
        leftovers=[token for each in found.leftovers for token in each.split()],
        ambiguous=[each.text for each in found.ambiguous],
    )


@pytest.mark.parametrize(
    ("corpus", "most"), [(LOTS, 0.05), (SECOND, 0.0), (TRADERS, 0.0)], ids=["lots", "second", "traders"]
)
def test_phrases_are_understood(corpus: list[Phrase], most: float) -> None:
    wrong = []
    for phrase in corpus:
        found = understood(parse(phrase.text, today=TODAY), phrase)
        if found != phrase:
            wrong.append(f"{phrase}\n    found {found}")
    assert len(wrong) <= len(corpus) * most, "\n".join(wrong)


@pytest.mark.parametrize("phrase", [*LOTS, *SECOND, *TRADERS], ids=lambda phrase: phrase.text)
def test_no_number_is_silently_wrong(phrase: Phrase) -> None:
    """A number that is not understood may be left over or asked, but what the filter has is what was meant."""
    found = understood(parse(phrase.text, today=TODAY), phrase)
    for got, meant, names in ((found.lots, phrase.lots, NUMBERS), (found.ads, phrase.ads, AD_NUMBERS)):
        assert {name: got[name] for name in names if name in got and got[name] != meant.get(name)} == {}


@pytest.mark.parametrize("phrase", [*LOTS, *SECOND, *TRADERS], ids=lambda phrase: phrase.text)
def test_the_pieces_are_the_text(phrase: Phrase) -> None:
    found = parse(phrase.text, today=TODAY)
    assert "".join("".join(piece.text for piece in found.pieces).split()) == "".join(phrase.text.split())
    shown = "".join(piece.text for piece in found.pieces if not piece.is_understood)
    assert [word for word in found.leftovers if word not in shown] == []
