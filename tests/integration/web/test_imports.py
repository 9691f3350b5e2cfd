"""The import deals on the site: the ranking, its filters, the quote of a lot, and what a lot went for."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from deals.offers import passes
from deals.queue import runner
from deals.stages.registry import LOT_STAGES
from tests.support import import_lots
from tests.support.sites import running, signed_in
from vinops.filters import UnknownValueError
from web import quotes

if TYPE_CHECKING:
    from psycopg import Connection

    from vinops.config import Settings

    Database = Connection[Any]

ENGLISH = {"Accept-Language": "en"}
USUAL, FLOOD, CHEAP, KANSAS, EVIL = 101, 102, 103, 104, 105


@pytest.fixture
def market(database: Database, settings: Settings) -> Database:
    """A market, and lots that are valued and quoted."""
    import_lots.store_market(database)
    lots: dict[int, dict[str, Any]] = {
        USUAL: {},
        FLOOD: {"secondary_damage": "water/flood"},
        CHEAP: {"buy_now_price": 3_000},
        KANSAS: {"state": "KS", "yard_name": "KS - KANSAS CITY"},
        EVIL: {"buy_now_price": 4_000, "yard_name": "<script>alert(1)</script>\u202eevil"},
    }
    for number, facts in lots.items():
        import_lots.add_lot(database, number, **facts)
    passes.queue_changed(database, settings)
    for stage in LOT_STAGES:
        runner.drain(database, settings, stage)
    return database


def lots_of(text: str) -> list[int]:
    """Return the numbers of the ranked lots of a page, in order."""
    return [int(each) for each in re.findall(r'id="lot-(\d+)"', text)]


def test_lots_are_ranked_with_range_and_chance_of_a_loss_and_the_blocked_are_folded(
    market: Database, settings: Settings
) -> None:
    with running(settings) as (site, client):
        signed_in(site, client, market, "viewer")
        english = client.get("/imports", headers=ENGLISH).text
        bulgarian = client.get("/imports").text
    assert lots_of(english) == [CHEAP, EVIL, USUAL], "those with a price first; none that is blocked or incomplete"
    assert "With a price to count with" in english
    assert len(re.findall(r"[\d.]+ % chance of a loss", english)) == 3
    assert re.search(r"<details[^>]*blocked.*water/flood", english, re.DOTALL)
    assert "вероятност за загуба" in bulgarian
    assert "<script>alert" not in english
    assert "\u202e" not in english


def test_filters_narrow_the_ranking_and_name_what_they_do_not_understand(market: Database, settings: Settings) -> None:
    with running(settings) as (site, client):
        signed_in(site, client, market, "viewer")

        def get(query: str) -> str:
            return client.get(f"/imports?{query}", headers=ENGLISH).text

        assert lots_of(get("make=toyota&model=toyota+rav4&fuel=gasoline&from_year=2019&state=nj")) == [
            CHEAP,
            EVIL,
            USUAL,
        ]
        cheap = lots_of(get("max_bid=3500"))
        assert CHEAP in cheap
        assert EVIL not in cheap
        assert lots_of(get("make=ford")) == []
        assert "No lot is ranked" in get("make=ford")
        wrong = get("make=xyzzy&fuel=steam&from_year=ten&max_bid=99999999&state=Ohio&x=<b>")
        assert len(re.findall(r'class="error" role="alert"', wrong)) == 6
        assert lots_of(wrong) == [CHEAP, EVIL, USUAL], "what is not understood asks for nothing"
        assert "<b>x=&lt;b&gt;</b>" in wrong


def test_the_ranking_is_a_csv_that_runs_nothing(market: Database, settings: Settings) -> None:
    market.execute("update lots set yard_name = 'TX;=1+1' where lot_external_id = %s", [USUAL])
    market.execute("update lots set yard_name = '=1+1' where lot_external_id = %s", [EVIL])
    with running(settings) as (site, client):
        signed_in(site, client, market, "viewer")
        answer = client.get("/imports.csv")
        empty = client.get("/imports.csv?make=ford")
    *rows, end = csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig")))
    assert [int(row["lot"]) for row in rows] == [CHEAP, EVIL, USUAL]
    assert (rows[1]["yard"], rows[2]["yard"]) == ("'=1+1", "TX;'=1+1")
    assert (end["lot"], end["model"]) == ("# complete", "3")
    assert empty.content.decode("utf-8-sig").splitlines()[1:] == ["# complete,0"]


def test_the_quote_of_a_lot_is_itemised_with_sources_and_follows_bid_and_profile(
    market: Database, settings: Settings
) -> None:
    with running(settings) as (site, client):
        signed_in(site, client, market, "viewer")
        usual = client.get(f"/imports/{USUAL}", headers=ENGLISH).text
        typed = client.get(f"/imports/{USUAL}?bid=5000", headers=ENGLISH).text
        company = client.get(f"/imports/{USUAL}?bid=%245,000&profile=company", headers=ENGLISH).text
        wrong = client.get(f"/imports/{USUAL}?bid=1e9&profile=mine", headers=ENGLISH)
        kansas = client.get(f"/imports/{KANSAS}?bid=5000", headers=ENGLISH).text
    assert re.search(r"<th scope=\"row\">buyer fee</th><td class=\"n\">775\.00 USD</td>", typed)
    assert 'title="Copart&#39;s fee pages, effective 2025-07-15' in typed, "the source on hover"
    assert re.search(r"<dt>buyer fee</dt><dd[^>]*><bdi>non-licensed, non-clean, secured", typed), "and as text"
    assert "Bid up to" in usual
    assert "at the most" in usual
    assert "at this bid" in typed
    assert "VAT deducted" in company
    assert "VAT deducted" not in typed
    assert 'value="5000"' in company
    assert wrong.status_code == 200
    assert "There is no such profile." in wrong.text or "A bid is a whole number of dollars" in wrong.text
    assert "Incomplete: there is no total." in kansas
    assert "road to the port: no line of the tariffs" in kansas
    assert "The largest assumptions:" in usual


def test_a_blocked_lot_says_what_speaks_against_it(market: Database, settings: Settings) -> None:
    with running(settings) as (site, client):
        signed_in(site, client, market, "viewer")
        text = client.get(f"/imports/{FLOOD}", headers=ENGLISH).text
        assert client.get("/imports/999").status_code == 404
        assert client.get(f"/imports/{1 << 70}").status_code == 404
    assert "<b>damage</b>: <bdi>water/flood" in text
    assert "it is not quoted" in text


def test_traders_note_what_a_lot_went_for(market: Database, settings: Settings) -> None:
    where = f"/imports/{USUAL}/result"
    with running(settings) as (site, client):
        signed_in(site, client, market, "viewer")
        assert "It went for" not in client.get(f"/imports/{USUAL}", headers=ENGLISH).text
        assert client.post(where, data={"price": "4850", "outcome": "won"}).status_code == 403
        signed_in(site, client, market, "trader")
        assert "It went for, USD" in client.get(f"/imports/{USUAL}", headers=ENGLISH).text
        answer = client.post(where, data={"price": "4,850", "outcome": "lost", "next": "//evil.example"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        page = client.get(f"/lots/{USUAL}", headers=ENGLISH).text
        assert "Noted: lost, it went for 4\u202f850\u00a0$" in page
        assert re.search(r"<bdi>trader\d+</bdi>", page), "who noted it"
        assert "Отбелязано" in client.get(f"/imports/{USUAL}").text
        for form in (
            {"price": "4850,50", "outcome": "won"},
            {"price": "1" * 5000, "outcome": "won"},
            {"price": "0", "outcome": "won"},
            {"price": "x", "outcome": "won"},
            {"price": "5"},
            {},
        ):
            assert client.post(where, data=form or {"a": "b"}).status_code == 400
        assert client.post("/imports/999/result", data={"price": "5", "outcome": "won"}).status_code == 404
    rows = market.execute(
        "select lot_external_id, price, is_won, users.role from lot_results join lots on lots.id = lot_id"
        " join ops.users on users.id = user_id"
    ).fetchall()
    assert rows == [(USUAL, 4850, False, "trader")]


@pytest.mark.parametrize("text", ["5000", "5,000", "5 000", "5.000", "5\u202f000", "$5,000", " 5000 $ "])
def test_a_bid_is_read_as_people_write_it(text: str) -> None:
    assert quotes.dollars(text, 9_000) == 5_000


@pytest.mark.parametrize("text", ["50,00", "5000.5", "5,00", "1" * 5000, "-5", "٥", "", "$"])
def test_cents_are_no_dollars(text: str) -> None:
    with pytest.raises(UnknownValueError):
        quotes.dollars(text, 10**9)


def test_the_import_deals_are_in_the_words_of_the_reader(market: Database, settings: Settings) -> None:
    with running(settings) as (site, client):
        signed_in(site, client, market, "viewer")
        for path in ("/imports", f"/imports/{USUAL}", f"/lots/{USUAL}"):
            assert "<bdi>minor dents, scratches</bdi>" in client.get(path, headers=ENGLISH).text, path
            assert "minor dent" not in client.get(path).text, path


def test_without_a_rate_and_with_a_broken_tariff_the_page_says_so(
    market: Database, settings: Settings, tmp_path: Any
) -> None:
    (tmp_path / "own.toml").write_text("[[lines]]\nname = 'x'\n")
    with running(replace(settings, tariffs_dir=tmp_path)) as (site, client):
        signed_in(site, client, market, "viewer")
        assert "line “x”: kind is missing" in client.get(f"/imports/{USUAL}", headers=ENGLISH).text
    market.execute("delete from exchange_rates")
    with running(settings) as (site, client):
        signed_in(site, client, market, "viewer")
        assert "There is no exchange rate yet" in client.get(f"/imports/{USUAL}", headers=ENGLISH).text
