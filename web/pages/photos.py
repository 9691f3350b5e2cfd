"""Photos of lots: thumbnails, originals, all of a lot as a ZIP. And what is shown where there is no photo."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from markupsafe import escape
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from vinops.logs import pairs
from web.photos import download, records
from web.photos.errors import PhotoError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from web.photos.records import Original
    from web.requests import Asked

FOR_GOOD: Final = "private, max-age=31536000, immutable"
"""Of thumbnails, whose addresses have the hash of the content."""
ASK_AGAIN: Final = "private, no-cache"
"""Of originals: what has a number may change."""
RETRY_SECONDS: Final = 10
SHOWN: Final = frozenset(download.EXTENSIONS)
DRAWING: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 90"><rect width="120" height="90" fill="#8883"/>'
    '<path d="M34 48l6-16q2-5 7-5h26q5 0 7 5l6 16v9h-8v-5H42v5h-8z" fill="#8888"/><text x="60" y="76" font-size="6"'
    ' font-family="sans-serif" text-anchor="middle" fill="#888">{text}</text></svg>'
)
"""A car, and why there is no photo of it."""

log = logging.getLogger("web.photos")


async def thumbnail(asked: Asked) -> Response:
    """Return a photo of a lot as a WebP with a longest side of 320 or 640 pixels."""
    lot, content_hash, side = (asked.request.path_params[each] for each in ("lot_number", "content_hash", "side"))
    headers = {"Cache-Control": FOR_GOOD, "ETag": f'"{content_hash}-{side}"'}
    try:
        content = await asked.site.thumbnails.thumbnail(lot, content_hash, side)
    except PhotoError as error:
        return failed(asked, error, back=f"/lots/{lot}")
    if asked.request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type="image/webp")


async def original(asked: Asked) -> Response:
    """Return a photo of a lot as it is stored, by its number."""
    lot, seq = (asked.request.path_params[each] for each in ("lot_number", "seq"))
    try:
        found = await run_in_threadpool(_recorded, asked, lot, seq)
        if not found:
            raise PhotoError("absent", "the lot has no such photo")
        headers = {"Cache-Control": ASK_AGAIN, "ETag": f'"{found[0].content_hash}"'}
        if asked.request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        content = await asked.site.originals.fetch(found[0])
        if found[0].content_type not in SHOWN:
            raise PhotoError("damaged", "it is recorded with a type that no photo has")
    except PhotoError as error:
        log.info("there is no photo to show %s", pairs(lot=lot, seq=seq, kind=error.kind, reason=error.reason))
        return failed(asked, error, back=f"/lots/{lot}")
    return Response(content, headers=headers, media_type=found[0].content_type)


async def archive(asked: Asked) -> Response:
    """Return all photos of a lot as a ZIP. Those that are missing are named in it. Who reads slowly keeps one photo in
    memory, and neither a thread nor a connection. HEAD reads no photo."""
    lot = asked.request.path_params["lot_number"]
    headers = {"Content-Disposition": f'attachment; filename="lot-{lot}.zip"'}
    try:
        found = await run_in_threadpool(_recorded, asked, lot)
        if not found:
            raise PhotoError("absent", "the lot has no photos")
        if asked.request.method == "HEAD":
            return StreamingResponse((), media_type="application/zip", headers=headers)
        blocks = download.zipped(found, asked.site.originals.fetch_for_zip)
        first = await anext(blocks)
    except PhotoError as error:
        return _problem(asked, error, back=f"/lots/{lot}")

    async def body() -> AsyncIterator[bytes]:
        yield first
        async for block in blocks:
            yield block

    return StreamingResponse(body(), media_type="application/zip", headers=headers)


def failed(asked: Asked, error: PhotoError, *, back: str) -> Response:
    """Say that there is no picture: on a page to who opens it by itself, else with a drawing in its place."""
    if is_page(asked):
        return _problem(asked, error, back=back)
    drawing = DRAWING.format(text=escape(_title(asked, error)))
    return Response(drawing, error.status, _headers(error), media_type="image/svg+xml")


def is_page(asked: Asked) -> bool:
    """Tell whether an answer is shown by itself, and not within a page."""
    wanted = asked.request.headers.get("sec-fetch-dest")
    if wanted is not None:
        return wanted == "document"
    return "text/html" in asked.request.headers.get("accept", "")


def _problem(asked: Asked, error: PhotoError, *, back: str) -> Response:
    answer = asked.page("photo_problem.html", error.status, kind=error.kind, title=_title(asked, error), back=back)
    answer.headers.update(_headers(error))
    return answer


def _title(asked: Asked, error: PhotoError) -> str:
    _ = asked.language.gettext
    return {
        "absent": _("There is no such photo"),
        "missing": _("The photo is missing"),
        "damaged": _("The photo is damaged"),
        "away": _("The photo cannot be fetched now"),
        "busy": _("Too many photos at once"),
    }[error.kind]


def _headers(error: PhotoError) -> dict[str, str]:
    return {"Cache-Control": "no-store", **({"Retry-After": str(RETRY_SECONDS)} if error.status == 503 else {})}


def _recorded(asked: Asked, lot: int, seq: int | None = None) -> list[Original] | None:
    with asked.site.read() as connection:
        return records.originals(connection, lot, seq)
