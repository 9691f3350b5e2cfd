"""A filter of lots in words, and the names of what the feed says of a lot, in Bulgarian and in English: plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vinops.filter_text.tables import words
from vinops.filter_words import BUT, OR, RANGES, between, cars, number, several
from vinops.lots.filter import DAMAGES, KEYS, MILE_KM, RUNS, TITLES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from vinops.filter_words import Language
    from vinops.lots.filter import LotFilter

ANY: Final = {"bg": "всички лотове", "en": "all lots"}
NAMES: Final[Mapping[str, Mapping[str, Mapping[str, str]]]] = {
    "damage": {
        "bg": {
            "all over": "навсякъде", "biohazard/chemical": "биологична опасност", "burn": "пожар",
            "burn - engine": "пожар в двигателя", "burn - interior": "пожар в купето",
            "damage history": "история на щети", "frame damage": "щета по рамата", "front end": "удар отпред",
            "hail": "градушка", "mechanical": "механична повреда", "minor dent/scratches": "леки драскотини",
            "missing/altered vin": "липсващ VIN", "normal wear": "нормално износване",
            "partial repair": "частичен ремонт", "rear end": "удар отзад", "rejected repair": "отказан ремонт",
            "replaced vin": "сменен VIN", "rollover": "преобръщане", "side": "удар отстрани",
            "stripped": "разкомплектован", "top/roof": "покрив", "undercarriage": "ходова част",
            "vandalism": "вандализъм", "water/flood": "наводнение",
        },
        "en": {},
    },
    "title_group": {
        "bg": {"clean": "чист документ", "salvage": "документ за щета", "destruction": "за унищожаване",
               "other": "друг документ"},
        "en": {"clean": "clean title", "salvage": "salvage title", "destruction": "for destruction",
               "other": "other title"},
    },
    "runs": {
        "bg": {"drives": "пали и се движи", "starts": "пали", "unknown": "неизвестно дали пали"},
        "en": {"drives": "runs and drives", "starts": "starts", "unknown": "unknown whether it runs"},
    },
    "keys": {
        "bg": {"yes": "с ключове", "no": "без ключове", "unknown": "неизвестно за ключове"},
        "en": {"yes": "with keys", "no": "without keys", "unknown": "keys unknown"},
    },
    "against": {
        "bg": {
            "heavy vehicle": "тежка машина", "not a car": "не е кола",
            "title not exportable": "документът не се изнася", "title unknown": "неясен документ",
            "damage": "щетата", "does not start": "не пали",
            "no keys": "няма ключове", "odometer": "километражът", "too old": "твърде стара",
            "no market": "няма подобни обяви тук", "no sale date": "няма дата на търга",
        },
        "en": {
            "title not exportable": "the title is not exportable", "title unknown": "the title is unclear",
            "damage": "the damage", "odometer": "the odometer", "no market": "no ads like it here",
        },
    },
}  # fmt: skip
"""The texts by kind, language and value. A value without a text is shown as it is. `against` are the names of
blockers."""
FIXED: Final[Mapping[str, Sequence[str]]] = {
    "damage": DAMAGES, "title_group": tuple(TITLES), "runs": tuple(RUNS), "keys": tuple(KEYS),
}  # fmt: skip
GROUPS: Final = {"collision": {"bg": "удар", "en": "a collision"}, "burn": {"bg": "пожар", "en": "burn"}}
"""Kinds of damage that are one word together, see auctions.toml."""
CALLED: Final = {
    "bg": {"damage": "щета", "title_group": "документ", "runs": "пали", "keys": "ключове"},
    "en": {"damage": "damage", "title_group": "title", "runs": "runs", "keys": "keys"},
}
FIGURES: Final[Mapping[str, Mapping[str, str]]] = {
    "odometer_to": {"bg": "до {} км", "en": "up to {} km"},
    "landed_to": {"bg": "до {} € на място", "en": "landed for up to €{}"},
    "profit_from": {"bg": "печалба от {} €", "en": "profit from €{}"},
    "most_bid_from": {"bg": "заслужава наддаване от {} $", "en": "worth a bid from ${}"},
    "at_bid_to": {"bg": "цена на търга до {} $", "en": "price at the auction up to ${}"},
    "bid_to": {"bg": "наддаване до {} $", "en": "bid up to ${}"},
}
WORTH: Final = {"bg": "заслужава наддаване", "en": "worth a bid"}
WITHIN: Final = {"bg": "търг до {} ч.", "en": "sale within {} h"}
SALE: Final = {"bg": "търг {}", "en": "sale {}"}
BUY_NOW: Final = {
    "bg": {"yes": "с «купи веднага»", "no": "без «купи веднага»"}, "en": {"yes": "buy now", "no": "no buy now"},
}  # fmt: skip


def describe(wanted: LotFilter, language: Language = "bg", *, is_added: bool = False) -> str:
    """Return the filter as one line. `is_added`: it is said behind a filter of ads for the same cars: only what lots
    have of their own."""
    shared = [
        *cars(wanted, language),
        *(several(name, getattr(wanted, name), language) for name in ("body", "fuel", "gearbox", "color")),
        between(wanted, "year", language),
    ]
    own = [
        *(_fixed(name, getattr(wanted, name), language) for name in FIXED),
        *(OR[language].join(getattr(wanted, name)) for name in ("state", "yard", "seller")),
        *(_figure(wanted, name, language) for name in FIGURES),
        BUY_NOW[language][wanted.buy_now] if wanted.buy_now else "",
        _days(wanted, language),
        WITHIN[language].format(hours(wanted.sale_within)) if wanted.sale_within is not None else "",
    ]
    return ", ".join(filter(None, own if is_added else [*shared, *own])) or ("" if is_added else ANY[language])


def name(language: Language, kind: str, value: str) -> str:
    """Return the name of a value of the feed."""
    return NAMES[kind][language].get(value, value)


def hours(time: timedelta) -> int:
    """Return whole hours."""
    return int(time.total_seconds() // 3600)


def _fixed(kind: str, chosen: Sequence[str], language: Language) -> str:
    """Return the values of a field; of more than half of all kinds of damage those that are missing."""
    missing = [each for each in FIXED[kind] if each not in chosen]
    if kind == "damage" and missing and len(missing) < len(chosen):
        groups = {of: each for of, each in words()["lot_damage_of"].items() if of in GROUPS}
        whole = [of for of, each in groups.items() if set(each) <= set(missing)]
        rest = [each for each in missing if not any(each in groups[of] for of in whole)]
        said = OR[language].join(
            [*(GROUPS[of][language] for of in whole), *(name(language, kind, each) for each in rest)]
        )
        return BUT[language].format(CALLED[language][kind], said)
    return OR[language].join(name(language, kind, each) for each in chosen)


def _figure(wanted: LotFilter, field: str, language: Language) -> str:
    value: Any = getattr(wanted, field)
    if value is None:
        return ""
    if field == "most_bid_from" and value <= 1:
        return WORTH[language]
    if field == "odometer_to":
        value = int(round(value * MILE_KM, -1))  # 120,000 km are 74,564 miles, which are 119,999 km
    return FIGURES[field][language].format(number(value, language))


def _days(wanted: LotFilter, language: Language) -> str:
    from_, to, both = RANGES[language]
    shown = [f"{each:%d.%m.%Y}" for each in (wanted.sale_from, wanted.sale_to) if each is not None]
    if not shown:
        return ""
    text = both.format(*shown) if len(shown) == 2 else (from_ if wanted.sale_from else to).format(shown[0])
    return SALE[language].format(text)
