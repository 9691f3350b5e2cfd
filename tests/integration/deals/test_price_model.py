"""The price model: trained once, measured, stored as bytes that run nothing, used while it is young and as good."""

from __future__ import annotations

import json
import logging
import zipfile
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import psycopg
import pytest

from deals.estimate import candidates as market, comparables, learned, model as price_model
from deals.estimate.cars import of_rows
from deals.stages import price as pricing
from tests.support import priced_cars
from vinops.db import database as db

if TYPE_CHECKING:
    from psycopg.rows import TupleRow

    from deals.estimate.cars import Cars
    from deals.estimate.learned import Fitted
    from vinops.config import Settings

    Database = psycopg.Connection[TupleRow]

CARS = of_rows(priced_cars.market(1_100))


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    with learned.one_thread():
        return learned.fit(CARS)


@pytest.fixture(scope="module")
def small() -> Fitted:
    """A model of few trees, for what does not depend on how well it says: a whole one takes a second to store and
    another to read."""
    regressor = learned._regressor
    with learned.one_thread(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(learned, "_regressor", lambda **options: regressor(**options | {"max_iter": 8}))
        return learned.fit(CARS)


@pytest.fixture(scope="module")
def errors(small: Fitted) -> dict[str, Any]:
    return price_model.measure(CARS, small)


@pytest.fixture(scope="module")
def body(small: Fitted) -> bytes:
    return price_model.dumps(small.model)


@pytest.fixture
def stored(database: Database, errors: dict[str, Any], body: bytes) -> int:
    """A model that is used, and a market that it was trained on; returns its version."""
    priced_cars.store(database, priced_cars.market(300))
    return store(database, body, errors)


def store(database: Database, body: bytes | None, errors: dict[str, Any], *, is_used: bool = True) -> int:
    row = database.execute(
        "insert into ops.price_models (ads, errors, is_used, reason, body) values (1, %s, %s, 'measured', %s) "
        "returning version",
        [json.dumps(errors), is_used, body],
    ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def fitted_before(small: Fitted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the model that is there for the one that is trained on CARS: fitting is seconds of processor."""

    def fit(cars: Cars) -> Fitted:
        assert np.array_equal(cars.log_price, CARS.log_price)
        return small

    monkeypatch.setattr(learned, "fit", fit)


def methods(database: Database, settings: Settings) -> set[str]:
    return {each.method for each in pricing.work(pricing.read(database, range(1, 201), settings))}


def test_a_model_that_was_stored_says_what_it_said(fitted: Fitted) -> None:
    body = price_model.dumps(fitted.model)
    asked = CARS.take(np.arange(50))
    estimates = comparables.estimate(asked, market.find(asked, CARS))
    with learned.one_thread():
        read = price_model.loads(body)
        assert np.array_equal(read.predict(asked, estimates), fitted.model.predict(asked, estimates))
    assert len(body) < 2_000_000


def test_four_of_five_prices_that_it_had_not_seen_lie_in_its_interval(fitted: Fitted) -> None:
    errors = price_model.measure(CARS, fitted)
    for kind in ("all", "many"):
        assert 0.75 < errors[kind]["coverage_p10_p90"] < 0.85
    assert errors["all"]["mdape"] < 0.1
    assert errors["all"]["beside"]["model"] < errors["all"]["beside"]["comparables"]


def test_of_cars_that_it_never_saw_it_says_what_they_cost_and_more_than_the_additive_part(fitted: Fitted) -> None:
    asked = of_rows(priced_cars.market(400, seed=2))
    estimates = comparables.estimate(asked, market.find(asked, CARS))
    with learned.one_thread():
        said, learned_from = fitted.model.predict(asked, estimates), fitted.model.predict(CARS, fitted.estimates)
    assert np.median(np.abs(np.exp(said[:, 1] - asked.log_price) - 1)) < 0.1
    inside = (said[:, 0] <= asked.log_price) & (asked.log_price <= said[:, 2])
    assert 0.7 < np.mean(inside) < 0.9
    off = [np.mean(np.abs(each - CARS.log_price)) for each in (learned_from[:, 1], fitted.model.linear.predict(CARS))]
    assert off[0] < off[1]


def test_training_stores_a_measured_model_and_the_older_ones_go(
    database: Database, settings: Settings, request: pytest.FixtureRequest
) -> None:
    priced_cars.store(database, priced_cars.market(1_100))
    first = price_model.train(database, settings)
    assert first["trained"]
    request.getfixturevalue("fitted_before")
    second = price_model.train(database, settings)
    assert second["ads"] == 1_100
    rows = database.execute("select version, is_used, body is null, errors, reason from ops.price_models order by 1")
    (one, two) = rows.fetchall()
    assert (one[:3], two[:3]) == ((first["version"], True, True), (second["version"], True, False))
    assert two[3]["all"]["beside"]["model"] < two[3]["all"]["beside"]["comparables"]
    assert "of comparables alone" in two[4]


def test_with_few_ads_nothing_is_trained(database: Database, settings: Settings) -> None:
    priced_cars.store(database, priced_cars.market(999))
    assert price_model.train(database, settings) == {
        "trained": False, "ads": 999, "reason": "fewer than 1000 ads with a price",
    }  # fmt: skip


def test_duplicates_are_one_car_to_train_on(database: Database, settings: Settings) -> None:
    rows = priced_cars.market(999)
    priced_cars.store(database, [*rows, *(row._replace(listing_id=2_000 + row.listing_id) for row in rows[:50])])
    assert price_model.train(database, settings)["ads"] == 999


@pytest.mark.usefixtures("fitted_before")
def test_of_two_at_once_one_trains(database: Database, settings: Settings) -> None:
    priced_cars.store(database, priced_cars.market(1_100))
    with db.connect(settings, application="tests", autocommit=True) as other:
        other.execute(db.queries("pricing")["claim_training"])
        assert price_model.train(database, settings) == {"trained": False, "reason": "another process is training"}
        other.execute(db.queries("pricing")["release_training"])
    assert price_model.train(database, settings)["trained"]


def test_a_training_that_dies_leaves_no_trace(
    database: Database, settings: Settings, stored: int, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    priced_cars.store(database, priced_cars.market(1_100)[300:])
    request.getfixturevalue("fitted_before")
    broken = dict(db.queries("pricing")) | {"drop_older_bodies": "select 1 / 0"}
    monkeypatch.setattr(price_model, "queries", lambda _: broken)
    with pytest.raises(psycopg.errors.DivisionByZero):
        price_model.train(database, settings)
    rows = database.execute("select version, body is not null from ops.price_models").fetchall()
    assert rows == [(stored, True)]
    monkeypatch.setattr(price_model, "queries", db.queries)
    assert price_model.train(database, settings)["trained"], "the claim was let go"


def test_it_is_used_only_for_the_kind_of_ad_where_it_measured_better(
    database: Database, settings: Settings, stored: int
) -> None:
    assert "blend" in methods(database, settings)
    for kind in ("few", "many"):
        errors = {name: {"mdape": 0.1, "beside": {"model": 0.2 - 0.1 * (name == kind), "comparables": 0.15}}
                  for name in ("few", "many")}  # fmt: skip
        database.execute("update ops.price_models set errors = %s", [json.dumps(errors)])
        for each in pricing.work(pricing.read(database, range(1, 201), settings)):
            is_many = each.comparables >= learned.WELL_COVERED
            assert (each.method in ("blend", "model")) == (is_many == (kind == "many"))


def test_a_model_that_measured_worse_is_stored_without_its_body_and_not_used(
    database: Database, settings: Settings, stored: int, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict = ((False, False), "15 % off, not less than 14 %")
    monkeypatch.setattr(price_model, "_verdict", lambda _: verdict)
    priced_cars.store(database, priced_cars.market(1_100)[300:])
    request.getfixturevalue("fitted_before")
    assert not price_model.train(database, settings)["is_used"]
    assert database.execute("select count(*) from ops.price_models where body is not null").fetchone() == (0,)
    assert price_model.current(database).reason == verdict[1]
    assert methods(database, settings) <= {"comparables", "none"}


def test_a_model_that_is_too_old_is_not_used_and_it_is_said(
    database: Database, settings: Settings, stored: int, caplog: pytest.LogCaptureFixture
) -> None:
    database.execute("update ops.price_models set trained_at = now() - interval '13 days'")
    assert "blend" in methods(database, settings)
    assert not caplog.records
    database.execute("update ops.price_models set trained_at = now() - interval '15 days'")
    with caplog.at_level(logging.WARNING):
        results = pricing.work(pricing.read(database, range(1, 201), settings))
    assert {each.method for each in results} <= {"comparables", "none"}
    assert "it was trained 15 days ago, more than 14" in caplog.text
    details = next(each.details for each in results if each.method == "comparables")
    assert details["model"] == "it was trained 15 days ago, more than 14"


def drift(database: Database, stored: int, factor: float) -> None:
    """Ads that came later, and that the model misses by so much."""
    database.execute("update listings set first_seen = now() + interval '1 hour'")
    database.execute(
        "insert into valuations (listing_id, p10, p50, p90, comparables, confidence, method, model_version) "
        "select listing_id, 1, price_eur * %s, 1000000, 9, 0.9, 'blend', %s from normalized_listings",
        [factor, stored],
    )


def test_a_model_that_drifted_is_put_out_of_use_and_it_is_said(
    database: Database, settings: Settings, stored: int, caplog: pytest.LogCaptureFixture
) -> None:
    drift(database, stored, 1.3)
    with caplog.at_level(logging.WARNING):
        found = price_model.check_drift(database)
    assert (found["is_drifted"], found["ads"]) == (True, 300)
    assert found["mdape"] == pytest.approx(0.3, abs=0.001)
    assert "it drifted: 30.0 % error on 300 later ads" in caplog.text
    assert methods(database, settings) <= {"comparables", "none"}
    assert price_model.check_drift(database)["is_drifted"] is False, "it is said once"


def test_a_model_that_errs_as_it_was_measured_stays(database: Database, settings: Settings, stored: int) -> None:
    drift(database, stored, 1.05)
    assert not price_model.check_drift(database)["is_drifted"]
    assert "blend" in methods(database, settings)


def test_without_a_model_or_recent_ads_nothing_drifts(database: Database, errors: dict[str, Any], body: bytes) -> None:
    assert not price_model.check_drift(database)["is_drifted"]
    store(database, body, errors)
    assert not price_model.check_drift(database)["is_drifted"]


@pytest.mark.parametrize("harm", ["empty", "cut", "no model", "what runs code", "another version"])
def test_a_damaged_model_is_refused_and_prices_come_from_comparables(
    database: Database, settings: Settings, stored: int, body: bytes, small: Fitted,
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, harm: str,
) -> None:  # fmt: skip
    import skops.io  # seconds of processor: not while tests are collected

    with monkeypatch.context() as patch:
        patch.setattr("sklearn.__version__", "0.1")
        another_version = price_model.dumps(small.model)
    bad = {
        "empty": None,
        "cut": body[: len(body) // 2],
        "no model": skops.io.dumps({"format": 1}),
        "what runs code": skops.io.dumps({"format": zipfile.Path}),
        "another version": another_version,
    }[harm]
    database.execute("update ops.price_models set body = %s", [bad])
    price_model._loaded.clear()
    with caplog.at_level(logging.WARNING):
        assert methods(database, settings) <= {"comparables", "none"}
    assert "the price model is not used" in caplog.text
    price_model._loaded.clear()


def test_a_model_is_read_once_by_a_process(
    database: Database, settings: Settings, stored: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "blend" in methods(database, settings)
    monkeypatch.setattr(price_model, "loads", lambda _: pytest.fail("it was read again"))
    assert "blend" in methods(database, settings)


def age(database: Database, listing: int, *, first: float = 0.0, last: float = 0.0, is_gone: bool = False) -> None:
    """Say when an ad was first and last seen, in days ago, and whether it is gone. It never changed."""
    database.execute(
        "update listings set first_seen = now() - %(first)s * interval '1 day', "
        "changed_at = now() - %(first)s * interval '1 day', last_seen = now() - %(last)s * interval '1 day', "
        "removed_at = case when %(gone)s then now() - %(last)s * interval '1 day' end where id = %(id)s",
        {"first": first, "last": last, "gone": is_gone, "id": listing},
    )


def test_ads_that_went_are_learned_from_as_long_as_the_window_reaches(database: Database) -> None:
    priced_cars.store(database, priced_cars.market(5))
    database.execute("update normalized_listings set is_comparable = false where listing_id in (1, 2, 3)")
    age(database, 1, first=120, last=100, is_gone=True)
    age(database, 2, first=500, last=price_model.WINDOW_DAYS + 1, is_gone=True)
    cars, _ = price_model.training_cars(database)
    assert sorted(cars.ids) == [1, 4, 5], "2 went too long ago, 3 is there and is no example"
    assert cars.seen[cars.ids == 1] == pytest.approx(cars.seen[cars.ids == 4] - 100 / 365.25, abs=0.01)


def test_a_car_that_was_advertised_again_is_learned_from_once_by_its_newest_ad(database: Database) -> None:
    rows = priced_cars.market(3)
    priced_cars.store(database, [*rows, rows[0]._replace(listing_id=9, car=9, price_eur=1_234.5)])
    age(database, 1, first=60, last=40, is_gone=True)
    cars, left_out = price_model.training_cars(database)
    assert sorted(cars.ids) == [2, 3, 9]
    assert left_out == {"same car": 1}


def test_nothing_that_was_not_known_then_is_learned_from(database: Database) -> None:
    """Neither an ad that came later, nor a price or a title that changed later, nor when an ad was last seen."""
    priced_cars.store(database, priced_cars.market(6))
    for listing in (1, 2, 4, 5, 6):
        age(database, listing, first=30)
    age(database, 3, first=2)
    database.execute("update listings set changed_at = now() - interval '3 days' where id = 2")
    database.execute("update listings set changed_at = now() - interval '20 days' where id = 4")
    database.execute("update listings set detailed_at = now() - interval '3 days' where id = 5")
    database.execute("update listings set detailed_at = now() - interval '30 days' where id = 6")
    before = datetime.now(UTC) - timedelta(days=7)
    cars, _ = price_model.training_cars(database, before=before)
    assert sorted(cars.ids) == [1, 4, 6]
    assert cars.seen.max() < 1970 + before.timestamp() / 31_557_600 + 1e-6


def test_the_evaluation_by_time_asks_for_the_ads_that_came_since(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(price_model, "FEWEST_ADS", 300)
    rows = priced_cars.market(420)
    priced_cars.store(database, rows)
    month_ago = "update listings set first_seen = now() - interval '30 days', changed_at = now() - interval '30 days'"
    database.execute(f"{month_ago} where id <= 300")
    database.execute("update listings set title = title || ' later' where id > 300")
    fit, learned_from = learned.fit, []

    def noted(cars: Cars) -> Fitted:
        learned_from.append(cars)
        return fit(cars)

    monkeypatch.setattr(learned, "fit", noted)
    found = price_model.by_time(database)
    assert found["ads"] == 120
    assert found["mdape"] < 0.15
    assert 0.6 < found["coverage_p10_p90"] < 0.95
    assert 0 <= found["narrow"]["ads"] <= 120
    (cars,) = learned_from
    assert cars.ids.max() <= 300
    assert not any("later" in title for title in cars.title)
    database.execute(month_ago)
    assert price_model.by_time(database) == {"ads": 0, "reason": "420 ads before and 0 since are too few"}


def test_what_was_measured_by_time_is_noted_with_the_newest_model_and_shown(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = {"ads": 900, "mdape": 0.131, "within20": 0.7, "coverage_p10_p90": 0.79, "narrow": {"ads": 0}}
    monkeypatch.setattr(price_model, "by_time", lambda _: errors)
    for _ in range(2):
        store(database, None, {"all": {"mdape": 0.14}}, is_used=False)
    said = price_model.measure_by_time(database, settings)
    assert said == {"measured": True, "ads": 900, "mdape": 0.131, "within20": 0.7, "coverage_p10_p90": 0.79}
    rows = database.execute("select errors from ops.price_models order by version").fetchall()
    assert [errors.get("by_time", {}).get("mdape") for (errors,) in rows] == [None, 0.131]
    store(database, None, {"all": {"mdape": 0.12}}, is_used=False)
    (_, _, _, *shown) = database.execute(db.queries("pricing")["measured_model"]).fetchone() or ()
    assert shown == [900, 0.131, 0.79], "of the night before, until the new one is measured"
    database.execute("update ops.price_models set trained_at = now() - interval '4 days'")
    (_, _, _, *shown) = database.execute(db.queries("pricing")["measured_model"]).fetchone() or ()
    assert shown == [None] * 3


def test_nothing_is_measured_beside_a_training(database: Database, settings: Settings) -> None:
    with db.connect(settings, application="tests", autocommit=True) as other:
        other.execute(db.queries("pricing")["claim_training"])
        assert not price_model.measure_by_time(database, settings)["measured"]


@pytest.mark.slow
def test_a_model_of_lots_is_stored_beside_that_of_ads_and_errs_more(database: Database, settings: Settings) -> None:
    """The trim, which is worth 25 %, stands in the title alone."""
    priced_cars.store(database, priced_cars.market(1_100))
    as_ad, as_lot = (price_model.train(database, settings, asked) for asked in price_model.ASKED)
    models = [price_model.current(database, asked) for asked in price_model.ASKED]
    assert [each.version for each in models] == [as_ad["version"], as_lot["version"]]
    rows = database.execute("select asked_for_as, errors from ops.price_models where body is not null").fetchall()
    errors = {asked: each["all"]["mdape"] for asked, each in rows}
    assert errors["lot"] > errors["ad"] + 0.02
    lots = models[1].model
    assert lots is not None
    assert [len(lots.linear.names[slot]) for slot in ("word", "description", "equipment")] == [0, 0, 0]


@pytest.mark.usefixtures("fitted_before")
def test_a_newer_model_of_lots_replaces_none_of_ads(database: Database, settings: Settings) -> None:
    priced_cars.store(database, priced_cars.market(1_100))
    versions = [price_model.train(database, settings, asked)["version"] for asked in ("ad", "lot", "lot")]
    rows = database.execute("select version from ops.price_models where body is not null order by version").fetchall()
    assert [version for (version,) in rows] == [versions[0], versions[2]]
    assert [price_model.current(database, asked).version for asked in price_model.ASKED] == [versions[0], versions[2]]
