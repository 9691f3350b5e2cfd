"""The status of the feed for `python -m etl status`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from vinops.db.database import queries

if TYPE_CHECKING:
    from psycopg import Connection

TITLES = {
    "runs": "Last runs",
    "lots": "Lots",
    "files": "Last archived files (UTC)",
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


def status_text(found: dict[str, Any]) -> str:
    """Return `status` as text for a terminal."""
    if not found["runs"]:
        return "no run yet: set COPART_CSV_URL and run `python -m etl run`, or `python -m etl ingest FILE`"
    return "\n\n".join(f"{title}\n{_grid(found[key])}" for key, title in TITLES.items() if found[key])


def _grid(rows: list[dict[str, Any]]) -> str:
    cells = [[_cell(value) for value in row.values()] for row in rows]
    lines = [list(rows[0]), *cells]
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    text = f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else str(value)
    return text if len(text) <= 60 else text[:59] + "…"
