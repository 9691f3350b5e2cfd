"""The draft of a filter while a text is read: what was found so far, and what becomes of it in the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal

from vinops import vehicles
from vinops.filter_text.quantities import Quantity, sides
from vinops.filter_text.tables import is_in, phrases
from vinops.filter_text.tokens import LONGEST, is_month, number_at
from vinops.filter_text.understood import Ambiguity, Choice, Piece, Understood
from vinops.filters import MOST_VALUES, Filter
from vinops.lots.filter import LotFilter

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta

    from vinops.filter_text.tokens import Token

SHARED: Final = ("make", "family", "fuel", "gearbox", "body", "color")
"""Fields of values that both filters have."""
OF_LOTS: Final = ("year_from", "year_to", "km_to", "price_to")
"""Numbers that a filter of lots has as well, some under another name."""
WHOLE: Final = ("year_from", "year_to", "km_from", "km_to", "power_from", "power_to")


@dataclass(kw_only=True)
class Open:
    """A part of the text that can be several things: the text typed, its tokens, and the quantity or the families."""

    text: str
    start: int
    end: int
    fields: tuple[str, ...]
    quantity: Quantity
    families: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    """For each family the words that name the model."""


@dataclass(kw_only=True)
class Draft:
    """What was found of a text so far."""

    text: str
    this_year: int
    tokens: list[Token] = field(default_factory=list)
    sets: dict[str, dict[str, None]] = field(default_factory=dict)
    numbers: dict[str, Decimal] = field(default_factory=dict)
    generations: list[tuple[tuple[int, int], int]] = field(default_factory=list)
    """The years of generations, and where they are named."""
    states: list[str] = field(default_factory=list)
    extra_leftovers: list[str] = field(default_factory=list)
    open: list[Open] = field(default_factory=list)
    ambiguous: list[Ambiguity] = field(default_factory=list)
    bare_makes: dict[str, int] = field(default_factory=dict)
    """Makes that are named without a model, and where."""
    kind: Literal["ad", "lot", "both"] = "ad"
    lot_sets: dict[str, dict[str, None]] = field(default_factory=dict)
    lot_numbers: dict[str, Decimal] = field(default_factory=dict)
    """What only lots have: values by field, and amounts."""
    within: timedelta | None = None
    buy_now: str | None = None
    make: str = ""
    """The make that was named last: what follows may be its model."""

    def take(self, start: int, end: int, state: str = "understood") -> int:
        """Mark tokens, and return the place behind them."""
        self.states[start:end] = [state] * (end - start)
        return end

    def add(self, name: str, found: Iterable[str]) -> None:
        """Add values of a field."""
        self.sets.setdefault(name, {}).update(dict.fromkeys(found))

    def is_unit(self, place: int) -> bool:
        is_suffix = is_in(self.tokens[place].low, "suffixes", "low")
        return is_suffix or phrases("units").find(self.tokens, place) is not None

    def is_glued_word(self, place: int) -> bool:
        return place < len(self.tokens) and self.tokens[place].kind == "word" and self.tokens[place].is_glued

    def settle(self, quantity: Quantity, name: str) -> bool:
        """Take a quantity for a field; False if the text says something else already, or it sets nothing."""
        found = sides(quantity, name, self.this_year)
        if name == "year" and found.get("year_from") == found.get("year_to"):
            found = self.with_years_beside(found, quantity.start)
        if self.kind == "lot" and not found.keys() <= {*OF_LOTS}:
            return False
        landed = self.lot_numbers.get("landed_to") if self.kind == "lot" else None
        if landed is not None and found.get("price_to", landed) != landed:
            return False
        if not found or any(self.numbers.get(side, number) != number for side, number in found.items()):
            return False
        if not self.is_in_order(found):
            return False
        self.numbers.update({side: Decimal(int(n)) if n == int(n) else n for side, n in found.items()})
        return True

    def with_years_beside(self, found: dict[str, Decimal], start: int) -> dict[str, Decimal]:
        """Return the range of a year and of those named before it, if it follows or precedes them («2013, 2014»), or
        if it stands beside its beginning: «2010 2013»."""
        first, last, year = self.numbers.get("year_from"), self.numbers.get("year_to"), found.get("year_from")
        if first is None or last is None or year is None:
            return found
        is_range = first == last < year and start > 0 and self.tokens[start - 1].text == str(first)
        if year not in (first - 1, last + 1) and not is_range:
            return found
        self.numbers.update(year_from=min(first, year), year_to=max(last, year))
        return {"year_from": self.numbers["year_from"], "year_to": self.numbers["year_to"]}

    def is_in_order(self, found: dict[str, Decimal]) -> bool:
        """Tell whether no range ends below its beginning with these numbers."""
        known = self.numbers | found
        return all(
            known[name] <= known[f"{name[:-5]}_to"]
            for name in known
            if name.endswith("_from") and f"{name[:-5]}_to" in known
        )

    def close(self) -> None:
        """Decide what was open by what the rest of the text says, and ask for what remains."""
        for each in self.open:
            fields = self.remaining(each)
            if len(fields) == 1 and not each.families and self.settle(each.quantity, fields[0]):
                self.take(each.start, each.end)
            elif each.families and not fields:
                self.add("family", each.families)
                self.take(each.start, each.end)
            else:
                choices = [
                    *(Choice(field="family", words=words) for words in each.models),
                    *(Choice(field=name, words=_said(each.quantity, name)) for name in fields or each.fields),
                ]
                self.ambiguous.append(Ambiguity(text=each.text, choices=tuple(choices), start=self.begin(each)))
        self.close_generations()

    def close_generations(self) -> None:
        """Take the years of the generations of one family, from the first to the last; those of one car are not those
        of another."""
        if len(self.sets.get("family", ())) == 1 and self.generations:
            years = [each for each, _ in self.generations]
            for name, year in (("year_from", min(years)[0]), ("year_to", max(last for _, last in years))):
                if self.is_in_order({name: Decimal(year)}):
                    self.numbers.setdefault(name, Decimal(year))
        else:
            for _, place in self.generations:
                self.take(place, place + 1, "left over")

    def begin(self, each: Open) -> int:
        """Return where the typed part of an open quantity begins: behind the words in front of its number."""
        last = self.tokens[each.end - 1].end
        found = self.text.find(each.text, self.tokens[each.start].start, last)
        return found if found >= 0 else self.tokens[each.start].start

    def remaining(self, each: Open) -> tuple[str, ...]:
        """Return the fields that an open number may still be about: not those that are given already."""
        bound = {"low": ("_from",), "high": ("_to",)}.get(each.quantity.bound, ("_from", "_to"))
        left = tuple(name for name in each.fields if not any(f"{name}{side}" in self.numbers for side in bound))
        if each.families and "year" in each.fields:
            return () if "year_from" in self.numbers or "year_to" in self.numbers else left
        return left

    def found(self) -> Understood:
        """Return what was understood."""
        makes = dict.fromkeys(self.sets.get("make", {}))
        owners = {_make_of(family): None for family in self.sets.get("family", {})}
        for make, place in self.bare_makes.items():
            if owners and make not in owners:  # «X5 или Мерцедес» are two filters
                self.states[place] = "left over"
            else:
                makes[make] = None
        sets: dict[str, Any] = {name: tuple(sorted(each)[:MOST_VALUES]) for name, each in self.sets.items()}
        sets["make"] = tuple(sorted({**makes, **owners}))[:MOST_VALUES]
        numbers: dict[str, Any] = {
            name: int(number) if name in WHOLE else number for name, number in self.numbers.items()
        }
        return Understood(
            text=self.text,
            filter=Filter(**sets, **numbers),
            lots=None if self.kind == "ad" else self.lots(sets),
            kind=self.kind,
            leftovers=(*self.leftover_tokens(), *self.extra_leftovers, *self.text[LONGEST:].split()),
            ambiguous=tuple(self.ambiguous),
            pieces=self.pieces(),
        )

    def lots(self, sets: dict[str, Any]) -> LotFilter:
        """Return what is asked of lots: what they share with ads, with the price as the cost landed, and their own."""
        shared = {name: sets[name] for name in SHARED if name in sets}
        own: dict[str, Any] = {name: tuple(sorted(each)) for name, each in self.lot_sets.items()}
        numbers: dict[str, Any] = {
            name: int(self.numbers[name]) for name in ("year_from", "year_to") if name in self.numbers
        }
        if "km_to" in self.numbers:
            numbers["odometer_to"] = as_miles(self.numbers["km_to"])
        if "price_to" in self.numbers:
            numbers["landed_to"] = self.numbers["price_to"]
        numbers |= {name: int(number) if name == "profit_from" else number for name, number in self.lot_numbers.items()}
        return LotFilter(**shared, **own, **numbers, sale_within=self.within, buy_now=self.buy_now)

    def leftover_tokens(self) -> list[str]:
        """Return the words and numbers that were not understood; a number with its decimals is one."""
        found = []
        place = 0
        while place < len(self.tokens):
            end = place + 1
            if self.states[place] == "left over":
                if (number := number_at(self.tokens, place)) is not None:
                    end = number.end if not is_month(self.tokens, place) else end
                    if self.is_glued_word(end) and not self.is_unit(end) and self.states[end] == "left over":
                        end += 1
                found.append(self.text[self.tokens[place].start : self.tokens[end - 1].end])
            place = end
        return [each for each in found if any(sign.isalnum() or sign in "$£%<>" for sign in each)]

    def pieces(self) -> tuple[Piece, ...]:
        """Return the text in pieces, without the blanks between them."""
        found: list[Piece] = []
        begin = 0
        last = 0
        for token, state in zip(self.tokens, self.states, strict=True):
            is_understood = state != "left over"
            if not found or found[-1].is_understood != is_understood:
                begin = token.start
                found.append(Piece(text=token.text, is_understood=is_understood))
            last = token.end
            found[-1] = Piece(text=self.text[begin:last], is_understood=is_understood)
        if rest := self.text[LONGEST:].strip():
            found.append(Piece(text=rest, is_understood=False))
        return tuple(found)


def _make_of(family: str) -> str:
    return max((make for make in set(vehicles.makes().values()) if family.startswith(f"{make} ")), key=len, default="")


def _said(quantity: Quantity, name: str) -> str:
    """Return the words that say a quantity of a field without a doubt."""
    unit = {"price": "€", "km": "км", "year": "г.", "power": "к.с."}[name]
    if quantity.high is not None:
        return f"{quantity.low} - {quantity.high} {unit}"
    bound = {"low": "от", "high": "до"}.get(quantity.bound, "до" if name in ("price", "km") else "")
    return f"{bound} {quantity.value:f} {unit}".strip()


def as_miles(km: Decimal) -> int:
    """Return whole miles; of miles that were carried over to whole km those that were typed."""
    return int(km / Decimal("1.609344") + Decimal("0.32"))
