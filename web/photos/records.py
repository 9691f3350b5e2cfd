"""What is recorded of the photos of lots: the statements of sql/queries/site_photos.sql. Raises psycopg's errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from psycopg.rows import class_row

from vinops.db.database import queries

if TYPE_CHECKING:
    from datetime import datetime

    from psycopg import Connection

MOST_PHOTOS: Final = 300
"""Of a lot: ten times what one has."""
MOST_LOT: Final = (1 << 63) - 1
MOST_SEQ: Final = (1 << 31) - 1


@dataclass(frozen=True, kw_only=True)
class Original:
    """A photo of a lot as it is stored: its number from one on, the sha256, type and length of its bytes, its key and
    the name of the place where it is; None: recorded before places were."""

    lot: int
    seq: int
    content_hash: str
    content_type: str
    bytes: int
    storage_key: str
    store: str | None
    created_at: datetime


def originals(connection: Connection[Any], lot: int, seq: int | None = None) -> list[Original] | None:
    """Return the photos of a lot in their order, or the one with a number, each as large as it is stored; None if there
    is no such lot."""
    if not 0 < lot <= MOST_LOT or not 0 <= (seq or 0) <= MOST_SEQ:
        return None
    with connection.cursor(row_factory=class_row(Original)) as cursor:
        values = {"lot": lot, "seq": seq, "most": MOST_PHOTOS}
        found = cursor.execute(queries("site_photos")["photos_of_lot"], values).fetchall()
    if not found and connection.execute(queries("site_photos")["is_lot"], {"lot": lot}).fetchone() is None:
        return None
    return found


def original(connection: Connection[Any], lot: int, content_hash: str) -> Original | None:
    """Return the photo of a lot that has this content."""
    if not 0 < lot <= MOST_LOT:
        return None
    with connection.cursor(row_factory=class_row(Original)) as cursor:
        values = {"lot": lot, "content_hash": content_hash}
        return cursor.execute(queries("site_photos")["photo_of_lot"], values).fetchone()
