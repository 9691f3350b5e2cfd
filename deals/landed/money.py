"""Money as it is counted here: decimals of whole cents, rounded half up. Never a float."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Final, Literal, TypeAlias

Case: TypeAlias = Literal["low", "expected", "high"]
"""Which figure of a range is taken."""
CASES: Final[tuple[Case, ...]] = ("low", "expected", "high")

CENT: Final = Decimal("0.01")
NOTHING: Final = Decimal("0.00")
HUNDRED: Final = Decimal(100)


def cents(amount: Decimal) -> Decimal:
    """Return an amount in whole cents, rounded half up."""
    return amount.quantize(CENT, ROUND_HALF_UP)


def share(amount: Decimal, percent: Decimal) -> Decimal:
    """Return a share of an amount in whole cents."""
    return cents(amount * percent / HUNDRED)


def included(amount: Decimal, percent: Decimal) -> Decimal:
    """Return the tax of so many percent that an amount includes, in whole cents."""
    return cents(amount * percent / (HUNDRED + percent))


def converted(amount: Decimal, rate: Decimal) -> Decimal:
    """Return an amount in euro, in whole cents; `rate` is how much of its currency one euro is."""
    return cents(amount / rate)


def places(number: Decimal) -> int:
    """Return how many decimals a number has."""
    exponent = number.normalize().as_tuple().exponent
    return max(-exponent, 0) if isinstance(exponent, int) else 0
