"""Phone numbers in the texts of ads, however they are spelled; never prices, distances, years, dates or VINs.

A text is taken apart into groups of digits; words for digits count as such. Groups belong together if at most four
different signs that are neither letters nor digits are between them, in a mobile number also up to three letters or a
word such as тире. From each group on, at most GROUPS groups are read as one number and compared with the shapes of
phone numbers, so the time is linear in the length of the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vinops.text.plain import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

GROUPS: Final = 16  # of digits, in one number
DIGITS: Final = 15  # in the longest number (E.164)
FEWEST: Final = 6  # digits of a number after a word such as тел.
SHORTEST: Final = 8  # digits of a landline number
SIGNS: Final = 4  # different ones between two groups; blanks of all kinds are one
LONGEST_GAP: Final = 64  # characters
BEFORE: Final = 48  # characters before a number that are searched for words
VIN: Final = 17  # characters

_OPERATOR: Final = r"(?:8[789][0-9]|98[89]|99[0-9])[0-9]{6}"
_MOBILE: Final = re.compile(rf"(?:(?:00)?3590?|0){_OPERATOR}")
_MOBILE_AND_MORE: Final = re.compile(rf"(?:(?:00)?3590?|0){_OPERATOR}[0-9]{{1,2}}")
_MOBILES: Final = re.compile(rf"0{_OPERATOR}[0-9]{{3,30}}")  # glued to others
_WITHOUT_ZERO: Final = re.compile(_OPERATOR)
_LANDLINE: Final = re.compile(r"0(?:2[0-9]|[3-7][0-9]|8[1-6]|9[0-7]|80)[0-9]{5,6}")
_HOME: Final = re.compile(r"359[2-9][0-9]{7,8}")
_FOREIGN: Final = re.compile(r"[1-9][0-9]{8,14}")
_PREFIXED: Final = re.compile(r"00[1-9][0-9]{8,12}")
_SPOKEN: Final = frozenset(
    [(9,), (3, 3, 3), (1, 1, 1, 3, 3), (3, 6), (2, 7), (2, 3, 2, 2), (3, 2, 2, 2), (2, 2, 2, 3), (1,) * 9]
)
"""The lengths of the groups in which people write a mobile number without its zero."""

_WORDS: Final = {
    word: str(digit)
    for digit, words in enumerate((
        "нула nula zero", "едно един една edno edin one", "две два dve dva two", "три tri three", "четири chetiri four",
        "пет pet five", "шест shest six", "седем sedem seven", "осем osem eight", "девет devet nine",
    ))
    for word in words.split()
}  # fmt: skip
_TENS: Final = {
    f"{word}{ending}": digit
    for word, digit in _WORDS.items()
    for ending in ("десет", "йсет", "deset")
    if digit in "3456789" and word.isascii() == ending.isascii()
}
_GROUP: Final = re.compile(
    rf"[0-9]+|(?<![^\W\d_])(?:{'|'.join(sorted([*_WORDS, *_TENS], key=len, reverse=True))})(?![^\W\d_])", re.IGNORECASE
)
_LOOSE: Final = re.compile(
    r"[\W_]{0,4}(?:[^\W\d_]{1,3}|тире|точка|черта|интервал|dash|dot|slash|space"
    r"|</?[a-z]{1,6} ?/?>|&(?:nbsp|thinsp|ensp|ndash);)[\W_]{0,4}",
    re.IGNORECASE,
)
_BLANKS: Final = re.compile(r"\s")
_DIGITS_IN_WORDS: Final = re.compile(r"нула|осем|nula|osem|zero|eight", re.IGNORECASE)
_LETTER: Final = re.compile(r"[^\W_]")
_LEFT: Final = re.compile(r"[A-Za-z0-9]{0,17}\Z")
_RIGHT: Final = re.compile(r"[A-Za-z0-9]{0,17}")
_NOT_IN_VIN: Final = frozenset("IOQioq")
_PLUS: Final = re.compile(r"[+➕][\W_]{0,2}\Z")
_DECIMAL: Final = frozenset((".", ",", ":"))
_QUANTITY: Final = re.compile(
    r"(?:[ .,'’]?[0-9]{3}(?![0-9])){0,3}\s{0,3}"
    r"(?:км|km|мили|miles|лв|лева|€|\$|eur|евро|bgn|usd|к\.?\s?с\b|hp\b|ps\b|kw|квт|куб|cc\b|с[мm]\b|cm\b|мм\b|mm\b|г\.(?!\s?[А-Я])|год|бр\.|броя|%|хил|nm\b|нм\b|кг|kg|дни|мес|часа|литр)",
    re.IGNORECASE,
)
_PART: Final = re.compile(
    r"(?:\boem?|\bdot|\bpart\s?(?:no|number|nr)|\b(?:кат|сер)[а-я]{0,8}\.?\s?(?:номер|№|no)|\bкод(?:\sна\sчаст)?|\bean"
    r"|\b(?:номер|№)\s?на\s?(?:част|двигател|рама|шаси|детайл|фактура|договор)[а-я]{0,2}|\bчаст\s?(?:номер|№|no)|\bрама|\bшаси"
    r"|\bvin|\bеик|\bбулстат|\bполица|\bфактура)[\W_]{0,4}\Z",
    re.IGNORECASE,
)
_SUFFIX: Final = re.compile(r"[ .-]?[A-Z]{1,3}\b")
_PHONE_SIGNS: Final = "☎☏✆📞📱📲"
# [phone] is what an earlier masking put there: no word.
_WORD: Final = re.compile(
    r"(?:\b(?:тел(?:ефон[а-я]{0,3})?|gsm|гсм|джиесем|моб(?:илен)?|viber|вайбър|whats\s?app|уатсап|ватсап|phone(?!\])|tel|mobile|call"
    r"|обад(?:ете|и)(?:\s(?:се|ми))?|звън(?:нете|ни|ете|и)|пиш(?:ете|и)|контакти?|конт)(?![^\W\d_])|["
    + _PHONE_SIGNS
    + "])"
    r"[\W_]{0,4}(?:(?:за\s(?:връзка|контакти?|информация|справки)|номера?|на|ми|№|no)(?![^\W\d_])[\W_]{0,4}){0,3}\Z",
    re.IGNORECASE,
)
_MILLIONS: Final = re.compile(r"[0-9]{3}([ \u00a0])[0-9]{3}(?:\1[0-9]{3})?(?![0-9])")
_END: Final = r"(?![0-9])"
_YEAR: Final = re.compile(r"(?:19[5-9]|20[0-4])[0-9]" + _END)
_DATES: Final = (
    re.compile(
        r"(?:0?[1-9]|[12][0-9]|3[01])(?:[./-]\s?|\s)(?:0?[1-9]|1[0-2])(?:[./-]\s?|\s)(?:(?:19|20)[0-9]{2}|[0-4][0-9]|9[0-9])"
        + _END
    ),
    re.compile(r"(?:19|20)[0-9]{2}[./-](?:0?[1-9]|1[0-2])[./-](?:0?[1-9]|[12][0-9]|3[01])" + _END),
    re.compile(r"(?:0?[1-9]|1[0-2])\s?[./-]\s?(?:19[5-9]|20[0-4])[0-9]" + _END),
    re.compile(r"(?:[01]?[0-9]|2[0-4])\s?[.:]\s?[0-5][0-9]" + _END),  # a time, or day and month
    re.compile(r"(?:0?[1-9]|[12][0-9]|3[01])[./-](?:0?[1-9]|1[0-2])" + _END),
    re.compile(r"(?:0[1-9]|1[0-2])/(?:[0-4][0-9]|9[0-9])" + _END),  # month and year
    _YEAR,
)
_NUMBERS: Final = (*_DATES, re.compile(r"[1-9][0-9]{0,2}(?:[ .,'’\u00a0][0-9]{3}){1,3}" + _END))


@dataclass(frozen=True, kw_only=True)
class _Group:
    start: int
    end: int
    digits: str
    is_joined: bool  # to the next group, by a gap that a number may have
    is_loose: bool  # joined to it by a letter or a word


def masked_phones(text: str, placeholder: str) -> str:
    """Return a text with this placeholder for each phone number.

    Mobile numbers have any grouping. Landline numbers, of 8 or 9 digits, begin with an area code and are not part of a
    date, a time, a price or a distance. Other numbers have a country code after + or 00, or follow a word such as
    тел., gsm or Viber.
    """
    form = plain(text)
    if sum(map(str.isdigit, form.text)) < FEWEST and not _DIGITS_IN_WORDS.search(form.text):
        return text
    return form.replaced((start, end, placeholder) for start, end in phones(form.text))


def phones(text: str) -> list[tuple[int, int]]:
    """Return start and end of each phone number in a plain text, in order."""
    groups = _groups(text)
    found = []
    place = 0
    while place < len(groups):
        number = _Number(text, groups, place)
        count = number.count()
        if count:
            found.append(number.span(count))
        place += count or 1
    return found


def _groups(text: str) -> Sequence[_Group]:
    matches = list(_GROUP.finditer(text))
    following = [*(match.start() for match in matches[1:]), None]
    return [
        _Group(
            start=match.start(),
            end=match.end(),
            digits=_digits(text, match, end),
            is_joined=_is_gap(text, match.end(), end),
            is_loose=end is not None and _LOOSE.fullmatch(text, match.end(), end) is not None,
        )
        for match, end in zip(matches, following, strict=True)
    ]


def _digits(text: str, match: re.Match[str], following: int | None) -> str:
    """Return the digits of a group. A word such as осемдесет is 8 before «и осем», else 80."""
    word = match[0].lower()
    if word in _TENS:
        return (
            _TENS[word]
            if following is not None and text[match.end() : following].strip() in ("и", "i")
            else f"{_TENS[word]}0"
        )
    return _WORDS.get(word, word)


def _is_gap(text: str, start: int, end: int | None) -> bool:
    """Tell whether the text between two groups may be part of a number."""
    if end is None or end - start > LONGEST_GAP:
        return False
    gap = text[start:end]
    return _LETTER.search(gap) is None and len(set(_BLANKS.sub(" ", gap))) <= SIGNS


class _Number:
    """Up to GROUPS groups, read as one number."""

    def __init__(self, text: str, groups: Sequence[_Group], first: int) -> None:
        self._text = text
        self._groups: list[_Group] = []
        self._digits: list[str] = []  # the digits up to the end of each group
        self._joined = 0  # groups without a letter or a word between them
        digits = ""
        for group in groups[first : first + GROUPS]:
            digits += group.digits
            self._groups.append(group)
            self._digits.append(digits)
            if not group.is_joined and not self._joined:
                self._joined = len(self._groups)
            if len(digits) > DIGITS or not (group.is_joined or group.is_loose):
                break
        self._joined = self._joined or len(self._groups)
        start = self._groups[0].start
        self._before = text[max(start - BEFORE, 0) : start]
        is_next = first > 0 and groups[first - 1].is_joined
        self._gap_before = text[groups[first - 1].end : start] if is_next else ""

    def count(self) -> int:
        """Return of how many groups the phone number is that begins here; 0 if none does."""
        if self._is_vin():
            return 0
        return self._mobile() or self._abroad() or self._after_a_word() or self._landline() or self._without_zero()

    def span(self, count: int) -> tuple[int, int]:
        """Return start and end of the number of `count` groups, with the + and the brackets around its parts."""
        start, end = self._groups[0].start, self._groups[count - 1].end
        plus = _PLUS.search(self._before[-3:])
        if plus:
            start -= len(plus[0])
        inside = self._text[start:end]
        if self._text[start - 1 : start] == "(" and inside.count("(") < inside.count(")"):
            start -= 1
        elif self._text[end : end + 1] == ")" and inside.count("(") > inside.count(")"):
            end += 1
        return start, end

    def _mobile(self) -> int:
        first = self._groups[0].digits
        if first[0] not in "03" or (first == "0" and self._gap_before in _DECIMAL):
            return 0
        if _MOBILES.fullmatch(first):
            return 1
        counts = self._counts(_MOBILE, is_loose=True) or [
            count for count in self._counts(_MOBILE_AND_MORE) if count == 1 or len(self._groups[count - 1].digits) > 2
        ]
        return counts[0] if counts and not self._is_month_and_distance(counts[0]) else 0

    def _is_month_and_distance(self, count: int) -> bool:
        """Tell whether the number is a month and a year before a distance: «08.98 г. 123 456 км»."""
        return count > 2 and self._lengths(2) == (2, 2) and self._is_quantity(count)

    def _abroad(self) -> int:
        """Count a number with a country code: behind + or 00, or the one of Bulgaria."""
        first = self._groups[0].digits
        if _PLUS.search(self._before[-3:]):
            is_close = self._before.endswith(("+", "➕"))
            counts = [count for count in self._counts(_FOREIGN) if is_close or len(self._digits[count - 1]) > 9]
            if counts and (is_close or not self._is_quantity(counts[-1])):
                years = [count for count in counts if not _YEAR.fullmatch(self._groups[count - 1].digits)]
                return max([count for count in years if not self._is_quantity(count)] or years or counts)
        if self._is_part_of_another() or self._is_glued():
            return 0
        if first.startswith("00"):
            counts = [count for count in self._counts(_PREFIXED) if not self._is_quantity(count)]
            return counts[-1] if counts else 0
        if first.startswith("359") and (first == "359" or len(first) > 10):
            counts = [count for count in self._counts(_HOME) if not self._is_quantity(count)]
            return counts[0] if counts and self._lengths(counts[0]) != (3, 3, 3, 3) else 0
        return 0

    def _after_a_word(self) -> int:
        if len(self._digits[self._joined - 1]) < FEWEST or (
            self._gap_before and not set(self._gap_before) & set(_PHONE_SIGNS)
        ):
            return 0  # no word can be between this group and the one before
        if not _WORD.search(self._before):
            return 0
        for count in range(self._joined, 0, -1):
            is_long = FEWEST <= len(self._digits[count - 1]) < DIGITS
            if is_long and not self._is_quantity(count) and not self._is_tiled(count, _DATES):
                return count
        return 0

    def _landline(self) -> int:
        first = self._groups[0].digits
        if first[0] != "0" or self._is_part_of_another() or self._is_glued():
            return 0
        if len(first) == 1 and (self._gap_before or not self._is_spaced()):
            return 0
        if self._gap_before in (" ", "\u00a0") and _MILLIONS.match(self._text, self._groups[0].start):
            return 0
        counts = self._counts(_LANDLINE)
        for count in sorted(counts, key=lambda count: -len(self._digits[count - 1])):
            if self._is_quantity(count) or self._is_tiled(count, _NUMBERS) or self._is_part_number(count):
                continue
            if len(first) == 1 and "." in self._inside(count):
                continue
            if len(self._digits[count - 1]) == SHORTEST and not self._is_short_landline(count):
                continue
            return count
        return 0

    def _is_spaced(self) -> bool:
        """Tell whether there is a blank behind the first group."""
        return self._text[self._groups[0].end : self._groups[0].end + 1].isspace()

    def _is_short_landline(self, count: int) -> bool:
        """Tell whether 8 digits are a landline number; most of them are a part number, weeks of tyres or a distance."""
        weeks = self._lengths(count) == (4, 4) and not self._digits[0].endswith("00")
        return not (count == 1 or weeks or self._digits[count - 1].endswith("000") or "." in self._inside(count))

    def _without_zero(self) -> int:
        if self._groups[0].digits[0] not in "89" or self._gap_before.isspace():
            return 0
        if self._is_part_of_another() or self._is_glued():
            return 0
        for count in self._counts(_WITHOUT_ZERO):
            is_round = count > 1 and self._digits[count - 1].endswith("000")
            is_longer = count < len(self._groups) and len(self._groups[count].digits) == 3
            if self._lengths(count) in _SPOKEN and not (is_round or is_longer or self._is_quantity(count)):
                return 0 if self._is_part_number(count) else count
        return 0

    def _counts(self, shape: re.Pattern[str], *, is_loose: bool = False) -> list[int]:
        """Return of how many groups numbers of this shape are; with `is_loose` also those with letters in between."""
        digits = self._digits if is_loose else self._digits[: self._joined]
        return [count for count, each in enumerate(digits, 1) if shape.fullmatch(each)]

    def _lengths(self, count: int) -> tuple[int, ...]:
        return tuple(len(group.digits) for group in self._groups[:count])

    def _inside(self, count: int) -> str:
        return self._text[self._groups[0].start : self._groups[count - 1].end]

    def _is_vin(self) -> bool:
        """Tell whether the first group is part of a VIN."""
        start, end = self._groups[0].start, self._groups[0].end
        if not (self._before[-1:].isalnum() or self._text[end : end + 1].isalnum()):
            return False
        left = _LEFT.search(self._before)
        right = _RIGHT.match(self._text, end)
        token = f"{left[0] if left else ''}{self._groups[0].digits}{right[0] if right else ''}"
        return end - start < len(token) == VIN and not set(token) & _NOT_IN_VIN

    def _is_part_of_another(self) -> bool:
        """Tell whether the first group is behind a point or comma: the decimals of a number, or the end of a date."""
        return self._gap_before in _DECIMAL

    def _is_glued(self) -> bool:
        """Tell whether a Latin letter is right before the number, as in the number of a part."""
        return self._before[-1:].isascii() and self._before[-1:].isalpha()

    def _is_part_number(self, count: int) -> bool:
        """Tell whether the number is named as that of a part, or ends in letters like one: «038 103 601 DA»."""
        is_suffixed = _SUFFIX.match(self._text, self._groups[count - 1].end) and set(self._lengths(count)) <= {3, 9}
        return bool(is_suffixed) or _PART.search(self._before) is not None

    def _is_quantity(self, count: int) -> bool:
        """Tell whether the number would end in or before a price, a distance, a year: before digits with a unit."""
        return _QUANTITY.match(self._text, self._groups[count - 1].end) is not None

    def _is_tiled(self, count: int, kinds: Sequence[re.Pattern[str]]) -> bool:
        """Tell whether all groups are dates, times or the like, also one that goes on behind them."""
        place = 0
        while place < count:
            start = self._groups[place].start
            ends = [found.end() for kind in kinds if (found := kind.match(self._text, start))]
            if not ends:
                return False
            place += 1
            while place < len(self._groups) and self._groups[place].end <= max(ends):
                place += 1
        return True
