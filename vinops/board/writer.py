"""Writes a filter as SQL: conditions on `board` that may stand in any statement, with bound parameters."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from psycopg.sql import SQL

from vinops.db.database import queries
from vinops.filters import FIELDS
from vinops.text import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg.sql import Composable

    from vinops.filters import Filter

TIME_ZONE: Final = "Europe/Sofia"
BY_GONE: Final = {"no": ("advertised",), "also": (), "only": ("gone",)}


def where(wanted: Filter, *, time_zone: str = TIME_ZONE, by_index: bool = False) -> tuple[Composable, dict[str, Any]]:
    """Return the conditions of a filter for a statement that reads `board`, joined by `and`, and their parameters,
    which are named like the fields. A day in `new_since` is one of the time zone. `by_index`: for a statement that
    reads all ads of the filter, with the expressions that there are indexes of.

    Run such statements with `prepare=False`: a plan is made for these values. Numbers are Decimal and int: a float
    would not use the indexes (float8 against numeric).
    """
    names = [*BY_GONE[wanted.gone], "first_ads"]
    values: dict[str, Any] = {}
    for name, about in FIELDS.items():
        value = getattr(wanted, name)
        if name == "gone" or value == about.default:
            continue
        if name == "words_not" and wanted.words:  # of both together the index of words finds few ads
            values["words"] = f"({values['words']}) & !({_parameter(name, value)})"
        elif name == "new_since" and not isinstance(value, timedelta):
            names.append("new_since_day")
            values |= {"new_since_day": value, "time_zone": time_zone}
        else:
            indexed = f"{name}_by_index"
            names.append(indexed if by_index and indexed in queries("filters") else name)
            values[name] = _parameter(name, value)
    return SQL(" and ").join(condition("filters", name) for name in names), values


def text_query(wanted: Sequence[str], *, has_all: bool) -> str:
    """Return words as a text that is a tsquery: ads that have all of them, or any. Each begins a word of the ad."""
    each = [
        "(" + " | ".join(f"'{key}'{':*' if words.is_beginning(key) else ''}" for key in words.keys(word)) + ")"
        for word in wanted
    ]
    return (" & " if has_all else " | ").join(each)


def _parameter(name: str, value: Any) -> Any:
    if name in ("words", "words_not"):
        return text_query(value, has_all=name == "words")
    return list(value) if isinstance(value, tuple) else value


@cache
def condition(file: str, name: str) -> Composable:
    """Return what is behind `where` in a block of a file of sql/queries, such as filters.sql."""
    text = queries(file)[name].rstrip(";").partition("where")[2]
    lines = (line.partition(" -- ")[0] for line in text.splitlines())
    return SQL("({})").format(SQL(" ".join(" ".join(lines).split())))
