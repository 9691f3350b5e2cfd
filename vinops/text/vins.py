"""VINs: the numbers of vehicles (ISO 3779), as the texts of ads name them.

Seventeen letters and digits without I, O and Q, of which those that makers give now end in four digits. That alone is
no proof: part numbers and codes of dealers look like it. A VIN of North America proves itself by its check digit
(49 CFR 565.15); any other one counts only behind a word that says what it is. One that is masked, with asterisks or a
row of the same sign, is never taken: whatever it would be completed to is another vehicle.
"""

from __future__ import annotations

import re
from typing import Final

LENGTH: Final = 17
MOST: Final = 5
"""The most VINs of one text: an ad that names more is a list of cars."""
BEFORE: Final = 48  # characters before a number that are searched for a word

_SIGNS: Final = "A-HJ-NPR-Z0-9"
_WHOLE: Final = re.compile(rf"(?=.*[A-Z])[{_SIGNS}]{{{LENGTH}}}")
# Cyrillic letters that look like Latin ones, as typed on a Bulgarian keyboard.
_LATIN: Final = str.maketrans("АВЕКМНРСТХУавекмнрстху", "ABEKMHPCTXYABEKMHPCTXY")
_FOUND: Final = re.compile(rf"(?<![^\W_])(?<!\*)(VIN)?([{_SIGNS}]{{13}}[0-9]{{4}})(?![^\W_]|\*)", re.IGNORECASE)
_LABEL: Final = re.compile(
    r"(?:\bvin|\bвин|\bшаси|\bрама|\bchassis)(?![^\W\d_])[\W_]{0,4}"
    r"(?:(?:номера?|number|no|nr|№|код|code|на|е|is|колата|автомобила|шаси|рама|vin)(?![^\W\d_])[\W_]{0,4}){0,5}\Z",
    re.IGNORECASE,
)
_MASKED: Final = re.compile(r"(.)\1{5}")
_NORTH_AMERICA: Final = frozenset("12345")
_CHECK: Final = 8  # the place of the check digit, from 0
_VALUES: Final = dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ", (*range(1, 9), *range(1, 6), 7, 9, *range(2, 10)), strict=True))
_WEIGHTS: Final = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)


def is_vin(text: str) -> bool:
    """Tell whether a text in upper case has the form of a VIN, and is neither masked nor a number without letters."""
    return bool(_WHOLE.fullmatch(text)) and not _MASKED.search(text)


def has_check_digit(vin: str) -> bool:
    """Tell whether the ninth sign of a VIN is the check digit of the others, as North America requires it."""
    rest = sum(weight * _VALUES.get(sign, int(sign, 36)) for weight, sign in zip(_WEIGHTS, vin, strict=True)) % 11
    return vin[_CHECK] == ("X" if rest == 10 else str(rest))


def spelled(text: str) -> str:
    """Return what a person typed as a VIN in its spelling: upper case, Latin letters, without blanks and hyphens."""
    return re.sub(r"[\s-]", "", text).translate(_LATIN).upper()


def named(text: str) -> tuple[str, ...]:
    """Return the VINs that a text names, each once, in their order; at most MOST. Linear in the length of the text."""
    found: dict[str, None] = {}
    for match in _FOUND.finditer(text.translate(_LATIN)):
        vin = match[2].upper()
        if not is_vin(vin):
            continue
        is_labelled = bool(match[1]) or bool(_LABEL.search(text[max(0, match.start() - BEFORE) : match.start()]))
        if is_labelled or (vin[0] in _NORTH_AMERICA and has_check_digit(vin)):
            found[vin] = None
    return tuple(found)[:MOST]
