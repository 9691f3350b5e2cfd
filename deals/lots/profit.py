"""What is left of a car's price after its costs, and how likely that is nothing: in closed form, without simulation.

The value V and the repair R are lognormal: ln V has the standard deviation ln(p90/p10) / 2.563, ln R the one that the
range of the tariffs shows. The landed cost C is certain beside them: value makes 74 % of the variance of the profit,
repair 17 %, everything in C less than 1 % (docs/landed.md). Of what a sale brings, the share a is left (1/1.2 for a
company that is registered for VAT).

- Chance of a loss: C + R is taken as one lognormal K of the same mean and variance (Fenton and Wilkinson), so that
  P(a V < K) = Phi((mu_K - ln(a p50)) / sqrt(sigma_V^2 + sigma_K^2)).
- Range: p50 less, or more, the root of the squares of what value and repair may each be off (p10 and p90).
- Careful profit: the value p20 and the repair p75. The ranking uses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from deals.estimate.cars import Floats

Z75, Z90 = 0.6745, 1.2816
LEAST: Final = 1e-6


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """What lots leave at their bids, in EUR: careful (p20, repair p75), p10 and p90, and the chance of a loss."""

    careful: Floats
    low: Floats
    high: Floats
    loss_chance: Floats


def outcomes(
    *, value: Floats, left: Floats, landed: Floats, repair: Floats, dear_repair: Floats, careful_value: Floats
) -> Outcomes:
    """Return the outcomes of lots. `value` has the columns p10, p50 and p90 in EUR, `left` is the share of a price that
    is left after VAT, `landed` the cost without repair, `repair` its median and `dear_repair` its p75, all in EUR."""
    low, middle, high = value.T
    spread = np.log(np.maximum(dear_repair, LEAST) / np.maximum(repair, LEAST)) / Z75  # of ln R
    dear, cheap = repair * (np.exp(Z90 * spread) - 1), repair * (1 - np.exp(-Z90 * spread))
    usual = left * middle - landed - repair
    return Outcomes(
        careful=left * careful_value - landed - dear_repair,
        low=usual - np.hypot(left * (middle - low), dear),
        high=usual + np.hypot(left * (high - middle), cheap),
        loss_chance=_loss_chance(np.log(high / low) / (2 * Z90), left * middle, landed, repair, spread),
    )


def _loss_chance(spread_of_value: Floats, left: Floats, landed: Floats, repair: Floats, spread: Floats) -> Floats:
    growth = np.exp(spread**2)
    mean = np.maximum(landed + repair * np.sqrt(growth), LEAST)
    variance = repair**2 * growth * (growth - 1)
    square = np.log1p(variance / mean**2)
    middle = np.log(mean) - square / 2
    return _phi((middle - np.log(left)) / np.sqrt(np.maximum(spread_of_value**2 + square, LEAST)))


def _phi(z: Floats) -> Floats:
    """Return the standard normal distribution function."""
    from scipy.special import ndtr

    found: Floats = ndtr(z)
    return found
