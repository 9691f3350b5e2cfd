"""The gallery of lots, the page of a lot and their CSV: what they show, hostile text too, and what is unknown."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.integration.web.test_pages import ASKED, ENGLISH, HOSTILE, Tags
from tests.support.lots import add_event, add_photos, lots_on_board, rebuild
from tests.support.sites import running, signed_in
from vinops.lots.filter import FIELDS

if TYPE_CHECKING:
    import psycopg
    from psycopg.rows import TupleRow

    from vinops.config import Settings

    Database = psycopg.Connection[TupleRow]

UNKNOWN = {
    "year": None, "sale_date": None, "sale_time": None, "sale_at": None, "high_bid": None, "damage": None,
    "title_group": None, "title_state": None, "title_type": None, "has_keys": None, "condition": None,
    "odometer": None, "odometer_brand": None, "retail_value": None, "yard_name": None, "color": None, "fuel": None,
}  # fmt: skip


def test_the_gallery_shows_what_a_trader_looks_at(database: Database, settings: Settings) -> None:
    (lot,) = lots_on_board(database, photos=5)
    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        english, bulgarian = client.get("/lots", headers=ENGLISH).text, client.get("/lots").text
    assert len(re.findall(r"/thumbs/[0-9]+/[0-9a-f]{64}/320\.webp", english)) == 3
    for text in ("2019 FORD ESCAPE", "clean title", "front end", "with keys", "runs and drives",
                 "61\u202f234 mi (98\u202f547 km)", "seller unknown", "09.07.2099, 17:00", "1\u202f200\u00a0$",
                 f'href="/lots/{lot}"'):  # fmt: skip
        assert text in english, text
    for text in ("чист документ", "предница", "с ключове", "пали и се движи", "мили", "неизвестен продавач"):
        assert text in bulgarian, text


def test_a_lot_shows_photos_sale_bids_and_events(database: Database, settings: Settings) -> None:
    (first,) = lots_on_board(database, vin="1FTFW1E50NKE00001", status="gone", gone_at="2026-11-20 10:00+00")
    (lot,) = lots_on_board(database, vin="1FTFW1E50NKE00001", photos=4)
    (lot_id, previous) = database.execute(
        "select id, (select id from lots where lot_external_id = %s) from lots where lot_external_id = %s", [first, lot]
    ).fetchone() or (0, 0)
    add_photos(database, lot_id, 2, variant="thb")  # smaller ones of the first two
    add_event(database, lot, "relisted", str(previous), None)
    add_event(database, lot, "high_bid", None, "100.00")
    add_event(database, lot, "high_bid", "100.00", "1200.00")
    add_event(database, lot, "sale_date", "2099-07-01", "2099-07-09")
    with running(settings) as (site, client):
        signed_in(site, client, database, "trader")
        page = client.get(f"/lots/{lot}", headers=ENGLISH).text
        gone = client.get(f"/lots/{first}", headers=ENGLISH).text
    assert [int(each) for each in re.findall(r'<li id="p(\d+)"><a href="/lots/\d+/photos/\d+">', page)] == [1, 2, 3, 4]
    best = database.execute("select content_hash from images where variant = 'hrs' and seq = 1").fetchone()
    assert best is not None
    assert f"/thumbs/{lot}/{best[0]}/320.webp" in page
    for text in ('<ol class="gallery" data-lightbox>', f"/lots/{lot}/photos.zip", "At the yard: 09.07.2099, 10:00 EDT",
                 "Bid: 100\u00a0$ → 1\u202f200\u00a0$", "Bid: 100\u00a0$<", "Sale date: 01.07.2099 → 09.07.2099",
                 'aria-label="Bids over time"', f'Listed again</bdi> <a href="/lots/{first}"',
                 "/vin/1FTFW1E50NKE00001"):  # fmt: skip
        assert text in page, text
    assert re.search(r'<time datetime="2099-07-09T1[47]:00:00\+0[03]:00" data-until>in \d+', page)
    assert "Gone on 20.11.2026" in gone
    assert f'href="/lots/{lot}">Lot {lot}</a> <small>later' in gone


def test_kilometers_of_canada_are_no_miles(database: Database, settings: Settings) -> None:
    (first,) = lots_on_board(database, vin="2FTFW1E50NKE00001", odometer=80_000, country="CAN", currency="CAD")
    lots = [first, *lots_on_board(database, vin="2FTFW1E50NKE00001", odometer=80_000, special_note="Odometer in kms")]
    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        paths = ["/lots", "/vin/2FTFW1E50NKE00001", *(f"/lots/{lot}{more}" for lot in lots for more in ("", "/sheet"))]
        for path in paths:
            page = client.get(path, headers=ENGLISH).text
            assert "49\u202f710 mi (80\u202f000 km)" in page, path
            assert "128\u202f748 km" not in page, path
        assert client.get("/lots?odometer_to=49710").text.count('<li class="lot') == 2
        assert client.get("/lots?odometer_to=49709").text.count('<li class="lot') == 0
        export = client.get("/lots.csv").content.decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(export)))[:2]
    assert [(row["odometer_mi"], row["odometer_km"]) for row in rows] == [("49710", "80000")] * 2


def test_what_is_unknown_is_said_and_is_never_zero(database: Database, settings: Settings) -> None:
    (lot,) = lots_on_board(database, **UNKNOWN)
    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        for path in ("/lots", f"/lots/{lot}"):
            page = client.get(path, headers=ENGLISH).text
            for text in ("title unknown", "damage unknown", "keys unknown", "unknown whether it runs",
                         "mileage unknown", "no sale date", "bid unknown"):  # fmt: skip
                assert text in page, (path, text)
            assert not re.search(r"[>\s]0(\u00a0|\u202f| )?(\$|mi|km)", page)
        assert "No bid is known." in page
        assert "No photo of this lot has been stored." in page


def test_a_bid_that_goes_back_to_unknown_is_no_zero(database: Database, settings: Settings) -> None:
    (lot,) = lots_on_board(database, high_bid=None)
    add_event(database, lot, "high_bid", "700.00", None)
    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        page = client.get(f"/lots/{lot}", headers=ENGLISH).text
    assert "Bid: 700\u00a0$, no longer given" in page
    assert "bid unknown" in page


def test_hostile_text_is_text(database: Database, settings: Settings) -> None:
    hostile = HOSTILE.replace("\x07", "")
    (lot,) = lots_on_board(
        database, seller_name=hostile, yard_name=hostile, special_note=hostile, announcements=hostile, damage=hostile,
        model=hostile, trim=hostile, sale_time_zone=hostile, city=hostile, title_state=hostile, currency=hostile,
        photos=1,
    )  # fmt: skip
    add_event(database, lot, "yard", hostile, hostile)
    add_event(database, lot, hostile, hostile, hostile)
    with running(settings) as (site, client):
        signed_in(site, client, database, "trader")
        client.post(f"/lots/{lot}/notes", data={"body": HOSTILE})
        for path in ("/lots", f"/lots/{lot}", f"/lots?seller={ASKED}&yard={ASKED}&{ASKED}=1&sort={ASKED}&after=x~1"):
            answer = client.get(path)
            assert answer.status_code == 200, path
            text = answer.text
            assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x08]", text), path
            for tag, attributes in Tags(text).tags:
                assert (attributes.get("href") or "/").startswith(("/", "#")), (path, attributes)
                assert not [name for name in attributes if name.startswith("on") or name == "style"], (path, tag)
                assert tag != "script" or (attributes.get("src") or "").startswith("/static/")
        assert "alert(1)" in text


def test_the_csv_is_harmless_and_complete(database: Database, settings: Settings) -> None:
    lots_on_board(database, seller_name="=HYPERLINK(1)", yard_name="TX;=1+1")
    lots_on_board(database, 2, damage="hail")
    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        answer, fewer = client.get("/lots.csv"), client.get("/lots.csv?damage=hail&sort=bid")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert len(rows) == 4
    assert rows[-1]["lot"] == "# complete"
    (row,) = [each for each in rows if each["yard"] and each["yard"].startswith("TX")]
    assert (row["seller"], row["yard"]) == ("'=HYPERLINK(1)", "TX;'=1+1")
    assert (row["odometer_mi"], row["odometer_km"]) == ("61234", "98547")
    assert fewer.content.decode().splitlines()[-1] == "# complete,2"


def test_marks_are_kept_and_shown(database: Database, settings: Settings) -> None:
    (lot,) = lots_on_board(database)
    with running(settings) as (site, client):
        signed_in(site, client, database, "trader")
        client.post(f"/lots/{lot}/star", data={"on": "1"})
        for status in ("seen", "called", "called"):
            answer = client.post(f"/lots/{lot}/status", data={"status": status, "next": "//evil.example"})
            assert answer.headers["location"] == "/"
        client.post(f"/lots/{lot}/notes", data={"body": " ask for photos \nof the frame"})
        assert client.post(f"/lots/{lot}/status", data={"status": "deleted"}).status_code == 400
        for what, form in (("star", {"on": "1"}), ("status", {"status": "seen"}), ("notes", {"body": "x"})):
            assert client.post(f"/lots/7/{what}", data=form).status_code == 404
        page = client.get(f"/lots/{lot}", headers=ENGLISH).text
        assert "ask for photos" in page
        assert page.count("<b>called</b>") == 1
        assert 'aria-pressed="true" aria-label="Star"' in page
        signed_in(site, client, database, "trader")
        other = client.get("/lots", headers=ENGLISH).text
        assert 'aria-pressed="false" aria-label="Star"' in other, "a star is one's own"
        assert '<li class="mark">called</li>' in other, "a status is everybody's"
    assert database.execute("select status from lot_statuses order by id").fetchall() == [("seen",), ("called",)]


def test_pages_follow_one_another(database: Database, settings: Settings) -> None:
    numbers = lots_on_board(database, 30)
    database.execute("update lots set sale_at = sale_at - interval '200 years' where lot_external_id = %s", numbers[:1])
    rebuild(database)
    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        first = client.get("/lots").text
        token = re.search(r'rel="next" href="([^"]+)"', first)
        assert token is not None
        second = client.get(token[1].replace("&amp;", "&")).text
    found = [int(each) for text in (first, second) for each in re.findall(r'id="lot-(\d+)"', text)]
    assert sorted(found) == sorted(numbers)
    assert found[-1] == numbers[0], "a sale that is past comes last"


ASKED_FOR = {
    "make": "Ford", "family": "Ford Escape", "year_from": 2010, "year_to": 2020, "odometer_to": "120000 km",
    "fuel": "gasoline", "gearbox": "automatic", "body": "suv", "color": "blue", "damage": "front end",
    "title_group": "clean", "runs": "drives", "keys": "yes", "state": "OH", "yard": "OH - Columbus", "seller": "geico",
    "sale_from": "2026-12-01", "sale_to": "2099-12-31", "bid_to": 9000, "buy_now": "no", "has_photos": "no",
    "sale_within": "36h", "landed_to": "12000", "profit_from": 1000, "most_bid_from": 3000, "at_bid_to": 5000,
    "new_since": "2026-11-01", "gone": "also",
}  # fmt: skip


def test_every_field_of_the_filter_has_a_chip(database: Database, settings: Settings) -> None:
    assert set(ASKED_FOR) == set(FIELDS)
    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        for name, value in ASKED_FOR.items():
            for headers in (ENGLISH, {}):
                answer = client.get("/lots", params={name: str(value)}, headers=headers)
                assert answer.status_code == 200, name
                assert answer.text.count('<span aria-hidden="true">×</span></a></li>') == 1, name
                assert 'role="alert"' not in answer.text, name
        english = client.get("/lots", params={"odometer_to": "120000 km"}, headers=ENGLISH).text
    assert "to 74\u202f564 mi (119\u202f999 km)" in english


@pytest.mark.parametrize("path", ["/lots/0", "/lots/99999999999999999999999", "/lots/7", "/lots/x"])
def test_what_is_not_there_is_404(database: Database, settings: Settings, path: str) -> None:
    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        assert client.get(path).status_code == 404


def test_a_page_of_lots_stays_small(database: Database, settings: Settings) -> None:
    from web import assets

    lots_on_board(database, 24, photos=3)
    with running(settings) as (site, client):
        signed_in(site, client, database, "trader")
        page = client.get("/lots").content
    assert len(page) + sum(len(each.content) for each in assets.assets().values()) <= 150_000


def test_days_of_a_sale_are_those_of_the_time_zone_of_the_site(database: Database, settings: Settings) -> None:
    (lot,) = lots_on_board(database, sale_at="2099-07-09 22:30+00")
    for zone, is_found in (("Europe/Sofia", True), ("America/New_York", False)):
        with running(replace(settings, time_zone=zone)) as (site, client):
            signed_in(site, client, database, "viewer")
            for path in ("/lots", "/lots.csv"):
                answer = client.get(f"{path}?sale_from=2099-07-10")
                assert (str(lot) in answer.text) == is_found, (zone, path)
