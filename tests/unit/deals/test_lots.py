"""A lot as a car of the market, what speaks against it, and what is left of its price."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pytest

from deals.lots import facts, profit, rules
from deals.lots.facts import Lot

GOOD = Lot(
    **{field.name: None for field in fields(Lot)}  # type: ignore[arg-type]
    | {
        "lot_id": 1,
        "lot_hash": b"",
        "status": "active",
        "vehicle_type": "car",
        "year": 2019,
        "make": "TOYOTA",
        "model_group": "RAV4",
        "odometer": 50_000,
        "odometer_brand": "actual",
        "damage": "front end",
        "title_state": "NJ",
        "title_type": "ST",
        "title_group": "salvage",
        "has_keys": True,
        "condition": "starts",
        "sale_date": date(2026, 12, 7),
        "sale_at": datetime(2026, 12, 7, 15, tzinfo=UTC),
        "country": "USA",
        "currency": "USD",
        "fuel": "gasoline",
    }
)


def names(**changes: Any) -> list[str]:
    return [each.name for each in rules.blockers(replace(GOOD, **changes))]


def test_nothing_speaks_against_a_good_lot() -> None:
    assert names() == []


@pytest.mark.parametrize(
    ("changes", "blocker"),
    [
        ({"vehicle_type": "heavy truck"}, "heavy vehicle"),
        ({"vehicle_type": "medium truck"}, "heavy vehicle"),
        ({"vehicle_type": "motorcycle"}, "not a car"),
        ({"vehicle_type": None}, "not a car"),
        ({"title_type": "PO", "title_group": "other"}, "title not exportable"),
        ({"title_state": "FL", "title_type": "CD", "title_group": "destruction"}, "title not exportable"),
        ({"title_state": "WA", "title_type": "BS", "title_group": "other"}, "title not exportable"),
        ({"title_state": "WI", "title_type": "BP", "title_group": "other"}, "title unknown"),
        ({"title_state": "ON", "title_type": "ST", "title_group": "other"}, "title unknown"),
        ({"title_group": "other"}, "title unknown"),
        ({"title_type": None, "title_state": None, "title_group": None}, "title unknown"),
        ({"damage": "water/flood"}, "damage"),
        ({"secondary_damage": "rollover"}, "damage"),
        ({"damage": "missing/altered vin"}, "damage"),
        ({"damage": "undercarriage", "fuel": "electric"}, "damage"),
        ({"year": 2011}, "too old"),
        ({"year": None}, "too old"),
        ({"has_keys": False}, "no keys"),
        ({"has_keys": None}, "no keys"),
        ({"condition": None}, "does not start"),
        ({"odometer_brand": "not actual"}, "odometer"),
        ({"odometer_brand": None}, "odometer"),
        ({"odometer": None}, "odometer"),
        ({"sale_date": None}, "no sale date"),
    ],
)
def test_each_blocker_has_its_reason(changes: dict[str, Any], blocker: str) -> None:
    found = rules.blockers(replace(GOOD, **changes))
    assert [each.name for each in found] == [blocker]
    assert found[0].reason


def test_an_undercarriage_is_no_blocker_of_a_petrol_car() -> None:
    assert names(damage="undercarriage") == []


def test_a_title_whose_meaning_is_not_certain_is_never_exportable() -> None:
    for state in [*rules.STATES, "ON", "QC", ""]:
        for code in ("CT", "ST", "SC", "SV", "RB", "ZZ"):
            can, _ = rules.export(replace(GOOD, title_state=state, title_type=code, title_group="other"))
            assert can == "ask", (state, code)


@pytest.mark.parametrize(
    ("changes", "km"),
    [
        ({}, 80_467),
        ({"currency": "CAD"}, 50_000),
        ({"country": "CAN"}, 50_000),
        ({"special_note": "ODOMETER IS IN KILOMETERS"}, 50_000),
        ({"special_note": "True mileage unknown"}, 80_467),
        ({"odometer": None}, None),
    ],
)
def test_miles_become_kilometres_but_where_they_are(changes: dict[str, Any], km: int | None) -> None:
    assert replace(GOOD, **changes).mileage_km == km


@pytest.mark.parametrize(
    ("make", "group", "detail", "model"),
    [
        ("LEXUS", "RX350", "RX", "Lexus RX 350"),
        ("JEEP", "CHEROKEE", "GRAND CHEROKEE", "Jeep Grand Cherokee"),
        ("JEEP", "GRAND CHER", "CHEROKEE", "Jeep Grand Cherokee"),
        ("NISSAN", "ROGUE", "ROGUE SPORT", "Nissan Rogue Sport"),
        ("TOYOTA", "COROLLA", "COROLLA MATRIX", "Toyota Matrix"),
        ("BMW", "3 SERIES", "328", "BMW 328"),
        ("TOYOTA", "ALL OTHER", "PICKUP", None),
        ("NOBODY", "X", "Y", None),
    ],
)
def test_the_more_exact_name_is_the_model(make: str, group: str, detail: str, model: str | None) -> None:
    found = facts.model_of(replace(GOOD, make=make, model_group=group, model_detail=detail))
    assert (found.value if found else None) == model


def outcome(*, landed: float = 9_000.0, value: float = 15_000.0, width: float = 1.3, repair: float = 2_000.0) -> Any:
    return profit.outcomes(
        value=np.array([[value / width, value, value * width]]),
        left=np.array([1.0]),
        landed=np.array([landed]),
        repair=np.array([repair]),
        dear_repair=np.array([repair * 1.35]),
        careful_value=np.array([value / width**0.657]),
    )


def test_the_chance_of_a_loss_is_that_of_a_simulation() -> None:
    """A million cars with lognormal values and repairs, as the formula assumes them."""
    chance = np.random.default_rng(1)
    for landed in (7_000.0, 10_000.0, 12_500.0, 15_000.0):
        found = outcome(landed=landed)
        value = 15_000 * np.exp(np.log(1.3) / profit.Z90 * chance.standard_normal(1_000_000))
        repair = 2_000 * np.exp(np.log(1.35) / profit.Z75 * chance.standard_normal(1_000_000))
        assert found.loss_chance[0] == pytest.approx(np.mean(value < landed + repair), abs=0.01)
        low, high = np.quantile(value - landed - repair, [0.1, 0.9])
        assert found.low[0] == pytest.approx(low, abs=400)
        assert found.high[0] == pytest.approx(high, abs=400)


def test_a_dearer_lot_leaves_less_and_is_more_often_a_loss() -> None:
    cheap, dear = outcome(landed=8_000.0), outcome(landed=12_000.0)
    assert cheap.careful[0] - dear.careful[0] == pytest.approx(4_000)
    assert cheap.loss_chance[0] < dear.loss_chance[0]
    assert cheap.low[0] < cheap.high[0]


def test_the_careful_profit_is_at_p20_and_a_dear_repair() -> None:
    found = outcome()
    assert found.careful[0] == pytest.approx(15_000 / 1.3**0.657 - 9_000 - 2_700)
