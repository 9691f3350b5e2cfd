"""`vinops deals evaluate`: honest folds, what is left out, figures of ours and of the baselines, clear errors."""

from __future__ import annotations

import csv
import os
import random
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from deals.estimate import learned
from deals.estimate.cars import of_rows
from deals.evaluation import ads, figures as figures_of, folds, planted, report
from tests.support import priced_cars

if TYPE_CHECKING:
    from pathlib import Path

LINE = {
    "listing_id": "1", "title": "VW Golf 1.6 TDI", "make": "VW", "model": "Golf", "year": "2010.0", "month": "6.0",
    "mileage_km": "180000.0", "fuel": "Дизел", "gearbox": "Ръчна", "body": "Хечбек", "power_hp": "105.0",
    "color": "Черен", "price_bgn": "9779.15", "price_eur": "5000.0", "vat": "exempt",
}  # fmt: skip


def write(path: Path, lines: list[dict[str, str]], columns: tuple[str, ...] = ads.COLUMNS) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(lines)
    return path


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    told: list[tuple[int, int]] = []
    found = folds.evaluate(of_rows(priced_cars.market(1_200)), folds=2, progress=lambda *done: told.append(done))
    return found | {"told": told}


@pytest.mark.slow
def test_it_tells_how_many_folds_are_done(figures: dict[str, Any]) -> None:
    assert figures["told"] == [(done, 4) for done in range(1, 5)]


@pytest.mark.slow
def test_ours_beats_the_baselines_where_words_and_comparables_say_something(figures: dict[str, Any]) -> None:
    """Prices are off by 12 % by chance; the trim, which is worth 25 %, stands in the title alone."""
    for group in figures_of.GROUPS:
        ours = figures["ours"][group]
        assert ours["mdape"] < 0.1
        assert ours["mdape"] < figures["gradient_boosting"][group]["mdape"]
        assert ours["mdape"] < figures["comparables"][group]["mdape"]
        assert ours["within20"] > figures["gradient_boosting"][group]["within20"]
    for group in ("all", "covered"):  # the narrow ones are few of the ads here
        assert 0.76 < figures["ours"][group]["coverage_p10_p90"] < 0.84


@pytest.mark.slow
def test_it_says_how_many_ads_are_covered(figures: dict[str, Any]) -> None:
    assert figures["n"] == figures["ours"]["all"]["n"] == 1_200
    assert 0 < figures["covered"] == figures["ours"]["covered"]["n"] <= figures["n"]
    assert set(figures["ours"]["all"]) == {"n", "mdape", "within20", "coverage_p10_p90"}


def test_ads_of_one_car_are_in_one_fold_whatever_the_order() -> None:
    rows = [row._replace(car=row.listing_id // 3) for row in priced_cars.market(300)]
    parts = learned.fold(of_rows(rows).car, 5, "seed")
    assert all(len(set(parts[[row.car == car for row in rows]])) == 1 for car in range(100))
    mixed = random.Random(1).sample(range(300), 300)  # not for secrets
    assert np.array_equal(learned.fold(of_rows([rows[number] for number in mixed]).car, 5, "seed"), parts[mixed])
    assert min(np.bincount(parts)) > 30


def test_nothing_of_an_ad_s_price_is_in_its_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prices of one fold are made ten times as high: what is said of that fold does not change."""
    from sklearn import ensemble

    whole = ensemble.HistGradientBoostingRegressor
    few = lambda **options: whole(**options | {"max_iter": 10})  # noqa: E731 # ten rounds leak what a hundred would
    monkeypatch.setattr(ensemble, "HistGradientBoostingRegressor", few)
    cars = of_rows(priced_cars.market(400))
    here = learned.fold(cars.car, 2, "seed") == 0
    said = []
    for factor in (0.0, np.log(10)):
        cars.log_price[here] += factor
        said.append(folds.estimate(cars, folds=2, seed="seed").found)
    before, after = said
    for method in folds.METHODS:
        assert np.array_equal(before[method][here], after[method][here], equal_nan=True), method
        assert not np.array_equal(before[method][~here], after[method][~here], equal_nan=True), "it proves nothing"


def test_what_has_no_price_or_cannot_be_is_left_out_and_counted(tmp_path: Path) -> None:
    bad: list[dict[str, str]] = [
        {"price_eur": "5.62", "price_bgn": "11.0"}, {"price_eur": "", "price_bgn": ""}, {"year": ""}, {"model": ""},
        {"year": "1066.0"}, {"title": "VW Golf на части"}, {"price_eur": "nan", "price_bgn": ""},
        {"price_eur": "510.78"}, {"title": "Купувам VW Golf"}, {"title": "VW Golf двигатели"},
        {"mileage_km": "21000"}, {"make": "Chevrolet", "model": "Kalos", "title": "", "year": "2025"},
    ]  # fmt: skip
    lines = [LINE | {"listing_id": str(number)} | change for number, change in enumerate([{}, *bad, {"year": "2025"}])]
    cars, left_out = ads.read_file(write(tmp_path / "ads.csv", lines))
    assert cars.ids.tolist() == [0, len(bad) + 1]
    assert left_out == {
        "placeholder": 2, "no price": 2, "impossible": 3, "not a whole car": 1, "wanted": 1, "parts": 1,
        "mileage doubtful": 1, "year doubtful": 1,
    }  # fmt: skip


@pytest.mark.parametrize("number", ["nan", "inf", "-1e308", "1e308", "1e999999999", "²", "٣", "9" * 400, "\0"])
@pytest.mark.parametrize("name", ["listing_id", "year", "month", "mileage_km", "power_hp", "price_eur"])
def test_a_number_that_is_none_ends_nothing(tmp_path: Path, name: str, number: str) -> None:
    lines = [LINE, LINE | {"price_bgn": "", name: number}]
    cars, _ = ads.read_file(write(tmp_path / "ads.csv", lines))
    assert 1 <= len(cars) <= 2


def test_ads_of_too_few_cars(tmp_path: Path) -> None:
    lines = [LINE | {"listing_id": str(number)} for number in range(folds.FEWEST_ADS)]
    with pytest.raises(ads.EvaluateError, match="200 ads are of 1 car: 200 cars or more can be measured on"):
        folds.evaluate_file(write(tmp_path / "ads.csv", lines))


def test_prices_that_are_all_the_same_are_learned() -> None:
    rows = [row._replace(price_eur=5_000.0) for row in priced_cars.market(300)]
    with learned.one_thread():
        assert np.allclose(learned.fit(of_rows(rows)).unseen[:, 1], np.log(5_000), atol=0.01)


def test_ads_are_read_in_our_words_and_prices_in_euro(tmp_path: Path) -> None:
    lines = [
        LINE,
        LINE | {"listing_id": "2", "price_eur": "", "power_hp": "", "title": "VW Golf 105к.с"},
        LINE | {"listing_id": "3", "make": "Зубр", "model": "X9", "title": "Зубр X9"},
    ]
    cars, _ = ads.read_file(write(tmp_path / "ads.csv", lines))
    assert (cars.model[0], cars.fuel[0], cars.gearbox[0], cars.body[0]) == (
        "Volkswagen Golf", "diesel", "manual", "hatchback",
    )  # fmt: skip
    assert np.exp(cars.log_price) == pytest.approx([5_000, 5_000, 5_000])
    assert cars.power[1] == 105
    assert cars.model[2] == "Зубр X9", "what no vocabulary knows stays as it is"


def test_the_same_car_twice_is_one_car(tmp_path: Path) -> None:
    lines = [LINE, LINE | {"listing_id": "2", "price_eur": "4900"}, LINE | {"listing_id": "3", "mileage_km": "90000"}]
    cars, _ = ads.read_file(write(tmp_path / "ads.csv", lines))
    assert cars.car.tolist() == [1, 1, 3]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ads.EvaluateError, match=r"none\.csv cannot be read"):
        folds.evaluate_file(tmp_path / "none.csv")


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "ads.csv").touch()
    with pytest.raises(ads.EvaluateError, match="is empty: its first line names the columns listing_id, title"):
        folds.evaluate_file(tmp_path / "ads.csv")
    with pytest.raises(ads.EvaluateError, match="holds no ad"):
        folds.evaluate_file(write(tmp_path / "ads.csv", []))


def test_a_file_with_other_columns(tmp_path: Path) -> None:
    columns = tuple(name for name in ads.COLUMNS if name not in ("price_eur", "year"))
    with pytest.raises(ads.EvaluateError, match="lacks the columns year, price_eur"):
        folds.evaluate_file(write(tmp_path / "ads.csv", [LINE], columns))


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "ads.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(ads.EvaluateError, match="cannot be read as CSV"):
        folds.evaluate_file(tmp_path / "ads.csv")


def test_too_few_ads(tmp_path: Path) -> None:
    with pytest.raises(ads.EvaluateError, match="1 ads with a usable price are too few: 200"):
        folds.evaluate_file(write(tmp_path / "ads.csv", [LINE]))


def test_figures_are_shares_of_those_with_an_estimate() -> None:
    log_price = np.log([1_000.0, 1_000, 1_000, 1_000, 1_000])
    said = [(900, 1_000, 1_100), (1_010, 1_100, 1_200), (600, 1_190, 1_400), (500, 700, 900), (np.nan,) * 3]
    covered = np.array([True, True, False, False, True])
    expected = {"n": 4, "mdape": 0.145, "within20": 0.75, "coverage_p10_p90": 0.5}
    assert figures_of.of(np.log(said), log_price, np.ones(5, dtype=bool)) == pytest.approx(expected)
    expected = {"n": 2, "mdape": 0.05, "within20": 1.0, "coverage_p10_p90": 0.5}
    assert figures_of.of(np.log(said), log_price, covered) == pytest.approx(expected)


def test_the_narrow_groups_are_those_with_the_least_distance_of_p10_and_p90() -> None:
    middle = np.linspace(7, 10, 100)
    width = np.random.default_rng(1).permutation(100) / 50
    groups = figures_of.groups(np.column_stack([middle - width / 2, middle, middle + width / 2]), middle > 8)
    assert set(groups) == set(figures_of.GROUPS)
    assert sorted(np.rint(width[groups["narrow"]] * 50)) == list(range(61))
    assert sorted(np.rint(width[groups["narrow40"]] * 50)) == list(range(40))


def test_segments_are_of_the_facts_and_the_estimate_never_of_the_price() -> None:
    rows = [
        row._replace(power_hp=None if place < 10 else row.power_hp, mileage_km=None if place < 5 else row.mileage_km)
        for place, row in enumerate(priced_cars.market(50))
    ]
    cars = of_rows(rows)
    middle = np.full(50, np.log(5_000))
    found = figures_of.segments_of(cars, middle)
    assert (found["power missing"].sum(), found["mileage missing"].sum()) == (10, 5)
    assert found["4,000 to 8,000 EUR"].all()
    assert found["below 3 words"].sum() == sum(len(row.title.split()) < 3 for row in rows)
    other = figures_of.segments_of(replace(cars, log_price=cars.log_price + 3), middle)
    assert all(np.array_equal(found[name], other[name]) for name in found)
    ages = [found[name].sum() for name in found if "years" in name]
    assert sum(ages) == 50


def test_a_mean_is_of_each_figure_of_both_seeds() -> None:
    one, other = {"a": {"n": 10, "mdape": 0.1}, "b": 3}, {"a": {"n": 13, "mdape": 0.20003}, "b": 4}
    assert figures_of.mean([one, other]) == {"a": {"n": 12, "mdape": 0.15}, "b": 4}


@pytest.mark.parametrize(("ads_in", "slack"), [(100, 0.08), (400, 0.04), (4_000, 0.04)])
def test_the_slack_of_a_segment_is_four_points_or_two_standard_errors(ads_in: int, slack: float) -> None:
    assert figures_of.slack(ads_in) == pytest.approx(slack)


def test_planted_bargains_are_found_where_nothing_else_is_cheap() -> None:
    """Prices are the estimates exactly: all of the best scores are planted, and none where nothing can be told."""
    cars = of_rows(priced_cars.market(1_100))
    reach = np.array([-0.2, 0.0, 0.2])
    count, sure = np.full(1_100, 30), np.full(1_100, 0.8)
    exact = planted.measure(cars, cars.log_price[:, None] + reach, count, sure, seed=0)
    assert exact == {"precision": 1.0, "of_approved": 1.0, "approved": 0}
    shuffled = np.random.default_rng(1).permutation(cars.log_price)
    assert planted.measure(cars, shuffled[:, None] + reach, count, sure, seed=0)["precision"] < 0.2


def test_the_report_names_all_figures() -> None:
    group = {"n": 1_100, "mdape": 0.125, "within20": 0.7, "coverage_p10_p90": 0.801}
    methods: dict[str, Any] = {method: dict.fromkeys(figures_of.GROUPS, group) for method in folds.METHODS}
    segments = {"old": group, "tiny": group | {"n": 99}, "wide": group | {"coverage_p10_p90": 0.85}}
    methods["ours"] |= {"segments": segments, "planted": {"precision": 0.31, "of_approved": 0.2, "approved": 1_040}}
    shown = report.report({"n": 1_200, "covered": 1_000, "folds": 3, "left_out": {"placeholder": 3}, **methods})
    assert shown[:2] == ["1,200 ads in 3 folds, 1,000 of them covered", "left out: 3 placeholder"]
    rows = [" ".join(line.split()) for line in shown]
    names = ("ours", "gradient boosting", "comparables")
    groups = ("all", "covered", "narrowest 61 %", "narrowest 40 %")
    assert rows[5:17] == [f"{name}, {each} 1,100 12.5% 70.0% 80.1%" for each in groups for name in names]
    assert "old 1,100 12.5% 70.0% 80.1%" in rows
    assert "wide 1,100 12.5% 70.0% 85.0% off" in rows
    assert not any(row.startswith("tiny") for row in rows), "too few ads to say"
    assert rows[-1] == (
        "bargains planted at 30 % below: 0.31 of the best 20 scores, 0.20 of the approved ads; "
        "1,040 ads are approved without them"
    )


def test_scikit_learn_has_one_thread_also_where_nothing_has_imported_it() -> None:
    code = "import threadpoolctl\nfrom deals.estimate import learned\nwith learned.one_thread():\n"
    code += (
        "    print(*(each['num_threads'] for each in threadpoolctl.threadpool_info() if each['user_api'] == 'openmp'))"
    )
    command, environment = [sys.executable, "-c", code], {**os.environ, "OMP_NUM_THREADS": "4"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"1"}
