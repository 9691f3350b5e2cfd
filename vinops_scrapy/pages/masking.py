"""Removes personal data from the text of ads: phone numbers, mail addresses, accounts, names.

A placeholder replaces them. If in doubt a word is removed, but never a price, distance, year, date, size of a tyre or
VIN: those are what the text is read for.
"""

from __future__ import annotations

import re
from typing import Final

from vinops.text.contacts import masked_contacts
from vinops.text.phones import masked_phones

PHONE: Final = "[phone]"
MAIL: Final = "[mail]"
CONTACT: Final = "[contact]"
NAME: Final = "[name]"

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
"""Given names that are not names of cars: neither Калина nor Лада is among them."""

_GIVEN: Final = "|".join(sorted(GIVEN, key=len, reverse=True))
_CAPITAL: Final = r"[А-Я][а-я]{1,20}"
_SURNAME: Final = r"(?i:[а-я]{2,20}(?:ов|ев|ова|ева|ски|ска))\b"
_FULL: Final = rf"(?i:\b(?:{_GIVEN})\b)(?:\s{{1,4}}{_SURNAME}){{1,2}}"
_GIVEN_NAME: Final = rf"(?i:\b(?:{_GIVEN})\b)(?:\s{{1,4}}{_SURNAME}){{0,2}}"
_NO_NAME: Final = (
    r"(?!(?:Моля|Обад|Само|За|При|Без|Цена|Нов|След|Може|На|От|До|Или|Не|Няма|Има|Авто|Кола|Работ|Адрес|Град|Област|"
    r"Софи|Понед|Вторн|Сряд|Четв|Петък|Събот|Недел|Всеки|Всич|Безпл|Пиш|Звън|Вайб|Теле|Моб|Благод|Повече)[а-я]{0,20}\b)"
)
_PAIR: Final = r"[А-Я][А-Яа-я]{1,20}\s{1,4}[А-Я](?i:[а-я]{1,20}(?:ов|ев|ова|ева|ски|ска))\b"
_CUE: Final = (
    r"(?:(?i:\b(?:тел|моб|г-н|г-жа))\.?[\s:\-–]{0,3}|(?i:\bтелефон(?:а|и)?\b)[\s:\-–]{1,3}"
    r"|(?i:\b(?:за\s{1,4}(?:контакт(?:и|а)?|връзка)|лице\s{1,4}за\s{1,4}контакт|контакт(?:и|а)?|търсете|потърсете|питайте(?:\s{1,4}за)?"
    r"|обадете\s{1,4}се\s{1,4}на|звъннете\s{1,4}на|казвам\s{1,4}се|господин|госпожа|с\s{1,4}уважение))[\s:,\-–]{1,3}"
    r"|(?i:\b(?:собственик|продавач|консултант|име)):\s{0,2})"
)
_CUE_WORDS: Final = frozenset(
    (
        "тел", "телефон", "телефона", "телефони", "моб", "контакт", "контакти", "контакта", "връзка", "търсете",
        "потърсете", "питайте", "обадете", "звъннете", "казвам", "господин", "госпожа", "уважение", "собственик:",
        "продавач:", "консултант:", "име:",
    )
)  # fmt: skip
"""In a text without any of these words and without a placeholder, only common given names are masked."""

_GIVEN_WORDS: Final = frozenset(name.lower() for name in GIVEN)
_WORD: Final = re.compile(r"(?:собственик|продавач|консултант|име):|[а-я]+")
_MARK: Final = f"(?:{re.escape(PHONE)}|{re.escape(MAIL)}|{re.escape(CONTACT)})"
_BETWEEN: Final = r"[\s.,:;\-–/()]{0,4}"
_NAMES: Final = re.compile(
    rf"(?<![А-Яа-я])(?=[А-Яа-я\[])(?:(?P<before>{_CUE}(?:{re.escape(PHONE)}[\s,\-–/]{{0,4}})?){_NO_NAME}"
    rf"(?:{_GIVEN_NAME}|{_CAPITAL}(?:-{_CAPITAL})?(?:\s{{1,4}}{_SURNAME}){{0,2}})"
    rf"|(?P<mark>{_MARK}{_BETWEEN})(?:{_GIVEN_NAME}|{_PAIR})|{_PAIR}(?={_BETWEEN}{_MARK}))"
)
_GIVEN_NAMES: Final = re.compile(rf"(?<![А-Яа-я])(?=[А-Яа-я])(?:{_GIVEN_NAME}(?={_BETWEEN}{_MARK})|{_FULL})")


def masked(text: str) -> str:
    """Return a text with placeholders for phone numbers, mail addresses, accounts and names.

    Phone numbers and addresses: see vinops/text/phones.py and vinops/text/contacts.py. Names: capitalised Cyrillic
    words after words such as «тел.», «за контакти», «търсете»; beside a number or an address common given names, and
    two capitalised words of which the second ends in -ов, -ев, -ски; anywhere a common given name before a surname of
    that kind.
    Not recognized: a number whose parts are sentences apart, backwards or in hundreds («осемстотин»), a landline number
    without its zero and without such a word; names in Latin letters, rare given names without such a word, names of
    firms, roads and sites. Wrongly masked: a part number like that of a landline, a capitalised word after «тел.».
    """
    text = masked_phones(masked_contacts(text, mail=MAIL, contact=CONTACT), PHONE)
    lower = text.lower()
    # Checking single words first saves three quarters of the time: most ads contain no name.
    there = set(_WORD.findall(lower))
    if not _GIVEN_WORDS.isdisjoint(there):
        text = _GIVEN_NAMES.sub(NAME, text)
    if any(mark in text for mark in (PHONE, MAIL, CONTACT)) or "г-" in lower or not _CUE_WORDS.isdisjoint(there):
        text = _NAMES.sub(lambda found: f"{found['before'] or found['mark'] or ''}{NAME}", text)
    return text
