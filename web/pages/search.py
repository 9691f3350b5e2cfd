"""The one search box: it leads to what it names, or shows what it found and what can be typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import RedirectResponse

from web.vehicles import search as finding

if TYPE_CHECKING:
    from starlette.responses import Response

    from web.requests import Asked


def search(asked: Asked) -> Response:
    """Lead to what the query names. If that is nothing, or several things, show these and what can be typed."""
    query = asked.param("q")
    with asked.site.read() as connection:
        found = finding.find(connection, query)
    if found.only is not None:
        return RedirectResponse(found.only, 303)
    return asked.page("search.html", query=query[: finding.LONGEST], found=found)
