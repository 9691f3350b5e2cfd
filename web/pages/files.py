"""What is no page: static files, the state of the site for monitors, robots.txt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.responses import PlainTextResponse, Response

from web import assets

if TYPE_CHECKING:
    from web.requests import Asked

FOR_GOOD: Final = "public, max-age=31536000, immutable"


def static(asked: Asked) -> Response:
    """Return a file under the name with its hash."""
    found = assets.by_path().get(asked.request.scope["path"])
    if found is None:
        return PlainTextResponse("There is no such file.\n", 404)
    return Response(found.content, media_type=found.content_type, headers={"Cache-Control": FOR_GOOD})


def health(asked: Asked) -> Response:
    """Say whether pages can be made: 200, or 503 while the database is away."""
    with asked.site.read() as connection:
        connection.execute("select")
    return PlainTextResponse("ok\n")


def robots(_asked: Asked) -> Response:
    """Ask search engines to stay away."""
    return PlainTextResponse("User-agent: *\nDisallow: /\n")
