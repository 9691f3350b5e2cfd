"""The orders of the board, and the tokens by which a list goes on behind its last row (keyset pagination)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from psycopg.sql import SQL

from vinops.filters import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from psycopg.sql import Composable

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
NUMBER: Final = re.compile(r"-?[0-9]{1,17}(\.[0-9]{1,4})?|-?Infinity")
TOKEN: Final = re.compile(r"(?P<key>[^~]{1,40})~(?P<id>[0-9]{1,18})")


@dataclass(frozen=True, kw_only=True)
class Sort:
    """An order of a board: by an expression that is never null, with a type, and then by the `id`, newest first.

    `read` and `write` translate the value of the expression to a text in a token, and back.
    """

    name: str
    by: SQL
    type: SQL
    is_descending: bool
    read: Callable[[str], Any]
    write: Callable[[Any], str]
    id: SQL = field(default_factory=lambda: SQL("board.listing_id"))

    @property
    def order(self) -> Composable:
        """The order as SQL."""
        way = SQL("desc" if self.is_descending else "asc")
        return SQL("{} {}, {} desc").format(self.by, way, self.id)

    def behind(self) -> Composable:
        """The condition for rows behind the parameters `after` and `after_id`, as SQL."""
        if self.is_descending:
            return SQL("({}, {}) < (%(after)s::{}, %(after_id)s::bigint)").format(self.by, self.id, self.type)
        return SQL("{by} >= %(after)s::{type} and ({by} > %(after)s::{type} or {id} < %(after_id)s::bigint)").format(
            by=self.by, type=self.type, id=self.id
        )

    def sorted(self, rows: Iterable[tuple[Any, int]]) -> list[tuple[Any, int]]:
        """Return rows of the value of the expression and the id in this order."""
        newest_first = sorted(rows, key=lambda row: row[1], reverse=True)
        return sorted(newest_first, key=lambda row: row[0], reverse=self.is_descending)

    def token(self, key: Any, listing_id: int) -> str:
        """Return the token of the page behind a row."""
        return f"{self.name}~{self.write(key)}~{listing_id}"

    def after(self, token: str) -> tuple[dict[str, Any], None] | tuple[None, Problem]:
        """Return the parameters of a token; or, if it is none of this order, the problem."""
        name, _, rest = token.partition("~")
        found = TOKEN.fullmatch(rest)
        if name == self.name and found:
            try:
                return {"after": self.read(found["key"]), "after_id": int(found["id"])}, None
            except (ValueError, OverflowError):  # an infinite figure is no whole number
                pass
        return None, Problem(name="after", value=token[:100], reason="it is no place in this list: it begins anew")


def figure(text: str) -> Decimal:
    if not NUMBER.fullmatch(text):
        raise ValueError(text)
    return Decimal(text)


def _whole(text: str) -> int:
    number = int(figure(text))
    if abs(number) >= 1 << 31:
        raise ValueError(text)
    return number


def moment(text: str) -> datetime:
    number = figure(text)
    if not 0 <= number < 1 << 52:
        raise ValueError(text)
    return EPOCH + timedelta(microseconds=int(number))


def since_epoch(moment: datetime) -> str:
    return str((moment - EPOCH) // timedelta(microseconds=1))


def _by_number(name: str, by: str, *, is_descending: bool) -> Sort:
    return Sort(
        name=name, by=SQL(by), type=SQL("numeric"), is_descending=is_descending,
        read=figure, write=str,
    )  # fmt: skip


def _by_whole(name: str, by: str, *, is_descending: bool) -> Sort:
    return Sort(
        name=name, by=SQL(by), type=SQL("integer"), is_descending=is_descending,
        read=_whole, write=str,
    )  # fmt: skip


SORTS: Final = {
    sort.name: sort
    for sort in (
        _by_number("score", "board.score", is_descending=True),
        Sort(
            name="new",
            by=SQL("board.first_seen"),
            type=SQL("timestamptz"),
            is_descending=True,
            read=moment,
            write=since_epoch,
        ),
        _by_number("cheap", "coalesce(board.price_eur, 'Infinity')", is_descending=False),
        _by_number("dear", "coalesce(board.price_eur, -1)", is_descending=True),
        _by_number("below", "coalesce(board.below_market, '-Infinity')", is_descending=True),
        _by_whole("km", "coalesce(board.mileage_km, 2147483647)", is_descending=False),
        _by_whole("year", "coalesce(board.year, 0)", is_descending=True),
    )
}
"""The orders by name: best first, newest first, cheapest, dearest, most below the market, fewest km, newest car. Ads
that do not give the figure come last."""
BEST: Final = "score"
