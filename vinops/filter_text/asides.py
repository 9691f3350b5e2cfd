"""Days, distances and other sums of a text: their numbers are no year, no mileage and no price of a car."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from vinops.filter_text.quantities import FIRST_YEAR, quantity_at
from vinops.filter_text.tables import phrases

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vinops.filter_text.tokens import Token

DAY: Final = re.compile(
    r"(?:(?:0?[1-9]|[12][0-9]|3[01])([./])(?:0?[1-9]|1[0-2])\1(?:20)?[0-9]{2}|20[0-9]{2}-[01][0-9]-[0-3][0-9])(?![0-9.])"
)
FARTHEST: Final = 1_000  # km
WITHIN: Final = ("within", "в рамките на")
FROM: Final = ("of", "from", "от", "ot")


def aside_at(text: str, tokens: Sequence[Token], place: int) -> int | None:
    """Return the place behind a day («5.12.2026», «2026-12-05»), what a car reaches («400 km range»), a distance
    («within 100 miles of NJ», «до 100 км от София»), or a sum that is no price («ремонт до 2000») that begins here,
    with the words in front of it; None if none does."""
    if (end := _other_sum(text, tokens, place)) is not None:
        return end
    bound = phrases("bounds").find(tokens, place)
    first = place if bound is None else bound[1]
    if first < len(tokens) and (found := DAY.match(text, tokens[first].start)):
        return next(at for at in range(first, len(tokens)) if tokens[at].end >= found.end()) + 1
    reach = phrases("reach").find(tokens, place)
    begin = place if reach is None or reach[0] == "behind" else reach[1]
    way = quantity_at(text, tokens, begin) if begin < len(tokens) else None
    if way is None or way.field != "km" or way.value > FARTHEST:
        return None
    if begin > place:
        return way.end
    reach = phrases("reach").find(tokens, way.end)
    if reach is not None and reach[0] != "front":
        return reach[1]
    behind = tokens[way.end : way.end + 2]
    is_from = len(behind) > 1 and behind[0].low in FROM and behind[1].kind == "word"
    return way.end if is_from or (bound is not None and bound[2] in WITHIN) else None


def _other_sum(text: str, tokens: Sequence[Token], place: int) -> int | None:
    """Return the place behind a sum that is neither the price nor the cost: «repair 5000», «месечна вноска 300 лв»."""
    word = phrases("other_sum").find(tokens, place)
    if word is None:
        return None
    begin = word[1] + (word[1] < len(tokens) and tokens[word[1]].text in (":", "=", "$"))
    found = quantity_at(text, tokens, begin) if begin < len(tokens) else None
    is_sum = found is not None and found.field in ("", "price", "foreign") and not FIRST_YEAR <= found.value <= 2100
    return found.end if found is not None and is_sum else None
