"""The stage `price` on a database: who is compared with whom, what is written, what is left alone, what it costs."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import psycopg
import pytest

from deals.estimate import candidates, model as price_model, near
from deals.estimate.cars import Row
from deals.stages import price as pricing
from tests.support import priced_cars
from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg.rows import TupleRow

    from vinops.config import Settings

    Database = psycopg.Connection[TupleRow]

CHANCE = random.Random(7)
ASKED = priced_cars.ad(
    1, CHANCE, model="Kola 100", family="Kola 1 Series", make="Kola", year=2015, month=6, mileage_km=140_000,
    power_hp=105, fuel="diesel", gearbox="manual", price_eur=6_000.0,
)  # fmt: skip


def like_it(count: int, first: int = 10, **facts: Any) -> list[Row]:
    """Ads of cars like the one asked for: at most two years older or newer, 5,600 to 6,400 EUR for one of its year."""
    rows = []
    for number in range(first, first + count):
        years = (number % 5) - 2
        about = {
            "listing_id": number,
            "car": number,
            "year": 2015 + years,
            "mileage_km": 140_000 + 997 * (number - first - count // 2),
            "price_eur": (5_600.0 + 100 * (number % 9)) * 1.105**years,
        }
        rows.append(ASKED._replace(**(about | facts)))
    return rows


def price(database: Database, settings: Settings, *listing_ids: int) -> list[pricing.Valuation]:
    """Take ads through the stage in one batch, as the runner does."""
    results = pricing.work(pricing.read(database, listing_ids, settings))
    with database.transaction():
        pricing.write(database, results)
    return results


def valuation(database: Database, listing_id: int) -> tuple[Any, ...]:
    row = database.execute(
        "select p10::int, p50::int, p90::int, comparables, confidence, method, model_version, details from valuations "
        "where listing_id = %s",
        [listing_id],
    ).fetchone()
    assert row is not None
    return row


def test_an_ad_is_worth_what_cars_like_it_cost(database: Database, settings: Settings) -> None:
    priced_cars.store(database, [ASKED, *like_it(20)])
    price(database, settings, 1)
    p10, p50, p90, comparables, confidence, method, version, details = valuation(database, 1)
    assert p50 == pytest.approx(6_000, rel=0.03)
    assert p10 < p50 < p90
    assert (comparables, method, version) == (20, "comparables", None)
    assert confidence > 0.5
    assert details["step"] == "same model, fuel and gearbox, at most 3 years apart"
    assert details["p50"] == {"comparables": p50}
    assert len(details["comparables"]) == 12
    assert set(details["comparables"]) <= set(range(10, 30))
    assert details["model"] == "no model has been trained yet"


def test_the_ad_itself_and_ads_of_its_car_are_no_comparables(database: Database, settings: Settings) -> None:
    """Whichever of them is asked for: the first ad, or one that shows the same car again."""
    absurd = {"price_eur": 12_000.0}
    again = [ASKED._replace(listing_id=number, car=1, **absurd) for number in (2, 3)]
    priced_cars.store(database, [ASKED._replace(**absurd), *again, *like_it(20)])
    price(database, settings, 1, 2, 3)
    for listing_id in (1, 2, 3):
        row = valuation(database, listing_id)
        assert row[1] == pytest.approx(6_000, rel=0.03)
        assert (row[3], set(row[7]["comparables"]) & {1, 2, 3}) == (20, set())
    database.execute("update normalized_listings set duplicate_of = null")
    price(database, settings, 1)
    assert set(valuation(database, 1)[7]["comparables"]) >= {2, 3}, "the links are what kept them out"


def test_ads_that_say_nothing_of_prices_are_no_comparables(database: Database, settings: Settings) -> None:
    priced_cars.store(database, [ASKED, *like_it(9), *like_it(9, 100)])
    database.execute("update normalized_listings set is_comparable = false where listing_id >= 100")
    price(database, settings, 1)
    assert valuation(database, 1)[3] == 9


def test_an_ad_that_is_gone_still_says_what_cars_cost(database: Database, settings: Settings) -> None:
    priced_cars.store(database, [ASKED, *like_it(9)])
    database.execute("update listings set removed_at = now() where id > 1")
    price(database, settings, 1)
    assert valuation(database, 1)[3] == 9


def test_other_models_of_the_family_help_where_there_are_too_few(database: Database, settings: Settings) -> None:
    priced_cars.store(database, [ASKED, *like_it(3), *like_it(12, 100, model="Kola 120")])
    price(database, settings, 1)
    row = valuation(database, 1)
    assert row[3] > 8
    assert row[7]["step"] == "same family, at most 3 years apart"


@pytest.mark.parametrize(
    "unknown",
    [{"model": None, "family": None}, {"year": None}, {"model": "Kola 999", "family": "Kola 9 Series"}],
    ids=["model", "year", "nothing like it"],
)
def test_an_ad_that_nothing_is_known_of_has_no_estimate(
    database: Database, settings: Settings, unknown: dict[str, Any]
) -> None:
    priced_cars.store(database, [ASKED._replace(**unknown), *like_it(20)])
    price(database, settings, 1)
    assert valuation(database, 1)[:6] == (None, None, None, 0, 0, "none")


def test_an_ad_without_mileage_power_or_price_is_estimated(database: Database, settings: Settings) -> None:
    little = ASKED._replace(mileage_km=None, power_hp=None, month=None, price_eur=None, body=None)
    priced_cars.store(database, [little, *like_it(20)])
    price(database, settings, 1)
    assert valuation(database, 1)[1] == pytest.approx(6_000, rel=0.1)


def test_an_ad_that_is_not_normalized_any_more_is_worth_nothing_known(database: Database, settings: Settings) -> None:
    priced_cars.store(database, [ASKED, *like_it(9)])
    database.execute("delete from normalized_listings where listing_id = 1")
    assert [each.listing_id for each in price(database, settings, 1, 10)] == [1, 10]
    assert valuation(database, 1)[5] == "none"


def test_what_is_as_it_was_is_not_written_again(database: Database, settings: Settings) -> None:
    priced_cars.store(database, [ASKED, *like_it(20)])
    ids = [1, *range(10, 30)]
    price(database, settings, *ids)
    before = database.execute("select listing_id, xmin, valued_at from valuations order by 1").fetchall()
    price(database, settings, *ids)
    assert database.execute("select listing_id, xmin, valued_at from valuations order by 1").fetchall() == before
    database.execute("update normalized_listings set price_eur = price_eur * 2 where listing_id > 1")
    price(database, settings, 1)
    assert valuation(database, 1)[1] == pytest.approx(12_000, rel=0.05)


def test_the_company_of_an_ad_does_not_change_what_it_is_worth(database: Database, settings: Settings) -> None:
    priced_cars.store(database, priced_cars.market(400))
    together = {each.listing_id: each for each in price(database, settings, *range(1, 401))}
    for listing_id in (5, 50, 350):
        assert price(database, settings, listing_id) == [together[listing_id]]


def test_nothing_to_price(database: Database, settings: Settings) -> None:
    assert price(database, settings) == []


def test_all_of_a_batch_is_asked_for_at_once(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many ads: no statement an ad."""
    priced_cars.store(database, priced_cars.market(300))
    asked: list[str] = []
    execute = database.execute

    def noting(query: Any, *args: Any, **options: Any) -> Any:
        asked.append(str(query))
        return execute(query, *args, **options)

    monkeypatch.setattr(database, "execute", noting)
    price(database, settings, *range(1, 301))
    assert len(asked) <= 6


def pages(database: Database, query: str, ids: Sequence[int], count: int) -> int:
    """Return how many pages the database reads for candidates of these ads."""
    read = database.execute(queries("pricing")["read_cars"], {"listing_ids": list(ids)})
    about = near.asked([Row(*row) for row in read]) | {"count": count}
    with database.transaction():
        database.execute(queries("pricing")["walk_indexes"])
        explained = f"explain (analyze, buffers, format json) {queries('pricing')[query]}"
        row = database.execute(explained.encode(), about).fetchone()
    assert row is not None
    plan = row[0][0]["Plan"]
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


@pytest.mark.parametrize(("query", "count"), [("near_cars", candidates.NEAREST), ("near_families", candidates.FAMILY)])
def test_an_ad_costs_the_same_among_ten_times_as_many(database: Database, query: str, count: int) -> None:
    """Pages, as they are the same on any machine, whatever else it does."""
    rows = priced_cars.market(20_000)
    priced_cars.store(database, rows[:2_000])
    few = pages(database, query, range(1, 201), count)
    priced_cars.store(database, rows[2_000:])
    assert pages(database, query, range(1, 201), count) < 1.3 * few


def test_a_model_that_is_used_makes_the_price(database: Database, settings: Settings) -> None:
    priced_cars.store(database, priced_cars.market(1_200))
    database.execute("update normalized_listings set model = 'Kola 999', family = 'Kola 9 Series' where listing_id = 7")
    trained = price_model.train(database, settings)
    assert trained["is_used"]
    price(database, settings, *range(1, 101))
    methods = dict(database.execute("select method, count(*) from valuations group by method").fetchall())
    assert methods["model"] == 1
    assert methods["blend"] > 50
    p10, p50, p90, _, confidence, method, version, details = valuation(database, 7)
    assert (method, version, details["p50"]) == ("model", trained["version"], {"model": p50})
    assert confidence == pytest.approx(1 / (1 + (np.log(p90 / p10) / 0.64) ** 2), abs=0.01), "by its width alone"
