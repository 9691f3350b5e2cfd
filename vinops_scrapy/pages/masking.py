"""Removes personal data from the text of ads: phone numbers, mail addresses, names.

A placeholder replaces them. If in doubt a word is removed, but never a price, distance, year, date, size of a tyre or
VIN: those are what the text is read for.
"""

from __future__ import annotations

import re
from typing import Final

PHONE: Final = "[phone]"
MAIL: Final = "[mail]"
NAME: Final = "[name]"

VIN: Final = 17  # characters
_START: Final = re.compile(r"\A[A-Za-z0-9]*")
_END: Final = re.compile(r"[A-Za-z0-9]*\Z")
_GAP: Final = r"[\s.,\-–/()_*]{0,3}"
_MOBILE: Final = rf"(?:(?:\+|\b00){_GAP}3{_GAP}5{_GAP}9(?:{_GAP}\(?0\)?)?|\b359|(?<!\d)0){_GAP}[89]"
_NUMBERS: Final = re.compile(
    rf"(?=[+03])(?:{_MOBILE}{_GAP}[789](?:{_GAP}\d){{7}}\d{{0,2}}(?!\d)"
    rf"|(?:\+|\b00)359(?:{_GAP}\d){{7,9}}(?!\d)"
    r"|\+[1-9]\d{0,2}(?:[\s.\-/()]{0,2}\d){8,12}(?!\d)"
    r"|(?P<town>(?<!\d)(?<!\d[.,\s])0(?:2|[3-7]\d{1,3}|800)[\s\-–/.)]{0,3}\d{2,7}(?:[\s\-./]?\d{2,4}){0,3}(?!\d)))"
)
_AFTER_A_WORD: Final = re.compile(
    r"(?i:\b(?:тел(?:ефон\w*)?|gsm|джиесем|моб(?:илен)?|viber|вайбър|whats ?app|phone|tel)\b)\W{0,4}"
    r"(\+?\d(?:[\s./\-]{0,2}\d){5,13})(?!\d)(?!\s*(?:км|лв|€|eur|к\.?\s?с|куб))",
    re.IGNORECASE,
)
_DATE: Final = re.compile(r"\d{1,2}[./-]\d{1,2}[./-](?:19|20)?\d{2}(?!\d)|0\d[./-](?:19|20)\d{2}(?!\d)|0\d\.\d\d ?[-–]")
_MAIL: Final = re.compile(r"[\w.+-]{1,64}\s?(?:@|\(at\)|\[at\])\s?[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}", re.IGNORECASE)

GIVEN: Final = (
    "Александър", "Александра", "Ангел", "Антон", "Антония", "Атанас", "Благой", "Борислав", "Боян", "Валентин",
    "Валентина", "Валери", "Васил", "Веселин", "Весела", "Виолета", "Владимир", "Владислав", "Галин", "Галина",
    "Георги", "Гергана", "Даниел", "Даниела", "Десислава", "Деян", "Диана", "Димитър", "Димитрина", "Димо",
    "Добромир", "Евгени", "Екатерина", "Елена", "Емил", "Живко", "Захари", "Здравко", "Ивайло", "Иван", "Иванка",
    "Ивелин", "Ивелина", "Ивона", "Илиян", "Илияна", "Йордан", "Йорданка", "Калоян", "Катя", "Кирил", "Константин",
    "Красимир", "Красимира", "Кристиян", "Лилия", "Людмил", "Любомир", "Людмила", "Магдалена", "Мариана", "Мария",
    "Марияна", "Мартин", "Милен", "Милена", "Мирослав", "Надя", "Невена", "Никола", "Николай", "Николета", "Огнян",
    "Павел", "Петър", "Петя", "Пламен", "Пламена", "Радослав", "Радостина", "Росен", "Росица", "Румен", "Румяна",
    "Светлана", "Светослав", "Симеон", "Спас", "Станимир", "Стефан", "Стефка", "Стефания", "Стоян", "Таня",
    "Теодор", "Теодора", "Тихомир", "Тодор", "Тодорка", "Христо", "Цветан", "Цветелина", "Цветомир", "Явор", "Яна",
    "Янко",
)  # fmt: skip
"""Given names that are no names of cars: neither Калина nor Лада is among them."""

_GIVEN: Final = "|".join(sorted(GIVEN, key=len, reverse=True))
_CAPITAL: Final = r"[А-Я][а-я]{1,20}"
_SURNAME: Final = r"(?i:[а-я]{2,20}(?:ов|ев|ова|ева|ски|ска))\b"
_FULL: Final = rf"(?i:\b(?:{_GIVEN})\b)(?:\s+{_SURNAME}){{1,2}}"
_GIVEN_NAME: Final = rf"(?i:\b(?:{_GIVEN})\b)(?:\s+{_SURNAME}){{0,2}}"
_NO_NAME: Final = (
    r"(?!(?:Моля|Обад|Само|За|При|Без|Цена|Нов|След|Може|На|От|До|Или|Не|Няма|Има|Авто|Кола|Работ|Адрес|Град|Област|"
    r"Софи|Понед|Вторн|Сряд|Четв|Петък|Събот|Недел|Всеки|Всич|Безпл|Пиш|Звън|Вайб|Теле|Моб|Благод|Повече)[а-я]*\b)"
)
_PAIR: Final = r"[А-Я][А-Яа-я]{1,20}\s+[А-Я](?i:[а-я]{1,20}(?:ов|ев|ова|ева|ски|ска))\b"
_CUE: Final = (
    r"(?:(?i:\b(?:тел|моб|г-н|г-жа))\.?[\s:\-–]{0,3}|(?i:\bтелефон(?:а|и)?\b)[\s:\-–]{1,3}"
    r"|(?i:\b(?:за\s+(?:контакт(?:и|а)?|връзка)|лице\s+за\s+контакт|контакт(?:и|а)?|търсете|потърсете|питайте(?:\s+за)?"
    r"|обадете\s+се\s+на|звъннете\s+на|казвам\s+се|господин|госпожа|с\s+уважение))[\s:,\-–]{1,3}"
    r"|(?i:\b(?:собственик|продавач|консултант|име)):\s{0,2})"
)
_CUE_WORDS: Final = frozenset(
    (
        "тел", "телефон", "телефона", "телефони", "моб", "контакт", "контакти", "контакта", "връзка", "търсете",
        "потърсете", "питайте", "обадете", "звъннете", "казвам", "господин", "госпожа", "уважение", "собственик:",
        "продавач:", "консултант:", "име:",
    )
)  # fmt: skip
"""Without one of them or a placeholder only common given names are masked."""

_GIVEN_WORDS: Final = frozenset(name.lower() for name in GIVEN)
_WORD: Final = re.compile(r"(?:собственик|продавач|консултант|име):|[а-я]+")
_MARK: Final = f"(?:{re.escape(PHONE)}|{re.escape(MAIL)})"
_BETWEEN: Final = r"[\s.,:;\-–/()]{0,4}"
_NAMES: Final = re.compile(
    rf"(?<![А-Яа-я])(?=[А-Яа-я\[])(?:(?P<before>{_CUE}(?:{re.escape(PHONE)}[\s,\-–/]{{0,4}})?){_NO_NAME}"
    rf"(?:{_GIVEN_NAME}|{_CAPITAL}(?:-{_CAPITAL})?(?:\s+{_SURNAME}){{0,2}})"
    rf"|(?P<mark>{_MARK}{_BETWEEN})(?:{_GIVEN_NAME}|{_PAIR})|{_PAIR}(?={_BETWEEN}{_MARK}))"
)
_GIVEN_NAMES: Final = re.compile(rf"(?<![А-Яа-я])(?=[А-Яа-я])(?:{_GIVEN_NAME}(?={_BETWEEN}{_MARK})|{_FULL})")


def masked(text: str) -> str:
    """Return a text with placeholders for phone numbers, mail addresses and names.

    Phone numbers: mobile numbers with any separators, landline numbers of 8 or 9 digits in groups, any number that
    begins with `+`, and numbers of 6 digits and more after a word such as тел., gsm or Viber. Names: capitalised
    Cyrillic words after words such as «тел.», «за контакти», «търсете»; beside a number or an address common given
    names, and two capitalised words of which the second ends in -ов, -ев, -ски; anywhere a common given name before a
    surname of that kind.
    Not recognized: digits as words («нула осемдесет и осем»), a number over two sentences, a number without its zero
    and without such a word; names in Latin letters, rare given names without such a word, names of firms, roads and
    accounts. Wrongly masked: a part number like that of a landline, a capitalised word after «тел.».
    """
    text = _NUMBERS.sub(_number, text)
    text = _AFTER_A_WORD.sub(lambda found: found[0].replace(found[1], PHONE), text)
    lower = text.lower()
    if "@" in text or "at)" in lower or "at]" in lower:
        text = _MAIL.sub(MAIL, text)
    # Checking single words first saves three quarters of the time: most ads contain no name.
    there = set(_WORD.findall(lower))
    if not _GIVEN_WORDS.isdisjoint(there):
        text = _GIVEN_NAMES.sub(NAME, text)
    if PHONE in text or MAIL in text or "г-" in lower or not _CUE_WORDS.isdisjoint(there):
        text = _NAMES.sub(lambda found: f"{found['before'] or found['mark'] or ''}{NAME}", text)
    return text


def _number(found: re.Match[str]) -> str:
    """Return the placeholder of a number; the number itself if it is part of a VIN, a date or too short."""
    start, end = found.span()
    around = (
        _END.findall(found.string[max(start - VIN, 0) : start])[0],
        _START.findall(found.string[end : end + VIN])[0],
    )
    if found[0].isdecimal() and any(around) and len("".join(around)) + end - start == VIN:
        return found[0]
    if found["town"]:
        digits = sum(character.isdigit() for character in found[0])
        if not 8 <= digits <= 9 or _DATE.search(found[0]):
            return found[0]
    return PHONE
