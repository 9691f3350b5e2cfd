"""Everything that is known of a VIN, as one time line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import RedirectResponse

from vinops.text import vins
from web.operations import freshness
from web.vehicles import history, sentences

if TYPE_CHECKING:
    from starlette.responses import Response

    from web.requests import Asked


def vin(asked: Asked) -> Response:
    """Show a VIN. One in another spelling leads to its own page; one that is none, or not known, is 404 and says so."""
    given: str = asked.request.path_params["vin"]
    wanted = vins.spelled(given)
    if not vins.is_vin(wanted):
        return asked.page("vin_unknown.html", 404, given=given, why="form")
    if wanted != given:
        return RedirectResponse(f"/vin/{wanted}", 303)
    with asked.site.read() as connection:
        story = history.story(connection, wanted)
        is_placeholder = story is None and history.is_placeholder(connection, wanted)
    if story is None:
        return asked.page("vin_unknown.html", 404, given=given, why="placeholder" if is_placeholder else "unknown")
    old = freshness.of_feed(asked.language, asked.site.watch.seen)
    return asked.page("vin.html", story=story, sentences=sentences, old_feed=old)
