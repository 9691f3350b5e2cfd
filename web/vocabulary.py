"""Names of values for people: fuels, colors, badges, risks; and what the filter says of a parameter.

Values of the vocabulary are English words in the database; the texts here are what is translated. A value without a
text is shown as it is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from web import lot_vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable

    from web.language import Language

    Words = Callable[[Language, re.Match[str]], str]


def _(text: str) -> str:
    """Mark a text for translation."""
    return text


NAMES: Final = {
    "fuel": {
        "gasoline": _("petrol"), "diesel": _("diesel"), "hybrid": _("hybrid"), "plug-in hybrid": _("plug-in hybrid"),
        "electric": _("electric"), "lpg": _("LPG"), "cng": _("CNG"), "hydrogen": _("hydrogen"),
    },
    "gearbox": {
        "manual": _("manual"), "automatic": _("automatic"), "semi-automatic": _("semi-automatic"),
    },
    "body": {
        "sedan": _("saloon"), "hatchback": _("hatchback"), "estate": _("estate"), "coupe": _("coupé"),
        "convertible": _("convertible"), "suv": _("SUV"), "van": _("van"), "pickup": _("pickup"), "mpv": _("MPV"),
        "limousine": _("limousine"),
    },
    "color": {
        "black": _("black"), "white": _("white"), "grey": _("grey"), "dark grey": _("dark grey"),
        "light grey": _("light grey"), "blue": _("blue"), "dark blue": _("dark blue"), "light blue": _("light blue"),
        "red": _("red"), "dark red": _("dark red"), "burgundy": _("burgundy"), "wine": _("wine red"),
        "cherry": _("cherry"), "brick": _("brick"), "green": _("green"), "dark green": _("dark green"),
        "light green": _("light green"), "reseda": _("reseda"), "teal": _("teal"), "yellow": _("yellow"),
        "orange": _("orange"), "brown": _("brown"), "tobacco": _("tobacco"), "bronze": _("bronze"), "beige": _("beige"),
        "sand": _("sand"), "sahara": _("sahara"), "cream": _("cream"), "ivory": _("ivory"), "banana": _("banana"),
        "ochre": _("ochre"), "gold": _("gold"), "silver": _("silver"), "graphite": _("graphite"),
        "metallic": _("metallic"), "pearl": _("pearl"), "ash": _("ash"), "purple": _("purple"), "violet": _("violet"),
        "pink": _("pink"), "beata": _("beata"), "chameleon": _("chameleon"),
    },
    "seller": {"private": _("private seller"), "dealer": _("dealer")},
    "risk": {
        "crashed": _("crashed"), "burned": _("burned"), "for_parts": _("for parts"),
        "deregistered": _("deregistered"), "not_running": _("does not run"), "engine": _("engine"),
        "defect": _("defect"), "airbags": _("airbags"), "flooded": _("flooded"),
        "wheel_on_the_right": _("wheel on the right"), "reserved": _("reserved"), "sold": _("sold"),
        "odometer": _("odometer"), "taxi": _("taxi"), "hail": _("hail"), "legal": _("legal"),
        "from_america": _("from America"), "just_imported": _("just imported"), "abroad": _("abroad"),
        "urgent": _("urgent"), "first_owner": _("first owner"), "service_history": _("service history"),
        "guarantee": _("guarantee"), "true_mileage": _("true mileage"),
    },
    "badge": {
        "great": _("great price"), "good": _("good price"), "fair": _("fair price"), "high": _("high price"),
        "overpriced": _("overpriced"),
    },
    "sure": {
        "sure": _("sure"), "fairly sure": _("fairly sure"), "unsure": _("unsure"),
    },
    "price_problem": {
        "placeholder": _("a number in its place"), "wanted": _("the advertiser buys"),
        "parts": _("an engine or parts are for sale"), "lease_balance": _("a lease to take over"),
        "deposit": _("only a first payment"), "instalment": _("a monthly payment"), "exchange_only": _("exchange only"),
    },
    "no_estimate": {
        "it is not normalized": _("Its facts have not been read yet."),
        "fewer than three cars like it, and no model that is used": _("There are fewer than three cars like it."),
    },
    "level": {"low": _("low"), "medium": _("medium"), "high": _("high")},
    "status": {
        "none": _("new"), "seen": _("seen"), "called": _("called"), "bought": _("bought"), "rejected": _("rejected"),
    },
    "sort": {
        "score": _("best first"), "new": _("newest first"), "cheap": _("cheapest"), "dear": _("dearest"),
        "below": _("most below market"), "km": _("fewest km"), "year": _("newest car"),
    },
    "market_sort": {
        "ads": _("most ads"), "name": _("by name"), "price": _("cheapest"), "dear": _("dearest"),
        "fell": _("fell most in 3 months"), "rose": _("rose most in 3 months"), "fast": _("gone soonest"),
    },
    "field": {
        "make": _("Make"), "family": _("Model"), "year": _("Year"), "price": _("Price"), "km": _("Mileage"),
        "power": _("Power"), "fuel": _("Fuel"), "gearbox": _("Gearbox"), "body": _("Body"), "color": _("Color"),
        "region": _("Region"), "seller": _("Seller"), "min_score": _("Score from"),
        "below_market": _("Below market by"),
        "new_since": _("New since"), "gone": _("Gone ads"), "words": _("Words"), "words_not": _("Without words"),
    },
    "gone": {"no": _("advertised only"), "also": _("also gone ads"), "only": _("gone ads only")},
    "method": {
        "none": _("no estimate"), "comparables": _("comparable cars"), "model": _("price model"),
        "blend": _("comparable cars and price model"),
    },
    "part": {
        "price": _("Price"), "freshness": _("Freshness"), "demand": _("Demand"), "risk": _("Risk"), "base": _("Base"),
    },
    "quote_line": {
        "bid": _("bid"), "buyer_fee": _("buyer fee"), "virtual_bid_fee": _("virtual bid fee"),
        "gate_fee": _("gate fee"), "environmental_fee": _("environmental fee"), "title_pickup": _("title pick-up"),
        "road": _("road to the port"), "ocean": _("ocean"), "insurance": _("insurance"), "broker_fee": _("broker"),
        "duty": _("duty"), "origin_certificate": _("certificate of origin"), "port_fee": _("port of destination"),
        "customs_agent": _("customs agent"), "delivery": _("delivery to Bulgaria"), "vat": _("import VAT"),
        "approval": _("individual approval"), "conversion": _("lamps for the approval"),
        "product_fee": _("product fee"), "registration": _("registration"), "exchange": _("exchange of the bank"),
        "repair": _("repair"), "vat_deducted": _("VAT deducted"),
    },
    "certainty": {"certain": _("certain"), "assumed": _("assumed"), "unknown": _("unknown")},
    "bid_kind": {
        "buy now": _("buy now"), "floor": _("usual bid"), "typed": _("your bid"), "asked": _("at this bid"),
        "most": _("at the most"),
    },
    "blocker": {
        "heavy vehicle": _("heavy vehicle"), "not a car": _("not a car"),
        "title not exportable": _("title not exportable"), "title unknown": _("title unknown"),
        "damage": _("damage"), "does not start": _("does not start"), "no keys": _("no keys"),
        "odometer": _("odometer"), "too old": _("too old"), "no market": _("no market"),
        "no sale date": _("no sale date"), "sale soon": _("sale soon"), "gone": _("gone"),
    },
    "role": {"viewer": _("viewer"), "trader": _("trader"), "operator": _("operator")},
    **lot_vocabulary.NAMES,
}  # fmt: skip
"""The texts by kind and value."""


def name(language: Language, kind: str, value: str | None) -> str:
    """Return the name of a value in a language; of one that is unknown here, the value."""
    if value is None:
        return ""
    text = NAMES[kind].get(value)
    return value if text is None else language.gettext(text)


def plain(text: str) -> Words:
    """Return a translation of a text that has the groups of a pattern as its places."""
    return lambda language, found: language.gettext(text, **found.groupdict()) if found.groupdict() else (
        language.gettext(text)
    )  # fmt: skip


def counted(one: str, many: str) -> Words:
    """Return a translation that depends on the number in the group `n`."""
    return lambda language, found: language.ngettext(one, many, int(found["n"]), **_others(found))


def _others(found: re.Match[str]) -> dict[str, Any]:
    return {key: value for key, value in found.groupdict().items() if key != "n"}


PROBLEMS: Final[tuple[tuple[re.Pattern[str], Words], ...]] = tuple(
    (re.compile(pattern, re.DOTALL), plain(text))
    for pattern, text in (
        (r"there is no such filter", _("there is no such filter")),
        (r"it is given more than once: (?P<first>.*) counts", _("it is given more than once: %(first)s counts")),
        (r"only (?P<most>\d+) can be asked for at once", _("only %(most)s can be asked for at once")),
        (r"it is longer than (?P<most>\d+) characters", _("it is longer than %(most)s characters")),
        (r"it is more than (?P<other>\w+): no ad can be found", _("it is more than %(other)s: no ad can be found")),
        (r"it is more than (?P<other>\w+): no lot can be found", _("it is more than %(other)s: no lot can be found")),
        (r"there is no such day", _("there is no such day")),
        (r"there is no such \w+", _("there is no such value")),
        (r"there is no such \w+; is (?P<value>.*) meant\?", _("there is no such value; is %(value)s meant?")),
        (r"it names no make, and none is given: .*",
         _("it names no make, and none is given: write both, as in BMW X5")),
        (r"(?P<make>.*) has no such family", _("%(make)s has no such family")),
        (r"(?P<make>.*) has no such family; is (?P<value>.*) meant\?",
         _("%(make)s has no such family; is %(value)s meant?")),
        (r"(?P<model>.*) is one of the (?P<family>.*), all of which are shown",
         _("%(model)s is one of the %(family)s, all of which are shown")),
        (r"it is none of (?P<values>.*)", _("it is none of %(values)s")),
        (r"it is not a whole number", _("it is not a whole number")),
        (r"it is not a number", _("it is not a number")),
        (r"it is not between (?P<least>\d+) and (?P<most>\d+)", _("it is not between %(least)s and %(most)s")),
        (r"write a day as in .*", _("write a day as in 2026-07-31")),
        (r"write a state in two letters, as in TX", _("write a state in two letters, as in TX")),
        (r"write a time as in 24h, 3d or 2w", _("write a time as in 24h, 3d or 2w")),
        (r"write a time as in .*", _("write a time as in 24h, 3d or 2w, or a day as in 2026-07-31")),
        (r"a denial is no word of an ad: .*",
         _("a denial is no word of an ad: give what is not wanted as words_not")),
        (r"it has no letters that are searched for", _("it has no letters that are searched for")),
        (r"it is in every ad, and is not searched for", _("it is in every ad, and is not searched for")),
        (r"it has no words", _("it has no words")),
        (r"it is not a state in two letters", _("it is not a state in two letters")),
        (r"it is no place in this list: it begins anew", _("it is no place in this list: it begins anew")),
    )
)  # fmt: skip
"""The reasons of vinops/filters.py and vinops/board/sorts.py why a parameter was not understood."""


def problem(language: Language, text: str) -> str:
    """Return why a parameter was not understood, in a language."""
    for pattern, words in PROBLEMS:
        if found := pattern.fullmatch(text):
            return words(language, found)
    return text
