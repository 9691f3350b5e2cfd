"""The page of a VIN: one time line of what shows one vehicle, and nothing of strangers."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.integration.web.test_pages import ASKED, ENGLISH, HOSTILE, Tags
from tests.support.feed_files import Loader, row
from tests.support.sites import ads_on_board, running, signed_in
from web.vehicles import history

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.rows import TupleRow
    from starlette.testclient import TestClient

    from vinops.config import Settings

    Database = psycopg.Connection[TupleRow]

VIN = "1FMCU9GD0KUA12345"


@pytest.fixture
def loader(database: Database, settings: Settings) -> Loader:
    mine = replace(settings, feed_min_rows=1)
    return Loader(settings=mine, database=database, folder=settings.data_dir / "files")


@pytest.fixture
def client(database: Database, settings: Settings) -> Iterator[TestClient]:
    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        client.headers.update(ENGLISH)
        yield client


def advertised(database: Database, vin: str, *, make: str = "Ford", title: str = "Ford Kuga") -> int:
    """Put an ad on the board that names a VIN, first for 9,000 and then for 8,000."""
    (listing,) = ads_on_board(database, title=title)
    database.execute("update normalized_listings set make = %s where listing_id = %s", [make, listing])
    database.execute("insert into listing_vins values (%s, %s)", [listing, vin])
    database.execute("delete from listing_prices where listing_id = %s", [listing])
    database.execute(
        "insert into listing_prices (listing_id, price_eur, seen_at) values (%(id)s, 9000, now() - interval '2 days'),"
        " (%(id)s, 8000, now() - interval '1 day')",
        {"id": listing},
    )
    database.execute("update listings set first_seen = now() - interval '2 days' where id = %s", [listing])
    return listing


def photograph(database: Database, lot: int, *hashes: str) -> None:
    for seq, content in enumerate(hashes, 1):
        for variant, own in (("thb", "0" * 64), ("hrs", content)):
            database.execute(
                "insert into images (lot_id, seq, variant, source_url, storage_key, content_hash, content_type, width,"
                " height, bytes) select id, %(seq)s, %(variant)s, %(url)s, %(url)s, %(hash)s, 'image/jpeg', 4, 3, 9"
                " from lots where lot_external_id = %(lot)s",
                {"seq": seq, "variant": variant, "url": f"{lot}/{seq}/{variant}", "hash": own, "lot": lot},
            )


def relisted(loader: Loader) -> None:
    """Load a lot whose bid rises, that goes, and is listed again under another number."""
    at = [f"2026-07-01T12:{minute}:00Z" for minute in (15, 30, 45)]
    loader.loaded([row(1, vin=VIN), row(9)])
    loader.loaded([row(1, vin=VIN, high_bid="1500.0", last_updated_at=at[0]), row(9)])
    loader.loaded([row(9, last_updated_at=at[1])], allow_shrink=True)
    loader.loaded([row(2, vin=VIN, last_updated_at=at[2]), row(9, last_updated_at=at[2])])


def line_of(text: str) -> list[str]:
    """Return the entries of the first time line, without their times."""
    found = re.search(r'<ol class="timeline">(.*?)</ol>', text, re.DOTALL)
    assert found is not None
    entries = re.findall(r"<li.*?</time>(.*?)</li>", found[1], re.DOTALL)
    return [" ".join(unescape(re.sub("<[^>]*>", " ", each)).split()) for each in entries]


def test_a_time_line_has_lots_bids_relistings_and_ads(database: Database, loader: Loader, client: TestClient) -> None:
    relisted(loader)
    photograph(database, 1, "a" * 64, "b" * 64)
    listing = advertised(database, VIN)
    text = client.get(f"/vin/{VIN}").text
    assert line_of(text) == [
        f"Ad {listing} price: 9 000 € → 8 000 €",
        f"Ad {listing} advertised for 9 000 €",
        "Lot 2 listed again, after an earlier lot",
        "Lot 1 left the feed, which does not say that it was sold",
        "Lot 1 bid: – → 1 500 USD",
        "Lot 1 appeared at the auction",
    ]
    assert "2 lots, 1 ad that names it" in text
    thumbs = re.findall(r'src="(/thumbs/[^"]+)"', text)
    assert thumbs == [f"/thumbs/1/{'a' * 64}/320.webp", f"/thumbs/1/{'b' * 64}/320.webp"], "the best variant of each"
    for link in ("/lots/1", "/lots/2", f"/ads/{listing}", "/lots/1/photos/1"):
        assert f'href="{link}"' in text
    assert f'href="/vin/{VIN}"' in client.get(f"/ads/{listing}").text


def test_when_events_are_no_longer_kept_the_lot_still_tells_when_it_came_and_went(
    database: Database, loader: Loader, client: TestClient
) -> None:
    relisted(loader)
    database.execute("delete from audit.lot_events")
    assert line_of(client.get(f"/vin/{VIN}").text) == [
        "Lot 2 appeared at the auction",
        "Lot 1 left the feed, which does not say that it was sold",
        "Lot 1 appeared at the auction",
    ]


def test_lots_of_another_make_with_the_same_vin_are_apart(
    database: Database, loader: Loader, client: TestClient
) -> None:
    loader.loaded([row(1, vin=VIN, make="FORD"), row(2, vin=VIN, make="HONDA"), row(9)])
    listing = advertised(database, VIN, make="Ford")
    stranger = advertised(database, VIN, make="Volvo", title="Volvo XC60")
    story = history.story(database, VIN)
    assert story is not None
    stories = {each.make: each for each in (story, *story.others)}
    assert {make: [lot.lot for lot in each.lots] for make, each in stories.items()} == {"FORD": [1], "HONDA": [2]}
    assert [ad.listing_id for ad in stories["FORD"].ads] == [listing]
    assert [ad.listing_id for ad in stories["HONDA"].ads] == []
    assert [ad.listing_id for ad in story.strange_ads] == [stranger]
    assert {entry.lot for entry in stories["HONDA"].entries} == {2}
    text = client.get(f"/vin/{VIN}").text
    assert "Another vehicle has this VIN too" in text
    assert "Ads of another make that name this VIN" in text


def test_a_lot_is_said_in_the_words_of_the_reader(database: Database, loader: Loader, client: TestClient) -> None:
    loader.loaded([row(1, vin=VIN), row(9)])
    database.execute(
        "update lots set damage = 'front end', secondary_damage = 'water/flood', title_group = 'salvage', condition ="
        " 'run and drive', odometer = 61234, odometer_brand = 'not actual', sale_status = 'pure sale', has_keys = true"
    )
    database.execute("update vehicles set color = 'blue', fuel = 'gasoline', vehicle_type = 'car'")
    english, bulgarian = (client.get(f"/vin/{VIN}", headers={"Accept-Language": code}).text for code in ("en", "bg"))
    for text in ("front end", "salvage title", "runs and drives", "61\u202f234 mi (98\u202f547 km), not actual",
                 "petrol"):  # fmt: skip
        assert text in english, text
    for text in ("front end", "water/flood", "salvage", "run and drive", "not actual", "pure sale", "gasoline", "blue"):
        assert text not in bulgarian, text
    assert "98\u202f547 км" in bulgarian


def test_a_placeholder_and_masked_vins_join_nothing(database: Database, loader: Loader, client: TestClient) -> None:
    placeholder = "1VNPS123456789012"
    loader.loaded([row(place, vin=placeholder, make=make) for place, make in enumerate("ABCDE", 1)])
    assert database.execute("select vin from staging.placeholder_vins").fetchall() == [(placeholder,)]
    answer = client.get(f"/vin/{placeholder}")
    assert answer.status_code == 404
    assert "it names no vehicle" in answer.text
    loader.loaded([row(place, vin="1FMCU9GD0KU******") for place in (11, 12)], allow_shrink=True)
    answer = client.get("/vin/1FMCU9GD0KU******")
    assert answer.status_code == 404
    assert "masked or shortened" in answer.text


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("WVW", "A VIN has 17 letters and digits"),
        ("11111111111111111", "A VIN has 17 letters and digits"),
        ("WVWZZZ1KZOW123456", "A VIN has 17 letters and digits"),
        ("%3Cscript%3Ealert(1)%3C%2Fscript%3E", None),
        (VIN, "No lot and no ad that vinops has seen names it."),
        ("x" * 400, "A VIN has 17 letters and digits"),
    ],
)
def test_what_is_no_vin_or_not_known_is_404_with_a_sentence(client: TestClient, given: str, said: str | None) -> None:
    answer = client.get(f"/vin/{given}")
    assert answer.status_code == 404
    assert said is None or said in answer.text
    assert "<script>alert" not in answer.text


def test_a_vin_has_one_spelling(database: Database, client: TestClient) -> None:
    advertised(database, VIN)
    for given in (VIN.lower(), f"{VIN[:5]}-{VIN[5:]}", f"{VIN[:3]}%20{VIN[3:]}"):
        answer = client.get(f"/vin/{given}")
        assert (answer.status_code, answer.headers["location"]) == (303, f"/vin/{VIN}")


def test_hostile_text_is_text(database: Database, loader: Loader, client: TestClient) -> None:
    loader.loaded([row(1, vin=VIN), row(9)])
    advertised(database, VIN, title=HOSTILE)
    database.execute("update lots set damage = %(x)s, yard_name = %(x)s, sale_status = %(x)s, currency = %(x)s,"
                     " title_group = %(x)s, odometer_brand = %(x)s, odometer = 5, high_bid = 7",
                     {"x": HOSTILE[:60]})  # fmt: skip
    database.execute("update vehicles set model = %(x)s, trim = %(x)s, color = %(x)s", {"x": HOSTILE})
    database.execute("insert into audit.lot_events (lot_id, file_id, event, old_value, new_value, happened_at) select"
                     " id, file_id, e, %(x)s, %(x)s, now() from lots cross join unnest(array['high_bid', 'sale_status',"
                     " 'yard', 'sale_date', %(x)s]) as events (e)", {"x": HOSTILE})  # fmt: skip
    for path in (f"/vin/{VIN}", "/search?q=1", f"/search?q={ASKED}", "/search?q=https://www.mobile.bg/obiava-1"):
        answer = client.get(path)
        if answer.status_code == 303:
            continue
        assert answer.status_code == 200
        assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x08]", answer.text), path
        for tag, attributes in Tags(answer.text).tags:
            assert (attributes.get("href") or "/").startswith(("/", "#")), (path, attributes)
            assert not [name for name in attributes if name.startswith("on") or name == "style"], (path, tag)
            assert tag != "script" or (attributes.get("src") or "").startswith("/static/")
