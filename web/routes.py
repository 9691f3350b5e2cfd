"""All routes of the site, in one table: path, method, who may use it, and the function.

A new page is three things: a function in pages/ with its template, a line here, and its entry in
tests/integration/web/test_roles.py, which fails without one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from web.pages import (
    ads,
    board,
    files,
    imports,
    login,
    lot,
    lots,
    market,
    operations,
    photos,
    search,
    searches,
    sheets,
    vin,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from web.people import Role

Access: TypeAlias = "Role | Literal['anyone']"


SECONDS: Final = 2.8
"""For the statements of a page. A server that hangs keeps threads and connections, but no visitor."""
EXPORT_SECONDS: Final = 10.0
"""Until the first rows of a download."""
ARCHIVE_SECONDS: Final = 30.0
"""Until the first photo of a ZIP."""
HASH_SECONDS: Final = 15.0
"""To compare a password, which may wait for others, on a machine that is busy."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """A route. `access` is the least role. `is_async`: the function waits instead of blocking a thread. `seconds`: its
    limit, None if it has limits of its own. `is_file`: it is no page; who is not signed in gets 403, not the form."""

    method: Literal["GET", "POST"]
    path: str
    access: Access
    function: Callable[..., Any]
    is_async: bool = False
    seconds: float | None = SECONDS
    is_file: bool = False


ROUTES: Final = (
    Page(method="GET", path="/", access="viewer", function=board.board),
    Page(method="GET", path="/deals.csv", access="viewer", function=board.csv, seconds=EXPORT_SECONDS),
    Page(method="GET", path="/ads/{listing_id:int}", access="viewer", function=ads.ad),
    Page(method="GET", path="/ads/{listing_id:int}/sheet", access="viewer", function=sheets.ad),
    Page(
        method="GET", path="/ads/{listing_id:int}/photos/{number:int}", access="viewer", function=ads.photo,
        is_async=True, is_file=True, seconds=None,
    ),
    Page(method="POST", path="/ads/{listing_id:int}/star", access="trader", function=ads.star),
    Page(method="POST", path="/ads/{listing_id:int}/status", access="trader", function=ads.status),
    Page(method="POST", path="/ads/{listing_id:int}/notes", access="trader", function=ads.note),
    Page(method="GET", path="/lots", access="viewer", function=lots.gallery),
    Page(method="GET", path="/lots.csv", access="viewer", function=lots.csv, seconds=EXPORT_SECONDS),
    Page(method="GET", path="/lots/{lot_number:int}", access="viewer", function=lot.lot),
    Page(method="GET", path="/lots/{lot_number:int}/sheet", access="viewer", function=sheets.lot),
    Page(method="POST", path="/lots/{lot_number:int}/star", access="trader", function=lot.star),
    Page(method="POST", path="/lots/{lot_number:int}/status", access="trader", function=lot.status),
    Page(method="POST", path="/lots/{lot_number:int}/notes", access="trader", function=lot.note),
    Page(
        method="GET", path="/thumbs/{lot_number:int}/{content_hash}/{side:int}.webp", access="viewer",
        function=photos.thumbnail, is_async=True, is_file=True, seconds=None,
    ),
    Page(
        method="GET", path="/lots/{lot_number:int}/photos/{seq:int}", access="viewer", function=photos.original,
        is_async=True, is_file=True, seconds=None,
    ),
    Page(
        method="GET", path="/lots/{lot_number:int}/photos.zip", access="viewer", function=photos.archive,
        is_async=True, is_file=True, seconds=ARCHIVE_SECONDS,
    ),
    Page(method="GET", path="/market", access="viewer", function=market.market),
    Page(method="GET", path="/market.csv", access="viewer", function=market.csv, seconds=EXPORT_SECONDS),
    Page(method="GET", path="/market/family.csv", access="viewer", function=market.family_csv, seconds=EXPORT_SECONDS),
    Page(method="GET", path="/market/{family:path}", access="viewer", function=market.family),
    Page(method="GET", path="/search", access="viewer", function=search.search),
    Page(method="GET", path="/vin/{vin}", access="viewer", function=vin.vin),
    Page(method="GET", path="/ops", access="viewer", function=operations.operations),
    Page(method="GET", path="/imports", access="viewer", function=imports.imports),
    Page(method="GET", path="/imports.csv", access="viewer", function=imports.csv, seconds=EXPORT_SECONDS),
    Page(method="GET", path="/imports/{lot_number:int}", access="viewer", function=imports.quote),
    Page(method="POST", path="/imports/{lot_number:int}/result", access="trader", function=imports.result),
    Page(method="POST", path="/imports/{lot_number:int}/bid", access="trader", function=imports.bid),
    Page(method="GET", path="/searches", access="trader", function=searches.page),
    Page(method="POST", path="/searches", access="trader", function=searches.save),
    Page(method="POST", path="/searches/connect", access="trader", function=searches.connect),
    Page(method="POST", path="/searches/notifications", access="trader", function=searches.notify),
    Page(method="POST", path="/searches/{watch_id:int}", access="trader", function=searches.change),
    Page(method="GET", path="/login", access="anyone", function=login.form),
    Page(method="POST", path="/login", access="anyone", function=login.sign_in, seconds=HASH_SECONDS),
    Page(method="GET", path="/enter", access="anyone", function=login.enter_form),
    Page(method="POST", path="/enter", access="anyone", function=login.enter),
    Page(method="POST", path="/logout", access="viewer", function=login.sign_out),
    Page(method="POST", path="/language", access="anyone", function=login.language),
    Page(method="GET", path="/account", access="viewer", function=login.account),
    Page(method="GET", path="/static/{name}", access="anyone", function=files.static, is_file=True),
    Page(method="GET", path="/health", access="anyone", function=files.health, is_file=True),
    Page(method="GET", path="/robots.txt", access="anyone", function=files.robots, is_file=True),
)  # fmt: skip
