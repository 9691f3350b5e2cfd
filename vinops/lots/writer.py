"""Writes a filter of lots as SQL: conditions on `lot_board` that may stand in any statement, with bound parameters."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from psycopg.sql import SQL

from vinops.board.writer import condition
from vinops.lots.filter import FIELDS, FIGURES, RUNS

if TYPE_CHECKING:
    from psycopg.sql import Composable

    from vinops.lots.filter import LotFilter

TIME_ZONE: Final = "Europe/Sofia"
BY_GONE: Final = {"no": ("for_sale",), "also": ("any_lot",), "only": ("gone",)}
DAYS: Final = frozenset({"sale_from", "sale_to"})
SWITCHES: Final = frozenset({"buy_now", "has_photos"})


_QUOTED: Final = SQL("exists (select from lot_quotes where lot_quotes.lot_id = lot_board.lot_id and {figures}{by_lot})")
_BY_LOT: Final = SQL(" offset 0")  # the planner makes no join of it


def where(
    wanted: LotFilter, *, time_zone: str = TIME_ZONE, by_lot: bool = False
) -> tuple[Composable, dict[str, Any]]:  # fmt: skip
    """Return the conditions of a filter for a statement that reads `lot_board`, joined by `and`, and their parameters,
    which are named like the fields. Days are those of the time zone. `by_lot`: the quote of each lot is looked up
    alone, after everything else holds: for filters that find few lots before their quotes are asked.

    Run such statements with `prepare=False`: a plan is made for these values. Numbers are Decimal and int, see
    vinops/board/writer.py.
    """
    names = [*BY_GONE[wanted.gone]]
    values: dict[str, Any] = {}
    for name, value in _asked(wanted):
        if name in DAYS:
            values["time_zone"] = time_zone
        if name == "new_since" and not isinstance(value, timedelta):
            names.append("new_since_day")
            values |= {"new_since_day": value, "time_zone": time_zone}
            continue
        if name not in FIGURES:
            names.append(name)
        values[name] = _parameter(name, value)
    conditions = [condition("lot_filters", name) for name in names]
    if quoted := figures(wanted):
        conditions.append(_QUOTED.format(figures=quoted, by_lot=_BY_LOT if by_lot else SQL("")))
    return SQL(" and ").join(conditions), values


def figures(wanted: LotFilter) -> Composable | None:
    """Return what a filter asks of figures of a quote, as conditions on `lot_quotes`; None if it asks for none. Their
    parameters are those that `where` returns."""
    conditions = [condition("lot_filters", name) for name, _ in _asked(wanted) if name in FIGURES]
    return SQL(" and ").join(conditions) if conditions else None


def _asked(wanted: LotFilter) -> list[tuple[str, Any]]:
    values = ((name, getattr(wanted, name), about.default) for name, about in FIELDS.items() if name != "gone")
    return [(name, value) for name, value, default in values if value != default]


def _parameter(name: str, value: Any) -> Any:
    if name in SWITCHES:
        return value == "yes"
    if name == "runs":
        return [RUNS[each][-1] for each in value]
    return list(value) if isinstance(value, tuple) else value
