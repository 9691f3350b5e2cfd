"""What a text does not want: «без удар и ръжда», «не е от Америка», «-ауди», «не от автокъща», «неударена»."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vinops.filter_text.cars import name_at
from vinops.filter_text.tables import is_in, look_up, phrases, values, words
from vinops.text.words import is_common, keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vinops.filter_text.tokens import Token

IMPORT: Final = ("внос", "vnos")
MOST: Final = 8  # things that one denial denies


@dataclass(frozen=True, kw_only=True)
class Denied:
    """The words that a denial excludes, and for fields with few values those that remain, by field."""

    end: int
    words_not: tuple[str, ...] = ()
    remaining: tuple[tuple[str, tuple[str, ...]], ...] = ()


def denied_at(text: str, tokens: Sequence[Token], place: int) -> Denied | None:
    """Return what a denial that begins at a place denies; None if there is none."""
    token = tokens[place]
    low = token.low
    if token.kind == "word" and (stem := next((s for s in words()["risk"]["compounds"] if low.startswith(s)), "")):
        return Denied(end=place + 1, words_not=(low.removeprefix("не"),)) if stem else None
    is_minus = (
        token.text in ("-", "–", "−")
        and place + 1 < len(tokens)
        and tokens[place + 1].is_glued
        and tokens[place + 1].kind == "word"
        and not token.is_glued
    )
    if is_minus:
        return _things(text, tokens, place + 1, is_list=False)
    if token.kind == "word" and denies(tokens, place):
        return _things(text, tokens, behind_denial(tokens, place + 1), is_list=True)
    behind = [each.low for each in tokens[place + 1 : place + 3]]
    if low in ("accident", "damage", "rust") and behind == ["-", "free"]:
        return Denied(end=place + 3, words_not=_in_ads(low))
    return None


def denies(tokens: Sequence[Token], place: int) -> bool:
    """Tell whether a word denies what follows; «but» does in «any colour but white», and not in «cheap but red»."""
    before = [each.low for each in tokens[max(place - 2, 0) : place]]
    is_all_but = tokens[place].low == "but" and any(is_in(each, "denials", "all") for each in before)
    return is_all_but or is_in(tokens[place].low, "denials", "negators")


def behind_denial(tokens: Sequence[Token], place: int) -> int:
    """Return the place behind the words that may stand between a denial and what is denied."""
    while (found := phrases("denials").find(tokens, place)) and found[0] == "between":
        if found[2] in IMPORT and _is_denied(tokens, found[1]):
            return place
        place = found[1]
    return place


def _is_denied(tokens: Sequence[Token], place: int) -> bool:
    """Tell whether an import in front of a place is denied itself: no country follows («не от внос, дизел»)."""
    is_last = place >= len(tokens) or tokens[place].kind != "word"
    return is_last or look_up(tokens[place].text) is not None or tokens[place].low in ("и", "i", "до", "do")


def _things(text: str, tokens: Sequence[Token], place: int, *, is_list: bool) -> Denied | None:
    """Return the things that are denied from a place on: one, and those that a list adds."""
    words_not: list[str] = []
    remaining: list[tuple[str, tuple[str, ...]]] = []
    end = place
    for number in range(MOST):
        if place >= len(tokens) or tokens[place].kind != "word":
            break
        name = name_at(text, tokens, place)
        low = tokens[place].low
        is_value = name is not None and name[0] in values() and name[1] != ("lpg",)
        if number and not _goes_on(tokens, end, low, is_known=name is not None):
            break
        if name is not None and is_value:
            field, those, end = name
            remaining.append((field, tuple(sorted(values()[field] - set(those)))))
        elif name is not None and name[0] in ("make", "family"):
            end = name[2]
            words_not.append(text[tokens[place].start : tokens[end - 1].end].casefold())
        elif keys(low) and not is_common(low):
            words_not += _in_ads(low)
            end = place + 1
        else:
            break
        place = behind_denial(tokens, end + 1)
        if not is_list or end >= len(tokens) or not is_in(tokens[end].low, "denials", "list"):
            break
        if place < len(tokens) and is_in(tokens[place].low, "denials", "negators"):
            break  # «без удар и без ръжда»: the next denial is read by itself
    if not words_not and not remaining:
        return None
    return Denied(end=end, words_not=tuple(words_not), remaining=tuple(remaining))


def _goes_on(tokens: Sequence[Token], joint: int, low: str, *, is_known: bool) -> bool:
    """Tell whether a list of what is denied goes on: behind a comma, or with a known name, only with words of risk."""
    is_risk = low.startswith(tuple(words()["risk"]["begins"]))
    return is_risk or (tokens[joint].text != "," and not is_known)


def _in_ads(low: str) -> tuple[str, ...]:
    """Return a denied word, and for an English one that of the ads, which are in Bulgarian."""
    other = words()["risk"]["in_bulgarian"].get(low)
    return (low,) if other is None else (low, other)
