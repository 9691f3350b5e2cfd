"""Tables as lines of text that fit a width: nothing is cut.

A table that is too wide has its texts folded; where that does not suffice, each row becomes a block with one column a
line.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

GAP: Final = "  "
LEAST: Final = 16  # columns that a folded text keeps
MOST_LINES: Final = 4  # of a folded text
ROOM: Final = 20  # columns of the value in a block; with less it stands below its name
INDENT: Final = "  "


def lines(
    names: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    width: int | None = None,
    right: Sequence[bool] = (),
) -> Iterator[str]:
    """Yield the lines of a table with a header. Without a `width` it is as wide as it has to be.

    `right` tells which columns are aligned to the right; such columns are not folded.
    """
    right = right or [False] * len(names)
    natural = [max(map(columns, cells)) for cells in zip(names, *rows, strict=True)]
    widths = natural if width is None else _fitting(names, rows, natural, right, width)
    if widths is None:
        yield from blocks(names, rows, width=width)
        return
    yield _aligned(names, widths, right)
    yield _aligned(["-" * each for each in widths], widths, right)
    for row in rows:
        folded = [
            [cell] if is_right else fold(cell, most) for cell, most, is_right in zip(row, widths, right, strict=True)
        ]
        for number in range(max(map(len, folded), default=0)):
            yield _aligned([each[number] if number < len(each) else "" for each in folded], widths, right)


def blocks(names: Sequence[str], rows: Sequence[Sequence[str]], *, width: int | None = None) -> Iterator[str]:
    """Yield each row as a block of lines `column  value`, for many columns. A first column without a name has the
    titles of the blocks.

    A value that is too long continues below itself; only a word that is longer than a line leaves the width.
    """
    longest = max(map(columns, names), default=0)
    is_titled = names[0] == ""
    for number, row in enumerate(rows, 1):
        yield f"-- {row[0] if is_titled else f'row {number} of {len(rows)}'}"
        for name, value in list(zip(names, row, strict=True))[is_titled:]:
            head = _padded(name, longest) + GAP
            needed = max(min(columns(value), ROOM), *map(columns, value.split(" ")))
            if width is None or columns(head) + needed <= width:
                first, *others = fold(value, None if width is None else width - columns(head))
                yield (head + first).rstrip()
                yield from (" " * columns(head) + other for other in others)
            else:
                yield name
                yield from (INDENT + each for each in fold(value, width - len(INDENT)))


def fold(text: str, width: int | None) -> list[str]:
    """Return a text in lines of at most `width` columns, broken between words; at least one line."""
    if width is None or columns(text) <= width:
        return [text]
    found: list[str] = []
    line: str | None = None
    for word in text.split(" "):
        if line is not None and columns(line) + 1 + columns(word) > width:
            found.append(line)
            line = None
        line = word if line is None else f"{line} {word}"
    return [*found, line or ""]


def columns(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(sign) else 1 + (unicodedata.east_asian_width(sign) in "WF") for sign in text)


def _fitting(
    names: Sequence[str], rows: Sequence[Sequence[str]], natural: Sequence[int], right: Sequence[bool], width: int
) -> list[int] | None:
    """Return the widths of the columns if the table fits, with texts folded if need be; else None."""
    room = width - len(GAP) * (len(names) - 1)
    if sum(natural) <= room:
        return list(natural)
    least = [
        whole if is_right else min(whole, max(LEAST, *(columns(word) for cell in cells for word in cell.split(" "))))
        for whole, is_right, cells in zip(natural, right, zip(names, *rows, strict=True), strict=True)
    ]
    spare = room - sum(least)
    if spare < 0:
        return None
    widths = least
    for _ in range(spare):
        narrowest = max(range(len(widths)), key=lambda place: natural[place] - widths[place])
        widths[narrowest] += 1
    is_tall = any(
        len(fold(cell, most)) > MOST_LINES
        for row in rows
        for cell, most, is_right in zip(row, widths, right, strict=True)
        if not is_right
    )
    return None if is_tall else widths


def _aligned(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = (
        _padded(cell, width, is_right=is_right) for cell, width, is_right in zip(cells, widths, right, strict=True)
    )
    return GAP.join(padded).rstrip()


def _padded(text: str, width: int, *, is_right: bool = False) -> str:
    space = " " * (width - columns(text))
    return f"{space}{text}" if is_right else f"{text}{space}"
