"""Reads amounts of money of lots: what a car costs landed, the profit, the bid, in EUR or in dollars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vinops.filter_text.draft import Draft
from vinops.filter_text.quantities import LEAST_PRICE, UNTIL, fields_of, quantity_at
from vinops.filter_text.tables import phrases, words
from vinops.filter_text.tokens import number_at

if TYPE_CHECKING:
    from vinops.filter_text.quantities import Quantity

FIELDS: Final = {"landed": "landed_to", "profit": "profit_from", "bid": "bid_to"}


class Amounts(Draft):
    """Reads amounts: each method returns the place behind what begins at a place; None if it is no amount of lots."""

    def money(self, place: int) -> int | None:
        """Read an amount that is said to be landed, a profit or a bid, before or behind it, or that is in dollars."""
        bound = phrases("bounds").find(self.tokens, place)
        front = phrases("lot_money").find(self.tokens, place if bound is None else bound[1])
        if front is None:
            return self.money_first(place)
        start = front[1]
        if start < len(self.tokens) and self.tokens[start].text in (":", "="):
            start += 1
        found, is_usd = self.amount(start)
        if found is None:
            return self.unclear(place, start)
        if found.high is not None:
            found = self.first_of_two(start, found)
        if bound is not None:  # «min bid 2000»
            found = found.bounded(bound[0] if found.bound == "exact" else "about")
        return self.settle_money(place, found.end, front[0], found, is_usd=is_usd)

    def money_first(self, place: int) -> int | None:
        """Read an amount with the word behind it: «5k landed», or one in dollars, which is a bid."""
        found, is_usd = self.amount(place)
        if found is None:
            return None
        word = phrases("lot_money").find(self.tokens, found.end)
        if word is not None:
            if self.is_year(found) and found.bound != "high" and found.low != 2000:
                return None  # «2017 to 2019 landed 9000»
            dangling = self.not_said_behind(word[1])
            if not dangling:
                return self.settle_money(place, word[1], word[0], found, is_usd=is_usd)
            if word[0] == "profit" and found.bound == "high":
                return None  # «to 6000 profit 1000»
            is_model = found.is_bare and found.value < LEAST_PRICE  # «GLE 350 landed 9000»
            if not is_usd and found.field != "price" and not is_model:  # «8000 landed 3000»
                return self.take(place, dangling, "left over")
        return self.settle_money(place, found.end, "bid", found, is_usd=True) if is_usd else None

    def settle_money(self, place: int, end: int, what: str, found: Quantity, *, is_usd: bool) -> int:
        """Take an amount for what it is said to be; leave it over if it cannot be that."""
        field = FIELDS[what]
        fits = ("low", "exact") if what == "profit" else ("high", "exact")
        is_wrong = is_usd if what != "bid" else found.field == "price" and not is_usd and self.says_euro(found)
        value = found.low
        if is_wrong or value is None or found.high is not None or found.bound not in fits or not 1 <= value <= 10**7:
            return self.take(place, end, "left over")
        if self.kind == "lot" and field == "landed_to" and self.numbers.get("price_to", value) != value:
            return self.take(place, end, "left over")
        if self.lot_numbers.setdefault(field, value) != value:
            return self.take(place, end, "left over")
        return self.take(place, end)

    def first_of_two(self, start: int, found: Quantity) -> Quantity:
        """Return the first number of a range that is none, as a word says what the second one is: «печалба 1500 до 8000
        на място»."""
        if phrases("lot_money").find(self.tokens, found.end) is None:
            return found
        joint = next((at for at in range(start + 1, found.end) if self.tokens[at].low in UNTIL), None)
        first = None if joint is None else quantity_at(self.text, self.tokens[:joint], start)
        return found if first is None or first.value < LEAST_PRICE else first

    def unclear(self, place: int, start: int) -> int | None:
        """Leave over what may be read in two ways: «bid 5k miles 50k»."""
        found = quantity_at(self.text, self.tokens, start) if start < len(self.tokens) else None
        after = None if found is None or found.field != "km" else number_at(self.tokens, found.end)
        return None if after is None else self.take(place, after.end, "left over")

    def not_said_behind(self, place: int) -> int:
        """Return 0 if a word in front of a place says what the amount in front of it is: «5k landed 2k profit». Else,
        as in «5000 € landed 9000», the place behind the last amount."""
        while True:
            found, _ = self.amount(place)
            if found is None or self.is_year(found):
                return 0
            word = phrases("lot_money").find(self.tokens, found.end)
            if word is None:
                return found.end
            place = word[1]

    def is_year(self, found: Quantity) -> bool:
        """Tell whether an amount without a unit is rather a year."""
        return not found.field and fields_of(found, self.this_year)[:1] == ("year",)

    def amount(self, place: int) -> tuple[Quantity | None, bool]:
        """Return an amount of money and whether it is in dollars; the sign may stand in front: «до $3000»."""
        if place >= len(self.tokens):
            return None, False
        bound = phrases("bounds").find(self.tokens, place)
        sign = place if bound is None else bound[1]
        if dollars := self.dollars_at(sign):
            found = quantity_at(self.text, self.tokens, dollars)
            if found is None or found.field or (found.bound != "exact" and bound is not None):
                return None, False
            made = found.bound if bound is None else bound[0]
            return (found.bounded(made), True) if made in ("low", "high", "exact", "about") else (None, False)
        found = quantity_at(self.text, self.tokens, place)
        if found is None or found.field not in ("", "price", "foreign"):
            return None, False
        if found.field != "foreign":
            return found, False
        units = (phrases("units").find(self.tokens, each) for each in range(max(found.end - 4, 0), found.end))
        unit = next((each[2] for each in units if each is not None and each[1] == found.end), "")
        return (found, True) if unit in words()["lot_dollars"]["usd"] else (None, False)

    def dollars_at(self, place: int) -> int:
        """Return the place of the number behind the sign or the word for dollars: «$3000», «USD 3000»; 0 if there is
        none."""
        found = phrases("lot_dollars").find(self.tokens, place)
        is_number = found is not None and found[1] < len(self.tokens) and self.tokens[found[1]].kind == "number"
        return found[1] if found is not None and is_number else 0

    def says_euro(self, found: Quantity) -> bool:
        """Tell whether a quantity has a unit of money behind it."""
        unit = phrases("units").find(self.tokens, found.end - 1)
        return unit is not None and unit[0] in ("eur", "bgn")
