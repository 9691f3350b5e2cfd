"""The photo of a message about a lot: the first one that is archived, as the lot's page shows it, which stays when the
auction has removed it."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Any, Final

from deals.channel import lots
from vinops.redaction import one_line
from vinops.storage import opening
from vinops.storage.store import ObjectMissing, StoreError

if TYPE_CHECKING:
    from psycopg import Connection

    from vinops.config import Settings

log = logging.getLogger("deals")

MOST_BYTES: Final = 2_000_000
"""Of a photo that is uploaded within the seconds of a call; one of the auction has 0.3 MB, and Telegram takes 10 MB."""
READ_SECONDS: Final = 5.0


def archived(connection: Connection[Any], settings: Settings, lot_id: int) -> bytes | None:
    """Return the first archived photo of a lot; None if there is none, or if it cannot be read whole: the message then
    goes with the picture that the feed names. Writes nothing."""
    row = connection.execute(lots.statements()["first_photo"], {"listing_id": lot_id}).fetchone()
    if row is None or row[1] > MOST_BYTES:
        return None
    key, _, content_hash, place = row
    places = {}
    try:
        places = opening.photo_places(settings, threads=1, read_seconds=READ_SECONDS, attempts=1)
        store = places.get(place or opening.photos_place(settings))
        body = store.get(key) if store else b""
    except (StoreError, ObjectMissing) as error:
        log.info("without its archived photo lot=%d: %s", lot_id, one_line(str(error)))
        return None
    finally:
        for each in places.values():
            each.close()
    return body if hashlib.sha256(body).hexdigest() == content_hash else None
