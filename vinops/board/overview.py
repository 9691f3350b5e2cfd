"""What a filter finds, in figures, within a few milliseconds whatever it asks: how many ads, how many lately, the best.

Most filters name models or are rare, and are counted. One that names neither model nor make may ask for several wide
things that few ads have in common: a count of it reads the whole board. So a sample of the board is asked first, by the
index `board_sample`: if it has enough of the ads, the figures are told from it. If it has few, or the board is small,
the ads are counted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from psycopg.sql import SQL

from vinops.board.sorts import BEST, SORTS
from vinops.board.writer import where

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from vinops.filters import Filter

MOST: Final = 2_000
"""Ads of models are counted up to so many."""
SAMPLED: Final = 13
"""One ad in so many is in the sample, as the index has it. A prime: batches that ads are written in do not meet it."""
ENOUGH: Final = 25
"""Ads of the sample from which figures are told: 325 ads or more, within a fifth in two of three cases."""
SMALL: Final = 1_500
"""Ads of the sample up to which the board is small: 20,000 ads are counted as fast as the sample is read."""
WALK: Final = 5_000
"""Of many ads the best are looked for among so many in the order of the score. Where a filter goes against that order
they may be further behind: then all ads of the filter are read."""

_COUNTED: Final = SQL(
    "with here as materialized"
    " (select board.listing_id, board.score, board.first_seen from board where {advertised} limit %(most)s),"
    " late as materialized (select 1 from board where {gone} and {lately} limit %(most)s)"
    " select (select count(*) from here), (select count(*) from here as board where {lately}),"
    " (select count(*) from late),"
    " array(select board.listing_id from here as board order by {order} limit %(size)s)"
)
_SAMPLED: Final = SQL(
    "select count(*), count(*) filter (where {lately}), (select count(*) from board where {gone} and {lately}"
    " and {sampled}), exists (select from board where not board.is_gone and {sampled} offset %(small)s)"
    " from board where {advertised} and {sampled}"
)
_WALK: Final = SQL(
    "select board.listing_id from"
    " (select * from board where not board.is_gone order by {order} limit %(walk)s) as board"
    " where {advertised} order by {order} limit %(size)s"
)
_ALL: Final = SQL(
    "select board.listing_id from"
    " (select board.listing_id, board.score from board where {advertised} offset 0) as board"
    " order by {order} limit %(size)s"
)  # "offset 0" keeps the planner from walking the index of the order
_PARTS: Final = {
    "order": SORTS[BEST].order,
    "lately": SQL("board.first_seen >= now() - %(since)s::interval"),
    "sampled": SQL("mod(board.listing_id, 13) = 0"),
}


@dataclass(frozen=True, kw_only=True)
class Overview:
    """How many ads a filter finds, how many of them and of those that are gone came in the last `days`, and the best.

    `is_about`: the figures are told from a sample, and are rounded.
    """

    ads: int
    lately: int
    days: int
    is_about: bool
    best: Sequence[int]


def overview(connection: Connection[Any], wanted: Filter, *, size: int, days: int, days_of_many: int) -> Overview:
    """Return the figures of a filter, and its `size` best ads. What it asks of `gone` and `new_since` does not count.

    Ads that came lately are those of `days` if the filter names models, else of `days_of_many`: of all models, ads of
    a month are as many as are advertised.
    """
    asked = replace(wanted, new_since=None, gone="no")
    advertised, values = where(asked, by_index=True)
    parts = {**_PARTS, "advertised": advertised, "gone": where(replace(asked, gone="only"))[0]}
    used = days if wanted.family else days_of_many
    values |= {"since": timedelta(days=used), "size": size, "walk": WALK, "small": SMALL, "most": MOST + 1}

    def ask(statement: SQL) -> Any:
        return connection.execute(statement.format(**parts), values, prepare=False).fetchall()

    def counted() -> Overview | None:
        [(ads, lately, gone, best)] = ask(_COUNTED)
        if values["most"] is not None and max(ads, gone) > MOST:
            return None
        return Overview(ads=ads, lately=lately + gone, days=used, is_about=False, best=best)

    if wanted.family and (found := counted()):
        return found
    [(ads, lately, gone, is_large)] = ask(_SAMPLED)
    if ads < ENOUGH or not is_large:
        values["most"] = None
        if found := counted():
            return found
    best = ask(_WALK)
    if len(best) < size:
        best = ask(_ALL)
    return Overview(
        ads=_rounded(ads), lately=_rounded(lately + gone), days=used, is_about=True, best=[row[0] for row in best]
    )


def _rounded(ads: int) -> int:
    """Return how many ads there are by how many the sample has, to two digits."""
    number = ads * SAMPLED
    return round(number, min(2 - len(str(number)), 0))
