"""Reads what a text asks of lots of auctions: damage, title, whether they run, keys, states, costs, the sale."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from vinops.filter_text.amounts import Amounts
from vinops.filter_text.cars import name_at
from vinops.filter_text.denied import behind_denial, denies
from vinops.filter_text.tables import is_in, phrases, words
from vinops.filter_text.tokens import number_at
from vinops.lots.filter import DAMAGES, TITLES

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from typing import Literal

    from vinops.filter_text.tokens import Token

MOST_DENIED: Final = 8  # things that one denial denies
SIDES: Final = ("front end", "rear end", "side")
ONLY: Final = ("only", "само")
MOST_HOURS: Final = 24 * 60
NAMED: Final = {"lot_runs": "runs", "lot_keys": "keys"}
DRIVES_OR_STARTS: Final = ("drives", "starts")


def kind_of(text: str, tokens: Sequence[Token]) -> Literal["ad", "lot", "both"]:
    """Return what a text is about: lots if it names an auction, both if it names ads as well."""
    named: set[str] = set()
    place = 0
    while place < len(tokens):
        begin = behind_denial(tokens, place + 1) if is_in(tokens[place].low, "denials", "negators") else place
        found = phrases("lot_kind").find(tokens, begin)
        if found is not None and begin == place and (found[0] != "many" or name_at(text, tokens, found[1])):
            named.add("lot" if found[0] == "many" else found[0])
        place = place + 1 if found is None else found[1]
    if not named & {"lot", "strong"}:
        return "ad"
    return "both" if {"lot", "ad"} <= named else "lot"


class Auctions(Amounts):
    """Reads the words of lots: each method returns the place behind what begins at a place; None if it does not
    understand it."""

    def auction(self, place: int) -> int | None:
        """Read what begins at a place, in a text that is about lots."""
        if self.kind == "ad":
            return None
        for recognize in (self.time_to_sale, self.money, self.without, self.said, self.state, self.kind_word):
            end: int | None = recognize(place)
            if end is not None:
                return end
        return None

    def kind_word(self, place: int) -> int | None:
        """Read a word that says what the text is about, or one between others."""
        found = phrases("lot_kind").find(self.tokens, place)
        if found is not None and found[0] != "strong":
            is_idiom = found[0] == "many" and name_at(self.text, self.tokens, found[1]) is None
            return self.take(place, found[1], "left over" if is_idiom else "understood")
        noise = phrases("lot_noise").find(self.tokens, place)
        return None if noise is None else self.take(place, noise[1])

    def time_to_sale(self, place: int) -> int | None:
        """Read «търг до 24 часа», «24 часа до търга», «в следващите два дни» with a number."""
        start = place
        front = phrases("lot_sale").find(self.tokens, place)
        is_next = False
        while front is not None and front[0] in ("front", "next"):
            place, is_next = front[1], is_next or front[0] == "next"
            front = phrases("lot_sale").find(self.tokens, place)
        at = place
        bound = phrases("bounds").find(self.tokens, place)
        place = place if bound is None else bound[1]
        number = number_at(self.tokens, place)
        unit = None if number is None else phrases("lot_time").find(self.tokens, number.end)
        if number is None or unit is None:
            return None
        end = unit[1]
        behind = phrases("lot_sale").find(self.tokens, end)
        end = behind[1] if behind is not None and behind[0] == "behind" else end
        hours = number.value * int(unit[0])
        is_upper = bound[0] == "high" if bound is not None else start != at or is_next or behind is not None
        self.take(start, at)
        if not is_upper or not 1 <= hours <= MOST_HOURS or hours != int(hours):
            return self.take(at, end, "left over")
        if self.within not in (None, found := timedelta(hours=int(hours))):
            return self.take(at, end, "left over")
        self.within = found
        return self.take(at, end)

    def without(self, place: int) -> int | None:
        """Read what is denied: «без удар и наводнение», «no flood», «неударена». In a text about ads too, it is denied
        of them as well."""
        found = self.denied(place)
        if found is None:
            return self.not_read(place)
        end, out, titles = found
        if not self.exclude(out, titles):
            return self.take(place, end, "left over")
        if self.kind == "both":
            self.denial(place)
        return self.take(place, end)

    def not_read(self, place: int) -> int | None:
        """Leave a denial over of what can only be asked for: «не се движи», «not from Texas»."""
        if not is_in(self.tokens[place].low, "denials", "negators") or self.kind != "lot":
            return None
        for section in ("lot_keys", "lot_runs", "lot_buy_now", "lot_states", "lot_sale"):
            if phrases(section).find(self.tokens, place):
                return None
        begin = behind_denial(self.tokens, place + 1)
        for section in ("lot_runs", "lot_keys", "lot_buy_now", "lot_states"):
            if found := phrases(section).find(self.tokens, begin):
                return self.take(place, found[1], "left over")
        if begin < len(self.tokens) and self.tokens[begin].text in words()["lot_states"]:
            return self.take(place, begin + 1, "left over")
        return None

    def denied(self, place: int) -> tuple[int, set[str], set[str]] | None:
        """Return the place behind a denial, and the kinds of damage and of titles that it denies."""
        token = self.tokens[place]
        if phrases("lot_keys").find(self.tokens, place):
            return None
        if token.kind == "word" and token.low.startswith(tuple(words()["risk"]["compounds"])):
            return self.denied_in_a_word(place)
        if token.kind != "word" or not denies(self.tokens, place):
            return None
        out: set[str] = set()
        titles: set[str] = set()
        next_place, end = behind_denial(self.tokens, place + 1), place
        for _ in range(MOST_DENIED):
            damage = self.damage_at(next_place, is_first=not out)
            title = phrases("lot_title").find(self.tokens, next_place)
            if (out or titles) and self.tokens[end].text == "," and (titles or damage is None):
                break  # «not salvage, rear end»: only kinds of damage go on behind a comma
            if damage is not None:
                out |= {*_damages(damage[0])}
            elif title is not None:
                titles.add(title[0])
            else:
                break
            end = (damage or title or ("", end))[1]
            if end >= len(self.tokens) or not is_in(self.tokens[end].low, "denials", "list"):
                break
            next_place = behind_denial(self.tokens, end + 1)
            if phrases("lot_keys").find(self.tokens, next_place):
                break
        return (end, out, titles) if out or titles else None

    def damage_at(self, place: int, *, is_first: bool) -> tuple[str, int, str] | None:
        """Return the damage that is denied at a place; «not front end, side only» does not deny the second one."""
        found = phrases("lot_damage").find(self.tokens, place)
        is_only = found is not None and any(each.low in ONLY for each in self.tokens[found[1] : found[1] + 1])
        return None if is_only and not is_first else found

    def denied_in_a_word(self, place: int) -> tuple[int, set[str], set[str]]:
        """Return what «неударена», «ненаводнена», «неударена отзад» deny."""
        where = phrases("lot_damage").find(self.tokens, place + 1)
        if where is not None and where[0] in SIDES:
            return where[1], {where[0]}, set()
        is_flood = self.tokens[place].low.startswith(("непотоп", "ненаводн"))
        return place + 1, {*_damages("flood" if is_flood else "collision")}, set()

    def denial(self, place: int) -> int | None:
        """Read a denial of ads."""
        raise NotImplementedError

    def said(self, place: int) -> int | None:
        """Read a damage, a title, whether it runs, keys, a price to buy at once."""
        best: tuple[str, str, int] | None = None
        for section in ("lot_damage", "lot_title", *NAMED, "lot_buy_now"):
            found = phrases(section).find(self.tokens, place)
            if found is not None and (best is None or found[1] > best[2]):
                best = (section, found[0], found[1])
        if best is None or (best[1] == "collision"):  # «удар» alone is no kind of damage
            return None
        section, name, end = best
        end, is_yes = self.answer_behind(end)
        if not is_yes:
            return self.answered_no(place, end, section, name)
        if section == "lot_damage":
            self.add_lot("damage", _damages(name))
        elif section == "lot_title":
            self.add_lot("title_group", [name])
        elif section == "lot_buy_now":
            self.buy_now = "yes"
        else:
            self.add_lot(NAMED[section], DRIVES_OR_STARTS if name == "starts" else [name])
        return self.take(place, end)

    def answer_behind(self, place: int) -> tuple[int, bool]:
        """Return the place behind «: no» or «= да», as the description of a lot has it, and whether it is no «no».
        Without the sign something has to end there: «keys no, …», and not «keys, no flood»."""
        is_said = place < len(self.tokens) and self.tokens[place].text in (":", "=")
        found = phrases("lot_answer").find(self.tokens, place + 1 if is_said else place)
        if found is None:
            return place, True
        is_end = found[1] >= len(self.tokens) or self.tokens[found[1]].text in (",", ";", ".", ")")
        return (found[1], found[0] == "yes") if is_said or is_end else (place, True)

    def answered_no(self, place: int, end: int, section: str, name: str) -> int:
        """Take «flood: no», «keys: no»; leave over what no filter asks for."""
        if section == "lot_keys" and name == "yes":
            self.add_lot("keys", ["no"])
            return self.take(place, end)
        is_out = (section == "lot_damage" and self.exclude(_damages(name), ())) or (
            section == "lot_title" and self.exclude((), [name])
        )
        return self.take(place, end, "understood" if is_out else "left over")

    def state(self, place: int) -> int | None:
        """Read the name of a state, or its two capital letters in a text that has small ones too."""
        if found := phrases("lot_states").find(self.tokens, place):
            self.add_lot("state", [found[0]])
            return self.take(place, found[1])
        token = self.tokens[place]
        if token.kind != "word" or token.text not in words()["lot_states"] or self.text.isupper():
            return None
        if name_at(self.text, self.tokens, place) is not None:
            return None
        self.add_lot("state", [token.text])
        return self.take(place, place + 1)

    def add_lot(self, name: str, found: Sequence[str]) -> None:
        """Add values of a field of lots."""
        self.lot_sets.setdefault(name, {}).update(dict.fromkeys(found))

    def exclude(self, damages: Collection[str], titles: Collection[str]) -> bool:
        """Exclude kinds of damage and of titles; False, and nothing is, if none of what was asked for would remain:
        «front end, no front end»."""
        kept = {}
        for name, every, out in (("damage", DAMAGES, damages), ("title_group", TITLES, titles)):
            if out:
                known = self.lot_sets.get(name, every)
                kept[name] = dict.fromkeys(each for each in every if each in known and each not in out)
        self.lot_sets |= kept if all(kept.values()) else {}
        return all(kept.values())


def _damages(name: str) -> Sequence[str]:
    found: Sequence[str] = words()["lot_damage_of"].get(name, [name])
    return found
