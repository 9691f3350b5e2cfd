"""Typed bids, profiles and pages of the import deals on the site, and on the command line."""

from __future__ import annotations

import csv
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from deals.offers import bids, passes
from deals.queue import runner
from deals.stages.registry import LOT_STAGES
from tests.support import forks, import_lots
from tests.support.sites import running, signed_in
from web.pages import imports

if TYPE_CHECKING:
    from psycopg import Connection

    from vinops.config import Settings

    Database = Connection[Any]

ENGLISH = {"Accept-Language": "en"}
USUAL, CHEAP = 101, 102


@pytest.fixture
def market(database: Database, settings: Settings) -> Database:
    """A market, and lots that are valued and quoted."""
    import_lots.store_market(database)
    import_lots.add_lot(database, USUAL)
    import_lots.add_lot(database, CHEAP, buy_now_price=3_000)
    quoted(database, settings)
    return database


def quoted(database: Database, settings: Settings) -> None:
    """Value and quote what changed."""
    passes.queue_changed(database, settings)
    for stage in LOT_STAGES:
        runner.drain(database, settings, stage)


def lots_of(text: str) -> list[int]:
    """Return the numbers of the ranked lots of a page, in order."""
    return [int(each) for each in re.findall(r'id="lot-(\d+)"', text)]


def test_a_trader_types_a_bid_which_ranks_until_others_pass_it(market: Database, settings: Settings) -> None:
    where = f"/imports/{USUAL}/bid"
    with running(settings) as (site, client):
        signed_in(site, client, market, "viewer")
        assert "Rank by" not in client.get(f"/lots/{USUAL}?bid=2000", headers=ENGLISH).text
        assert client.post(where, data={"bid": "2000"}).status_code == 403
        signed_in(site, client, market, "trader")
        page = client.get(f"/lots/{USUAL}?bid=2000", headers=ENGLISH).text
        assert "Rank by $2\u202f000" in page
        assert '<button name="bid" value="2000">' in page
        assert "at this bid" in page
        answer = client.post(where, data={"bid": "2000", "next": f"/lots/{USUAL}"})
        assert (answer.status_code, answer.headers["location"]) == (303, f"/lots/{USUAL}")
        page = client.get(f"/lots/{USUAL}", headers=ENGLISH).text
        assert "Your bid:</b>" in page or "Your bid: <b>$2\u202f000</b>" in page
        assert "<dt>your bid</dt>" in page
        assert re.search(r"<bdi>trader\d+</bdi>", page), "who typed it"
        assert "Rank by" not in page
        ranked = client.get("/imports", headers=ENGLISH).text
        assert lots_of(ranked) == [USUAL, CHEAP]
        assert "your bid <b>$2\u202f000</b>" in ranked
        assert "Your bids that were passed" not in ranked
        assert "вашата оферта" in client.get("/imports").text
        market.execute("update lots set high_bid = 2100 where lot_external_id = %s", [USUAL])
        ranked = client.get("/imports", headers=ENGLISH).text
        assert lots_of(ranked) == [CHEAP, USUAL]
        assert "your bid <b>" not in ranked
        assert "Your bids that were passed" in ranked
        assert "bid now $2\u202f100" in ranked
        page = client.get(f"/lots/{USUAL}", headers=ENGLISH).text
        assert "passed: the bid now is $2\u202f100" in page
        assert "<dt>your bid</dt>" not in page
        client.post(where, data={"bid": ""})
        assert "Your bid:" not in client.get(f"/lots/{USUAL}", headers=ENGLISH).text
        for text in ("0", "-5", "2000,50", "x", "1" * 5000, "9999999"):
            assert client.post(where, data={"bid": text}).status_code == 400, text
        assert client.post("/imports/999/bid", data={"bid": "5"}).status_code == 404


def test_the_ranking_follows_the_profile_and_so_do_its_links(market: Database, settings: Settings) -> None:
    with running(settings) as (site, client):
        signed_in(site, client, market, "viewer")
        first, company, private, wrong = (
            client.get(f"/imports{query}", headers=ENGLISH).text
            for query in ("", "?profile=company", "?profile=private", "?profile=mine%3Cb%3E")
        )
        other, name = (private, "private") if first == company or "<option value=\"company\" selected" in first else (
            company, "company")  # fmt: skip
        assert f'<option value="{name}" selected' in other
        assert lots_of(other) == lots_of(first) == lots_of(wrong) == [CHEAP, USUAL]
        most = re.compile(r'bid up to <b class="amount">\$([^<]*)')
        assert most.findall(other) != most.findall(first)
        assert f'href="/lots/{CHEAP}?profile={name}"' in other
        assert f'href="/imports.csv?profile={name}"' in other
        assert "it is none of company, private" in wrong
        rows = client.get(f"/imports.csv?profile={name}").text
        default = client.get("/imports.csv").text
        assert client.get("/imports.csv?profile=nobody").status_code == 400, "not those of the default one"
    assert rows != default
    assert rows.count("\n") == default.count("\n")


def test_lists_have_pages(market: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(103, 108):
        import_lots.add_lot(market, number)
    import_lots.add_lot(market, 108, buy_now_price=3_500)
    quoted(market, settings)
    monkeypatch.setattr(imports, "SHOWN", 1)
    with running(settings) as (site, client):
        signed_in(site, client, market, "viewer")
        first = client.get("/imports?make=toyota", headers=ENGLISH).text
        assert lots_of(first) == [CHEAP, USUAL]
        profit, bid = re.findall(r'rel="next" href="([^"]*)"', first)
        second = client.get(profit.replace("&amp;", "&"), headers=ENGLISH).text
        assert lots_of(second) == [108]
        assert 'href="/imports?make=Toyota"' in second, "back to the beginning"
        assert 'rel="next"' not in second
        found, where = [], bid
        while where:
            page = client.get(where.replace("&amp;", "&"), headers=ENGLISH).text
            found += lots_of(page)
            where = next(iter(re.findall(r'rel="next" href="([^"]*)"', page)), "")
        assert found == [103, 104, 105, 106, 107]
        wrong = client.get("/imports?by=bid&after=x", headers=ENGLISH).text
        assert "it is no place in this list: it begins anew" in wrong
        assert lots_of(wrong) == [CHEAP, USUAL]


def test_a_bid_is_kept_and_removed_on_the_command_line(market: Database, environment: dict[str, str]) -> None:
    def landed(*arguments: str) -> Any:
        done = forks.vinops(environment, "landed", *arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    looked = landed("show", str(USUAL), "--bid", "2000")
    assert (looked["bid_usd"], looked["bid_kind"], looked["kept_bid_usd"]) == (2000, "typed", None)
    assert [row["lot"] for row in landed("top")] == [CHEAP, USUAL], "looking keeps nothing"
    assert landed("show", str(USUAL), "--bid", "2000", "--keep")["kept_bid_usd"] == 2000
    best = landed("top")[0]
    assert (best["lot"], best["bid_kind"], best["bid_usd"]) == (USUAL, "typed", 2000)
    assert "your bid $2,000, bid up to $" in forks.vinops(environment, "landed", "top").stdout
    assert "your bid     2,000 USD" in forks.vinops(environment, "landed", "show", str(USUAL)).stdout
    other = {row["lot"]: row["most_bid_usd"] for row in landed("top", "--profile", "company")}
    ours = {row["lot"]: row["most_bid_usd"] for row in landed("top", "--profile", "private")}
    assert set(other) == set(ours) == {USUAL, CHEAP}
    assert other != ours
    market.execute("update lots set high_bid = 2100 where lot_external_id = %s", [USUAL])
    passed = landed("show", str(USUAL))
    assert (passed["is_kept_bid_passed"], passed["bid_kind"]) == (True, "most")
    assert landed("show", str(USUAL), "--forget")["kept_bid_usd"] is None
    for wrong in (("--keep",), ("--forget", "--bid", "5"), ("--bid", "0", "--keep")):
        assert forks.vinops(environment, "landed", "show", str(USUAL), *wrong).returncode == 2
    assert forks.vinops(environment, "landed", "show", "999", "--bid", "5", "--keep").returncode == 1
    done = forks.vinops(environment, "landed", "top", "--profile", "mine")
    assert (done.returncode, done.stderr) == (1, "vinops: there is no profile mine: use one of company, private\n")


def test_the_csv_has_each_figure_in_its_column_also_beside_a_typed_bid(
    market: Database, environment: dict[str, str]
) -> None:
    assert bids.keep(market, USUAL, 2_000)
    rows = {row["lot"]: row for row in json.loads(forks.vinops(environment, "landed", "top", "--json").stdout)}
    table = list(csv.DictReader(forks.vinops(environment, "landed", "top", "--csv").stdout.splitlines()))
    assert [int(row["lot"]) for row in table] == [USUAL, CHEAP]
    for row in table:
        same = {
            name: str(rows[int(row["lot"])][name]) for name in ("p10", "p50", "most_bid_usd", "bid_usd", "profit_eur")
        }
        assert {name: row[name] for name in same} == same
    nothing = forks.vinops(environment, "landed", "top", "--csv", "--state", "AK").stdout.splitlines()
    assert nothing == [",".join(table[0])], "the header of an empty table, too"


def test_lots_whose_cost_is_not_known_are_counted_by_part_and_state(
    market: Database, settings: Settings, environment: dict[str, str]
) -> None:
    for number, facts in enumerate(({"state": "KS"}, {"state": "KS"}, {"state": "AR"}), 103):
        import_lots.add_lot(market, number, yard_name=f"{facts['state']} - SOMEWHERE", **facts)
    unknown = {"title_state": "WI", "title_type": "BP", "title_group": "other"}
    import_lots.add_lot(market, 106, state="NV", yard_name="NV - RENO", **unknown)
    quoted(market, settings)
    text = "not ranked, as a part of the cost is not known: 3 lots; `vinops landed funnel` says which"
    assert forks.vinops(environment, "landed", "top").stdout.splitlines()[-1] == text
    found = json.loads(forks.vinops(environment, "landed", "funnel", "--json").stdout)["missing"]
    assert found == [
        {"part": "road", "state": "KS", "lots": 2},
        {"part": "road", "state": "AR", "lots": 1},
    ], "not of lots that something else keeps out"
    shown = forks.vinops(environment, "landed", "funnel").stdout
    assert "parts of the cost that are not known" in shown
    nothing = forks.vinops(environment, "landed", "top", "--state", "AK")
    assert "no lot of the ranking is like that: remove a filter" in nothing.stderr
