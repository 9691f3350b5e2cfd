"""What speaks against a lot, and what a quote is computed from, has a Bulgarian text: each reason that can be made."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest

from deals.estimate import comparables
from deals.landed import book, profiles, quote as quoting
from deals.landed.lot import Lot as Costed, Rates
from deals.lots import rules
from deals.lots.facts import Lot
from deals.offers import ranking
from deals.stages import quote as stage, value
from tests.support.import_lots import LOT
from vinops import twins
from web import vocabulary
from web.import_reasons import said
from web.language import language

if TYPE_CHECKING:
    from collections.abc import Iterator

BULGARIAN, ENGLISH = language("bg", "Europe/Sofia"), language("en", "Europe/Sofia")
CYRILLIC, LATIN = re.compile(r"[а-яА-Я]"), re.compile(r"[A-Za-z][A-Za-z'-]*")
NAMES = {
    *("NJ", "TRENTON", "Newark", "Houston", "Bremerhaven", "KS", "US", "IT", "MX", "VIN", "NMS", "Passat", "Copart"),
    *("CAD", "Toyota", "RAV", "VOLKSWAGEN", "RBV", "copart"),
}
"""Words that are not translated."""
TARIFFS = book.load().on(date(2026, 11, 30))
USUAL = Lot(
    lot_id=1,
    lot_hash=b"",
    sale_date=date(2030, 1, 1),
    sale_at=datetime(2030, 1, 1, tzinfo=UTC),
    model_detail=LOT["model"],
    **{name: each for name, each in LOT.items() if name in Lot.__dataclass_fields__ and name != "model"},
)


def is_translated(text: str) -> bool:
    """Tell whether a text is Bulgarian, but for names."""
    shown = said(BULGARIAN, text)
    titles = re.sub(r"^[A-Z?]{1,2} [A-Z0-9?]{1,2}: ", "", shown)
    left = [each for each in LATIN.findall(titles) if each not in NAMES]
    return bool(CYRILLIC.search(shown)) and not left


def reasons() -> Iterator[str]:
    """Yield all that can speak against a lot."""
    read = rules.read()
    lots: list[dict[str, Any]] = [
        *({"vehicle_type": kind} for kind in {*read["types"], *vocabulary.NAMES["vehicle_type"], None} - {"car"}),
        *({"damage": damage} for damage in read["damages"]),
        *({"secondary_damage": damage, "fuel": "electric"} for damage in read["electric"]),
        {"year": 2009}, {"year": None}, {"sale_date": None}, {"has_keys": False}, {"has_keys": None},
        {"condition": None}, {"odometer": None}, {"odometer_brand": "not actual"}, {"odometer_brand": None},
        {"title_state": "WI", "title_type": "BP", "title_group": "other"}, {"title_state": None, "title_type": None},
    ]  # fmt: skip
    titles = tomllib.loads((files("deals.lots") / "titles.toml").read_text(encoding="utf-8"))["title"]
    lots += [{"title_type": code} for title in titles for code in title["codes"] if title["export"] == "no"]
    for facts in lots:
        found = rules.blockers(replace(USUAL, **facts))
        assert found, facts
        yield from (each.reason for each in found)
    for model, apart in ((("RBV"), None), ("PASSAT", 2018)):
        lot = replace(USUAL, make="VOLKSWAGEN", model_group=model, model_detail=model, year=apart or 2018)
        yield value._why_none(lot, twins.twin("Volkswagen Passat", 2018) if apart else None)
    yield value._why_none(USUAL, None)
    facts = {"status": "gone", "sale_at": None}
    yield from (each["reason"] for each in ranking._of_the_clock(facts))
    facts = {"status": "active", "sale_at": datetime.now(UTC) + timedelta(minutes=5)}
    yield from (each["reason"] for each in ranking._of_the_clock(facts))


@pytest.mark.parametrize("reason", sorted(set(reasons())))
def test_every_reason_against_a_lot_has_a_bulgarian_text(reason: str) -> None:
    assert is_translated(reason), said(BULGARIAN, reason)
    assert said(ENGLISH, reason) == reason


def quotes() -> Iterator[Any]:
    """Yield quotes of lots whose lines have all kinds of bases."""
    usual = Costed(
        state="NJ", yard="NJ - TRENTON", title="non-clean", vin="1FTEW1E50KFA12345", year=2019, fuel="gasoline",
        damage="front end",
    )  # fmt: skip
    buyers = list(profiles.load().by_name.values())
    buyers += [replace(buyers[0], account="high-volume", payment="unsecured", bid_kind="live", broker="copart")]
    changes: list[dict[str, Any]] = [
        {}, {"vin": None}, {"vin": "1FTEW1E5*KFA12345"}, {"vin": "3FTEW1E50KFA12345"}, {"vin": "ZZZEW1E50KFA12345"},
        {"state": "KS", "yard": None}, {"state": None, "yard": None}, {"title": "clean"}, {"title": None},
        {"year": None}, {"damage": None}, {"damage": "no such damage"}, {"repair_usd": Decimal(4000)},
        {"repair_eur": Decimal(900)}, {"currency": "CAD"}, {"currency": None}, {"fuel": "electric"}, {"fuel": None},
    ]  # fmt: skip
    nothing = book.Tariffs(day=TARIFFS.day, lines=())
    for buyer in buyers:
        for facts in changes:
            for tariffs, bid in ((TARIFFS, 5_000), (TARIFFS, 20_000), (nothing, 5_000)):
                yield quoting.quote(replace(usual, **facts), bid, buyer, tariffs, Rates(usd=Decimal("1.16")))


def test_every_line_of_a_quote_has_a_bulgarian_name_and_basis() -> None:
    found = list(quotes())
    lines = [line for each in found for line in each.lines]
    for line in lines:
        assert line.name in vocabulary.NAMES["quote_line"], line.name
    texts = {line.basis for line in lines} | {text for each in found for text in (*each.missing, *each.notes)}
    texts |= {stage.NO_RATE}
    names = ("Bremerhaven", "copart")  # a basis of one name is that name
    assert [text for text in sorted(texts) if text not in names and not is_translated(text)] == []
    assert len(texts) > 60
    lacks = {text for each in found for text in each.missing}
    assert [text for text in lacks if "_" in said(ENGLISH, text)] == []
    assert said(ENGLISH, "buyer_fee: no line of the tariffs") == "buyer fee: no line of the tariffs"
    assert comparables.FEWEST


@pytest.mark.parametrize("text", ["", "<b>x</b>", "a" * 5_000, "5 % of " * 500, "x: " * 500, "a, " * 500])
def test_a_text_that_is_not_known_is_shown_and_takes_no_time(text: str) -> None:
    assert isinstance(said(BULGARIAN, text), str)
