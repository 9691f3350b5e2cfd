"""The archived files as raw.csv_files records them: chains, names, and what a killed run left in the archive."""

from __future__ import annotations

import itertools
import logging
import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etl.errors import ArchiveDamaged
from etl.store import archive
from etl.store.archive import Link
from etl.store.places import ARCHIVE, NEXT
from vinops.db.database import queries

if TYPE_CHECKING:
    from psycopg import Connection

    from vinops.config import Settings

log = logging.getLogger("etl")

_STAMP = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)[T/ ]?(\d\d):?(\d\d)")


def chain_of(connection: Connection[Any], file_id: int) -> list[Link]:
    """Return the archived files that a file is built on, the whole one first, itself last."""
    return [_link(row) for row in connection.execute(queries("feed")["chain"], {"id": file_id})]


def _link(row: tuple[Any, ...]) -> Link:
    return Link(id=row[0], sha256=row[1], path=Path(row[2]), bytes=row[3], archive_bytes=row[4], archive_sha256=row[5])


def can_be_base(connection: Connection[Any], settings: Settings, file_id: int) -> bool:
    """Tell whether the next file may be a delta against this one: its chain is intact and not at its full length."""
    chain = chain_of(connection, file_id)
    if len(chain) >= settings.archive_chain:
        return False
    if not archive.is_intact(settings.data_dir, chain):
        log.warning("the archive of the last file is missing or damaged: a new chain begins with a whole file")
        return False
    return True


def id_for(connection: Connection[Any], sha256: str) -> tuple[int, bool]:
    """Return the id for the file of these bytes, and whether the archive lacks it: a new id, or that of the same file
    archived before."""
    row = connection.execute(queries("feed")["file_by_sha256"], {"sha256": sha256}).fetchone()
    if row is not None:
        return row[0], row[1]
    ((file_id,),) = connection.execute(queries("feed")["next_file_id"])
    return file_id, True


def add(connection: Connection[Any], data_dir: Path, written: archive.Written, **values: Any) -> Path:
    """Record a file that was written to the archive, and return the path that it gets after the commit.

    `values` are id, sha256, bytes, fetched_at and base_id of raw.csv_files.
    """
    path = _free_path(connection, data_dir, values["fetched_at"])
    connection.execute(queries("feed")["add_file"], {**values, **asdict(written), "path": path.as_posix()})
    return path


def _free_path(connection: Connection[Any], data_dir: Path, moment: datetime) -> Path:
    """Return the path for a file fetched at a moment: `HHMM.csv.zst` of its minute in UTC.

    A second file of one minute, or of a minute that the clock went back to, gets `HHMM-2.csv.zst` and so on.
    """
    for number in itertools.count(1):
        name = f"{moment.astimezone(UTC):%Y/%m/%d/%H%M}{'' if number == 1 else f'-{number}'}.csv.zst"
        path = ARCHIVE / name
        row = connection.execute(queries("feed")["is_path_taken"], {"path": path.as_posix()}).fetchone()
        if row == (False,) and not (data_dir / path).exists():
            break
    return path


def settle(connection: Connection[Any], data_dir: Path) -> None:
    """Finish or undo what a killed run left in the archive. Call it under the lock of the feed.

    If the process dies here the next call completes the work.
    """
    left = archive.file_sha256(data_dir / NEXT)
    row = connection.execute(queries("feed")["file_by_archive"], {"sha256": left}).fetchone()
    path = _link(row).path if row else None
    if path is not None and not (data_dir / path).exists():
        archive.place(data_dir, path)
    else:
        (data_dir / NEXT).unlink()


def find(connection: Connection[Any], stamp: str) -> int:
    """Return the id of an archived file by its minute in UTC, its path, the start of its sha256, or `latest`.

    Of several files in one minute the first is meant; their paths tell them apart. Raises ArchiveDamaged if there is
    none.
    """
    stamp = stamp.strip()
    begin = end = None
    if moment := _STAMP.fullmatch(stamp.removesuffix("Z")):
        try:
            begin = datetime(*(int(part) for part in moment.groups()), tzinfo=UTC)  # type: ignore[misc, arg-type]
            end = begin + timedelta(minutes=1)
        except ValueError:
            begin = None
    row = connection.execute(
        queries("feed")["find_file"], {"stamp": stamp, "from_time": begin, "to_time": end}
    ).fetchone()
    if row is None:
        raise ArchiveDamaged(f"no archived file is known as {stamp!r}: `python -m etl status` lists the last ones")
    if row[1] is not None:
        raise ArchiveDamaged(f"{row[2]} was removed on {row[1]:%Y-%m-%d} by retention (VINOPS_ARCHIVE_DAYS)")
    return int(row[0])
