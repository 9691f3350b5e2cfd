"""The most one may bid, and costs of many lots at once, for any lots, profiles and rates."""

from __future__ import annotations

from decimal import Decimal
from random import Random

import numpy as np
import pytest

from deals.landed.bulk import costs_of
from deals.landed.cents import UNKNOWN
from deals.landed.lot import Rates
from deals.landed.money import CASES
from deals.landed.quote import HIGHEST_BID, most_bid, quote
from tests.support.landed_lots import any_lot, any_profile, tariffs

EDGES = (0, 1, 49, 50, 99, 100, 4_999, 9_999, 10_000, 14_999, 15_000, 15_001, HIGHEST_BID)
CASES_OF_MOST = 10_000


def any_rates(random: Random) -> Rates:
    return Rates(usd=Decimal(random.randrange(800_000, 1_400_000)) / 1_000_000)


def any_bid(random: Random) -> int:
    return random.choice((random.choice(EDGES), random.randrange(60_000)))


def as_cents(amount: Decimal | None) -> int:
    return UNKNOWN if amount is None else int(amount * 100)


@pytest.mark.parametrize("seed", range(12))
def test_many_lots_at_once_cost_what_each_costs_alone(seed: int) -> None:
    random = Random(seed)
    buyer, rates, costs = any_profile(random), any_rates(random), random.choice(CASES)
    lots = [any_lot(random) for _ in range(150)] + [any_lot(random, known=True) for _ in range(50)]
    bids = np.array([any_bid(random) for _ in lots])
    limits = np.array([random.randrange(4_000_000) for _ in lots])
    found = costs_of(lots, buyer, tariffs(), rates, costs=costs)
    landed = found.landed(bids)
    for repair in CASES:
        totals, most = found.total(bids, repair=repair), found.most_bid(limits, repair=repair)
        for number, each in enumerate(lots):
            alone = quote(each, int(bids[number]), buyer, tariffs(), rates, costs=costs, repair=repair)
            assert totals[number] == as_cents(alone.total_eur), alone
            assert landed[number] == as_cents(alone.landed_eur), alone
            duty = alone.line("duty")
            assert duty is not None
            assert duty.rate_percent == found.duty_percent[number]
            if number % 10 == 0:
                limit = Decimal(int(limits[number])) / 100
                wanted = most_bid(each, limit, buyer, tariffs(), rates, costs=costs, repair=repair)
                assert most[number] == (UNKNOWN if wanted is None else wanted)


def test_the_comparison_sees_that_one_cent_is_missing() -> None:
    random = Random(1)
    lots = [any_lot(random, known=True) for _ in range(20)]
    buyer, rates = any_profile(random, known=True), any_rates(random)
    found = costs_of(lots, buyer, tariffs(), rates)
    bids = np.full(len(lots), 5_000)
    alone = [as_cents(quote(each, 5_000, buyer, tariffs(), rates).total_eur) for each in lots]
    assert (found.total(bids) == alone).all()
    assert not (found.total(bids) - 1 == alone).any()


def test_one_dollar_more_than_the_most_one_may_bid_costs_too_much() -> None:
    """10,000 lots: cost(most) <= limit < cost(most + 1)."""
    random = Random(7)
    left = CASES_OF_MOST
    while left:
        lots = [any_lot(random, known=True) for _ in range(500)]
        found = costs_of(lots, any_profile(random, known=True), tariffs(), any_rates(random))
        repair = random.choice(CASES)
        limits = np.array([random.randrange(1_000_000, 6_000_000) for _ in lots])
        can_be_bought = found.total(np.zeros(len(lots), dtype=np.int64), repair=repair) <= limits
        most = found.most_bid(limits, repair=repair)
        assert (most >= 0).all()
        assert (most[~can_be_bought] == 0).all()
        within, above = found.total(most, repair=repair), found.total(most + 1, repair=repair)
        held = can_be_bought & (within <= limits) & (limits < above)
        assert (held == can_be_bought).all()
        left -= min(left, int(can_be_bought.sum()))


@pytest.mark.slow
def test_one_dollar_more_costs_too_much_line_by_line() -> None:
    """The same for 10,000 lots, each quoted alone."""
    random = Random(8)
    left = CASES_OF_MOST
    while left:
        each, buyer, rates = any_lot(random, known=True), any_profile(random, known=True), any_rates(random)
        limit = Decimal(random.randrange(1_000_000, 6_000_000)) / 100
        most = most_bid(each, limit, buyer, tariffs(), rates)
        assert most is not None
        within, above = (quote(each, bid, buyer, tariffs(), rates).total_eur for bid in (most, most + 1))
        assert within is not None
        assert above is not None
        if most or within <= limit:
            assert within <= limit < above
            left -= 1


@pytest.mark.parametrize("seed", range(6))
def test_a_higher_bid_never_costs_less(seed: int) -> None:
    random = Random(seed)
    lots = [any_lot(random, known=True) for _ in range(40)]
    found = costs_of(lots, any_profile(random, known=True), tariffs(), any_rates(random), costs=random.choice(CASES))
    before = np.zeros(len(lots), dtype=np.int64)
    for bid in (*range(0, 20_000, 37), *EDGES[:-1], 100_000, HIGHEST_BID):
        above = found.landed(np.full(len(lots), bid + 1 if bid < HIGHEST_BID else bid))
        here = found.landed(np.full(len(lots), bid))
        assert (above >= here).all()
        if bid >= 37 and bid < 20_000 and bid % 37 == 0:
            assert (here >= before).all()
            before = here


def test_a_dear_case_never_costs_less_than_a_cheap_one() -> None:
    random = Random(3)
    lots = [any_lot(random, known=True) for _ in range(200)]
    buyer, rates = any_profile(random, known=True), any_rates(random)
    bids = np.array([any_bid(random) for _ in lots])
    low, expected, high = (costs_of(lots, buyer, tariffs(), rates, costs=case).landed(bids) for case in CASES)
    assert (low <= expected).all()
    assert (expected <= high).all()
