"""What a run leaves to be read: the summary line, the table, and how the feed stands."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from etl.errors import ArchiveDamaged
from vinops.db.database import queries

if TYPE_CHECKING:
    from psycopg import Connection

    from etl.ingest import Outcome

_STAMP = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)[T/ ]?(\d\d):?(\d\d)")


def summary(outcome: Outcome) -> str:
    """Return the run in one line, as it stands in the log too."""
    seconds = outcome.seconds.get("total", 0.0)
    if outcome.status != "loaded":
        reason = f" ({outcome.reason})" if outcome.reason else ""
        return f"{outcome.status}{reason}: {outcome.message} [{seconds:.2f} s]"
    return (
        f"INSERT {outcome.lots_new} UPDATE {outcome.lots_changed} "
        f"unchanged {outcome.lots_unchanged} gone {outcome.lots_gone} returned {outcome.lots_returned} "
        f"relisted {outcome.lots_relisted} rejected {outcome.rows_rejected} conflicts {outcome.conflicts} "
        f"of {outcome.rows_read} rows [{seconds:.2f} s]"
    )


def table(outcome: Outcome) -> str:
    """Return the figures of a run that loaded a file, one a line."""
    share = 100 * (outcome.archive_bytes or 0) / outcome.bytes if outcome.bytes else 0.0
    archived = f"{outcome.path} ({outcome.archive_bytes} bytes, {share:.2f} %)" if outcome.path else "already archived"
    rows = [
        ("rows read", outcome.rows_read),
        ("accepted", outcome.rows_accepted),
        ("rejected", outcome.rows_rejected),
        ("repaired", outcome.rows_repaired),
        ("newest update", outcome.newest_update),
        ("file", f"{outcome.bytes} bytes, sha256 {(outcome.sha256 or '')[:12]}…"),
        ("archive", archived),
    ]
    rows += [(name.replace("_", " "), _plain(value)) for name, value in outcome.drift.items()]
    slowest = sorted(outcome.seconds.items(), key=lambda item: -item[1])[:5]
    rows.append(("seconds", ", ".join(f"{name} {value:.2f}" for name, value in slowest if value >= 0.01)))
    return "\n".join(f"  {name:<16} {value}" for name, value in rows)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items())
    return ", ".join(str(each) for each in value) if isinstance(value, list) else str(value)


def find_file(connection: Connection[Any], stamp: str) -> int:
    """Return the id of an archived file by its minute in UTC, its path, the start of its sha256, or `latest`.

    Of several files in one minute the first is meant; their paths tell them apart. Raises ArchiveDamaged if there is
    none.
    """
    moment = _STAMP.fullmatch(stamp.strip().removesuffix("Z"))
    begin = end = None
    if moment:
        try:
            begin = datetime(*(int(part) for part in moment.groups()), tzinfo=UTC)  # type: ignore[misc, arg-type]
            end = begin + timedelta(minutes=1)
        except ValueError:
            begin = None
    row = connection.execute(
        queries("feed")["find_file"], {"stamp": stamp.strip(), "from_time": begin, "to_time": end}
    ).fetchone()
    if row is None:
        raise ArchiveDamaged(f"no archived file is known as {stamp!r}: `python -m etl status` lists the last ones")
    if row[1] is not None:
        raise ArchiveDamaged(f"{row[2]} was removed on {row[1]:%Y-%m-%d} by retention (VINOPS_ARCHIVE_DAYS)")
    return int(row[0])


def status(connection: Connection[Any]) -> dict[str, Any]:
    """Return how the feed stands: the last runs, the last files, totals, and the columns that are known least."""
    names = {
        "runs": "status_runs",
        "files": "status_files",
        "lots": "status_lots",
        "archive": "status_archive",
        "unknown": "status_unknown",
        "errors": "status_errors",
    }
    found = {}
    for key, name in names.items():
        cursor = connection.execute(queries("feed")[name])
        titles = [column.name for column in cursor.description or ()]
        found[key] = [dict(zip(titles, row, strict=True)) for row in cursor.fetchall()]
    return found


def status_text(found: dict[str, Any]) -> str:
    """Return `status` as text for a terminal."""
    if not found["runs"]:
        return "no run yet: set COPART_CSV_URL and run `python -m etl run`, or `python -m etl ingest FILE`"
    parts = []
    titles = {
        "runs": "Last runs",
        "lots": "Lots",
        "files": "Last archived files (UTC)",
        "archive": "Archive",
        "unknown": "Known least (active lots)",
        "errors": "Rejected rows and values that could not be read",
    }
    for key, title in titles.items():
        if found[key]:
            parts.append(f"{title}\n{_grid(found[key])}")
    return "\n\n".join(parts)


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
