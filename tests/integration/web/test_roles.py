"""Who may use which route: one table of route and role, which has to name every route there is."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any, Final

import pytest

from deals import market as figures
from tests.support.lot_photos import add_photo
from tests.support.lots import lots_on_board
from tests.support.sites import ads_on_board, running, signed_in
from web.routes import ROUTES

if TYPE_CHECKING:
    import psycopg
    from psycopg.rows import TupleRow

    from vinops.config import Settings

VIN: Final = "WVWZZZ1KZAW123456"
LOGIN: Final = 303
"""To the form."""
# Method and path, the form that is sent, and the status for nobody, viewer, trader and operator.
MATRIX: Final[dict[tuple[str, str], tuple[dict[str, str], tuple[int, int, int, int]]]] = {
    ("GET", "/"): ({}, (LOGIN, 200, 200, 200)),
    ("GET", "/deals.csv"): ({}, (LOGIN, 200, 200, 200)),
    ("GET", "/ads/{listing_id:int}"): ({}, (LOGIN, 200, 200, 200)),
    ("GET", "/ads/{listing_id:int}/sheet"): ({}, (LOGIN, 200, 200, 200)),
    ("GET", "/ads/{listing_id:int}/photos/{number:int}"): ({}, (403, 404, 404, 404)),  # the ad has none
    ("POST", "/ads/{listing_id:int}/star"): ({"on": "1"}, (403, 403, 303, 303)),
    ("POST", "/ads/{listing_id:int}/status"): ({"status": "seen"}, (403, 403, 303, 303)),
    ("POST", "/ads/{listing_id:int}/notes"): ({"body": "call"}, (403, 403, 303, 303)),
    ("GET", "/lots"): ({}, (LOGIN, 200, 200, 200)),
    ("GET", "/lots.csv"): ({}, (LOGIN, 200, 200, 200)),
    ("GET", "/lots/{lot_number:int}"): ({}, (LOGIN, 200, 200, 200)),
    ("GET", "/lots/{lot_number:int}/sheet"): ({}, (LOGIN, 200, 200, 200)),
    ("POST", "/lots/{lot_number:int}/star"): ({"on": "1"}, (403, 403, 303, 303)),
    ("POST", "/lots/{lot_number:int}/status"): ({"status": "seen"}, (403, 403, 303, 303)),
    ("POST", "/lots/{lot_number:int}/notes"): ({"body": "call"}, (403, 403, 303, 303)),
    ("GET", "/thumbs/{lot_number:int}/{content_hash}/{side:int}.webp"): ({}, (403, 200, 200, 200)),
    ("GET", "/lots/{lot_number:int}/photos/{seq:int}"): ({}, (403, 200, 200, 200)),
    ("GET", "/lots/{lot_number:int}/photos.zip"): ({}, (403, 200, 200, 200)),
    ("GET", "/market"): ({}, (LOGIN, 200, 200, 200)),
    ("GET", "/market.csv"): ({}, (LOGIN, 200, 200, 200)),
    ("GET", "/market/family.csv"): ({}, (LOGIN, 404, 404, 404)),  # it names none
    ("GET", "/market/{family:path}"): ({}, (LOGIN, 200, 200, 200)),
    ("GET", "/search"): ({}, (LOGIN, 200, 200, 200)),
    ("GET", "/vin/{vin}"): ({}, (LOGIN, 200, 200, 200)),
    ("GET", "/ops"): ({}, (LOGIN, 200, 200, 200)),
    ("GET", "/imports"): ({}, (LOGIN, 200, 200, 200)),
    ("GET", "/imports.csv"): ({}, (LOGIN, 200, 200, 200)),
    ("GET", "/imports/{lot_number:int}"): ({}, (LOGIN, 200, 200, 200)),
    ("POST", "/imports/{lot_number:int}/result"): ({"price": "5", "outcome": "won"}, (403, 403, 303, 303)),
    ("POST", "/imports/{lot_number:int}/bid"): ({"bid": "5"}, (403, 403, 303, 303)),
    ("GET", "/searches"): ({}, (LOGIN, 403, 200, 200)),
    ("POST", "/searches"): ({"query": "make=BMW"}, (403, 403, 303, 303)),
    ("POST", "/searches/connect"): ({}, (403, 403, 200, 200)),
    ("POST", "/searches/notifications"): ({"how": "silent"}, (403, 403, 303, 303)),
    ("POST", "/searches/{watch_id:int}"): ({"do": "pause"}, (403, 403, 303, 303)),
    ("GET", "/login"): ({}, (200, 303, 303, 303)),
    ("POST", "/login"): ({}, (401, 401, 401, 401)),
    ("GET", "/enter"): ({}, (200, 200, 200, 200)),
    ("POST", "/enter"): ({"key": "wrong"}, (403, 403, 403, 403)),
    ("POST", "/logout"): ({}, (403, 303, 303, 303)),
    ("POST", "/language"): ({"language": "en"}, (303, 303, 303, 303)),
    ("GET", "/account"): ({}, (LOGIN, 200, 200, 200)),
    ("GET", "/static/{name}"): ({}, (404, 404, 404, 404)),
    ("GET", "/health"): ({}, (200, 200, 200, 200)),
    ("GET", "/robots.txt"): ({}, (200, 200, 200, 200)),
}


def test_the_table_names_every_route() -> None:
    assert {(page.method, page.path) for page in ROUTES} == set(MATRIX), "a new page needs its line in MATRIX"


def test_each_route_lets_in_whom_it_may(database: psycopg.Connection[TupleRow], settings: Settings) -> None:
    (listing,) = ads_on_board(database)
    (lot,) = lots_on_board(database)
    figures.refresh(database)
    database.execute("insert into listing_vins values (%s, %s)", [listing, VIN])
    names = {
        "{listing_id:int}": str(listing), "{number:int}": "1", "{name}": "x", "{lot_number:int}": str(lot),
        "{seq:int}": "91", "{content_hash}": add_photo(database, settings, lot=lot, seq=91), "{side:int}": "320",
        "{family:path}": "Volkswagen%20Golf", "{vin}": VIN, "{watch_id:int}": "1",
    }  # fmt: skip
    wrong = []
    with running(settings) as (site, client):
        for (method, path), (form, expected) in MATRIX.items():
            where = reduce(lambda text, name: text.replace(*name), names.items(), path)
            for role, status in zip((None, "viewer", "trader", "operator"), expected, strict=True):
                signed_in(site, client, database, role)
                answer: Any = client.request(method, where, data=form or None)
                is_to_form = answer.headers.get("location", "").startswith("/login?next=")
                if answer.status_code != status or (
                    role is None and status == LOGIN and path not in ("/login", "/language") and not is_to_form
                ):
                    wrong.append(f"{method} {path} for {role}: {answer.status_code}, not {status}")
    assert wrong == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE"])
def test_no_route_takes_another_method(database: psycopg.Connection[TupleRow], settings: Settings, method: str) -> None:
    with running(settings) as (site, client):
        signed_in(site, client, database, "operator")
        assert client.request(method, "/", headers={"Content-Length": "0"}).status_code == 405
