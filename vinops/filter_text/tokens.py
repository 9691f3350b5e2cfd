"""Tokens of a text: words, numbers and signs with their places; phrases and numbers that several of them make up."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from vinops.text.phones import FEWEST, phones
from vinops.text.spelling import readings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Kind: TypeAlias = Literal["word", "number", "sign", "link", "quote", "phone"]

LONGEST: Final = 1_000  # characters of a text that are read
_TOKEN: Final = re.compile(
    r"(?P<link>(?:https?://|(?:www\.|m\.)?mobile\.bg/)\S+)"
    r"|(?P<quote>[\"„“«][^\"„“”«»]{2,60}[\"“”»])"
    r"|(?P<special>4[xх]4\b)"
    r"|(?P<markup></?[a-z][a-z0-9]{0,9} ?/?>)"
    r"|(?P<number>[0-9]+)"
    r"|(?P<word>[^\W\d_][^\W_]*)"
    r"|(?P<sign>[<>]=?|\d+|\S)",
    re.IGNORECASE,
)
_DIGITS: Final = frozenset("0123456789")
_KINDS: Final = {"special": "word", "markup": "sign"}
_LATIN: Final = "ABCEHKMOPTXaceopxy"
_CYRILLIC: Final = "АВСЕНКМОРТХасеорху"
_TO_CYRILLIC: Final = str.maketrans(_LATIN, _CYRILLIC)
_TO_LATIN: Final = str.maketrans(_CYRILLIC, _LATIN)
_MIXED: Final = re.compile(r"(?=[^\W\d_]*[a-z])(?=[^\W\d_]*[а-я])[a-zа-я]{2,}", re.IGNORECASE)
_GROUPS: Final = (" ", "\u00a0", "\u202f", ".", ",", "'", "’")
_MONTH: Final = re.compile("0?[1-9]|1[0-2]")
_YEAR: Final = re.compile("(?:19[5-9]|20[0-4])[0-9]")
_JOINTS: Final = ("-", ".", "/", "‑", "–")


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """A part of a text. `is_glued`: there is no blank in front of it."""

    text: str
    low: str
    start: int
    end: int
    kind: Kind
    is_glued: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Number:
    """A number, and the place behind its tokens. `is_grouped`: written in groups of three digits, as in «12 500»."""

    value: Decimal
    end: int
    is_grouped: bool = False


def unmixed(text: str) -> str:
    """Return a text of the same length whose words are in one script each: «cорентo» with Latin c and o, which look the
    same, is typed when the keyboard changes in the middle of a word."""
    return _MIXED.sub(_in_one_script, text) if not text.isascii() else text


def _in_one_script(word: re.Match[str]) -> str:
    cyrillic = word[0].translate(_TO_CYRILLIC)
    if not any("a" <= each.casefold() <= "z" for each in cyrillic):
        return cyrillic
    latin = word[0].translate(_TO_LATIN)
    return latin if latin.isascii() else word[0]


def tokens_of(text: str) -> list[Token]:
    """Return the tokens of a text in their order."""
    found = []
    last = 0
    for kind, start, end in _parts(text[:LONGEST]):
        found.append(
            Token(
                text=text[start:end],
                low=text[start:end].casefold(),
                start=start,
                end=end,
                kind=_kind(kind, text[start:end]),
                is_glued=start == last and last > 0,
            )
        )
        last = end
    return found


def _kind(group: str, text: str) -> Kind:
    """Return the kind of a part. Words in other alphabets are no part of a name, which would pass over them."""
    if group == "word" and not any(readings(text)):
        return "sign"
    return _KINDS.get(group, group)  # type: ignore[return-value] # the groups are the kinds


def _parts(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield kind, start and end of the parts of a text. A phone number is one: its groups are no price and no km."""
    numbers = phones(text) if sum(each in _DIGITS for each in text) >= FEWEST else []
    place = 0
    while match := _TOKEN.search(text, place):
        start, place = match.span()
        numbers = [each for each in numbers if each[0] >= start]
        if numbers and numbers[0][0] == start and match.lastgroup not in ("link", "quote"):
            place = numbers[0][1]
            yield "phone", start, place
        else:
            yield match.lastgroup or "sign", start, place


def number_at(tokens: Sequence[Token], place: int) -> Number | None:
    """Return the number that begins at a place: «12 500», «12.500», «15,5», «2016»; None if there is none."""
    if place >= len(tokens) or tokens[place].kind != "number" or len(tokens[place].text) > 9:
        return None
    digits = tokens[place].text
    end = place + 1
    if is_month(tokens, place):
        return Number(value=Decimal(tokens[place + 2].text), end=place + 3)
    is_grouped = False
    while len(tokens[place].text) <= 3 and (step := _group(tokens, end)):
        digits += tokens[end + step - 1].text
        end += step
        is_grouped = True
    if len(digits) > 9:
        return None
    if not is_grouped and end + 1 < len(tokens):
        point, rest = tokens[end], tokens[end + 1]
        is_point = point.text in (".", ",") and point.is_glued and rest.is_glued and rest.kind == "number"
        if is_point and len(rest.text) <= 2 and not _is_followed_by_group(tokens, end + 2):
            return Number(value=Decimal(f"{digits}.{rest.text}"), end=end + 2)
    return Number(value=Decimal(digits), end=end, is_grouped=is_grouped)


def is_month(tokens: Sequence[Token], place: int) -> bool:
    """Tell whether a number is the month in front of a year: «01.2014», «03/2015»."""
    if not _MONTH.fullmatch(tokens[place].text) or place + 2 >= len(tokens):
        return False
    point, year = tokens[place + 1 : place + 3]
    return point.text in (".", "/") and point.is_glued and year.is_glued and bool(_YEAR.fullmatch(year.text))


def _group(tokens: Sequence[Token], place: int) -> int:
    """Return how many tokens from a place on are a group of three digits with its separator; 0 if they are not."""
    if place >= len(tokens):
        return 0
    first = tokens[place]
    if first.kind == "number" and len(first.text) == 3 and not first.is_glued and place > 0:
        return 1 if first.start - tokens[place - 1].end == 1 else 0
    if first.text in _GROUPS and first.is_glued and place + 1 < len(tokens):
        rest = tokens[place + 1]
        return 2 if rest.kind == "number" and len(rest.text) == 3 and rest.is_glued else 0
    return 0


def _is_followed_by_group(tokens: Sequence[Token], place: int) -> bool:
    return place + 1 < len(tokens) and tokens[place].text in (".", ",") and tokens[place + 1].kind == "number"


def span(text: str, tokens: Sequence[Token], start: int, end: int) -> str | None:
    """Return the text of some tokens if they can be one name: words and numbers, with hyphens, points and strokes only
    inside of it."""
    if end > len(tokens) or tokens[start].kind not in ("word", "number") or tokens[end - 1].kind == "sign":
        return None
    for token in tokens[start + 1 : end]:
        if token.kind not in ("word", "number") and not (token.is_glued and token.text in _JOINTS):
            return None
    return text[tokens[start].start : tokens[end - 1].end]


def phrase_end(tokens: Sequence[Token], place: int, words: Sequence[str]) -> int | None:
    """Return the place behind a phrase that begins at a place; None if it does not. Hyphens, and points glued to a
    word, do not count: «по-нова от», «к.с.», «хил.»."""
    for number, word in enumerate(words):
        while number and place < len(tokens) and tokens[place].text in ("-", ".", "‑") and tokens[place].is_glued:
            place += 1
        if place >= len(tokens):
            return None
        low = tokens[place].low
        if low != word and not (word.endswith("*") and len(word) > 1 and low.startswith(word[:-1])):
            return None
        place += 1
    if place < len(tokens) and tokens[place].text == "." and tokens[place].is_glued and len(words[-1]) <= 5:
        after = tokens[place + 1] if place + 1 < len(tokens) else None
        if after is None or not (after.is_glued and after.kind == "number"):
            place += 1
    return place
