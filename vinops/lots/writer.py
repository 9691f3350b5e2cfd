"""Writes a filter of lots as SQL: conditions on `lot_board` that may stand in any statement, with bound parameters."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from psycopg.sql import SQL

from vinops.board.writer import condition
from vinops.lots.filter import FIELDS, RUNS

if TYPE_CHECKING:
    from psycopg.sql import Composable

    from vinops.lots.filter import LotFilter

TIME_ZONE: Final = "Europe/Sofia"
BY_GONE: Final = {"no": ("for_sale",), "also": ("any_lot",), "only": ("gone",)}
DAYS: Final = frozenset({"sale_from", "sale_to"})
SWITCHES: Final = frozenset({"buy_now", "has_photos"})


def where(wanted: LotFilter, *, time_zone: str = TIME_ZONE) -> tuple[Composable, dict[str, Any]]:
    """Return the conditions of a filter for a statement that reads `lot_board`, joined by `and`, and their parameters,
    which are named like the fields. Days are those of the time zone.

    Run such statements with `prepare=False`: a plan is made for these values. Numbers are Decimal and int, see
    vinops/board/writer.py.
    """
    names = [*BY_GONE[wanted.gone]]
    values: dict[str, Any] = {}
    for name, about in FIELDS.items():
        value = getattr(wanted, name)
        if name == "gone" or value == about.default:
            continue
        if name in DAYS:
            values["time_zone"] = time_zone
        if name == "new_since" and not isinstance(value, timedelta):
            names.append("new_since_day")
            values |= {"new_since_day": value, "time_zone": time_zone}
            continue
        names.append(name)
        values[name] = _parameter(name, value)
    return SQL(" and ").join(condition("lot_filters", name) for name in names), values


def _parameter(name: str, value: Any) -> Any:
    if name in SWITCHES:
        return value == "yes"
    if name == "runs":
        return [RUNS[each][-1] for each in value]
    return list(value) if isinstance(value, tuple) else value
