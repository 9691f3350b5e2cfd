"""Phrases in the texts of ads: found in any alphabet and with any ending, and marked if they are denied.

A chunk of text between blanks is analysed once and cached, so that an ad costs one lookup a word. A phrase is words
separated by blanks: `катастрофирал~` stands for all its endings, `удар*` for all words that begin so, `спешно|бързо`
for either, `…` for up to three words, `!total` for a word in Latin letters that is not transliterated Bulgarian.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, islice
from typing import TYPE_CHECKING, Final, Literal

from vinops.text.denials import NEGATORS, QUOTES, is_denied, is_denied_behind, is_of_others

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

TOKEN: Final = re.compile(r"\w+|[^\w\s]+")
LINE_END: Final = "¶"
SPACED: Final = re.compile(r"(?<!\S)\w(?: \w)+(?!\S)")
SPACED_SIGNS: Final = (" а с т ", " а р е н", " и с т р ", " о т а л")
"""Parts of relevant spaced-out words: a search for the words themselves in each ad takes longer than all the rest."""
GAP: Final = -1
LONGEST_GAP: Final = 3
REMEMBERED: Final = 200_000  # chunks, about 60 MB
ENDINGS: Final = (
    "", "а", "о", "и", "е", "я", "ия", "ият", "ят", "ът", "та", "ата", "ото", "то", "ите", "те", "ове", "овете",
)  # fmt: skip

_ALIKE: Final = {ord(latin): cyrillic for latin, cyrillic in zip("aeopcyxkmtbh04", "аеорсухкмтвноч", strict=True)} | {
    ord("ь"): "ъ",
    ord("ё"): "е",
    ord("ѝ"): "и",
}
"""Characters that look like Cyrillic letters, in words that mix both; dealers write «Автокьща»."""
_SOUNDS: Final = {
    "sht": "щ", "zh": "ж", "ch": "ч", "sh": "ш", "ts": "ц", "yu": "ю", "iu": "ю", "ya": "я", "ja": "я", "ia": "ия",
    "a": "а", "b": "б", "c": "ц", "d": "д", "e": "е", "f": "ф", "g": "г", "h": "х", "i": "и", "j": "ж", "k": "к",
    "l": "л", "m": "м", "n": "н", "o": "о", "p": "п", "q": "я", "r": "р", "s": "с", "t": "т", "u": "у", "v": "в",
    "w": "в", "x": "х", "y": "ъ", "z": "з", "4": "ч", "6": "ш",
}  # fmt: skip
_SOUND: Final = re.compile("|".join(_SOUNDS))
_SHORT: Final = {"ne": "не", "he": "не", "bez": "без", "na": "на", "ha": "на", "za": "за", "ot": "от", "e": "е",
                 "i": "и", "v": "в", "po": "по", "nov": "нов", "vnos": "внос", "udar": "удар"}  # fmt: skip
"""Short Bulgarian words in Latin letters; other words of less than five letters are left unchanged."""

OUT_OF_REACH: Final = frozenset({"не", "без", "няма", "нито", "но"})
"""Words that the gap of a phrase does not span."""
Border = Literal["", "stop", "comma", "dash", "join"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Phrase:
    """A phrase of a list: its words as numbers of terms, or GAP; the index of the word by which it is found (`anchor`);
    whether it is a thing that can be listed («без удари, течове»)."""

    topic: str
    kind: str
    terms: tuple[int, ...]
    needed: frozenset[int]
    anchor: int
    is_thing: bool
    denies: bool
    """The phrase itself begins with a denial."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Word:
    """A word or a run of punctuation: its folded text, the terms that match it, the phrases that it may be part of."""

    text: str
    border: Border
    terms: frozenset[int]
    phrases: tuple[Phrase, ...]


@dataclass(frozen=True, kw_only=True)
class Found:
    """A phrase in a text, from word `start` to `end`, and whether it is denied; `of_others`: it is about other cars."""

    topic: str
    start: int
    end: int
    is_denied: bool
    of_others: bool


@dataclass(kw_only=True, eq=False)
class Reading:
    """The words of a text, and the phrases in it in their order."""

    text: str
    words: Sequence[Word]
    found: Sequence[Found] = ()

    def place(self, found: Found) -> int:
        """Return the position in the text at which a phrase begins."""
        return self._places(found)[0][0]

    def _places(self, found: Found) -> list[tuple[int, int]]:
        return [match.span() for match in islice(TOKEN.finditer(self.text), found.start, found.end)]

    def quote(self, found: Found, most: int = 60) -> str:
        """Return the words of the text that a phrase matched, unchanged, cut to `most` characters."""
        places = self._places(found)
        words = self.text[places[0][0] : places[-1][1]]
        return words if len(words) <= most else words[: most - 1].rsplit(" ", 1)[0] + "…"


@dataclass(kw_only=True, eq=False)
class Phrases:
    """All phrases of all topics. Topics are found independently, except where a phrase of kind "but" matches."""

    _exact: dict[str, set[int]] = field(default_factory=dict)
    _sounds: dict[str, set[int]] = field(default_factory=dict)
    _beginnings: dict[str, set[int]] = field(default_factory=dict)
    _numbers: dict[str, int] = field(default_factory=dict)
    _by_term: dict[int, list[Phrase]] = field(default_factory=dict)
    _known: dict[str, tuple[Word, ...]] = field(default_factory=dict)

    def add(self, topic: str, phrases: Iterable[str], *, kind: str = "", is_thing: bool = False) -> None:
        """Add phrases of a topic; those of the `kind` "but" are exceptions that do not count for it."""
        for phrase in phrases:
            parts = phrase.split()
            terms = tuple(GAP if part == "…" else self._term(part) for part in parts)
            anchor = max(
                range(len(parts)), key=lambda place: len(parts[place].split("|")[0]) if terms[place] >= 0 else 0
            )
            made = Phrase(
                topic=topic,
                kind=kind,
                terms=terms,
                needed=frozenset(terms) - {GAP},
                anchor=anchor,
                is_thing=is_thing,
                denies=parts[0].split("|")[0] in NEGATORS,
            )
            self._by_term.setdefault(terms[anchor], []).append(made)
        self._known.clear()

    def _term(self, part: str) -> int:
        number = self._numbers.setdefault(part, len(self._numbers))
        for word in part.split("|"):
            if word.startswith("!"):
                self._exact.setdefault(word[1:], set()).add(number)
            elif word.endswith("*"):
                self._beginnings.setdefault(folded(word[:-1]), set()).add(number)
            else:
                stem, endings = (word[:-1], ENDINGS) if word.endswith("~") else (word, ("",))
                for ending in endings:
                    form = folded(stem + ending)
                    self._exact.setdefault(form, set()).add(number)
                    self._sounds.setdefault(form.replace("ъ", "а"), set()).add(number)
        return number

    def read(self, text: str) -> Reading:
        """Return the words of a text and the phrases in it."""
        text = text.replace("İ", "I").replace("_", " ").replace("\n", f" {LINE_END} ")
        lower = text.lower()
        if any(sign in lower for sign in SPACED_SIGNS):
            text = SPACED.sub(lambda match: match[0].replace(" ", ""), text)
            lower = text.lower()
        chunks = lower.split()
        parts = list(map(self._known.get, chunks))
        if None in parts:
            parts = [self._known.get(chunk) or self._learn(chunk) for chunk in chunks]
        words = list(chain.from_iterable(parts))  # type: ignore[arg-type] # none of them is None at this point
        reading = Reading(text=text, words=words)
        places = [place for place, word in enumerate(words) if word.phrases]
        if places:
            reading.found = _found(words, places)
        return reading

    def _learn(self, chunk: str) -> tuple[Word, ...]:
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[chunk] = words = tuple(map(self._word, TOKEN.findall(chunk)))
        return words

    def _word(self, token: str) -> Word:
        if not token[0].isalnum():
            return Word(text=token, border=_border(token), terms=frozenset(), phrases=())
        text = folded(token)
        numbers = set(self._exact.get(token, ())) | self._exact.get(text, set())
        if token.isascii() and (len(token) >= 5 or token in _SHORT):
            numbers |= self._sounds.get(text.replace("ъ", "а"), set())
        for beginning, its in self._beginnings.items():
            if text.startswith(beginning) or token.startswith(beginning):
                numbers |= its
        phrases = tuple(chain.from_iterable(self._by_term.get(number, ()) for number in sorted(numbers)))
        return Word(text=text, border="", terms=frozenset(numbers), phrases=phrases)


@lru_cache(maxsize=4096)
def folded(word: str) -> str:
    """Return a lower-case word in the letters used for comparison: Cyrillic, without soft signs."""
    if word.isascii():
        if word in _SHORT:
            return _SHORT[word]
        return word if len(word) < 5 or word.isdigit() else _SOUND.sub(lambda match: _SOUNDS[match[0]], word)
    return word.translate(_ALIKE)


def _border(token: str) -> Border:
    if token in ("-", "–", "—", ":", "=", "?", "->"):
        return "dash"
    if token in QUOTES or token in ("/", "\\", "&", "+"):
        return "join"
    return "comma" if token == "," else "stop"  # noqa: S105 # a word, no secret


def _found(words: Sequence[Word], places: Sequence[int]) -> list[Found]:
    """Return the phrases at these places; of two of one topic, one inside the other, the longer."""
    spans: dict[tuple[str, int, int], Phrase] = {}
    buts: dict[str, list[tuple[int, int]]] = {}
    there: frozenset[int] = frozenset().union(*{word.terms for word in words})
    for place in places:
        for phrase in words[place].phrases:
            span = _span(words, place, phrase) if phrase.needed <= there else None
            if span is None:
                continue
            if phrase.kind == "but":
                buts.setdefault(phrase.topic, []).append(span)
            elif phrase.is_thing or (phrase.topic, *span) not in spans:
                spans[(phrase.topic, *span)] = phrase
    kept: dict[tuple[str, int, int], Phrase] = {}
    reached: dict[str, int] = {}  # how far the phrases of a topic reach so far
    for topic, start, end in sorted(spans, key=lambda span: (span[1], -span[2])):
        if end > reached.get(topic, 0):
            reached[topic] = end
            if not any(start < but[1] and but[0] < end for but in buts.get(topic, ())):
                kept[topic, start, end] = spans[topic, start, end]
    return _judged(words, kept)


def _span(words: Sequence[Word], place: int, phrase: Phrase) -> tuple[int, int] | None:
    """Return the start and end of a phrase around the word by which it was found."""
    before = phrase.anchor
    if before == 0:
        end = _end(words, place, phrase.terms)
        return (place, end) if end is not None else None
    loose = LONGEST_GAP * sum(term == GAP for term in phrase.terms[:before]) + 1
    for start in range(place - before + phrase.terms[:before].count(GAP), max(place - before - loose, 0) - 1, -1):
        if start >= 0 and phrase.terms[0] in words[start].terms:
            end = _end(words, start, phrase.terms)
            if end is not None and end > place:
                return start, end
    return None


def _end(words: Sequence[Word], place: int, terms: Sequence[int]) -> int | None:
    """Return the end of a phrase that begins at a place."""
    if not terms:
        return place
    if terms[0] == GAP:
        for step in range(LONGEST_GAP + 1):
            if any(
                word.border in ("stop", "comma") or word.text in OUT_OF_REACH for word in words[place : place + step]
            ):
                return None
            end = _end(words, place + step, terms[1:])
            if end is not None:
                return end
        return None
    if place < len(words) and words[place].border in ("dash", "join"):
        place += 1
    if place < len(words) and terms[0] in words[place].terms:
        return _end(words, place + 1, terms[1:])
    return None


def _judged(words: Sequence[Word], spans: Mapping[tuple[str, int, int], Phrase]) -> list[Found]:
    """Return the phrases, in their order, marked if they are denied, or about other cars."""
    denied: dict[int, tuple[str, bool]] = {}  # where a denied one ends: its topic, and whether it is a thing
    starts = {start: end for _, start, end in spans}
    judged = []
    for (topic, start, end), phrase in spans.items():
        is_negative = is_denied(words, start, end, phrase, denied) or (
            not phrase.denies and is_denied_behind(words, end, starts)
        )
        if is_negative:
            denied[end] = (topic, phrase.is_thing)
        judged.append(
            Found(topic=topic, start=start, end=end, is_denied=is_negative, of_others=is_of_others(words, start, end))
        )
    return judged
