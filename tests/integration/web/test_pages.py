"""The board, an ad and the CSV: what they show of the ads, hostile ones too."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import fields, replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.support.sites import ads_on_board, running, signed_in
from vinops.board import reads
from vinops.filters import FIELDS, Filter
from vinops.secrets import Secret
from web.routes import ROUTES
from web.site import EXPORTS

if TYPE_CHECKING:
    import psycopg
    from psycopg.rows import TupleRow

    from vinops.config import Settings

    Database = psycopg.Connection[TupleRow]

HOSTILE = "</title><script>alert(1)</script><img src=x onerror=alert(2)>\"' {{7*7}} %(a)s \u202egnp.exe\u2066 \x07"
ASKED = quote(HOSTILE)
ENGLISH = {"Accept-Language": "en"}


class Tags(HTMLParser):
    """Collects the elements of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_board_shows_what_an_ad_is_worth_in_both_languages(database: Database, settings: Settings) -> None:
    ads_on_board(database)
    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        english, bulgarian = client.get("/", headers=ENGLISH).text, client.get("/").text
    for text in ("under 34 comparable cars", "good price", "8\u202f000\u00a0€", "8.1", "from America", "new today"):
        assert text in english
    for text in ("под 34 сравними коли", "добра цена", "8,1", "от Америка", "нова днес", 'lang="bg"'):
        assert text in bulgarian


def test_hostile_text_is_text(database: Database, settings: Settings) -> None:
    (listing,) = ads_on_board(database, title=HOSTILE, description=HOSTILE + "\n" + "я" * 10_000)
    database.execute("update listings set url = 'javascript:alert(1)', place = %s", [HOSTILE])
    with running(settings) as (site, client):
        signed_in(site, client, database, "trader")
        client.post(f"/ads/{listing}/notes", data={"body": HOSTILE})
        for path in ("/", f"/ads/{listing}", f"/?words={ASKED}&make={ASKED}&{ASKED}=1&sort={ASKED}&after=x~1"):
            answer = client.get(path)
            assert answer.status_code == 200
            text = answer.text
            assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x08]", text), path
            for tag, attributes in Tags(text).tags:
                assert (attributes.get("href") or "/").startswith(("/", "#")), (path, attributes)
                assert not [name for name in attributes if name.startswith("on") or name == "style"], (path, tag)
                assert tag != "script" or (attributes.get("src") or "").startswith("/static/")
            assert "49" not in re.sub(r"\{\{7\*7\}\}", "", text).split("<main")[1].split("gnp.exe")[0][-20:]
        assert "alert(1)" in client.get("/").text


def test_the_csv_is_harmless_and_says_that_it_is_complete(database: Database, settings: Settings) -> None:
    for title in ("=HYPERLINK(1)", "+1+1", "-1+1", "@SUM(1)", "\tx", 'a,"b"\r\nc', "\u202eevil", "VW;=1+1"):
        ads_on_board(database, title=title)
    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        answer = client.get("/deals.csv")
        fewer = client.get("/deals.csv?price_to=100")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert rows[0][:2] == ["listing_id", "title"]
    assert rows[-1] == ["# complete", "8"]
    assert len(rows) == 10
    assert "VW;=" not in answer.text, "Excel splits at semicolons where the comma is for decimals, as in Bulgaria"
    assert "VW;'=1+1" in answer.text
    for row in rows[1:-1]:
        assert row[1][0] not in "=+-@\t\r\u202e", row[1]
    assert fewer.content.decode("utf-8-sig").splitlines()[-1] == "# complete,0"


def test_slow_downloads_keep_no_other_waiting(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ads_on_board(database, 3)
    monkeypatch.setattr(reads, "CHUNK", 1)
    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        slow = [reads.export(site.export, Filter()) for _ in range(EXPORTS)]
        assert all(next(each) for each in slow)
        assert client.get("/deals.csv").content.endswith(b"# complete,3\r\n")
        assert [len(list(each)) for each in slow] == [2] * EXPORTS


def test_marks_are_kept_and_shown(database: Database, settings: Settings) -> None:
    (listing,) = ads_on_board(database)
    with running(settings) as (site, client):
        signed_in(site, client, database, "trader")
        client.post(f"/ads/{listing}/star", data={"on": "1"})
        for status in ("seen", "called", "called"):
            answer = client.post(f"/ads/{listing}/status", data={"status": status, "next": "//evil.example"})
            assert answer.headers["location"] == "/"
        client.post(f"/ads/{listing}/notes", data={"body": "  he calls back\nat five  "})
        assert client.post(f"/ads/{listing}/status", data={"status": "deleted"}).status_code == 400
        page = client.get(f"/ads/{listing}", headers=ENGLISH).text
        assert "he calls back" in page
        assert page.count("<b>called</b>") == 1
        assert 'aria-pressed="true" aria-label="Star"' in page
        signed_in(site, client, database, "trader")
        other = client.get("/", headers=ENGLISH).text
        assert 'aria-pressed="false" aria-label="Star"' in other, "a star is one's own"
        assert '<li class="mark">called</li>' in other, "a status is everybody's"
    assert database.execute("select status from ad_statuses order by id").fetchall() == [("seen",), ("called",)]


def test_pages_follow_one_another(database: Database, settings: Settings) -> None:
    ids = ads_on_board(database, 30)
    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        first = client.get("/?sort=cheap").text
        token = re.search(r'rel="next" href="([^"]+)"', first)
        assert token is not None
        second = client.get(token[1].replace("&amp;", "&")).text
    found = [int(each) for text in (first, second) for each in re.findall(r'id="ad-(\d+)"', text)]
    assert sorted(found) == sorted(ids)


def test_chips_name_what_is_applied_and_lead_to_the_board_without_it(database: Database, settings: Settings) -> None:
    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        text = client.get("/?make=bmw&price_to=20000&fuel=diesel&words=панорама&below_market=10&new_since=3d"
                          "&min_score=7",
                          headers=ENGLISH).text  # fmt: skip
    chips = re.findall(r'<li><a href="([^"]+)" title="Remove this filter">([^<]+) <', text)
    assert len(chips) == 7
    assert ("Price to 20\u202f000\u00a0€") in [label for _, label in chips]
    assert all("price_to" in link for link, label in chips if "Price" not in label)
    assert not any("price_to" in link for link, label in chips if "Price" in label)


def test_every_field_of_the_filter_has_a_chip(database: Database, settings: Settings) -> None:
    asked = {
        "make": "BMW",
        "family": "BMW X5",
        "year_from": 2010,
        "year_to": 2020,
        "price_from": 1,
        "price_to": 9000,
        "km_from": 1,
        "km_to": 200_000,
        "power_from": 90,
        "power_to": 400,
        "fuel": "diesel",
        "gearbox": "manual",
        "body": "suv",
        "color": "black",
        "region": "София",
        "seller": "dealer",
        "min_score": 5,
        "below_market": 3,
        "new_since": "2026-11-01",
        "gone": "also",
        "words": "кожа",
        "words_not": "ръжда",
    }
    assert set(asked) == set(FIELDS)
    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        for name, value in asked.items():
            for headers in (ENGLISH, {}):
                answer = client.get("/", params={name: str(value)}, headers=headers)
                assert answer.status_code == 200, name
                assert answer.text.count('<span aria-hidden="true">×</span></a></li>') == 1, name
        assert client.get("/", params={"new_since": "36h"}).text.count("×</span></a></li>") == 1


@pytest.mark.parametrize("path", ["/ads/0", "/ads/99999999999999999999999", "/ads/7", "/ads/x", "/nothing"])
def test_what_is_not_there_is_404(database: Database, settings: Settings, path: str) -> None:
    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        answer = client.get(path, headers=ENGLISH)
        assert answer.status_code == 404
        assert "There is no such page" in answer.text


def test_no_page_shows_a_secret(database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = Secret("canary-4711-secret")
    made: dict[str, Any] = {
        "Secret | None": canary,
        "tuple[Secret, ...]": (canary,),
        "Mapping[str, Secret]": {"a": canary},
    }
    secrets = {each.name: made[str(each.type)] for each in fields(settings) if "Secret" in str(each.type)}
    assert len(secrets) >= 8
    assert settings.database_url is not None
    secrets["database_url"] = Secret(
        settings.database_url.reveal().replace("//vinops@", f"//vinops:{canary.reveal()}@")
    )
    (listing,) = ads_on_board(database)
    secrets |= {"r2_endpoint": "https://r2.example", "r2_bucket_name": "photos"}
    with running(replace(settings, **secrets)) as (site, client):
        signed_in(site, client, database, "operator")
        token = client.cookies[site.session_cookie]
        pages = [each.path for each in ROUTES if each.method == "GET"]
        paths = [each.replace("{listing_id:int}", str(listing)).replace("{number:int}", "1") for each in pages]

        def fail(*_: object, **__: object) -> None:
            raise RuntimeError(secrets["database_url"].reveal())

        for break_it in (lambda: None, lambda: monkeypatch.setattr(reads, "page", fail)):
            break_it()
            for path in (*paths, "/nothing", "/?after=x"):
                answer = client.get(path)
                for hidden in (canary.reveal(), token, "$argon2", "password_hash"):
                    assert hidden not in answer.text + str(answer.headers), path
        assert client.get("/").status_code == 500


def test_a_page_stays_small(database: Database, settings: Settings) -> None:
    from web import assets

    ads_on_board(database, 25)
    with running(settings) as (site, client):
        signed_in(site, client, database, "trader")
        page = client.get("/").content
    scripts = sum(len(each.content) for name, each in assets.assets().items() if name.endswith(".js"))
    assert scripts <= 60_000
    assert len(page) + sum(len(each.content) for each in assets.assets().values()) <= 150_000
