"""What was understood of a text: the filter, the words that were not understood, and what can be two things."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from vinops.filters import Filter
    from vinops.lots.filter import LotFilter


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of the things that a part of a text can be: the field, and the words to be typed instead of that part, which
    say so without a doubt."""

    field: str
    words: str

    def says(self, language: Literal["bg", "en"]) -> str:
        """Return the choice as an answer to the question: «до 150000 км»."""
        if language == "bg":
            return self.words
        english = {"до": "up to", "от": "from", "км": "km", "г.": "", "к.с.": "hp", "модел": "model"}
        return " ".join(filter(None, (english.get(word, word) for word in self.words.split())))


@dataclass(frozen=True, kw_only=True)
class Ambiguity:
    """A part of a text that can be several things, as typed, and where it begins. It is not in the filter until
    somebody chooses."""

    text: str
    choices: tuple[Choice, ...]
    start: int

    def chosen(self, typed: str, number: int) -> str:
        """Return the text that was read with the words of a choice in the place of this part."""
        return f"{typed[: self.start]}{self.choices[number].words}{typed[self.start + len(self.text) :]}"


class Piece(NamedTuple):
    """A part of the text, in its order, and whether it was understood, or is asked: else strike it out."""

    text: str
    is_understood: bool


@dataclass(frozen=True, kw_only=True)
class Understood:
    """The filters of a text: of ads, and in `lots` of lots, None if it is about ads alone. `pieces` are the text:
    nothing of it is passed over in silence. `kind` says what is wanted: ads, lots of auctions, or both."""

    text: str
    filter: Filter
    lots: LotFilter | None = None
    kind: Literal["ad", "lot", "both"] = "ad"
    leftovers: tuple[str, ...] = ()
    ambiguous: tuple[Ambiguity, ...] = ()
    pieces: tuple[Piece, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as values of JSON; prices in EUR, None where nothing is asked for."""
        wanted = self.filter
        return {
            "makes": list(wanted.make),
            "families": list(wanted.family),
            "year_from": wanted.year_from,
            "year_to": wanted.year_to,
            "price_from": _plain(wanted.price_from),
            "price_to": _plain(wanted.price_to),
            "km_to": wanted.km_to,
            "fuel": list(wanted.fuel),
            "gearbox": list(wanted.gearbox),
            "body": list(wanted.body),
            "regions": list(wanted.region),
            "words_not": list(wanted.words_not),
            "leftovers": list(self.leftovers),
            "ambiguous": [
                {
                    "text": each.text,
                    "choices": [{"field": choice.field, "words": choice.words} for choice in each.choices],
                }
                for each in self.ambiguous
            ],
            "km_from": wanted.km_from,
            "power_from": wanted.power_from,
            "power_to": wanted.power_to,
            "color": list(wanted.color),
            "seller": list(wanted.seller),
            "min_score": _plain(wanted.min_score),
            "below_market": _plain(wanted.below_market),
            "words": list(wanted.words),
            "kind": self.kind,
            "lots": None if self.lots is None else self._lots(self.lots),
        }

    def _lots(self, wanted: LotFilter) -> dict[str, Any]:
        """Return what is asked of lots: the parameters of their page."""
        found: dict[str, Any] = {}
        for name, value in wanted.to_params():
            if wanted.described()[name].many:
                found.setdefault(name, []).append(value)
            else:
                found[name] = value
        return found


def _plain(number: Any) -> int | float | None:
    """Return a Decimal as a number of JSON: whole numbers without a point."""
    if number is None:
        return None
    return int(number) if number == int(number) else float(number)
