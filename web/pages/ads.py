"""An ad, its photos, and what people mark on it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from vinops.board import reads
from web import people
from web.operations import freshness
from web.photos import SIZES, PhotoError
from web.vehicles.history import vins_of_ad

if TYPE_CHECKING:
    from web.requests import Asked

MOST_ID: Final = (1 << 63) - 1
KEEP: Final = "private, max-age=86400"
PLACEHOLDER: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 90"><rect width="120" height="90" fill="#8883"/>'
    '<path d="M34 58l6-16q2-5 7-5h26q5 0 7 5l6 16v9h-8v-5H42v5h-8z" fill="#8888"/></svg>'
)


def ad(asked: Asked) -> Response:
    """Show an ad."""
    listing_id = _id(asked)
    with asked.site.read() as connection:
        found = reads.ad(connection, listing_id)
        if found is None:
            raise HTTPException(404)
        mark = people.marks(connection, asked.person.user_id, [listing_id])[listing_id]
        history = people.history(connection, listing_id)
        vins = vins_of_ad(connection, listing_id)
    now = datetime.now(UTC)
    stale = freshness.notes(asked.language, asked.site.watch.seen, {found.make}, now) if found.make else []
    return asked.page(
        "ad.html",
        ad=found,
        mark=mark,
        history=history,
        vins=vins,
        stale=stale if found.gone_at is None else [],
        statuses=people.STATUSES,
        prices_end=found.gone_at or now,
        longest_note=people.LONGEST_NOTE,
    )


async def photo(asked: Asked) -> Response:
    """Return a photo of an ad, by its number from 1 on; `?size=small` for a card. Without one, a drawing says so."""
    size = asked.param("size") or "large"
    number = asked.request.path_params["number"]
    if size not in SIZES:
        raise HTTPException(404)
    listing_id = _id(asked)

    def addresses() -> object:
        with asked.site.read() as connection:
            return reads.photo_urls(connection, listing_id)

    urls = await run_in_threadpool(addresses)
    try:
        if not isinstance(urls, list) or not 1 <= number <= len(urls):
            raise PhotoError(404, "there is no such photo")
        tag, content = await asked.site.photos.photo(urls[number - 1], size)
    except PhotoError as error:
        headers = {"Cache-Control": "no-store", **({"Retry-After": "30"} if error.status == 503 else {})}
        return Response(PLACEHOLDER, error.status, headers, media_type="image/svg+xml")
    headers = {"Cache-Control": KEEP, "ETag": f'"{tag}"'}
    if asked.request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type="image/webp")


def star(asked: Asked) -> Response:
    """Star an ad for the person, or take the star back."""
    with asked.site.write() as connection:
        people.star(connection, asked.person.user_id, _id(asked), is_on=asked.form.get("on") == "1")
    return _back(asked)


def status(asked: Asked) -> Response:
    """Note where an ad stands: seen, called, bought, rejected."""
    chosen = next((each for each in people.STATUSES if each == asked.form.get("status")), None)
    if chosen is None:
        raise HTTPException(400)
    with asked.site.write() as connection:
        people.set_status(connection, asked.person.user_id, _id(asked), chosen)
    return _back(asked)


def note(asked: Asked) -> Response:
    """Add a note to an ad."""
    body = asked.form.get("body", "").replace("\0", "").strip()[: people.LONGEST_NOTE]
    if body:
        with asked.site.write() as connection:
            people.add_note(connection, asked.person.user_id, _id(asked), body)
    return _back(asked)


def _id(asked: Asked) -> int:
    listing_id: int = asked.request.path_params["listing_id"]
    if not 0 < listing_id <= MOST_ID:
        raise HTTPException(404)
    return listing_id


def _back(asked: Asked) -> Response:
    return asked.back(asked.form.get("next") or f"/ads/{_id(asked)}")
