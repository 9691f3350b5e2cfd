"""The plain form of a text, in which disguised letters and digits are replaced; each position maps to the original.

Full-width, circled and other digits are ASCII digits, compatibility letters are letters (NFKC), and invisible ones are
removed: zero-width spaces, soft hyphens, direction marks, the marks that make an emoji of a digit.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_ORDINARY: Final = re.compile(r"[\t\n\r -~\u00a0\u00a7\u00ab\u00b0\u00bb\u0400-\u045f\u2010-\u2027\u20ac\u2116]*")
"""Texts of these signs only are plain already: most ads are."""

_ENCLOSING: Final = "\u20e3"  # makes a keycap of a digit
_LETTER_O: Final = re.compile(r"(?<![^\W\d_])[OoОо]+(?![^\W\d_])")
_LOOKS: Final = str.maketrans("OoОоЗзlIІі", "0000331111")
_OTHER_LETTERS: Final = re.compile(
    r"(?<=[0-9])[ЗзlIІі]{1,3}(?=[0-9])|(?<=[0-9])[Зз]{1,2}(?![^\W_])|(?<=[0-9][\W_])[ЗзlIІ](?=[0-9]{2})"
)


@dataclass(frozen=True, kw_only=True)
class Plain:
    """A plain form of `source`; `places` has the place in `source` of each sign of `text`, None if they are equal."""

    source: str
    text: str
    places: Sequence[int] | None

    def replaced(self, found: Iterable[tuple[int, int, str]]) -> str:
        """Return the source with the parts between these places of `text` replaced; they are in order."""
        parts = []
        done = 0
        for start, end, placeholder in found:
            first, last = (start, end) if self.places is None else (self.places[start], self.places[end - 1] + 1)
            parts += [self.source[done:first], placeholder]
            done = max(last, done)
        return "".join([*parts, self.source[done:]])


def plain(text: str) -> Plain:
    """Return the plain form of a text. The letter O is a zero where it stands alone or beside digits, З is 3 and l is 1
    between digits, and before digits where others are before it."""
    places: list[int] | None = None
    found = text
    ordinary = _ORDINARY.match(text)
    if ordinary is None or ordinary.end() < len(text):
        places = []
        signs: list[str] = []
        for place, sign in enumerate(text):
            for each in sign if sign < "\x7f" else _plain_sign(sign):
                signs.append(each)
                places.append(place)
        found = "".join(signs)
    for letters in (_LETTER_O, _OTHER_LETTERS):
        found = letters.sub(lambda match: match[0].translate(_LOOKS), found)
    return Plain(source=text, text=found, places=places)


@lru_cache(maxsize=4096)
def _plain_sign(sign: str) -> str:
    """Return what a sign stands for: nothing for an invisible one."""
    category = unicodedata.category(sign)
    if category in ("Cf", "Cs") or sign == _ENCLOSING or unicodedata.combining(sign) or "\ufe00" <= sign <= "\ufe0f":
        return ""
    digit = unicodedata.digit(sign, None)
    if digit is not None:
        return str(digit)
    return "".join(each for each in unicodedata.normalize("NFKC", sign) if unicodedata.category(each) != "Cf")
