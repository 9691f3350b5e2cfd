"""Reads a text from its beginning to its end: each token becomes a part of the filter, a question, or a leftover."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from vinops import vehicles
from vinops.filter_text import links
from vinops.filter_text.asides import aside_at
from vinops.filter_text.auctions import Auctions, kind_of
from vinops.filter_text.cars import Car, generation_at, generation_behind, model_behind, name_at
from vinops.filter_text.denied import behind_denial, denied_at, denies
from vinops.filter_text.draft import Open
from vinops.filter_text.guesses import from_chat, other_layout, slip, turned_to_latin
from vinops.filter_text.quantities import LEAST_PRICE, fields_of, quantity_at
from vinops.filter_text.tables import around_values, is_in, look_up, phrases
from vinops.filter_text.tokens import is_month, number_at, tokens_of, unmixed
from vinops.filter_text.understood import Ambiguity, Choice
from vinops.text import words as ad_words

if TYPE_CHECKING:
    from datetime import date

    from vinops.filter_text.quantities import Quantity
    from vinops.filter_text.tables import Entry
    from vinops.filter_text.understood import Understood

NUMBERED: Final = ("BMW", "Peugeot", "Fiat")
"""Makes whose models are numbers that may be the power as well."""
SAYING: Final = ("$", "£", "%", "<", ">", "<=", ">=")
"""Signs that say something: left over where they are not understood."""
AD_SETS: Final = ("region", "seller", "words", "words_not")
AD_NUMBERS: Final = ("min_score", "below_market")
"""Fields that lots do not have."""
LETTERS: Final = ("в", "с", "а", "е", "и", "a", "v", "s", "i", "e")
"""Words of one letter, which are models of some makes as well."""
BY: Final = ("с", "със", "by", "with", "s", "sas")
JOINTS: Final = ("или", "и", "or", "and", "ili", "i", "/", ",", "&")


class Reading(Auctions):
    """Reads a text: each method reads what begins at a place, and returns the place behind it; None if it does not
    understand it."""

    def read(self) -> None:
        """Read all tokens."""
        self.tokens = tokens_of(self.text)
        self.states = ["left over"] * len(self.tokens)
        self.kind = kind_of(self.text, self.tokens)
        place = 0
        while place < len(self.tokens):
            end = self.step(place) if self.kind != "lot" else self.step_of_lots(place)
            if end is None:
                sign = self.tokens[place]
                if sign.kind == "sign" and sign.text not in SAYING and not sign.text.isalnum():
                    self.states[place] = "understood"
                place += 1
            else:
                place = end
        self.close()

    def step_of_lots(self, place: int) -> int | None:
        """Read what begins at a place. What lots do not have, as regions or a score, is left over."""
        sets = {name: dict(self.sets.get(name, {})) for name in AD_SETS}
        numbers = {name: self.numbers.get(name) for name in AD_NUMBERS}
        end = self.step(place)
        is_changed = False
        for name, known in sets.items():
            if self.sets.get(name, {}) != known:
                self.sets[name] = known
                is_changed = True
        for name, number in numbers.items():
            if self.numbers.get(name) != number:
                del self.numbers[name]
                is_changed = True
        return self.take(place, end, "left over") if is_changed and end is not None else end

    def step(self, place: int) -> int | None:
        """Read what begins at a place, and return the place behind it; None if it is not understood."""
        for recognize in (
            self.link, self.aside, self.auction, self.foreign, self.market, self.bounded, self.denial, self.unasked,
            self.name, self.bare, self.noise, self.guess,
        ):  # fmt: skip
            end: int | None = recognize(place)
            if end is not None:
                return end
        return None

    def link(self, place: int) -> int | None:
        token = self.tokens[place]
        if token.kind == "quote":
            return self.words(token.text[1:-1], place)
        if token.text == "+" and not token.is_glued and self.is_glued_word(place + 1):
            end = self.words(self.tokens[place + 1].text, place)
            return end if end is None else self.take(place, place + 2)
        if token.kind != "link":
            return None
        found = links.read(token.text)
        for name, values in found.values:
            self.add(name, values)
        for name, number in found.numbers.items():
            if self.is_in_order({name: number}):
                self.numbers.setdefault(name, number)
            else:  # «7000» in front of a link from 8,000
                self.extra_leftovers.append(f"{number:f}")
        if found.leftovers == [token.text]:
            return None
        self.extra_leftovers += found.leftovers
        return self.take(place, place + 1)

    def aside(self, place: int) -> int | None:
        """Leave a day or a distance over: its numbers are no year and no mileage of a car."""
        end = aside_at(self.text, self.tokens, place)
        return None if end is None else self.take(place, end, "left over")

    def words(self, text: str, place: int) -> int | None:
        found = [word for word in ad_words.of_query(text) if ad_words.keys(word) and not ad_words.is_common(word)]
        if not found:
            return None
        self.add("words", found)
        return self.take(place, place + 1)

    def foreign(self, place: int) -> int | None:
        """Leave an amount over whose currency stands in front of it and is not ours: «$5000»."""
        if self.tokens[place].text not in ("$", "£"):
            return None
        found = quantity_at(self.text, self.tokens, place + 1) if place + 1 < len(self.tokens) else None
        return None if found is None else self.take(place, found.end, "left over")

    def market(self, place: int) -> int | None:
        """Read «15 % под пазара» and «под пазара с 15 %»; leave another share over."""
        if (share := self.share(place)) is not None:
            end = self.below(share.end)
        elif (begin := self.below(place)) is not None and begin < len(self.tokens):
            share = self.share(begin + (self.tokens[begin].low in BY))
            end = None if share is None else share.end
        if share is None:
            return None
        if end is None or share.low is None or not 0 < share.low <= 100:
            return self.take(place, share.end, "left over")
        self.numbers.setdefault("below_market", share.low)
        return self.take(place, end)

    def share(self, place: int) -> Quantity | None:
        """Return the share that begins at a place: «поне 15 %»."""
        while (found := phrases("bounds").find(self.tokens, place)) and found[0] == "low":
            place = found[1]
        quantity = quantity_at(self.text, self.tokens, place) if place < len(self.tokens) else None
        return quantity if quantity is not None and quantity.field == "percent" and quantity.low is not None else None

    def below(self, place: int) -> int | None:
        below = phrases("market").find(self.tokens, place)
        if below is None or below[0] != "below":
            return None
        market = phrases("market").find(self.tokens, below[1])
        return market[1] if market is not None and market[0] == "market" else None

    def bounded(self, place: int) -> int | None:
        """Read a quantity that words begin («до 150 000 км»)."""
        return None if self.tokens[place].kind == "number" else self.quantity(place)

    def bare(self, place: int) -> int | None:
        """Read a quantity that a number begins; a word behind it without a blank that is no unit goes with it
        («4matic»)."""
        if self.tokens[place].kind != "number":
            return None
        number = number_at(self.tokens, place)
        is_name = number is not None and self.is_glued_word(number.end) and not self.is_unit(number.end)
        if number and is_name and self.is_diesel(place, number.end):
            self.add("fuel", ["diesel"])
            return self.take(place, number.end + 1)
        if number and is_name and (found := self.engine(number.end)):  # «2.0tdi»
            self.add(*found)
            self.take(place, number.end, "left over")
            return self.take(number.end, number.end + 1)
        return self.take(place, number.end + 1, "left over") if number and is_name else self.quantity(place)

    def engine(self, place: int) -> Entry | None:
        """Return the fuel that a word names, None if it names none."""
        found = look_up(self.tokens[place].text)
        return found if found is not None and found[0] == "fuel" else None

    def is_diesel(self, place: int, end: int) -> bool:
        """Tell whether an engine is named that is a diesel: «X5 30d», «E39 530d»."""
        is_car_known = bool(self.make) or "family" in self.sets
        is_short = end == place + 1 and len(self.tokens[place].text) in (2, 3)
        return is_car_known and is_short and self.tokens[end].low in ("d", "д")

    def quantity(self, place: int) -> int | None:
        found = quantity_at(self.text, self.tokens, place)
        if found is None:
            return None
        fields = fields_of(found, self.this_year)
        models: dict[str, str] = {}
        if fields == ("power",) and not found.field:  # «320»: its power, or a model
            models = self.models_of(found.text)
            if not models and self.make:
                fields = ()
        if not fields:
            return self.take(found.start, found.end, "left over")
        if len(fields) == 1 and not (fields == ("power",) and not found.field):
            if self.settle(found, fields[0]):
                self.take(found.start, found.end)
                for month in range(found.start, found.end):
                    if is_month(self.tokens, month):
                        self.take(month, month + 1, "left over")
                return found.end
            return self.take(found.start, found.end, "left over")
        self.open.append(Open(text=found.text, start=found.start, end=found.end, fields=fields, quantity=found,
                               families=tuple(models), models=tuple(models.values())))  # fmt: skip
        return self.take(found.start, found.end, "asked")

    def models_of(self, number: str) -> dict[str, str]:
        """Return the families whose model is called by a number, and what such a model is called: of the make that is
        named, or of those whose models are called so."""
        makes = [self.make] if self.make else NUMBERED
        found = [match for make in makes if (match := vehicles.named(make, number))]
        return {match.family: match.value for match in found}

    def denial(self, place: int) -> int | None:
        found = denied_at(self.text, self.tokens, place)
        if found is None:
            return self.denied_number(place)
        if any(not {*remaining} & {*self.sets.get(name, remaining)} for name, remaining in found.remaining):
            return self.take(place, found.end, "left over")  # «diesel, not diesel»
        for name, remaining in found.remaining:
            known = self.sets.get(name)
            self.sets[name] = dict.fromkeys(each for each in remaining if known is None or each in known)
        for each in found.words_not:
            self.add("words_not", ad_words.of_query(each))
        return self.take(place, found.end)

    def denied_number(self, place: int) -> int | None:
        """Leave a number over that is denied: «не 2015», "except 2015"."""
        begin = behind_denial(self.tokens, place + 1) if denies(self.tokens, place) else len(self.tokens)
        found = quantity_at(self.text, self.tokens, begin) if begin < len(self.tokens) else None
        return None if found is None else self.take(place, found.end, "left over")

    def unasked(self, place: int) -> int | None:
        """Leave a phrase over that has a word of a field in it, and does not mean it: «първи собственик»."""
        found = phrases("not_asked_for").find(self.tokens, place)
        return self.take(place, found[1], "left over") if found and found[0] == "phrases" else None

    def name(self, place: int) -> int | None:
        """Read a make with its models, a model alone, a generation alone, or a word of another field."""
        if self.make and self.is_joined(place) and (car := self.behind(place, self.make)):
            return self.car(place, car)
        found = name_at(self.text, self.tokens, place)
        if found is None:
            if (alone := generation_at(self.tokens, place)) is not None:
                family, years = alone
                self.add("family", [family])
                self.generations.append((years, place))
                return self.take(place, place + 1)
            return None
        name, values, end = found
        return self.entry(place, end, (name, values))

    def entry(self, place: int, end: int, entry: Entry) -> int:
        """Take a name of a field, and the model behind a make."""
        name, values = entry
        if name == "make":
            self.make = values[0]
            self.take(place, end)
            if (car := self.behind(end, self.make)) is not None:
                return self.car(end, car)
            if (car := self.layout_behind(end)) is not None:
                return self.car(end, car)
            self.bare_makes[self.make] = place
            return end
        if name == "body" and values == ("suv",) and (jeep := self.behind(end, "Jeep")) is not None:
            self.make = "Jeep"
            return self.car(end, jeep, start=place)
        if name == "family":
            self.make = next((each for each in vehicles.makes().values() if values[0].startswith(f"{each} ")), "")
            return self.families(place, end, values)
        self.add(name, values)
        return self.take(place, end)

    def behind(self, place: int, make: str) -> Car | None:
        """Return the model behind a make; behind the word «модел» a number is one, and no year."""
        if place >= len(self.tokens):
            return None
        found = model_behind(self.text, self.tokens, place, make, self.this_year)
        if found is None and self.tokens[place].low in ("модел", "model") and place + 1 < len(self.tokens):
            found = model_behind(self.text, self.tokens, place + 1, make, self.this_year)
            return None if found is None else replace(found, open_year="")
        return found

    def layout_behind(self, place: int) -> Car | None:
        """Return the model behind a make whose letters were typed in the other layout: «й5»."""
        if place >= len(self.tokens) or self.tokens[place].kind != "word" or self.tokens[place].text.isascii():
            return None
        word = self.tokens[place].text
        if name_at(self.text, self.tokens, place) or not any(each.isdigit() for each in word):
            return None
        found = vehicles.named(self.make, turned_to_latin(word))
        return None if found is None else Car(end=place + 1, families=(found.family,))

    def is_joined(self, place: int) -> bool:
        """Tell whether a place follows a model and a word that joins: «А4 или А6»."""
        is_word = self.tokens[place].low in LETTERS  # «А4, в София»
        return place > 1 and self.tokens[place - 1].low in JOINTS and "family" in self.sets and not is_word

    def car(self, place: int, car: Car, *, start: int | None = None) -> int:
        start = place if start is None else start
        if car.open_year:
            quantity = quantity_at(self.text, self.tokens, place)
            if quantity is not None:
                if not quantity.is_bare:  # «2008+», «2008 г.» is the year
                    self.bare_makes[self.make] = place - 1
                    return self.quantity(place) or car.end
                self.open.append(Open(text=car.open_year, start=place, end=car.end, fields=("year",),
                                       quantity=quantity, families=car.families,
                                       models=(f"модел {car.open_year}",)))  # fmt: skip
                self.bare_makes[self.make] = place - 1
                return self.take(start, car.end, "asked")
        if car.families == ("Mercedes-Benz C-Class",) and self.is_spoken_s(place):
            choices = tuple(Choice(field="family", words=words) for words in ("C-Class", "S-Class"))
            typed = self.text[self.tokens[place].start : self.tokens[car.end - 1].end]
            self.ambiguous.append(Ambiguity(text=typed, choices=choices, start=self.tokens[place].start))
            self.bare_makes[self.make] = place - 1
            return self.take(start, car.end, "asked")
        if car.fuel:
            self.add("fuel", [car.fuel])
        return self.families(start, car.end, car.families)

    def is_spoken_s(self, place: int) -> bool:
        """Tell whether «с клас» is typed in Cyrillic letters: the letter looks like a C and is spoken as an S."""
        behind = self.tokens[place + 1 : place + 3]
        return self.tokens[place].low == "с" and any(token.low.startswith("клас") for token in behind)

    def families(self, start: int, end: int, families: tuple[str, ...]) -> int:
        families, end = self.number_of(end, families)
        self.add("family", families)
        self.take(start, end)
        begin = end
        while len(families) == 1 and (found := generation_behind(self.text, self.tokens, begin, families[0])):
            self.generations.append((found[0], begin))
            self.take(end, begin)
            end = self.take(begin, found[1])
            if end >= len(self.tokens) or self.tokens[end].low not in JOINTS:
                break
            begin = end + 1  # «B6/B7», «Голф 5 или 6»
        return end

    def number_of(self, place: int, families: tuple[str, ...]) -> tuple[tuple[str, ...], int]:
        """Return the family that a number behind its name is another name of, and the place behind: «Нива 2121»."""
        found = quantity_at(self.text, self.tokens, place)
        if found is None or not found.is_bare or found.value < LEAST_PRICE:
            return families, place
        for family in families:
            make = next((each for each in vehicles.makes().values() if family.startswith(f"{each} ")), "")
            named = vehicles.named(make, found.text)
            if named is not None and named.family == family:
                return (family,), found.end
        return families, place

    def noise(self, place: int) -> int | None:
        token = self.tokens[place]
        if token.kind == "word" and is_in(token.low, "noise", "words"):
            return self.take(place, place + 1)
        return None

    def guess(self, place: int) -> int | None:
        token = self.tokens[place]
        if token.kind != "word" or token.low in around_values():
            return None
        entry = other_layout(token.text) or slip(token.text, self.make)
        if entry is None and self.make and (found := vehicles.model(self.make, token.text)) is not None:
            entry = ("family", (found.family,)) if found.how == "fuzzy" and len(token.text) >= 5 else None
        return None if entry is None else self.entry(place, place + 1, entry)


def parse(text: str, *, today: date | None = None) -> Understood:
    """Return the filter that a text asks for, and what of it was not understood or can be two things. Raises nothing.

    The first thousand characters are read; the rest is left over. `today` is the day from which ages count.
    """
    reading = Reading(text=from_chat(unmixed(text)), this_year=(today or datetime.now(UTC).date()).year)
    reading.read()
    reading.text = text  # what is shown is what was typed
    return reading.found()
