"""What a watch asks for, as one line of plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deals.watches import texts
from vinops import lot_words
from vinops.filter_words import describe
from vinops.filters import Filter

if TYPE_CHECKING:
    from deals.watches.people import Watch
    from vinops.lots.filter import LotFilter


def in_words(language: str, wanted: Filter, kind: str, of_lots: LotFilter | None) -> str:
    """Return the filters of a watch in words: of ads, of lots, or of both, where what lots have of their own is behind
    what both share."""
    code = texts.code(language)
    said = texts.say(code, "anything") if wanted == Filter() else describe(wanted, code)
    if kind == "ad":
        return said
    if kind == "lot":
        of_these = lot_words.describe(of_lots, code) if of_lots is not None else said
        return f"{of_these} ({texts.say(code, 'kind_lot')})"
    own = lot_words.describe(of_lots, code, is_added=True) if of_lots is not None else ""
    also = f"; {texts.TEXTS['lots_also'][code] % {'filter': own}}" if own else ""
    return f"{said} ({texts.say(code, 'kind_both')}){also}"


def of_watch(language: str, watch: Watch) -> str:
    """Return what a watch asks for."""
    return in_words(language, watch.filter, watch.kind, watch.lots)
