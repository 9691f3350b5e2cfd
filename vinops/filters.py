"""One filter of the market: what the parameters of a page's address, a CSV and a saved alert ask for.

`Filter.parse` reads parameters as people write them, in the words of the vocabulary and in either alphabet. Whatever it
does not understand is named in a `Problem`. `to_params` writes canonical parameters, which parse to the same filter.
vinops/board/writer.py turns a filter into SQL.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self, TypeAlias, cast

from vinops import vehicles
from vinops.text import words as ad_words

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

Gone: TypeAlias = Literal["no", "also", "only"]
"""Whether ads are found that are still advertised (no), those that are gone (only), or both (also)."""

LONGEST_VALUE: Final = 200  # characters of a parameter
MOST_VALUES: Final = 50  # makes, families or words
SELLERS: Final = {
    "private": ("private", "частно лице", "частник", "собственик"),
    "dealer": ("dealer", "дилър", "търговец", "автокъща"),
}
GONES: Final = {"no": ("no", "0", "false"), "also": ("also", "all", "any"), "only": ("only", "yes", "1", "true", "on")}
_HOURS: Final = {"h": 1, "d": 24, "w": 7 * 24}
_SINCE: Final = re.compile(r"([0-9]{1,4}) ?([hdw])")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DIGITS: Final = re.compile(r"[0-9]{1,3}(?:[ .,'’\u00a0\u202f][0-9]{3})+|[0-9]+")
_DECIMAL: Final = re.compile(r"([0-9]+)[.,]([0-9]{1,2})")
_UNITS: Final = ("€", "eur", "euro", "евро", "km", "км", "hp", "к.с.", "кс", "%")


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A parameter that was not understood, or not as it was written, and why. `value` is from outside: escape it."""

    name: str
    value: str
    reason: str


class UnknownValueError(ValueError):
    """Raised by the parser of a value, with the reason."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """How a field is read and written: `read` one value, `many` whether it may be given several times."""

    read: Callable[[str], Any]
    write: Callable[[Any], list[str]]
    many: bool = False
    default: Any = None


@dataclass(frozen=True, kw_only=True)
class Asking:
    """What is asked for: a base for frozen dataclasses whose fields are parameters, which `described` describes."""

    RANGES: ClassVar[Sequence[str]] = ()
    """Fields with a `_from` and a `_to`."""
    WHAT: ClassVar[str] = "ad"

    @classmethod
    def described(cls) -> Mapping[str, Field]:
        """Return how the fields are read and written, by the names of their parameters, in canonical order."""
        raise NotImplementedError

    @classmethod
    def parse(cls, params: Iterable[tuple[str, str]], *, others: Collection[str] = ()) -> tuple[Self, list[Problem]]:
        """Return the filter of some parameters, and what of them was not understood. Raises nothing.

        Empty values count as not given: forms send them. Parameters named in `others`, such as `sort`, are not the
        filter's. A field that is not understood asks for nothing: show the problems, or refuse to save the filter.
        """
        reading = Reading(fields=cls.described(), ranges=cls.RANGES, what=cls.WHAT)
        return cls(**reading.read(params, others)), reading.problems

    def to_params(self) -> list[tuple[str, str]]:
        """Return the canonical parameters, in the order of the fields: the same filter has one spelling."""
        found = []
        for name, about in self.described().items():
            value = getattr(self, name)
            if value != about.default:
                found += [(name, text) for text in about.write(value)]
        return found

    def without(self, name: str, value: str | None = None) -> Self:
        """Return the filter without a field, or without one of its values: what the cross of a chip links to."""
        kept = tuple(each for each in getattr(self, name) if each != value) if value is not None else None
        changed = {each.name: getattr(self, each.name) for each in fields(self)}
        return type(self)(**changed | {name: kept if kept is not None else self.described()[name].default})

    @property
    def is_empty(self) -> bool:
        """Whether it asks for nothing: all that is for sale."""
        return self == type(self)()


@dataclass(frozen=True, kw_only=True)
class Filter(Asking):
    """What ads are asked for. A field that is None or empty asks for nothing; several values of one field are
    alternatives; different fields all have to hold. An ad that does not give a figure that is asked for is not found.

    Years of first registration, EUR with tax, km, hp. `below_market` is how many per cent at least the price is below
    the estimate. `new_since` is when vinops first saw the ad: within such a time, or from the beginning of a day.
    Each word in `words` has to begin a word of the ad, and none in `words_not` may; what an ad denies («без удари») is
    not among its words.
    """

    make: tuple[str, ...] = ()
    family: tuple[str, ...] = ()
    year_from: int | None = None
    year_to: int | None = None
    price_from: Decimal | None = None
    price_to: Decimal | None = None
    km_from: int | None = None
    km_to: int | None = None
    power_from: int | None = None
    power_to: int | None = None
    fuel: tuple[str, ...] = ()
    gearbox: tuple[str, ...] = ()
    body: tuple[str, ...] = ()
    color: tuple[str, ...] = ()
    region: tuple[str, ...] = ()
    seller: tuple[str, ...] = ()
    min_score: Decimal | None = None
    below_market: Decimal | None = None
    new_since: timedelta | date | None = None
    gone: Gone = "no"
    words: tuple[str, ...] = ()
    words_not: tuple[str, ...] = ()

    RANGES: ClassVar[Sequence[str]] = ("year", "price", "km", "power")

    @classmethod
    def described(cls) -> Mapping[str, Field]:
        """Return FIELDS."""
        return FIELDS


@dataclass(kw_only=True)
class Reading:
    """The state of reading parameters, of `what`."""

    fields: Mapping[str, Field]
    ranges: Sequence[str]
    what: str
    problems: list[Problem] = field(default_factory=list)

    def read(self, params: Iterable[tuple[str, str]], others: Collection[str]) -> dict[str, Any]:
        """Return the values of the fields that are given; what was not understood is in `problems` then."""
        given: dict[str, list[str]] = {}
        for name, value in params:
            if name in self.fields:
                if text := " ".join(value.split()):
                    given.setdefault(name, []).append(text)
            elif name not in others:
                self.object_to(name, value, "there is no such filter")
        values = {name: self.value(name, given[name]) for name in self.fields if name in given and name != "family"}
        if "family" in given:  # «3 Series» is one of BMW if that make is asked for
            values["family"] = self.several("family", given["family"], partial(family, makes=values.get("make", ())))
        found = {name: value for name, value in values.items() if value not in (None, ())}
        self.compare(found)
        return found

    def value(self, name: str, texts: Sequence[str]) -> Any:
        about = self.fields[name]
        if about.many:
            return self.several(name, texts, about.read)
        if any(text != texts[0] for text in texts):
            self.object_to(name, texts[-1], f"it is given more than once: {texts[0][:LONGEST_VALUE]} counts")
        return self.one(name, texts[0], about.read)

    def several(self, name: str, texts: Sequence[str], read: Callable[[str], Any]) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for text in texts:
            for value in self.one(name, text, read) or ():
                if len(found) < MOST_VALUES:
                    found[value] = None
                elif value not in found:
                    self.object_to(name, value, f"only {MOST_VALUES} can be asked for at once")
        return tuple(sorted(found))

    def one(self, name: str, text: str, read: Callable[[str], Any]) -> Any:
        if len(text) > LONGEST_VALUE:
            self.object_to(name, text[:LONGEST_VALUE], f"it is longer than {LONGEST_VALUE} characters")
            return None
        try:
            value = read(text)
        except UnknownValueError as error:
            self.object_to(name, text, str(error))
            return None
        if isinstance(value, _Noted):
            self.problems += [Problem(name=name, value=said, reason=reason) for said, reason in value.notes]
            return value.value
        return value

    def compare(self, found: Mapping[str, Any]) -> None:
        for name in self.ranges:
            low, high = found.get(f"{name}_from"), found.get(f"{name}_to")
            if low is not None and high is not None and low > high:
                reason = f"it is more than {name}_to: no {self.what} can be found"
                self.object_to(f"{name}_from", _number(low), reason)

    def object_to(self, name: str, value: str, reason: str) -> None:
        self.problems.append(Problem(name=name[:LONGEST_VALUE], value=value[:LONGEST_VALUE], reason=reason))


@dataclass(frozen=True, kw_only=True)
class _Noted:
    """A value that was understood, in part or not as written, and notes on that: text and reason."""

    value: Any
    notes: Sequence[tuple[str, str]]


# Reading


def _word(text: str, *, what: str, look_up: Callable[[str], vehicles.Match | None]) -> tuple[str, ...]:
    found = look_up(text)
    if found is None:
        raise UnknownValueError(f"there is no such {what}")
    if found.how == "fuzzy":
        raise UnknownValueError(f"there is no such {what}; is {found.value} meant?")
    return (found.value,)


def family(text: str, makes: Sequence[str]) -> Any:
    """Return the family of a text that begins with its make, or names a family of one of these makes."""
    if text in vehicles.families():
        return (text,)
    of_text = vehicles.make_in(text)
    tried = [of_text.value] if of_text else makes
    if not tried:
        raise UnknownValueError("it names no make, and none is given: write both, as in BMW X5")
    matches = [match for make in tried if (match := vehicles.model(make, text))]
    found = [match for match in matches if match.how != "fuzzy"]
    if not found:
        meant = f"; is {matches[0].family} meant?" if matches else ""
        raise UnknownValueError(f"{' and '.join(tried)} has no such family{meant}")
    values = tuple(dict.fromkeys(match.family for match in found))
    wider = [(text, f"{each.value} is one of the {each.family}, all of which are shown")
             for each in found if each.value != each.family]  # fmt: skip
    return _Noted(value=values, notes=wider) if wider else values


def choice(text: str, choices: Mapping[str, Sequence[str]]) -> str:
    for value, names in choices.items():
        if text.casefold() in names:
            return value
    raise UnknownValueError(f"it is none of {', '.join(choices)}")


def _seller(text: str) -> tuple[str, ...]:
    return (choice(text, SELLERS),)


def whole(text: str, *, least: int = 0, most: int) -> int:
    found = _DIGITS.fullmatch(_bare(text))
    if not found:
        raise UnknownValueError("it is not a whole number")
    number: int = within(int(re.sub(r"[^0-9]", "", found[0])), least, most)
    return number


def _amount(text: str, *, most: int, least: int = 0, has_thousands: bool = True) -> Decimal:
    bare = _bare(text)
    if has_thousands and (found := _DIGITS.fullmatch(bare)):
        return Decimal(within(int(re.sub(r"[^0-9]", "", found[0])), least, most))
    if found := _DECIMAL.fullmatch(bare):
        return _plain(within(Decimal(f"{found[1]}.{found[2]}"), least, most))
    if bare.isascii() and bare.isdecimal():
        return Decimal(within(int(bare), least, most))
    raise UnknownValueError("it is not a number")


def _plain(number: Decimal) -> Decimal:
    """Return a number without zeros behind its point: 7.50 is 7.5, and 10.00 is 10."""
    return number.quantize(Decimal(1)) if number == number.to_integral_value() else number.normalize()


def _bare(text: str) -> str:
    """Return the text of a number without its unit."""
    text = text.casefold()
    return next((text.removesuffix(unit).strip() for unit in _UNITS if text.endswith(unit)), text)


def within(number: Any, least: int, most: int) -> Any:
    if not least <= number <= most:
        raise UnknownValueError(f"it is not between {least} and {most}")
    return number


def since(text: str) -> timedelta | date:
    if found := _SINCE.fullmatch(text.casefold()):
        hours = int(found[1]) * _HOURS[found[2]]
        if hours:
            return timedelta(hours=hours)
    elif _DAY.fullmatch(text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            raise UnknownValueError("there is no such day") from None
    raise UnknownValueError("write a time as in 24h, 3d or 2w, or a day as in 2026-07-31")


def _words(text: str) -> Any:
    notes = []
    found = []
    for word in ad_words.of_query(text):
        if word in ad_words.DENIALS:
            notes.append((word, "a denial is no word of an ad: give what is not wanted as words_not"))
        elif not ad_words.keys(word):
            notes.append((word, "it has no letters that are searched for"))
        elif ad_words.is_common(word):
            notes.append((word, "it is in every ad, and is not searched for"))
        else:
            found.append(word)
    if not found and not notes:
        raise UnknownValueError("it has no words")
    return _Noted(value=tuple(found), notes=notes) if notes else tuple(found)


# Writing


def _number(value: Any) -> str:
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def written_time(value: timedelta | date) -> str:
    if isinstance(value, date):
        return value.isoformat()
    hours = int(value.total_seconds()) // 3600
    return f"{hours // 24}d" if hours % 24 == 0 else f"{hours}h"


def vocabulary(what: str, look_up: Callable[[str], vehicles.Match | None]) -> Field:
    return Field(read=partial(_word, what=what, look_up=look_up), write=list, many=True, default=())


def bound(most: int, least: int = 0) -> Field:
    return Field(read=partial(whole, least=least, most=most), write=lambda value: [_number(value)])


def decimal(most: int, least: int = 0, *, has_thousands: bool = False) -> Field:
    return Field(
        read=partial(_amount, least=least, most=most, has_thousands=has_thousands),
        write=lambda value: [_number(value)],
    )


def _text() -> Field:
    return Field(read=_words, write=lambda value: [" ".join(value)], many=True, default=())


FIELDS: Final[Mapping[str, Field]] = {
    "make": vocabulary("make", vehicles.make),
    "family": Field(read=partial(family, makes=()), write=list, many=True, default=()),
    "year_from": bound(2100, 1900),
    "year_to": bound(2100, 1900),
    "price_from": decimal(100_000_000, has_thousands=True),
    "price_to": decimal(100_000_000, has_thousands=True),
    "km_from": bound(10_000_000),
    "km_to": bound(10_000_000),
    "power_from": bound(10_000),
    "power_to": bound(10_000),
    "fuel": vocabulary("fuel", vehicles.fuel),
    "gearbox": vocabulary("gearbox", vehicles.gearbox),
    "body": vocabulary("body", vehicles.body),
    "color": vocabulary("color", vehicles.colour),
    "region": vocabulary("region", vehicles.region),
    "seller": Field(read=_seller, write=list, many=True, default=()),
    "min_score": decimal(10, 1),
    "below_market": decimal(100),
    "new_since": Field(read=since, write=lambda value: [written_time(value)]),
    "gone": Field(read=lambda text: cast("Gone", choice(text, GONES)), write=lambda value: [value], default="no"),
    "words": _text(),
    "words_not": _text(),
}
"""The fields by the names of their parameters, in canonical order."""
