"""The stage that scores, on a real database: what it reads, what it writes, and that twice is once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from deals.stages import score as scoring
from tests.support.deal_ads import insert_ads
from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg.rows import TupleRow

    from vinops.config import Settings

    Database = psycopg.Connection[TupleRow]


def normalized(database: Database, ids: Sequence[int], *, price: int = 7000, risk: str = "low") -> None:
    """Note these ads as Golfs of one price."""
    database.execute(
        "insert into normalized_listings (listing_id, make, model, price_eur, risk, is_comparable, year, mileage_km,"
        " power_hp) select id, 'Volkswagen', 'Volkswagen Golf', %s, %s, true, 2016, 150000, 105"
        " from unnest(%s::bigint[]) as ads (id)",
        [price, risk, list(ids)],
    )
    database.execute("update listings set title = 'VW Golf 1.6 TDI' where id = any(%s)", [list(ids)])


def valued(database: Database, ids: Sequence[int], *, comparables: int = 34) -> None:
    """Note these ads as worth 10,000 EUR."""
    database.execute(
        "insert into valuations (listing_id, p10, p50, p90, comparables, confidence, method)"
        " select id, 7800, 10000, 12800, %s, 0.9, 'comparables' from unnest(%s::bigint[]) as ads (id)",
        [comparables, list(ids)],
    )


def through(database: Database, settings: Settings, ids: Sequence[int]) -> list[scoring.Score]:
    results = scoring.work(scoring.read(database, ids, settings))
    with database.transaction():
        scoring.write(database, results)
    return results


def rows(database: Database, query: str, *values: Any) -> list[tuple[Any, ...]]:
    return database.execute(query, values).fetchall()  # type: ignore[arg-type]


def test_an_ad_is_scored_with_all_that_is_known_of_it(database: Database, settings: Settings) -> None:
    (listing,) = insert_ads(database, 1)
    normalized(database, [listing])
    database.execute(
        "update normalized_listings set risk = 'medium', risks ="
        """ '[{"flag": "from_america", "level": "medium", "words": "от САЩ"}]'"""
    )
    valued(database, [listing])
    database.execute("insert into model_demand values ('Volkswagen Golf', 40, 12, 12.4)")
    database.execute("update listings set price_eur = 9000")
    database.execute("update listings set price_eur = 8000")
    (result,) = through(database, settings, [listing])
    assert (
        result.reasons
        == [
            "30 % below 34 comparable cars",
            "cheaper than nine of ten",
            "new today",
            "price dropped 11 % today",
            "goes fast: half of them within 12 days",
            "from america: «от САЩ»",
            "below the score of 7.5 that is asked for",
        ]
        or result.is_approved
    )
    assert rows(database, "select listing_id, score::float, is_approved, parts, reasons from scores") == [
        (listing, result.score, result.is_approved, dict(result.parts), list(result.reasons))
    ]


def test_of_each_id_comes_a_score_whatever_is_known(database: Database, settings: Settings) -> None:
    ids = insert_ads(database, 4)
    normalized(database, ids[:2])
    valued(database, ids[:1])
    results = through(database, settings, ids)
    assert sorted(result.listing_id for result in results) == ids
    assert [result.listing_id for result in results if result.is_approved] == ids[:1]
    reasons = {result.listing_id: result.reasons for result in results}
    assert "no estimate of its value" in reasons[ids[1]]
    assert "no price" in reasons[ids[2]]


def test_an_estimate_of_nothing_is_none(database: Database, settings: Settings) -> None:
    (listing,) = insert_ads(database, 1)
    normalized(database, [listing])
    database.execute(
        "insert into valuations (listing_id, comparables, confidence, method) values (%s, 3, 0, 'none')", [listing]
    )
    (result,) = through(database, settings, [listing])
    assert not result.is_approved
    assert "no estimate of its value" in result.reasons
    assert result.parts["price"] == 0


def test_twice_is_once(database: Database, settings: Settings) -> None:
    ids = insert_ads(database, 50)
    normalized(database, ids)
    valued(database, ids)
    through(database, settings, ids)
    before = rows(database, "select *, xmin from scores order by listing_id")
    through(database, settings, list(reversed(ids)))
    assert rows(database, "select *, xmin from scores order by listing_id") == before
    database.execute("update normalized_listings set price_eur = 6900 where listing_id = %s", [ids[7]])
    through(database, settings, ids)
    after = rows(database, "select *, xmin from scores order by listing_id")
    assert [row[0] for row, old in zip(after, before, strict=True) if row != old] == [ids[7]]
    assert after[7][5] > before[7][5]


def test_a_second_ad_of_a_car_is_not_approved_while_the_first_is_there(database: Database, settings: Settings) -> None:
    first, second = insert_ads(database, 2)
    normalized(database, [first, second])
    valued(database, [first, second])
    database.execute("update normalized_listings set duplicate_of = %s where listing_id = %s", [first, second])
    approved = {result.listing_id: result.is_approved for result in through(database, settings, [first, second])}
    assert approved == {first: True, second: False}
    database.execute("update listings set removed_at = now() where id = %s", [first])
    approved = {result.listing_id: result.is_approved for result in through(database, settings, [first, second])}
    assert approved == {first: False, second: True}


def test_a_price_that_went_up_again_did_not_drop(database: Database, settings: Settings) -> None:
    (listing,) = insert_ads(database, 1)
    normalized(database, [listing])
    for price in (9000, 8000, 8500):
        database.execute("update listings set price_eur = %s", [price])
    (facts,) = scoring.read(database, [listing], settings).ads
    assert facts.dropped_by is None


def test_operators_find_the_score_in_the_log(
    database: Database, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    good, dear = insert_ads(database, 2)
    normalized(database, [good])
    normalized(database, [dear], price=11_000)
    valued(database, [good, dear])
    with caplog.at_level(logging.DEBUG, logger="deals"):
        results = {result.listing_id: result for result in through(database, settings, [good, dear])}
    lines = {record.levelname: record.getMessage() for record in caplog.records if record.name == "deals"}
    assert lines["INFO"].startswith(f"Score: {results[good].score} listing={good} approved=yes price=")
    assert 'why="30 % below 34 comparable cars; cheaper than nine of ten; new today"' in lines["INFO"]
    assert lines["DEBUG"].startswith(f"Score: {results[dear].score} listing={dear} approved=no ")


def test_demand_is_measured_by_model(database: Database, settings: Settings) -> None:
    ids = insert_ads(database, 12)
    normalized(database, ids)
    database.execute("update normalized_listings set model = null where listing_id = %s", [ids[0]])
    database.execute("update normalized_listings set duplicate_of = %s where listing_id = %s", [ids[1], ids[2]])
    for day, listing in enumerate(ids[3:8], 8):
        database.execute(
            "update listings set posted_at = now() - make_interval(days => %s), removed_at = now() - interval '1 day'"
            " where id = %s",
            [day, listing],
        )
    database.execute("update listings set removed_at = now() - interval '40 days' where id = %s", [ids[8]])
    database.execute("insert into model_demand values ('Trabant 601', 3, 1, 2.0)")
    scoring.refresh_demand(database)
    demand = rows(database, "select model, active, gone, median_days from model_demand")
    assert demand == [("Volkswagen Golf", 4, 5, pytest.approx(9.0, abs=0.01))]
    scoring.refresh_demand(database)
    assert rows(database, "select model, active, gone, median_days from model_demand") == demand


TOP = dict.fromkeys(("make", "family", "max_price", "from_year", "to_year"))


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ({}, 3),
        ({"make": "volkswagen"}, 3),
        ({"make": "Opel"}, 0),
        ({"family": "golf"}, 3),
        ({"family": "Volkswagen GOLF"}, 3),
        ({"family": "gol"}, 0),
        ({"max_price": 7200}, 2),
        ({"from_year": 1900, "to_year": 2100}, 3),
        ({"from_year": 2100}, 0),
        ({"to_year": 1900}, 0),
    ],
)
def test_the_best_of_a_make_a_family_a_price_or_some_years(
    database: Database, settings: Settings, wanted: dict[str, Any], count: int
) -> None:
    ids = insert_ads(database, 3)
    for number, listing in enumerate(ids):
        normalized(database, [listing], price=6500 + number * 700)
    valued(database, ids)
    through(database, settings, ids)
    with database.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        found = cursor.execute(queries("scoring")["top_deals"], TOP | wanted | {"limit": 10}).fetchall()
    assert len(found) == count


def test_the_best_that_are_there_are_on_top(database: Database, settings: Settings) -> None:
    ids = insert_ads(database, 6)
    for number, listing in enumerate(ids):
        normalized(database, [listing], price=6300 + number * 400)
    valued(database, ids)
    database.execute("update listings set removed_at = now() where id = %s", [ids[0]])
    database.execute("update valuations set confidence = 0.4 where listing_id = %s", [ids[1]])
    scores = {result.listing_id: result.score for result in through(database, settings, ids)}
    assert scores[ids[1]] > scores[ids[2]]
    with database.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        found = cursor.execute(queries("scoring")["top_deals"], TOP | {"limit": 4}).fetchall()
    assert [row["listing_id"] for row in found] == ids[2:3] + ids[1:2] + ids[3:5]
    assert found[0]["difference"] == pytest.approx(-29)
    assert found[0]["is_approved"]
    assert {"title", "year", "price_eur", "p50", "comparables", "confidence", "score", "reasons", "url"} <= set(
        found[0]
    )


def test_all_of_an_ad_is_shown_by_either_id(database: Database, settings: Settings) -> None:
    (listing, other) = insert_ads(database, 2)
    normalized(database, [listing])
    valued(database, [listing])
    through(database, settings, [listing])
    ((ad_id,),) = rows(database, "select ad_id from listings where id = %s", listing)
    with database.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        for wanted in (str(listing), listing, ad_id):
            (found,) = cursor.execute(queries("scoring")["deal"], {"id": wanted}).fetchall()
            assert found["listing_id"] == listing
            assert found["listing"]["ad_id"] == ad_id
            assert found["normalized"]["model"] == "Volkswagen Golf"
            assert found["valuation"]["comparables"] == 34
            assert found["score"] is not None
            assert len(found["prices"]) == 1
            assert found["notifications"] is None
        (bare,) = cursor.execute(queries("scoring")["deal"], {"id": str(other)}).fetchall()
        assert bare["score"] is None
        assert not cursor.execute(queries("scoring")["deal"], {"id": "9" * 30}).fetchall()
