"""Reads the texts of mobile.bg: prices, properties of cars, places, makes.

Each function returns the fields of a Listing that it could read, by name, and in `dropped` the names of those with an
impossible value. Missing fields are in neither.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from vinops.text.printable import without_controls

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vinops_scrapy.items import Vat

BGN_PER_EUR: Final = Decimal("1.95583")  # by law, since 1999
LEAST_EUR: Final = 100  # a lower price means "ask me": usually 11 лв.
MOST_EUR: Final = 20_000_000
HP: Final = range(20, 1_501)
CC: Final = range(100, 10_001)
KM: Final = range(1_000_001)
EURO: Final = range(1, 8)
FIRST_YEAR: Final = 1900
USED_KM: Final = 1_000
USED_YEARS: Final = 3
"""Cars of this age with less than 1,000 km: the seller left out the thousands («228 км»).

100 of 6,551 ads had less than 1,000 km. Cars of the ad's year and the two before may be new or demonstration cars,
and their mileage true. A collector's car loses its true mileage, and nothing else.
"""

_MONTHS: Final = (
    "януари", "февруари", "март", "април", "май", "юни", "юли", "август", "септември", "октомври", "ноември",
    "декември",
)  # fmt: skip
MONTHS: Final = {name: number for number, name in enumerate(_MONTHS, 1)}
FUELS: Final = frozenset(
    (
        "бензинов", "дизелов", "електрически", "хибриден", "plug-in хибрид", "газ", "метан", "водород", "бензин",
        "дизел", "хибрид", "газ/бензин", "бензин/газ", "метан/бензин", "електро", "електричество",
    )
)  # fmt: skip
GEARBOXES: Final = frozenset(("ръчна", "автоматична", "полуавтоматична"))
BODIES: Final = frozenset(
    ("ван", "джип", "кабрио", "комби", "купе", "миниван", "пикап", "седан", "стреч лимузина", "хечбек")
)
COLOURS: Final = frozenset(
    (
        "банан", "беата", "бежов", "бордо", "бронз", "бял", "винен", "виолетов", "вишнев", "графит", "жълт", "зелен",
        "златист", "кафяв", "керемиден", "кремав", "лилав", "металик", "оранжев", "охра", "пепеляв", "перла",
        "пясъчен", "резидав", "розов", "сахара", "светло сив", "светло син", "сив", "син", "слонова кост", "сребърен",
        "т.зелен", "тъмно зелен", "тъмно сив", "тъмно син", "тъмно син мет.", "тъмно червен", "тютюн", "хамелеон",
        "червен", "черен",
    )
)  # fmt: skip
WORDS: Final = {
    word: name
    for name, words in {"fuel": FUELS, "gearbox": GEARBOXES, "body": BODIES, "colour": COLOURS}.items()
    for word in words
}

LOOKALIKES: Final = str.maketrans("TtAaOoEeCcPpXxHKMB", "ТтАаОоЕеСсРрХхНКМВ")
"""Latin letters that the site uses in Cyrillic words: its dark blue begins with one."""

MAKES: Final = (
    "Alfa Romeo", "Aston Martin", "DR Automobiles", "Great Wall", "Ineos Grenadier", "Land Rover", "Lucid Air",
    "Lynk & Co", "Renault Samsung", "Rolls Royce", "Sin Cars",
)  # fmt: skip
"""Makes of more than one word."""

MODELS: Final = (
    "Grand C4 Picasso", "C3 Picasso", "C4 Picasso", "C4 Cactus", "C4 SpaceTourer", "Xsara Picasso", "C3 Aircross",
    "C5 Aircross", "Grand Cherokee", "Grand Voyager", "Grand Caravan", "Grand Vitara", "Grand Scenic", "Grand Espace",
    "Grand Modus", "Grand C-Max", "Land Cruiser", "Santa Fe", "Range Rover Sport", "Range Rover Evoque",
    "Range Rover Velar", "Range Rover", "Discovery Sport", "Pajero Sport", "Pajero Pinin", "Space Star", "Space Wagon",
    "Eclipse Cross", "Model 3", "Model S", "Model X", "Model Y", "Golf Plus", "Golf Variant", "New Beetle",
    "PT Cruiser", "RAM 1500", "RAM 2500", "RAM 3500", "Yaris Cross", "Corolla Cross", "Corolla Verso",
    "Avensis Verso", "Proace City", "Puma ST", "Transit Connect", "Transit Custom", "Tourneo Connect",
    "Tourneo Custom", "Doblo Cargo", "Grande Punto", "Punto Evo", "Astra Sports Tourer", "Rapid Spaceback",
    "Ibiza ST", "Leon ST", "S-Cross", "SX4 S-Cross", "Wagon R", "X-Trail", "Cooper Countryman", "Country Man",
)  # fmt: skip
"""Models of more than one word; all others count as one word unless the address of the list has more."""

_APOSTROPHE: Final = re.compile(r"(?<=\d)['’‘ʼ`´′](?=\d{3}(?!\d))")
_AMOUNT: Final = re.compile(
    # Not behind a digit and any other sign: that would be the end of a longer number.
    r"(?<![\d.,])(?<!\d[ ])(?<!\d[^0-9A-Za-zА-я\s€$])(?<!\d[^0-9A-Za-zА-я\s€$]{2})"
    r"(\d{1,3}(?: \d{3})+|\d{1,12})(?:[.,](\d{1,2}))? ?(€|eur|лв|bgn|\$|usd)(?![a-zа-я])",
    re.IGNORECASE,
)
_CURRENCIES: Final = {"€": "EUR", "eur": "EUR", "лв": "BGN", "bgn": "BGN", "$": "USD", "usd": "USD"}
_ID: Final = re.compile(r"[12](\d{13})\d{3}")
_MADE: Final = re.compile(r"(?:([а-я]+) )?(\d{4})(?: ?г\.?| ?год\.?)?", re.IGNORECASE)
_MEASURES: Final = (
    ("mileage_km", re.compile(r"(-?[\d ]{1,20}) ?км\.?", re.IGNORECASE)),
    ("power_hp", re.compile(r"(-?[\d ]{1,20}) ?к\.? ?с\.?", re.IGNORECASE)),
    ("engine_cc", re.compile(r"(-?[\d ]{1,20}) ?(?:куб\.? ?см|см3|cm3|cc)\.?", re.IGNORECASE)),
    ("euro_class", re.compile(r"(?:евро|euro) ?(\d{1,2})(?![\d.])\w*", re.IGNORECASE)),
)
_RANGES: Final = {"mileage_km": KM, "power_hp": HP, "engine_cc": CC, "euro_class": EURO}
_REGION: Final = re.compile(r"^(?:обл|общ)\. ?", re.IGNORECASE)
_PLACE: Final = re.compile(r"^(?:гр|с|к\.к|в\.з|м)\. ?", re.IGNORECASE)
_EQUIPMENT: Final = re.compile(r",\s+(?!TV\b|Tiptronic\b|IN\\AUX|audio\\video)")
_OTHER: Final = re.compile(r"[^a-z0-9]+")
_CLASS: Final = re.compile(r"[a-z]{1,3}[ -]\d{2,3}", re.IGNORECASE)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Fields of a Listing by name, and the names of fields with an impossible value."""

    fields: dict[str, Any] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()


def folded(text: str) -> str:
    """Return a text on one line, with single blanks, without control characters; a no-break space counts as blank."""
    return " ".join(without_controls(" ".join(text.split())).split())


def _plain(text: str) -> str:
    """Return a text on one line, with a blank for each apostrophe between thousands: «12'500 €» is 12 500 €."""
    return _APOSTROPHE.sub(" ", folded(text))


def posted_at(ad_id: str) -> datetime | None:
    """Return when an ad was posted, by its id: a digit, 13 digits of milliseconds since 1970, three more."""
    found = _ID.fullmatch(ad_id)
    if not found or not ad_id.isascii() or not 10**12 <= int(found[1]) < 4 * 10**12:
        return None
    return _EPOCH + timedelta(milliseconds=int(found[1]))


def price(text: str) -> Reading:
    """Read a price: the one in euro, else the one in leva, else the one in dollars.

    A text without a number («Запитване», «по договаряне») has no price. Placeholders, unreadable numbers and numbers
    without a currency are dropped.
    """
    text = _plain(text)
    amounts: dict[str, Decimal] = {}
    for whole, cents, sign in _AMOUNT.findall(text):
        amount = Decimal(whole.replace(" ", "") + (f".{cents}" if cents else ""))
        amounts.setdefault(_CURRENCIES[sign.lower()], amount)
    for currency in ("EUR", "BGN", "USD"):
        if currency not in amounts:
            continue
        value = amounts[currency]
        euro = (value / BGN_PER_EUR).quantize(Decimal("0.01")) if currency == "BGN" else value
        if not LEAST_EUR <= euro <= MOST_EUR:
            break
        return Reading(
            fields={"price": value, "currency": currency, "price_eur": None if currency == "USD" else euro},
        )
    return Reading(dropped=("price",) if any(character.isdigit() for character in text) else ())


def vat(text: str) -> Vat | None:
    """Return what a note says about value added tax, or None."""
    text = text.lower()
    if "ддс" not in text:
        return None
    if "не се начислява" in text or "освободен" in text:
        return "exempt"
    if "без ддс" in text:
        return "excluded"
    return "included" if "включен" in text or "с ддс" in text else None


def car(texts: Iterable[str], posted: datetime) -> Reading:
    """Read the properties of a car from short texts in any order: «190 000 км», «Седан», «Евро 6».

    The first of a kind counts. A date is only a month and a year, so «гаранция до 08.2027» is none.
    """
    fields: dict[str, Any] = {}
    dropped: list[str] = []
    for text in map(_plain, texts):
        name = WORDS.get(text.lower()) or WORDS.get(text.translate(LOOKALIKES).lower())
        if name:
            fields.setdefault(name, text)
        elif (made := _MADE.fullmatch(text)) and (made[1] is None or made[1].lower() in MONTHS):
            if "year" in fields or "year" in dropped:
                continue
            if FIRST_YEAR <= int(made[2]) <= posted.year + 1:
                fields |= {"year": int(made[2])} | ({"month": MONTHS[made[1].lower()]} if made[1] else {})
            else:
                dropped.append("year")
        else:
            for name, pattern in _MEASURES:
                found = pattern.fullmatch(text)
                if not found or name in fields or name in dropped:
                    continue
                digits = found[1].replace(" ", "")
                if digits.removeprefix("-").isdecimal() and int(digits) in _RANGES[name]:
                    fields[name] = int(digits)
                else:
                    dropped.append(name)
    if fields.get("mileage_km", USED_KM) < USED_KM and posted.year - fields.get("year", posted.year) >= USED_YEARS:
        del fields["mileage_km"]
        dropped.append("mileage_km")
    return Reading(fields=fields, dropped=tuple(dropped))


def location(region: str, place: str) -> dict[str, str]:
    """Return region and place without their kind: «обл. Бургас» and «гр. Бургас» are both Бургас."""
    named = {"region": _REGION.sub("", folded(region)), "place": _PLACE.sub("", folded(place))}
    return {name: text for name, text in named.items() if text}


def equipment(text: str) -> tuple[str, ...]:
    """Return the parts of a list of equipment, each once. Three of them contain commas."""
    return tuple(dict.fromkeys(filter(None, map(folded, _EQUIPMENT.split(folded(text).rstrip(" ,"))))))


def make_and_model(title: str, *, make: str = "", model: str = "") -> dict[str, str]:
    """Return make and model, with which a title begins, in the site's spelling.

    `make` and `model` are the slugs of the list, if it has some: where they fit, they decide how many words each has.
    Otherwise known names of more than one word do, else each is one word.
    """
    words = folded(title).split(" ")
    makers = _fitting(words, make) or _known(words, _MAKES) or 1
    fields = {"make_text": " ".join(words[:makers])}
    rest = words[makers:]
    if rest:
        models = _fitting(rest, model) or _known(rest, _MODELS) or 1
        if models == 1 and fields["make_text"].startswith("Mercedes") and _CLASS.fullmatch(" ".join(rest[:2])):
            models = 2
        fields["model_text"] = " ".join(rest[:models])
    return {name: text for name, text in fields.items() if text and not text.startswith("[")}  # no placeholder


def slug(text: str) -> str:
    """Return the slug of a text, as in the site's addresses."""
    return _OTHER.sub("-", text.lower()).strip("-")


_MAKES: Final = tuple(tuple(slug(word) for word in name.split(" ")) for name in MAKES)
_MODELS: Final = tuple(tuple(slug(word) for word in name.split(" ")) for name in MODELS)


def _fitting(words: list[str], wanted: str) -> int:
    """Return how many of the first words make up a slug; some slugs of Mercedes are the number only."""
    for count in range(1, min(len(words), 5) + 1) if wanted else ():
        found = slug(" ".join(words[:count]))
        if found == wanted or (wanted.isdecimal() and found.endswith(f"-{wanted}")):
            return count
    return 0


def _known(words: list[str], names: Iterable[tuple[str, ...]]) -> int:
    """Return how many of the first words are a known name: the first one that fits."""
    start = tuple(slug(word) for word in words[:3])
    return next((len(name) for name in names if start[: len(name)] == name), 0)
