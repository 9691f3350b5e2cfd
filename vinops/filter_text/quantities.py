"""Quantities of a text: a number or a range with its bound, its scale and its unit, and the field that it is about.

A field is decided by the unit or the words around the number, then by its size; what is still open is asked: 150,000
may be km or EUR, «до 2010» a year or a price.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from vinops.filter_text.tables import phrases
from vinops.filter_text.tokens import number_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vinops.filter_text.tokens import Number, Token

Bound: TypeAlias = Literal["low", "high", "about", "exact"]

BGN_PER_EUR: Final = Decimal("1.95583")  # by law, since 1999
KM_PER_MILE: Final = Decimal("1.609344")
HP_PER_KW: Final = Decimal("1.35962")
FIRST_YEAR: Final = 1950
OLDEST: Final = 40  # years of a car's age
LEAST_PRICE: Final = 700  # of a number without a unit: a smaller one may be the power, or a model
LEAST_KM: Final = 1_000  # of a number without a unit: a smaller one is of thousands, perhaps
OPEN: Final = (60_000, 1_000_000)
"""Numbers without a unit from here to there may be EUR or km."""
VAN: Final = Decimal("3.5")
"""Tonnes of a van, and no thousands."""
WIDEST: Final = 20
"""How many times the lower end of a range its upper end may be: «Мазда 3 до 8000» is no range."""
SCALED: Final = {"thousand_eur": "eur", "thousand_km": "km"}
"""Units of thousands."""
DASHES: Final = ("-", "–", "—", "‑", "÷")
UNTIL: Final = ("до", "to", "do")
"""Words that join the ends of a range."""


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A number or a range of a text, from token `start` to `end`. `text` is the number as typed. `field` is what unit
    and words say: price, km, year, power, age, percent, score, foreign, other, or "" where they say nothing; values are
    in EUR, km and hp then."""

    start: int
    end: int
    text: str
    low: Decimal | None
    high: Decimal | None
    bound: Bound
    field: str = ""
    is_bare: bool = False
    """Digits alone: no bound, no unit, no scale, no groups."""
    is_scaled: bool = False

    @property
    def value(self) -> Decimal:
        """The number, or the upper end of the range."""
        number = self.high if self.high is not None else self.low
        return number if number is not None else Decimal(0)

    def bounded(self, bound: str) -> Quantity:
        """Return the quantity with another bound."""
        return replace(self, bound=bound)  # type: ignore[arg-type] # of a name of the table of bounds


def quantity_at(text: str, tokens: Sequence[Token], start: int) -> Quantity | None:
    """Return the quantity that begins at a place, with the words in front of its number; None if none does."""
    place, bound, field, currency = _words_before(tokens, start)
    first = number_at(tokens, place)
    other = (
        None if field or currency else _short_years(text, tokens, start, place) or _tonnes(text, tokens, start, place)
    )
    if first is None or other is not None:
        return other
    scale, unit, end = _units(tokens, first.end, field)
    unit = unit or currency
    if unit == "age" and field == "year" and bound in ("low", "high"):  # «не по-стара от 3 години»
        bound = "high" if bound == "low" else "low"
    if unit == "percent" or (unit == "other" and bound is None):
        return Quantity(start=start, end=end, text=_typed(text, tokens, place, first.end), low=first.value, high=None,
                        bound="exact", field=unit)  # fmt: skip
    second, second_scale, second_unit, second_end = _second(tokens, end, bound, first, unit, scale)
    number = first.value * scale
    if second is not None and bound == "high":  # «до 150-180 хил. км»
        number = max(first.value * scale, second.value * second_scale)
        made = Quantity(start=start, end=second_end, text=_typed(text, tokens, place, second.end), high=None,
                        low=number, bound="high", field=_one(unit or second_unit, field),
                        is_scaled=second_scale > 1 or scale > 1)  # fmt: skip
        unit = unit or second_unit
    elif second is not None:
        number = first.value * (second_scale if scale == 1 and first.value < 1000 else scale)
        low, high = sorted((number, second.value * second_scale))
        made = Quantity(start=start, end=second_end, text=_typed(text, tokens, place, second.end), low=low,
                        high=high, bound="exact", field=_one(unit or second_unit, field),
                        is_scaled=second_scale > 1 or scale > 1)  # fmt: skip
        unit = unit or second_unit
    else:
        suffix = phrases("suffixes").find(tokens, end)
        if bound is None and not unit and _is_open_year(tokens, end, first):
            bound, end = "low", end + 1
        elif phrases("net").find(tokens, end):  # «5000 + ДДС» is not the least
            pass
        elif suffix and not (phrases("bounds").find(tokens, end) and number_at(tokens, suffix[1])):  # «90 hp max 3000»
            bound, end = suffix[0], suffix[1]
            if not unit:  # «300+ hp»
                more, unit, end = _units(tokens, end)
                number *= more
        what: Bound = bound if bound in ("low", "high", "about") else "exact"  # type: ignore[assignment]
        made = Quantity(start=start, end=end, text=_typed(text, tokens, place, first.end), low=number, high=None,
                        bound=what, field=_one(unit, field), is_scaled=scale > 1,
                        is_bare=what == "exact" and not unit and not field and scale == 1
                        and not first.is_grouped)  # fmt: skip
    return _converted(made, unit)


def year_like(number: Decimal, this_year: int) -> bool:
    """Tell whether a number may be the year of a car."""
    return FIRST_YEAR <= number <= this_year + 1 and number == int(number)


def _short_years(text: str, tokens: Sequence[Token], start: int, place: int) -> Quantity | None:
    """Return the years that begin at a place, two digits each and the first with a zero («09-13»); None if none do."""
    end = place + 3
    digits = "".join(token.text for token in tokens[place:end] if token.kind == "number" and len(token.text) == 2)
    if len(digits) != 4 or digits[0] != "0" or tokens[place + 1].text not in DASHES or not tokens[place + 2].is_glued:
        return None
    first, last = 2000 + int(digits[:2]), 2000 + int(digits[2:])
    if not first < last <= first + WIDEST or (end < len(tokens) and tokens[end].is_glued and tokens[end].text in "-./"):
        return None
    _, unit, behind = _units(tokens, end)
    if unit not in ("", "year") or (behind > end and not unit):
        return None
    return Quantity(start=start, end=behind, text=_typed(text, tokens, place, end), low=Decimal(first),
                    high=Decimal(last), bound="exact", field="year")  # fmt: skip


def _tonnes(text: str, tokens: Sequence[Token], start: int, place: int) -> Quantity | None:
    """Return the weight of a van that is at a place, and no price: «Спринтер до 3.5т»; None if none is."""
    number = number_at(tokens, place)
    if number is None or number.value != VAN or number.end >= len(tokens) or tokens[number.end].low not in ("т", "t"):
        return None
    _, unit, end = _units(tokens, number.end)
    if unit:
        return None
    return Quantity(start=start, end=end, text=_typed(text, tokens, place, number.end), low=number.value, high=None,
                    bound="exact", field="other")  # fmt: skip


def _is_open_year(tokens: Sequence[Token], place: int, year: Number) -> bool:
    """Tell whether a dash behind a year leaves its range open: «2017-» at the end, or in front of a sign."""
    if not FIRST_YEAR <= year.value <= 2100 or place >= len(tokens):
        return False
    is_last = place + 1 == len(tokens) or tokens[place + 1].text in (",", ";", ")", ".")
    return is_last and tokens[place].text in DASHES and tokens[place].is_glued


def _currency_before(tokens: Sequence[Token], place: int) -> tuple[str, int]:
    """Return the currency that stands in front of a number, and the place of the number: «€4000», «EUR 4000»."""
    found = phrases("units").find(tokens, place)
    if found and found[0] in ("eur", "bgn", "foreign") and found[1] < len(tokens):
        return (found[0], found[1]) if tokens[found[1]].kind == "number" else ("", place)
    return "", place


def _words_before(tokens: Sequence[Token], place: int) -> tuple[int, str | None, str, str]:
    """Return the place of the number, and the bound, the field and the currency that stand in front of it."""
    bound: str | None = None
    field = ""
    while True:
        if found := phrases("bounds").find(tokens, place):
            if bound is not None and found[0] != bound and bound != "between":
                break
            bound = found[0]
            if says := next((name for name in ("year", "price") if found[2] in _says(name)), ""):
                field = field or says
        elif not (found := phrases("fields").find(tokens, place)):
            break
        else:
            field = found[0]
            if found[1] < len(tokens) and tokens[found[1]].text in (":", "=") and tokens[found[1]].kind == "sign":
                found = (found[0], found[1] + 1, found[2])
        place = found[1]
    currency, place = _currency_before(tokens, place)
    return place, bound, field, currency


def _says(name: str) -> Sequence[str]:
    from vinops.filter_text.tables import words

    found: Sequence[str] = words()["says"][name]
    return found


def _units(tokens: Sequence[Token], place: int, field: str = "") -> tuple[int, str, int]:
    """Return the scale, the unit, and the place behind both.

    If the words in front have named a field, a unit of another one belongs to what follows: «цена 5000 км 150000».
    """
    scale, unit = 1, ""
    while found := phrases("units").find(tokens, place):
        name = found[0]
        if _is_of_next(tokens, place):
            break
        if name.startswith("thousand"):
            if scale > 1 or unit:
                break
            scale = 1000
            unit = SCALED.get(name, "")
        elif (unit and not (unit == "eur" and name in ("bgn", "eur"))) or (
            field and _one(name, "") not in (field, "age")
        ):
            break
        else:
            unit = name
        place = found[1]
        if unit and unit != "eur":
            break
    return scale, unit, place


def _is_of_next(tokens: Sequence[Token], place: int) -> bool:
    """Tell whether the sign of a currency belongs to the number behind it: «2018 $5000», and behind a year
    «2018 € 5000» too; or a letter to the word behind it: «2014 g class», and not in «2014g»."""
    if tokens[place].low == "g":
        return not tokens[place].is_glued
    if tokens[place].kind != "sign" or tokens[place].is_glued or place + 1 >= len(tokens):
        return False
    before, behind = tokens[place - 1].text, tokens[place + 1]
    is_year = before.isdecimal() and FIRST_YEAR <= int(before) <= 2100 and before != "2000"
    return behind.kind == "number" and (behind.is_glued or is_year)


def _second(
    tokens: Sequence[Token], place: int, bound: str | None, first: Number, unit: str, scale: int
) -> tuple[Number | None, int, str, int]:
    """Return the upper end of a range, its scale and unit, and the place behind it; None if there is no range."""
    nothing = (None, 1, "", place)
    if place >= len(tokens):
        return nothing
    word = tokens[place].low
    is_dash = word in DASHES or _is_between_years(tokens, place)
    is_tight = is_dash and all(each.is_glued for each in tokens[place : place + 2])
    if bound in ("high", "about") and not is_tight:
        return nothing
    is_joined = is_dash or (word in UNTIL and bound in (None, "low", "between"))
    is_joined = is_joined or (word in ("и", "and", "i") and bound == "between")
    currency, begin = _currency_before(tokens, place + 1)
    second = number_at(tokens, begin) if is_joined else None
    if second is None:
        return nothing
    second_scale, second_unit, end = _units(tokens, second.end)
    second_unit = second_unit or currency
    if (is_dash or bound in ("low", "between")) and second_unit in ("", "year") and second_scale == 1:
        second = _with_century(first, second, tokens[begin])
    low = first.value * (second_scale if scale == 1 and first.value < 1000 else scale)
    high = second.value * second_scale
    is_backwards = is_tight or (bound in ("low", "between") and not unit and second_unit in ("", "year", "eur", "bgn"))
    if not (low < high <= low * WIDEST or (is_backwards and _is_backwards(low, high))):
        return nothing
    if second_unit in ("percent", "other"):
        return nothing
    if unit and second_unit and unit != second_unit and {unit, second_unit} != {"year", "age"}:
        return nothing
    is_year, is_other_year = (FIRST_YEAR <= each <= 2100 for each in (low, high))
    is_price_range = first.value % 100 == 0 and not unit
    is_close = is_dash and tokens[place].is_glued
    if not is_close and bound != "between" and is_year != is_other_year and not (is_year and is_price_range):
        return nothing  # «от 2012 до 8000 евро», «2012 - €8000»
    if is_year and is_other_year and second_unit == "age":
        second_unit = "year"
    return second, second_scale, second_unit, end


def _is_between_years(tokens: Sequence[Token], place: int) -> bool:
    """Tell whether a sign is the stroke of a range of years: «2009/2012»."""
    around = tokens[place - 1 : place + 2]
    if len(around) < 3 or around[1].text != "/" or not (around[1].is_glued and around[2].is_glued):
        return False
    years = [each.text for each in (around[0], around[2]) if each.kind == "number" and len(each.text) == 4]
    return len(years) == 2 and all(FIRST_YEAR <= int(each) <= 2100 for each in years)


def _is_backwards(first: Decimal, second: Decimal) -> bool:
    """Tell whether a range is written from its upper end: «2018-2014», «9000-6000»."""
    are_years = [FIRST_YEAR <= each <= 2100 for each in (first, second)]
    are_prices = not any(are_years) and first % 100 == 0 and second % 100 == 0 and second >= 1000
    return second < first <= second * 3 and (all(are_years) or are_prices)


def _with_century(first: Number, second: Number, token: Token) -> Number:
    """Return the last year of a range whose century only the first has: «2014-17», «1998-05»."""
    if not FIRST_YEAR <= first.value <= 2100 or len(token.text) != 2 or second.value != int(token.text):
        return second
    year = first.value // 100 * 100 + second.value
    year += 100 if year < first.value else 0
    return replace(second, value=year) if first.value < year <= first.value + WIDEST else second


def _typed(text: str, tokens: Sequence[Token], start: int, end: int) -> str:
    return text[tokens[start].start : tokens[end - 1].end]


def _one(unit: str, field: str) -> str:
    """Return the field: the unit says it, else the words in front."""
    by_unit = {"eur": "price", "bgn": "price", "miles": "km", "kw": "power"}
    return by_unit.get(unit, unit) or field


def _converted(quantity: Quantity, unit: str) -> Quantity:
    """Return the quantity in EUR, km and hp."""
    if quantity.field == "km" and not unit and quantity.value < LEAST_KM:  # «пробег до 200»
        return replace(quantity, field="other")
    if unit == "age" and quantity.value > OLDEST:
        return replace(quantity, field="year")
    if unit == "year" and quantity.value <= OLDEST:  # «15-18 г.» are years or an age: it is left over
        return replace(quantity, field="age" if quantity.high is None else "other")
    rates = {
        "bgn": (1 / BGN_PER_EUR, Decimal("0.01")),
        "miles": (KM_PER_MILE, Decimal(1)),
        "kw": (HP_PER_KW, Decimal(1)),
    }
    if unit not in rates:
        return quantity
    rate, step = rates[unit]
    low, high = (
        None if each is None else (each * rate).quantize(step, rounding=ROUND_HALF_UP)
        for each in (quantity.low, quantity.high)
    )
    return replace(quantity, low=low, high=high)


def fields_of(quantity: Quantity, this_year: int) -> tuple[str, ...]:
    """Return the fields that a quantity may be about: one if it is decided, several if it has to be asked, none if it
    is not understood."""
    if quantity.field:
        return (quantity.field,) if _is_possible(quantity, this_year) else ()
    least = quantity.low if quantity.low is not None else quantity.value
    most = quantity.value
    if not quantity.is_scaled and year_like(least, this_year) and year_like(most, this_year):
        if quantity.bound == "high" or least == most == 2000:
            return ("year", "price")
        return ("year",)
    if quantity.high is not None and least < LEAST_PRICE:
        return _of_small_range(least, most)
    if quantity.is_bare and least < LEAST_PRICE:
        return ("power",) if least >= 40 else ()
    if least < 100:
        return ()
    if quantity.bound == "low" and least < LEAST_PRICE:
        return ("power", "price")
    if most < OPEN[0]:
        return ("price",)
    return ("price", "km") if most < OPEN[1] else ()


def _of_small_range(least: Decimal, most: Decimal) -> tuple[str, ...]:
    """Return what a range may be about that begins with a small number: «500-1000», «150-200»; none for «206-2008»."""
    if least < 100 or most > least * 4:
        return ()
    return ("price",) if most >= LEAST_PRICE else ("power", "price")


def _is_possible(quantity: Quantity, this_year: int) -> bool:
    value = quantity.value
    whole = value == int(value)
    limits: dict[str, tuple[int, int]] = {
        "year": (1900, this_year + 1), "age": (1, OLDEST), "km": (100, 2_000_000), "price": (100, 5_000_000),
        "power": (20, 2_000), "score": (1, 10),
    }  # fmt: skip
    if quantity.field not in limits:
        return False
    low, high = limits[quantity.field]
    least = quantity.low if quantity.low is not None else value
    return low <= least and value <= high and (whole or quantity.field in ("price", "score", "km", "power"))


def sides(quantity: Quantity, field: str, this_year: int) -> dict[str, Decimal]:
    """Return the fields of the filter that a quantity sets if it is about a field, such as `price_to`."""
    value = quantity.low if quantity.low is not None else quantity.value
    if field == "score":
        return {"min_score": value} if quantity.bound in ("low", "exact") and quantity.high is None else {}
    if field == "age":
        if quantity.high is not None:
            return {"year_from": this_year - quantity.high, "year_to": this_year - value}
        sides_of_age = {"high": "year_from", "low": "year_to"}
        return {sides_of_age[quantity.bound]: this_year - value} if quantity.bound in sides_of_age else {}
    if quantity.high is not None:
        return {f"{field}_from": value, f"{field}_to": quantity.high}
    if quantity.bound == "about":
        slack = Decimal(1) if field == "year" else (value / 10).quantize(Decimal(1), rounding=ROUND_HALF_UP)
        return {f"{field}_from": value - slack, f"{field}_to": value + slack}
    if quantity.bound in ("low", "high"):
        return {f"{field}_{'from' if quantity.bound == 'low' else 'to'}": value}
    if field in ("price", "km"):  # what somebody names is the most that he wants
        return {f"{field}_to": value}
    return {f"{field}_from": value, f"{field}_to": value}
