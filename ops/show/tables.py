"""Rows of a query as JSON, CSV or a table."""

from __future__ import annotations

import datetime as dt
import json
import math
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, TextIO

from vinops.output import terminal_width
from vinops.text import figures, grid
from vinops.text.printable import printable, printable_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Row = tuple[object, ...]

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a formula of a spreadsheet begins


def write_json(out: TextIO, names: Sequence[str], rows: Sequence[Row]) -> None:
    """Write a list of objects: numbers as numbers, times in ISO 8601, NULL as null, bytes in hexadecimal."""
    parts = (_object(names, row) for row in rows)
    out.write("[")
    for number, part in enumerate(parts):
        out.write(",\n " if number else "\n ")
        out.write(part)
    out.write("\n]\n" if rows else "]\n")


def write_object(out: TextIO, row: Mapping[str, object]) -> None:
    """Write one object."""
    out.write(_object(list(row), tuple(row.values())) + "\n")


def _object(names: Sequence[str], row: Row) -> str:
    return "{" + ", ".join(f"{json.dumps(name)}: {_json(value)}" for name, value in zip(names, row, strict=True)) + "}"


def _json(value: object) -> str:
    """Return a value as JSON. A numeric keeps its digits: a float would round a large one."""
    if isinstance(value, Decimal) and value.is_finite():
        return format(value, "f")
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        return json.dumps(str(value))
    if value is None or isinstance(value, bool | int | float | str):
        return printable_json(json.dumps(value, ensure_ascii=False))
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(key))}: {_json(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_json(each) for each in value) + "]"
    return printable_json(json.dumps(text(value), ensure_ascii=False))


def write_csv(out: TextIO, names: Sequence[str], rows: Sequence[Row]) -> None:
    """Write CSV with a header. A text that a spreadsheet would run as a formula gets an apostrophe in front."""
    lines = (names, *([text(value) for value in row] for row in rows))
    out.writelines(",".join(_quoted(harmless(_shown(cell))) for cell in line) + "\n" for line in lines)


def _shown(cell: str) -> str:
    """Return a cell as it may be shown; its line breaks stay, quoted."""
    return "\r".join(printable(part, lines=True) for part in cell.split("\r"))


def _quoted(cell: str) -> str:
    # Not the csv module: with "\n" as the end of a line it leaves a bare "\r" unquoted, which readers take for one.
    return '"' + cell.replace('"', '""') + '"' if any(sign in cell for sign in ',"\r\n') else cell


def harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(FORMULA) and cell != "-infinity" and not _is_number(cell) else cell


def _is_number(cell: str) -> bool:
    digits = cell.removeprefix("-").removeprefix("+")
    whole, _, fraction = digits.partition(".")
    return (
        len(cell) - len(digits) <= 1
        and whole.isascii()
        and whole.isdigit()
        and (not fraction or (fraction.isascii() and fraction.isdigit()))
    )


def write_plain(out: TextIO, names: Sequence[str], rows: Sequence[Row], *, width: int | None = None) -> None:
    """Write an aligned table without lines or color; numbers are right-aligned, NULL is empty.

    What does not fit `width` columns is folded, or written as `write_expanded` does; nothing is cut.
    """
    right = [_all_numbers([row[place] for row in rows]) for place in range(len(names))]
    out.writelines(
        f"{each}\n" for each in grid.lines(list(map(printable, names)), _cells(rows), width=width, right=right)
    )


def write_expanded(out: TextIO, names: Sequence[str], rows: Sequence[Row], *, width: int | None = None) -> None:
    """Write each row as a block of lines `column  value`, for many columns."""
    out.writelines(f"{each}\n" for each in grid.blocks(list(map(printable, names)), _cells(rows), width=width))


def _cells(rows: Sequence[Row]) -> list[list[str]]:
    return [[printable(text(value)) for value in row] for row in rows]


def show(names: Sequence[str], rows: Sequence[Row], *, expanded: bool = False) -> None:
    """Print a table on standard output, on a terminal within its width."""
    (write_expanded if expanded else write_plain)(sys.stdout, names, rows, width=terminal_width())


def text(value: object) -> str:
    """Return a value as text for people and spreadsheets; NULL is empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    if isinstance(value, dict | list):
        return _json(value)
    return format(value, "f") if isinstance(value, Decimal) and value.is_finite() else str(value)


def _all_numbers(values: Sequence[object]) -> bool:
    found = [value for value in values if value is not None]
    return bool(found) and all(isinstance(value, int | float | Decimal) and value is not True for value in found)


def write_objects(rows: Sequence[dict[str, object]], *, as_json: bool, zone: str = "UTC") -> None:
    """Write objects with the same keys to standard output, as JSON, or as a table with times in UTC and in a zone."""
    names, values = list(rows[0]), [tuple(row.values()) for row in rows]
    if as_json:
        write_json(sys.stdout, names, values)
    else:
        show(names, [tuple(_moment(value, zone) for value in row) for row in values])


def _moment(value: object, zone: str) -> object:
    return figures.moment(value, zone) if isinstance(value, dt.datetime) else value
