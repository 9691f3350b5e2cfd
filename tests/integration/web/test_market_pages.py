"""The pages of the market: they show what the tables have, say when it is old or little, and survive hostile names."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, datetime
from html import unescape
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from deals import market as figures
from tests.support.sites import ads_on_board, market_history, running, signed_in
from web import market as reads

if TYPE_CHECKING:
    import psycopg
    from psycopg.rows import TupleRow

    from vinops.config import Settings

    Database = psycopg.Connection[TupleRow]

ENGLISH = {"Accept-Language": "en"}
GOLF = "/market/Volkswagen%20Golf"
HOSTILE = "</title><script>alert(1)</script>\"' {{7*7}} %(a)s \u202egnp.exe"


def plain(page: str) -> str:
    """The text of a page, each run of blanks as one."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page)).split())


def rows_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))


def test_the_market_shows_families_with_their_changes(database: Database, settings: Settings) -> None:
    ads_on_board(database, 6)
    market_history(database)
    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        english, bulgarian = client.get("/market", headers=ENGLISH).text, client.get("/market").text
        found = rows_of(client.get("/market.csv").text)
    now, before = database.execute(
        "select p50, (select p50 from market_prices where family = own.family and year = 0 and month ="
        " date_trunc('month', now() at time zone 'UTC' - interval '3 months')) from market_now as own"
        " where family <> '' and split = ''"
    ).fetchone()  # type: ignore[misc]
    change = round(100 * (float(now) / float(before) - 1))
    assert f"▼ {-change} %" in plain(english).replace("\xa0", " ")
    assert f'<a href="{GOLF}">Volkswagen Golf</a>' in english
    assert "8\u202f000" in english
    assert "Цени във времето" in bulgarian
    assert found[0] == list(reads_columns())
    values = dict(zip(found[0], found[1], strict=True))
    assert (values["family"], values["ads"], values["p50"]) == ("Volkswagen Golf", "6", "8000.00")
    assert float(values["p50_3_months_ago"]) == float(before)
    assert found[2] == ["# complete", "1"]


def reads_columns() -> tuple[str, ...]:
    from web.pages.market import COLUMNS

    return COLUMNS


def many(database: Database, count: int) -> None:
    """Figures of so many families, without ads."""
    figures.refresh(database)
    database.execute(
        "insert into market_now (make, family, split, value, ads, priced, p25, p50, p75) select 'Make ' || n %% 2,"
        " 'Family ' || lpad(n::text, 3, '0'), '', '', n, n, 1000 + n, 2000 - n, 3000 from generate_series(1, %s) as n",
        [count],
    )
    database.execute(
        "insert into market_now (make, family, split, value, ads, priced)"
        " values ('Make 0', '', '', '', 9, 0), ('Make 1', '', '', '', 9, 0)"
    )


def test_families_are_sorted_filtered_and_on_pages(database: Database, settings: Settings) -> None:
    many(database, 230)

    def families(client: Any, query: str) -> list[str]:
        return re.findall(r'href="/market/Family%20(\d+)"', client.get(f"/market{query}").text)

    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        assert families(client, "")[:3] == ["230", "229", "228"]
        assert families(client, "?page=3") == [f"{n:03}" for n in range(30, 0, -1)]
        assert families(client, "?page=99")[-1] == "001"
        assert families(client, "?page=x")[0] == "230"
        assert families(client, "?sort=name")[:2] == ["001", "002"]
        assert families(client, "?sort=dear")[:2] == ["001", "002"]
        assert families(client, "?sort=price")[:2] == ["230", "229"]
        assert families(client, "?sort=nonsense") == families(client, "")
        assert families(client, "?make=Make+1")[:2] == ["229", "227"]
        assert families(client, "?words=FAMILY+01") == [f"{n:03}" for n in range(19, 9, -1)]
        assert families(client, "?words=%25") == [], "a percent sign is a percent sign"
        assert len(rows_of(client.get("/market.csv?make=Make+1").text)) == 1 + 115 + 1
        link = re.search(r'rel="next" href="([^"]*)"', client.get("/market?make=Make+1&sort=name").text)
        assert link is not None
        assert len(families(client, unescape(link[1]).removeprefix("/market"))) == 15


def test_a_family_shows_its_months_lists_and_ads(database: Database, settings: Settings) -> None:
    ads = ads_on_board(database, 8)
    market_history(database)
    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        page = client.get(GOLF, headers=ENGLISH).text
        (year,) = database.execute("select value from market_now where split = 'year' limit 1").fetchone()  # type: ignore[misc]
        of_year = client.get(f"{GOLF}?year={year}", headers=ENGLISH).text
        assert client.get(f"{GOLF}?year=nonsense").status_code == 200
        found = rows_of(client.get("/market/family.csv?family=Volkswagen+Golf").text)
    plot = json.loads(unescape(re.search(r'data-market="([^"]*)"', page)[1]))  # type: ignore[index]
    rows = database.execute(
        "select month::text, p25::float8, p50::float8, p75::float8, ads from market_prices"
        " where family = 'Volkswagen Golf' and year = 0 order by month"
    ).fetchall()
    assert len(rows) >= 4
    drawn = list(zip(plot["months"], plot["p25"], plot["p50"], plot["p75"], plot["ads"], strict=True))
    assert drawn == rows
    assert page.count('<circle class="price"') == len(rows), "the drawing shows the same"
    for listing in ads:
        assert f'href="/ads/{listing}"' in page
    assert f"/?family=Volkswagen+Golf&amp;year_from={year}&amp;year_to={year}" in page
    assert f"model year {year}" in of_year
    stored = database.execute("select count(*) from market_prices where family = 'Volkswagen Golf'").fetchone()
    split = database.execute("select count(*) from market_now where family = 'Volkswagen Golf'").fetchone()
    assert len(found) == 2 + stored[0] + split[0]  # type: ignore[index]


def test_ads_that_are_drawn_are_few_and_evenly_of_all(database: Database) -> None:
    ads = ads_on_board(database, 40)
    for most, expected in ((10, 10), (40, 40), (400, 40), (7, 7)):
        found = database.execute(
            figures.queries("market")["points"],
            {"family": "Volkswagen Golf", "most": most, "least_km": 1, "most_km": 10**6},
        ).fetchall()
        assert len(found) == expected
        places = [ads.index(row[0]) for row in found]
        gaps = [after - before for before, after in pairwise(places)]
        assert max(gaps) - min(gaps) <= 1
        assert {row[4] for row in found} == {40}


def test_only_ads_that_count_are_drawn(database: Database) -> None:
    good, gone, doubtful, double, free = ads_on_board(database, 5)
    database.execute("update normalized_listings set is_comparable = false where listing_id = %s", [doubtful])
    database.execute("update board set is_gone = true, gone_at = now() where listing_id = %s", [gone])
    database.execute("update board set duplicate_of = %s where listing_id = %s", [good, double])
    database.execute("update board set price_eur = null where listing_id = %s", [free])
    assert [point.listing_id for point in reads.points(database, "Volkswagen Golf")] == [good]


def test_figures_that_are_old_say_so(database: Database, settings: Settings) -> None:
    ads_on_board(database, 2)
    market_history(database)
    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        assert "As of" in client.get("/market", headers=ENGLISH).text
        for page in ("/market", GOLF):
            assert "These figures are old" not in client.get(page, headers=ENGLISH).text
        database.execute("update market_state set computed_at = now() - interval '31 hours'")
        for page in ("/market", GOLF):
            assert re.search(r"These figures are old: of .*, 1 day ago", client.get(page, headers=ENGLISH).text)
            assert "Тези числа са стари" in client.get(page).text


def test_a_make_that_was_not_walked_for_a_day_says_so(database: Database, settings: Settings) -> None:
    ads_on_board(database, 2)

    def walked(hours: int) -> None:
        database.execute(
            "insert into ops.listing_walks (source, make_slug, finished_at, is_complete) select distinct source,"
            " make_slug, now() - %s * interval '1 hour', true from listings",
            [hours],
        )
        market_history(database)

    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        walked(31)
        assert "last walked to its end 1 day ago" in client.get(GOLF, headers=ENGLISH).text
        assert "обходена докрай за последно" in client.get(GOLF).text
        walked(5)
        assert "last walked to its end" not in client.get(GOLF, headers=ENGLISH).text


def test_little_data_is_called_so(database: Database, settings: Settings) -> None:
    ads_on_board(database, 2)
    figures.refresh(database)
    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        for page in ("/market", GOLF):
            assert "This is 1 day of data" in client.get(page, headers=ENGLISH).text
            assert "Това е 1 ден данни" in client.get(page).text
        family = client.get(GOLF, headers=ENGLISH).text
        assert "data-market" not in family, "one month needs no cursor"
        assert "no walk of this make was complete" in family
        market_history(database)
        assert "of data" not in client.get(GOLF, headers=ENGLISH).text


def test_without_figures_the_pages_say_what_makes_them(database: Database, settings: Settings) -> None:
    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        page = client.get("/market", headers=ENGLISH)
        assert page.status_code == 200
        assert "vinops deals market" in page.text
        assert rows_of(client.get("/market.csv").text)[1:] == [["# complete", "0"]]
        figures.refresh(database)
        page = client.get("/market", headers=ENGLISH)
        assert "No family is advertised that fits." in page.text


@pytest.mark.parametrize(
    "name",
    ["Unknown", "%00", "..%2f..%2fetc%2fpasswd", "%F0%9F%9A%97", "x" * 300, quote(HOSTILE), "%ff", "a/b/c", "%0a"],
)
def test_a_family_that_is_not_there_is_a_page_that_says_so(database: Database, settings: Settings, name: str) -> None:
    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        for answer in (client.get(f"/market/{name}"), client.get(f"/market/family.csv?family={name}")):
            assert answer.status_code == 404
            assert "<script>alert" not in answer.text


@pytest.mark.parametrize("name", [HOSTILE, "=cmd|' /C calc'!A0", "x/y?y=1#z&a=b;c", "'; drop table listings; --"])
def test_hostile_names_do_no_harm(database: Database, settings: Settings, name: str) -> None:
    ads_on_board(database)
    database.execute("update normalized_listings set family = %s, make = %s", [name[:80], name[:80]])
    database.execute("update board set family = %s", [name[:80]])
    figures.refresh(database)
    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        overview = client.get(f"/market?words={quote(name[:80])}&make={quote(name[:80])}")
        link = re.search(r'<td><a href="(/market/[^"]*)"', overview.text)
        exported = [client.get("/market.csv").text, client.get(f"/market/family.csv?family={quote(name[:80])}").text]
        if name.isprintable():
            assert link is not None
            page = client.get(unescape(link[1]))
            assert page.status_code == 200
            assert "<script>alert" not in page.text
            assert "{{7*7}}" in page.text or "{{" not in name
    assert "<script>alert" not in overview.text
    assert all(not cell.startswith(("=", "+", "-", "@")) for text in exported for row in rows_of(text) for cell in row)


def test_parameters_that_make_no_sense_do_no_harm(database: Database, settings: Settings) -> None:
    ads_on_board(database)
    figures.refresh(database)
    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        for query in ("page=-1", "page=9999999999999999999999", "page=%C2%B2", "words=%00", f"words={'x' * 5000}",
                      "make=%ff", "sort=%00", f"make={quote(HOSTILE)}"):  # fmt: skip
            assert client.get(f"/market?{query}").status_code == 200, query
            assert client.get(f"/market.csv?{query}").status_code == 200, query


def test_months_before_a_time() -> None:
    assert str(reads.months_before(datetime(2026, 11, 30, 12, tzinfo=UTC), 3)) == "2026-08-01"
    assert str(reads.months_before(datetime(2026, 2, 28, tzinfo=UTC), 3)) == "2025-11-01"
    assert str(reads.months_before(datetime(2026, 12, 1, tzinfo=UTC), 12)) == "2025-12-01"
