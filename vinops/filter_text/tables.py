"""The words of words.toml, auctions.toml and generations.toml, and the names of the vocabulary, indexed for reading.
Read in 10 ms on first use."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from vinops import vehicles
from vinops.filter_text.tokens import phrase_end
from vinops.text.spelling import key_of, name_key, readings, sound

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from vinops.filter_text.tokens import Token

Entry: TypeAlias = "tuple[str, tuple[str, ...]]"
"""A field of the filter, and the values that a name stands for: several families have the same name."""

HERE: Final = files("vinops.filter_text")
LEAST_SOUND: Final = 4  # letters from which a name is recognized by its sound
FIELDS: Final = {"fuel": "fuel", "gearbox": "gearbox", "body": "body", "colour": "color", "region": "region"}


@cache
def words() -> Mapping[str, Any]:
    """Return the contents of words.toml and auctions.toml."""
    found: dict[str, Any] = {}
    for name in ("words.toml", "auctions.toml"):
        found |= tomllib.loads((HERE / name).read_text(encoding="utf-8"))
    return found


@dataclass(kw_only=True)
class Phrases:
    """Phrases with a name each, found at a place of a text; the longest counts."""

    _by_word: dict[str, list[tuple[tuple[str, ...], str]]] = field(default_factory=dict)
    _beginning: list[tuple[tuple[str, ...], str]] = field(default_factory=list)

    def add(self, name: str, phrases: Iterable[str]) -> None:
        """Add phrases of a name."""
        for phrase in phrases:
            parts = tuple(phrase.casefold().split())
            if parts[0].endswith("*"):
                self._beginning.append((parts, name))
            else:
                known = self._by_word.setdefault(parts[0], [])
                known.append((parts, name))
                known.sort(key=lambda each: -len(each[0]))

    def find(self, tokens: Sequence[Token], place: int) -> tuple[str, int, str] | None:
        """Return name, place behind, and words of the longest phrase that begins at a place; None if none does."""
        if place >= len(tokens):
            return None
        best: tuple[str, int, str] | None = None
        for parts, name in (*self._by_word.get(tokens[place].low, ()), *self._beginning):
            end = phrase_end(tokens, place, parts)
            if end is not None and (best is None or end > best[1]):
                best = (name, end, " ".join(parts))
        return best


@cache
def phrases(section: str) -> Phrases:
    """Return the phrases of a section of words.toml or auctions.toml."""
    found = Phrases()
    for name, each in words()[section].items():
        if isinstance(each, list):
            found.add(name, each)
    return found


@cache
def wordset(section: str, name: str) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the words of a list, and the beginnings of words in it."""
    each = words()[section][name]
    return (
        frozenset(word for word in each if not word.endswith("*")),
        tuple(word[:-1] for word in each if word.endswith("*")),
    )


@cache
def around_values() -> frozenset[str]:
    """Return the words that stand around numbers and values. None of them is a slip of a name: «price» of Pride."""
    sections = ("bounds", "fields", "units", "suffixes", "market", "seller", "lot_money", "lot_sale", "lot_time")
    lists = (each for section in sections for each in words()[section].values() if isinstance(each, list))
    return frozenset(word for each in lists for phrase in each for word in phrase.casefold().split())


def is_in(word: str, section: str, name: str) -> bool:
    """Tell whether a word is in a list."""
    exact, beginnings = wordset(section, name)
    return word in exact or word.startswith(beginnings)


@cache
def known_words() -> frozenset[str]:
    """Return the words that are read as they are: those around values, and those that no field stands for."""
    sections = ("noise", "not_asked_for", "lot_buy_now", "lot_runs", "lot_keys", "lot_title", "lot_damage")
    lists = (each for section in sections for each in words()[section].values())
    return around_values() | {word for each in lists for phrase in each for word in phrase.casefold().split()}


@cache
def values() -> Mapping[str, frozenset[str]]:
    """Return all values of each field that has few."""
    found = {ours: frozenset(vehicles.vocabulary(theirs).values()) for theirs, ours in FIELDS.items()}
    return found | {"seller": frozenset(words()["seller"])}


@dataclass(frozen=True, kw_only=True)
class Index:
    """All names by their key, and by their sound."""

    by_key: Mapping[str, Entry]
    by_sound: Mapping[str, Entry]
    by_letter: Mapping[str, Mapping[str, str]]
    """For guesses: by first letter, the sounds of names, and a text of field and values."""


@cache
def index() -> Index:
    """Return the index of makes, families, and of the words of fuels, gearboxes, bodies, colors, regions, sellers."""
    by_key = _by_key()
    by_sound: dict[str, Entry] = {}
    shared: set[str] = set()
    by_letter: dict[str, dict[str, str]] = {}
    for key, entry in by_key.items():
        heard = sound(key)
        if len(heard) >= LEAST_SOUND and by_sound.setdefault(heard, entry) != entry:
            shared.add(heard)
        by_letter.setdefault(heard[0], {})[heard] = f"{entry[0]}:{'|'.join(entry[1])}"
    for heard in shared:
        if by_sound[heard][0] in ("make", "family"):  # two names that sound alike; a word of another field comes first
            del by_sound[heard]
    return Index(by_key=by_key, by_sound=by_sound, by_letter=by_letter)


def _by_key() -> dict[str, Entry]:
    """Return all names by their keys; of two with one key the one that is more often meant."""
    by_key: dict[str, Entry] = {"jeep": ("make", ("Jeep",))}
    for key, entry in (*_words_of_fields(), *_cars()):
        by_key.setdefault(key, entry)
    return by_key


def _words_of_fields() -> Iterator[tuple[str, Entry]]:
    for theirs, ours in FIELDS.items():
        for value, others in words()["also"].get(ours, {}).items():
            yield from ((name_key(other), (ours, (value,))) for other in others)
        for key, value in vehicles.vocabulary(theirs).items():
            if value not in ("lpg", "cng") or "benzin" not in key:  # «бензин/газ» are two fuels
                yield key, (ours, (value,))
    for name in ("make", "family"):
        for others, values_of in words()["also"][name].items():
            yield name_key(others), (name, tuple(values_of))
    for value, others in words()["seller"].items():
        yield from ((name_key(other), ("seller", (value,))) for other in others)


def _cars() -> Iterator[tuple[str, Entry]]:
    for key, make in vehicles.makes().items():
        yield key, ("make", (make,))
    for key, families in vehicles.names().items():
        if _is_enough(key):
            yield key, ("family", _preferred(families))


def _is_enough(key: str) -> bool:
    """Tell whether the name of a model is understood without its make."""
    preferred = words()["preferred"]
    letters = sum(each.isalpha() for each in key)
    if key in preferred["only_behind_make"] or key in preferred["never"] or not letters:
        return False
    return letters >= 3 or (len(key) >= 2 and any(each.isdigit() for each in key))


def _preferred(families: Sequence[str]) -> tuple[str, ...]:
    """Return the families that a name stands for: those of makes that are common here, or all."""
    makes = words()["preferred"]["makes"]
    common = tuple(family for family in families if any(family.startswith(f"{make} ") for make in makes))
    return common or tuple(families)


def look_up(text: str, *, by_sound: bool = True) -> Entry | None:
    """Return what a text names as a whole, by its spelling or its sound; None if nothing. No guesses."""
    found = index()
    ways = [key_of(reading) for reading in readings(text) if reading]
    for key in ways:
        if key in found.by_key:
            return found.by_key[key]
    heard = sound(ways[-1]) if ways and by_sound else ""
    return found.by_sound.get(heard) if len(heard) >= LEAST_SOUND else None


@cache
def generations() -> Mapping[str, Mapping[str, tuple[int, int]]]:
    """Return the years of the generations of each family, by the keys of their names."""
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for family, about in tomllib.loads((HERE / "generations.toml").read_text(encoding="utf-8")).items():
        found[family] = {name: (int(years[:4]), int(years[5:])) for years, names in about.items() for name in names}
    return found


@cache
def by_generation() -> Mapping[str, str]:
    """Return the family of each name of a generation that only one family has and that is enough alone: «e46»."""
    seen: dict[str, list[str]] = {}
    for family, names in generations().items():
        for name in names:
            if len(name) >= 3 and any(each.isdigit() for each in name) and not name.startswith("mk") and name != "7.5":
                seen.setdefault(name, []).append(family)
    return {name: owners[0] for name, owners in seen.items() if len(owners) == 1 and name not in index().by_key}
