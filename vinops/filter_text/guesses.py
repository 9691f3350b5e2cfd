"""Guesses for a word that nothing names: a slip of a name, or a name typed with the keyboard in the other layout."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from vinops.filter_text.tables import index, is_in, known_words, look_up, words
from vinops.text.spelling import key_of, misspelled, readings, sound

if TYPE_CHECKING:
    from vinops.filter_text.tables import Entry

# The Bulgarian standard layout (BDS), key by key: «ждво» is golf, «fujdlrs» is октавия.
_LATIN: Final = "qwertyuiopasdfghjklzxcvbnm"
_BDS: Final = ",уеишщксдзьяаожгтнвюйъэфхп"
_TO_LATIN: Final = {ord(bds): latin for latin, bds in zip(_LATIN, _BDS, strict=True) if bds.isalpha()}
_TO_BDS: Final = {ord(latin): bds for latin, bds in zip(_LATIN, _BDS, strict=True)}
_CHAT_WORD: Final = re.compile(
    r"(?:https?://|(?:www\.|m\.)?mobile\.bg/)\S+|[\"„“«][^\"„“”«»]{2,60}[\"“”»]"  # as they are
    r"|(?<![^\W_])(?P<word>(?=[a-z46]{3})[46]?[a-z]+[46]?[a-z]+)(?![^\W_])",
    re.IGNORECASE,
)
_FROM_CHAT: Final = str.maketrans("abcdefghijklmnopqrstuvwxyz46", "абцдефгхийклмнопярстуввхъзчш")
LEAST: Final = 3  # letters of a name in the other layout
LEAST_SLIP: Final = 5  # letters of a word in which a slip is looked for


def from_chat(text: str) -> str:
    """Return a text of the same length whose Bulgarian words in the Latin letters of chats are in Cyrillic ones,
    sign by sign: «4eren» is «черен», «hilqdi» «хиляди», «skorosti» «скорости». Other words stay as they are."""
    return _CHAT_WORD.sub(lambda word: (word["word"] and _in_cyrillic(word["word"].casefold())) or word[0], text)


@lru_cache(maxsize=4096)
def _in_cyrillic(word: str) -> str:
    """Return a word of a chat in Cyrillic letters; "" if it is a word as it is, or none in Cyrillic letters."""
    begins = (each.removesuffix("*") for each in known_words() if each.endswith("*"))
    if word in known_words() or word.startswith(tuple(begins)):  # «po evtina ot»
        return ""
    turned = word.translate(_FROM_CHAT)
    if turned in known_words():
        return turned
    has_signs = any(sign in word for sign in "46qw") and look_up(word) is None
    return turned if has_signs and look_up(turned) is not None else ""


@lru_cache(maxsize=4096)
def slip(word: str, make: str = "") -> Entry | None:
    """Return what a word is a slip of, if it is close to exactly one name of all fields; None if not.

    Any word is close to the name of some model: «камион» to Canyon. So a model is one of that make, or a common one.
    """
    if len(word) < LEAST_SLIP or not word.isalpha() or is_in(word.casefold(), "not_asked_for", "words"):
        return None
    heard = sound(key_of(readings(word)[-1]))
    if not heard:
        return None
    guess = misspelled(heard, index().by_letter.get(heard[0], {}))
    if guess is None:
        return None
    field, _, found = guess[0].partition(":")
    values = tuple(found.split("|"))
    if field == "family" and not any(each.startswith(f"{make} ") for each in values if make):
        common = words()["preferred"]["mistyped"]
        if not any(each.endswith(f" {name}") for each in values for name in common):
            return None
    return field, values


@lru_cache(maxsize=4096)
def other_layout(word: str) -> Entry | None:
    """Return what a word names if the keyboard was in the other layout; None if nothing."""
    if sum(each.isalpha() for each in word) < LEAST:
        return None
    low = word.casefold()
    turned = low.translate(_TO_BDS if low.isascii() else _TO_LATIN)
    return look_up(turned) if turned != low else None


def turned_to_latin(word: str) -> str:
    """Return a word as it is if the keyboard should have been in Latin: «й5» is x5."""
    return word.casefold().translate(_TO_LATIN)
