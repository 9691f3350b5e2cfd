"""What pages say of an estimate and a score: the badge of a price, how sure the estimate is, the reasons for and
against a car, and why its ad is not posted.

Words and limits are those of the stages: a page says what the message and `vinops deals show` say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

from deals.estimate import confidence
from deals.stages import chance
from web.vocabulary import _, counted, name, plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal

    from vinops.board.records import Ad
    from web.language import Language
    from web.vocabulary import Words

MOST: Final = 4
"""How many reasons a card shows."""
PARTS: Final = ("price", "freshness", "demand", "risk")


class Worth(Protocol):
    """What has an estimate in EUR: a card, a valuation."""

    @property
    def p10(self) -> Decimal | None:
        """One of ten such cars costs less."""

    @property
    def p50(self) -> Decimal | None:
        """Half of such cars cost less."""

    @property
    def p90(self) -> Decimal | None:
        """Nine of ten such cars cost less."""


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """A sentence of deals/stages/score.py. `is_objection`: with it an ad is not posted. `is_on_card`: cards show it;
    the others say the same in another place, as beside the price."""

    pattern: re.Pattern[str]
    words: Words
    is_objection: bool = False
    is_on_card: bool = False


def _risk(language: Language, found: re.Match[str]) -> str:
    return f"{name(language, 'risk', found['flag'].replace(' ', '_'))}: «{found['words']}»"


def _no_price(language: Language, found: re.Match[str]) -> str:
    problem = name(language, "price_problem", found["problem"].replace(" ", "_"))
    return language.gettext("no price: %(problem)s", problem=problem)


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


_REASONS: Final[tuple[tuple[str, Words, bool], ...]] = (
    (r"(?P<share>\d+) % below (?P<n>\d+) comparable cars?",
     counted("%(share)s %% below %(num)s comparable car", "%(share)s %% below %(num)s comparable cars"), False),
    (r"(?P<share>\d+) % above (?P<n>\d+) comparable cars?",
     counted("%(share)s %% above %(num)s comparable car", "%(share)s %% above %(num)s comparable cars"), False),
    (r"at the price of (?P<n>\d+) comparable cars?",
     counted("at the price of %(num)s comparable car", "at the price of %(num)s comparable cars"), False),
    (r"(?P<share>\d+) % below the model", plain(_("%(share)s %% below the price model")), False),
    (r"(?P<share>\d+) % above the model", plain(_("%(share)s %% above the price model")), False),
    (r"at the price of the model", plain(_("at the price of the price model")), False),
    (r"cheaper than nine of ten", plain(_("cheaper than nine of ten")), True),
    (r"new today", plain(_("new today")), True),
    (r"new since yesterday", plain(_("new since yesterday")), True),
    (r"there for (?P<n>\d+) days?", counted("advertised for %(num)s day", "advertised for %(num)s days"), True),
    (r"price dropped (?P<share>[\d.]+) % (?P<when>today|yesterday|\d+ days ago)", _when, True),
    (r"goes fast: half of them within (?P<n>\d+) days?",
     counted("goes fast: half of them within %(num)s day", "goes fast: half of them within %(num)s days"), True),
    (r"goes slowly: half of them take more than (?P<n>\d+) days?",
     counted("goes slowly: half of them take more than %(num)s day",
             "goes slowly: half of them take more than %(num)s days"), True),
    (r"(?P<flag>[a-z ]+): «(?P<words>.*)»", _risk, False),
)  # fmt: skip
_OBJECTIONS: Final[tuple[tuple[str, Words, bool], ...]] = (
    (r"gone", plain(_("gone")), False),
    (r"the same car as in ad (?P<ad>\d+)", plain(_("the same car as in ad %(ad)s")), True),
    (r"no price", plain(_("no price")), False),
    (r"no price: (?P<problem>.*)", _no_price, True),
    (r"no estimate of its value", plain(_("no estimate of its value")), False),
    (r"(only )?(?P<n>\d+) comparable cars?",
     counted("only %(num)s comparable car", "only %(num)s comparable cars"), False),
    (r"no comparable cars?", plain(_("no comparable cars")), False),
    (r"the estimate is unsure \(confidence (?P<confidence>[\d.]+)\)",
     plain(_("the estimate is unsure (confidence %(confidence)s)")), False),
    (r"its mileage is not known", plain(_("its mileage is not known")), True),
    (r"its power is not known", plain(_("its power is not known")), True),
    (r"its title says too little", plain(_("its title says too little")), True),
    (r"its year is doubtful", plain(_("its year is doubtful")), True),
    (r"its mileage is doubtful", plain(_("its mileage is doubtful")), True),
    (r"suspiciously cheap: more than (?P<share>\d+) % below its value",
     plain(_("suspiciously cheap: more than %(share)s %% below its value")), True),
    (r"below the score of (?P<score>[\d.]+) that is asked for",
     plain(_("below the score of %(score)s that messages need")), False),
)  # fmt: skip
SENTENCES: Final = tuple(
    Sentence(pattern=re.compile(pattern), words=words, is_objection=known is _OBJECTIONS, is_on_card=is_on_card)
    for known in (_OBJECTIONS, _REASONS)
    for pattern, words, is_on_card in known
)
"""The sentences of deals/stages/score.py, and their translations."""


def badge(price: Decimal | None, worth: Worth | None) -> chance.Badge | None:
    """Return how a price compares with an estimate; None without either, or for a price that says nothing."""
    if price is None or worth is None or worth.p10 is None or worth.p50 is None or worth.p90 is None:
        return None
    return chance.badge(float(price), float(worth.p10), float(worth.p50), float(worth.p90))


def below(price: Decimal | None, worth: Worth | None) -> Decimal | None:
    """Return by how many per cent of an estimate a price is below it, as `below_market` of the board."""
    if price is None or worth is None or not worth.p50:
        return None
    return round(100 * (1 - price / worth.p50), 1)


def parts(found: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return the parts of a score in the order in which they are read."""
    return sorted(found.items(), key=lambda part: PARTS.index(part[0]) if part[0] in PARTS else len(PARTS))


def sure(language: Language, of: float) -> str:
    """Return a confidence, 0 to 1, in words."""
    return name(language, "sure", confidence.words(float(of)))


def reason(language: Language, text: str) -> str:
    """Return a sentence of the score in a language; one that is unknown here as it is."""
    return _read(language, text)[0]


def reasons(language: Language, texts: Sequence[str]) -> list[str]:
    """Return what speaks for and against a car, in a language."""
    return [said for said, about in _all(language, texts) if about is None or not about.is_objection]


def objections(language: Language, ad: Ad) -> list[str]:
    """Return why an ad is not posted, in a language: nothing for one that is worth a message, or has no score yet."""
    if ad.score is None or ad.is_approved:
        return []
    found = [said for said, about in _all(language, ad.reasons) if about is not None and about.is_objection]
    return [*found, *([language.gettext("its risk is high")] if ad.risk == "high" else [])]


def chips(language: Language, texts: Sequence[str]) -> list[tuple[str, bool]]:
    """Return the sentences that a card shows, in a language, each with whether it is an objection."""
    found = [
        (said, about.is_objection) for said, about in _all(language, texts) if about is not None and about.is_on_card
    ]
    return found[:MOST]


def _all(language: Language, texts: Sequence[str]) -> list[tuple[str, Sentence | None]]:
    return [_read(language, text) for text in texts]


@lru_cache(maxsize=4096)  # a board has a hundred sentences, most of them the same as on the last one
def _read(language: Language, text: str) -> tuple[str, Sentence | None]:
    for sentence in SENTENCES:
        if found := sentence.pattern.fullmatch(text):
            return sentence.words(language, found), sentence
    return text, None
