"""The vocabulary of both ends of the market: makes, models, fuels, gearboxes, bodies, colours and regions.

The words are in vehicles.toml and vehicles_*.toml beside this module, which are read in 15 ms on first use. A text is
looked up by its key (vinops/text/spelling.py): as a name, as another name, as a pattern of letters and numbers, by its
sound if it is Cyrillic, as a name that the auction cut to ten characters, by the words that it begins with, and last by
a careful guess, which is marked as one. Unknown texts give None.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from vinops.text.spelling import CACHED, is_cyrillic, key_of, misspelled, name_key, read, readings, sound

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

How: TypeAlias = Literal["exact", "alias", "fuzzy"]
Field: TypeAlias = Literal["fuel", "gearbox", "body", "colour", "region"]
Table: TypeAlias = "Mapping[str, tuple[str, bool]]"
"""Values by key, and whether the key is the value's own name."""

HERE: Final = files("vinops")
CUT: Final = 10  # length that the auction cuts names to, less one if the last character is a blank
LONGEST_NAME: Final = 5  # words
LEAST_HEARD: Final = 3  # letters from which a whole text is recognized by its sound: «й5» is no i5
LONGEST_TITLE: Final = 80  # characters of it that are read


@dataclass(frozen=True, kw_only=True)
class Match:
    """The value that a text stands for. `score` is 1.0, or for a guess the share of correct letters."""

    value: str
    how: How
    score: float = 1.0


@dataclass(frozen=True, kw_only=True)
class ModelMatch(Match):
    """A model: `value` is make and model, `family` make and family or the model again, `make` the make that builds it,
    which may differ from the given one: a Dodge RAM 1500 is a RAM."""

    make: str
    family: str


@dataclass(frozen=True, kw_only=True)
class _Model:
    make: str
    name: str
    family: str

    def match(self, how: How, score: float = 1.0) -> ModelMatch:
        make = self.make
        return ModelMatch(
            value=f"{make} {self.name}", how=how, score=score, make=make, family=f"{make} {self.family or self.name}"
        )


@dataclass(frozen=True, kw_only=True)
class _Make:
    """A make with its models by folded name; `exact` are the keys that are a model's own name."""

    name: str
    keys: tuple[str, ...]
    models: dict[str, _Model] = field(default_factory=dict)
    exact: set[str] = field(default_factory=set)
    careful: frozenset[str] = frozenset()
    numbers: tuple[tuple[re.Pattern[str], str, str], ...] = ()
    cut: dict[str, _Model] = field(default_factory=dict)
    sounds: dict[str, _Model] = field(default_factory=dict)


def make(text: str) -> Match | None:
    """Return the make that a text names or begins with: «CHEVROLET TRUCK/VAN» is a Chevrolet."""
    return _make(text)


def make_in(title: str) -> Match | None:
    """Return the make that a title begins with, without guesses."""
    for words in read(title[:LONGEST_TITLE]):
        for end in range(min(len(words), LONGEST_NAME), 0, -1):
            if found := _named(_makes()[0], key_of(words[:end])):
                return found
    return None


def model(make: str, text: str, *, title: str = "") -> ModelMatch | None:
    """Return the model of a make (in our spelling) that a text names.

    `title` begins with make and model. It is used where the text is only a part of the name, such as «Land» of a «Land
    Cruiser 120», or names no model.
    """
    about = _about(make)
    if about is None:
        return None
    found, key = _model(make, text)
    if title:
        better, whole = _model_in(about, title)
        if better is not None and (found is None or (whole != key and whole.startswith(key))):
            return better
    return found or _guessed_model(make, text)


@cache
def model_named(value: str) -> ModelMatch | None:
    """Return a model by its value: «Ford Kuga»."""
    found = make_in(value)
    return model(found.value, value) if found else None


@cache
def families() -> frozenset[str]:
    """Return all families, and models that are a family of their own, with their makes: «BMW 3 Series», «BMW X5»."""
    return frozenset(
        f"{each.make} {each.family or each.name}"
        for name in _makes()[1]
        if (about := _about(name))
        for each in about.models.values()
    )


def named(make: str, text: str) -> ModelMatch | None:
    """Return the model of a make that a whole text names: nothing behind it is passed over, and nothing guessed."""
    about = _about(make)
    if about is None:
        return None
    for words in readings(text):
        if words and (found := _exactly(about, key_of(words))):
            return found
    key = key_of(readings(text)[-1])
    if is_cyrillic(text) and sum(map(str.isalpha, key)) >= LEAST_HEARD and (each := about.sounds.get(sound(key))):
        return each.match("alias")
    return None


@cache
def makes() -> Mapping[str, str]:
    """Return all makes by the keys of their names."""
    return {key: name for key, (name, _) in _makes()[0].items()}


@cache
def names() -> Mapping[str, tuple[str, ...]]:
    """Return the families that have a model of a name, by the key of the name: «astra» is an Opel and a Saturn."""
    found: dict[str, dict[str, None]] = {}
    for name in _makes()[1]:
        if about := _about(name):
            for key, each in about.models.items():
                found.setdefault(key, {})[f"{each.make} {each.family or each.name}"] = None
    return {key: tuple(families) for key, families in found.items()}


@cache
def vocabulary(name: Field) -> Mapping[str, str]:
    """Return the values of a field by the keys of all their words."""
    return {key: value for key, (value, _) in _words()[name].items()}


def fuel(text: str) -> Match | None:
    """Return the fuel: gasoline, diesel, hybrid, plug-in hybrid, electric, lpg, cng or hydrogen."""
    return _word("fuel", text)


def gearbox(text: str) -> Match | None:
    """Return manual, automatic or semi-automatic."""
    return _word("gearbox", text)


def body(text: str) -> Match | None:
    """Return sedan, hatchback, estate, coupe, convertible, suv, van, pickup, mpv or limousine."""
    return _word("body", text)


def colour(text: str) -> Match | None:
    """Return a colour in English: «dark grey»."""
    return _word("colour", text)


def region(text: str) -> Match | None:
    """Return the common name of a district of Bulgaria, without «обл.»: «София»; or «Извън страната»."""
    return _word("region", re.sub(r"^\W*(?:обл|общ)(?:аст|ина|\.)\s*", "", text.strip(), flags=re.IGNORECASE))


@cache
def spoken(name: Field) -> Mapping[str, tuple[str, ...]]:
    """Return the other names of each value of a field, the first one first: «Черен» for black."""
    return {value: tuple(others) for value, others in _read("vehicles.toml")[name].items()}


# The contents of the files


@cache
def _words() -> Mapping[str, Table]:
    """Return the vocabulary of each field."""
    tables: dict[str, dict[str, tuple[str, bool]]] = {}
    for name, table in _read("vehicles.toml").items():
        tables[name] = {}
        for value, others in table.items():
            for other in others:
                tables[name].setdefault(name_key(other), (value, False))
        tables[name] |= {name_key(value): (value, True) for value in table}
    return tables


@cache
def _makes() -> tuple[Table, Mapping[str, Any]]:
    """Return the keys of the makes, and the entry of each in the files."""
    entries: dict[str, Any] = {}
    for name in sorted(each.name for each in HERE.iterdir() if each.name.startswith("vehicles_")):
        entries |= _read(name)
    keys: dict[str, tuple[str, bool]] = {}
    for name, about in entries.items():
        for other in about.get("names", ()):
            keys.setdefault(name_key(other), (name, False))
    return keys | {name_key(name): (name, True) for name in entries}, entries


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((HERE / name).read_text(encoding="utf-8"))


@cache
def _about(make: str) -> _Make | None:
    """Return a make with its models, built on first use."""
    keys, entries = _makes()
    if make not in entries:
        return None
    entry = entries[make]
    families = {model: family for family, models in entry.get("families", {}).items() for model in models}
    names = [" ".join(name.split()) for name in entry["models"].split(",")]
    about = _Make(
        name=make,
        keys=tuple(sorted((key for key, (name, _) in keys.items() if name == make), key=len, reverse=True)),
        careful=frozenset(entry.get("careful", ())),
        numbers=tuple(
            (re.compile(pattern["is"]), pattern["model"], pattern.get("family", ""))
            for pattern in entry.get("numbers", ())
        ),
    )
    spelled: list[tuple[str, _Model]] = []
    for name in names:
        spelled.append((name, _Model(make=make, name=name, family=families.get(name, ""))))
        about.exact.add(name_key(name))
    for name, others in entry.get("also", {}).items():
        spelled += [(other, _Model(make=make, name=name, family=families.get(name, ""))) for other in others]
    for other_make, others in entry.get("elsewhere", {}).items():
        for other in others:
            if (found := _model(other_make, other)[0]) is None:
                raise ValueError(f"{make}: {other} is not a model of {other_make}")
            name, family = (text.removeprefix(f"{other_make} ") for text in (found.value, found.family))
            spelled += [
                (spelling, _Model(make=other_make, name=name, family=family))
                for spelling in (other, f"{other_make} {other}")
            ]
    for spelling, each in spelled:
        about.models.setdefault(name_key(spelling), each)
    _index(about, spelled)
    return about


def _index(about: _Make, spelled: Sequence[tuple[str, _Model]]) -> None:
    """Index names by their cut form and by their sound, unless two models share it.

    A name that the others merely extend keeps it: «CONTINENTA» is a Continental, not one of its variants.
    """
    shared: set[tuple[int, str]] = set()
    first: dict[str, str] = {}
    for spelling, each in sorted(spelled, key=lambda pair: len(pair[0])):
        key = sound(name_key(spelling))
        if about.sounds.setdefault(key, each) != each:
            shared.add((0, key))
        if len(spelling) > CUT:
            key = name_key(spelling[:CUT])
            if about.cut.setdefault(key, each) != each and not spelling.startswith(first[key]):
                shared.add((1, key))
            first.setdefault(key, spelling)
    for table, key in shared:
        del (about.sounds, about.cut)[table][key]


# Looking up


@lru_cache(maxsize=CACHED)
def _word(name: Field, text: str) -> Match | None:
    table = _words()[name]
    keys = [key_of(words) for words in readings(text)]
    for key in keys:
        if key in table:
            return _named(table, key)
    return _guessed(table, keys[-1])


@lru_cache(maxsize=CACHED)
def _make(text: str) -> Match | None:
    table = _makes()[0]
    for words in readings(text):
        for end in range(min(len(words), LONGEST_NAME), 0, -1):
            if found := _named(table, key_of(words[:end])):
                return found if end == len(words) else replace(found, how="alias")
    key = key_of(readings(text)[-1])
    if is_cyrillic(text):
        heard = sound(key)
        sounding = {value for other, (value, _) in table.items() if sound(other) == heard}
        if len(sounding) == 1:
            return Match(value=sounding.pop(), how="alias")
    return _guessed(table, key)


def _named(table: Table, key: str) -> Match | None:
    found = table.get(key)
    return None if found is None else Match(value=found[0], how="exact" if found[1] else "alias")


def _guessed(table: Table, key: str) -> Match | None:
    guess = misspelled(key, {other: value for other, (value, _) in table.items()})
    return None if guess is None else Match(value=guess[0], how="fuzzy", score=guess[1])


@lru_cache(maxsize=CACHED)
def _model(make: str, text: str) -> tuple[ModelMatch | None, str]:
    """Return the model that a text names or begins with, without guesses, and the key that was found or tried."""
    about = _about(make)
    if about is None:
        return None, ""
    ways = readings(text)
    for words in ways:
        if words and (found := _exactly(about, key := key_of(words))):
            return found, key
    if is_cyrillic(text):
        found, key = _sounding(about, ways[-1])
        if found:
            return found, key
    if CUT - 1 <= len(text.strip()) <= CUT and (each := about.cut.get(key := key_of(ways[0]))):
        return each.match("alias"), key
    for words in ways:
        found, key = _beginning(about, words[:-1])
        if found:
            return replace(found, how="alias"), key
    return None, key_of(ways[0])


def _model_in(about: _Make, title: str) -> tuple[ModelMatch | None, str]:
    """Return the model that a title names after its make, or at its beginning: «Range Rover Sport» names both."""
    words: Sequence[str] = ()
    behind = 0
    for words in read(title[:LONGEST_TITLE]):
        ends = range(min(len(words), LONGEST_NAME), 0, -1)
        behind = next((end for end in ends if key_of(words[:end]) in about.keys), 0)
        for rest in (words[behind:], words) if behind else (words,):
            found, key = _beginning(about, rest, in_title=True)
            if found:
                return found, key
    return _sounding(about, words[behind:]) if words and is_cyrillic(title) else (None, "")


def _beginning(about: _Make, words: Sequence[str], *, in_title: bool = False) -> tuple[ModelMatch | None, str]:
    """Return the model with the longest name that words begin with, and its key."""
    for end in range(min(len(words), LONGEST_NAME), 0, -1):
        key = key_of(words[:end])
        found = _exactly(about, key)
        if found and not (in_title and found.value.removeprefix(f"{about.name} ") in about.careful):
            return found, key
    return None, ""


def _sounding(about: _Make, words: Sequence[str]) -> tuple[ModelMatch | None, str]:
    """Return the model with the longest name that words begin with by their sound, and its key."""
    for end in range(min(len(words), LONGEST_NAME), 0, -1):
        if each := about.sounds.get(sound(key := key_of(words[:end]))):
            return each.match("alias"), key
    return None, ""


def _exactly(about: _Make, key: str) -> ModelMatch | None:
    """Return the model that a key names, with or without its make, or whose pattern it matches."""
    found = about.models.get(key)
    if found:
        return found.match("exact" if key in about.exact and found.make == about.name else "alias")
    for pattern, name, family in about.numbers:
        if fits := pattern.fullmatch(key):
            groups = [group.upper() for group in fits.groups() if group is not None]
            each = _Model(make=about.name, name=name.format(*groups), family=family.format(*groups))
            return each.match("exact" if key == name_key(each.name) else "alias")
    for prefix in about.keys:
        rest = key.removeprefix(prefix)
        if rest and rest != key and (behind := _exactly(about, rest.lstrip("_"))):
            return behind
    return None


@lru_cache(maxsize=CACHED)
def _guessed_model(make: str, text: str) -> ModelMatch | None:
    about = _about(make)
    if about is None:
        return None
    models = {f"{each.make} {each.name}": each for each in about.models.values()}
    values = {key: f"{each.make} {each.name}" for key, each in about.models.items()}
    words = readings(text)[-1]
    for end in range(min(len(words), LONGEST_NAME), 0, -1):
        if guess := misspelled(key_of(words[:end]), values):
            return models[guess[0]].match("fuzzy", guess[1])
    return None
