"""What the repairs of many lots add to their costs, in whole cents: the line `repair` less the VAT deducted of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deals.landed.cents import MILLIONTHS, RATE_UNITS, UNKNOWN, in_euro, millionths, numbered, share_of, to_cents
from deals.landed.money import CASES, NOTHING, Case
from deals.landed.parts import factor, repair_terms

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from deals.landed.book import Tariffs
    from deals.landed.cents import Ints
    from deals.landed.lot import Lot, Rates
    from deals.landed.profiles import Profile


def repairs(
    lots: Sequence[Lot], profile: Profile, tariffs: Tariffs, rates: Rates, deducted: Decimal | None
) -> dict[Case, Ints]:
    """Return what the repairs add, by the figure of their range: 0 where a repair is not asked for, UNKNOWN where it is
    not known. `deducted` is the percentage of VAT that a company deducts of them, None for others."""
    dollars = _dollars(lots, tariffs)
    terms = repair_terms(tariffs)
    by_hand = np.array(
        [UNKNOWN if lot.repair_eur is None and lot.has_repair else to_cents(lot.repair_eur or NOTHING) for lot in lots],
        dtype=np.int64,
    )
    found = {}
    for case in CASES:
        amounts = by_hand
        if terms is not None:  # else only what was estimated by hand is known
            euros = share_of(in_euro(dollars[case], int(rates.usd * RATE_UNITS)), millionths(factor(profile)))
            here = np.where(dollars[case] >= 0, np.maximum(euros, to_cents(terms.floor.expected)), UNKNOWN)
            amounts = np.where(by_hand >= 0, by_hand, here)
        found[case] = amounts if deducted is None else _without_vat(amounts, millionths(deducted))
    return found


def _dollars(lots: Sequence[Lot], tariffs: Tariffs) -> dict[Case, Ints]:
    """Return what the repairs would cost in America, by Copart's estimates, else by the damage."""
    terms = repair_terms(tariffs)
    if terms is None:
        return {}
    given = np.array([to_cents(lot.repair_usd) if lot.repair_usd else 0 for lot in lots], dtype=np.int64)
    is_given = (given > 0) & (given < to_cents(terms.ceiling.expected))
    damages, places = numbered([lot.damage for lot in lots])
    lines = [tariffs.find("repair", damage=damage) for damage in damages]
    found = {}
    for case in CASES:
        spread = share_of(np.where(is_given, given, 0), millionths(terms.spread.figure(case)))
        by_damage = np.array([to_cents(line.figure(case)) if line else UNKNOWN for line in lines], dtype=np.int64)
        found[case] = np.where(is_given, spread, by_damage[places])
    return found


def _without_vat(amounts: Ints, part: int) -> Ints:
    back = (2 * amounts * part + MILLIONTHS + part) // (2 * (MILLIONTHS + part))
    return np.where(amounts >= 0, amounts - back, UNKNOWN)
