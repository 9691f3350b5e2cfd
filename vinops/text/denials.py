"""Detection of denied phrases: «не е ударен», «без удари и течове», «удари - няма».

A denial extends to the end of its clause, across filler words, and along a list: «не е бита, удряна».
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vinops.text.phrases import Phrase, Word

QUOTES: Final = frozenset("\"'’„“”«»")
NEGATORS: Final = frozenset({
    "не", "ни", "без", "няма", "нямаше", "нема", "никога", "нито", "никакви", "никакъв", "никаква", "никакво",
    "нищо", "никъде", "неимал", "липсват", "липсва",
})  # fmt: skip
FILLERS: Final = frozenset({
    "е", "са", "съм", "сме", "си", "се", "ми", "му", "я", "го", "бе", "беше", "бяха", "бил", "била", "било", "били",
    "има", "имал", "имала", "имало", "имали", "някога", "въобще", "изобщо", "от", "на", "по", "до", "да", "с",
    "със", "за", "като", "в", "то", "тя", "той", "колата", "автомобилът", "автомобила", "сериозен", "сериозни",
    "сериозна", "тежък", "тежки", "голям", "големи", "малък", "малки", "скрит", "скрити", "скрита", "никой", "един",
    "една", "едно", "следа", "следи", "предишен", "предишни", "стар", "стари", "какъвто", "каквито", "каквато",
    "каквото", "друг", "други", "участвал", "участвала", "участвало", "участие", "нея", "него", "продава",
    "продавам", "нуждае", "нужда", "драскотина", "драскотини", "внасян", "внасяна", "купувана", "купуван",
})  # fmt: skip
"""Words that may stand between a denial and the denied phrase."""
AND: Final = frozenset({"и", "или", "нито"})
CERTAIN: Final = frozenset({"не", "е", "са", "съм", "бил", "била", "било", "били"})
LONGEST_LIST: Final = 6
OTHERS: Final = frozenset({
    "купувам", "купуваме", "закупуваме", "приемам", "приемаме", "вземам", "вземаме", "търся", "търсим", "ако",
    "независимо",
})  # fmt: skip
"""Words which show that the sentence is about other cars, besides the forms of «изкупуваме»."""


def is_denied(
    words: Sequence[Word], start: int, end: int, phrase: Phrase, denied: Mapping[int, tuple[str, bool]]
) -> bool:
    """Tell whether there is a denial before a phrase, in its clause or in the list that it is part of."""
    if phrase.denies:
        return start > 0 and _is_twice(words, start)
    place = start - 1
    while place >= 0:
        word = words[place]
        if word.text in NEGATORS:
            return not (word.text == "без" and _is_twice(words, place))
        if (word.text == "и" and words[place + 1].text == "да") or word.text in QUOTES:  # «каквито и да е»
            place -= 1
            continue
        if word.border in ("comma", "join") or word.text in AND:
            return place == start - 1 and _goes_on(words, place, end, phrase, denied.get(place))
        if word.border == "dash" and place and words[place - 1].text == "не":  # «не-бит»
            return True
        if word.border or word.text not in FILLERS:
            return False
        place -= 1
    return False


def _goes_on(words: Sequence[Word], place: int, end: int, phrase: Phrase, before: tuple[str, bool] | None) -> bool:
    """Tell whether a phrase after a comma or an «и» is denied together with the one before it."""
    if before is not None and before[0] == phrase.topic:
        return True
    if not phrase.is_thing or (words[place].border == "comma" and not _ends_clause(words, end)):
        return False  # «без ръжда, удар отзад»
    return (before is not None and before[1]) or _is_listed(words, place)


def _is_twice(words: Sequence[Word], place: int) -> bool:
    """Tell whether the denial at a place is itself denied: «не е без …»."""
    place -= 1
    while place >= 0 and words[place].text in CERTAIN:
        if words[place].text == "не":
            return True
        place -= 1
    return False


def _is_listed(words: Sequence[Word], place: int) -> bool:
    """Tell whether the list that continues after a place, of items of up to three words, began with «без» or «няма»."""
    length = 0
    for word in reversed(words[max(place - 12, 0) : place]):
        if word.text in ("без", "няма", "никакви"):
            return True
        if word.border == "comma" or word.text in AND:
            length = 0
        elif word.border or length == 3 or word.text in ("е", "са", "с", "със", "но", "има", "само"):
            return False
        else:
            length += 1
    return False


def _ends_clause(words: Sequence[Word], end: int) -> bool:
    return end >= len(words) or bool(words[end].border) or words[end].text in AND


def is_denied_behind(words: Sequence[Word], end: int, starts: Mapping[int, int]) -> bool:
    """Tell whether a phrase, or the list that it begins, is denied after it: «удари и катастрофи - няма»."""
    for _ in range(LONGEST_LIST):
        is_between = end < len(words) and (words[end].border in ("comma", "join") or words[end].text in AND)
        if not is_between or end + 1 not in starts:
            break
        end = starts[end + 1]
    if end < len(words) and words[end].border == "dash":
        end += 1
    return end < len(words) and words[end].text in ("не", "няма", "никакви") and _ends_clause(words, end + 1)


def is_of_others(words: Sequence[Word], start: int, end: int) -> bool:
    """Tell whether the sentence describes a car that the writer wants to buy, or is conditional."""
    for word in reversed(words[max(start - 8, 0) : start]):
        if word.border == "stop":
            break
        if word.text in OTHERS or word.text.startswith("изкупу"):
            return True
    for word in words[end : end + 4]:
        if word.border:
            break
        if word.text.startswith("изкупу") or word.text in ("купувам", "купуваме"):
            return True
    return False
