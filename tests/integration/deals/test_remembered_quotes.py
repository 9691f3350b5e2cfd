"""Quotes by another profile are computed once: again only for what is no longer so."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from deals.lots import terms
from deals.offers import bids, lists, passes, remembered
from deals.offers.lists import Lists
from deals.offers.ranking import Wanted
from deals.offers.remembered import Remembered
from deals.queue import runner
from deals.stages import quote as quoting
from deals.stages.registry import LOT_STAGES
from tests.support import import_lots
from vinops.db import database as databases

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from deals.lots.terms import Terms
    from vinops.config import Settings

    Database = Connection[Any]

LOTS = 5


@pytest.fixture
def market(database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A market, and lots that are valued and quoted; nothing is remembered yet."""
    import_lots.store_market(database)
    for number in range(1, LOTS + 1):
        import_lots.add_lot(database, number, buy_now_price=2_000 + 100 * number)
    passes.queue_changed(database, settings)
    for stage in LOT_STAGES:
        runner.drain(database, settings, stage)
    monkeypatch.setattr(lists, "REMEMBERED", Remembered())
    return database


@pytest.fixture
def quoted(market: Database, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ids of the lots that are quoted, in order."""
    found: list[int] = []
    real = quoting.read_by

    def read_by(connection: Database, lot_ids: Sequence[int], by: Terms) -> Any:
        found.extend(lot_ids)
        return real(connection, lot_ids, by)

    monkeypatch.setattr(quoting, "read_by", read_by)
    return found


def company(market: Database, settings: Settings) -> Terms:
    return terms.current(market, settings, "company")


def shown(market: Database, by: Terms, **wanted: Any) -> list[Any]:
    """Return the figures of the lots with a price to count with."""
    rows = Lists(market, Wanted(**wanted), by).page(50, by_profit=True).rows
    return [(row["lot"], row["bid_usd"], row["profit_eur"], row["landed_eur"]) for row in rows]


def test_a_second_page_quotes_no_lot(market: Database, settings: Settings, quoted: list[int]) -> None:
    by = company(market, settings)
    first = shown(market, by, to_year=2018)
    assert first == []
    assert quoted == [], "only lots that are asked for"
    first = shown(market, by)
    assert len(first) == len(quoted) == LOTS
    assert shown(market, by) == first
    assert shown(market, by, from_year=2019) == first
    assert len(quoted) == LOTS


def test_another_value_is_quoted_anew(market: Database, settings: Settings, quoted: list[int]) -> None:
    by = company(market, settings)
    before = shown(market, by)
    statement = "update lot_values set p20 = p20 - 100, valued_at = now() where lot_id = %s"
    market.execute(statement, [quoted[0]])
    after = shown(market, by)
    assert quoted[LOTS:] == [quoted[0]]
    assert len(set(after) - set(before)) == 1
    market.execute("update lots set status = 'gone', gone_at = now() where id = %s", [quoted[1]])
    assert len(shown(market, by)) == LOTS - 1, "what a lot is now is not remembered"


def test_a_typed_bid_counts_at_once_and_leaves_at_once(market: Database, settings: Settings, quoted: list[int]) -> None:
    by = company(market, settings)
    before = shown(market, by)
    assert bids.keep(market, 3, 1_000)
    assert shown(market, by)[0][:2] == (3, 1_000)
    assert bids.forget(market, 3)
    assert shown(market, by) == before
    assert len(quoted) == LOTS + 1


def test_other_terms_have_quotes_of_their_own(market: Database, settings: Settings, quoted: list[int]) -> None:
    by = company(market, settings)
    assert by.rates is not None
    dear = replace(by, rates=replace(by.rates, usd=by.rates.usd - by.rates.usd / 10))
    ours, theirs = shown(market, by), shown(market, dear)
    assert all(mine[2] > other[2] for mine, other in zip(ours, theirs, strict=True))
    assert shown(market, by) == ours
    assert len(quoted) == 2 * LOTS
    shown(market, replace(by, profile=replace(by.profile, name="third")))
    assert shown(market, by) == ours
    assert len(quoted) == 3 * LOTS, "those that were asked for last are kept"
    shown(market, dear)
    assert len(quoted) == 4 * LOTS


def test_they_are_forgotten_after_an_hour(
    market: Database, settings: Settings, quoted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    by = company(market, settings)
    shown(market, by)
    monkeypatch.setattr(remembered, "KEPT_SECONDS", 0.0)
    shown(market, by)
    assert len(quoted) == 2 * LOTS


def test_a_page_that_is_cut_off_leaves_what_it_did(
    market: Database, settings: Settings, quoted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    by, real = company(market, settings), quoting.work
    monkeypatch.setattr(remembered, "BATCH", 2)

    def work(batch: Any) -> Any:
        if len(quoted) > 2:
            raise psycopg.errors.QueryCanceled("canceling statement due to statement timeout")
        return real(batch)

    monkeypatch.setattr(quoting, "work", work)
    with pytest.raises(psycopg.errors.QueryCanceled):
        shown(market, by)
    monkeypatch.setattr(quoting, "work", real)
    quoted.clear()
    assert len(shown(market, by)) == LOTS
    assert len(quoted) == LOTS - 2


def test_two_pages_at_once_quote_each_lot_once(market: Database, settings: Settings, quoted: list[int]) -> None:
    by = company(market, settings)
    together = threading.Barrier(2)
    found: list[Any] = []

    def page() -> None:
        with databases.connect(settings, application="tests", autocommit=True) as connection:
            together.wait(timeout=60)
            found.append(shown(connection, by))

    threads = [threading.Thread(target=page) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(timeout=60)
    assert len(found) == 2
    assert found[0] == found[1]
    assert len(found[0]) == len(quoted) == LOTS
