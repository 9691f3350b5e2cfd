"""The lists of the import deals: typed bids, other profiles, and one page behind the other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from deals.lots import terms
from deals.offers import bids, passes
from deals.offers.lists import Lists, both
from deals.offers.ranking import Wanted
from deals.queue import runner
from deals.stages.registry import LOT_STAGES
from tests.support import import_lots

if TYPE_CHECKING:
    from psycopg import Connection

    from deals.offers.ranking import Place
    from vinops.config import Settings

    Database = Connection[Any]

USUAL, CHEAP, FLOOD, CLEAN, OLD = 101, 102, 103, 104, 105


@pytest.fixture
def market(database: Database, settings: Settings) -> Database:
    """A market, and lots that are valued and quoted."""
    import_lots.store_market(database)
    lots: dict[int, dict[str, Any]] = {
        USUAL: {},
        CHEAP: {"buy_now_price": 3_000},
        FLOOD: {"damage": "water/flood"},
        CLEAN: {"title_type": "CT", "title_group": "clean", "high_bid": 500},
        OLD: {"year": 2018, "odometer": 60_000},
    }
    for number, facts in lots.items():
        import_lots.add_lot(database, number, **facts)
    passes.queue_changed(database, settings)
    for stage in LOT_STAGES:
        runner.drain(database, settings, stage)
    return database


def shown(market: Database, settings: Settings, *, profile: str | None = None, **wanted: Any) -> dict[str, list[int]]:
    """Return the numbers of the lots of each list, by these terms."""
    lists = Lists(market, Wanted(**wanted), terms.current(market, settings, profile))
    return {name: [row["lot"] for row in lists.page(50, by_profit=name == "profit").rows] for name in ("profit", "bid")}


def test_a_typed_bid_is_a_price_to_count_with_at_once(market: Database, settings: Settings) -> None:
    assert shown(market, settings) == {"profit": [CHEAP], "bid": [CLEAN, USUAL, OLD]}
    stored = market.execute("select * from lot_quotes order by lot_id").fetchall()
    assert bids.keep(market, USUAL, 2_000)
    assert shown(market, settings) == {"profit": [USUAL, CHEAP], "bid": [CLEAN, OLD]}
    best = both(market, Wanted(), terms.current(market, settings), 1)[0]
    assert (best["lot"], best["bid_usd"], best["bid_kind"]) == (USUAL, 2_000, "typed")
    assert best["profit_low"] < best["profit_eur"] < best["profit_high"]
    assert bids.keep(market, USUAL, 3_500)
    assert shown(market, settings)["profit"] == [CHEAP, USUAL], "the newest counts"
    assert bids.keep(market, CHEAP, 1_000), "and more than a buy-now"
    assert both(market, Wanted(), terms.current(market, settings), 1)[0]["bid_usd"] == 1_000
    assert shown(market, settings, max_bid=900)["profit"] == []
    assert shown(market, settings, to_year=2017)["profit"] == []
    assert bids.forget(market, USUAL)
    assert bids.forget(market, CHEAP)
    assert not bids.forget(market, CHEAP)
    assert shown(market, settings) == {"profit": [CHEAP], "bid": [CLEAN, USUAL, OLD]}
    assert market.execute("select * from lot_quotes order by lot_id").fetchall() == stored, "what is stored stays"


def test_a_bid_that_others_passed_counts_no_more_and_is_named(market: Database, settings: Settings) -> None:
    after = datetime.now(UTC) + timedelta(hours=2)
    assert bids.keep(market, CLEAN, 500)
    assert shown(market, settings)["profit"] == [CLEAN, CHEAP], "the same bid is not above it"
    assert bids.passed(market, after, 10) == []
    market.execute("update lots set high_bid = 501 where lot_external_id = %s", [CLEAN])
    assert shown(market, settings) == {"profit": [CHEAP], "bid": [CLEAN, USUAL, OLD]}
    (row,) = bids.passed(market, after, 10)
    assert (row["lot"], row["bid_usd"], row["high_bid"]) == (CLEAN, 500, 501)
    typed = bids.of_lot(market, CLEAN)
    assert typed is not None
    assert typed.is_passed
    market.execute("update lots set status = 'gone', gone_at = now() where lot_external_id = %s", [CLEAN])
    assert bids.passed(market, after, 10) == []


def test_a_bid_ranks_no_lot_that_something_speaks_against(market: Database, settings: Settings) -> None:
    assert bids.keep(market, FLOOD, 100)
    assert not bids.keep(market, 999, 100)
    market.execute("update lots set sale_at = now() + interval '1 hour' where lot_external_id = %s", [USUAL])
    assert bids.keep(market, USUAL, 100)
    assert bids.keep(market, OLD, 1_000_000)
    assert shown(market, settings) == {"profit": [CHEAP], "bid": [CLEAN]}, "and none that brings a loss"


def test_another_profile_ranks_by_its_own_costs(market: Database, settings: Settings) -> None:
    by = terms.current(market, settings)
    default, other = by.profile.name, "company" if by.profile.name == "private" else "private"
    ours, theirs = (
        {row["lot"]: row for row in both(market, Wanted(), terms.current(market, settings, name), 50)}
        for name in (default, other)
    )
    assert set(ours) == set(theirs) == {CHEAP, USUAL, CLEAN, OLD}
    assert all(ours[lot]["most_bid_usd"] != theirs[lot]["most_bid_usd"] for lot in ours)
    assert all(set(ours[lot]) == set(theirs[lot]) for lot in ours), "the same columns"
    passed = "update lot_quotes set profit_eur = 0, most_bid_usd = 1, is_ranked = false"
    market.execute(passed)
    assert shown(market, settings, profile=other) == {"profit": [CHEAP], "bid": [CLEAN, USUAL, OLD]}
    assert shown(market, settings, profile=default) == {"profit": [], "bid": []}
    assert shown(market, settings, profile=other, max_bid=3_000)["profit"] == [CHEAP]
    market.execute("update lots set high_bid = %s where lot_external_id = %s", [theirs[OLD]["most_bid_usd"], OLD])
    assert OLD not in shown(market, settings, profile=other)["bid"], "the bid has reached the most"


def test_a_profile_whose_costs_are_not_known_ranks_nothing(market: Database, settings: Settings) -> None:
    folder = settings.data_dir / "profiles"
    folder.mkdir(parents=True)
    mine = 'account = "high-volume"\npayment = "secured"\nbid_kind = "pre"\nvat_registered = true\n'
    mine += 'destination = "Varna"\nrepair_factor = 0.45\nmargin_eur = 1000\n'
    (folder / "dealer.toml").write_text(mine, encoding="utf-8")
    assert CLEAN not in shown(market, settings, profile="dealer")["bid"], "no line of its fees"


@pytest.mark.parametrize("profile", [None, "company", "private"])
def test_pages_follow_one_another_without_a_gap(market: Database, settings: Settings, profile: str | None) -> None:
    for number in range(200, 212):
        facts = {"buy_now_price": 2_500} if number % 2 else {}
        import_lots.add_lot(market, number, odometer=50_000 + number % 3 * 10_000, **facts)
    passes.queue_changed(market, settings)
    for stage in LOT_STAGES:
        runner.drain(market, settings, stage)
    for number in (202, 203, 204):
        assert bids.keep(market, number, 2_500)
    lists = Lists(market, Wanted(), terms.current(market, settings, profile))
    for by_profit in (True, False):
        whole = [row["lot"] for row in lists.page(50, by_profit=by_profit).rows]
        found: list[int] = []
        after: Place | None = None
        while True:
            page = lists.page(2, by_profit=by_profit, after=after)
            found += [row["lot"] for row in page.rows]
            if (after := page.next) is None:
                break
        assert found == whole
        assert len(set(whole)) == len(whole) >= 6
