"""A filter in words, in Bulgarian and in English: one line for a chat or a page. It is plain text: escape it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from vinops import vehicles
from vinops.filter_text.tables import values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vinops.filters import Filter
    from vinops.lots.filter import LotFilter

Language: TypeAlias = Literal["bg", "en"]

ANY: Final = {"bg": "всички обяви", "en": "all ads"}
RANGES: Final = {"bg": ("от {}", "до {}", "{} - {}"), "en": ("from {}", "up to {}", "{} - {}")}
UNITS: Final[Mapping[str, Mapping[str, str]]] = {
    "year": {"bg": "{} г.", "en": "{}"},
    "price": {"bg": "{} €", "en": "€{}"},
    "km": {"bg": "{} км", "en": "{} km"},
    "power": {"bg": "{} к.с.", "en": "{} hp"},
}
BULGARIAN: Final[Mapping[str, str]] = {
    "gasoline": "бензин", "diesel": "дизел", "hybrid": "хибрид", "plug-in hybrid": "plug-in хибрид",
    "electric": "електрически", "lpg": "газ", "cng": "метан", "hydrogen": "водород", "manual": "ръчна",
    "automatic": "автоматична", "semi-automatic": "полуавтоматична", "sedan": "седан", "hatchback": "хечбек",
    "estate": "комби", "coupe": "купе", "convertible": "кабрио", "suv": "джип", "van": "ван", "pickup": "пикап",
    "mpv": "миниван", "limousine": "стреч лимузина", "private": "частно лице", "dealer": "търговец",
}  # fmt: skip
NAMES: Final[Mapping[str, Mapping[str, str]]] = {
    "fuel": {"bg": "гориво", "en": "fuel"},
    "gearbox": {"bg": "скорости", "en": "gearbox"},
    "body": {"bg": "купе", "en": "body"},
    "color": {"bg": "цвят", "en": "color"},
    "region": {"bg": "регион", "en": "region"},
    "seller": {"bg": "продавач", "en": "seller"},
}
BUT: Final = {"bg": "{}: без {}", "en": "{}: not {}"}
OR: Final = {"bg": " или ", "en": " or "}
SCORE: Final = {"bg": "оценка от {}", "en": "score from {}"}
MARKET: Final = {"bg": "поне {} % под пазара", "en": "at least {} % below market"}
NEW: Final = {"bg": "нови от {}", "en": "new since {}"}
HOURS: Final = {"bg": "последните {} ч.", "en": "the last {} h"}
GONE: Final = {
    "bg": {"also": "и свалени", "only": "само свалени"},
    "en": {"also": "gone ones too", "only": "gone ones only"},
}
WITH: Final = {"bg": "с «{}»", "en": "with “{}”"}
WITHOUT: Final = {"bg": "без «{}»", "en": "without “{}”"}


def describe(wanted: Filter, language: Language = "bg") -> str:
    """Return the filter as one line: «BMW X5, дизел, от 2016 г., до 25 000 €, без «удар»»."""
    parts = [
        *cars(wanted, language),
        *(several(name, getattr(wanted, name), language) for name in ("body", "fuel", "gearbox", "color")),
        *(between(wanted, name, language) for name in UNITS),
        *(several(name, getattr(wanted, name), language) for name in ("region", "seller")),
        SCORE[language].format(number(wanted.min_score, language)) if wanted.min_score is not None else "",
        MARKET[language].format(number(wanted.below_market, language)) if wanted.below_market is not None else "",
        _since(wanted.new_since, language),
        GONE[language].get(wanted.gone, ""),
        *(WITH[language].format(word) for word in wanted.words),
        *(WITHOUT[language].format(word) for word in wanted.words_not),
    ]
    return ", ".join(filter(None, parts)) or ANY[language]


def cars(wanted: Filter | LotFilter, language: Language) -> list[str]:
    """Return the families, and the makes that none of them is of: those would find nothing together."""
    if wanted.family:
        makes = [make for make in wanted.make if not any(each.startswith(f"{make} ") for each in wanted.family)]
        return [OR[language].join(wanted.family), *([OR[language].join(makes)] if makes else [])]
    return [OR[language].join(wanted.make)] if wanted.make else []


def several(name: str, chosen: Sequence[str], language: Language) -> str:
    """Return the values of a field; of more than half of them those that are missing."""
    if not chosen:
        return ""
    every = values()[name]
    missing = sorted(every - set(chosen))
    if missing and len(missing) < len(chosen):
        said = OR[language].join(_word(name, each, language) for each in missing)
        return BUT[language].format(NAMES[name][language], said)
    return OR[language].join(_word(name, each, language) for each in chosen)


def _word(name: str, value: str, language: Language) -> str:
    if language == "en":
        return value
    if name == "color":
        return _colours().get(value, value)
    return BULGARIAN.get(value, value)


def _colours() -> Mapping[str, str]:
    return {value: names[0].lower() for value, names in vehicles.spoken("colour").items() if names}


def between(wanted: Filter | LotFilter, name: str, language: Language) -> str:
    """Return a range of a field of UNITS; empty if nothing is asked."""
    low, high = getattr(wanted, f"{name}_from"), getattr(wanted, f"{name}_to")
    from_, to, both = RANGES[language]
    unit = UNITS[name][language]
    shown = [number(each, language, is_year=name == "year") for each in (low, high) if each is not None]
    if not shown:
        return ""
    if len(shown) == 2:
        text = shown[0] if low == high else both.format(*shown)
        return unit.format(text)
    return (from_ if low is not None else to).format(unit.format(shown[0]))


def number(value: Any, language: Language, *, is_year: bool = False) -> str:
    """Return a number as people write it; a year has no thousands."""
    if is_year:
        return str(value)
    text = f"{value:,}".removesuffix(".00")
    return text.replace(",", " ").replace(".", ",") if language == "bg" else text


def _since(since: Any, language: Language) -> str:
    if since is None:
        return ""
    if isinstance(since, timedelta):
        return NEW[language].format(HOURS[language].format(int(since.total_seconds() // 3600)))
    return NEW[language].format(since.isoformat())
