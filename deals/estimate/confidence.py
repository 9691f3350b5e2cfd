"""How sure an estimate is, by its width: the distance of p10 and p90. The same for a model and for comparables.

The number of comparables says less: of as many ads, the narrowest estimates are off by 12.6 % (median), those
with the most comparables by 13.3 % (docs/decisions/0012-price-estimates.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from deals.estimate.cars import Floats

USUAL: Final = 0.64  # ln p90 - ln p10, below which 61 % of real ads are: there the confidence is one half
SURE: Final = 0.6  # the confidence of a quarter of the ads
FAIRLY: Final = 0.5


def of(low: Floats, high: Floats) -> Floats:
    """Return the confidence, 0 to 1, of estimates with these p10 and p90 (ln EUR); 0 without an estimate."""
    import numpy as np  # here: the command line needs the words only

    width = np.nan_to_num(high - low, nan=np.inf)
    return 1 / (1 + (width / USUAL) ** 2)


def words(confidence: float) -> str:
    """Return a confidence as words: sure, fairly sure, unsure."""
    if confidence >= SURE:
        return "sure"
    return "fairly sure" if confidence >= FAIRLY else "unsure"
