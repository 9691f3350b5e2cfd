"""Whole cents in arrays: what `deals.landed.money` is for one amount, with its rounding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from deals.landed.lot import RATE_PLACES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from numpy.typing import NDArray

    Ints: TypeAlias = NDArray[np.int64]

UNKNOWN: Final = -1
"""What stands in an array of amounts for one that is not known."""
MILLIONTHS: Final = 1_000_000
RATE_UNITS: Final = 10**RATE_PLACES


def numbered(keys: Sequence[Any]) -> tuple[list[Any], Ints]:
    """Return the distinct keys, and the place of each key among them."""
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return list(numbers), np.array([numbers[key] for key in keys], dtype=np.int64)


def to_cents(amount: Decimal) -> int:
    """Return an amount in cents."""
    return int(amount * 100)


def millionths(percent: Decimal) -> int:
    """Return a percentage in millionths of the whole: it has at most four decimals."""
    return int(percent * (MILLIONTHS // 100))


def share_of(amounts: Ints, part: Ints | int) -> Ints:
    """Return the shares of amounts in whole cents, rounded half up; `part` in millionths."""
    return (2 * amounts * part + MILLIONTHS) // (2 * MILLIONTHS)


def in_euro(amounts: Ints, rate: int) -> Ints:
    """Return cents of dollars in cents of euro, rounded half up."""
    return (2 * amounts * RATE_UNITS + rate) // (2 * rate)
