"""A site for tests: its application on a database of the test, ads on its board, and browsers that are signed in."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

from starlette.testclient import TestClient

from deals import market
from tests.support.deal_ads import insert_ads
from web import people
from web.app import create
from web.routes import ROUTES
from web.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg import Connection
    from starlette.types import ASGIApp

    from vinops.config import Settings

PORT: Final = 8080
ORIGIN: Final = f"http://localhost:{PORT}"


def patient(site: Site) -> ASGIApp:
    """Return an application whose pages have no limits of time: a busy machine is no fault of a page."""
    with patch("web.app.ROUTES", [replace(page, seconds=None) for page in ROUTES]):
        return create(site)


@contextmanager
def running(settings: Settings, *, make: Callable[[Site], ASGIApp] = patient) -> Iterator[tuple[Site, TestClient]]:
    """Run a site, and yield it with a browser that is not signed in and follows no redirect."""
    site = Site(settings, port=PORT)
    with TestClient(make(site), base_url=ORIGIN, follow_redirects=False, raise_server_exceptions=False) as client:
        client.headers["Origin"] = ORIGIN
        yield site, client


def user(database: Connection[Any], role: str, name: str = "") -> int:
    """Add a person without a password that could be given, and return the id."""
    row = database.execute(
        "insert into ops.users (name, role, password_hash) values (%s, %s, 'none') returning id", [name or role, role]
    ).fetchone()
    assert row is not None
    return int(row[0])


def signed_in(site: Site, client: TestClient, database: Connection[Any], role: str | None) -> None:
    """Let a browser be one of a new person with a role; None: one that is not signed in."""
    client.cookies.clear()
    if role is not None:
        name = f"{role}{database.execute('select count(*) from ops.users').fetchone()[0]}"  # type: ignore[index]
        token = people.sign_in(database, user(database, role, name))
        assert token is not None
        client.cookies.set(site.session_cookie, token)


def ads_on_board(
    database: Connection[Any], count: int = 1, *, title: str = "VW Golf", description: str = ""
) -> list[int]:
    """Insert ads that are priced and scored, and put them on the board."""
    first = database.execute("select count(*) from listings").fetchone()[0]  # type: ignore[index]
    ids = insert_ads(database, count, first=first, title=title, description=description)
    database.execute(
        "insert into normalized_listings (listing_id, make, model, family, year, mileage_km, price_eur, risk, risks,"
        " is_comparable) select id, 'Volkswagen', 'Volkswagen Golf', 'Volkswagen Golf', year, mileage_km, 8000,"
        """ 'medium', '[{"flag": "from_america", "level": "medium", "words": "от САЩ"}]', true"""
        " from listings where id = any(%s)",
        [ids],
    )
    database.execute(
        "insert into valuations (listing_id, p10, p50, p90, comparables, confidence, method)"
        " select unnest(%s::bigint[]), 7800, 10000, 12800, 34, 0.9, 'comparables'",
        [ids],
    )
    database.execute(
        "insert into scores (listing_id, score, parts, reasons, is_approved) select id, 8.1,"
        """ '{"price": 6.1, "freshness": 1}', '{"20 %% below 34 comparable cars","new today"}', true"""
        " from unnest(%s::bigint[]) as ads (id)",
        [ids],
    )
    database.execute("insert into board select * from board_source where listing_id = any(%s)", [ids])
    return ids


def market_history(database: Connection[Any]) -> None:
    """Let all ads be a hundred days old, with prices that fell to 8,000 forty days ago, and compute the market."""
    database.execute(
        "update listings set posted_at = now() - interval '101 days', first_seen = now() - interval '100 days'"
    )
    database.execute("delete from listing_prices")
    for price, days in ((9_600, 100), (8_000, 40)):
        database.execute(
            "insert into listing_prices select id, %s, now() - %s * interval '1 day' from listings", [price, days]
        )
    market.refresh(database)
