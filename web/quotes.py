"""The quote of a lot as a block of a page: what it costs landed at a bid, what is left, where each amount comes from.

A page has the block by one line: `{% set quoted_lot = NUMBER %}{% include "quote.html" %}`. The address of that page
may have `bid` and `profile`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from deals.landed import profiles
from deals.landed.lines import TariffError
from deals.lots import results, terms
from deals.offers import bids, ranking
from vinops.filters import UnknownValueError, whole
from vinops.redaction import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from deals.offers.bids import TypedBid
    from deals.offers.ranking import Sheet
    from web.requests import Asked

HIGHEST_BID: Final = 1_000_000
LONGEST_AMOUNT: Final = 20
MOST_LOT: Final = (1 << 63) - 1


@dataclass(frozen=True, kw_only=True)
class Block:
    """What the block shows. `problem` says why there is no sheet, or what of the address was not understood; `typed`
    is the bid that somebody keeps for the lot, `result` what was last noted that it went for."""

    number: int
    sheet: Sheet | None = None
    ads: Sequence[Mapping[str, Any]] = ()
    profiles: Sequence[str] = ()
    profile: str = ""
    problem: str = ""
    result: Mapping[str, Any] | None = None
    typed: TypedBid | None = None

    @property
    def is_at_typed(self) -> bool:
        """Whether the quote is at the bid that is kept."""
        return self.typed is not None and self.sheet is not None and self.sheet.bid == self.typed.bid_usd

    @property
    def limit(self) -> int:
        """The highest bid that the form takes."""
        return HIGHEST_BID


def block(asked: Asked, number: int) -> Block | None:
    """Return the block for a lot of the auction, by the parameters of the page; None if there is no such lot."""
    settings = asked.site.settings
    bid, problem = _bid(asked.param("bid"))
    try:
        known = profiles.load(settings.data_dir)
        name = asked.param("profile")
        if name and name not in known.by_name:
            name, problem = "", asked.language.gettext("There is no such profile.")
        with asked.site.read() as connection:
            typed = bids.of_lot(connection, number)
            if bid is None and typed is not None and not typed.is_passed:
                bid = typed.bid_usd
            sheet = ranking.sheet(connection, number, terms.current(connection, settings, name or None), bid=bid)
            ads = ranking.comparables(connection, sheet) if sheet else []
            result = results.newest(connection, number)
    except TariffError as error:
        return Block(number=number, problem=one_line(str(error)))
    if sheet is None:
        return None
    return Block(
        number=number,
        sheet=sheet,
        ads=ads,
        profiles=sorted(known.by_name),
        profile=name or known.default.name,
        problem=asked.language.gettext(problem) if problem else "",
        result=result,
        typed=typed,
    )


def _bid(text: str) -> tuple[int | None, str]:
    """Return the bid of the address, and what is wrong with it."""
    if not text.strip():
        return None, ""
    try:
        return dollars(text, HIGHEST_BID), ""
    except UnknownValueError:
        return None, _("A bid is a whole number of dollars, up to 1,000,000.")


def dollars(text: str, most: int, *, least: int = 0) -> int:
    """Return an amount as people write it: 4850, $4,850 or 4 850. Raises UnknownValueError for cents too, whose comma
    is not taken for that of thousands."""
    bare = text.strip().removeprefix("$").removesuffix("$").strip()
    if len(bare) > LONGEST_AMOUNT:
        raise UnknownValueError("it is not a whole number")
    return whole(bare, least=least, most=most)


def _(text: str) -> str:
    """Mark a text for translation."""
    return text
