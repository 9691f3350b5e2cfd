"""Cars in a text: makes, models behind their make or alone, series, and generations."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from vinops import vehicles
from vinops.filter_text.quantities import UNTIL, fields_of, quantity_at, year_like
from vinops.filter_text.tables import by_generation, generations, is_in, look_up
from vinops.filter_text.tokens import number_at, span
from vinops.text.spelling import key_of, readings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vinops.filter_text.tokens import Number, Token

LONGEST: Final = 5  # tokens of a name
ANY_YEAR: Final = 2100
_CLASS: Final = re.compile(r"\bклас+\b", re.IGNORECASE)
_TS: Final = re.compile(r"ц(?=[\s-]?\d|[\s-]?клас|-?хр)|(?<=[хx])ц(?=\d)", re.IGNORECASE)
_TS_WORD: Final = re.compile(r"\bц(\w{1,2})\b", re.IGNORECASE)
_SPOKEN: Final = {
    re.compile(rf"\b(?:{spoken})(?=[\s-]?\d)", re.IGNORECASE): letter
    for spoken, letter in (("икс", "x"), ("к[ую]", "q"), ("ай", "i"), ("ц[хx]", "cx"))
} | {re.compile(r"\bглц\b", re.IGNORECASE): "glc"}
"""Names of letters in front of a number: «Икс 5», «Ку7», «ай 20»."""
_DIESEL: Final = re.compile(r"[a-zа-я]{0,3} ?[0-9]{2,3} ?(?:d|д|cdi|цди)", re.IGNORECASE)
_SERIES: Final = re.compile(r"[1-8]")
_SERIES_ENDING: Final = ("ца", "ка", "ица", "тка", "ва")


@dataclass(frozen=True, kw_only=True)
class Car:
    """A make or families at a place of a text. `fuel` that the name says («320d»)."""

    end: int
    make: str = ""
    families: tuple[str, ...] = ()
    fuel: str = ""
    open_year: str = ""
    """A number that is a model or a year: «Пежо 2008»."""


def model_behind(text: str, tokens: Sequence[Token], place: int, make: str, this_year: int) -> Car | None:
    """Return the model of a make that begins at a place; None if there is none.

    Words behind the name belong to it only if they change the family: «C 220 between», «Octavia Combi» and «A4 B8» are
    a C-Class, an Octavia and an A4, and what follows is read by itself.
    """
    for end in range(min(place + LONGEST, len(tokens)), place, -1):
        name = span(text, tokens, place, end)
        if name is None or not _may_end(text, tokens, place, end):
            continue
        found = vehicles.named(make, spelled(name))
        if found is None or (_is_apart(tokens, place, end) and not _DIESEL.fullmatch(name)
                             and _family(text, tokens, place, end - 1, make) == found.family):  # fmt: skip
            continue
        if end == place + 1 and (year := number_at(tokens, place)) and year_like(year.value, this_year):
            return Car(end=end, families=(found.family,), open_year=name)
        return Car(
            end=end,
            families=(found.family,),
            fuel="diesel" if _DIESEL.fullmatch(name) else "",
        )
    if make == "BMW" and tokens_are_series(tokens, place):
        end = place + 1
        if end < len(tokens) and tokens[end].text == "-" and tokens[end].is_glued:
            end += 1
        if end < len(tokens) and tokens[end].is_glued and tokens[end].low in _SERIES_ENDING:
            return Car(end=end + 1, families=(f"BMW {tokens[place].text} Series",))
        if _may_end(text, tokens, place, place + 1):
            return Car(end=place + 1, families=(f"BMW {tokens[place].text} Series",))
    return None


def _family(text: str, tokens: Sequence[Token], start: int, end: int, make: str) -> str | None:
    name = span(text, tokens, start, end)
    found = None if name is None else vehicles.named(make, spelled(name))
    return None if found is None else found.family


def _is_apart(tokens: Sequence[Token], start: int, end: int) -> bool:
    """Tell whether the last word of a name stands apart from it, and is not «class»."""
    last = tokens[end - 1]
    return (
        end > start + 1
        and last.kind == "word"
        and not last.is_glued
        and not last.low.startswith(("клас", "clas", "klas"))
    )


def tokens_are_series(tokens: Sequence[Token], place: int) -> bool:
    """Tell whether a number that may be a series of BMW is at a place."""
    return place < len(tokens) and tokens[place].kind == "number" and bool(_SERIES.fullmatch(tokens[place].text))


def _may_end(text: str, tokens: Sequence[Token], start: int, end: int) -> bool:
    """Tell whether a name may end here: not inside of a number, nor before a unit («Мазда 5 врати», «С 40 000 км»)."""
    last = tokens[end - 1]
    if end < len(tokens) and tokens[end].is_glued and (tokens[end].kind != "sign" or tokens[end].text == "%"):
        return False
    if last.kind != "number":
        return True
    whole = number_at(tokens, end - 1)
    if whole is not None and whole.end > end and not whole.is_grouped:
        return False  # «1.5»
    found = quantity_at(text, tokens, end - 1)
    if found is None or found.end == end:
        return True
    if whole is not None and whole.is_grouped:  # «Мазда 6 120 000 км», «Пежо 307 110 к.с.»: no car has 307,110 hp
        return found.value > 1_000_000 or (bool(found.field) and not fields_of(found, ANY_YEAR))
    if found.high is not None:
        return whole is not None and found.field != "age" and _is_model_and_price(tokens, whole)
    return not (found.field or found.is_scaled or found.bound != "exact")


def _is_model_and_price(tokens: Sequence[Token], number: Number) -> bool:
    """Tell whether a number and «до» behind it are rather a model and its price than a range: «308 до 5000»."""
    is_round = number.value >= 1000 and number.value % 100 == 0
    return not is_round and number.end < len(tokens) and tokens[number.end].low in UNTIL


@lru_cache(maxsize=4096)
def spelled(name: str) -> str:
    """Return a name as the vocabulary has it: «ц» of «Ц 220», «ЦЛА» and «ХЦ90» is a C, «клас» a class, «икс» an X."""
    for spoken, letter in _SPOKEN.items():
        name = spoken.sub(letter, name)
    name = _TS_WORD.sub(lambda word: f"c{key_of(readings(word[1])[-1])}", _TS.sub("c", name))
    return _CLASS.sub("klasa", name)


def name_at(text: str, tokens: Sequence[Token], place: int) -> tuple[str, tuple[str, ...], int] | None:
    """Return field, values and the place behind the longest name that begins at a place, of any field."""
    for end in range(min(place + LONGEST, len(tokens)), place, -1):
        name = span(text, tokens, place, end)
        if name is None or not any(each.isalpha() for each in name):
            continue
        if end > place + 1 and all(is_in(token.low, "noise", "words") for token in tokens[place:end]):
            continue  # «се на» is no Senna
        if end < len(tokens) and tokens[end].is_glued and tokens[end].kind != "sign":
            continue
        is_loose = end > place + 1 and len(tokens[place].text) == 1 and not tokens[place + 1].is_glued
        if is_loose and tokens[place + 1].kind == "number":
            continue  # «с 40 000 км» is no C40
        lengths = [len(token.text) for token in tokens[place:end] if token.kind == "word"]
        is_whole = end == place + 1 or (min(lengths) > 1 and max(lengths) > 2)  # «се на» is no Senna
        if found := look_up(spelled(name), by_sound=is_whole):
            if found[0] == "family" and _is_apart(tokens, place, end):
                shorter = name_at(text, tokens[: end - 1], place)
                if shorter is not None and shorter[:2] == found:
                    return shorter
            return (*found, end)
    return None


def generation_behind(
    text: str, tokens: Sequence[Token], place: int, family: str
) -> tuple[tuple[int, int], int] | None:
    """Return the years of a generation that is named behind its model, and the place behind it."""
    known = generations().get(family)
    if known is None or place >= len(tokens):
        return None
    for end in (place + 3, place + 2, place + 1):
        name = span(text, tokens, place, end)
        if name is None or not _may_end(text, tokens, place, end):
            continue
        key = _latin(name)
        if key in known:
            return known[key], end
    return None


def generation_at(tokens: Sequence[Token], place: int) -> tuple[str, tuple[int, int]] | None:
    """Return the family and the years of a generation whose name is enough alone: «E46»."""
    token = tokens[place]
    if token.kind != "word":
        return None
    key = _latin(token.text)
    family = by_generation().get(key)
    return None if family is None else (family, generations()[family][key])


def _latin(name: str) -> str:
    """Return the name of a generation in Latin letters: «Б8», «Е46», «mk 5»."""
    folded = name.casefold().replace(" ", "").replace("-", "")
    return folded.translate(_LETTERS)


_LETTERS: Final = str.maketrans("абвгдежхкцфjхтм", "abwgdegxkcfjxtm")
