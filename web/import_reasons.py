"""What speaks against a lot, and what the lines of a quote are computed from, in the language of the reader.

The sentences are those of deals/lots/rules.py, deals/stages/value.py, deals/offers/ranking.py, deals/landed/quote.py,
which the database and the command line have in English. A test makes each of them and looks for a Bulgarian text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from web.vocabulary import NAMES, _, name

if TYPE_CHECKING:
    from web.language import Language

WORDS: Final = {
    # Reasons of rules.toml, titles.toml and twins.toml.
    "flood": _("flood"), "fire": _("fire"), "rollover": _("rollover"), "stripped of parts": _("stripped of parts"),
    "a bent frame": _("a bent frame"), "no VIN to register it with": _("no VIN to register it with"),
    "a replaced VIN": _("a replaced VIN"), "biohazard": _("biohazard"), "a rejected repair": _("a rejected repair"),
    "the battery may be hit": _("the battery may be hit"), "a heavy vehicle": _("a heavy vehicle"),
    "a clear title": _("a clear title"), "a salvage title": _("a salvage title"),
    "a certificate of destruction": _("a certificate of destruction"), "for parts only": _("for parts only"),
    "not repairable": _("not repairable"), "a junk receipt": _("a junk receipt"),
    "a bill of sale alone": _("a bill of sale alone"),
    "the Passat built for America (NMS) is not the Passat of Europe":
        _("the Passat built for America (NMS) is not the Passat of Europe"),
    # Profiles and titles.
    "non-licensed": _("non-licensed"), "high-volume": _("high-volume"), "clean": _("clean title"),
    "non-clean": _("title not clean"), "a title that is not known": _("title unknown"), "secured": _("secured payment"),
    "unsecured": _("unsecured payment"), "pre": _("bid before the sale"), "live": _("bid at the sale"),
    # What lines are computed from.
    "what is bid": _("what is bid"), "flat": _("the same for all"), "a yard": _("a yard"), "a port": _("a port"),
    "proof of origin": _("proof of origin"), "no proof of origin": _("no proof of origin"),
    "the VIN is masked or not whole": _("the VIN is masked or not whole"), "no VIN": _("no VIN"),
    "no country by the VIN": _("no country by the VIN"), "lamps, plugs, labels": _("lamps, plugs, labels"),
    "customs value, duty and costs to the destination": _("customs value, duty and costs to the destination"),
    "bid and auction fees": _("bid and auction fees"), "what is paid in dollars": _("what is paid in dollars"),
    "Copart's repair cost": _("Copart's repair cost"), "estimated by hand": _("estimated by hand"),
    "import VAT, and VAT in approval and repair": _("import VAT, and VAT in approval and repair"),
    "the year is not known": _("the year is not known"), "no line of the tariffs": _("no line of the tariffs"),
    "no line of the tariffs names this damage": _("no line of the tariffs names this damage"),
    "a currency that is not known": _("a currency that is not known"),
    "exchange rate: none was read yet": _("exchange rate: none was read yet"),
}  # fmt: skip
"""Texts without places."""


KINDS: Final = {"damage": "damage", "line": "quote_line"}
"""Places of sentences that are names of values."""
DEPTH: Final = 3
"""How many sentences may stand one in the other: a line that is missing, why, and from where to where."""
LACKS: Final = re.compile(r"(?P<line>" + "|".join(map(re.escape, NAMES["quote_line"])) + r"): (?P<why>.+)", re.DOTALL)
"""A line of a quote that is not known, and why."""
SENTENCES: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern, re.DOTALL), text)
    for pattern, text in (
        (r"unknown type", _("unknown type")),
        (r"(?P<year>\d+), before (?P<first>\d+)", _("%(year)s, before %(first)s")),
        (r"no year, before (?P<first>\d+)", _("the year is not known; cars before %(first)s are not bought")),
        (r"no keys", _("no keys")),
        (r"keys not known", _("keys not known")),
        (r"the feed does not say that it runs or starts",
         _("the feed does not say that it runs or starts")),
        (r"mileage missing", _("mileage missing")),
        (r"mileage not actual", _("mileage not actual")),
        (r"mileage not known", _("mileage not known")),
        (r"mileage (?P<brand>.+)", _("mileage: %(brand)s")),
        (r"the sale has no date yet", _("the sale has no date yet")),
        (r"the lot left the feed", _("the lot left the feed")),
        (r"the sale begins in less than two hours, or has begun",
         _("the sale begins in less than two hours, or has begun")),
        (r"the model is not in the vocabulary: (?P<model>.+)",
         _("the model is not in the vocabulary: %(model)s")),
        (r"fewer than (?P<fewest>\d+) ads like it: (?P<car>.+)",
         _("fewer than %(fewest)s ads like it: %(car)s")),
        (r"(?P<title>\S+ \S+): ask the forwarder whether it can be exported",
         _("%(title)s: ask the forwarder whether it can be exported")),
        (r"(?P<damage>" + "|".join(map(re.escape, NAMES["damage"])) + r"): (?P<why>.+)",
         _("%(damage)s: %(why)s")),
        (r"(?P<title>[A-Z?]{1,2} \S{1,4}): (?P<why>.+)", _("%(title)s: %(why)s")),
        (LACKS.pattern, _("%(line)s: %(why)s")),
        (r"the lot is sold in (?P<currency>.+)", _("the lot is sold in %(currency)s")),
        (r"no line of the tariffs for (?P<what>.+)", _("no line of the tariffs for: %(what)s")),
        (r"(?P<what>.+): bids from (?P<least>[\d,]+)", _("%(what)s; bids from %(least)s")),
        (r"(?P<what>.+): (?P<percent>[\d.]+) % of the bid", _("%(what)s; %(percent)s %% of the bid")),
        (r"(?P<percent>[\d.]+) % of cars with the damage (?P<damage>.+), at least (?P<least>\d+) EUR",
         _("%(percent)s %% of what cars with this damage cost there (%(damage)s), at least %(least)s €")),
        (r"(?P<percent>[\d.]+) % of (?P<what>.+), at least (?P<least>\d+) EUR",
         _("%(percent)s %% of %(what)s, at least %(least)s €")),
        (r"(?P<percent>[\d.]+) % of customs value; assembled in (?P<country>.+)",
         _("%(percent)s %% of the customs value; assembled in %(country)s")),
        (r"(?P<percent>[\d.]+) % of customs value; (?P<why>.+)",
         _("%(percent)s %% of the customs value; %(why)s")),
        (r"(?P<percent>[\d.]+) % of (?P<what>.+)", _("%(percent)s %% of: %(what)s")),
        (r"(?P<years>\d+) years old", _("by the age of the car in years: %(years)s")),
        (r"the repair is not counted: no damage and no repair cost is given",
         _("the repair is not counted: no damage and no repair cost is given")),
        (r"(?P<start>.+) to (?P<end>.+)", _("from %(start)s to %(end)s")),
    )
)  # fmt: skip
"""Texts with places, the first that fits counts; and others that stand alone."""


def said(language: Language, text: str, *, depth: int = DEPTH) -> str:
    """Return a reason or a basis in a language; one that is not known here, as a name, is shown as it is."""
    if language.code == "en" and (found := LACKS.fullmatch(text)):
        return f"{name(language, 'quote_line', found['line'])}: {found['why']}"
    if language.code == "en" or depth < 0:
        return text
    if text in WORDS:
        return language.gettext(WORDS[text])
    if text in NAMES["vehicle_type"]:
        return name(language, "vehicle_type", text)
    for pattern, sentence in SENTENCES:
        if found := pattern.fullmatch(text):
            values = {key: _place(language, key, value, depth - 1) for key, value in found.groupdict().items()}
            return language.gettext(sentence, **values)
    return ", ".join(said(language, each, depth=-1 if each == text else 0) for each in text.split(", "))


def _place(language: Language, key: str, value: str, depth: int) -> str:
    """Return what stands in a place of a sentence, which may be a sentence, too."""
    kind = KINDS.get(key)
    return name(language, kind, value) if kind else said(language, value, depth=depth)
