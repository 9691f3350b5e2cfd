"""The search box: it leads to what it names, and says what can be typed where that is nothing or several things."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.integration.web.test_pages import ENGLISH
from tests.support.feed_files import Loader, row
from tests.support.sites import ads_on_board, running, signed_in
from web.vehicles.search import filter_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.rows import TupleRow
    from starlette.testclient import TestClient

    from vinops.config import Settings

    Database = psycopg.Connection[TupleRow]

VIN = "1FMCU9GD0KUA12345"
AD = "11782864000123456"
LOT = 39_463_424


@pytest.fixture
def client(database: Database, settings: Settings) -> Iterator[TestClient]:
    mine = replace(settings, feed_min_rows=1)
    loader = Loader(settings=mine, database=database, folder=settings.data_dir / "files")
    loader.loaded([row(LOT, vin=VIN), row(1)])
    ads_on_board(database, 2, title="VW Golf панорама")
    database.execute("update listings set ad_id = %s where id = 2", [AD])
    words = "array['volkswagen', 'golf', 'панорама', 'panorama']"
    database.execute(f"insert into listing_words select id, array_to_tsvector({words}) from listings".encode())
    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        client.headers.update(ENGLISH)
        yield client


@pytest.mark.parametrize(
    ("query", "where"),
    [
        (VIN, f"/vin/{VIN}"),
        (f" {VIN.lower()} ", f"/vin/{VIN}"),
        (f"{VIN[:4]} {VIN[4:]}", f"/vin/{VIN}"),
        (str(LOT), f"/lots/{LOT}"),
        (f"lot {LOT}", f"/lots/{LOT}"),
        (f"лот № {LOT}", f"/lots/{LOT}"),
        ("39 463 424", f"/lots/{LOT}"),
        (f"https://www.copart.com/lot/{LOT}/clean-title-2019-ford", f"/lots/{LOT}"),
        (AD, "/ads/2"),
        ("2", "/ads/2"),
        (f"https://www.mobile.bg/obiava-{AD}-vw-golf", "/ads/2"),
        (f"www.mobile.bg/obiava-{AD}", "/ads/2"),
        ("vw golf", "/?family=Volkswagen+Golf"),
        ("фолксваген", "/?make=Volkswagen"),
        ("панорама", "/?words=%D0%BF%D0%B0%D0%BD%D0%BE%D1%80%D0%B0%D0%BC%D0%B0"),
    ],
)
def test_what_names_one_thing_leads_there(client: TestClient, query: str, where: str) -> None:
    answer = client.get("/search", params={"q": query})
    assert (answer.status_code, answer.headers.get("location")) == (303, where)


def test_a_number_of_a_lot_and_of_an_ad_shows_both(client: TestClient) -> None:
    text = client.get("/search", params={"q": "1"}).text
    assert "It may be one of these" in text
    assert 'href="/lots/1"' in text
    assert 'href="/ads/1"' in text


@pytest.mark.parametrize(
    "query",
    ["", "   ", "99999999", "9" * 40, "1FMCU9GD0KUA99999", "https://evil.example/", "BMW X5", "...", "без", "x" * 5000,
     "https://www.mobile.bg/obiava-11782864000999999-x", "\0\x07", "%", "' or 1=1 --", "¹²³",
     "Golf \u202e панорама zz"],
)  # fmt: skip
def test_nothing_found_says_what_can_be_typed(client: TestClient, query: str) -> None:
    answer = client.get("/search", params={"q": query})
    assert answer.status_code == 200
    assert "What can be typed" in answer.text


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("BMW X5 панорама", [("family", "BMW X5"), ("words", "панорама")]),
        ("x5 панорама бмв", [("family", "BMW X5"), ("words", "панорама")]),
        ("мерцедес е 220 4matic", [("family", "Mercedes-Benz E-Class"), ("words", "4matic")]),
        ("алфа ромео червена", [("make", "Alfa Romeo"), ("words", "червена")]),
        ("land rover range rover sport hse", [("family", "Land Rover Range Rover Sport"), ("words", "hse")]),
        ("кожа навигация", [("words", "кожа навигация")]),
        ("рено", [("make", "Renault")]),
        ("без", []),
    ],
)
def test_words_name_a_make_or_a_model(text: str, params: list[tuple[str, str]]) -> None:
    assert filter_of(text).to_params() == params


def test_the_box_is_on_every_page_of_who_is_signed_in(client: TestClient) -> None:
    for path in ("/", "/account", "/search", "/ops", f"/vin/{VIN}", "/vin/x", "/ads/1"):
        assert 'action="/search"' in client.get(path).text, path
    client.cookies.clear()
    assert 'action="/search"' not in client.get("/login").text
