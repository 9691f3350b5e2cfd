"""What a filter finds, in figures, within a few milliseconds whatever it asks: how many there are, how many came
lately, the best. Of ads here, of lots in vinops/lots/overview.py.

A count reads all rows that it finds, and of a filter of several wide things that few have in common the whole board. So
a sample of the board is asked first, by an index of makes or models: if it has enough of what is asked for, the figures
are told from it. If it has few, or the board is small, all are counted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from psycopg.sql import SQL

from vinops.board.sorts import BEST, SORTS
from vinops.board.writer import where
from vinops.filters import Filter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg import Connection
    from psycopg.sql import Composable

SAMPLED: Final = 13
"""One in so many is in the sample, as the index has it. A prime: batches that rows are written in do not meet it."""
ENOUGH: Final = 25
"""How many of the sample figures are told from: of 325 or more, within a fifth in two of three cases."""
ENOUGH_OF_MODELS: Final = 150
"""The same of what names models, which is counted sooner: of 1,950 or more, within a twelfth."""
SMALL: Final = 1_500
"""Rows of the sample up to which a board is small: 20,000 are counted as fast as the sample is read."""
WALK: Final = 5_000
"""Of many the best are looked for among so many of all in that order. Where a filter goes against the order they may be
further behind: then all that it finds are read."""

_COUNTED: Final = SQL(
    "with here as materialized (select {kept} from {found})"
    " select (select count(*) from here as {board} where {now}), (select count(*) from here as {board} where {lately}),"
    " (select count(*) from (select * from {board} where {gone_first} and {lately} offset 0) as {board} where {gone}),"
    " array(select {id} from here as {board} {quoted} where {now} and {open} order by {order} limit %(size)s)"
)
_SAMPLED: Final = SQL(
    "select now, lately,"
    " case when now >= %(enough)s then (select count(*) from {board} where {gone} and {lately} and {sampled}) end,"
    " now >= %(enough)s and exists (select from {board} where not {board}.is_gone and {sampled} offset %(small)s)"
    " from (select count(*) filter (where {now}) as now, count(*) filter (where {lately}) as lately"
    " from {board} where {there} and {sampled}) as sample"
)  # the other two are read only if figures are told from it
_ALL: Final = SQL(
    "select {id} from (select {kept} from {found} and {now} offset 0) as {board} {quoted}"
    " where {open} order by {order} limit %(size)s"
)  # "offset 0" keeps the planner from walking the index of the order
_ADS: Final = {
    "board": SQL("board"),
    "id": SQL("board.listing_id"),
    "kept": SQL("board.listing_id, board.score, board.first_seen"),
    "lately": SQL("board.first_seen >= now() - %(since)s::interval"),
    "now": SQL("true"),
    "open": SQL("true"),
    "quoted": SQL(""),
    "order": SORTS[BEST].order,
    "sampled": SQL("mod(board.listing_id, 13) = 0"),
    "walk": SQL("(select * from board where not board.is_gone order by {order} limit %(walk)s) as board").format(
        order=SORTS[BEST].order
    ),
    "walked": SORTS[BEST].order,
}  # fmt: skip
_WALK: Final = SQL("select {id} from {walk} where {there} and {now} and {open} order by {walked} limit %(size)s")


@dataclass(frozen=True, kw_only=True)
class Overview:
    """How many ads or lots a filter finds, how many of them and of those that are gone came in the last `days`, and the
    best.

    `is_about`: the figures are told from a sample, and are rounded.
    """

    now: int
    lately: int
    days: int
    is_about: bool
    best: Sequence[int]


def overview(connection: Connection[Any], wanted: Filter, *, size: int, days: int, days_of_many: int) -> Overview:
    """Return the figures of a filter, and its `size` best ads. What it asks of `gone` and `new_since` does not count.

    Ads that came lately are those of `days` if the filter names models and they are few, else of `days_of_many`: of all
    models, ads of a month are as many as are advertised.
    """
    asked = replace(wanted, new_since=None, gone="no")
    there, values = where(asked, by_index=True)
    gone, _ = where(replace(asked, gone="only"))
    gone_first = gone
    if asked.make or asked.family:
        gone_first, _ = where(Filter(make=asked.make, family=asked.family, gone="only"))
    parts = {
        **_ADS,
        "there": there,
        "gone": gone,
        "gone_first": gone_first,
        "found": SQL("board where {}").format(there),
    }
    narrow = days if wanted.family else None
    return told(connection, parts, values, size=size, days=days_of_many, days_of_few=narrow)


def told(
    connection: Connection[Any],
    parts: Mapping[str, Composable],
    values: Mapping[str, Any],
    *,
    size: int,
    days: int,
    days_of_few: int | None,
) -> Overview:
    """Return the figures of what parts of SQL ask for, with parameters; of those that came lately, of so many `days`.
    If there are `days_of_few`, as of what names models, they are those of so many days where all are counted.

    The parts: `board` (a table, `id` its column); `there` and `gone` (what is asked of rows that are advertised or for
    sale, and of those that are gone); `gone_first` (what part of `gone` rows are read by: of a make and a damage the
    planner would join two indexes, and read all lots of that damage); `found` (where all of the first are read from,
    with that condition); `now` (what else is asked of the first, but says nothing of how many came); `lately`;
    `sampled`; `kept` (the columns that are read). Of the best `open` (a condition), `order` and `quoted` (a join that
    these need); `walk` and `walked` (the first rows in an order that is as good, and that order).
    """
    enough = ENOUGH_OF_MODELS if days_of_few else ENOUGH
    about = {**values, "size": size, "walk": WALK, "small": SMALL, "enough": enough, "since": timedelta(days=days)}

    def ask(statement: SQL) -> Any:
        return connection.execute(statement.format(**parts), about, prepare=False).fetchall()

    [(now, lately, gone, is_told)] = ask(_SAMPLED)
    if not is_told:
        days = days_of_few or days
        about["since"] = timedelta(days=days)
        [(now, lately, gone, best)] = ask(_COUNTED)
        return Overview(now=now, lately=lately + gone, days=days, is_about=False, best=best)
    best = ask(_WALK)
    if len(best) < size:
        best = ask(_ALL)
    return Overview(
        now=_rounded(now), lately=_rounded(lately + gone), days=days, is_about=True, best=[row[0] for row in best]
    )


def _rounded(number: int) -> int:
    """Return how many there are by how many the sample has, to two digits."""
    about = number * SAMPLED
    return round(about, min(2 - len(str(about)), 0))
