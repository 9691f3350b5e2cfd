"""All photos of a lot as one ZIP, made while it is sent: one photo is in memory, whatever their number."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Final

from web.photos.errors import PhotoError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from web.photos.records import Original

EXTENSIONS: Final = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}
MISSING: Final = "MISSING.txt"
WHY: Final = {
    "missing": "it is recorded, and no longer in the store of photos",
    "damaged": "what is stored is no photo, or not the bytes that were recorded",
    "away": "the store of photos did not answer",
}


async def zipped(photos: Iterable[Original], read: Callable[[Original], Awaitable[bytes]]) -> AsyncIterator[bytes]:
    """Yield a ZIP of photos, stored as they are. Those that cannot be read are named in MISSING; when the store is away
    the rest is not tried. Raises PhotoError, before anything is yielded, if the store is away for the first one. A ZIP
    that was cut off has no list of files at its end, and programs say so."""
    out = _Out()
    missing: list[str] = []
    is_away = False
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for photo in photos:
            name = f"{photo.lot}-{photo.seq:02}.{EXTENSIONS.get(photo.content_type, 'bin')}"
            try:
                if is_away:
                    raise PhotoError("away", "")
                body = await read(photo)
            except PhotoError as error:
                if error.kind == "away" and not archive.filelist and not missing:
                    raise
                is_away = error.kind == "away"
                missing.append(f"{name}: {WHY.get(error.kind, 'it could not be read')}\n")
                continue
            archive.writestr(zipfile.ZipInfo(name, photo.created_at.timetuple()[:6]), body)
            del body
            yield out.taken()
        if missing:
            archive.writestr(MISSING, "".join(missing))
    yield out.taken()


class _Out:
    """A file that can be written to only, and gives away what was written."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []

    def write(self, block: bytes) -> int:
        """Take a block."""
        self._blocks.append(bytes(block))
        return len(block)

    def flush(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def taken(self) -> bytes:
        """Return all blocks since the last call."""
        blocks, self._blocks = self._blocks, []
        return b"".join(blocks)
