"""The words of an ad by which it is found: in one spelling for both alphabets, without the words that the ad denies.

«без удари и течове» says neither «удари» nor «течове». A denial extends as in vinops/text/denials.py, but along a list
only for the words of risk: in «без забележки, климатик» the second item is there.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from vinops.text import risk
from vinops.text.denials import AND, FILLERS, NEGATORS, is_denied, is_denied_behind, is_of_others
from vinops.text.phrases import LINE_END, TOKEN, Phrase
from vinops.text.spelling import key_of, readings, sound

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vinops.text.phrases import Word

LONGEST: Final = 40  # characters of a word
MOST: Final = 2_000  # words of an ad that are read
REACH: Final = 12  # words in front of a word among which its denial is looked for
DENIALS: Final = NEGATORS
REMEMBERED: Final = 100_000  # words

_ANY: Final = Phrase(topic="", kind="", terms=(), needed=frozenset(), anchor=0, is_thing=False, denies=False)


def of_query(text: str) -> list[str]:
    """Return the words of what somebody looks for, in lower case and in their order, each once."""
    found = (token.lower()[:LONGEST] for token in TOKEN.findall(text.replace("_", " ")) if token[0].isalnum())
    return list(dict.fromkeys(found))


@lru_cache(maxsize=REMEMBERED)
def keys(word: str) -> tuple[str, ...]:
    """Return the spellings under which a word is kept: lower-case Latin letters and digits, by its sound. There are two
    for a Cyrillic word that may be a Latin one («СХ»), and none for a word in another script."""
    return tuple(dict.fromkeys(sound(key) for reading in readings(word) if (key := key_of(reading))))


def is_common(word: str) -> bool:
    """Tell whether a word is so common that it is not kept."""
    return word in FILLERS or word in AND


def is_beginning(key: str) -> bool:
    """Tell whether a key finds all words that begin with it. Short ones and numbers find only themselves."""
    return len(key) >= 3 and not key.isdecimal()


def of_ad(title: str, description: str | None, equipment: Sequence[str]) -> set[str]:
    """Return the keys of the words that an ad says of its car, in its title, its description or its equipment."""
    reading = risk.read(title, description)
    words = reading.words[:MOST]
    tokens = TOKEN.findall(reading.text.lower())
    denied = {
        place
        for found in reading.found
        if found.is_denied or found.of_others
        for place in range(found.start, found.end)
    }
    negators = [place for place, word in enumerate(words) if word.text in NEGATORS]
    denied |= _denied(words, negators)
    found = {
        key
        for place, (word, token) in enumerate(zip(words, tokens, strict=False))
        if not word.border and place not in denied and _is_kept(word.text)
        for key in keys(token[:LONGEST])
    }
    return found | _of(equipment)


def _of(texts: Iterable[str]) -> set[str]:
    return {key for text in texts for word in of_query(text) if _is_kept(word) for key in keys(word)}


def _is_kept(word: str) -> bool:
    return word not in NEGATORS and not is_common(word) and word != LINE_END


def _denied(words: Sequence[Word], negators: Sequence[int]) -> set[int]:
    """Return the places of words that are denied, or are said of other cars."""
    denied: set[int] = set()  # where they end
    near = {place for negator in negators for place in range(negator - 2, negator + REACH + 1)}
    for place in sorted(near):
        if not 0 <= place < len(words) or words[place].border or words[place].text in NEGATORS:
            continue
        is_next = place - 1 in denied and words[place - 1].text in AND and _ends(words, place + 1)
        if is_next or is_denied(words, place, place + 1, _ANY, {}) or is_denied_behind(words, place + 1, {}):
            denied.add(place + 1)
    return {end - 1 for end in denied} | _of_others(words)


def _ends(words: Sequence[Word], place: int) -> bool:
    return place >= len(words) or bool(words[place].border) or words[place].text in AND


def _of_others(words: Sequence[Word]) -> set[int]:
    """Return the places of words in sentences about cars that the writer wants to buy."""
    signs = [place for place, word in enumerate(words) if word.text.startswith(("изкупу", "купувам", "закупув"))]
    near = {place for sign in signs for place in range(sign - 4, sign + 9)}
    return {place for place in near if 0 <= place < len(words) and is_of_others(words, place, place + 1)}
