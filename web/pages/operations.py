"""Operations: is all well, and if not, what is wrong since when and what fixes it; the figures behind it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ops.checks.pipelines import late_makes
from vinops.text import figures
from web.operations import plots

if TYPE_CHECKING:
    from starlette.responses import Response

    from web.requests import Asked


def operations(asked: Asked) -> Response:
    """Show the newest snapshot. Nothing is read for it: the database was asked for who is signed in."""
    seen = asked.site.watch.seen
    market = seen.snapshot.market if seen else None
    return asked.page(
        "operations.html",
        seen=seen,
        is_stale=seen is None or seen.is_stale(datetime.now(UTC)),
        late={make.slug for make in late_makes(market, seen.at)} if seen and market else set(),
        plots=plots,
        figures=figures,
    )
