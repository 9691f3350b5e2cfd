"""The status of the feed for `python -m etl status`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from vinops.db.database import queries
from vinops.text import figures, grid

if TYPE_CHECKING:
    from psycopg import Connection

EXAMPLE = 60  # characters of a row or a value that could not be read; audit.v_parse_errors has all of it
TITLES = {
    "runs": "Last runs",
    "lots": "Lots",
    "files": "Last archived files",
    "archive": "Archive",
    "unknown": "Known least (active lots)",
    "errors": "Rejected rows and values that could not be read",
}


def status(connection: Connection[Any]) -> dict[str, Any]:
    """Return the last runs, the last files, totals, and the columns that are known least, each as a list of rows."""
    found = {}
    for key in ("runs", "files", "lots", "archive", "unknown", "errors"):
        cursor = connection.execute(queries("feed")[f"status_{key}"])
        titles = [column.name for column in cursor.description or ()]
        found[key] = [dict(zip(titles, row, strict=True)) for row in cursor.fetchall()]
    return found


def status_text(found: dict[str, Any], now: str, width: int | None = None) -> str:
    """Return `status` as text, in at most `width` columns if one is given; `now` is the time, for the times in it."""
    if not found["runs"]:
        return "no run yet: set COPART_CSV_URL and run `python -m etl run`, or `python -m etl ingest FILE`"
    titles = {key: "\n".join(grid.fold(title, width)) for key, title in TITLES.items()}
    times = "\n".join(grid.fold(f"Times are in UTC; now it is {now}", width))
    return f"{times}\n\n" + "\n\n".join(
        f"{title}\n{_grid(found[key], width)}" for key, title in titles.items() if found[key]
    )


def _grid(rows: list[dict[str, Any]], width: int | None) -> str:
    cells = [[_cell(name, value) for name, value in row.items()] for row in rows]
    room = None if width is None else width - 2
    return "\n".join(f"  {line}" for line in grid.lines(list(rows[0]), cells, width=room))


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    text = f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else str(value)
    return figures.fitted(text, EXAMPLE) if name == "example" else text
