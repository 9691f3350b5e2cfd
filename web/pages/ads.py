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
from web.pages.photos import failed
from web.photos.ads import SIZES
from web.photos.errors import PhotoError
from web.vehicles.history import vins_of_ad

if TYPE_CHECKING:
    from web.requests import Asked

MOST_ID: Final = (1 << 63) - 1
KEEP: Final = "private, max-age=86400"


def ad(asked: Asked) -> Response:
    """Show an ad."""
    identity = listing_id(asked)
    with asked.site.read() as connection:
        found = reads.ad(connection, identity)
        if found is None:
            raise HTTPException(404)
        mark = people.marks(connection, asked.person.user_id, [identity])[identity]
        history = people.history(connection, identity)
        vins = vins_of_ad(connection, identity)
    return asked.page(
        "ad.html",
        ad=found,
        mark=mark,
        history=history,
        vins=vins,
        stale=freshness.of_ad(asked.language, asked.site.watch.seen, found),
        statuses=people.STATUSES,
        prices_end=found.gone_at or datetime.now(UTC),
        longest_note=people.LONGEST_NOTE,
    )


async def photo(asked: Asked) -> Response:
    """Return a photo of an ad, by its number from 1 on; `?size=small` for a card. Without one, a drawing says so."""
    size = asked.param("size") or "large"
    number = asked.request.path_params["number"]
    if size not in SIZES:
        raise HTTPException(404)
    identity = listing_id(asked)

    def addresses() -> object:
        with asked.site.read() as connection:
            return reads.photo_urls(connection, identity)

    urls = await run_in_threadpool(addresses)
    try:
        if not isinstance(urls, list) or not 1 <= number <= len(urls):
            raise PhotoError("absent", "there is no such photo")
        tag, content = await asked.site.photos.photo(urls[number - 1], size)
    except PhotoError as error:
        return failed(asked, error, back=f"/ads/{identity}")
    headers = {"Cache-Control": KEEP, "ETag": f'"{tag}"'}
    if asked.request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type="image/webp")


def star(asked: Asked) -> Response:
    """Star an ad for the person, or take the star back."""
    with asked.site.write() as connection:
        people.star(connection, asked.person.user_id, listing_id(asked), is_on=asked.form.get("on") == "1")
    return _back(asked)


def status(asked: Asked) -> Response:
    """Note where an ad stands: seen, called, bought, rejected."""
    chosen = next((each for each in people.STATUSES if each == asked.form.get("status")), None)
    if chosen is None:
        raise HTTPException(400)
    with asked.site.write() as connection:
        people.set_status(connection, asked.person.user_id, listing_id(asked), chosen)
    return _back(asked)


def note(asked: Asked) -> Response:
    """Add a note to an ad."""
    body = asked.form.get("body", "").replace("\0", "").strip()[: people.LONGEST_NOTE]
    if body:
        with asked.site.write() as connection:
            people.add_note(connection, asked.person.user_id, listing_id(asked), body)
    return _back(asked)


def listing_id(asked: Asked) -> int:
    """Return the id in the address. Raises HTTPException for one that no ad can have."""
    found: int = asked.request.path_params["listing_id"]
    if not 0 < found <= MOST_ID:
        raise HTTPException(404)
    return found


def _back(asked: Asked) -> Response:
    return asked.back(asked.form.get("next") or f"/ads/{listing_id(asked)}")
