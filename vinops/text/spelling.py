"""Spelling: one key for all the ways in which people write a name, in two alphabets, and detection of misspellings.

Case, accents, blanks and punctuation make no difference, nor do Latin letters in Cyrillic words, or Cyrillic ones in
Latin words.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CACHED: Final = 4096  # texts; a market has some 3,000 pairs of make and model
SHORT: Final = 5  # a shorter name is not guessed: «Tatra» is close to «Tata»
LONG: Final = 10  # letters from which two may be wrong, instead of one

_TOKEN: Final = re.compile(r"\d[.,]\d(?!\d)[a-z]*|[a-z0-9]+")
_WORD: Final = re.compile(r"\w+")
_DIGITS: Final = re.compile(r"\d+")
_CYRILLIC: Final = re.compile(r"[а-яё]")
_LATIN: Final = re.compile(r"[a-z]")
_LOOKS_LATIN: Final = re.compile(r"[a-z0-9авекмнорстху]+")
_TO_CYRILLIC: Final = str.maketrans("abcehkmoptxy", "авсенкмортху")
_TO_LATIN: Final = str.maketrans("авекмнорстху", "abekmhopctxy")
_SOUNDS: Final = str.maketrans({
    "а": "a", "б": "b", "в": "v", "г": "g", "д": "d", "е": "e", "ё": "e", "ж": "zh", "з": "z", "и": "i", "й": "y",
    "к": "k", "л": "l", "м": "m", "н": "n", "о": "o", "п": "p", "р": "r", "с": "s", "т": "t", "у": "u", "ф": "f",
    "х": "h", "ц": "ts", "ч": "ch", "ш": "sh", "щ": "sht", "ъ": "a", "ы": "y", "ь": "y", "э": "e", "ю": "yu",
    "я": "ya",
})  # fmt: skip
_ALIKE: Final = (
    ("dzh", "j"), ("zh", "j"), ("sch", "sh"), ("ph", "f"), ("ck", "k"), ("ch", "ч"), ("ou", "u"), ("oo", "u"),
    ("ee", "i"), ("ie", "i"), ("y", "i"), ("qu", "k"), ("q", "k"), ("c", "k"), ("x", "ks"), ("w", "v"), ("ч", "ch"),
)  # fmt: skip
"""Replacements of spellings that sound the same, in this order: «Октавия» is Octavia, «Пасат» is Passat."""
_TWICE: Final = re.compile(r"([a-z])\1+")


def read(text: str) -> tuple[tuple[str, ...], ...]:
    """Return the words of a text in lower-case Latin letters and digits; two readings if a Cyrillic word may be
    a Latin one.

    «СХ-3» is CX-3 by its looks, «РАВ4» is RAV4 by its sound: looks come first.
    """
    text = text.casefold()
    if text.isascii():
        return (tuple(token.replace(",", ".") for token in _TOKEN.findall(text)),)
    looks = _WORD.sub(lambda word: _latin(word[0], by_looks=True), text)
    sounds = _WORD.sub(lambda word: _latin(word[0], by_looks=False), text)
    return tuple(
        tuple(token.replace(",", ".") for token in _TOKEN.findall(_plain(reading)))
        for reading in ((looks,) if looks == sounds else (looks, sounds))
    )


def is_cyrillic(text: str) -> bool:
    """Tell whether there are Cyrillic letters in a text."""
    return not text.isascii() and _CYRILLIC.search(text.casefold()) is not None


readings = lru_cache(maxsize=CACHED)(read)


def _latin(word: str, *, by_looks: bool) -> str:
    if not _CYRILLIC.search(word):
        return word
    if _LOOKS_LATIN.fullmatch(word) and (by_looks or _LATIN.search(word)):
        return word.translate(_TO_LATIN)
    return word.translate(_TO_CYRILLIC).translate(_SOUNDS)


def _plain(text: str) -> str:
    """Return a text without accents."""
    return "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))


def key_of(words: Iterable[str]) -> str:
    """Return words joined to one key, with a mark between numbers: «3 2.3» is not 323."""
    key = ""
    for word in words:
        key += f"_{word}" if key and key[-1].isdigit() and word[0].isdigit() else word
    return key


def name_key(name: str) -> str:
    """Return the key of a name of the vocabulary, by its sound."""
    return key_of(readings(name)[-1])


def sound(key: str) -> str:
    """Return the sound of a key, which is the same for a Latin name and for its Cyrillic spelling."""
    for spelling, sound in _ALIKE:
        key = key.replace(spelling, sound)
    return _TWICE.sub(r"\1", key)


def _letters(key: str) -> int:
    return sum(letter.isalpha() for letter in key)


def misspelled(key: str, values: Mapping[str, str]) -> tuple[str, float] | None:
    """Return the value, of those by their keys, that a key is a misspelling of, and the share of correct letters.

    One or two letters may be wrong, missing, extra or swapped, but no digit and not the first letter. Short keys are
    not guessed, nor keys that are equally close to two values.
    """
    letters = _letters(key)
    if letters < SHORT:
        return None
    from rapidfuzz.distance import OSA  # 10 ms to import, needed for guesses only

    allowed = 2 if letters >= LONG else 1
    digits = _DIGITS.findall(key)
    nearest: dict[str, int] = {}
    for name, value in values.items():
        is_near = name[:1] == key[0] and abs(len(name) - len(key)) <= allowed
        if is_near and _letters(name) >= SHORT and _DIGITS.findall(name) == digits:
            distance = OSA.distance(key, name, score_cutoff=allowed)
            if distance <= allowed:
                nearest[value] = min(distance, nearest.get(value, distance))
    least = min(nearest.values(), default=0)
    found = [value for value, distance in nearest.items() if distance == least]
    return (found[0], round(1 - least / len(key), 3)) if len(found) == 1 else None
