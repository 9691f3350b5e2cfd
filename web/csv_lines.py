"""Rows as CSV for spreadsheets: UTF-8 with a mark that tells so, cells that are no formulas, and a last line that says
that it is complete; a file without it was cut off."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import StreamingResponse

from ops.show.tables import harmless, text
from vinops.text.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from starlette.responses import Response

COMPLETE: Final = "# complete"
BUFFER: Final = 65_536
BEHIND_SEMICOLON: Final = re.compile(r"(?<=;)(?=[=+@-])")
"""Where a formula begins for a spreadsheet that splits at semicolons."""


def answer(name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Response:
    """Return rows as a download, which is sent while they are read. Raises what reading the first of them raises."""
    lines = _lines(columns, rows)
    first = next(lines)  # an error of the database shows here, as a page

    def body() -> Iterator[bytes]:
        yield first
        yield from lines

    return StreamingResponse(
        body(), media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )  # fmt: skip


def _lines(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    buffer.write("\ufeff")
    writer.writerow(columns)
    count = 0
    for row in rows:
        writer.writerow([harmless(BEHIND_SEMICOLON.sub("'", printable(text(value)))) for value in row])
        count += 1
        if buffer.tell() > BUFFER:
            yield buffer.getvalue().encode()
            buffer.seek(0)
            buffer.truncate()
    writer.writerow([COMPLETE, count])
    yield buffer.getvalue().encode()
