"""What a lot costs landed in Bulgaria: the fees to the cent, what is unknown, and the sums."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from random import Random

import numpy as np
import pytest

from deals.landed.bulk import costs_of
from deals.landed.lot import Rates
from deals.landed.quote import most_bid, quote
from tests.support.landed_lots import RATES, US_VIN, any_lot, any_profile, lot, profile, tariffs

MEXICAN, GERMAN, TESLA, MASKED = "3FTEW1E50KFA12345", "WBA8E9G50KFA12345", "7SAYGDEE5NF123456", "1FTEW1E5*KFA12345"


@pytest.mark.parametrize(
    ("title", "bid", "fees"),
    [
        ("non-clean", 1_000, "560"),
        ("non-clean", 5_000, "995"),
        ("non-clean", 10_000, "1250"),
        ("non-clean", 25_000, "2125"),
        ("non-clean", 50_000, "4000"),
        ("clean", 1_000, "473"),
        ("clean", 5_000, "928"),
        ("clean", 10_000, "1058"),
        ("clean", 25_000, "2020.50"),
        ("clean", 50_000, "3833"),
    ],
)
def test_the_auction_fees_are_those_of_copart_to_the_cent(title: str, bid: int, fees: str) -> None:
    found = quote(lot(title=title), bid, profile(), tariffs(), RATES)
    assert found.auction_fees_usd == Decimal(fees)


@pytest.mark.parametrize(
    ("account", "title", "payment", "bid", "fee"),
    [
        ("non-licensed", "non-clean", "secured", 0, "25"),
        ("non-licensed", "non-clean", "secured", 49, "25"),
        ("non-licensed", "non-clean", "secured", 50, "45"),
        ("non-licensed", "non-clean", "secured", 9_999, "945"),
        ("non-licensed", "non-clean", "secured", 10_000, "1000"),
        ("non-licensed", "non-clean", "secured", 14_999, "1000"),
        ("non-licensed", "non-clean", "secured", 15_000, "1125"),
        ("non-licensed", "non-clean", "secured", 15_001, "1125.08"),  # 1,125.075
        ("non-licensed", "non-clean", "unsecured", 350, "167.50"),
        ("non-licensed", "non-clean", "unsecured", 20_000, "2500"),
        ("high-volume", "non-clean", "secured", 99, "1"),
        ("high-volume", "non-clean", "secured", 12_500, "890"),
        ("high-volume", "non-clean", "unsecured", 15_000, "1650"),
        ("non-licensed", "clean", "secured", 4_500, "750"),
        ("non-licensed", "clean", "unsecured", 14_999, "1200"),
        ("non-licensed", "clean", "unsecured", 15_000, "1837.50"),
    ],
)
def test_the_buyer_fee_is_that_of_its_bracket(account: str, title: str, payment: str, bid: int, fee: str) -> None:
    buyer = replace(profile(), account=account, payment=payment)
    line = quote(lot(title=title), bid, buyer, tariffs(), RATES).line("buyer_fee")
    assert line is not None
    assert (line.amount, line.kind) == (Decimal(fee), "certain")


@pytest.mark.parametrize(
    ("title", "kind", "bid", "fee"),
    [
        ("non-clean", "pre", 99, 0),
        ("non-clean", "pre", 100, 40),
        ("non-clean", "live", 100, 50),
        ("non-clean", "pre", 7_999, 125),
        ("non-clean", "live", 8_000, 160),
        ("clean", "pre", 100, 39),
        ("clean", "live", 8_000, 149),
        ("clean", "pre", 500, 49),
    ],
)
def test_the_fee_of_a_virtual_bid(title: str, kind: str, bid: int, fee: int) -> None:
    line = quote(lot(title=title), bid, replace(profile(), bid_kind=kind), tariffs(), RATES).line("virtual_bid_fee")
    assert line is not None
    assert line.amount == fee


@pytest.mark.parametrize(
    ("more", "percent", "kind"),
    [
        ({"vin": US_VIN}, 0, "certain"),
        ({"vin": "4T1BF1FK5KU123456"}, 0, "certain"),
        ({"vin": "5YJ3E1EA5KF123456"}, 0, "certain"),
        ({"vin": TESLA}, 0, "certain"),
        ({"vin": "7AAEW1E50KFA12345"}, 10, "certain"),  # New Zealand
        ({"vin": "2HGFC2F50KH123456"}, 10, "certain"),
        ({"vin": MEXICAN}, 10, "certain"),
        ({"vin": GERMAN}, 10, "certain"),
        ({"vin": MASKED}, 10, "assumed"),
        ({"vin": US_VIN[:16]}, 10, "assumed"),
        ({"vin": None}, 10, "assumed"),
        ({"vin": ""}, 10, "assumed"),
        ({"fuel": "electric"}, 10, "assumed"),
        ({"fuel": None}, 10, "assumed"),
        ({"fuel": "plug-in hybrid"}, 0, "certain"),
        ({"body": "pickup"}, 0, "assumed"),
        ({"body": "pickup", "vin": MEXICAN}, 22, "assumed"),
    ],
)
def test_duty_goes_by_the_country_of_assembly_the_fuel_and_the_body(
    more: dict[str, str | None], percent: int, kind: str
) -> None:
    found = quote(lot(**more), 5_000, profile(), tariffs(), RATES)
    line = found.line("duty")
    assert line is not None
    assert (line.rate_percent, line.kind, found.is_complete) == (percent, kind, True)


@pytest.mark.parametrize(("fuel", "percent"), [("gasoline", 0), ("electric", 6), (None, 6)])
def test_a_motorcycle_is_free_of_duty_only_if_its_fuel_is_known_not_to_be_the_doubtful_one(
    fuel: str | None, percent: int
) -> None:
    line = quote(lot(vehicle_type="C", fuel=fuel), 5_000, profile(), tariffs(), RATES).line("duty")
    assert line is not None
    assert line.rate_percent == percent


@pytest.mark.parametrize(
    ("day", "percent"),
    [(date(2026, 6, 30), 10), (date(2026, 7, 1), 0), (date(2029, 12, 31), 0), (date(2030, 1, 1), 10)],
)
def test_cars_from_the_usa_are_free_of_duty_only_while_the_regulation_is_in_force(day: date, percent: int) -> None:
    found = quote(lot(), 5_000, profile(), tariffs(day), RATES)
    duty, certificate = found.line("duty"), found.line("origin_certificate")
    assert duty is not None
    assert certificate is not None
    assert duty.rate_percent == percent
    assert (certificate.amount == 0) is (percent == 10), "a proof of origin costs only where it saves something"


def test_duty_and_vat_are_computed_from_what_was_paid_until_the_border() -> None:
    found = quote(lot(vin=GERMAN), 5_000, profile(), tariffs(), RATES)
    usd = sum(
        line.amount
        for line in found.lines[: [each.name for each in found.lines].index("duty")]
        if line.amount is not None
    )
    customs = round(usd / RATES.usd, 2)
    amounts = {line.name: line.amount for line in found.lines}
    assert amounts["duty"] == round(customs / 10, 2)
    port = round(Decimal(950) / RATES.usd, 2)
    assert amounts["vat"] == round((customs + amounts["duty"] + port + 700 + 900) / 5, 2)  # type: ignore[operator]


def test_the_rate_of_customs_may_be_another_one() -> None:
    dearer = replace(profile(), customs_rate=Decimal("1.00"))
    one, other = (quote(lot(vin=GERMAN), 5_000, each, tariffs(), RATES) for each in (profile(), dearer))
    assert other.line("bid") == one.line("bid")
    assert other.line("duty").amount > one.line("duty").amount  # type: ignore[union-attr, operator]


@pytest.mark.parametrize(
    ("more", "account", "missing"),
    [
        ({"title": "clean"}, "high-volume", ["buyer_fee: no line of the tariffs for high-volume, clean, secured"]),
        ({"state": "KS"}, "non-licensed", ["road: no line of the tariffs for KS to Houston"]),
        ({"state": None}, "non-licensed", ["road: ", "ocean: "]),
        ({"title": None}, "non-licensed", ["buyer_fee: ", "virtual_bid_fee: ", "gate_fee: ", "environmental_fee: "]),
        ({"year": None}, "non-licensed", ["product_fee: the year is not known"]),
        ({"damage": "frame damage"}, "non-licensed", ["repair: no line of the tariffs names this damage"]),
        ({"vehicle_type": "U"}, "non-licensed", ["buyer_fee", "virtual_bid_fee", "gate", "environmental_fee", "duty"]),
        ({"currency": "CAD"}, "non-licensed", ["bid: the lot is sold in CAD", "buyer", "virtual", "gate", "environ"]),
    ],
)
def test_what_is_unknown_is_named_and_never_summed(
    more: dict[str, str | None], account: str, missing: list[str]
) -> None:
    buyer = replace(profile(), account=account)
    found = quote(lot(**more), 5_000, buyer, tariffs(), RATES)
    assert [each.startswith(start) for each, start in zip(found.missing, missing, strict=True)] == [True] * len(missing)
    assert (found.is_complete, found.total_eur) == (False, None)
    assert all(line.amount is None and line.eur is None for line in found.lines if line.kind == "unknown")
    assert most_bid(lot(**more), Decimal(20_000), buyer, tariffs(), RATES) is None


def test_a_lot_whose_repair_is_unknown_still_lands_for_a_known_amount() -> None:
    for name in ("private", "company"):
        known = quote(lot(damage=None), 5_000, profile(name), tariffs(), RATES)
        unknown = quote(lot(damage="frame damage"), 5_000, profile(name), tariffs(), RATES)
        assert (unknown.total_eur, unknown.landed_eur) == (None, known.landed_eur)
        assert known.landed_eur is not None


@pytest.mark.parametrize("name", ["private", "company"])
@pytest.mark.parametrize("case", ["low", "expected", "high"])
def test_the_total_is_the_sum_of_the_lines_to_the_cent(name: str, case: str) -> None:
    random = Random(f"{name} {case}")
    for _ in range(50):
        rates = Rates(usd=Decimal(random.randrange(900_000, 1_300_000)) / 1_000_000)
        found = quote(
            any_lot(random, known=True), random.randrange(60_000), any_profile(random, known=True), tariffs(), rates,
            costs=case, repair=case,  # type: ignore[arg-type]
        )  # fmt: skip
        assert found.total_eur is not None
        assert sum(line.eur for line in found.lines if line.eur is not None) == found.total_eur
        dollars = sum(line.amount for line in found.lines if line.currency == "USD" and line.amount is not None)
        euros = sum(line.amount for line in found.lines if line.currency == "EUR" and line.amount is not None)
        assert abs(dollars / rates.usd + euros - found.total_eur) <= Decimal("0.005")
        for line in found.lines:
            assert isinstance(line.amount, Decimal)
            assert line.amount == round(line.amount, 2)
            assert line.source
            assert line.basis


def test_each_amount_is_traceable_to_a_line_of_the_tariffs_or_to_what_was_given() -> None:
    found = quote(lot(damage="front end"), 5_000, profile("company"), tariffs(), RATES)
    without = {line.name for line in found.lines if line.tariff is None}
    assert without == {"bid", "exchange", "vat_deducted"}


def test_a_company_gets_the_vat_back_and_owes_it_on_the_sale() -> None:
    private, company = profile(), profile("company")
    one, other = (quote(lot(damage="front end"), 5_000, each, tariffs(), RATES) for each in (private, company))
    back = other.line("vat_deducted")
    assert back is not None
    paid = sum(line.amount or 0 for line in one.lines if line.name == "vat")
    inside = [line.amount for line in one.lines if line.name in ("approval", "conversion")]
    repair = [line.amount for line in one.lines if line.name == "repair"]
    taxes = [round(sum(each) / 6, 2) for each in (inside, repair)]  # type: ignore[arg-type]
    assert back.amount == -(paid + sum(taxes))
    assert private.limit(Decimal(15_000), Decimal(20)) == 15_000 - private.margin_eur
    assert company.limit(Decimal(15_000), Decimal(20)) == 12_500 - company.margin_eur


@pytest.mark.parametrize(
    ("more", "amount", "kind"),
    [
        ({"repair_eur": Decimal("4000.00"), "damage": "hail", "repair_usd": Decimal(9)}, "4000", "certain"),
        ({"repair_usd": Decimal("11000.00"), "damage": "hail"}, "4500", "assumed"),  # 11,000 / 1.1 * 0.45
        ({"repair_usd": Decimal("9999999.99"), "damage": "front end"}, "4305.68", "assumed"),
        ({"repair_usd": Decimal(0), "damage": "front end"}, "4305.68", "assumed"),
        ({"repair_usd": Decimal(100), "damage": "front end"}, "600", "assumed"),
    ],
)
def test_the_repair_is_the_best_known_estimate_and_never_nearly_nothing(
    more: dict[str, object], amount: str, kind: str
) -> None:
    line = quote(lot(**more), 5_000, profile(), tariffs(), RATES).line("repair")
    assert line is not None
    assert (line.amount, line.kind) == (Decimal(amount), kind)


def test_without_a_damage_the_repair_is_not_counted_and_that_is_said() -> None:
    found = quote(lot(), 5_000, profile(), tariffs(), RATES)
    assert (found.line("repair"), found.is_complete) == (None, True)
    assert found.notes == ("the repair is not counted: no damage and no repair cost is given",)


def test_a_port_that_the_profile_names_needs_a_road_there() -> None:
    to_newark = replace(profile(), port="Newark")
    assert quote(lot(state="NJ"), 5_000, to_newark, tariffs(), RATES).is_complete
    assert quote(lot(state="CA"), 5_000, to_newark, tariffs(), RATES).missing[0].startswith("road: ")


def test_a_broker_costs_what_his_line_says_and_is_no_part_of_the_customs_value() -> None:
    with_broker = replace(profile(), broker="american")
    one, other = (quote(lot(vin=GERMAN), 5_000, each, tariffs(), RATES) for each in (profile(), with_broker))
    assert other.line("broker_fee").amount == 375  # type: ignore[union-attr]
    assert other.line("duty") == one.line("duty")
    unknown = quote(lot(), 5_000, replace(profile(), broker="nobody"), tariffs(), RATES)
    assert unknown.missing == ("broker_fee: no line of the tariffs for nobody",)


@pytest.mark.parametrize("bid", [-1, 1_048_576])
def test_a_bid_that_is_none_is_refused(bid: int) -> None:
    with pytest.raises(ValueError, match="a bid is from 0 to"):
        quote(lot(), bid, profile(), tariffs(), RATES)


@pytest.mark.parametrize("rate", ["0.09", "11", "nan", "inf", "1.1234567", "-1"])
def test_a_rate_that_is_none_is_refused(rate: str) -> None:
    with pytest.raises(ValueError, match="a rate"):
        Rates(usd=Decimal(rate))


@pytest.mark.parametrize("bid", [1, 4_999, 5_000, 9_999, 10_000, 14_999, 15_000, 15_001])
def test_the_most_one_may_bid_may_cost_exactly_the_limit(bid: int) -> None:
    limit = quote(lot(), bid, profile(), tariffs(), RATES).total_eur
    assert limit is not None
    assert most_bid(lot(), limit, profile(), tariffs(), RATES) == bid
    assert most_bid(lot(), limit - Decimal("0.01"), profile(), tariffs(), RATES) == bid - 1
    costs = costs_of([lot()], profile(), tariffs(), RATES)
    assert costs.most_bid(np.array([int(limit * 100)])).tolist() == [bid]


def test_the_most_one_may_bid_is_nothing_where_each_bid_is_too_dear() -> None:
    assert most_bid(lot(), Decimal(1_000), profile(), tariffs(), RATES) == 0
