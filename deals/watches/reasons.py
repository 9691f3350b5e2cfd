"""The sentences of deals/stages/score.py in Bulgarian, for `/why`: those of the site, to which a test holds them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

CARS: Final = ("сравнима кола", "сравними коли")
DAYS: Final = ("ден", "дни")
_SENTENCES: Final = tuple(
    (re.compile(pattern), said, unit)
    for pattern, said, unit in (
        (r"(?P<share>\d+) % below (?P<n>\d+) comparable cars?", "{share} % под {n} {unit}", CARS),
        (r"(?P<share>\d+) % above (?P<n>\d+) comparable cars?", "{share} % над {n} {unit}", CARS),
        (r"at the price of (?P<n>\d+) comparable cars?", "на цената на {n} {unit}", CARS),
        (r"(?P<share>\d+) % below the model", "{share} % под ценовия модел", None),
        (r"(?P<share>\d+) % above the model", "{share} % над ценовия модел", None),
        (r"at the price of the model", "на цената от ценовия модел", None),
        (r"cheaper than nine of ten", "по-евтина от девет от десет", None),
        (r"new today", "нова днес", None),
        (r"new since yesterday", "нова от вчера", None),
        (r"there for (?P<n>\d+) days?", "обявена от {n} {unit}", DAYS),
        (r"price dropped (?P<share>[\d.]+) % today", "цената падна с {share} % днес", None),
        (r"price dropped (?P<share>[\d.]+) % yesterday", "цената падна с {share} % вчера", None),
        (r"price dropped (?P<share>[\d.]+) % (?P<n>\d+) days ago", "цената падна с {share} % преди {n} {unit}", DAYS),
        (r"goes fast: half of them within (?P<n>\d+) days?", "търси се: половината изчезват за {n} {unit}", DAYS),
        (r"goes slowly: half of them take more than (?P<n>\d+) days?",
         "продава се бавно: половината стоят над {n} {unit}", DAYS),
        (r"gone", "свалена", None),
        (r"the same car as in ad (?P<ad>\d+)", "същата кола като в обява {ad}", None),
        (r"no price", "няма цена", None),
        (r"no price: (?P<problem>.*)", "няма цена: {problem}", None),
        (r"no estimate of its value", "няма оценка на стойността", None),
        (r"(only )?(?P<n>\d+) comparable cars?", "само {n} {unit}", CARS),
        (r"no comparable cars?", "няма сравними коли", None),
        (r"the estimate is unsure \(confidence (?P<confidence>[\d.]+)\)",
         "оценката е несигурна (увереност {confidence})", None),
        (r"its mileage is not known", "пробегът не е известен", None),
        (r"its power is not known", "мощността не е известна", None),
        (r"its title says too little", "заглавието казва твърде малко", None),
        (r"its year is doubtful", "годината е съмнителна", None),
        (r"its mileage is doubtful", "пробегът е съмнителен", None),
        (r"suspiciously cheap: more than (?P<share>\d+) % below its value",
         "подозрително евтина: над {share} % под стойността си", None),
        (r"below the score of (?P<score>[\d.]+) that is asked for", "под точките {score}, нужни за съобщение", None),
        (r"(?P<flag>[a-z ]+): «(?P<words>.*)»", "{flag}: «{words}»", None),
    )
)  # fmt: skip
RISKS: Final = {
    "crashed": "ударен", "burned": "горял", "for parts": "за части", "deregistered": "спрян от движение",
    "not running": "не е в движение", "engine": "двигател", "defect": "дефект", "airbags": "въздушни възглавници",
    "flooded": "наводнен", "wheel on the right": "десен волан", "reserved": "капариран", "sold": "продаден",
    "odometer": "километраж", "taxi": "такси", "hail": "градушка", "legal": "правни пречки",
    "from america": "от Америка", "just imported": "нов внос", "abroad": "в чужбина", "urgent": "спешно",
    "first owner": "първи собственик", "service history": "сервизна история", "guarantee": "гаранция",
    "true mileage": "реални километри",
}  # fmt: skip
PROBLEMS: Final = {
    "placeholder": "число вместо цена", "wanted": "обявяващият купува", "parts": "продават се двигател или части",
    "lease balance": "лизинг за поемане", "deposit": "само първоначална вноска", "instalment": "месечна вноска",
    "exchange only": "само замяна",
}  # fmt: skip


def said(language: str, sentences: Sequence[str]) -> list[str]:
    """Return sentences of the score in a language; one that is unknown here as it is."""
    return [*sentences] if language != "bg" else [_bulgarian(each) for each in sentences]


@lru_cache(maxsize=1024)
def _bulgarian(sentence: str) -> str:
    for pattern, text, unit in _SENTENCES:
        if found := pattern.fullmatch(sentence):
            about = {name: value or "" for name, value in found.groupdict().items()}
            if unit is not None:
                about["unit"] = unit[about["n"] != "1"]
            about["flag"] = RISKS.get(about.get("flag", ""), about.get("flag", ""))
            about["problem"] = PROBLEMS.get(about.get("problem", ""), about.get("problem", ""))
            return text.format(**about)
    return sentence
