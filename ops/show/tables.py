"""Rows of a query as JSON, CSV or a table."""

from __future__ import annotations

import datetime as dt
import json
import math
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def _object(names: Sequence[str], row: Row) -> str:
    return "{" + ", ".join(f"{json.dumps(name)}: {_json(value)}" for name, value in zip(names, row, strict=True)) + "}"


def _json(value: object) -> str:
    """Return a value as JSON. A numeric keeps its digits: a float would round a large one."""
    if isinstance(value, Decimal) and value.is_finite():
        return format(value, "f")
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        return json.dumps(str(value))
    if value is None or isinstance(value, bool | int | float | str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(key))}: {_json(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_json(each) for each in value) + "]"
    return json.dumps(text(value), ensure_ascii=False)


def write_csv(out: TextIO, names: Sequence[str], rows: Sequence[Row]) -> None:
    """Write CSV with a header. A text that a spreadsheet would run as a formula gets an apostrophe in front."""
    lines = (names, *([text(value) for value in row] for row in rows))
    out.writelines(",".join(_quoted(_harmless(cell)) for cell in line) + "\n" for line in lines)


def _quoted(cell: str) -> str:
    # Not the csv module: with "\n" as the end of a line it leaves a bare "\r" unquoted, which readers take for one.
    return '"' + cell.replace('"', '""') + '"' if any(sign in cell for sign in ',"\r\n') else cell


def _harmless(cell: str) -> str:
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


def write_plain(out: TextIO, names: Sequence[str], rows: Sequence[Row]) -> None:
    """Write an aligned table without lines or color; numbers are right-aligned, NULL is empty."""
    cells = [[_printable(text(value)) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    right = [_all_numbers([row[place] for row in rows]) for place in range(len(names))]
    for line in (list(names), ["-" * width for width in widths], *cells):
        padded = [
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, right, strict=True)
        ]
        out.write("  ".join(padded).rstrip() + "\n")


def write_expanded(out: TextIO, names: Sequence[str], rows: Sequence[Row]) -> None:
    """Write each row as a block of lines `column  value`, for many columns."""
    width = max(map(len, names))
    for number, row in enumerate(rows, 1):
        out.write(f"-- row {number} of {len(rows)}\n")
        lines = (f"{name:<{width}}  {_printable(text(value))}" for name, value in zip(names, row, strict=True))
        out.writelines(line.rstrip() + "\n" for line in lines)


def write_rich(names: Sequence[str], rows: Sequence[Row]) -> None:
    """Print a table for a terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(header_style="bold")
    for place, name in enumerate(names):
        table.add_column(Text(name), justify="right" if _all_numbers([row[place] for row in rows]) else "left")
    for row in rows:
        table.add_row(*(Text(_printable(text(value))) for value in row))
    Console().print(table)


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


def _printable(cell: str) -> str:
    """Escape control characters: the data comes from outside."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in cell)


def write_objects(rows: Sequence[dict[str, object]], *, as_json: bool) -> None:
    """Write objects with the same keys to standard output, as JSON or a table."""
    names, values = list(rows[0]), [tuple(row.values()) for row in rows]
    if as_json:
        write_json(sys.stdout, names, values)
    elif sys.stdout.isatty():
        write_rich(names, values)
    else:
        write_plain(sys.stdout, names, values)
