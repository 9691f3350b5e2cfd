"""Names of values for people: fuels, colors, badges, risks, and the reasons that the stage `score` writes.

Values of the vocabulary are English words in the database; the texts here are what is translated. A value without a
text is shown as it is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

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
    "level": {"low": _("low"), "medium": _("medium"), "high": _("high")},
    "status": {
        "none": _("new"), "seen": _("seen"), "called": _("called"), "bought": _("bought"), "rejected": _("rejected"),
    },
    "sort": {
        "score": _("best first"), "new": _("newest first"), "cheap": _("cheapest"), "dear": _("dearest"),
        "below": _("most below market"), "km": _("fewest km"), "year": _("newest car"),
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
    "role": {"viewer": _("viewer"), "trader": _("trader"), "operator": _("operator")},
}  # fmt: skip
"""The texts by kind and value."""


def name(language: Language, kind: str, value: str | None) -> str:
    """Return the name of a value in a language; of one that is unknown here, the value."""
    if value is None:
        return ""
    text = NAMES[kind].get(value)
    return value if text is None else language.gettext(text)


def _plain(text: str) -> Words:
    return lambda language, found: language.gettext(text, **found.groupdict()) if found.groupdict() else (
        language.gettext(text)
    )  # fmt: skip


def _counted(one: str, many: str) -> Words:
    return lambda language, found: language.ngettext(one, many, int(found["n"]), **_others(found))


def _others(found: re.Match[str]) -> dict[str, Any]:
    return {key: value for key, value in found.groupdict().items() if key != "n"}


def _risk(language: Language, found: re.Match[str]) -> str:
    return f"{name(language, 'risk', found['flag'].replace(' ', '_'))}: «{found['words']}»"


def _when(language: Language, found: re.Match[str]) -> str:
    if found["when"] == "today":
        return language.gettext("price dropped %(share)s %% today", share=found["share"])
    if found["when"] == "yesterday":
        return language.gettext("price dropped %(share)s %% yesterday", share=found["share"])
    days = int(found["when"].split()[0])
    return language.ngettext(
        "price dropped %(share)s %% %(num)s day ago", "price dropped %(share)s %% %(num)s days ago", days,
        share=found["share"],
    )  # fmt: skip


REASONS: Final[tuple[tuple[re.Pattern[str], Words], ...]] = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"(?P<share>\d+) % below (?P<n>\d+) comparable cars?",
         _counted("%(share)s %% below %(num)s comparable car", "%(share)s %% below %(num)s comparable cars")),
        (r"(?P<share>\d+) % above (?P<n>\d+) comparable cars?",
         _counted("%(share)s %% above %(num)s comparable car", "%(share)s %% above %(num)s comparable cars")),
        (r"at the price of (?P<n>\d+) comparable cars?",
         _counted("at the price of %(num)s comparable car", "at the price of %(num)s comparable cars")),
        (r"(?P<share>\d+) % below the model", _plain(_("%(share)s %% below the price model"))),
        (r"(?P<share>\d+) % above the model", _plain(_("%(share)s %% above the price model"))),
        (r"at the price of the model", _plain(_("at the price of the price model"))),
        (r"cheaper than nine of ten", _plain(_("cheaper than nine of ten"))),
        (r"new today", _plain(_("new today"))),
        (r"new since yesterday", _plain(_("new since yesterday"))),
        (r"there for (?P<n>\d+) days?",
         _counted("advertised for %(num)s day", "advertised for %(num)s days")),
        (r"price dropped (?P<share>[\d.]+) % (?P<when>today|yesterday|\d+ days ago)", _when),
        (r"below the score of (?P<score>[\d.]+) that is asked for",
         _plain(_("below the score of %(score)s that messages need"))),
        (r"the same car as in ad (?P<ad>\d+)", _plain(_("the same car as in ad %(ad)s"))),
        (r"no price(: .*)?", _plain(_("no price"))),
        (r"(only )?(?P<n>\d+) comparable cars?",
         _counted("only %(num)s comparable car", "only %(num)s comparable cars")),
        (r"no comparable cars", _plain(_("no comparable cars"))),
        (r"the estimate is unsure \(confidence (?P<confidence>[\d.]+)\)",
         _plain(_("the estimate is unsure (confidence %(confidence)s)"))),
        (r"goes fast: half of them within (?P<n>\d+) days?",
         _counted("goes fast: half of them within %(num)s day", "goes fast: half of them within %(num)s days")),
        (r"goes slowly: half of them take more than (?P<n>\d+) days?",
         _counted("goes slowly: half of them take more than %(num)s day",
                  "goes slowly: half of them take more than %(num)s days")),
        (r"gone", _plain(_("gone"))),
        (r"no estimate of its value", _plain(_("no estimate of its value"))),
        (r"suspiciously cheap", _plain(_("suspiciously cheap"))),
        (r"(?P<flag>[a-z ]+): «(?P<words>.*)»", _risk),
    )
)  # fmt: skip
"""The sentences of deals/stages/score.py, and their translations."""


PROBLEMS: Final[tuple[tuple[re.Pattern[str], Words], ...]] = tuple(
    (re.compile(pattern, re.DOTALL), _plain(text))
    for pattern, text in (
        (r"there is no such filter", _("there is no such filter")),
        (r"it is given more than once: (?P<first>.*) counts", _("it is given more than once: %(first)s counts")),
        (r"only (?P<most>\d+) can be asked for at once", _("only %(most)s can be asked for at once")),
        (r"it is longer than (?P<most>\d+) characters", _("it is longer than %(most)s characters")),
        (r"it is more than (?P<other>\w+): no ad can be found", _("it is more than %(other)s: no ad can be found")),
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
        (r"write a time as in .*", _("write a time as in 24h, 3d or 2w, or a day as in 2026-07-31")),
        (r"a denial is no word of an ad: .*",
         _("a denial is no word of an ad: give what is not wanted as words_not")),
        (r"it has no letters that are searched for", _("it has no letters that are searched for")),
        (r"it is in every ad, and is not searched for", _("it is in every ad, and is not searched for")),
        (r"it has no words", _("it has no words")),
        (r"it is no place in this list: it begins anew", _("it is no place in this list: it begins anew")),
    )
)  # fmt: skip
"""The reasons of vinops/filters.py and vinops/board/sorts.py why a parameter was not understood."""


def problem(language: Language, text: str) -> str:
    """Return why a parameter was not understood, in a language."""
    return _translated(PROBLEMS, language, text)


def reason(language: Language, text: str) -> str:
    """Return a reason of a score in a language; one that is unknown here as it is."""
    return _translated(REASONS, language, text)


def _translated(known: tuple[tuple[re.Pattern[str], Words], ...], language: Language, text: str) -> str:
    for pattern, words in known:
        if found := pattern.fullmatch(text):
            return words(language, found)
    return text
